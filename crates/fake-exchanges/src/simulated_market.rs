//! The simulated markets of all fake venues, and their exact prices.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::assets::{self, Asset};
use super::fault_effects::{FaultEffects, MarketWarning};
use super::listing::Listing;
use super::older_candles::OlderCandles;
use super::series::CandleSeries;
use super::trade_log::{RETENTION, Trade, TradeLog};
use super::units;
use super::walk::Walk;

const MINUTE: i64 = 60_000;

/// Default length of the history before the start, and the longest part of it that has single trades; before that
/// there are only minute candles.
pub const HISTORY: Duration = Duration::from_hours(27);

/// Longest history.
const HISTORY_MAX: Duration = Duration::from_hours(366 * 24);

/// All markets as of one instant.
#[derive(Debug, Clone)]
pub struct Simulation {
    now: i64,
    markets: Vec<SimulatedMarket>,
}

/// One market of one venue.
#[derive(Debug, Clone)]
pub struct SimulatedMarket {
    /// The venue's id.
    pub venue: &'static str,
    /// The venue's listing that it belongs to.
    pub listing: Listing,
    /// The market's name, base and quote: `BTC-KRW`.
    pub name: String,
    /// The venue's current symbol: `KRW-BTC`, `BTCUSDT`.
    pub symbol: String,
    /// The venue's symbol without a `rename` fault.
    original_symbol: String,
    /// Whether trading is halted.
    pub halted: bool,
    /// The venue's warnings in force.
    pub warnings: Vec<MarketWarning>,
    /// The announced delisting date, such as `2026-12-01`.
    pub delisting_date: Option<String>,
    /// Whether the venue does not list it any more.
    delisted: bool,
    /// The base asset.
    pub asset: Asset,
    /// The trade log.
    pub trade_log: TradeLog,
    walk: Walk,
    /// The trades to come if they are those of a series; `None` takes them from the walk.
    series: Option<VecDeque<Trade>>,
    /// Whether a price set from outside is held; no trades are made meanwhile.
    price_held: bool,
}

/// The closes of a market's minutes: complete, so that a minute of the span without a close had no trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteCloses {
    /// From the start of the first minute of the history to the end of the last complete minute.
    pub span: Range<Timestamp>,
    /// Start and last price of each minute that had trades, oldest first.
    pub closes: Vec<(Timestamp, Decimal)>,
}

/// The exact prices of a market, read directly from the trade log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Price of the last trade.
    pub last: Decimal,
    /// Time of the last trade.
    pub traded_at: Timestamp,
    /// The closes of all complete minutes, oldest first: the minute's start, and the price of the last trade
    /// before its end, whether that was in this minute or earlier.
    pub minutes: Vec<(Timestamp, Decimal)>,
}

impl Simulation {
    /// Creates a simulation of the markets of `listings` for which `wanted(venue, market)` is true, with a history
    /// (whole minutes, at most a year) up to `begin`. The prices of a market don't depend on which others there are, nor
    /// those of the newest 27 hours on how long the history is.
    pub fn of_listings(
        listings: &[Listing],
        seed: u64,
        (begin, history): (Timestamp, Duration),
        wanted: impl Fn(&str, &str) -> bool,
    ) -> Self {
        let now = begin.as_millisecond();
        let minutes = |length: Duration| i64::try_from(length.as_secs() / 60).unwrap_or(0);
        let newest_minutes = minutes(history.min(HISTORY));
        let older_minutes = minutes(history.min(HISTORY_MAX)) - newest_minutes;
        let from = now - newest_minutes * MINUTE - now.rem_euclid(MINUTE);
        let mut markets = Vec::new();
        for listing in listings {
            for (index, asset) in assets::ALL.iter().copied().enumerate() {
                let market = format!("{}-{}", asset.id, listing.quote);
                if (listing.reference_price)(&asset) == 0 || !wanted(listing.venue, &market) {
                    continue;
                }
                let symbol = (listing.symbol)(asset.id);
                let (halted, delisted, price_held) = (false, false, false);
                let walk = Walk::new(seed, *listing, (index, asset), from, now);
                let older = (older_minutes > 0).then(|| OlderCandles::new(walk.clone(), older_minutes));
                markets.push(SimulatedMarket {
                    venue: listing.venue,
                    listing: *listing,
                    name: market,
                    original_symbol: symbol.clone(),
                    symbol,
                    halted,
                    warnings: Vec::new(),
                    delisting_date: None,
                    delisted,
                    asset,
                    trade_log: older.map_or_else(TradeLog::default, TradeLog::after),
                    walk,
                    series: None,
                    price_held,
                });
            }
        }
        let mut simulation = Self { now: from, markets };
        simulation.advance(begin);
        simulation
    }

