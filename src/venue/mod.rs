//! Exchanges as pure translators: text in, meaning out.
//!
//! A venue holds what differs between exchanges and nothing else: its facts
//! ([`Profile`]), how it wants to be asked, and how its answers read. It has
//! no socket, no clock and no task, so that a recorded payload is a complete
//! test. All I/O is in `ingest`, written once for all of them.
//!
//! To add an exchange: one file here, one line in [`ALL`], its fixtures, and
//! its table in `fake`.

mod binance;
mod bithumb;
mod candles;
mod json;
mod upbit;
mod upbit_like;

use std::time::Duration;

use rust_decimal::Decimal;

use crate::domain::{Candle, Listing, Market, Minute, Price, Ticker, VenueId};

/// What is the same for the whole life of the program: the facts of a venue, as data.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The id in lower case.
    pub id: VenueId,
    /// Base of the REST API, without a slash at the end.
    pub rest: &'static str,
    /// The WebSocket URL.
    pub stream: &'static str,
    /// Currencies that markets are quoted in, each before those that are quoted in it: a market named with one of them
    /// as its base, and no earlier one as its quote, is likely the wrong way round.
    pub quotes: &'static [&'static str],
    /// How the connection is kept open.
    pub keepalive: Keepalive,
    /// A connection without application data for this long is given up.
    pub silence_max: Duration,
    /// A market not confirmed for this long is stale.
    pub stale_after: Duration,
    /// The venue ends connections of this age; a new one is opened before.
    pub lifetime: Option<Duration>,
    /// Most markets on one connection.
    pub markets_per_connection: usize,
    /// Frames that may be sent over one connection: this many in `frames_window`.
    pub frames_max: u32,
    /// See `frames_max`.
    pub frames_window: Duration,
    /// Connections that may be opened to the stream's host: this many in `connects_window`.
    pub connects_max: u32,
    /// See `connects_max`.
    pub connects_window: Duration,
    /// Request limits by group; a request names its group.
    pub limits: &'static [Limit],
    /// Most markets in one ticker request.
    pub markets_per_request: usize,
    /// Most candles in one request.
    pub candles_per_request: usize,
    /// Whether a minute without a trade has a candle, flat and empty. Then one that is not there says nothing.
    pub quiet_candles: bool,
    /// Whether its tickers date the trade; else they date the message alone.
    pub dates_trades: bool,
}

/// How a venue wants to see that we are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keepalive {
    /// We send a protocol ping this often.
    Ping(Duration),
    /// We send this text this often.
    Text(&'static str, Duration),
    /// The venue pings; the pong is automatic. No ping for this long means that it is gone.
    ServerPings(Duration),
}

/// A request budget: `weight` units in `window`, shared by all requests of `group`.
///
/// These are the documented figures; ingest uses half of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The group's name.
    pub group: &'static str,
    /// Units per window.
    pub weight: u32,
    /// The window.
    pub window: Duration,
}

/// A question over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Every market listed.
    Markets,
    /// The newest figures of these; at most [`Profile::markets_per_request`].
    Tickers(&'a [Market]),
    /// The smallest step of the price of these, where the list of markets does not say it; at most
    /// [`Profile::markets_per_request`].
    TickSizes(&'a [Market]),
    /// Up to `count` minute candles of a market, the newest that are over before `end` begins.
    Candles {
        /// Which market.
        market: &'a Market,
        /// The first minute not wanted.
        end: Minute,
        /// How many; at most [`Profile::candles_per_request`].
        count: usize,
    },
}

/// A GET request, ready but for the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Path and query, to be put behind [`Profile::rest`].
    pub path: String,
    /// The [`Limit::group`] that it counts in.
    pub group: &'static str,
    /// What it costs there.
    pub weight: u32,
}

/// What a 200 said.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To [`Ask::Markets`].
    Markets {
        /// The markets. Records that could not be read are counted by reason.
        listings: Vec<Result<Listing, RejectedListing>>,
        /// Side members that can't be read, with their market: they cost nothing but themselves.
        left_out: Vec<(Market, Rejection)>,
    },
    /// To [`Ask::Tickers`].
    Tickers(Vec<Record>),
    /// To [`Ask::TickSizes`], by the venue's spelling.
    TickSizes(Vec<(String, Result<Decimal, Rejection>)>),
    /// To [`Ask::Candles`]: oldest first, without duplicates, all before `end`.
    ///
    /// Whole or an error: a row left out would read as a minute without a trade.
    Candles(Vec<Candle>),
}

/// One record of a message: its market as the venue spells it, and what it says or why it can't be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The venue's spelling; ingest knows which market was asked under it.
    pub symbol: String,
    /// The figures.
    pub ticker: Result<Ticker, Rejection>,
    /// Side members that can't be read and are left out: they cost nothing but themselves.
    pub left_out: Vec<Rejection>,
}

impl Record {
    /// Joins a symbol, if it can be read, and the figures under it.
    fn new(
        symbol: Result<String, Rejection>,
        ticker: impl FnOnce(&mut Vec<Rejection>) -> Result<Ticker, Rejection>,
    ) -> Self {
        let mut left_out = Vec::new();
        match symbol {
            Ok(symbol) => {
                let ticker = ticker(&mut left_out);
                Self { symbol, ticker, left_out }
            }
            Err(fault) => Self::unreadable(fault),
        }
    }

