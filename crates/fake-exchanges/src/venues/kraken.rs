//! Kraken: market list, tickers, candles of the last 720 minutes, and version 2 of its stream.
//!
//! Errors come with HTTP 200. Requests name a market `XBTUSD`, responses `XXBTZUSD`, the stream `BTC/USD`. The day of
//! a REST ticker begins at 00:00 UTC; low, high, volume and change of the stream are over rolling 24 hours. Candles
//! come oldest first, in seconds, and minutes without trades are flat rows; the last one is running. Source:
//! docs.kraken.com, payloads of 2026-09. Documented: about one request a second. Assumed: that they are counted over
//! five seconds; the texts of errors other than that of an unknown market; that a ticker of the stream has the time
//! of the last trade, and its figures are those of that time; that `since` is not included.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::connection_policy::ConnectionPolicy;
use crate::fake_venue::{FakeVenue, Payloads, RestRequest};
use crate::json::{Object, RowShape, array, json_string, text_array, text_member};
use crate::limits::{Charge, CountedRequest, Limit, Refusal, Window};
use crate::listing::Listing;
use crate::query::RequestTarget;
use crate::session::{Session, Step, open_at};
use crate::simulated_market::SimulatedMarket;
use crate::subscriptions::Subscriptions;
use crate::ticker_figures::TickerFigures;
use crate::trade::Ohlcv;
use crate::units::{fixed, fixed8, plain8};
use crate::{FakeResponse, FaultView};

/// The fake Kraken.
#[derive(Debug)]
pub struct Kraken;

const ID: &str = "kraken";
const MINUTE: i64 = 60_000;

/// Minutes that have candles, the running one included.
const MINUTES_KEPT: i64 = 720;

/// Time between two heartbeats, in ms.
const HEARTBEAT: i64 = 1_000;

/// Its names of assets that others name otherwise.
const NAMES: [(&str, &str); 2] = [("XBT", "BTC"), ("XDG", "DOGE")];

/// The assets whose names have an X before them in responses, and their quote a Z.
const OLDEST: [&str; 5] = ["ETC", "ETH", "XBT", "XLM", "XRP"];

const REQUESTS: Limit = Limit::new(&[Window::from_first(5, 5)]);
const CONNECTIONS: Limit = Limit::new(&[Window::from_first(150, 600)]);

impl FakeVenue for Kraken {
    fn listing(&self) -> Listing {
        Listing { quote: "USD", ..Listing::in_usdt(ID, |asset| format!("{asset}/USD")) }
    }

    fn stream_path(&self) -> &'static str {
        "/v2"
    }

    fn rest(&self, view: &FaultView<'_>, request: &RestRequest<'_>) -> FakeResponse {
        let target = &request.target;
        let result = match target.path.as_str() {
            "/0/public/AssetPairs" => selected(view, target).map(|markets| {
                let rows = markets.into_iter().map(|market| (name(market), listed(market)));
                rows.fold(Object::new(), |object, (name, row)| object.raw(&name, row)).end()
            }),
            "/0/public/Ticker" => selected(view, target).map(|markets| {
                let rows = markets.into_iter().filter_map(|market| TickerFigures::latest(view, market, 0));
                rows.fold(Object::new(), |object, row| object.raw(&name(row.market), ticker(&row))).end()
            }),
            "/0/public/OHLC" => candles(view, target),
            _ => return FakeResponse::json(404, error("EGeneral:Unknown method")),
        };
        FakeResponse::json(
            200,
            match result {
                Ok(result) => Object::new().raw("error", "[]").raw("result", result).end(),
                Err(message) => error(message),
            },
        )
    }

    fn open(&self, path: &str, _query: &str) -> Option<Box<dyn Session>> {
        open_at(self.stream_path(), path, KrakenSession::default)
    }

    fn connection_policy(&self, _lifetime: Duration) -> ConnectionPolicy {
        ConnectionPolicy::default()
    }

    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge> {
        let requests =
            [("/0/public/OHLC", Charge::new(&REQUESTS, "ohlc", 1)), ("", Charge::new(&REQUESTS, "public", 1))];
        request.by_path(&CONNECTIONS, &requests)
    }

    fn refuse(&self, _refusal: &Refusal) -> FakeResponse {
        FakeResponse::json(200, error("EGeneral:Too many requests"))
    }

    fn payloads(&self) -> Payloads {
        Payloads {
            rows: RowShape { lists: &["result"], symbols: &[], names: Some(symbol_of_name) },
            price_members: &["c", "last"],
            close_member: "4",
            list_members: Some(["wsname", "tick_size"]),
            time_members: &["timestamp"],
            recordings: &[
                ("/0/public/AssetPairs", "rest-markets"),
                ("/0/public/Ticker", "rest-tickers"),
                ("/0/public/OHLC", "rest-candles"),
            ],
            maintenance: Some(r#"{"channel":"status","type":"update","data":[{"system":"maintenance"}]}"#),
        }
    }
}

fn error(message: &str) -> String {
    Object::new().raw("error", array([json_string(message)])).end()
}

