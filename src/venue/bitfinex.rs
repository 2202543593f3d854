//! Bitfinex spot: markets in USD, USDT, EUR, BTC and others.
//!
//! Pitfalls: a frame of data names its channel by a number that is valid for one connection; a channel is closed by that
//! number too; no ticker has a time; rows are arrays; names longer than three letters are separated by a colon
//! (`tMATIC:USD`), and Bitfinex has its own names for some assets (`UST` is USDT). Its daily figures are not used:
//! whether their day is a rolling one is not documented.
//!
//! Source: docs.bitfinex.com (ws-general, ws-public-ticker, rest-public-tickers, rest-public-candles), recorded frames of
//! 2019 and later. The limits and the table of names have not been checked against it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::adapter::{
    Incoming, Keepalive, Limit, Profile, Rate, RejectedListing, Request, Response, RestQuery, Session, TickerRecord,
    Venue,
};
use super::aliases::Aliases;
use super::candles;
use super::json::{self, ParseError, RawMember, Rejection, Shape, payload_error, rejection};
use crate::feed::{Listing, UNKNOWN_NAME, quoted};
use crate::market::{Candle, Market, Ticker, VenueId};

/// The exchange.
#[derive(Debug)]
pub struct Bitfinex;

static PROFILE: Profile = Profile {
    id: VenueId("bitfinex"),
    rest: "https://api-pub.bitfinex.com",
    stream: "wss://api-pub.bitfinex.com/ws/2",
    quotes: &["EUR", "GBP", "JPY", "TRY", "USD", "USDT", "BTC", "ETH"],
    keepalive: Keepalive::Text(r#"{"event":"ping"}"#, Duration::from_secs(20)),
    silence_max: Duration::from_secs(15),
    stale_after: Duration::from_secs(30),
    lag: Duration::ZERO,
    lifetime: None,
    // Channels of one connection.
    markets_per_connection: 25,
    // Not documented.
    frames: &[Rate::per_second(10)],
    connects: &[Rate::per_minute(20)],
    // 10 to 90 requests per minute and address, depending on the path.
    limits: &[
        Limit { group: "conf", rates: &[Rate::per_minute(10)] },
        Limit { group: "tickers", rates: &[Rate::per_minute(30)] },
        Limit { group: "candles", rates: &[Rate::per_minute(30)] },
    ],
    // No documented limit; this keeps the URL at about a kilobyte.
    markets_per_request: 100,
    candles_per_request: 10_000,
    has_quiet_candles: false,
    minutes_kept: None,
    has_trade_times: false,
    needs_list: true,
};

/// Bitfinex's names of assets and ours. The market list has Bitfinex's own table, `pub:map:currency:sym`; a market
/// whose names stand for other assets there is not used.
const ALIASES: Aliases = Aliases(&[
    ("ALG", "ALGO"),
    ("AMP", "AMPL"),
    ("ATO", "ATOM"),
    ("BCHABC", "XEC"),
    ("BCHN", "BCH"),
    ("DAT", "DATA"),
    ("DOG", "MDOGE"),
    ("DSH", "DASH"),
    ("EDO", "PNT"),
    ("EUS", "EURS"),
    ("EUT", "EURT"),
    ("GNT", "GLM"),
    ("IOT", "IOTA"),
    ("LBT", "LBTC"),
    ("MNA", "MANA"),
    ("OMN", "OMNI"),
    ("PAS", "PASS"),
    ("POY", "POLY"),
    ("QSH", "QASH"),
    ("QTM", "QTUM"),
    ("RBT", "RBTC"),
    ("SNG", "SNGLS"),
    ("SPK", "SPANK"),
    ("STJ", "STORJ"),
    ("TSD", "TUSD"),
    ("UDC", "USDC"),
    ("UST", "USDT"),
    ("VSY", "VSYS"),
    ("WBT", "WBTC"),
    ("XCH", "XCHF"),
    ("YGG", "YEED"),
    ("YYW", "YOYOW"),
    ("ZBT", "ZB"),
]);

impl Venue for Bitfinex {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn symbol(&self, market: &Market) -> String {
        symbol(market)
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(BitfinexSession::default())
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        let (path, group) = match query {
            RestQuery::Markets => ("/v2/conf/pub:list:pair:exchange,pub:map:currency:sym".to_owned(), "conf"),
            // Prices have five significant digits, whatever the market.
            RestQuery::TickSizes(_) | RestQuery::Tickers([]) => return None,
            RestQuery::Tickers(markets) => {
                let symbols: Vec<String> = markets.iter().map(encode).collect();
                (format!("/v2/tickers?symbols={}", symbols.join(",")), "tickers")
            }
            // Without a start, these are the newest candles up to the end, which is inclusive.
            RestQuery::Candles { market, end, count } => {
                let (end, limit) = (end.start().as_millisecond() - 1, (*count).min(PROFILE.candles_per_request));
                (format!("/v2/candles/trade:1m:{}/hist?end={end}&limit={limit}", encode(market)), "candles")
            }
        };
        Some(Request::get(path, group, 1))
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        let rows = json::list(body)?;
        if let [kind, code, message] = rows.as_slice()
            && kind.get() == r#""error""#
        {
            let (code, message) = (RawMember::of(code).lossy_text(), RawMember::of(message).lossy_text());
            return Err(match code.as_str() {
                "11010" => ParseError::RateLimited { code, message },
                _ => ParseError::Refused { code, message },
            });
        }
        match query {
            RestQuery::Markets => listings(&rows),
            RestQuery::Tickers(_) => Ok(Response::Tickers(rows.into_iter().filter_map(row).collect())),
            RestQuery::TickSizes(_) => Err(payload_error("unsupported query")),
            RestQuery::Candles { end, .. } => candles::parse(&rows, *end, candle).map(Response::Candles),
        }
    }
}

/// Formats a market as the symbol `tBTCUSD` or, with a name longer than three letters, `tMATIC:USD`.
fn symbol(market: &Market) -> String {
    let (base, quote) = (ALIASES.own(market.base()), ALIASES.own(market.quote()));
    let separator = if base.len() > 3 || quote.len() > 3 { ":" } else { "" };
    format!("t{base}{separator}{quote}")
}

fn encode(market: &Market) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(symbol(market).as_bytes()).collect();
    encoded.replace("%3A", ":")
}

