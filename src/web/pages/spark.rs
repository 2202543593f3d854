//! The last day of a market as a small line.

use std::fmt::Write as _;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::super::history::Series;
use super::past::Past;
use super::stage::Stage;
use crate::domain::{Base, Basis, Price, Quote};

/// Width of the ground that the browser stretches: ten for each quarter of an hour.
pub const WIDTH: i64 = 960;

/// Height of it.
pub const HEIGHT: i64 = 200;

/// A line, ready for its template.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Spark {
    pub line: String,
    /// How high the base price lies.
    pub base: Option<i64>,
    /// How high the last price lies.
    pub last: Option<i64>,
}

/// Draws the last day of every row whose past was read.
pub fn draw_all(stage: &Stage<'_>, past: &Past) -> Vec<Option<Spark>> {
    let basis = stage.options.basis;
    let draw_one = |(quote, series): (&Option<std::sync::Arc<Quote>>, &Option<std::sync::Arc<Series>>)| {
        let quote = quote.as_deref();
        // A day that began at midnight has its base in the middle of the line: only that of 24 hours ago is drawn.
        let base = quote.and_then(|quote| quote.base(basis)).filter(|_| basis == Basis::Rolling24h);
        draw(series.as_deref()?, quote, base)
    };
    stage.quotes.iter().zip(&past.days).map(draw_one).collect()
}

/// Draws the closes; a hole ends the line, and what goes on after it begins anew.
fn draw(series: &Series, quote: Option<&Quote>, base: Option<Base>) -> Option<Spark> {
    let (last, base) = (quote.and_then(|quote| quote.last), base.map(|base| base.price));
    let closes = || series.bars.iter().flatten().map(|bar| bar.close).chain(last).chain(base);
    let (top, bottom) = (closes().max()?.get(), closes().min()?.get());
    let range = top.checked_sub(bottom)?;
    let y = |price: Price| height(price.get(), top, range);
    let mut line = String::new();
    let mut at: Option<(i64, i64)> = None;
    let steps = i64::try_from(series.bars.len().max(1)).ok()?;
    for (n, bar) in series.bars.iter().enumerate() {
        let Some(down) = bar.as_ref().and_then(|bar| y(bar.close)) else {
            at = None;
            continue;
        };
        step_to(&mut line, &mut at, (i64::try_from(n + 1).ok()? * WIDTH / steps, down));
    }
    if let (Some(_), Some(down)) = (at, last.and_then(y)) {
        step_to(&mut line, &mut at, (WIDTH, down));
    }
    (!line.is_empty()).then(|| Spark { line, base: base.and_then(y), last: last.and_then(y) })
}

/// Adds a point, relative to the one before it.
fn step_to(line: &mut String, at: &mut Option<(i64, i64)>, (x, y): (i64, i64)) {
    // Writing into a text can't fail.
    let _ = match at {
        Some((from, height)) => write!(line, "l{} {}", x - *from, y - *height),
        None => write!(line, "M{x} {y}"),
    };
    *at = Some((x, y));
}

/// Returns how far down a price is; a range of nothing lies in the middle.
fn height(price: Decimal, top: Decimal, range: Decimal) -> Option<i64> {
    if range.is_zero() {
        return Some(HEIGHT / 2);
    }
    // Divided first: the widest prices times the height are no decimal any more.
    top.checked_sub(price)?.checked_div(range)?.checked_mul(Decimal::from(HEIGHT))?.round().to_i64()
}
