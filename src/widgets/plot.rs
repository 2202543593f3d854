//! Draws the price history of a market as SVG, complete without script.
//!
//! Paths use integer coordinates in a view box that the browser stretches to the width of the page; labels are placed
//! outside it, so they are not distorted. Prices are mapped to coordinates by decimal arithmetic, without floats.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::series::Series;
use crate::locale;
use crate::locale::Lang;
use crate::market::history::{Bar, Segment};
use crate::market::{Base, Direction, Minute, Price, Quote, State};
use crate::options::Span;

/// Width of the drawing area in its own units.
const WIDTH: i64 = 10_000;

/// Height of the drawing area, in thousandths of an em of the labels, so that a plot scales with the surrounding text.
const HEIGHT: i64 = 14_500;

/// Position of the bottom line; the label of the lowest price is between it and the drawing area.
const FOOT: i64 = HEIGHT + 1_800;

/// Space above the drawing area for the label of the highest price.
const ABOVE: i64 = 2_200;

/// Labels closer to a side than this part of `WIDTH` are aligned inwards.
const EDGE: i64 = 1_800;

/// Maximum gap between the last close and the newest price over which the line is continued, in minutes.
///
/// The minute of the newest price has not closed yet.
pub const UNCLOSED_MINUTES: usize = 2;

/// Ticks closer to a side than this part of `WIDTH` are left out.
const TICK_EDGE: i64 = 500;

/// A history that begins within this part of the span counts as complete: 1 hour of a day, 7 of a week.
const COMPLETE_FROM: i64 = WIDTH / 24;

/// Maximum width of the note about the beginning of the history, as a part of `WIDTH`.
const NOTE_WIDTH: i64 = WIDTH * 3 / 4;

/// The template data of a plot.
#[derive(Debug)]
pub struct Plot {
    pub id: &'static str,
    pub title: &'static str,
    pub desc: String,
    pub direction: &'static str,
    pub line: String,
    pub area: String,
    /// The base line: its left end and its height.
    pub base: Option<(i64, i64)>,
    pub base_text: String,
    pub high: Option<Label>,
    pub low: Option<Label>,
    pub ticks: Vec<Tick>,
    /// Position of the newest price: x and y.
    pub last: Option<(String, String)>,
    pub state: &'static str,
    pub empty: Option<&'static str>,
    /// Note on when the history begins, if it does not cover the span: y and text.
    pub since: Option<(String, String)>,
    /// The data with which the script reads out single points.
    pub read_out: ReadOut,
}

/// The data of a plot, as attributes for the script that reads out the point under the pointer or the keyboard cursor.
#[derive(Debug)]
pub struct ReadOut {
    pub start: String,
    pub end: String,
    pub step_secs: u32,
    pub digits: u32,
    /// The price at the top of the drawing area, and at the bottom.
    pub top: String,
    pub bottom: String,
    /// One close for each step, separated by spaces; `-` for a gap.
    pub closes: String,
}

/// A positioned label.
#[derive(Debug)]
pub struct Label {
    pub x: String,
    pub y: String,
    pub anchor: &'static str,
    pub text: String,
}

/// A labelled tick on the time axis.
#[derive(Debug)]
pub struct Tick {
    pub x: String,
    pub text: String,
}