/// Splits a pair without its `t` into Bitfinex's names of the assets: `BTCUSD`, `MATIC:USD`.
fn split_pair(pair: &str) -> Option<(&str, &str)> {
    match pair.split_once(':') {
        Some((_, quote)) if quote.contains(':') => None,
        Some(parts) => Some(parts),
        None if pair.len() == 6 => pair.split_at_checked(3),
        None => None,
    }
}

/// A connection: its channels by number.
#[derive(Debug, Default)]
struct BitfinexSession {
    channels: BTreeMap<u64, String>,
    /// The symbols that should be subscribed to.
    wanted: BTreeSet<String>,
}

impl Session for BitfinexSession {
    /// Frames add and remove channels. A channel whose number is not known yet is closed once it is.
    fn subscribe(&mut self, markets: &[Market], current: &[Market]) -> Vec<String> {
        let symbols = |markets: &[Market]| -> BTreeSet<String> { markets.iter().map(symbol).collect() };
        let (wanted, current) = (symbols(markets), symbols(current));
        // A channel that is requested again although it is open must be closed first.
        let is_kept = |symbol: &String| wanted.contains(symbol) && current.contains(symbol);
        let removed = self.channels.extract_if(.., |_, symbol| !is_kept(symbol));
        let off: Vec<String> = removed.map(|(channel, _)| unsubscribe(channel)).collect();
        let on = wanted.difference(&current).map(|symbol| {
            serde_json::json!({ "event": "subscribe", "channel": "ticker", "symbol": symbol }).to_string()
        });
        let frames = off.into_iter().chain(on).collect();
        self.wanted = wanted;
        frames
    }

    fn parse(&mut self, text: &str) -> Result<Incoming, ParseError> {
        if json::shape(text)? == Shape::Array {
            return self.data(&json::list(text)?);
        }
        let event: Event<'_> = json::object(text)?;
        Ok(match event.event.lossy_text().as_str() {
            "subscribed" => self.subscribed(&event),
            "unsubscribed" => {
                if let Ok(Some(channel)) = event.channel_id.optional_count("chanId") {
                    self.channels.remove(&channel);
                }
                Incoming::Reply("a channel is closed".to_owned())
            }
            "info" => info(&event),
            "pong" => Incoming::Reply("pong".to_owned()),
            "error" => self.error(&event),
            other => Incoming::Unknown(other.to_owned()),
        })
    }
}

