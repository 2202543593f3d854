//! The quote row: what we publish for one market.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

use super::{Basis, Change, HaltReason, Market, Notice, Price, VenueId};

/// The sources of a row, in order of preference, by name: `bithumb,upbit`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(Arc<str>);

impl SourceId {
    /// Names a list of venues.
    pub fn new<'a>(venues: impl IntoIterator<Item = &'a str>) -> Self {
        Self(venues.into_iter().collect::<Vec<_>>().join(",").into())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How much a row's price can be relied on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its venue confirmed the price within its limit.
    Live,
    /// Served by polling because streaming is down.
    Delayed,
    /// Not confirmed within the limit; the last price stays, with its age.
    Stale,
    /// The venue says that it does not trade.
    Halted,
    /// Never seen.
    Unknown,
}

impl State {
    /// Returns the word used in JSON and markup.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Delayed => "delayed",
            Self::Stale => "stale",
            Self::Halted => "halted",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a base price, or high and low, come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BaseSource {
    /// Our own minute closes.
    Window,
    /// The venue's figure, documented as rolling 24 hours.
    Venue,
}

impl BaseSource {
    /// Returns the word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Venue => "venue",
        }
    }
}

/// The price that a change is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The price of the last trade before `at`.
    pub price: Price,
    /// The base time.
    pub at: Timestamp,
    /// Who says so.
    pub source: BaseSource,
}

/// Why a price has no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoChange {
    /// The base is not known yet.
    #[default]
    Awaited,
    /// The venue did not answer, or not usably, when it was asked for the past of the market.
    NoHistory,
    /// The market is listed since after the base time.
    NewListing,
    /// Nobody traded before the base time.
    NoEarlierTrade,
    /// The unit of the price seems to have changed since the base time.
    Rescaled,
    /// The figures are too wide to be worked out exactly.
    TooWide,
    /// The market is listed again, and no trade shows yet whether it is the same coin.
    Relisted,
}

impl NoChange {
    /// Returns the stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Awaited => "awaited",
            Self::NoHistory => "no-history",
            Self::NewListing => "new-listing",
            Self::NoEarlierTrade => "no-earlier-trade",
            Self::Rescaled => "rescaled",
            Self::TooWide => "too-wide",
            Self::Relisted => "relisted",
        }
    }
}

/// What we publish for one market from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The market.
    pub market: Market,
    /// The source list it was chosen from.
    pub source: SourceId,
    /// The venue it now comes from.
    pub venue: VenueId,
    /// Whether that is not the preferred venue of the source.
    pub fallback: bool,
    /// The venue's Korean name of the base asset, for assets that our own table does not have.
    pub korean_name: Option<Arc<str>>,
    /// The venue's English name of the base asset, likewise.
    pub english_name: Option<Arc<str>>,
    /// Price of the last trade; absent only in state `unknown`.
    pub last: Option<Price>,
    /// The base of each [`Basis`], in the order of [`Basis::ALL`]; absent where not known.
    pub bases: [Option<Base>; 3],
    /// Why each base is absent; [`NoChange::Awaited`] for those that are not.
    pub no_bases: [NoChange; 3],
    /// Decimal places of the change percentage.
    pub percent_places: u32,
    /// Decimal places that the price is shown with.
    pub digits: u32,
    /// Highest price of the rolling 24 hours; where it is ours, of minute closes and `last`.
    pub high_24h: Option<Price>,
    /// Lowest price of the rolling 24 hours, likewise.
    pub low_24h: Option<Price>,
    /// Who says these two, where they are known.
    pub range_source: Option<BaseSource>,
    /// Volume of the rolling 24 hours in the base asset.
    pub base_volume_24h: Option<Decimal>,
    /// Volume of the rolling 24 hours in the quote asset.
    pub quote_volume_24h: Option<Decimal>,
    /// How far to rely on it.
    pub state: State,
    /// Why it is halted; only in state `halted`.
    pub reason: Option<HaltReason>,
    /// What the venue warns of.
    pub notice: Option<Arc<Notice>>,
    /// The venue's time of the last trade, where it dates its trades.
    pub traded_at: Option<Timestamp>,
    /// When we received `last`.
    pub received_at: Option<Timestamp>,
    /// When the venue last confirmed `last`, changed or not.
    pub confirmed_at: Option<Timestamp>,
}

impl Quote {
    /// Returns the base for `basis`, where it is known.
    pub fn base(&self, basis: Basis) -> Option<Base> {
        let at = Basis::ALL.iter().position(|&b| b == basis)?;
        self.bases[at]
    }

    /// Returns the change against the base of `basis`, or `None` where either end is not known.
    pub fn change(&self, basis: Basis) -> Option<Change> {
        Change::between(self.last?, self.base(basis)?.price, self.percent_places)
    }

    /// Returns why there is no change for `basis`, where there is a price or was one.
    pub fn no_change(&self, basis: Basis) -> Option<NoChange> {
        let at = Basis::ALL.iter().position(|&b| b == basis)?;
        let why = if self.bases[at].is_some() { NoChange::TooWide } else { self.no_bases[at] };
        let is_due = self.last.is_some() || why == NoChange::Relisted;
        (is_due && self.change(basis).is_none()).then_some(why)
    }

    /// Returns the row as it is to be shown when nobody has looked after it for a while, if that is another.
    pub fn unwatched(&self) -> Option<Self> {
        matches!(self.state, State::Live | State::Delayed).then(|| Self { state: State::Stale, ..self.clone() })
    }

    /// Returns whether `other` says the same to a reader, whenever it was confirmed.
    pub fn reads_like(&self, other: &Self) -> bool {
        let timeless = |quote: &Self| Self { confirmed_at: None, ..quote.clone() };
        timeless(self) == timeless(other)
    }
}
