//! One of Binance's named streams: which there are, and what each of them has to say next.
//!
//! Source: github.com/binance/binance-spot-api-docs, web-socket-streams.md.

use std::collections::BTreeMap;

use super::binance::{mini_frame, ticker_frame};
use super::binance_depth::{Told, average_frame, book_ticker_frame, diff_frame, partial_frame};
use super::candle::{Grid, newest_first, unbroken};
use super::figures::Figures;
use super::json::array;
use super::tape::{Bar, Trade};
use super::view::View;
use super::world::Line;
use super::{binance_kline as kline, binance_trade as trade, binance_window as window};

/// Candles of one event stream that are caught up with after a pause.
const CANDLES_MAX: usize = 60;

/// Trades of one poll: after a pause the older ones are passed over.
const BURST_MAX: usize = 1000;

const VENUE: &str = "binance";

/// What a stream tells.
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

/// See the module.
#[derive(Debug)]
pub struct Stream {
    /// `None` for a name that Binance does not know; it acknowledges those too, and never says anything.
    what: Option<(Subject, Kind)>,
    /// Between two events, in ms; 0 sends at once.
    every: i64,
    next_at: i64,
    /// Last trade told of, by symbol.
    seen: BTreeMap<String, u64>,
    /// Begin of the candle told of last.
    candle: Option<i64>,
    told: Told,
}

#[derive(Debug)]
enum Subject {
    All,
    /// In lower case, as in the stream's name.
    One(String),
}

impl Stream {
    /// Reads a stream's name; `None` for one that Binance has and the fake has not.
    pub fn named(name: &str) -> Option<Self> {
        let (subject, rest) = name.split_once('@').unwrap_or((name, ""));
        if matches!(rest, "referencePrice" | "referencePriceCalculation" | "blockTrade") {
            return None;
        }
        let (what, every) = match read(subject, rest) {
            Some((subject, kind, every)) => (Some((subject, kind)), every),
            None => (None, 0),
        };
        Some(Self { what, every, next_at: 0, seen: BTreeMap::new(), candle: None, told: Told::default() })
    }

    /// Begins: a stream of trades tells of none before, but for those that are to be told again.
    pub fn begin(&mut self, view: &View<'_>) {
        if let Some((Subject::One(symbol), Kind::Trade | Kind::Aggregate)) = &self.what {
            let last = find(view, symbol).and_then(|line| line.tape.last());
            let again = u64::from(view.warp.replay);
            self.seen.extend(last.map(|last| (symbol.clone(), last.id.saturating_sub(again))));
        }
    }

    /// Returns what has become due: events, each with its symbol (none for an array of many).
    pub fn poll(&mut self, view: &View<'_>) -> Vec<(String, String)> {
        if view.now < self.next_at {
            return Vec::new();
        }
        let events = match &self.what {
            None => return Vec::new(),
            Some((Subject::All, kind)) => {
                let kind = kind.clone();
                let events: Vec<String> =
                    view.world.lines(VENUE).flat_map(|line| self.event(view, line, &kind)).collect();
                if events.is_empty() { Vec::new() } else { vec![(String::new(), array(events))] }
            }
            Some((Subject::One(symbol), kind)) => {
                let (line, kind) = (find(view, symbol), kind.clone());
                line.map_or_else(Vec::new, |line| {
                    let mut bodies = self.replayed(view, line, &kind);
                    bodies.extend(self.event(view, line, &kind));
                    bodies.into_iter().map(|body| (line.symbol.clone(), body)).collect()
                })
            }
        };
        // A look that found nothing does not use the time up.
        if !events.is_empty() && self.every > 0 {
            self.next_at = view.now - view.now.rem_euclid(self.every) + self.every;
        }
        events
    }

    /// The last tickers once more, before the first of the stream.
    fn replayed(&self, view: &View<'_>, line: &Line, kind: &Kind) -> Vec<String> {
        let spell = match kind {
            Kind::Ticker => ticker_frame,
            Kind::Mini => mini_frame,
            _ => return Vec::new(),
        };
        let (n, last) = (view.warp.replay, line.tape.last().map_or(0, |last| last.id));
        if n == 0 || !self.seen.is_empty() {
            return Vec::new();
        }
        let trades = line.tape.after_id(last.saturating_sub(n.into()), usize::try_from(n).unwrap_or(0));
        trades.map(|trade| spell(&Figures::again(view, line, trade, 0))).collect()
    }

