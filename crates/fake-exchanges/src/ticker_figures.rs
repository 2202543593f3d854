//! The figures of a ticker, independent of a venue's format.

use super::fault_view::FaultView;
use super::simulated_market::SimulatedMarket;
use super::trade_log::{Ohlcv, Trade};
use super::units::{plain, ratio};

/// 24 hours in ms.
pub const DAY: i64 = 86_400_000;

/// The figures of one ticker. Prices and base volumes are in units of 10^-8, quote volumes in 10^-16.
#[derive(Debug, Clone)]
pub struct TickerFigures<'a> {
    /// The market.
    pub market: &'a SimulatedMarket,
    /// The last trade, as reported with the view's faults.
    pub trade: Trade,
    /// Close of the venue's previous day.
    pub previous_close: i64,
    /// The venue's current day so far; flat at `previous_close` without trades.
    pub day: Ohlcv,
    /// Price of the last trade before the last 24 hours.
    pub price_24h_ago: i64,
    /// The last 24 hours; flat at `price_24h_ago` without trades.
    pub rolling: Ohlcv,
    /// Time of the message in Unix ms, as reported with the view's faults.
    pub now: i64,
}

impl<'a> TickerFigures<'a> {
    /// Returns the figures as of now with `trade` as the last trade; `offset` (ms) is the offset of the venue's
    /// day from UTC.
    pub fn at_trade(view: &FaultView<'_>, market: &'a SimulatedMarket, trade: &Trade, offset: i64) -> Self {
        let day_start = view.now - (view.now + offset).rem_euclid(DAY);
        let (day_before, day) = window_ohlcv(market, day_start, trade.price);
        let (before, rolling) = window_ohlcv(market, view.now - DAY, trade.price);
        let now = view.reported_time(view.now);
        Self {
            market,
            trade: view.reported_trade(market, trade),
            previous_close: day_before,
            day,
            price_24h_ago: before,
            rolling,
            now,
        }
    }

    /// Returns the figures as of now, or `None` if the market never traded.
    pub fn latest(view: &FaultView<'_>, market: &'a SimulatedMarket, offset: i64) -> Option<Self> {
        Some(Self::at_trade(view, market, market.trade_log.last()?, offset))
    }

    /// Returns the figures of a listed market as of now, by the venue's symbol; `None` if it is unknown or never
    /// traded.
    pub fn by_symbol(view: &FaultView<'a>, venue: &str, symbol: &str, offset: i64) -> Option<Self> {
        Self::latest(view, view.simulation.by_symbol(venue, symbol)?, offset)
    }

    /// Returns the figures of all listed markets of a venue that have traded.
    pub fn all(view: &FaultView<'a>, venue: &'a str, offset: i64) -> impl Iterator<Item = Self> {
        view.simulation.markets_of(venue).filter_map(move |market| Self::latest(view, market, offset))
    }

    /// Returns the figures dated when the trade was made, for a message that repeats an old one.
    pub fn replayed(view: &FaultView<'_>, market: &'a SimulatedMarket, trade: &Trade, offset: i64) -> Self {
        let mut figures = Self::at_trade(view, market, trade, offset);
        figures.now = view.reported_time(trade.at);
        (figures.rolling.last_id, figures.rolling.close) = (trade.id, trade.price);
        figures
    }

    /// Returns the best bid and ask: takers sell at the bid and buy at the ask, and the other side is one tick away.
    pub fn best_prices(&self) -> (i64, i64) {
        let (last, tick) = (self.trade.price, self.market.tick_size());
        if self.trade.taker_sold { (last, last + tick) } else { (last.saturating_sub(tick).max(0), last) }
    }

    /// Returns the value of Upbit's and Bithumb's member `market_state`.
    pub fn market_state(&self) -> &'static str {
        if self.market.halted { "PREVIEW" } else { "ACTIVE" }
    }

    /// Returns the change from the close of the venue's previous day.
    pub fn day_change(&self) -> i64 {
        self.trade.price - self.previous_close
    }

    /// Returns that change as a fraction of the close, times 10^`places`, rounded.
    pub fn day_rate(&self, places: u32) -> i128 {
        ratio(self.day_change().into(), self.previous_close.into(), places)
    }

    /// Returns the change over the last 24 hours.
    pub fn rolling_change(&self) -> i64 {
        self.trade.price - self.price_24h_ago
    }

    /// Returns that change as a fraction of the price of 24 hours ago, times 10^`places`, rounded.
    pub fn rolling_rate(&self, places: u32) -> i128 {
        ratio(self.rolling_change().into(), self.price_24h_ago.into(), places)
    }

    /// Returns the figures of the last 24 hours as members of these names: the change as a fraction with at most
    /// `places` decimal places, the change, high, low (in the format of `number`), base and quote volume.
    pub fn rolling_members<'n>(
        &self,
        names: [&'n str; 6],
        places: u8,
        number: fn(i64) -> String,
    ) -> impl Iterator<Item = (&'n str, String)> {
        let (low, high) = self.range(&self.rolling);
        let rate = plain(self.rolling_rate(places.into()), places.into());
        let [change, high, low] = [self.rolling_change(), high, low].map(number);
        let volumes = [self.rolling.base_volume_text(), self.rolling.quote_volume_text()];
        names.into_iter().zip([rate, change, high, low].into_iter().chain(volumes))
    }

    /// Returns low and high of a span that ends now, the last price as it is reported included.
    pub fn range(&self, span: &Ohlcv) -> (i64, i64) {
        (span.low.min(self.trade.price), span.high.max(self.trade.price))
    }

    /// Returns RISE, FALL or EVEN, compared with the close of the venue's previous day.
    pub fn direction(&self) -> &'static str {
        match self.day_change().signum() {
            1 => "RISE",
            -1 => "FALL",
            _ => "EVEN",
        }
    }
}

/// Returns the last price before `from` and the sums of the trades since; without trades these are flat at that price.
///
/// If no trade before `from` is logged, the price is that of the first trade since, or `price` without any.
pub fn window_ohlcv(market: &SimulatedMarket, from: i64, price: i64) -> (i64, Ohlcv) {
    let sums = market.trade_log.ohlcv_since(from);
    let before = market.trade_log.before(from).map(|trade| trade.price);
    let before = before.or(sums.map(|sums| sums.open)).unwrap_or(price);
    (before, sums.unwrap_or(Ohlcv::flat(from, before)))
}