fn unsubscribe(channel: u64) -> String {
    serde_json::json!({ "event": "unsubscribe", "chanId": channel }).to_string()
}

impl BitfinexSession {
    /// Parses `[chanId,[10 values]]` or `[chanId,"hb"]`.
    fn data(&self, frame: &[&RawValue]) -> Result<Incoming, ParseError> {
        let &[channel, content, ..] = frame else { return Err(payload_error("expected a channel and its data")) };
        let unreadable = |rejection: Rejection| payload_error(rejection.describe());
        let channel = RawMember::of(channel).optional_count("chanId").map_err(unreadable)?;
        if content.get() == r#""hb""# {
            return Ok(Incoming::Reply("heartbeat".to_owned()));
        }
        let Some(symbol) = channel.and_then(|channel| self.channels.get(&channel)) else {
            // The last data of a channel that has just been closed, or that we never opened.
            return Ok(Incoming::Reply("data of no open channel".to_owned()));
        };
        let record = match json::cells(content) {
            Ok(figures) => TickerRecord::new(Ok(symbol.clone()), |_| ticker(&figures)),
            Err(_) => TickerRecord::new(Ok(symbol.clone()), |_| Err(rejection("record", "type"))),
        };
        Ok(Incoming::Tickers(vec![record]))
    }

    fn subscribed(&mut self, event: &Event<'_>) -> Incoming {
        let (channel, symbol) = (event.channel_id.optional_count("chanId"), event.symbol.symbol("symbol"));
        let (Ok(Some(channel)), Ok(symbol)) = (channel, symbol) else {
            return Incoming::Unknown("subscribed".to_owned());
        };
        if !self.wanted.contains(&*symbol) {
            return Incoming::Send(vec![unsubscribe(channel)]);
        }
        let reply = Incoming::Reply(format!("subscribed to {symbol}"));
        self.channels.insert(channel, symbol.into_owned());
        reply
    }

    fn error(&self, event: &Event<'_>) -> Incoming {
        let code = event.code.lossy_text();
        let message = format!("{code}: {}", event.msg.lossy_text());
        // "subscribe: dup": the channel is open already.
        if code == "10301" {
            return Incoming::Reply(message);
        }
        let pair = event.pair.symbol("pair").map(|pair| format!("t{pair}"));
        match event.symbol.symbol("symbol").map(Into::into).or(pair) {
            Ok(symbol) => Incoming::RefusedMarket { symbol, message },
            Err(_) => Incoming::Refused(message),
        }
    }
}

/// A frame that is not data.
///
/// Examples: `{"event":"info","version":2,"serverId":"…","platform":{"status":1}}`,
/// `{"event":"subscribed","channel":"ticker","chanId":264867,"symbol":"tBTCUSD","pair":"BTCUSD"}`,
/// `{"channel":"ticker","pair":"BTCUSD","event":"error","msg":"subscribe: dup","code":10301}`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Event<'a> {
    event: RawMember<'a>,
    #[serde(rename = "chanId")]
    channel_id: RawMember<'a>,
    symbol: RawMember<'a>,
    pair: RawMember<'a>,
    msg: RawMember<'a>,
    code: RawMember<'a>,
    platform: RawMember<'a>,
}

