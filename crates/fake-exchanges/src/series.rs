//! A recorded series of minute candles in place of the walk.
//!
//! Format: `[[open time in ms, open, high, low, close, base volume], …]`. The series is shifted in time by whole
//! minutes, so that a chosen minute of it is the current one. Each candle makes four trades in the first seconds
//! of its minute; a minute without a candle has no trades.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::Context;
use serde_json::value::RawValue;

use super::trade_log::Trade;
use super::units;

const MINUTE: i64 = 60_000;

/// Number of minutes of a series that lie in the past when the fake exchanges start (all of a shorter series): a day
/// for the change, and one more hour.
pub const HISTORY_MINUTES: usize = 25 * 60;

/// Maximum number of candles: a leap year of minutes.
const CANDLES_MAX: usize = 366 * 24 * 60;

/// A candle; prices (open, high, low, close) and base volume in units of 10^-8.
#[derive(Debug, Clone, Copy)]
struct Candle {
    start: i64,
    prices: [i64; 4],
    volume: i64,
}

/// A series of minute candles, oldest first.
#[derive(Debug, Clone)]
pub struct CandleSeries(Vec<Candle>);

impl CandleSeries {
    /// Reads a series from a file.
    ///
    /// # Errors
    /// If the file can't be read, a row is invalid (the message has its number), or rows are not in order.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading the series {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("series {}", path.display()))
    }

    /// Parses the text of such a file.
    ///
    /// # Errors
    /// If a row is invalid (the message has its number), rows are not in order, or there are none or too many.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let rows: Vec<[&RawValue; 6]> = serde_json::from_str(text).context("not an array of rows of six numbers")?;
        anyhow::ensure!((1..=CANDLES_MAX).contains(&rows.len()), "{} candles, not 1 to {CANDLES_MAX}", rows.len());
        let mut candles: Vec<Candle> = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let candle = candle(row).with_context(|| format!("candle {index}"))?;
            let later = candles.last().is_none_or(|before| before.start < candle.start);
            anyhow::ensure!(later, "candle {index} does not start after the previous one");
            candles.push(candle);
        }
        Ok(Self(candles))
    }

    /// Returns the number of minutes that the series spans.
    pub fn minutes(&self) -> usize {
        let ends = self.0.first().zip(self.0.last());
        ends.map_or(0, |(first, last)| usize::try_from((last.start - first.start) / MINUTE).unwrap_or(0) + 1)
    }

    /// Returns the trades of the series, shifted so that `now` (Unix ms) lies in the minute that follows its first
    /// `minutes` minutes.
    pub fn trades(&self, minutes: usize, now: i64) -> VecDeque<Trade> {
        let first = self.0.first().map_or(0, |first| first.start);
        let past = i64::try_from(minutes).unwrap_or(0) * MINUTE;
        let shift = now - now.rem_euclid(MINUTE) - past - first;
        let trades = self.0.iter().flat_map(|candle| {
            (1..).zip(candle.prices).map(move |(second, price)| Trade {
                at: candle.start + shift + second * 1000,
                price,
                base_volume: (candle.volume / 4).max(1),
                taker_sold: second % 2 == 0,
                id: 0,
            })
        });
        trades.collect()
    }
}

fn candle(row: &[&RawValue; 6]) -> anyhow::Result<Candle> {
    let number = |index: usize| {
        let text = row[index].get();
        let amount = units::parse(text).map_err(|error| anyhow::anyhow!("{text}: {error}"))?;
        units::from_decimal(amount).with_context(|| format!("{text} has more than 8 decimal places or is too large"))
    };
    let start: i64 = row[0].get().parse().context("the open time is not a whole number of ms")?;
    anyhow::ensure!(start.rem_euclid(MINUTE) == 0, "{start} is not the start of a minute");
    let prices = [number(1)?, number(2)?, number(3)?, number(4)?];
    anyhow::ensure!(prices.iter().all(|price| *price > 0), "a price is not above zero");
    Ok(Candle { start, prices, volume: number(5)? })
}
