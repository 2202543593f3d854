//! KuCoin: the token for a stream, market list, tickers, candles, snapshots.
//!
//! Changes are over rolling 24 hours, as fractions; candles come newest first, in seconds, and minutes without trades are
//! left out. Source: kucoin.com/docs, payloads of 2022-06 to 2026-09. Assumed: the message of an unknown symbol, and that
//! one unknown symbol refuses the whole topic.

use std::time::Duration;

use serde_json::Value;

use crate::connection_policy::ConnectionPolicy;
use crate::fake_venue::{FakeVenue, RestRequest};
use crate::fault_view::FaultView;
use crate::json::{Object, RowShape, array, json_string};
use crate::limits::{Charge, CountedRequest, Limit, Refusal, Usage, Window};
use crate::listing::Listing;
use crate::query::RequestTarget;
use crate::response::FakeResponse;
use crate::session::{Session, Step};
use crate::simulated_market::SimulatedMarket;
use crate::subscriptions::Subscriptions;
use crate::ticker_figures::{DAY, TickerFigures};
use crate::units::{fixed8, plain, plain8, ratio};

/// The fake KuCoin.
#[derive(Debug)]
pub struct KuCoin;

const ID: &str = "kucoin";

/// Maximum number of candles of a response.
const CANDLES_MAX: usize = 1500;

/// Maximum number of symbols in a topic.
const SYMBOLS_MAX: usize = 100;

/// Time between two snapshots of a market, in ms.
const SNAPSHOT_EVERY: i64 = 2_000;

/// The interval in which clients must ping, in ms.
const PING_INTERVAL: u64 = 18_000;

const TOPIC: &str = "/market/snapshot:";
const NO_BAN: Duration = Duration::ZERO;
const REQUESTS: Limit = Limit { windows: &[Window::aligned(2000, 30)], ban: NO_BAN, ban_status: 429 };
const CONNECTIONS: Limit = Limit { windows: &[Window::from_first(30, 60)], ban: NO_BAN, ban_status: 429 };

impl FakeVenue for KuCoin {
    fn listing(&self) -> Listing {
        Listing::in_usdt(ID, |asset| format!("{asset}-USDT"))
    }

    fn stream_path(&self) -> &'static str {
        "/endpoint"
    }

    fn accepts(&self, method: &str, target: &RequestTarget) -> bool {
        method == if target.path == "/api/v1/bullet-public" { "POST" } else { "GET" }
    }

    fn rest(&self, view: &FaultView<'_>, request: &RestRequest<'_>) -> FakeResponse {
        let target = &request.target;
        let data = match target.path.as_str() {
            "/api/v1/bullet-public" => Ok(bullet(view, request.stream_url)),
            "/api/v2/symbols" => Ok(array(view.simulation.markets_of(ID).map(listed))),
            "/api/v1/market/allTickers" => Ok(all_tickers(view)),
            "/api/v1/market/stats" => Ok(stats(view, target)),
            "/api/v1/market/candles" => candles(view, target),
            _ => return FakeResponse::json(404, error("404", "Not Found")),
        };
        match data {
            Ok(data) => FakeResponse::json(200, Object::new().text("code", "200000").raw("data", data).end()),
            Err(message) => FakeResponse::json(200, error("400100", message)),
        }
    }

    fn open(&self, path: &str, query: &str) -> Option<Box<dyn Session>> {
        let mut parameters = url::form_urlencoded::parse(query.as_bytes());
        let token = parameters.find(|(name, _)| name == "token").and_then(|(_, token)| issued_at(&token));
        let session = KuCoinSession { token, is_welcome: false, subscriptions: Subscriptions::new(SNAPSHOT_EVERY) };
        (path == self.stream_path()).then(|| Box::new(session) as Box<dyn Session>)
    }

    fn connection_policy(&self, lifetime: Duration) -> ConnectionPolicy {
        const FRAMES: &[(usize, Duration)] = &[(100, Duration::from_secs(10))];
        let idle_timeout = Duration::from_millis(PING_INTERVAL) + Duration::from_secs(10);
        ConnectionPolicy { idle_timeout, frame_limits: FRAMES, lifetime: Some(lifetime), ..ConnectionPolicy::default() }
    }

    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge> {
        let weight = match request.target.map(|target| target.path.as_str()) {
            None => return vec![Charge { limit: &CONNECTIONS, group: "connect", weight: 1 }],
            Some("/api/v1/bullet-public") => 10,
            Some("/api/v1/market/allTickers" | "/api/v1/market/stats") => 15,
            Some("/api/v2/symbols") => 4,
            Some(_) => 3,
        };
        vec![Charge { limit: &REQUESTS, group: "public", weight }]
    }

    fn limit_headers(&self, usages: &[Usage]) -> Vec<(&'static str, String)> {
        let headers = |usage: &Usage| {
            [
                ("gw-ratelimit-limit", usage.max.to_string()),
                ("gw-ratelimit-remaining", usage.max.saturating_sub(usage.used).to_string()),
            ]
        };
        usages.iter().flat_map(headers).collect()
    }

    fn refuse(&self, refusal: &Refusal) -> FakeResponse {
        let mut response = FakeResponse::json(refusal.status, error("429000", "Too Many Requests"));
        response.headers.push(("gw-ratelimit-reset".to_owned(), refusal.wait.as_millis().to_string()));
        response
    }

    fn row_shape(&self) -> RowShape {
        RowShape { lists: &["ticker", "data"], symbols: &["symbol"], index: 0 }
    }
}