fn info(event: &Event<'_>) -> Incoming {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Platform<'a> {
        status: RawMember<'a>,
    }
    match event.code.lossy_text().as_str() {
        "20051" => return Incoming::Reconnect("the server is about to restart".to_owned()),
        "20060" => return Incoming::Refused("maintenance has begun".to_owned()),
        // Channels are silent until they are opened again.
        "20061" => return Incoming::Reconnect("maintenance is over".to_owned()),
        _ => {}
    }
    let platform = event.platform.non_null().and_then(|raw| json::record::<Platform<'_>>(raw).ok());
    match platform.map(|platform| platform.status.lossy_text()).as_deref() {
        Some("0") => Incoming::Refused("the platform is in maintenance".to_owned()),
        _ => Incoming::Reply("info".to_owned()),
    }
}

/// Parses the figures of a ticker: bid, its size, ask, its size, change of the day, the same relative, last price,
/// volume, high, low of the day.
fn ticker(figures: &[&RawValue]) -> Result<Ticker, Rejection> {
    let &[_, _, _, _, _, _, last, _, _, _] = figures else { return Err(rejection("record", "type")) };
    Ok(Ticker::new(RawMember::of(last).price("last")?))
}

/// Parses a row of `/v2/tickers`, which begins with its symbol; `None` for a funding currency (`fUSD`).
fn row(raw: &RawValue) -> Option<TickerRecord> {
    let Ok(row) = json::cells(raw) else {
        return Some(TickerRecord::unreadable(rejection("record", "type")));
    };
    let Some((symbol, figures)) = row.split_first() else {
        return Some(TickerRecord::unreadable(rejection("record", "type")));
    };
    let symbol = RawMember::of(symbol).symbol("symbol").map(String::from);
    let is_funding = symbol.as_ref().is_ok_and(|symbol| symbol.starts_with('f'));
    (!is_funding).then(|| TickerRecord::new(symbol, |_| ticker(figures)))
}

/// Parses `[["BTCUSD","MATIC:USD",…],[["UST","USDt"],…]]`: the pairs, and what Bitfinex's names of assets stand for.
fn listings(rows: &[&RawValue]) -> Result<Response, ParseError> {
    let &[pairs, names] = rows else { return Err(payload_error("expected the pairs and the names of assets")) };
    let (pairs, names) = (json::list(pairs.get())?, json::list(names.get())?);
    if pairs.is_empty() {
        return Err(payload_error("it is an empty list of markets"));
    }
    // Without the whole table, a name of another asset would pass for ours.
    let named = |raw: &RawValue| match json::cells(raw).ok()?.as_slice() {
        &[own, name, ..] => {
            let [own, name] = [own, name].map(|raw| RawMember::of(raw).lossy_text());
            Some((own, name.to_ascii_uppercase()))
        }
        _ => None,
    };
    let names: Option<BTreeMap<String, String>> = names.into_iter().map(named).collect();
    let names = names.filter(|names| !names.is_empty());
    let names = names.ok_or_else(|| payload_error("the table of the names of assets is empty or unreadable"))?;
    // A name that Bitfinex gives to another asset than we do would show the price of another coin.
    let other =
        |own: &str| names.get(own).filter(|name| *name != ALIASES.ours(own)).map(|name| format!("{own} is {name}"));
    // The table has only names that differ from the usual ones, so each of our aliases must be in it.
    let is_unconfirmed = |own: &str| !names.contains_key(own) && ALIASES.ours(own) != own;
    let listing = |raw: &RawValue| -> Result<Listing, RejectedListing> {
        let member = RawMember::of(raw);
        let pair = member.symbol("pair")?;
        let symbol = format!("t{pair}");
        let rejected = |problem| RejectedListing::new(symbol.clone(), member.rejection("pair", problem));
        let (base, quote) = split_pair(&pair).ok_or_else(|| rejected("symbol"))?;
        if let Some(other) = other(base).or_else(|| other(quote)) {
            return Err(RejectedListing::other_asset(symbol, "pair", quoted(&other)));
        }
        if is_unconfirmed(base) || is_unconfirmed(quote) {
            return Err(rejected(UNKNOWN_NAME));
        }
        let market = Market::new(ALIASES.ours(base), ALIASES.ours(quote)).map_err(|_| rejected("symbol"))?;
        Ok(Listing::new(symbol, market))
    };
    Ok(Response::Markets { listings: pairs.into_iter().map(listing).collect(), ignored_fields: Vec::new() })
}

/// Parses `[start in ms, open, close, high, low, volume]`; the close comes second.
fn candle(raw: &RawValue) -> Result<Candle, Rejection> {
    let row = json::cells(raw)?;
    let &[start, open, close, high, low, volume] = row.as_slice() else { return Err(rejection("record", "type")) };
    candles::checked(Candle {
        minute: candles::minute("time", RawMember::of(start).optional_time("time")?)?,
        open: RawMember::of(open).price("open")?,
        high: RawMember::of(high).price("high")?,
        low: RawMember::of(low).price("low")?,
        close: RawMember::of(close).price("close")?,
        base_volume: RawMember::of(volume).optional_volume("volume").unwrap_or_default(),
        quote_volume: None,
    })
}