    /// Creates a simulation in which each of `listings` has only BTC, at the prices of a series.
    ///
    /// The minute that contains `begin` is the one of the series that follows its first `minutes` minutes.
    pub fn of_series(listings: &[Listing], series: &CandleSeries, minutes: usize, begin: Timestamp) -> Self {
        let mut simulation = Self::of_listings(listings, 0, (begin, HISTORY), |_, market| market.starts_with("BTC-"));
        for market in &mut simulation.markets {
            market.trade_log = TradeLog::default();
            market.series = Some(series.trades(minutes, begin.as_millisecond()));
        }
        simulation.advance(begin);
        simulation
    }

    /// Makes the trades up to and including `to`; does nothing if `to` is in the past.
    pub fn advance(&mut self, to: Timestamp) {
        self.now = self.now.max(to.as_millisecond());
        for market in &mut self.markets {
            let trades = match &mut market.series {
                Some(series) => series.drain(..series.partition_point(|trade| trade.at <= self.now)).collect(),
                None => market.walk.trades_until(self.now),
            };
            for trade in trades {
                if !market.price_held && !market.halted {
                    market.trade_log.push(trade);
                }
            }
        }
    }

    /// Returns the current instant in Unix ms.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Returns the markets that a venue lists.
    pub fn markets_of<'a>(&'a self, venue: &'a str) -> impl Iterator<Item = &'a SimulatedMarket> {
        self.markets.iter().filter(move |market| market.venue == venue && !market.delisted)
    }

    /// Returns all markets of all venues, delisted ones included.
    pub fn all_markets(&self) -> &[SimulatedMarket] {
        &self.markets
    }

    /// Returns a listed market by the venue's symbol.
    pub fn by_symbol(&self, venue: &str, symbol: &str) -> Option<&SimulatedMarket> {
        self.markets.iter().find(|market| market.venue == venue && !market.delisted && market.symbol == symbol)
    }

    /// Returns a market by its name, such as `BTC-KRW`, delisted ones included.
    pub fn market(&self, venue: &str, market: &str) -> Option<&SimulatedMarket> {
        self.markets.iter().find(|found| found.venue == venue && found.name == market)
    }

    /// Sets which markets of a venue are halted, warned of, delisted and renamed to exactly those of `effects`.
    pub fn apply_effects(&mut self, venue: &str, effects: &FaultEffects) {
        for market in self.markets.iter_mut().filter(|market| market.venue == venue) {
            market.halted = effects.halted.iter().any(|name| market.has_name(name));
            let names = |name: &String| market.has_name(name);
            let warned: Vec<MarketWarning> =
                effects.warnings.iter().filter(|(name, _)| names(name)).map(|(_, kind)| kind.clone()).collect();
            let leaving = effects.delistings.iter().find(|(name, _)| names(name)).map(|(_, date)| date.clone());
            (market.warnings, market.delisting_date) = (warned, leaving);
            market.delisted = effects.delisted.iter().any(|name| market.has_name(name));
            let renamed = effects.renamed.iter().find(|(from, _)| market.has_name(from));
            let symbol = renamed.map_or(&market.original_symbol, |(_, to)| to);
            if market.symbol != *symbol {
                market.symbol = symbol.clone();
            }
        }
    }

