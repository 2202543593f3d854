//! Bitfinex: market list, tickers, candles, and channels that are numbered per connection.
//!
//! Rows are arrays without a time; candles come newest first, and minutes without trades are left out. Source:
//! docs.bitfinex.com, recorded frames of 2019 and later. Assumed: that its days begin at 00:00 UTC.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::connection_policy::ConnectionPolicy;
use crate::fake_venue::{FakeVenue, Payloads, RestRequest};
use crate::json::{Object, RowShape, array, json_string, text_member};
use crate::limits::{Charge, CountedRequest, Limit, Refusal, Window};
use crate::listing::Listing;
use crate::query::RequestTarget;
use crate::session::{Session, Step, open_at};
use crate::subscriptions::Subscriptions;
use crate::ticker_figures::TickerFigures;
use crate::units::{plain, plain8};
use crate::{FakeResponse, FaultView};

/// The fake Bitfinex.
#[derive(Debug)]
pub struct Bitfinex;

const ID: &str = "bitfinex";

/// Maximum number of candles of a response, and their number without `limit`.
const CANDLES_MAX: usize = 10_000;
const CANDLES_DEFAULT: usize = 120;

/// Its names of assets that others name otherwise, and what they stand for.
const NAMES: &[(&str, &str)] = &[("ALG", "ALGO"), ("AMP", "AMPL"), ("BCHN", "BCH"), ("IOT", "IOTA"), ("UST", "USDt")];

/// Maximum number of channels of a connection, and the time without data after which one sends a heartbeat, in ms.
const CHANNELS_MAX: usize = 25;
const HEARTBEAT: i64 = 15_000;

/// Seconds of a ban.
const BAN: u64 = 60;
const THIRTY: Limit = Limit::new(&[Window::from_first(30, 60)]).with_ban(BAN);
const CONF: Limit = Limit::new(&[Window::from_first(10, 60)]).with_ban(BAN);
const CONNECTIONS: Limit = Limit::new(&[Window::from_first(20, 60)]).with_ban(BAN);

/// Number of the channel before the first one of a connection.
const CHANNEL_BEFORE: u64 = 264_866;

impl FakeVenue for Bitfinex {
    fn listing(&self) -> Listing {
        let symbol = |asset: &str| {
            let own = NAMES.iter().find(|(_, name)| *name == asset).map_or(asset, |(own, _)| own);
            if own.len() > 3 { format!("t{own}:USD") } else { format!("t{own}USD") }
        };
        Listing { quote: "USD", ..Listing::in_usdt(ID, symbol) }
    }

    fn stream_path(&self) -> &'static str {
        "/ws/2"
    }

    fn rest(&self, view: &FaultView<'_>, request: &RestRequest<'_>) -> FakeResponse {
        let target = &request.target;
        let body = match target.path.as_str() {
            "/v2/conf/pub:list:pair:exchange" => Ok(array([pairs(view)])),
            "/v2/conf/pub:list:pair:exchange,pub:map:currency:sym" => Ok(array([pairs(view), names()])),
            "/v2/tickers" => Ok(tickers(view, target)),
            path => match path.strip_prefix("/v2/candles/trade:1m:").and_then(|path| path.strip_suffix("/hist")) {
                Some(symbol) => candles(view, target, symbol),
                None => return FakeResponse::json(404, error(10_100, "path: invalid")),
            },
        };
        match body {
            Ok(body) => FakeResponse::json(200, body),
            Err(message) => FakeResponse::json(500, error(10_020, message)),
        }
    }

    fn open(&self, path: &str, _query: &str) -> Option<Box<dyn Session>> {
        open_at(self.stream_path(), path, BitfinexSession::default)
    }

    fn connection_policy(&self, _lifetime: Duration) -> ConnectionPolicy {
        // Not documented: it sends heartbeats and expects none.
        ConnectionPolicy { idle_timeout: Duration::from_secs(3600), ..ConnectionPolicy::default() }
    }

    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge> {
        let requests = [
            ("/v2/tickers", Charge::new(&THIRTY, "tickers", 1)),
            ("/v2/candles", Charge::new(&THIRTY, "candles", 1)),
            ("", Charge::new(&CONF, "conf", 1)),
        ];
        request.by_path(&CONNECTIONS, &requests)
    }

    fn refuse(&self, refusal: &Refusal) -> FakeResponse {
        FakeResponse::json(refusal.status, error(11_010, "ratelimit: error"))
    }

    fn payloads(&self) -> Payloads {
        Payloads {
            rows: RowShape { lists: &[], symbols: &[], names: None },
            price_members: &["7", "6"],
            close_member: "2",
            list_members: None,
            time_members: &[],
            recordings: &[
                ("/v2/conf/", "rest-markets"),
                ("/v2/tickers", "rest-tickers"),
                ("/v2/candles/", "rest-candles"),
            ],
            maintenance: Some(r#"{"event":"info","code":20060,"msg":"Entering in Maintenance mode."}"#),
        }
    }
}

fn error(code: u32, message: &str) -> String {
    array([json_string("error"), code.to_string(), json_string(message)])
}

fn pairs(view: &FaultView<'_>) -> String {
    let markets = view.simulation.markets_of(ID).filter(|market| !market.halted);
    array(markets.map(|market| json_string(market.symbol.trim_start_matches('t'))))
}

/// Its table of the names of assets.
fn names() -> String {
    array(NAMES.iter().map(|(own, name)| array([json_string(own), json_string(name)])))
}