impl Plot {
    /// Draws a series, with the last price of the row at its end.
    pub fn new(series: &Series, quote: Option<&Quote>, base: Option<Base>, lang: Lang) -> Self {
        let span = series.query.span;
        let last = quote.and_then(|quote| quote.last);
        // The base line belongs to the 24-hour change, so a week has none.
        let base = base.filter(|_| span == Span::Day);
        let segments = series.segments.as_slice();
        let digits = quote.map_or(0, |quote| quote.digits);
        let shown = |price: Price| locale::grouped(price.get(), digits);
        let axes = Axes::new(series, last, base);
        let point = axes.as_ref().zip(last).and_then(|(axes, last)| axes.point(series, quote, last));
        let (line, area) = axes.as_ref().map_or_else(Default::default, |axes| axes.paths(segments, point));
        let first = segments.first().map(|segment| segment.bar.open);
        let direction = match (base, first, last) {
            (Some(base), _, Some(last)) => direction(base.price, last),
            (None, Some(first), Some(last)) => direction(first, last),
            _ => Direction::Even,
        };
        // Extremes of the minute closes and the newest price, whatever the step of the line.
        let newest = axes.as_ref().zip(last.zip(point)).map(|(axes, (last, (x, _)))| (axes.minute_at(x), last));
        let middle = |segment: &Segment| (segment.from + segment.to) / 2;
        let highs = segments.iter().map(|segment| (middle(segment), segment.bar.high)).chain(newest);
        let lows = segments.iter().map(|segment| (middle(segment), segment.bar.low)).chain(newest);
        let (top, bottom) = (highs.max_by_key(|(_, price)| *price), lows.min_by_key(|(_, price)| *price));
        let since = axes.as_ref().and_then(|axes| axes.since(series, lang)).map(|note| {
            // Left of the line if it fits; else at the bottom, or at the top if only the low has its label there.
            let first = segments.first().zip(axes.as_ref()).map_or(0, |(segment, axes)| axes.x_of_minute(segment.from));
            let near = |extreme: Option<(usize, Price)>| {
                extreme.zip(axes.as_ref()).is_some_and(|((at, _), axes)| axes.x_of_minute(at) < NOTE_WIDTH)
            };
            let down = match (near(top), near(bottom)) {
                _ if first > NOTE_WIDTH => ABOVE + HEIGHT / 2,
                (false, true) => ABOVE - 650,
                _ => ABOVE + HEIGHT + 1_350,
            };
            (em(down), note)
        });
        let label =
            |at: usize, price: Price, below: bool| axes.as_ref().map(|axes| axes.label(at, price, below, shown(price)));
        Self {
            id: span.keyword(),
            title: title(span, lang),
            desc: describe(
                top.map(|(_, price)| shown(price)),
                bottom.map(|(_, price)| shown(price)),
                last.map(shown),
                since.as_ref().map(|(_, note)| note.as_str()),
                lang,
            ),
            direction: direction.as_str(),
            line,
            area,
            base: axes.as_ref().zip(base).and_then(|(axes, base)| Some((axes.x(base.at).max(0), axes.y(base.price)?))),
            base_text: base.map_or_else(String::new, |base| locale::base(&base, lang)),
            high: top.and_then(|(at, price)| label(at, price, false)),
            low: bottom.and_then(|(at, price)| label(at, price, true)),
            ticks: ticks(series, lang),
            last: point.map(|(x, y)| (percent(x), em(y + ABOVE))),
            state: quote.map_or(State::Unknown, |quote| quote.state).as_str(),
            empty: segments
                .is_empty()
                .then(|| lang.pick("아직 데이터가 없습니다", "No data yet", "まだデータがありません")),
            since,
            read_out: ReadOut::new(series, axes.as_ref(), digits),
        }
    }
}

impl ReadOut {
    fn new(series: &Series, axes: Option<&Axes>, digits: u32) -> Self {
        let plain = |price: Decimal| price.normalize().to_string();
        let close = |bar: &Option<Bar>| bar.map_or_else(|| "-".to_owned(), |bar| plain(bar.close.get()));
        Self {
            start: format!("{:.0}", series.start),
            end: format!("{:.0}", series.end),
            step_secs: series.query.step.minutes * 60,
            digits,
            top: axes.map_or_else(String::new, |axes| plain(axes.top)),
            bottom: axes.map_or_else(String::new, |axes| plain(axes.top.saturating_sub(axes.range))),
            closes: series.bars.iter().map(close).collect::<Vec<_>>().join(" "),
        }
    }
}

/// Maps times and prices to coordinates of the drawing area.
struct Axes {
    start: Timestamp,
    minutes: i64,
    top: Decimal,
    range: Decimal,
}

impl Axes {
    /// Returns `None` if there is no price at all.
    fn new(series: &Series, last: Option<Price>, base: Option<Base>) -> Option<Self> {
        let (base, segments) = (base.map(|base| base.price), &series.segments);
        let highs = segments.iter().map(|segment| segment.bar.high).chain(last).chain(base);
        let lows = segments.iter().map(|segment| segment.bar.low).chain(last).chain(base);
        let (top, bottom) = (highs.max()?.get(), lows.min()?.get());
        let minutes = minutes(series);
        let range = top.checked_sub(bottom)?;
        Some(Self { start: series.start, minutes, top, range })
    }

