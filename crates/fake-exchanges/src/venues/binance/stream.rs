//! Binance: a named stream. Parses its name and returns the events that become due.
//!
//! Source: github.com/binance/binance-spot-api-docs, web-socket-streams.md.

use std::collections::BTreeMap;

use super::depth::{SentLevels, average_frame, book_ticker_frame, diff_frame, partial_frame};
use super::request::ID;
use super::ticker::{mini_ticker_frame, ticker_frame};
use super::{kline, trade, window};
use crate::candle::{Grid, contiguous, newest_first};
use crate::fault_view::FaultView;
use crate::json::array;
use crate::simulated_market::SimulatedMarket;
use crate::ticker_figures::TickerFigures;
use crate::trade_log::{Ohlcv, Trade};

/// Maximum number of candles sent at once after a pause; older ones are skipped.
const CANDLES_MAX: usize = 60;

/// Maximum number of trades sent per poll; after a pause older ones are skipped.
const BURST_MAX: usize = 1000;

/// The kind of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Ticker,
    Mini,
    Window(String),
    Trade,
    Aggregate,
    Kline(String, Grid),
    BookTicker,
    Average,
    Partial(usize),
    Diff,
}

/// A named stream of one connection.
#[derive(Debug)]
pub struct NamedStream {
    /// `None` for a name that Binance does not know; it acknowledges such a name and never sends anything.
    content: Option<(Subject, Kind)>,
    /// Interval between events in ms; 0 sends at once.
    interval: i64,
    next_at: i64,
    /// Id of the last trade sent, by symbol in lower case.
    last_sent: BTreeMap<String, u64>,
    /// Start of the last candle sent.
    candle: Option<i64>,
    sent_levels: SentLevels,
}

#[derive(Debug)]
enum Subject {
    All,
    /// In lower case, as in the stream's name.
    One(String),
}

impl NamedStream {
    /// Parses a stream's name; returns `None` for one that exists at Binance but is not served here.
    pub fn from_name(name: &str) -> Option<Self> {
        let (subject, rest) = name.split_once('@').unwrap_or((name, ""));
        if matches!(rest, "referencePrice" | "referencePriceCalculation" | "blockTrade") {
            return None;
        }
        let (content, interval) = match parse(subject, rest) {
            Some((subject, kind, interval)) => (Some((subject, kind)), interval),
            None => (None, 0),
        };
        Some(Self {
            content,
            interval,
            next_at: 0,
            last_sent: BTreeMap::new(),
            candle: None,
            sent_levels: SentLevels::default(),
        })
    }

    /// Starts the stream: a trade stream sends only later trades, except for those that a `replay` fault repeats.
    pub fn start(&mut self, view: &FaultView<'_>) {
        if let Some((Subject::One(symbol), Kind::Trade | Kind::Aggregate)) = &self.content {
            let last = find(view, symbol).and_then(|market| market.trade_log.last());
            let repeated = u64::from(view.effects.replay);
            self.last_sent.extend(last.map(|last| (symbol.clone(), last.id.saturating_sub(repeated))));
        }
    }

    /// Returns the events that are due, each with its symbol (empty for an array of several).
    pub fn poll(&mut self, view: &FaultView<'_>) -> Vec<(String, String)> {
        if view.now < self.next_at {
            return Vec::new();
        }
        let events = match &self.content {
            None => return Vec::new(),
            Some((Subject::All, kind)) => {
                let kind = kind.clone();
                let events: Vec<String> =
                    view.simulation.markets_of(ID).flat_map(|market| self.event(view, market, &kind)).collect();
                if events.is_empty() { Vec::new() } else { vec![(String::new(), array(events))] }
            }
            Some((Subject::One(symbol), kind)) => {
                let (market, kind) = (find(view, symbol), kind.clone());
                market.map_or_else(Vec::new, |market| {
                    let mut bodies = self.replayed(view, market, &kind);
                    bodies.extend(self.event(view, market, &kind));
                    bodies.into_iter().map(|body| (market.symbol.clone(), body)).collect()
                })
            }
        };
        // The interval begins with an event, not with a poll that found none.
        if !events.is_empty() && self.interval > 0 {
            self.next_at = view.now - view.now.rem_euclid(self.interval) + self.interval;
        }
        events
    }

    /// Returns the tickers that a `replay` fault repeats before the first event of the stream.
    fn replayed(&self, view: &FaultView<'_>, market: &SimulatedMarket, kind: &Kind) -> Vec<String> {
        let encode = match kind {
            Kind::Ticker => ticker_frame,
            Kind::Mini => mini_ticker_frame,
            _ => return Vec::new(),
        };
        let (n, last) = (view.effects.replay, market.trade_log.last().map_or(0, |last| last.id));
        if n == 0 || !self.last_sent.is_empty() {
            return Vec::new();
        }
        let trades = market.trade_log.after_id(last.saturating_sub(n.into()), usize::try_from(n).unwrap_or(0));
        trades.map(|trade| encode(&TickerFigures::replayed(view, market, trade, 0))).collect()
    }