/// The ten values of a ticker: bid, its size, ask, its size, change of the day, the same as a fraction, last price,
/// volume, high and low of the day.
fn values(figures: &TickerFigures<'_>) -> [String; 10] {
    let ((bid, ask), (low, high)) = (figures.best_prices(), figures.range(&figures.day));
    [
        plain8(bid),
        "48.23130606".to_owned(),
        plain8(ask),
        "33.207850629999996".to_owned(),
        plain8(figures.day_change()),
        plain(figures.day_rate(8), 8),
        plain8(figures.trade.price),
        figures.day.base_volume_text(),
        plain8(high),
        plain8(low),
    ]
}

fn tickers(view: &FaultView<'_>, target: &RequestTarget) -> String {
    let wanted = target.get("symbols").unwrap_or_default();
    let is_wanted = |symbol: &str| wanted == "ALL" || wanted.split(',').any(|wanted| wanted == symbol);
    let rows = TickerFigures::all(view, ID, 0).filter(|row| !row.market.halted && is_wanted(&row.market.symbol));
    array(rows.map(|row| array([json_string(&row.market.symbol)].into_iter().chain(values(&row)))))
}

fn candles(view: &FaultView<'_>, target: &RequestTarget, symbol: &str) -> Result<String, &'static str> {
    let market = view.simulation.by_symbol(ID, symbol).ok_or("symbol: invalid")?;
    let span = (target.number("start").unwrap_or(0), target.number("end").unwrap_or(view.now));
    let limit = target.number("limit").unwrap_or(CANDLES_DEFAULT);
    if limit > CANDLES_MAX {
        return Err("limit: invalid");
    }
    Ok(array(view.newest_minutes(market, span).take(limit).map(|candle| {
        let prices = [candle.open, candle.close, candle.high, candle.low].map(plain8);
        array([candle.start.to_string()].into_iter().chain(prices).chain([candle.base_volume_text()]))
    })))
}

/// A connection: its channels by symbol.
#[derive(Debug, Default)]
struct BitfinexSession {
    /// Number of channels that were opened, closed ones included.
    opened: u64,
    /// Number and time of the last frame, by symbol.
    channels: BTreeMap<String, (u64, i64)>,
    subscriptions: Subscriptions,
}

impl BitfinexSession {
    fn reply(&mut self, frame: &Value, view: &FaultView<'_>) -> String {
        match text_member(frame, "event") {
            "ping" => Object::new().text("event", "pong").raw("ts", view.now).end(),
            "subscribe" => self.subscribe(text_member(frame, "channel"), text_member(frame, "symbol"), view),
            "unsubscribe" => self.unsubscribe(frame["chanId"].as_u64().unwrap_or_default()),
            _ => failure("unknown event", 10_000).end(),
        }
    }

    fn unsubscribe(&mut self, number: u64) -> String {
        let symbol = self.channels.iter().find(|(_, (channel, _))| *channel == number);
        let Some(symbol) = symbol.map(|(symbol, _)| symbol.clone()) else {
            return failure("unsubscribe: invalid", 10_400).end();
        };
        self.channels.remove(&symbol);
        self.subscriptions.remove(&symbol);
        Object::new().text("event", "unsubscribed").text("status", "OK").raw("chanId", number).end()
    }

    fn subscribe(&mut self, channel: &str, symbol: &str, view: &FaultView<'_>) -> String {
        let pair = symbol.trim_start_matches('t');
        let refuse = |message, code| {
            failure(message, code).text("channel", channel).text("symbol", symbol).text("pair", pair).end()
        };
        if channel != "ticker" {
            return refuse("channel: unknown", 10_302);
        }
        if view.simulation.by_symbol(ID, symbol).is_none() {
            return refuse("symbol: invalid", 10_300);
        }
        if self.channels.contains_key(symbol) {
            return refuse("subscribe: dup", 10_301);
        }
        if self.channels.len() >= CHANNELS_MAX {
            return refuse("channel limit", 10_305);
        }
        self.opened += 1;
        let number = CHANNEL_BEFORE + self.opened;
        self.channels.insert(symbol.to_owned(), (number, view.now));
        self.subscriptions.add(symbol);
        let done = Object::new().text("event", "subscribed").text("channel", "ticker");
        done.raw("chanId", number).text("symbol", symbol).text("pair", pair).end()
    }
}

fn failure(message: &str, code: u32) -> Object {
    Object::new().text("event", "error").text("msg", message).raw("code", code)
}

impl Session for BitfinexSession {
    fn open(&mut self, _view: &FaultView<'_>) -> Vec<Step> {
        let platform = Object::new().raw("status", 1).end();
        let info = Object::new().text("event", "info").raw("version", 2).text("serverId", "fake");
        vec![Step::Reply(info.raw("platform", platform).end())]
    }

    fn receive(&mut self, text: &str, view: &FaultView<'_>) -> Vec<Step> {
        let answer = match serde_json::from_str::<Value>(text) {
            Ok(frame) => self.reply(&frame, view),
            Err(_) => failure("json: invalid", 10_000).end(),
        };
        vec![Step::Reply(answer)]
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        for figures in self.subscriptions.due(view, ID, 0) {
            let symbol = figures.market.symbol.clone();
            if let Some((channel, sent_at)) = self.channels.get_mut(&symbol) {
                *sent_at = view.now;
                let body = array([channel.to_string(), array(values(&figures))]);
                steps.push(Step::Data { symbol, body });
            }
        }
        for (channel, sent_at) in self.channels.values_mut().filter(|(_, sent_at)| *sent_at + HEARTBEAT <= view.now) {
            *sent_at = view.now;
            steps.push(Step::Reply(array([channel.to_string(), json_string("hb")])));
        }
        steps
    }
}