    /// Trades a market at exactly `price` now. With `hold` it makes no further trades until the next call; else
    /// its walk continues from there. A halted market does not trade.
    ///
    /// # Errors
    /// A message, if there is no such market, or the price is not above zero or has more than 8 decimal places.
    pub fn set_price(&mut self, venue: &str, market: &str, price: Decimal, hold: bool) -> Result<(), String> {
        let units = units::from_decimal(price).filter(|units| *units > 0);
        let units = units.ok_or_else(|| format!("price {price} must be above zero, with at most 8 decimal places"))?;
        let now = self.now;
        let found = self.markets.iter_mut().find(|found| found.venue == venue && found.name == market);
        let found = found.ok_or_else(|| format!("no market {market:?} at venue {venue:?}"))?;
        found.walk.set_price(units);
        found.price_held = hold;
        if found.halted {
            return Ok(());
        }
        found.trade_log.push(Trade { at: now, price: units, base_volume: units::ONE / 100, taker_sold: false, id: 0 });
        Ok(())
    }

    /// Returns the exact prices of a market, or `None` if it does not exist or never traded.
    pub fn truth(&self, venue: &str, market: &str) -> Option<Truth> {
        self.market(venue, market)?.truth(self.now)
    }
}

impl SimulatedMarket {
    /// Returns the value of Upbit's and Bithumb's member `market_warning`.
    pub fn market_warning(&self) -> &'static str {
        if self.warnings.contains(&MarketWarning::WatchList) { "CAUTION" } else { "NONE" }
    }

    /// Returns whether this is the market's name or its original symbol, in any spelling: `KRW-BTC`, `BTC-KRW`,
    /// `BTCUSDT`.
    pub fn has_name(&self, name: &str) -> bool {
        *name == self.original_symbol || *name == self.name || names_same_market(name, &self.original_symbol)
    }

    /// Returns the market's exact prices, with the minutes that are complete at `now` (Unix ms).
    pub fn truth(&self, now: i64) -> Option<Truth> {
        let last = self.trade_log.last()?;
        let (mut minutes, mut closes) = (Vec::new(), self.trade_log.minute_closes().into_iter().peekable());
        let (mut start, mut close) = *closes.peek()?;
        while start + MINUTE <= now {
            close = closes.next_if(|(traded, _)| *traded == start).map_or(close, |(_, price)| price);
            minutes.push((Timestamp::from_millisecond(start).ok()?, units::to_decimal(close).normalize()));
            start += MINUTE;
        }
        let traded_at = Timestamp::from_millisecond(last.at).ok()?;
        Some(Truth { last: units::to_decimal(last.price).normalize(), traded_at, minutes })
    }

    /// Returns the closes of the minutes that are complete at `now` (Unix ms), or `None` if the market never traded.
    pub fn minute_closes(&self, now: i64) -> Option<MinuteCloses> {
        let end = now - now.rem_euclid(MINUTE);
        let instant = |at: i64| Timestamp::from_millisecond(at).ok();
        let closes = self.trade_log.minute_closes();
        let span = instant(closes.first()?.0.min(end))?..instant(end)?;
        let complete = closes.into_iter().take_while(|(start, _)| *start < end);
        let closes = complete.map(|(start, close)| Some((instant(start)?, units::to_decimal(close).normalize())));
        Some(MinuteCloses { span, closes: closes.collect::<Option<_>>()? })
    }

    /// Returns the tick size at the last price, in units.
    pub fn tick_size(&self) -> i64 {
        self.tick_size_at(self.trade_log.last().map_or(0, |trade| trade.price))
    }

    /// Returns the tick size at a price, both in units.
    pub fn tick_size_at(&self, price: i64) -> i64 {
        self.walk.tick_size_at(price)
    }
}

/// Returns whether two spellings such as `KRW-BTC`, `BTC-KRW`, `BTC_KRW`, `BTC/USD` or `BTCUSDT` name the same market.
pub fn names_same_market(name: &str, symbol: &str) -> bool {
    let sides = |text: &str| {
        let mut sides: Vec<String> = text.split(['-', '_', '/']).map(str::to_ascii_uppercase).collect();
        sides.sort_unstable();
        sides
    };
    sides(name) == sides(symbol) || name.replace(['-', '/'], "").eq_ignore_ascii_case(symbol)
}

const _: () = assert!(HISTORY.as_millis() < RETENTION.unsigned_abs() as u128, "the history must be retained");