    fn event(&mut self, view: &View<'_>, line: &Line, kind: &Kind) -> Vec<String> {
        let Some(last) = line.tape.last() else { return Vec::new() };
        let subject = line.symbol.to_ascii_lowercase();
        let seen = self.seen.get(&subject).copied().unwrap_or(0);
        if let Kind::Kline(interval, grid) = kind {
            self.seen.insert(subject, last.id);
            return self.klines(view, line, (interval, *grid), seen);
        }
        if last.id <= seen {
            return Vec::new();
        }
        self.seen.insert(subject, last.id);
        let each = |spell: fn(&View<'_>, &Line, &Trade) -> String| {
            line.tape.after_id(seen, BURST_MAX).map(|trade| spell(view, line, trade)).collect()
        };
        match kind {
            Kind::Trade => each(trade::frame),
            Kind::Aggregate => each(trade::aggregate_frame),
            Kind::Ticker => vec![ticker_frame(&Figures::of(view, line, last, 0))],
            Kind::Mini => vec![mini_frame(&Figures::of(view, line, last, 0))],
            Kind::Window(length) => vec![window::frame(view, line, last, length)],
            Kind::BookTicker => vec![book_ticker_frame(view, line, last)],
            Kind::Average => vec![average_frame(view, line)],
            Kind::Partial(levels) => vec![partial_frame(view, line, last, *levels)],
            Kind::Diff => vec![diff_frame(view, line, last, &mut self.told)],
            Kind::Kline(..) => Vec::new(),
        }
    }

    /// The candle of now if it has changed, and before it the closed ones since the last event.
    fn klines(&mut self, view: &View<'_>, line: &Line, (interval, grid): (&str, Grid), seen: u64) -> Vec<String> {
        let now = grid.start(view.now);
        let told = self.candle.replace(now).unwrap_or(now);
        let is_news = told < now || newest_first(&line.tape, grid).next().is_some_and(|candle| candle.last_id > seen);
        if !is_news {
            return Vec::new();
        }
        let candles = unbroken(&line.tape, grid, (told, now), usize::MAX);
        let candles: &[Bar] = &candles[candles.len().saturating_sub(CANDLES_MAX)..];
        candles.iter().map(|candle| kline::frame(view, line, interval, grid, candle, candle.start < now)).collect()
    }
}

fn find<'a>(view: &View<'a>, subject: &str) -> Option<&'a Line> {
    view.world.lines(VENUE).find(|line| line.symbol.to_ascii_lowercase() == subject)
}

/// Takes a name apart: what it is about, what it tells, and how often.
fn read(subject: &str, rest: &str) -> Option<(Subject, Kind, i64)> {
    if let Some(many) = subject.strip_prefix('!') {
        let kind = match many {
            "ticker" => Kind::Ticker,
            "miniTicker" => Kind::Mini,
            _ => Kind::Window(windowed(many)?),
        };
        return (rest == "arr").then_some((Subject::All, kind, 1000));
    }
    let (kind, option) = rest.split_once('@').map_or((rest, None), |(kind, option)| (kind, Some(option)));
    let (kind, every) = match (kind, option) {
        ("ticker", None) => (Kind::Ticker, 1000),
        ("miniTicker", None) => (Kind::Mini, 1000),
        ("trade", None) => (Kind::Trade, 0),
        ("aggTrade", None) => (Kind::Aggregate, 0),
        ("bookTicker", None) => (Kind::BookTicker, 0),
        ("avgPrice", None) => (Kind::Average, 1000),
        _ => match (kind.strip_prefix("kline_"), kind.strip_prefix("depth")) {
            (Some(interval), _) => {
                let grid = kline::grid(interval, option.map_or(Some(0), kline::hours)?)?;
                (Kind::Kline(interval.to_owned(), grid), if interval == "1s" { 1000 } else { 2000 })
            }
            (_, Some(levels)) => {
                let kind = match levels {
                    "" => Kind::Diff,
                    "5" | "10" | "20" => Kind::Partial(levels.parse().ok()?),
                    _ => return None,
                };
                (kind, option.map_or(Some(1000), |speed| (speed == "100ms").then_some(100))?)
            }
            _ => (Kind::Window(windowed(kind).filter(|_| option.is_none())?), 1000),
        },
    };
    Some((Subject::One(subject.to_owned()), kind, every))
}

/// The window of `ticker_1h`, `ticker_4h` or `ticker_1d`.
fn windowed(name: &str) -> Option<String> {
    name.strip_prefix("ticker_").filter(|window| ["1h", "4h", "1d"].contains(window)).map(str::to_owned)
}