fn error(code: &str, message: &str) -> String {
    Object::new().text("code", code).text("msg", message).end()
}

/// Returns the key that makes a token of this time valid: the fake needs no memory of its tokens.
fn key(issued: i64) -> u64 {
    issued
        .to_le_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns when a token was issued, in Unix ms, if it is one of ours.
fn issued_at(token: &str) -> Option<i64> {
    let (issued, rest) = token.split_once('-')?;
    let issued = issued.parse().ok()?;
    (u64::from_str_radix(rest, 16) == Ok(key(issued))).then_some(issued)
}

fn bullet(view: &FaultView<'_>, stream_url: &str) -> String {
    let server = Object::new()
        .text("endpoint", stream_url)
        .raw("encrypt", stream_url.starts_with("wss"))
        .text("protocol", "websocket")
        .raw("pingInterval", PING_INTERVAL)
        .raw("pingTimeout", 10_000)
        .end();
    let token = format!("{}-{:x}", view.now, key(view.now));
    Object::new().text("token", &token).raw("instanceServers", array([server])).end()
}

fn listed(market: &SimulatedMarket) -> String {
    Object::new()
        .text("symbol", &market.symbol)
        .text("name", &market.symbol)
        .text("baseCurrency", market.symbol.split('-').next().unwrap_or(market.asset.id))
        .text("quoteCurrency", "USDT")
        .text("feeCurrency", "USDT")
        .text("market", "USDS")
        .text("priceIncrement", &plain8(market.asset.usdt_tick_size))
        .raw("enableTrading", !market.halted)
        .raw("st", !market.warnings.is_empty())
        .end()
}

/// Adds the members that `allTickers` and `stats` share.
fn statistics(object: Object, figures: &TickerFigures<'_>) -> Object {
    let (last, rolling) = (figures.trade.price, &figures.rolling);
    let change = last - figures.price_24h_ago;
    object
        .text("changeRate", &plain(ratio(change.into(), figures.price_24h_ago.into(), 4), 4))
        .text("changePrice", &plain8(change))
        .text("high", &plain8(rolling.high.max(last)))
        .text("low", &plain8(rolling.low.min(last)))
        .text("vol", &plain(rolling.base_volume, 8))
        .text("volValue", &plain(rolling.quote_volume / 100_000_000, 8))
        .text("last", &plain8(last))
        .text("averagePrice", &plain8(last))
}

fn all_tickers(view: &FaultView<'_>) -> String {
    let figures = view.simulation.markets_of(ID).filter_map(|market| TickerFigures::latest(view, market, 0));
    let rows = figures.map(|figures| {
        let symbol = &figures.market.symbol;
        let row = Object::new().text("symbol", symbol).text("symbolName", symbol);
        statistics(row, &figures).text("open", &plain8(figures.price_24h_ago)).end()
    });
    Object::new().raw("time", view.reported_time(view.now)).raw("ticker", array(rows)).end()
}

fn stats(view: &FaultView<'_>, target: &RequestTarget) -> String {
    let symbol = target.get("symbol").unwrap_or_default();
    let row = Object::new().raw("time", view.reported_time(view.now)).text("symbol", symbol);
    let market = view.simulation.by_symbol(ID, symbol);
    match market.and_then(|market| TickerFigures::latest(view, market, 0)) {
        Some(figures) => statistics(row, &figures).end(),
        None => ["changeRate", "changePrice", "high", "low", "vol", "volValue", "last", "averagePrice"]
            .iter()
            .fold(row, |row, name| row.raw(name, "null"))
            .end(),
    }
}

fn candles(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, &'static str> {
    if target.get("type") != Some("1min") {
        return Err("Incorrect candlestick type.");
    }
    let symbol = target.get("symbol").unwrap_or_default();
    let market = view.simulation.by_symbol(ID, symbol).ok_or("symbol not exists")?;
    let time = |name: &str| target.get(name).and_then(|text| text.parse::<i64>().ok()).map(|second| second * 1000);
    let (from, to) = (time("startAt").unwrap_or(0), time("endAt").unwrap_or(view.now));
    let minutes = market.trade_log.minute_candles(from, to.saturating_add(1)).rev();
    let minutes = minutes.filter(|candle| !view.omits_candle(market, candle.start, candle.start + 60_000));
    Ok(array(minutes.take(CANDLES_MAX).map(|candle| {
        let cells = [
            (candle.start / 1000).to_string(),
            plain8(candle.open),
            plain8(candle.close),
            plain8(candle.high),
            plain8(candle.low),
            plain(candle.base_volume, 8),
            plain(candle.quote_volume / 100_000_000, 8),
        ];
        array(cells.map(|cell| json_string(&cell)))
    })))
}

/// A connection: it says welcome once it is ready, and loses what was sent before.
#[derive(Debug)]
struct KuCoinSession {
    /// When its token was issued, in Unix ms; `None` if it is not valid.
    token: Option<i64>,
    is_welcome: bool,
    subscriptions: Subscriptions,
}

impl KuCoinSession {
    fn reply(&mut self, frame: &Value, view: &FaultView<'_>) -> String {
        let id = frame["id"].as_str().unwrap_or_default();
        let answer = |kind: &str| Object::new().text("id", id).text("type", kind);
        let refuse = |code: u32, what: &str| answer("error").raw("code", code).text("data", what).end();
        let kind = frame["type"].as_str().unwrap_or_default();
        let topic = frame["topic"].as_str().unwrap_or_default();
        match kind {
            "ping" => return answer("pong").end(),
            "subscribe" | "unsubscribe" => {}
            _ => return refuse(400, "type is not supported"),
        }
        let symbols: Vec<&str> = topic.strip_prefix(TOPIC).unwrap_or_default().split(',').collect();
        let is_known = |symbol: &&str| view.simulation.by_symbol(ID, symbol).is_some();
        if symbols.len() > SYMBOLS_MAX {
            return refuse(509, "exceed max subscription count limitation of 100 per time");
        }
        if !symbols.iter().all(is_known) {
            return refuse(404, &format!("topic {topic} is not found"));
        }
        for symbol in symbols {
            if kind == "subscribe" {
                self.subscriptions.add(symbol)
            } else {
                self.subscriptions.remove(symbol)
            };
        }
        answer("ack").end()
    }
}

impl Session for KuCoinSession {
    fn receive(&mut self, text: &str, view: &FaultView<'_>) -> Vec<Step> {
        match serde_json::from_str::<Value>(text) {
            _ if !self.is_welcome => Vec::new(),
            Ok(frame) => vec![Step::Reply(self.reply(&frame, view))],
            Err(_) => vec![Step::Reply(Object::new().text("type", "error").raw("code", 400).end())],
        }
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        if !self.is_welcome {
            if self.token.is_none_or(|issued| view.now - issued > DAY) {
                let error = Object::new().text("id", "sisepan").text("type", "error").raw("code", 401);
                return vec![
                    Step::Reply(error.text("data", "token is invalid").end()),
                    Step::Close(1008, String::new()),
                ];
            }
            self.is_welcome = true;
            return vec![Step::Reply(Object::new().text("id", "connect-id").text("type", "welcome").end())];
        }
        let step =
            |figures: &TickerFigures<'_>| Step::Data { symbol: figures.market.symbol.clone(), body: snapshot(figures) };
        self.subscriptions.due(view, ID, 0).iter().map(step).collect()
    }
}

fn snapshot(figures: &TickerFigures<'_>) -> String {
    // Numbers are bare, with twenty decimal places.
    let number = |units: i64| format!("{}000000000000", fixed8(units));
    let (last, rolling, symbol) = (figures.trade.price, &figures.rolling, &figures.market.symbol);
    let change = last - figures.price_24h_ago;
    let data = Object::new()
        .text("symbol", symbol)
        .text("symbolCode", symbol)
        .raw("changePrice", number(change))
        .raw("changeRate", plain(ratio(change.into(), figures.price_24h_ago.into(), 4), 4))
        .raw("close", plain8(last))
        .raw("datetime", figures.now)
        .raw("high", number(rolling.high.max(last)))
        .raw("lastTradedPrice", plain8(last))
        .raw("low", number(rolling.low.min(last)))
        .raw("open", number(figures.price_24h_ago))
        .raw("trading", !figures.market.halted)
        .raw("vol", plain(rolling.base_volume, 8))
        .raw("volValue", plain(rolling.quote_volume / 100_000_000, 8))
        .end();
    let data = Object::new().text("sequence", &figures.trade.id.to_string()).raw("data", data).end();
    let frame = Object::new().text("type", "message").text("topic", &format!("{TOPIC}{symbol}"));
    frame.text("subject", "trade.snapshot").raw("data", data).end()
}
