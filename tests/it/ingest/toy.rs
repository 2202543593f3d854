//! A venue with a small JSON protocol. `server` serves it, `bench` runs ingest against it.

pub use super::bench::*;
pub use super::server::*;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use sisepan::clock::Clock;
use sisepan::feed::Listing;
use sisepan::market::{Candle, Market, Minute, Price, Ticker};
use sisepan::venue::{
    Incoming, Keepalive, Limit, ParseError, Profile, Rate, RejectedListing, Rejection, Request, Response, RestQuery,
    Session, Stateless, TickerRecord, Venue,
};

/// Longest wait for any condition in these tests.
pub const WAIT_MAX: Duration = Duration::from_secs(40);

pub const LIMITS: &[Limit] = &[
    Limit { group: "all", rates: &[Rate::per_second(2000)] },
    Limit { group: "candle", rates: &[Rate::per_second(200)] },
];

pub struct Toy(pub Profile);

impl Toy {
    pub fn profile() -> Profile {
        Profile {
            id: "toy".parse().unwrap(),
            rest: "http://127.0.0.1:1",
            stream: "ws://127.0.0.1:1",
            quotes: &[],
            keepalive: Keepalive::Ping(Duration::from_secs(20)),
            silence_max: Duration::from_millis(400),
            stale_after: Duration::from_secs(5),
            lag: Duration::ZERO,
            lifetime: None,
            markets_per_connection: 100,
            frames: const { &[Rate::per_second(2000)] },
            connects: const { &[Rate::per_second(2000)] },
            limits: LIMITS,
            markets_per_request: 50,
            candles_per_request: 10,
            has_quiet_candles: false,
            minutes_kept: None,
            has_trade_times: true,
            needs_list: false,
        }
    }

    pub fn leak(profile: Profile) -> &'static dyn Venue {
        Box::leak(Box::new(Self(profile)))
    }
}

pub fn payload(text: &str) -> Result<Value, ParseError> {
    serde_json::from_str(text).map_err(|error| ParseError::Payload(error.to_string()))
}

fn records(value: &Value) -> Vec<TickerRecord> {
    let read = |item: &Value| {
        let bad = Rejection::new("p", "missing");
        let price = item["p"].as_str().ok_or(bad.clone()).and_then(|p| p.parse::<Price>().map_err(|_| bad));
        let late = item["late"].as_i64().map(SignedDuration::from_secs);
        let sent_at = late.map(|late| Clock::system().now() - late);
        let ticker = price.map(|last| Ticker { trade_id: item["n"].as_u64(), sent_at, ..Ticker::new(last) });
        TickerRecord { symbol: item["s"].as_str().unwrap_or_default().to_owned(), ticker, ignored_fields: Vec::new() }
    };
    value.as_array().into_iter().flatten().map(read).collect()
}

impl Venue for Toy {
    fn profile(&self) -> &Profile {
        &self.0
    }

    fn symbol(&self, market: &Market) -> String {
        symbol(market)
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(Stateless { subscribe, parse })
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        let (path, group) = match query {
            RestQuery::Markets => ("/markets".to_owned(), "all"),
            RestQuery::Tickers(markets) => {
                let symbols: Vec<_> = markets.iter().map(symbol).collect();
                (format!("/tickers?s={}", symbols.join(",")), "all")
            }
            RestQuery::TickSizes(_) => return None,
            RestQuery::Candles { market, end, count } => {
                (format!("/candles?s={}&end={}&count={count}", symbol(market), end.0), "candle")
            }
        };
        Some(Request::get(path, group, 1))
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        let value = payload(body)?;
        assert!(!value["boom"].is_boolean(), "the toy panics on this response, as requested");
        if value["error"] == "too many" {
            return Err(ParseError::RateLimited { code: "too many".to_owned(), message: "toy".to_owned() });
        }
        if let Some(code) = value["error"].as_str() {
            return Err(ParseError::Refused { code: code.to_owned(), message: "toy".to_owned() });
        }
        let field = |name: &str| {
            value[name].as_array().cloned().ok_or_else(|| ParseError::Payload(format!("no member {name}")))
        };
        Ok(match query {
            RestQuery::Markets => {
                let listings = field("markets")?.iter().map(listing).collect();
                Response::Markets { listings, ignored_fields: Vec::new() }
            }
            RestQuery::Tickers(_) => Response::Tickers(records(&Value::Array(field("tickers")?))),
            RestQuery::TickSizes(_) => unreachable!("the toy has no such request"),
            RestQuery::Candles { .. } => Response::Candles(field("candles")?.iter().map(candle).collect()),
        })
    }
}

pub fn symbol(market: &Market) -> String {
    market.base().to_lowercase()
}

fn subscribe(markets: &[Market], subscribed: &[Market]) -> Vec<String> {
    let one = |verb: &str, market: &Market| json!({verb: [symbol(market)]}).to_string();
    let off = subscribed.iter().filter(|market| !markets.contains(market)).map(|market| one("unsub", market));
    let on = markets.iter().filter(|market| !subscribed.contains(market)).map(|market| one("sub", market));
    off.chain(on).collect()
}

pub fn parse(text: &str) -> Result<Incoming, ParseError> {
    let value = payload(text)?;
    assert!(!value["boom"].is_boolean(), "the toy panics on this frame, as requested");
    Ok(if value["t"].is_array() {
        Incoming::Tickers(records(&value["t"]))
    } else if value["bye"].is_string() {
        Incoming::Reconnect("bye".to_owned())
    } else if value["no"].is_string() {
        Incoming::Refused("no".to_owned())
    } else if value["ok"].is_boolean() {
        Incoming::Reply("ok".to_owned())
    } else {
        Incoming::Unknown("other".to_owned())
    })
}

fn listing(value: &Value) -> Result<Listing, RejectedListing> {
    // A name, or `{"s": name, "of": another base, "halted": true}`; `{"s": name, "other": true}` is another asset.
    let symbol = value.as_str().or(value["s"].as_str()).unwrap_or_default().to_owned();
    let market = Market::new(&value["of"].as_str().unwrap_or(&symbol).to_uppercase(), "KRW");
    let market = market.map_err(|_| Rejection::new("symbol", "symbol"))?;
    if value["other"] == true {
        return Err(RejectedListing::other_asset(symbol, "symbol", "another"));
    }
    Ok(Listing { halted: value["halted"] == true, ..Listing::new(symbol, market) })
}

fn candle(value: &Value) -> Candle {
    let close: Price = value[1].as_str().unwrap().parse().unwrap();
    let minute = Minute(value[0].as_i64().unwrap());
    Candle { minute, open: close, high: close, low: close, close, base_volume: None, quote_volume: None }
}
