//! The session of the Upbit family: requests with a ticket and a list of codes, without acknowledgement.
//!
//! Each request replaces the previous one. Unknown and lower-case codes are ignored without an error. An error is
//! sent once, then the connection is closed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::UpbitFamily;
use super::book::{BookShape, STREAM_LEVELS, UNITS_MAX};
use super::{book, candle, ticker, trade};
use crate::candle::{Grid, newest_first};
use crate::fault_view::FaultView;
use crate::json::{Object, array, json_string};
use crate::session::{FrameEncoding, Session, Step};
use crate::simulated_market::SimulatedMarket;
use crate::ticker_figures::TickerFigures;
use crate::trade_log::Trade;
use crate::units;

/// Maximum number of frames per market and poll; after a pause older trades are skipped.
const BURST_MAX: usize = 20;

/// Interval between frames of a candle, in ms.
const CANDLE_INTERVAL: i64 = 1000;

/// Maximum number of codes in each part of a request; further ones are ignored.
const CODES_MAX: usize = 2000;

/// Interval between two `{"status":"UP"}`, in ms.
const STATUS_INTERVAL: i64 = 10_000;

const CLOSE_NORMAL: u16 = 1000;

/// A session of Upbit or Bithumb.
#[derive(Debug)]
pub struct UpbitFamilySession {
    venue: &'static UpbitFamily,
    ticket: String,
    /// Whether the format has short member names.
    simple: bool,
    /// Whether the format wraps each message in an array.
    list: bool,
    /// By (type, code).
    subscriptions: BTreeMap<(String, String), Subscription>,
    /// When the next `{"status":"UP"}` is due, in Unix ms; `None` before the first `PING`.
    status_at: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Subscription {
    channel: Channel,
    snapshot: bool,
    realtime: bool,
    /// Id of the last trade sent; 0 before the first frame.
    last_sent: u64,
    /// Whether the last ticker reported the market as halted.
    halted: bool,
    /// Earliest time of the next frame, in Unix ms.
    next_at: i64,
}

/// What the `type` of a request subscribes to.
#[derive(Debug, Clone, Copy)]
enum Channel {
    Ticker,
    Trade,
    Orderbook(BookShape),
    Candle(Grid),
}

impl Channel {
    /// Parses a type; returns `None` if the venue does not have it.
    fn parse(venue: &UpbitFamily, kind: &str, level: i64, code: &str) -> Option<Self> {
        match kind {
            "ticker" => Some(Self::Ticker),
            "trade" => Some(Self::Trade),
            "orderbook" => {
                let count = code.split_once('.').and_then(|(_, count)| count.parse().ok());
                let count = count.filter(|count| STREAM_LEVELS.contains(count)).unwrap_or(UNITS_MAX);
                Some(Self::Orderbook(BookShape { level, count }))
            }
            _ if venue.has_more_candles => candle::stream_grid(kind).map(Self::Candle),
            _ => None,
        }
    }
}

impl UpbitFamilySession {
    /// Creates the session of a new connection.
    pub fn new(venue: &'static UpbitFamily) -> Self {
        let ticket = String::new();
        Self { venue, ticket, simple: false, list: false, subscriptions: BTreeMap::new(), status_at: None }
    }

    fn request(&mut self, frame: &str) -> Result<Option<String>, (&'static str, String)> {
        let wrong_format = || ("WRONG_FORMAT", "Format 이 맞지 않습니다.".to_owned());
        let parts: Vec<serde_json::Map<String, Value>> = serde_json::from_str(frame).map_err(|_| wrong_format())?;
        let find = |name: &str| parts.iter().find_map(|part| part.get(name)).and_then(Value::as_str);
        let ticket = find("ticket").filter(|ticket| !ticket.is_empty());
        let no_ticket = "티켓이 존재하지 않거나, 유효하지 않습니다.";
        self.ticket = ticket.ok_or_else(|| ("NO_TICKET", no_ticket.to_owned()))?.to_owned();
        if find("method") == Some("LIST_SUBSCRIPTIONS") {
            return Ok(Some(self.list_subscriptions()));
        }
        let (simple, list) = match find("format") {
            None | Some("DEFAULT") => (false, false),
            Some("SIMPLE") => (true, false),
            Some("JSON_LIST") => (false, true),
            Some("SIMPLE_LIST") => (true, true),
            Some(_) => return Err(wrong_format()),
        };
        let mut subscriptions = BTreeMap::new();
        for part in parts.iter().filter(|part| part.contains_key("type") || part.contains_key("codes")) {
            self.subscribe(part, &mut subscriptions)?;
        }
        if subscriptions.is_empty() && !parts.iter().any(|part| part.contains_key("type")) {
            return Err(("NO_TYPE", "타입이 존재하지 않습니다.".to_owned()));
        }
        (self.simple, self.list, self.subscriptions) = (simple, list, subscriptions);
        Ok(None)
    }