    fn event(&mut self, view: &FaultView<'_>, market: &SimulatedMarket, kind: &Kind) -> Vec<String> {
        let Some(last) = market.trade_log.last() else { return Vec::new() };
        let subject = market.symbol.to_ascii_lowercase();
        let last_sent = self.last_sent.get(&subject).copied().unwrap_or(0);
        if let Kind::Kline(interval, grid) = kind {
            self.last_sent.insert(subject, last.id);
            return self.klines(view, market, (interval, *grid), last_sent);
        }
        if last.id <= last_sent {
            return Vec::new();
        }
        self.last_sent.insert(subject, last.id);
        let each = |encode: fn(&FaultView<'_>, &SimulatedMarket, &Trade) -> String| {
            market.trade_log.after_id(last_sent, BURST_MAX).map(|trade| encode(view, market, trade)).collect()
        };
        match kind {
            Kind::Trade => each(trade::frame),
            Kind::Aggregate => each(trade::aggregate_frame),
            Kind::Ticker => vec![ticker_frame(&TickerFigures::at_trade(view, market, last, 0))],
            Kind::Mini => vec![mini_ticker_frame(&TickerFigures::at_trade(view, market, last, 0))],
            Kind::Window(length) => vec![window::frame(view, market, last, length)],
            Kind::BookTicker => vec![book_ticker_frame(view, market, last)],
            Kind::Average => vec![average_frame(view, market)],
            Kind::Partial(levels) => vec![partial_frame(view, market, last, *levels)],
            Kind::Diff => vec![diff_frame(view, market, last, &mut self.sent_levels)],
            Kind::Kline(..) => Vec::new(),
        }
    }

    /// Returns the events of the current candle if it has changed, after those of candles closed since the last
    /// event.
    fn klines(
        &mut self,
        view: &FaultView<'_>,
        market: &SimulatedMarket,
        (interval, grid): (&str, Grid),
        last_sent: u64,
    ) -> Vec<String> {
        let current = grid.start(view.now);
        let sent = self.candle.replace(current).unwrap_or(current);
        let has_changed = sent < current
            || newest_first(&market.trade_log, grid).next().is_some_and(|candle| candle.last_id > last_sent);
        if !has_changed {
            return Vec::new();
        }
        let candles = contiguous(&market.trade_log, grid, (sent, current), usize::MAX);
        let candles: &[Ohlcv] = &candles[candles.len().saturating_sub(CANDLES_MAX)..];
        candles
            .iter()
            .map(|candle| kline::frame(view, market, interval, grid, candle, candle.start < current))
            .collect()
    }
}

fn find<'a>(view: &FaultView<'a>, subject: &str) -> Option<&'a SimulatedMarket> {
    view.simulation.markets_of(ID).find(|market| market.symbol.to_ascii_lowercase() == subject)
}

/// Parses a name into subject, kind and interval in ms; returns `None` if Binance does not know it.
fn parse(subject: &str, rest: &str) -> Option<(Subject, Kind, i64)> {
    if let Some(many) = subject.strip_prefix('!') {
        let kind = match many {
            "ticker" => Kind::Ticker,
            "miniTicker" => Kind::Mini,
            _ => Kind::Window(ticker_window(many)?),
        };
        return (rest == "arr").then_some((Subject::All, kind, 1000));
    }
    let (kind, option) = rest.split_once('@').map_or((rest, None), |(kind, option)| (kind, Some(option)));
    let (kind, interval) = match (kind, option) {
        ("ticker", None) => (Kind::Ticker, 1000),
        ("miniTicker", None) => (Kind::Mini, 1000),
        ("trade", None) => (Kind::Trade, 0),
        ("aggTrade", None) => (Kind::Aggregate, 0),
        ("bookTicker", None) => (Kind::BookTicker, 0),
        ("avgPrice", None) => (Kind::Average, 1000),
        _ => match (kind.strip_prefix("kline_"), kind.strip_prefix("depth")) {
            (Some(length), _) => {
                let grid = kline::grid(length, option.map_or(Some(0), kline::parse_utc_offset)?)?;
                (Kind::Kline(length.to_owned(), grid), if length == "1s" { 1000 } else { 2000 })
            }
            (_, Some(levels)) => {
                let kind = match levels {
                    "" => Kind::Diff,
                    "5" | "10" | "20" => Kind::Partial(levels.parse().ok()?),
                    _ => return None,
                };
                (kind, option.map_or(Some(1000), |speed| (speed == "100ms").then_some(100))?)
            }
            _ => (Kind::Window(ticker_window(kind).filter(|_| option.is_none())?), 1000),
        },
    };
    Some((Subject::One(subject.to_owned()), kind, interval))
}

/// Returns the window of `ticker_1h`, `ticker_4h` or `ticker_1d`.
fn ticker_window(name: &str) -> Option<String> {
    name.strip_prefix("ticker_").filter(|window| ["1h", "4h", "1d"].contains(window)).map(str::to_owned)
}