    /// Returns the x coordinate of a time; negative before the start of the series.
    fn x(&self, at: Timestamp) -> i64 {
        let passed = at.duration_since(self.start).as_secs();
        passed.saturating_mul(WIDTH) / (self.minutes * 60)
    }

    /// Returns the x coordinate of the beginning of a minute of the series.
    fn x_of_minute(&self, minute: usize) -> i64 {
        i64::try_from(minute).unwrap_or(i64::MAX).min(self.minutes) * WIDTH / self.minutes
    }

    /// Returns the note on when the history begins, or `None` if it covers the span.
    fn since(&self, series: &Series, lang: Lang) -> Option<String> {
        let first = series.segments.first().filter(|segment| self.x_of_minute(segment.from) > COMPLETE_FROM)?;
        let minutes = i64::try_from(first.from).unwrap_or(0);
        let at = locale::stamp(series.start.checked_add(SignedDuration::from_mins(minutes)).ok()?, lang);
        Some(lang.pick(format!("{at} 이후 데이터"), format!("data since {at}"), format!("{at}以降のデータ")))
    }

    /// Returns the minute of the series at an x coordinate.
    fn minute_at(&self, x: i64) -> usize {
        usize::try_from(x * self.minutes / WIDTH).unwrap_or(0)
    }

    /// Returns the position of the newest price.
    fn point(&self, series: &Series, quote: Option<&Quote>, last: Price) -> Option<(i64, i64)> {
        let known_until = series.segments.last().map_or(0, |segment| self.x_of_minute(segment.to));
        let at = last_drawn_at(quote).map_or(WIDTH, |at| self.x(at).clamp(0, WIDTH));
        Some((at.max(known_until), self.y(last)?))
    }

    /// Returns the y coordinate of a price; 0 is the top.
    fn y(&self, price: Price) -> Option<i64> {
        if self.range.is_zero() {
            return Some(HEIGHT / 2);
        }
        // Divided first: the largest price times the height would overflow a decimal.
        let down = self.top.checked_sub(price.get())?.checked_div(self.range)?;
        down.checked_mul(Decimal::from(HEIGHT))?.round().to_i64()
    }

    /// Returns the line up to the newest price, and the area below it. A gap interrupts both.
    fn paths(&self, segments: &[Segment], point: Option<(i64, i64)>) -> (String, String) {
        let (mut line, mut area, mut run) = (String::new(), String::new(), Vec::<(i64, i64)>::new());
        let mut reached = None;
        for segment in segments {
            if reached != Some(segment.from) {
                end_run(&mut run, &mut line, &mut area);
            }
            self.draw(segment, &mut run);
            reached = Some(segment.to);
        }
        if let (Some(reached), Some((x, y))) = (reached, point)
            && self.minute_at(x) <= reached + UNCLOSED_MINUTES
        {
            run.push((x, y));
        }
        end_run(&mut run, &mut line, &mut area);
        (line, area)
    }

    /// Adds a segment to a line. Whether its high or its low came first is unknown; a segment is only a few pixels
    /// wide.
    fn draw(&self, segment: &Segment, run: &mut Vec<(i64, i64)>) {
        let Segment { bar, .. } = segment;
        let (from, to) = (self.x_of_minute(segment.from), self.x_of_minute(segment.to));
        let (second, third) = if bar.close < bar.open { (bar.high, bar.low) } else { (bar.low, bar.high) };
        let third_of = (to - from) / 3;
        let points = [(from, bar.open), (from + third_of, second), (to - third_of, third), (to, bar.close)];
        for (x, price) in points {
            let Some(y) = self.y(price) else { continue };
            if run.last() == Some(&(x, y)) {
                continue;
            }
            // A point between two others at the same height is redundant.
            if let [.., (_, first), (_, second)] = run.as_slice()
                && (*first, *second) == (y, y)
            {
                run.pop();
            }
            run.push((x, y));
        }
    }

