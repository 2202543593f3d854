//! The quote row, which is what we publish for one market, and the notices that its venue publishes about it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use super::{Basis, Change, Market, Price, VenueId};

/// The sources of a row, in order of preference, by name: `bithumb,upbit`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(Arc<str>);

impl SourceId {
    /// Creates the id of a list of venues.
    pub fn new<'a>(venues: impl IntoIterator<Item = &'a str>) -> Self {
        Self(venues.into_iter().collect::<Vec<_>>().join(",").into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How reliable a row's price currently is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The venue confirmed the price within the limit.
    Live,
    /// Served by polling because streaming is down or disabled.
    Delayed,
    /// Not confirmed within the limit; the last price stays, with its age.
    Stale,
    /// The venue reports that the market does not trade.
    Halted,
    /// No price received yet.
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
    /// Returns the word used in JSON.
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
    /// Where the price comes from.
    pub source: BaseSource,
}

/// Why a price has no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoChange {
    /// The base is not known yet.
    #[default]
    Awaited,
    /// The venue did not respond, or not usably, to requests for the history of the market.
    NoHistory,
    /// The market was listed after the base time.
    NewListing,
    /// There was no trade before the base time.
    NoEarlierTrade,
    /// The unit of the price seems to have changed since the base time.
    Rescaled,
    /// The figures have too many digits to compute the change exactly.
    TooWide,
    /// The market is listed again, and no trade shows yet whether it is the same coin.
    Returned,
}

impl NoChange {
    /// Returns the stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Awaited => "awaited",
            Self::NoHistory => "no-history",
            Self::NewListing => "new-listing",
            Self::NoEarlierTrade => "no-earlier-trade",
            Self::Rescaled => "rescaled",
            Self::TooWide => "too-wide",
            Self::Returned => "relisted",
        }
    }
}

/// What we publish for one market from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The market.
    pub market: Market,
    /// The source list that the venue was chosen from.
    pub source: SourceId,
    /// The venue that the row currently comes from.
    pub venue: VenueId,
    /// Whether `venue` is not the preferred venue of the source.
    pub fallback: bool,
    /// The venue's Korean name of the base asset, for assets that are missing from our own table.
    pub korean_name: Option<Arc<str>>,
    /// The venue's English name of the base asset, likewise.
    pub english_name: Option<Arc<str>>,
    /// Price of the last trade; absent only in state `unknown`.
    pub last: Option<Price>,
    /// The base of each [`Basis`], in the order of [`Basis::ALL`]; `None` if unknown.
    pub bases: [Option<Base>; 3],
    /// Why each base is absent; [`NoChange::Awaited`] if it is not.
    pub no_base_reasons: [NoChange; 3],
    /// Decimal places of the change percentage.
    pub percent_places: u32,
    /// Decimal places of the displayed price.
    pub digits: u32,
    /// Highest price of the rolling 24 hours; if it comes from our window, of minute closes and `last`.
    pub high_24h: Option<Price>,
    /// Lowest price of the rolling 24 hours, likewise.
    pub low_24h: Option<Price>,
    /// Where high and low come from, if they are known.
    pub range_source: Option<BaseSource>,
    /// Volume of the rolling 24 hours in the base asset.
    pub base_volume_24h: Option<Decimal>,
    /// Volume of the rolling 24 hours in the quote asset.
    pub quote_volume_24h: Option<Decimal>,
    /// How reliable the price is.
    pub state: State,
    /// Why it is halted; only in state `halted`.
    pub reason: Option<HaltReason>,
    /// The venue's notice, if one is in force.
    pub notice: Option<Arc<Notice>>,
    /// Venue time of the last trade, if the venue dates its trades.
    pub traded_at: Option<Timestamp>,
    /// When we received `last`.
    pub received_at: Option<Timestamp>,
    /// When the venue last confirmed `last`, changed or not.
    pub confirmed_at: Option<Timestamp>,
}

impl Quote {
    /// Returns the base for `basis`, if known.
    pub fn base(&self, basis: Basis) -> Option<Base> {
        let at = Basis::ALL.iter().position(|&b| b == basis)?;
        self.bases[at]
    }

    /// Returns the change against the base of `basis`, or `None` if the price or the base is unknown.
    pub fn change(&self, basis: Basis) -> Option<Change> {
        Change::between(self.last?, self.base(basis)?.price, self.percent_places)
    }

    /// Returns why there is no change for `basis`; `None` if there is one, or if the row has no price and was not
    /// listed again.
    pub fn no_change(&self, basis: Basis) -> Option<NoChange> {
        let at = Basis::ALL.iter().position(|&b| b == basis)?;
        let why = if self.bases[at].is_some() { NoChange::TooWide } else { self.no_base_reasons[at] };
        let is_expected = self.last.is_some() || why == NoChange::Returned;
        (is_expected && self.change(basis).is_none()).then_some(why)
    }

    /// Returns the row in state `stale`, for a row that has not been updated for a while; `None` if that
    /// would not change it.
    pub fn stale_copy(&self) -> Option<Self> {
        matches!(self.state, State::Live | State::Delayed).then(|| Self { state: State::Stale, ..self.clone() })
    }

    /// Returns whether `other` differs in nothing but `confirmed_at`.
    pub fn eq_ignoring_confirmation(&self, other: &Self) -> bool {
        let without_confirmation = |quote: &Self| Self { confirmed_at: None, ..quote.clone() };
        without_confirmation(self) == without_confirmation(other)
    }
}

/// Why a market is halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HaltReason {
    /// The venue has suspended trading, or has not opened it yet.
    Suspended,
    /// The venue has taken the market off its list.
    Delisted,
}

impl HaltReason {
    /// Returns the word used in JSON and CSV.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Delisted => "delisted",
        }
    }
}

/// Severity of a notice, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeKind {
    /// Something about the market is unusual (주의).
    Caution,
    /// The venue has put the market on its watch list (유의).
    Warning,
    /// The venue has announced the end of trading (거래지원 종료).
    Delisting,
}

impl NoticeKind {
    /// Returns the word used in JSON, CSV and markup.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caution => "caution",
            Self::Warning => "warning",
            Self::Delisting => "delisting",
        }
    }
}

/// A venue's warning about a market. It does not change the state of the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The most serious notice in force.
    pub kind: NoticeKind,
    /// Announced delisting date in Korean time; only for [`NoticeKind::Delisting`].
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "day")]
    pub date: Option<Date>,
    /// The cautions in force, as the venue names them, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cautions: Vec<String>,
}

impl Notice {
    /// Combines the notices in force; returns `None` if there are none.
    pub fn of(warning: bool, delisting: Option<Date>, cautions: &[String]) -> Option<Self> {
        let kind = match (delisting, warning) {
            (Some(_), _) => NoticeKind::Delisting,
            (None, true) => NoticeKind::Warning,
            (None, false) if !cautions.is_empty() => NoticeKind::Caution,
            (None, false) => return None,
        };
        Some(Self { kind, date: delisting, cautions: cautions.to_vec() })
    }
}

fn day<S: Serializer>(date: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
    match date {
        Some(date) => serializer.collect_str(date),
        None => serializer.serialize_none(),
    }
}
