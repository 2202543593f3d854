//! What an exchange adapter is: its facts, and the traits that translate its messages.

use std::time::Duration;

use rust_decimal::Decimal;

use super::json::{ParseError, Rejection};
use crate::feed::{Listing, UNKNOWN_NAME};
use crate::market::{Candle, Market, Minute, Price, Ticker, VenueId};

/// Facts about a venue, as data; constant while the program runs.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The id in lower case.
    pub id: VenueId,
    /// Base of the REST API, without a slash at the end.
    pub rest: &'static str,
    /// The WebSocket URL.
    pub stream: &'static str,
    /// Quote currencies, each listed before those that are quoted in it. A market with one of them as base, and
    /// none that is listed earlier as quote, is likely written the wrong way round.
    pub quotes: &'static [&'static str],
    /// How the connection is kept open.
    pub keepalive: Keepalive,
    /// A connection without usable tickers for this long is checked by REST, and closed if it missed a trade or the
    /// check fails.
    pub silence_max: Duration,
    /// A market not confirmed for this long is stale.
    pub stale_after: Duration,
    /// The stream may report a price this long after REST does; zero if it reports each trade.
    pub lag: Duration,
    /// The venue closes connections of this age; a new one is opened before that.
    pub lifetime: Option<Duration>,
    /// Maximum number of markets on one connection.
    pub markets_per_connection: usize,
    /// How many frames may be sent over one connection.
    pub frames: &'static [Rate],
    /// How many connections may be opened to the stream's host.
    pub connects: &'static [Rate],
    /// Request limits by group; a request names the groups that it counts towards.
    pub limits: &'static [Limit],
    /// Maximum number of markets in one ticker request.
    pub markets_per_request: usize,
    /// Maximum number of candles in one request.
    pub candles_per_request: usize,
    /// Whether a minute without a trade has a candle, flat and with zero volume. If so, a missing candle proves
    /// nothing.
    pub has_quiet_candles: bool,
    /// How many of the newest minutes have candles, the running one included; `None` if all that we need have.
    pub minutes_kept: Option<i64>,
    /// Whether its tickers contain the time of the trade, and not only that of the message.
    pub has_trade_times: bool,
    /// Whether a market must have been in a market list before it is read: for a venue with names of its own, whose
    /// list shows what they stand for.
    pub needs_list: bool,
}

/// How a venue requires a connection to be kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keepalive {
    /// We send a protocol ping this often.
    Ping(Duration),
    /// We send this text this often.
    Text(&'static str, Duration),
    /// The venue pings, and pongs are sent automatically. Without a ping for this long, the connection is lost.
    ServerPings(Duration),
}

impl Keepalive {
    /// Returns it with its interval within `min` and `max`.
    pub fn clamp(self, min: Duration, max: Duration) -> Self {
        match self {
            Self::Ping(every) => Self::Ping(every.clamp(min, max)),
            Self::Text(text, every) => Self::Text(text, every.clamp(min, max)),
            Self::ServerPings(within) => Self::ServerPings(within.clamp(min, max)),
        }
    }
}

/// At most `units` in any `window`.
///
/// These are the documented limits; ingest uses half of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Units per window.
    pub units: u32,
    /// The window.
    pub window: Duration,
}

impl Rate {
    /// Returns a limit of `units` per second.
    pub const fn per_second(units: u32) -> Self {
        Self { units, window: Duration::from_secs(1) }
    }

    /// Returns a limit of `units` per minute.
    pub const fn per_minute(units: u32) -> Self {
        Self { units, window: Duration::from_secs(60) }
    }

    /// Returns the same rate over a window that is long enough for `units`: 1 per second is 4 per 4 s.
    pub fn widened_to(self, units: u32) -> Self {
        let factor = units.div_ceil(self.units.max(1)).max(1);
        Self { units: self.units.saturating_mul(factor), window: self.window.saturating_mul(factor) }
    }
}

/// A request budget, shared by all requests of `group`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The group's name.
    pub group: &'static str,
    /// All of these hold.
    pub rates: &'static [Rate],
}