/// Returns its name of a market's base.
fn own_base(market: &SimulatedMarket) -> &str {
    let base = market.symbol.split('/').next().unwrap_or_default();
    NAMES.iter().find(|(_, usual)| *usual == base).map_or(base, |(own, _)| own)
}

/// Returns the name of a market in requests: `XBTUSD`.
fn altname(market: &SimulatedMarket) -> String {
    format!("{}USD", own_base(market))
}

/// Returns the name of a market in responses: `XXBTZUSD`.
fn name(market: &SimulatedMarket) -> String {
    let base = own_base(market);
    if OLDEST.contains(&base) { format!("X{base}ZUSD") } else { format!("{base}USD") }
}

/// Returns the symbol of the market with a name in requests or responses.
fn symbol_of_name(name: &str) -> String {
    let base = match name.strip_suffix("ZUSD") {
        Some(base) => base.strip_prefix('X').unwrap_or(base),
        None => name.strip_suffix("USD").unwrap_or(name),
    };
    format!("{}/USD", NAMES.iter().find(|(own, _)| *own == base).map_or(base, |(_, usual)| usual))
}

/// Returns the markets that a request names, by default all.
fn selected<'a>(view: &FaultView<'a>, target: &RequestTarget) -> Result<Vec<&'a SimulatedMarket>, &'static str> {
    let Some(pairs) = target.get("pair") else { return Ok(view.simulation.markets_of(ID).collect()) };
    pairs.split(',').map(|pair| by_pair(view, pair)).collect()
}

fn by_pair<'a>(view: &FaultView<'a>, pair: &str) -> Result<&'a SimulatedMarket, &'static str> {
    let mut markets = view.simulation.markets_of(ID);
    markets.find(|market| pair == altname(market) || pair == name(market)).ok_or("EQuery:Unknown asset pair")
}

fn listed(market: &SimulatedMarket) -> String {
    let names = Object::new().text("altname", &altname(market)).text("wsname", &format!("{}/USD", own_base(market)));
    let names = names.text("aclass_base", "currency").text("base", own_base(market));
    let names = names.text("aclass_quote", "currency").text("quote", "ZUSD").text("lot", "unit");
    let rules = names.raw("lot_decimals", 8).text("ordermin", "0.0001");
    let rules = rules.text("tick_size", &plain8(market.asset.usdt_tick_size));
    rules.text("status", if market.halted { "cancel_only" } else { "online" }).end()
}

/// Returns a row of a ticker over REST: of each pair of figures, the first is since 00:00 UTC, the second over 24
/// hours.
fn ticker(figures: &TickerFigures<'_>) -> String {
    let ((bid, ask), spans) = (figures.best_prices(), [figures.day, figures.rolling]);
    let ranges = spans.map(|span| figures.range(&span));
    let side = |price| text_array([fixed8(price), "1".to_owned(), "1.000".to_owned()]);
    Object::new()
        .raw("a", side(ask))
        .raw("b", side(bid))
        .raw("c", text_array([figures.trade.price, figures.trade.base_volume].map(fixed8)))
        .raw("v", text_array(spans.map(|span| fixed(span.base_volume, 8))))
        .raw("p", text_array(spans.map(|span| average(&span))))
        .raw("t", array(spans.map(|span| span.trade_count().to_string())))
        .raw("l", text_array(ranges.map(|(low, _)| fixed8(low))))
        .raw("h", text_array(ranges.map(|(_, high)| fixed8(high))))
        .text("o", &fixed8(figures.previous_close))
        .end()
}

/// Returns the price of a span weighted by volume.
fn average(span: &Ohlcv) -> String {
    fixed(span.quote_volume.checked_div(span.base_volume).unwrap_or(span.close.into()), 8)
}

fn candles(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, &'static str> {
    let market = by_pair(view, target.get("pair").ok_or("EGeneral:Invalid arguments")?)?;
    if target.get("interval").unwrap_or("1") != "1" {
        return Err("EGeneral:Invalid arguments");
    }
    let running = view.now - view.now.rem_euclid(MINUTE);
    let since = target.number::<i64>("since").map_or(i64::MIN, |second| second.saturating_mul(1000));
    let from = (running - (MINUTES_KEPT - 1) * MINUTE).max(since.saturating_add(1));
    let candles = market.trade_log.contiguous_minutes(from, running);
    let rows = candles.filter(|candle| !view.omits_minute(market, candle)).map(|candle| {
        let prices = [candle.open, candle.high, candle.low, candle.close].map(plain8);
        let texts = prices.into_iter().chain([average(&candle), fixed(candle.base_volume, 8)]);
        let cells = texts.map(|text| json_string(&text)).chain([candle.trade_count().to_string()]);
        array([(candle.start / 1000).to_string()].into_iter().chain(cells))
    });
    Ok(Object::new().raw(&name(market), array(rows)).raw("last", (running - MINUTE) / 1000).end())
}

