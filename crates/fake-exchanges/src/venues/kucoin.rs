//! KuCoin: the token for a stream, market list, tickers, candles, snapshots.
//!
//! Changes are over rolling 24 hours, as fractions; candles come newest first, in seconds, and minutes without trades
//! are left out. Source: kucoin.com/docs, payloads of 2022-06 to 2026-09. Assumed: the message of an unknown symbol, and
//! that one unknown symbol refuses the whole topic. Documented: errors have the `connectId` of the URL as their id. In
//! recordings, errors about a request have the request's id.

use std::time::Duration;

use serde_json::Value;

use crate::connection_policy::ConnectionPolicy;
use crate::fake_venue::{FakeVenue, Payloads, RestRequest};
use crate::json::{Object, RowShape, array, text_array, text_member};
use crate::limits::{Charge, CountedRequest, Limit, Refusal, Usage, Window};
use crate::listing::Listing;
use crate::query::RequestTarget;
use crate::session::{Session, Step, open_at};
use crate::simulated_market::SimulatedMarket;
use crate::subscriptions::Subscriptions;
use crate::ticker_figures::{DAY, TickerFigures};
use crate::units::{fixed8, plain8};
use crate::{FakeResponse, FaultView, rng, token};

/// The fake KuCoin.
#[derive(Debug)]
pub struct KuCoin;

const ID: &str = "kucoin";

/// Maximum number of candles of a response, and of symbols in a topic.
const CANDLES_MAX: usize = 1500;
const SYMBOLS_MAX: usize = 100;

/// Time between two snapshots of a market, and the interval in which clients must ping, in ms.
const SNAPSHOT_EVERY: i64 = 2_000;
const PING_INTERVAL: u64 = 18_000;

const TOPIC: &str = "/market/snapshot:";
const REQUESTS: Limit = Limit::new(&[Window::aligned(2000, 30)]);
const CONNECTIONS: Limit = Limit::new(&[Window::from_first(30, 60)]);

/// The members about rolling 24 hours that all forms have, for [`TickerFigures::rolling_members`].
const ROLLING: [&str; 6] = ["changeRate", "changePrice", "high", "low", "vol", "volValue"];

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
        open_at(self.stream_path(), path, || KuCoinSession::new(&RequestTarget::new(path, query)))
    }

    fn connection_policy(&self, lifetime: Duration) -> ConnectionPolicy {
        const FRAMES: &[(usize, Duration)] = &[(100, Duration::from_secs(10))];
        let idle_timeout = Duration::from_millis(PING_INTERVAL) + Duration::from_secs(10);
        ConnectionPolicy { idle_timeout, frame_limits: FRAMES, lifetime: Some(lifetime), ..ConnectionPolicy::default() }
    }

    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge> {
        let public = |path, weight| (path, Charge::new(&REQUESTS, "public", weight));
        let requests = [
            public("/api/v1/bullet-public", 10),
            public("/api/v1/market/allTickers", 15),
            public("/api/v1/market/stats", 15),
            public("/api/v2/symbols", 4),
            public("", 3),
        ];
        request.by_path(&CONNECTIONS, &requests)
    }

    fn limit_headers(&self, usages: &[Usage]) -> Vec<(&'static str, String)> {
        let headers = |usage: &Usage| [("gw-ratelimit-limit", usage.max), ("gw-ratelimit-remaining", usage.left())];
        usages.iter().flat_map(headers).map(|(name, value)| (name, value.to_string())).collect()
    }

    fn refuse(&self, refusal: &Refusal) -> FakeResponse {
        let mut response = FakeResponse::json(refusal.status, error("429000", "Too Many Requests"));
        response.headers.push(("gw-ratelimit-reset".to_owned(), refusal.wait.as_millis().to_string()));
        response
    }

    fn payloads(&self) -> Payloads {
        Payloads {
            rows: RowShape { lists: &["ticker", "data"], symbols: &["symbol"], names: None },
            price_members: &["last", "lastTradedPrice"],
            close_member: "2",
            list_members: Some(["symbol", "st"]),
            time_members: &["datetime"],
            recordings: &[
                ("/api/v2/symbols", "rest-markets"),
                ("/api/v1/market/allTickers", "rest-tickers"),
                ("/api/v1/market/stats", "rest-stats"),
                ("/api/v1/market/candles", "rest-candles"),
            ],
            maintenance: None,
        }
    }
}

fn error(code: &str, message: &str) -> String {
    Object::new().text("code", code).text("msg", message).end()
}

fn bullet(view: &FaultView<'_>, stream_url: &str) -> String {
    let server = Object::new().text("endpoint", stream_url).raw("encrypt", stream_url.starts_with("wss"));
    let server = server.text("protocol", "websocket").raw("pingInterval", PING_INTERVAL).raw("pingTimeout", 10_000);
    Object::new().text("token", &token::issue(view.now)).raw("instanceServers", array([server.end()])).end()
}

fn listed(market: &SimulatedMarket) -> String {
    let base = market.symbol.split('-').next().unwrap_or(market.asset.id);
    let names = Object::new().text("symbol", &market.symbol).text("name", &market.symbol).text("baseCurrency", base);
    let names = names.text("quoteCurrency", "USDT").text("feeCurrency", "USDT").text("market", "USDS");
    let rules = names.text("priceIncrement", &plain8(market.asset.usdt_tick_size));
    rules.raw("enableTrading", !market.halted).raw("st", !market.warnings.is_empty()).end()
}

/// Adds the members that `allTickers` and `stats` share.
fn statistics(object: Object, figures: &TickerFigures<'_>) -> Object {
    let last = plain8(figures.trade.price);
    object.texts(figures.rolling_members(ROLLING, 4, plain8)).text("last", &last).text("averagePrice", &last)
}

