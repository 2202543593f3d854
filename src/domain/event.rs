//! What passes between the parts: from ingest to the board, and from the board to the hub.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Market, Minute, Now, Price, Quote, Ticker, VenueClock, VenueHealth, VenueId};

/// How a ticker came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Pushed over a stream; two tickers of the same session have no unseen trade between them.
    Stream {
        /// Number of the connection, unique within the process.
        session: u64,
    },
    /// Fetched because the stream is down: the row is `delayed`.
    Poll,
    /// Fetched to see whether a silent market is quiet, while the stream is up.
    Check,
}

/// A way to a venue that limits and bans hold for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    /// Requests.
    Rest,
    /// New connections to its stream.
    Stream,
}

/// News from a venue, in the order in which it happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// New figures, or the same ones confirmed.
    Ticker {
        /// Who says so.
        venue: VenueId,
        /// For which market.
        market: Market,
        /// The figures.
        ticker: Ticker,
        /// When they were asked for: they are no older. Of a pushed message, when it was received.
        asked: Now,
        /// When we received them.
        received: Now,
        /// By which way.
        via: Via,
    },
    /// A candle answer: it speaks for every minute of `span`.
    Settled {
        /// Who says so.
        venue: VenueId,
        /// For which market.
        market: Market,
        /// The closed minutes it speaks for.
        span: Range<Minute>,
        /// The minutes in it that had a trade, with their close.
        closes: Vec<(Minute, Price)>,
    },
    /// The venue's list of markets.
    Listings {
        /// Who says so.
        venue: VenueId,
        /// Every market it lists.
        listings: Vec<Listing>,
        /// Markets that are there although the list does not say more of them: their row could not be read, or the list
        /// lacks them wrongly.
        unreadable: Vec<Market>,
    },
    /// The smallest steps of prices, from a venue whose list of markets does not say them.
    TickSizes {
        /// Who says so.
        venue: VenueId,
        /// The step of each market that was asked for and answered.
        sizes: Vec<(Market, Decimal)>,
    },
    /// What the venue's clock shows, by the dates of its answers.
    Clock {
        /// Whose.
        venue: VenueId,
        /// What it shows.
        clock: VenueClock,
    },
    /// The state of the connection to a venue.
    Health(VenueHealth),
}

/// One market as its venue lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The venue's spelling.
    pub symbol: String,
    /// Ours.
    pub market: Market,
    /// The venue's Korean name of the base asset, if it has one.
    pub korean_name: Option<String>,
    /// The venue's English name of the base asset, if it has one.
    pub english_name: Option<String>,
    /// Smallest step of the price, if listed.
    pub tick_size: Option<Decimal>,
    /// Whether it is listed but does not trade.
    pub halted: bool,
    /// Whether the venue warns of it, if the list says.
    pub warning: Option<bool>,
    /// The cautions in force, as the venue names them, if the list says.
    pub cautions: Option<Vec<String>>,
}

impl Listing {
    /// A market that trades, and of which nothing more is known.
    pub fn new(symbol: impl Into<String>, market: Market) -> Self {
        Self {
            symbol: symbol.into(),
            market,
            korean_name: None,
            english_name: None,
            tick_size: None,
            halted: false,
            warning: None,
            cautions: None,
        }
    }
}

/// How soon a gap must be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// The base of a row is not known: the candle just before the base time.
    Base,
    /// The newest minutes of the window are not known: what a chart shows at its end.
    Recent,
    /// Older minutes of the window are not known.
    Hole,
    /// Seen live, not yet settled by a candle.
    Settle,
}

/// A stretch of minutes whose closes the board wants from the venue's candles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose candles.
    pub venue: VenueId,
    /// Of which market.
    pub market: Market,
    /// The minutes wanted; all of them are over.
    pub span: Range<Minute>,
    /// How soon.
    pub urgency: Urgency,
}

/// What became of a price that was far from the live one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// Whose price.
    pub venue: VenueId,
    /// Of which market.
    pub market: Market,
    /// The price that is, or was, held back.
    pub held: Price,
    /// The price that is shown.
    pub shown: Option<Price>,
    /// How it stands.
    pub stands: JumpStands,
}

/// A market whose name stands for another listing than before: what was known of it is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relisting {
    /// At which venue.
    pub venue: VenueId,
    /// Which market.
    pub market: Market,
    /// Why, for an operator.
    pub cause: String,
}

/// See [`Jump`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JumpStands {
    /// Held back until something else says the same.
    Held,
    /// Contradicted by the next price.
    Refuted,
    /// Nothing is held back any more.
    Over,
}

/// What the board hands to the hub after a batch of events.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Our wall clock.
    pub at: Timestamp,
    /// Rows that read differently now.
    pub changed: Vec<Arc<Quote>>,
    /// Rows that were only confirmed again.
    pub confirmed: Vec<Arc<Quote>>,
    /// Venues whose health changed.
    pub venues: Vec<VenueHealth>,
}
