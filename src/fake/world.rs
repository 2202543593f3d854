//! Every market of every fake venue, and the truth about them.

use std::collections::VecDeque;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::coins::{self, Coin};
use super::fault::is_same;
use super::series::Series;
use super::tape::{KEEP, Tape, Trade};
use super::units;
use super::view::{Warned, Warp};
use super::walk::Walk;

const MINUTE: i64 = 60_000;

/// How much history there is when a world begins, in ms.
const HISTORY: i64 = 27 * 3_600_000;

/// All markets at one instant.
#[derive(Debug, Clone)]
pub struct World {
    now: i64,
    lines: Vec<Line>,
}

/// One market of one venue.
#[derive(Debug, Clone)]
pub struct Line {
    /// The venue's id.
    pub venue: &'static str,
    /// The market's name here: `BTC-KRW`.
    pub market: String,
    /// The venue's spelling now: `KRW-BTC`, `BTCUSDT`.
    pub symbol: String,
    /// Its spelling when the world began.
    own: String,
    /// Whether it does not trade.
    pub halted: bool,
    /// What the venue warns of.
    pub warned: Vec<Warned>,
    /// The day for which its delisting is announced.
    pub leaving: Option<String>,
    /// Whether the venue does not know it any more.
    gone: bool,
    /// The coin.
    pub coin: Coin,
    /// Its trades.
    pub tape: Tape,
    walk: Walk,
    /// The trades to come, where they come from a series and not from the walk.
    series: Option<VecDeque<Trade>>,
    held: bool,
}

/// What is exactly so, straight from the trade list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Price of the last trade.
    pub last: Decimal,
    /// When that was.
    pub traded_at: Timestamp,
    /// For each whole minute that is over, oldest first: its start and the
    /// price of the last trade before its end, traded in it or earlier.
    pub minutes: Vec<(Timestamp, Decimal)>,
}

impl World {
    /// Makes the world of a seed with 27 hours of history, as it is at `begin`.
    pub fn new(seed: u64, begin: Timestamp) -> Self {
        Self::of(seed, begin, |_, _| true)
    }

    /// [`World::new`] with only those markets that `wanted` names, by venue and market; their prices are the same.
    pub fn of(seed: u64, begin: Timestamp, wanted: impl Fn(&str, &str) -> bool) -> Self {
        let now = begin.as_millisecond();
        let from = now - HISTORY - now.rem_euclid(MINUTE);
        let mut lines = Vec::new();
        for venue in coins::VENUES {
            for (index, coin) in coins::ALL.iter().copied().enumerate() {
                if venue == "binance" && coin.usdt == 0 {
                    continue;
                }
                let (quote, symbol) = match venue {
                    "binance" => ("USDT", format!("{}USDT", coin.id)),
                    _ => ("KRW", format!("KRW-{}", coin.id)),
                };
                let market = format!("{}-{quote}", coin.id);
                if !wanted(venue, &market) {
                    continue;
                }
                let walk = Walk::new(seed, venue, (index, coin), from, now);
                let own = symbol.clone();
                let (halted, gone, held) = (false, false, false);
                lines.push(Line {
                    venue,
                    market,
                    symbol,
                    own,
                    halted,
                    warned: Vec::new(),
                    leaving: None,
                    gone,
                    coin,
                    tape: Tape::default(),
                    walk,
                    series: None,
                    held,
                });
            }
        }
        let mut world = Self { now: from, lines };
        world.advance(begin);
        world
    }

    /// Makes a world in which each venue lists bitcoin alone, at the prices of a series whose minute `past` is that of `begin`.
    pub fn of_series(series: &Series, past: usize, begin: Timestamp) -> Self {
        let mut world = Self::new(0, begin);
        world.lines.retain(|line| line.coin.id == "BTC");
        for line in &mut world.lines {
            line.tape = Tape::default();
            line.series = Some(series.trades(past, begin.as_millisecond()));
        }
        world.advance(begin);
        world
    }

    /// Trades up to and including `to`; an instant that is past changes nothing.
    pub fn advance(&mut self, to: Timestamp) {
        self.now = self.now.max(to.as_millisecond());
        for line in &mut self.lines {
            let trades = match &mut line.series {
                Some(series) => series.drain(..series.partition_point(|trade| trade.at <= self.now)).collect(),
                None => line.walk.release(self.now),
            };
            for trade in trades {
                if !line.held && !line.halted {
                    line.tape.push(trade);
                }
            }
        }
    }