    fn label(&self, at: usize, price: Price, below: bool, text: String) -> Label {
        let x = self.x_of_minute(at);
        let anchor = if x < EDGE {
            "start"
        } else if x > WIDTH - EDGE {
            "end"
        } else {
            "middle"
        };
        let offset = if below { 1_350 } else { -650 };
        Label { x: percent(x), y: em(self.y(price).unwrap_or(0) + ABOVE + offset), anchor, text }
    }
}

/// Returns the length of a series in minutes, at least 1.
pub fn minutes(series: &Series) -> i64 {
    (Minute::of(series.end).0 - Minute::of(series.start).0).max(1)
}

/// Returns the time at which the last price is drawn, or `None` if it is current.
pub fn last_drawn_at(quote: Option<&Quote>) -> Option<Timestamp> {
    let quote = quote.filter(|quote| !matches!(quote.state, State::Live | State::Delayed))?;
    quote.confirmed_at.or(quote.received_at)
}

/// Adds a finished run of points to both paths and clears it.
fn end_run(run: &mut Vec<(i64, i64)>, line: &mut String, area: &mut String) {
    let (Some(&(first, _)), Some(&(last, _))) = (run.first(), run.last()) else { return };
    let mut path = String::new();
    for (at, (x, y)) in run.drain(..).enumerate() {
        // Writing to a string can't fail.
        let _ = write!(path, "{}{x} {y}", if at == 0 { 'M' } else { 'L' });
    }
    let _ = write!(area, "{path}L{last} {FOOT}L{first} {FOOT}Z");
    line.push_str(&path);
}

/// Formats thousandths of an em.
fn em(thousandths: i64) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}em", thousandths.abs() / 1000, thousandths.abs() % 1000)
}

/// Formats a part of [`WIDTH`] as a percentage.
fn percent(x: i64) -> String {
    format!("{}.{:02}%", x / 100, x.rem_euclid(100))
}

fn direction(from: Price, to: Price) -> Direction {
    match to.cmp(&from) {
        std::cmp::Ordering::Greater => Direction::Rise,
        std::cmp::Ordering::Equal => Direction::Even,
        std::cmp::Ordering::Less => Direction::Fall,
    }
}

/// Returns the title of a plot.
pub fn title(span: Span, lang: Lang) -> &'static str {
    match span {
        Span::Day => lang.pick("24시간", "24 hours", "24時間"),
        Span::Week => lang.pick("7일", "7 days", "7日間"),
    }
}

/// Returns the text alternative of a plot.
fn describe(
    high: Option<String>,
    low: Option<String>,
    last: Option<String>,
    since: Option<&str>,
    lang: Lang,
) -> String {
    let (Some(high), Some(low)) = (high, low) else { return String::new() };
    let last = last.unwrap_or_else(|| locale::UNKNOWN.to_owned());
    let since = since.map_or_else(String::new, |since| format!(" {since}{}", lang.pick(".", ".", "。")));
    let text = lang.pick(
        format!("1분 종가 기준 최고 {high}, 최저 {low}, 현재 {last}. 빈 구간은 데이터가 없는 시간입니다."),
        format!("Minute closes: high {high}, low {low}, now {last}. Gaps mean that there is no data."),
        format!("1分終値ベースで高値 {high}、安値 {low}、現在値 {last}。空白はデータのない時間帯です。"),
    );
    text + &since
}

/// Returns a tick every 6 hours of a day, or every midnight of a week, in the time zone of the language.
fn ticks(series: &Series, lang: Lang) -> Vec<Tick> {
    let every = if series.query.span == Span::Day { 6 } else { 24 };
    let zone = i64::from(locale::zone(lang).hours);
    let (start, end) = (series.start.as_second(), series.end.as_second());
    let (first, width) = (start.div_euclid(3600) + 1, (end - start).max(1));
    let hours = (first..=end.div_euclid(3600)).filter(|hour| (hour + zone).rem_euclid(every) == 0);
    let tick = |hour: i64| {
        let x = (hour * 3600 - start) * WIDTH / width;
        let at = Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_hours(hour)).ok()?;
        let text = if every == 24 { locale::day(at, lang) } else { locale::clock(at, lang)[..5].to_owned() };
        (TICK_EDGE..=WIDTH - TICK_EDGE).contains(&x).then(|| Tick { x: percent(x), text })
    };
    hours.filter_map(tick).collect()
}