/// A query to a venue's REST API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestQuery<'a> {
    /// All listed markets.
    Markets,
    /// The tickers of these markets; at most [`Profile::markets_per_request`].
    Tickers(&'a [Market]),
    /// The tick sizes of these markets, where the market list does not contain them; at most
    /// [`Profile::markets_per_request`].
    TickSizes(&'a [Market]),
    /// The newest minute candles of a market before the minute `end`; at most `count`.
    Candles {
        /// The market.
        market: &'a Market,
        /// The first minute not included.
        end: Minute,
        /// Maximum number of candles; at most [`Profile::candles_per_request`].
        count: usize,
    },
}

/// A request, complete except for the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query, to be appended to [`Profile::rest`].
    pub path: String,
    /// What it costs: units of each [`Limit::group`] that it counts towards, each named once; at most a quarter of
    /// a limit, or one unit.
    pub costs: Vec<(&'static str, u32)>,
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST without a body.
    Post,
}

impl Request {
    /// Returns a GET request that costs `weight` units of `group`.
    pub fn get(path: impl Into<String>, group: &'static str, weight: u32) -> Self {
        Self { method: Method::Get, path: path.into(), costs: vec![(group, weight)] }
    }
}

/// How the URL of a stream is found.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// It is always that of the settings, by default [`Profile::stream`].
    Fixed,
    /// The venue gives it out by REST, for one connection.
    Negotiated {
        /// The request.
        request: Request,
        /// Parses the body of its response.
        read: fn(&str) -> Result<Opening, ParseError>,
    },
}

/// The response to a request for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The URL, with everything that the connection needs to be accepted.
    pub url: String,
    /// How this connection is kept open, if not by [`Profile::keepalive`].
    pub keepalive: Option<Keepalive>,
}

/// The parsed body of a response.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// Response to [`RestQuery::Markets`].
    Markets {
        /// The markets, or why a row can't be used.
        listings: Vec<Result<Listing, RejectedListing>>,
        /// Optional fields that can't be parsed, with their market; their rows are used without them.
        ignored_fields: Vec<(Market, Rejection)>,
    },
    /// Response to [`RestQuery::Tickers`].
    Tickers(Vec<TickerRecord>),
    /// Response to [`RestQuery::TickSizes`], by symbol.
    TickSizes(Vec<(String, Result<Decimal, Rejection>)>),
    /// Response to [`RestQuery::Candles`]: oldest first, without duplicates, all before `end`.
    ///
    /// Always complete, or else an error: a missing row would look like a minute without a trade.
    Candles(Vec<Candle>),
}

/// One ticker record of a message: its symbol, and the ticker or why it can't be used.
#[derive(Debug, Clone, PartialEq)]
pub struct TickerRecord {
    /// The venue's symbol; ingest maps it to the market.
    pub symbol: String,
    /// The ticker.
    pub ticker: Result<Ticker, Rejection>,
    /// Optional fields that can't be parsed; the ticker is used without them.
    pub ignored_fields: Vec<Rejection>,
}

impl TickerRecord {
    /// Combines a symbol, if it can be parsed, with its ticker.
    pub(super) fn new(
        symbol: Result<String, Rejection>,
        ticker: impl FnOnce(&mut Vec<Rejection>) -> Result<Ticker, Rejection>,
    ) -> Self {
        let mut ignored_fields = Vec::new();
        match symbol {
            Ok(symbol) => {
                let ticker = ticker(&mut ignored_fields);
                Self { symbol, ticker, ignored_fields }
            }
            Err(rejection) => Self::unreadable(rejection),
        }
    }

    /// Returns a record whose symbol is unknown too.
    pub(super) fn unreadable(rejection: Rejection) -> Self {
        Self { symbol: String::new(), ticker: Err(rejection), ignored_fields: Vec::new() }
    }
}

/// Returns an optional field, or records in `ignored_fields` that it can't be parsed.
///
/// Only the symbol, the price and the time that orders it may invalidate a record.
pub(super) fn optional_field<T>(
    parsed: Result<Option<T>, Rejection>,
    ignored_fields: &mut Vec<Rejection>,
) -> Option<T> {
    parsed.unwrap_or_else(|rejection| {
        ignored_fields.push(rejection);
        None
    })
}

/// Returns the markets of `markets` that are not in `other`.
pub(super) fn without<'a>(markets: &'a [Market], other: &'a [Market]) -> impl Iterator<Item = &'a Market> {
    markets.iter().filter(|market| !other.contains(market))
}

/// The code for a value that contradicts the rest of its record.
pub(super) const CONTRADICTION: &str = "contradiction";