/// A connection.
#[derive(Debug, Default)]
struct KrakenSession {
    /// Whether the snapshot of each symbol was sent.
    symbols: BTreeMap<String, bool>,
    subscriptions: Subscriptions,
    /// Unix ms of the next heartbeat.
    heartbeat_at: i64,
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

impl KrakenSession {
    /// Returns the answers to a request: one a symbol.
    fn answers(&mut self, frame: &Value, view: &FaultView<'_>) -> Vec<String> {
        let method = text_member(frame, "method");
        let end = |answer: Object| {
            let answer = answer.text("time_in", &time(view.now)).text("time_out", &time(view.now));
            answer.raws(frame.get("req_id").map(|id| ("req_id", id.to_string()))).end()
        };
        let refuse = |message: &str, symbol: Option<&str>| {
            let refusal = Object::new().text("error", message).text("method", method).raw("success", false);
            end(refusal.texts(symbol.map(|symbol| ("symbol", symbol.to_owned()))))
        };
        if method == "ping" {
            return vec![end(Object::new().text("method", "pong"))];
        }
        if !["subscribe", "unsubscribe"].contains(&method) {
            return vec![refuse("Unsupported method", None)];
        }
        if frame["params"]["channel"] != "ticker" {
            return vec![refuse("Unsupported channel", None)];
        }
        let Some(symbols) = frame["params"]["symbol"].as_array() else {
            return vec![refuse("Symbol is missing", None)];
        };
        let symbols = symbols.iter().filter_map(Value::as_str);
        symbols
            .map(|symbol| {
                let is_open = self.symbols.contains_key(symbol);
                match method {
                    "subscribe" if is_open => return refuse("Already subscribed", Some(symbol)),
                    "unsubscribe" if !is_open => return refuse("Subscription Not Found", Some(symbol)),
                    "subscribe" if view.simulation.by_symbol(ID, symbol).is_none() => {
                        return refuse(&format!("Currency pair not supported {symbol}"), Some(symbol));
                    }
                    "subscribe" => {
                        self.symbols.insert(symbol.to_owned(), false);
                        self.subscriptions.add(symbol);
                    }
                    _ => {
                        self.symbols.remove(symbol);
                        self.subscriptions.remove(symbol);
                    }
                }
                let result = Object::new().text("channel", "ticker").text("event_trigger", "trades");
                let result = result.raw("snapshot", true).text("symbol", symbol).end();
                end(Object::new().text("method", method).raw("result", result).raw("success", true))
            })
            .collect()
    }
}

impl Session for KrakenSession {
    fn open(&mut self, _view: &FaultView<'_>) -> Vec<Step> {
        let status = r#"{"version":"2.0.10","system":"online","api_version":"v2","connection_id":7974620515126709019}"#;
        let frame =
            Object::new().text("channel", "status").text("type", "update").raw("data", array([status.to_owned()]));
        vec![Step::Reply(frame.end())]
    }

    fn receive(&mut self, text: &str, view: &FaultView<'_>) -> Vec<Step> {
        let Ok(frame) = serde_json::from_str(text) else {
            return vec![Step::Reply(Object::new().text("error", "Malformed request").raw("success", false).end())];
        };
        self.answers(&frame, view).into_iter().map(Step::Reply).collect()
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        for figures in self.subscriptions.due(view, ID, 0) {
            let market = figures.market;
            let was_sent = self.symbols.insert(market.symbol.clone(), true).unwrap_or_default();
            let body = match market.trade_log.last() {
                Some(last) if !was_sent => {
                    let then = FaultView { now: last.at, ..view.clone() };
                    message(&TickerFigures::at_trade(&then, market, last, 0), "snapshot")
                }
                _ => message(&figures, "update"),
            };
            steps.push(Step::Data { symbol: market.symbol.clone(), body });
        }
        if !self.symbols.is_empty() && self.heartbeat_at <= view.now {
            self.heartbeat_at = view.now + HEARTBEAT;
            steps.push(Step::Reply(Object::new().text("channel", "heartbeat").end()));
        }
        steps
    }
}

/// Encodes a ticker of the stream. Numbers are bare, with their trailing zeros.
fn message(figures: &TickerFigures<'_>, kind: &str) -> String {
    let ((bid, ask), (low, high)) = (figures.best_prices(), figures.range(&figures.rolling));
    let data = Object::new().text("symbol", &figures.market.symbol).raw("bid", fixed8(bid)).raw("ask", fixed8(ask));
    let data = data.raw("bid_qty", "44620.68691883").raw("ask_qty", "1087605.70466858");
    let data = data.raw("last", fixed8(figures.trade.price)).raw("volume", fixed(figures.rolling.base_volume, 8));
    let data = data.raw("vwap", average(&figures.rolling)).raw("low", fixed8(low)).raw("high", fixed8(high));
    let data =
        data.raw("change", fixed8(figures.rolling_change())).raw("change_pct", fixed(figures.rolling_rate(4), 2));
    let data = data.raw("trades", figures.rolling.trade_count()).text("timestamp", &time(figures.trade.at)).end();
    Object::new().text("channel", "ticker").text("type", kind).raw("data", array([data])).end()
}