    /// A record of which not even the market is known.
    fn unreadable(fault: Rejection) -> Self {
        Self { symbol: String::new(), ticker: Err(fault), left_out: Vec::new() }
    }
}

/// Returns a side member, or leaves it out where it can't be read.
///
/// Only a market's symbol, its price and the time that orders it may cost a record.
fn side<T>(read: Result<Option<T>, Rejection>, left_out: &mut Vec<Rejection>) -> Option<T> {
    read.unwrap_or_else(|fault| {
        left_out.push(fault);
        None
    })
}

/// The problem of a figure that the rest of its record contradicts.
const CONTRADICTION: &str = "contradiction";

/// Leaves out the figures of a day that contradict their own record: a high or a low on the wrong side of the last price,
/// and a price of 24 hours ago outside the range of the day since.
///
/// `fields` are the names of high, low and that price.
fn consistent(mut ticker: Ticker, fields: [&'static str; 3], left_out: &mut Vec<Rejection>) -> Ticker {
    let [high, low, base] = fields;
    let last = ticker.last;
    let mut keep = |figure: &mut Option<Price>, field, is_so: &dyn Fn(Price) -> bool| {
        if let Some(odd) = figure.take_if(|figure| !is_so(*figure)) {
            left_out.push(Rejection {
                seen: format!("{odd} beside a last price of {last}"),
                ..Rejection::new(field, CONTRADICTION)
            });
        }
    };
    keep(&mut ticker.high_24h, high, &|high| high >= last);
    keep(&mut ticker.low_24h, low, &|low| low <= last);
    let (highest, lowest) = (ticker.high_24h, ticker.low_24h);
    let is_within = |base| highest.is_none_or(|high| base <= high) && lowest.is_none_or(|low| base >= low);
    keep(&mut ticker.base_24h, base, &is_within);
    ticker
}

/// One frame of the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// Application data.
    Tickers(Vec<Record>),
    /// An acknowledgement, a status or a heartbeat: the peer lives, no price is confirmed.
    Reply(String),
    /// The venue refuses something that we sent.
    Refused(String),
    /// The venue asks us to connect anew.
    Reconnect(String),
    /// A message of a type that we do not know or did not ask for; it is counted.
    Unknown(String),
}

/// Why one record is not used; the others of its message are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Rejection {
    /// The member at fault, as the venue spells it.
    pub field: &'static str,
    /// What is wrong with it, as a stable word: those of
    /// [`AmountError::code`](crate::domain::AmountError::code), `missing`, `null`, `type`, `time`, `symbol`,
    /// `candle`, `contradiction`, `unknown` (a value that the venue does not document), `repeated`.
    pub problem: &'static str,
    /// The beginning of what stands there.
    pub seen: String,
}

impl Rejection {
    /// A rejection that shows nothing.
    pub fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem, seen: String::new() }
    }

    /// Returns it with what stands there.
    pub fn example(&self) -> String {
        if self.seen.is_empty() { self.to_string() } else { format!("{self}: {}", self.seen) }
    }
}

/// Why a whole body or frame can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is not the JSON that was expected; the message says where.
    #[error("unreadable answer: {0}")]
    Payload(String),
    /// It is an error of the venue's, whatever the HTTP status was.
    #[error("the exchange answered {code}: {message}")]
    Refused {
        /// The venue's code or name.
        code: String,
        /// The venue's words, shortened.
        message: String,
    },
}

/// A row of a list of markets that is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rejection}")]
pub struct RejectedListing {
    /// The venue's spelling of the market, where that much can be read.
    pub symbol: Option<String>,
    /// Why.
    pub rejection: Rejection,
}

impl From<Rejection> for RejectedListing {
    fn from(rejection: Rejection) -> Self {
        Self { symbol: None, rejection }
    }
}

/// An exchange.
pub trait Venue: Send + Sync {
    /// Returns its facts.
    fn profile(&self) -> &Profile;

    /// Returns how it spells a market.
    fn symbol(&self, market: &Market) -> String;

    /// Returns the frames that make a connection deliver tickers for exactly `markets`.
    ///
    /// `had` is what the connection was asked for before (empty on a new one):
    /// some venues replace the whole list, others add and remove. Where the
    /// whole list is replaced, none can be given back: for no market there is
    /// no frame, and the connection is closed instead.
    fn subscribe(&self, markets: &[Market], had: &[Market]) -> Vec<String>;

    /// Reads one frame.
    ///
    /// # Errors
    /// [`ParseError::Payload`] if it is not a message of this venue at all.
    fn parse(&self, text: &str) -> Result<Incoming, ParseError>;

    /// Puts a question into a request, or `None` where the venue can't be asked that.
    fn ask(&self, ask: &Ask<'_>) -> Option<Request>;

    /// Reads the body of a 200.
    ///
    /// # Errors
    /// [`ParseError`] if the whole answer can't be used; single records are
    /// rejected within the answer.
    fn answer(&self, ask: &Ask<'_>, body: &str) -> Result<Answer, ParseError>;
}

/// Every exchange we can read.
pub static ALL: &[&dyn Venue] = &[&upbit::Upbit, &bithumb::Bithumb, &binance::Binance];

/// Returns an exchange by its id.
pub fn find(id: &str) -> Option<&'static dyn Venue> {
    ALL.iter().copied().find(|venue| venue.profile().id.as_str() == id)
}