/// Removes 24-hour figures that contradict their own record: a high or low on the wrong side of the last price, and
/// a price of 24 hours ago outside the range since then.
///
/// `fields` are the field names of the high, the low and that price.
pub(super) fn drop_contradictions(
    mut ticker: Ticker,
    fields: [&'static str; 3],
    ignored_fields: &mut Vec<Rejection>,
) -> Ticker {
    let [high, low, base] = fields;
    let last = ticker.last;
    let mut check = |figure: &mut Option<Price>, field, is_consistent: &dyn Fn(Price) -> bool| {
        if let Some(odd) = figure.take_if(|figure| !is_consistent(*figure)) {
            ignored_fields.push(Rejection {
                excerpt: format!("{odd}, but the last price is {last}"),
                ..Rejection::new(field, CONTRADICTION)
            });
        }
    };
    check(&mut ticker.high_24h, high, &|high| high >= last);
    check(&mut ticker.low_24h, low, &|low| low <= last);
    let (highest, lowest) = (ticker.high_24h, ticker.low_24h);
    let is_within = |base| highest.is_none_or(|high| base <= high) && lowest.is_none_or(|low| base >= low);
    check(&mut ticker.base_24h, base, &is_within);
    ticker
}

/// One parsed frame of the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// Ticker records.
    Tickers(Vec<TickerRecord>),
    /// An acknowledgement, a status or a heartbeat: the peer is alive, but no price is confirmed.
    Reply(String),
    /// The venue refused something that we sent.
    Refused(String),
    /// The venue refused to stream a market.
    RefusedMarket {
        /// The venue's symbol of the market.
        symbol: String,
        /// What it said.
        message: String,
    },
    /// The venue expects these texts in return.
    Send(Vec<String>),
    /// The venue asks us to reconnect.
    Reconnect(String),
    /// A message of an unknown type, or one that we did not request; it is counted.
    Unknown(String),
}

/// A rejected row of a market list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rejection}")]
pub struct RejectedListing {
    /// The symbol, if it can be parsed.
    pub symbol: Option<String>,
    /// Why the row is rejected.
    pub rejection: Rejection,
    /// Whether the symbol stands for other assets than we take it for: its prices are those of another market.
    pub is_other_asset: bool,
}

impl RejectedListing {
    /// Creates the rejection of a row that can't be used; its market may still be listed.
    pub fn new(symbol: impl Into<String>, rejection: Rejection) -> Self {
        Self { symbol: Some(symbol.into()), rejection, is_other_asset: false }
    }

    /// Creates the rejection of a row whose `field` shows that the symbol means other assets; `excerpt` is the venue's
    /// text.
    pub fn other_asset(symbol: impl Into<String>, field: &'static str, excerpt: impl Into<String>) -> Self {
        let rejection = Rejection { field, problem: UNKNOWN_NAME, excerpt: excerpt.into() };
        Self { is_other_asset: true, ..Self::new(symbol, rejection) }
    }
}

impl From<Rejection> for RejectedListing {
    fn from(rejection: Rejection) -> Self {
        Self { symbol: None, rejection, is_other_asset: false }
    }
}

/// An exchange adapter.
pub trait Venue: Send + Sync {
    /// Returns the facts about the venue.
    fn profile(&self) -> &Profile;

    /// Returns the venue's symbol of a market.
    fn symbol(&self, market: &Market) -> String;

    /// Returns how the URL of a stream is found.
    fn endpoint(&self) -> Endpoint {
        Endpoint::Fixed
    }

    /// Returns the session of a new connection.
    fn session(&self) -> Box<dyn Session>;

    /// Encodes a query as a request; returns `None` if the venue does not support it.
    fn request(&self, query: &RestQuery<'_>) -> Option<Request>;

    /// Parses the body of a response to a query: of a 200, or of an HTTP error that
    /// may contain the venue's own error.
    ///
    /// # Errors
    /// [`ParseError`] if the whole response can't be used; single records are
    /// rejected within the response.
    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError>;
}

/// Our side of one connection: what it must remember of the connection, such as the ids of its channels.
pub trait Session: Send + Sync {
    /// Returns the frames that make the connection deliver tickers for exactly `markets`.
    ///
    /// `current` are the markets that the connection is subscribed to (none on a new
    /// one): some venues replace the whole list, others add and remove. Where
    /// the whole list is replaced, it can't become empty: without markets there
    /// is no frame, and the connection is closed instead.
    fn subscribe(&mut self, markets: &[Market], current: &[Market]) -> Vec<String>;

    /// Parses one frame.
    ///
    /// # Errors
    /// [`ParseError::Payload`] if it is not a message of this venue.
    fn parse(&mut self, text: &str) -> Result<Incoming, ParseError>;
}

/// Session of a venue whose frames can be parsed without knowing earlier ones.
#[derive(Debug, Clone, Copy)]
pub struct Stateless {
    /// See [`Session::subscribe`].
    pub subscribe: fn(&[Market], &[Market]) -> Vec<String>,
    /// See [`Session::parse`].
    pub parse: fn(&str) -> Result<Incoming, ParseError>,
}

impl Session for Stateless {
    fn subscribe(&mut self, markets: &[Market], current: &[Market]) -> Vec<String> {
        (self.subscribe)(markets, current)
    }

    fn parse(&mut self, text: &str) -> Result<Incoming, ParseError> {
        (self.parse)(text)
    }
}
