//! A real series of minute candles in the place of the walk: `[[open time in ms, open, high, low, close, base volume], …]`.
//!
//! It is moved in time by whole minutes, so that a chosen minute of it is the
//! present one. Each candle makes four trades in the first seconds of its
//! minute; a minute without a candle has none.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::Context;
use serde_json::value::RawValue;

use super::tape::Trade;
use super::units;
use crate::domain::amount;

const MINUTE: i64 = 60_000;

/// Minutes that are over when a fake starts, if the series has as many: a day for the change, and an hour more.
pub const PAST: usize = 25 * 60;

/// Candles of a year.
const CANDLES_MAX: usize = 366 * 24 * 60;

/// A candle; prices and volume in units of 10^-8.
#[derive(Debug, Clone, Copy)]
struct Candle {
    start: i64,
    prices: [i64; 4],
    volume: i64,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Series(Vec<Candle>);

impl Series {
    /// Reads a file.
    ///
    /// # Errors
    /// If it can't be read, a row is not as it should be (with its number), or they are not in order.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading the series {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("series {}", path.display()))
    }

    /// Reads the text of one; see [`Series::read`].
    ///
    /// # Errors
    /// Likewise.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let rows: Vec<[&RawValue; 6]> = serde_json::from_str(text).context("not an array of rows of six numbers")?;
        anyhow::ensure!((1..=CANDLES_MAX).contains(&rows.len()), "{} candles are none or too many", rows.len());
        let mut candles: Vec<Candle> = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let candle = candle(row).with_context(|| format!("candle {at}"))?;
            let later = candles.last().is_none_or(|before| before.start < candle.start);
            anyhow::ensure!(later, "candle {at} is not after the one before");
            candles.push(candle);
        }
        Ok(Self(candles))
    }

    /// Returns how many minutes it spans.
    pub fn minutes(&self) -> usize {
        let ends = self.0.first().zip(self.0.last());
        ends.map_or(0, |(first, last)| usize::try_from((last.start - first.start) / MINUTE).unwrap_or(0) + 1)
    }

    /// Returns its trades, moved so that its minute `past` is the one that `now` (ms) lies in.
    pub fn trades(&self, past: usize, now: i64) -> VecDeque<Trade> {
        let first = self.0.first().map_or(0, |first| first.start);
        let past = i64::try_from(past).unwrap_or(0) * MINUTE;
        let shift = now - now.rem_euclid(MINUTE) - past - first;
        let trades = self.0.iter().flat_map(|candle| {
            (1..).zip(candle.prices).map(move |(second, price)| Trade {
                at: candle.start + shift + second * 1000,
                price,
                volume: (candle.volume / 4).max(1),
                ask: second % 2 == 0,
                id: 0,
            })
        });
        trades.collect()
    }
}

fn candle(row: &[&RawValue; 6]) -> anyhow::Result<Candle> {
    let number = |at: usize| {
        let text = row[at].get();
        let amount = amount::parse(text).map_err(|error| anyhow::anyhow!("{text}: {error}"))?;
        units::of(amount).with_context(|| format!("{text} is finer than 10^-8 or too large"))
    };
    let start: i64 = row[0].get().parse().context("the time is not in whole ms")?;
    anyhow::ensure!(start.rem_euclid(MINUTE) == 0, "{start} is not the start of a minute");
    let prices = [number(1)?, number(2)?, number(3)?, number(4)?];
    anyhow::ensure!(prices.iter().all(|price| *price > 0), "a price is not above zero");
    Ok(Candle { start, prices, volume: number(5)? })
}
