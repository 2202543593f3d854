//! The last day of a market as a small line.

use std::fmt::Write as _;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::super::history::Series;
use super::past::Past;
use super::plot;
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
    /// Where the newest price is.
    pub last: Option<(i64, i64)>,
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

/// Draws the closes up to the newest price; a hole ends the line, and what goes on after it begins anew.
fn draw(series: &Series, quote: Option<&Quote>, base: Option<Base>) -> Option<Spark> {
    let (last, base) = (quote.and_then(|quote| quote.last), base.map(|base| base.price));
    let prices = || series.pieces.iter().flat_map(|piece| [piece.bar.open, piece.bar.close]).chain(last).chain(base);
    let (top, bottom) = (prices().max()?.get(), prices().min()?.get());
    let range = top.checked_sub(bottom)?;
    let y = |price: Price| height(price.get(), top, range);
    let minutes = plot::minutes(series);
    let x = |minute: usize| i64::try_from(minute).unwrap_or(minutes).min(minutes) * WIDTH / minutes;
    let mut line = String::new();
    let (mut at, mut reached) = (None::<(i64, i64)>, None);
    for piece in &series.pieces {
        if reached != Some(piece.from) {
            at = None;
            step_to(&mut line, &mut at, (x(piece.from), y(piece.bar.open)?));
        }
        step_to(&mut line, &mut at, (x(piece.to), y(piece.bar.close)?));
        reached = Some(piece.to);
    }
    let standing = plot::standing_at(quote).map(|at| at.duration_since(series.start).as_mins());
    let newest = standing.map_or(minutes, |minute| minute.clamp(0, minutes));
    let newest = usize::try_from(newest).unwrap_or(0).max(reached.unwrap_or(0));
    let point = last.and_then(y).map(|y| (x(newest), y));
    if let (Some(reached), Some(point)) = (reached, point)
        && newest <= reached + plot::UNCLOSED_MINUTES
    {
        step_to(&mut line, &mut at, point);
    }
    (!line.is_empty()).then(|| Spark { line, base: base.and_then(y), last: point })
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