    /// Returns the instant it has come to, in Unix ms.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Returns the markets of a venue.
    pub fn lines<'a>(&'a self, venue: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.venue == venue && !line.gone)
    }

    /// Returns every market of every venue.
    pub fn all(&self) -> &[Line] {
        &self.lines
    }

    /// Returns a market by the venue's spelling.
    pub fn by_symbol(&self, venue: &str, symbol: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.venue == venue && !line.gone && line.symbol == symbol)
    }

    /// Returns a market by its name here, such as `BTC-KRW`.
    pub fn line(&self, venue: &str, market: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.venue == venue && line.market == market)
    }

    /// Halts, warns of, delists and renames the markets of a venue, and undoes it for all others of it.
    pub fn bend(&mut self, venue: &str, warp: &Warp) {
        for line in self.lines.iter_mut().filter(|line| line.venue == venue) {
            line.halted = warp.halted.iter().any(|name| line.is_called(name));
            let of = |name: &String| line.is_called(name);
            let warned: Vec<Warned> =
                warp.warned.iter().filter(|(name, _)| of(name)).map(|(_, kind)| kind.clone()).collect();
            let leaving = warp.leaving.iter().find(|(name, _)| of(name)).map(|(_, day)| day.clone());
            (line.warned, line.leaving) = (warned, leaving);
            line.gone = warp.gone.iter().any(|name| line.is_called(name));
            let renamed = warp.renamed.iter().find(|(from, _)| line.is_called(from));
            let symbol = renamed.map_or(&line.own, |(_, to)| to);
            if line.symbol != *symbol {
                line.symbol = symbol.clone();
            }
        }
    }

    /// Trades a market at exactly `price` now, and holds its walk still or lets it go on from there.
    ///
    /// # Errors
    /// A sentence, if there is no such market or the price is not above zero
    /// or finer than 10^-8.
    pub fn set_price(&mut self, venue: &str, market: &str, price: Decimal, hold: bool) -> Result<(), String> {
        let units = units::of(price).filter(|units| *units > 0);
        let units = units.ok_or_else(|| format!("price {price} is not above zero in whole steps of 10^-8"))?;
        let now = self.now;
        let line = self.lines.iter_mut().find(|line| line.venue == venue && line.market == market);
        let line = line.ok_or_else(|| format!("no market {market:?} at venue {venue:?}"))?;
        line.walk.set(units);
        line.held = hold;
        if line.halted {
            return Ok(());
        }
        line.tape.push(Trade { at: now, price: units, volume: units::ONE / 100, ask: false, id: 0 });
        Ok(())
    }

    /// Returns what is so in a market, or `None` if it is not listed or never traded.
    pub fn truth(&self, venue: &str, market: &str) -> Option<Truth> {
        self.line(venue, market)?.truth(self.now)
    }
}

impl Line {
    /// Returns Upbit's and Bithumb's word for whether the market is on the watch list.
    pub fn market_warning(&self) -> &'static str {
        if self.warned.contains(&Warned::Warning) { "CAUTION" } else { "NONE" }
    }

    /// Returns whether the market goes by this name: `KRW-BTC`, `BTC-KRW`, `BTCUSDT`.
    pub fn is_called(&self, name: &str) -> bool {
        *name == self.own || *name == self.market || is_same(name, &self.own)
    }

    /// Returns what is so at `now` (ms).
    pub fn truth(&self, now: i64) -> Option<Truth> {
        let last = self.tape.last()?;
        let mut minutes = Vec::new();
        let mut trades = self.tape.trades().peekable();
        let first = trades.peek()?.at;
        let mut end = first - first.rem_euclid(MINUTE) + MINUTE;
        let mut close = None;
        while end <= now {
            while let Some(trade) = trades.next_if(|trade| trade.at < end) {
                close = Some(trade.price);
            }
            let start = Timestamp::from_millisecond(end - MINUTE).ok()?;
            minutes.extend(close.map(|close| (start, units::decimal(close).normalize())));
            end += MINUTE;
        }
        let traded_at = Timestamp::from_millisecond(last.at).ok()?;
        Some(Truth { last: units::decimal(last.price).normalize(), traded_at, minutes })
    }

    /// Returns the price step at the last price, in units.
    pub fn tick(&self) -> i64 {
        self.tick_at(self.tape.last().map_or(0, |trade| trade.price))
    }

    /// Returns the price step at a price, both in units.
    pub fn tick_at(&self, price: i64) -> i64 {
        self.walk.tick(price)
    }
}

const _: () = assert!(HISTORY < KEEP, "history is kept whole when the world begins");