fn all_tickers(view: &FaultView<'_>) -> String {
    let rows = TickerFigures::all(view, ID, 0).map(|figures| {
        let symbol = &figures.market.symbol;
        let row = Object::new().text("symbol", symbol).text("symbolName", symbol);
        statistics(row, &figures).text("open", &plain8(figures.price_24h_ago)).end()
    });
    Object::new().raw("time", view.reported_time(view.now)).raw("ticker", array(rows)).end()
}

fn stats(view: &FaultView<'_>, target: &RequestTarget) -> String {
    let symbol = target.get("symbol").unwrap_or_default();
    let row = Object::new().raw("time", view.reported_time(view.now)).text("symbol", symbol);
    let Some(figures) = TickerFigures::by_symbol(view, ID, symbol, 0) else {
        let row = ROLLING.iter().fold(row, |row, name| row.raw(name, "null"));
        return row.raw("last", "null").raw("averagePrice", "null").end();
    };
    statistics(row, &figures).end()
}

fn candles(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, &'static str> {
    if target.get("type") != Some("1min") {
        return Err("Incorrect candlestick type.");
    }
    let symbol = target.get("symbol").unwrap_or_default();
    let market = view.simulation.by_symbol(ID, symbol).ok_or("symbol not exists")?;
    let time = |name: &str| target.number::<i64>(name).map(|second| second.saturating_mul(1000));
    let span = (time("startAt").unwrap_or(0), time("endAt").unwrap_or(view.now));
    Ok(array(view.newest_minutes(market, span).take(CANDLES_MAX).map(|candle| {
        let prices = [candle.open, candle.close, candle.high, candle.low].map(plain8);
        let volumes = [candle.base_volume_text(), candle.quote_volume_text()];
        text_array([(candle.start / 1000).to_string()].into_iter().chain(prices).chain(volumes))
    })))
}

/// A connection. Frames that arrive before its `welcome` are lost.
#[derive(Debug)]
struct KuCoinSession {
    /// Id of the connection, chosen by the client or else by the server.
    connect_id: String,
    /// When its token was issued, in Unix ms; `None` if it is not valid.
    issued_at: Option<i64>,
    has_welcomed: bool,
    subscriptions: Subscriptions,
}

impl KuCoinSession {
    fn new(target: &RequestTarget) -> Self {
        let token = target.get("token").unwrap_or_default();
        let connect_id = target.get("connectId").map_or_else(|| format!("{:x}", rng::key(token)), str::to_owned);
        let (issued_at, subscriptions) = (token::issued_at(token), Subscriptions::new(SNAPSHOT_EVERY));
        Self { connect_id, issued_at, has_welcomed: false, subscriptions }
    }

    fn reply(&mut self, frame: &Value, view: &FaultView<'_>) -> String {
        let (kind, topic) = (text_member(frame, "type"), text_member(frame, "topic"));
        let id = frame["id"].as_str().unwrap_or(&self.connect_id);
        match kind {
            "ping" => return message(id, "pong").end(),
            "subscribe" | "unsubscribe" => {}
            _ => return refusal(id, 400, "type is not supported"),
        }
        let symbols: Vec<&str> = topic.strip_prefix(TOPIC).unwrap_or_default().split(',').collect();
        if symbols.len() > SYMBOLS_MAX {
            return refusal(id, 509, "exceed max subscription count limitation of 100 per time");
        }
        if !self.subscriptions.change(view, ID, &symbols, kind == "subscribe") {
            return refusal(id, 404, &format!("topic {topic} is not found"));
        }
        message(id, "ack").end()
    }
}

fn message(id: &str, kind: &str) -> Object {
    Object::new().text("id", id).text("type", kind)
}

fn refusal(id: &str, code: u32, why: &str) -> String {
    message(id, "error").raw("code", code).text("data", why).end()
}

impl Session for KuCoinSession {
    fn receive(&mut self, text: &str, view: &FaultView<'_>) -> Vec<Step> {
        // Assumed: a frame that is not JSON is refused like one without a type.
        let frame = serde_json::from_str(text).unwrap_or(Value::Null);
        let reply = self.has_welcomed.then(|| self.reply(&frame, view));
        reply.map(Step::Reply).into_iter().collect()
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        if self.has_welcomed {
            return self.subscriptions.poll(view, ID, 0, snapshot);
        }
        if self.issued_at.is_none_or(|issued| view.now - issued > DAY) {
            let refused = refusal(&self.connect_id, 401, "token is invalid");
            return vec![Step::Reply(refused), Step::Close(1008, String::new())];
        }
        self.has_welcomed = true;
        vec![Step::Reply(message(&self.connect_id, "welcome").end())]
    }
}

fn snapshot(figures: &TickerFigures<'_>) -> String {
    // Numbers are bare, with twenty decimal places.
    let number = |units: i64| format!("{}000000000000", fixed8(units));
    let (last, symbol) = (plain8(figures.trade.price), &figures.market.symbol);
    let data = Object::new().text("symbol", symbol).text("symbolCode", symbol);
    let data = data.raws(figures.rolling_members(ROLLING, 4, number));
    let data = data.raw("open", number(figures.price_24h_ago)).raw("close", &last).raw("lastTradedPrice", &last);
    let data = data.raw("datetime", figures.now).raw("trading", !figures.market.halted).end();
    let data = Object::new().text("sequence", &figures.trade.id.to_string()).raw("data", data).end();
    let frame = Object::new().text("type", "message").text("topic", &format!("{TOPIC}{symbol}"));
    frame.text("subject", "trade.snapshot").raw("data", data).end()
}