    fn subscribe(
        &self,
        part: &serde_json::Map<String, Value>,
        subscriptions: &mut BTreeMap<(String, String), Subscription>,
    ) -> Result<(), (&'static str, String)> {
        let kind = part.get("type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| ("NO_TYPE", "타입이 존재하지 않습니다.".to_owned()))?;
        let level = part.get("level").map(|level| level.as_str().map_or_else(|| level.to_string(), str::to_owned));
        let level = level.and_then(|level| units::from_decimal(level.parse().ok()?));
        let channel = |code: &str| Channel::parse(self.venue, kind, level.unwrap_or(0), code);
        if channel("").is_none() {
            return Err(("INVALID_PARAM", format!("{kind} 은 지원하지 않는 타입입니다.")));
        }
        let codes = part.get("codes").and_then(Value::as_array).filter(|codes| !codes.is_empty());
        let codes = codes.ok_or_else(|| ("NO_CODES", "코드가 존재하지 않습니다.".to_owned()))?;
        let flag = |names: &[&str]| names.iter().any(|name| part.get(*name) == Some(&Value::Bool(true)));
        let snake = |name: &'static str| if self.venue.reads_snake_case { name } else { "" };
        let only_snapshot = flag(&["isOnlySnapshot", snake("is_only_snapshot")]);
        let only_realtime = flag(&["isOnlyRealtime", snake("is_only_realtime")]);
        for code in codes.iter().filter_map(Value::as_str).take(CODES_MAX) {
            let Some(channel) = channel(code) else { continue };
            let (snapshot, realtime) = (!only_realtime, !only_snapshot);
            let subscription = Subscription { channel, snapshot, realtime, last_sent: 0, halted: false, next_at: 0 };
            subscriptions.insert((kind.to_owned(), code.to_owned()), subscription);
        }
        Ok(())
    }

    fn list_subscriptions(&self) -> String {
        let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (kind, code) in self.subscriptions.keys() {
            by_kind.entry(kind).or_default().push(json_string(code));
        }
        let result =
            by_kind.into_iter().map(|(kind, codes)| Object::new().text("type", kind).raw("codes", array(codes)).end());
        let answer = Object::new().text("method", "LIST_SUBSCRIPTIONS").raw("result", array(result));
        answer.text("ticket", &self.ticket).end()
    }

    /// Encodes the frame of a channel after a trade; returns `None` if there is none.
    fn frame(
        &self,
        view: &FaultView<'_>,
        channel: Channel,
        (market, trade): (&SimulatedMarket, &Trade),
        stream: &str,
    ) -> Option<String> {
        let (venue, simple) = (self.venue, self.simple);
        match channel {
            Channel::Ticker | Channel::Trade => self.encode(
                channel,
                &TickerFigures::at_trade(view, market, trade, venue.utc_offset_ms()),
                trade,
                stream,
            ),
            Channel::Orderbook(shape) => book::frame(view, venue, (market, trade), shape, simple, stream),
            Channel::Candle(_) => None,
        }
    }

    /// Encodes the frame of a ticker or a trade.
    fn encode(&self, channel: Channel, figures: &TickerFigures<'_>, last: &Trade, stream: &str) -> Option<String> {
        match channel {
            Channel::Ticker if self.simple => Some(ticker::short_frame(figures, stream)),
            Channel::Ticker => Some((self.venue.ticker_frame)(figures, stream)),
            Channel::Trade => Some(trade::frame(figures, self.venue, last, self.simple, stream)),
            _ => None,
        }
    }

    /// Returns the tickers or trades that a `replay` fault repeats to a real-time subscription.
    fn replayed(
        &self,
        view: &FaultView<'_>,
        subscription: &Subscription,
        market: &SimulatedMarket,
        last: &Trade,
    ) -> Vec<String> {
        let n = view.effects.replay;
        if n == 0 || !subscription.realtime || !matches!(subscription.channel, Channel::Ticker | Channel::Trade) {
            return Vec::new();
        }
        let trades = market.trade_log.after_id(last.id.saturating_sub(n.into()), usize::try_from(n).unwrap_or(0));
        let figures = |trade| TickerFigures::replayed(view, market, trade, self.venue.utc_offset_ms());
        trades.filter_map(|trade| self.encode(subscription.channel, &figures(trade), trade, "REALTIME")).collect()
    }

    /// Returns the frames that are due for a market: the snapshot, or what is newer than the last trade sent.
    fn frames(
        &self,
        view: &FaultView<'_>,
        kind: &str,
        subscription: &Subscription,
        market: &SimulatedMarket,
        last: &Trade,
    ) -> Vec<String> {
        let first = subscription.last_sent == 0;
        let stream = if first { "SNAPSHOT" } else { "REALTIME" };
        if !(if first { subscription.snapshot } else { subscription.realtime }) {
            return Vec::new();
        }
        match subscription.channel {
            Channel::Candle(grid) => {
                // Every candle that has changed; in the snapshot only the newest.
                let candles =
                    newest_first(&market.trade_log, grid).take_while(|candle| candle.last_id > subscription.last_sent);
                let mut candles: Vec<_> = candles.take(if first { 1 } else { BURST_MAX }).collect();
                candles.reverse();
                let encode = |candle| candle::frame(view, self.venue, market, kind, candle, self.simple, stream);
                candles.iter().map(encode).collect()
            }
            Channel::Ticker | Channel::Trade if !first => {
                let trades = market.trade_log.after_id(subscription.last_sent, BURST_MAX);
                trades.filter_map(|trade| self.frame(view, subscription.channel, (market, trade), stream)).collect()
            }
            _ => self.frame(view, subscription.channel, (market, last), stream).into_iter().collect(),
        }
    }

    fn due_steps(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut subscriptions = std::mem::take(&mut self.subscriptions);
        for ((kind, code), subscription) in &mut subscriptions {
            let symbol =
                if matches!(subscription.channel, Channel::Orderbook(_)) { code.split('.').next() } else { None };
            let symbol = symbol.unwrap_or(code);
            let Some(market) = view.simulation.by_symbol(self.venue.id, symbol) else { continue };
            let Some(last) = market.trade_log.last() else { continue };
            let (first, is_due) =
                (subscription.last_sent == 0, last.id > subscription.last_sent && view.now >= subscription.next_at);
            let mut bodies = Vec::new();
            // A halt is reported once; without trades no further ticker follows.
            if !first
                && subscription.realtime
                && market.halted != subscription.halted
                && matches!(subscription.channel, Channel::Ticker)
            {
                subscription.halted = market.halted;
                bodies.extend(self.frame(view, subscription.channel, (market, last), "REALTIME"));
            }
            if is_due {
                bodies.extend(self.frames(view, kind, subscription, market, last));
            }
            if first {
                bodies.extend(self.replayed(view, subscription, market, last));
            }
            let bodies = bodies.into_iter().map(|body| if self.list { array([body]) } else { body });
            steps.extend(bodies.map(|body| Step::Data { symbol: symbol.to_owned(), body }));
            if is_due {
                subscription.last_sent = last.id;
                if matches!(subscription.channel, Channel::Candle(_)) {
                    subscription.next_at = view.now - view.now.rem_euclid(CANDLE_INTERVAL) + CANDLE_INTERVAL;
                }
            }
        }
        self.subscriptions = subscriptions;
        steps
    }
}

impl Session for UpbitFamilySession {
    fn encoding(&self) -> FrameEncoding {
        FrameEncoding::Binary
    }

    fn receive(&mut self, frame: &str, view: &FaultView<'_>) -> Vec<Step> {
        if frame.trim() == "PING" {
            self.status_at = Some(view.now + STATUS_INTERVAL);
            return vec![Step::Reply(r#"{"status":"UP"}"#.to_owned())];
        }
        match self.request(frame) {
            Ok(answer) => {
                let mut steps: Vec<Step> = answer.map(Step::Reply).into_iter().collect();
                steps.extend(self.due_steps(view));
                steps
            }
            Err((name, message)) => {
                let error = Object::new().text("name", name).text("message", &message).end();
                let error = Object::new().raw("error", error).end();
                vec![Step::Reply(error), Step::Close(CLOSE_NORMAL, String::new())]
            }
        }
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        let mut steps = self.due_steps(view);
        if self.status_at.is_some_and(|at| at <= view.now) {
            self.status_at = Some(view.now + STATUS_INTERVAL);
            steps.push(Step::Reply(r#"{"status":"UP"}"#.to_owned()));
        }
        steps
    }
}
