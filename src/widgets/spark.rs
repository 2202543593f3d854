//! Sparklines: the last 24 hours of a market as a small line.

use std::fmt::Write as _;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::context::RenderContext;
use super::plot;
use super::series::{PageHistory, Series};
use crate::market::{Base, Basis, Price, Quote};

/// Width of the view box, which the browser stretches: 10 units for 15 minutes.
pub const WIDTH: i64 = 960;

/// Height of the view box.
pub const HEIGHT: i64 = 200;

/// The template data of a sparkline.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Spark {
    pub line: String,
    /// The y coordinate of the base price.
    pub base: Option<i64>,
    /// Position of the newest price.
    pub last: Option<(i64, i64)>,
}

/// Draws a sparkline for every row whose history was loaded.
pub fn draw_all(context: &RenderContext<'_>, history: &PageHistory) -> Vec<Option<Spark>> {
    let basis = context.options.basis;
    let draw_one = |(quote, series): (&Option<std::sync::Arc<Quote>>, &Option<std::sync::Arc<Series>>)| {
        let quote = quote.as_deref();
        // Only the base of 24 hours ago is drawn: that of a day basis lies somewhere along the line.
        let base = quote.and_then(|quote| quote.base(basis)).filter(|_| basis == Basis::Rolling24h);
        draw(series.as_deref()?, quote, base)
    };
    context.quotes.iter().zip(&history.days).map(draw_one).collect()
}

/// Draws the closes up to the newest price; a gap interrupts the line.
fn draw(series: &Series, quote: Option<&Quote>, base: Option<Base>) -> Option<Spark> {
    let (last, base) = (quote.and_then(|quote| quote.last), base.map(|base| base.price));
    let prices =
        || series.segments.iter().flat_map(|segment| [segment.bar.open, segment.bar.close]).chain(last).chain(base);
    let (top, bottom) = (prices().max()?.get(), prices().min()?.get());
    let range = top.checked_sub(bottom)?;
    let y = |price: Price| height(price.get(), top, range);
    let minutes = plot::minutes(series);
    let x = |minute: usize| i64::try_from(minute).unwrap_or(minutes).min(minutes) * WIDTH / minutes;
    let mut line = String::new();
    let (mut at, mut reached) = (None::<(i64, i64)>, None);
    for segment in &series.segments {
        if reached != Some(segment.from) {
            at = None;
            step_to(&mut line, &mut at, (x(segment.from), y(segment.bar.open)?));
        }
        step_to(&mut line, &mut at, (x(segment.to), y(segment.bar.close)?));
        reached = Some(segment.to);
    }
    let standing = plot::last_drawn_at(quote).map(|at| at.duration_since(series.start).as_mins());
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

/// Appends a point, relative to the previous one.
fn step_to(line: &mut String, at: &mut Option<(i64, i64)>, (x, y): (i64, i64)) {
    // Writing to a string can't fail.
    let _ = match at {
        Some((from, height)) => write!(line, "l{} {}", x - *from, y - *height),
        None => write!(line, "M{x} {y}"),
    };
    *at = Some((x, y));
}

/// Returns the y coordinate of a price, 0 being the top; a range of zero is drawn in the middle.
fn height(price: Decimal, top: Decimal, range: Decimal) -> Option<i64> {
    if range.is_zero() {
        return Some(HEIGHT / 2);
    }
    // Divided first: the largest price times the height would overflow a decimal.
    top.checked_sub(price)?.checked_div(range)?.checked_mul(Decimal::from(HEIGHT))?.round().to_i64()
}
