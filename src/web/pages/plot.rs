//! The past of a market as a drawing, complete without script.
//!
//! Lines are drawn on a ground of whole numbers that the browser stretches to
//! the width of the page; words stand beside it unstretched. Prices become
//! positions by decimal arithmetic and are rounded to the ground: no float.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::super::history::{Series, Span};
use crate::domain::history::{Bar, Piece};
use crate::domain::{Base, Direction, Minute, Price, Quote, State};
use crate::text::{self, Lang};

/// Width of the ground.
const WIDTH: i64 = 10_000;

/// Height of the ground: a thousand to the size of the labels' text, so that a plot grows with the text around it.
const HEIGHT: i64 = 14_500;

/// How far below the ground the foot lies: the label of the lowest price stands between.
const FOOT: i64 = HEIGHT + 1_800;

/// Above the ground there is room for the label of the highest price.
const ABOVE: i64 = 2_200;

/// Labels nearer to an edge than this, of `WIDTH`, are drawn inwards.
const EDGE: i64 = 1_800;

/// A line goes on to a price that is so many minutes newer: its minute has not closed yet.
pub const UNCLOSED_MINUTES: usize = 2;

/// Ticks of the axis nearer to an edge than this have no label.
const TICK_EDGE: i64 = 500;

/// A record that begins within this part of the span is as good as whole: an hour of a day, seven of a week.
const WHOLE_FROM: i64 = WIDTH / 24;

/// Up to there, of `WIDTH`, the words about the beginning of the record may reach.
const NOTE_WIDTH: i64 = WIDTH * 3 / 4;

/// A plot, ready for its template.
#[derive(Debug)]
pub struct Plot {
    pub id: &'static str,
    pub title: &'static str,
    pub desc: String,
    pub direction: &'static str,
    pub line: String,
    pub area: String,
    /// The base line: from where, and how high.
    pub base: Option<(i64, i64)>,
    pub base_text: String,
    pub high: Option<Label>,
    pub low: Option<Label>,
    pub ticks: Vec<Tick>,
    /// Where the newest price is: across and down.
    pub last: Option<(String, String)>,
    pub state: &'static str,
    pub empty: Option<&'static str>,
    /// From when on there is a record, where that is not from the start: how far down it stands, and the words.
    pub since: Option<(String, String)>,
    /// What a script needs to read a point out.
    pub read_out: ReadOut,
}

/// The figures of a plot, for a pointer or a key that asks for one of them.
#[derive(Debug)]
pub struct ReadOut {
    pub start: String,
    pub end: String,
    pub step_secs: u32,
    pub digits: u32,
    /// The price at the top of the ground, and at the bottom.
    pub top: String,
    pub bottom: String,
    /// A close a step with spaces between, `-` for a hole.
    pub closes: String,
}

/// A word at a place.
#[derive(Debug)]
pub struct Label {
    pub x: String,
    pub y: String,
    pub anchor: &'static str,
    pub text: String,
}

/// A mark on the time axis.
#[derive(Debug)]
pub struct Tick {
    pub x: String,
    pub text: String,
}

impl Plot {
    /// Draws a series, with the row's last price at its end.
    pub fn new(series: &Series, quote: Option<&Quote>, base: Option<Base>, lang: Lang) -> Self {
        let span = series.question.span;
        let last = quote.and_then(|quote| quote.last);
        // A week is not measured against a base of yesterday.
        let base = base.filter(|_| span == Span::Day);
        let known = series.pieces.as_slice();
        let digits = quote.map_or(0, |quote| quote.digits);
        let shown = |price: Price| text::grouped(price.get(), digits);
        let axes = Axes::new(series, last, base);
        let point = axes.as_ref().zip(last).and_then(|(axes, last)| axes.point(series, quote, last));
        let (line, area) = axes.as_ref().map_or_else(Default::default, |axes| axes.paths(known, point));
        let first = known.first().map(|piece| piece.bar.open);
        let direction = match (base, first, last) {
            (Some(base), _, Some(last)) => direction(base.price, last),
            (None, Some(first), Some(last)) => direction(first, last),
            _ => Direction::Even,
        };
        // Of minute closes and the newest price, whatever the step of the line.
        let newest = axes.as_ref().zip(last.zip(point)).map(|(axes, (last, (x, _)))| (axes.minute_at(x), last));
        let middle = |piece: &Piece| (piece.from + piece.to) / 2;
        let highs = known.iter().map(|piece| (middle(piece), piece.bar.high)).chain(newest);
        let lows = known.iter().map(|piece| (middle(piece), piece.bar.low)).chain(newest);
        let (top, bottom) = (highs.max_by_key(|(_, price)| *price), lows.min_by_key(|(_, price)| *price));
        let since = axes.as_ref().and_then(|axes| axes.since(series, lang)).map(|words| {
            // Beside the line, where there is room; else at the foot, unless only the lowest price is written there.
            let first = known.first().zip(axes.as_ref()).map_or(0, |(piece, axes)| axes.begin(piece.from));
            let near = |extreme: Option<(usize, Price)>| {
                extreme.zip(axes.as_ref()).is_some_and(|((at, _), axes)| axes.begin(at) < NOTE_WIDTH)
            };
            let down = match (near(top), near(bottom)) {
                _ if first > NOTE_WIDTH => ABOVE + HEIGHT / 2,
                (false, true) => ABOVE - 650,
                _ => ABOVE + HEIGHT + 1_350,
            };
            (em(down), words)
        });
        let label =
            |at: usize, price: Price, below: bool| axes.as_ref().map(|axes| axes.label(at, price, below, shown(price)));
        Self {
            id: span.word(),
            title: title(span, lang),
            desc: describe(
                top.map(|(_, price)| shown(price)),
                bottom.map(|(_, price)| shown(price)),
                last.map(shown),
                since.as_ref().map(|(_, words)| words.as_str()),
                lang,
            ),
            direction: direction.as_str(),
            line,
            area,
            base: axes.as_ref().zip(base).and_then(|(axes, base)| Some((axes.x(base.at).max(0), axes.y(base.price)?))),
            base_text: base.map_or_else(String::new, |base| text::base(&base, lang)),
            high: top.and_then(|(at, price)| label(at, price, false)),
            low: bottom.and_then(|(at, price)| label(at, price, true)),
            ticks: ticks(series, lang),
            last: point.map(|(x, y)| (percent(x), em(y + ABOVE))),
            state: quote.map_or(State::Unknown, |quote| quote.state).as_str(),
            empty: known
                .is_empty()
                .then(|| lang.pick("아직 기록이 없습니다", "Nothing recorded yet", "まだ記録がありません")),
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
            step_secs: series.question.step.minutes * 60,
            digits,
            top: axes.map_or_else(String::new, |axes| plain(axes.top)),
            bottom: axes.map_or_else(String::new, |axes| plain(axes.top.saturating_sub(axes.range))),
            closes: series.bars.iter().map(close).collect::<Vec<_>>().join(" "),
        }
    }
}

/// Where times and prices lie on the ground.
struct Axes {
    start: Timestamp,
    minutes: i64,
    top: Decimal,
    range: Decimal,
}

impl Axes {
    /// `None` where there is no price at all.
    fn new(series: &Series, last: Option<Price>, base: Option<Base>) -> Option<Self> {
        let (base, known) = (base.map(|base| base.price), &series.pieces);
        let highs = known.iter().map(|piece| piece.bar.high).chain(last).chain(base);
        let lows = known.iter().map(|piece| piece.bar.low).chain(last).chain(base);
        let (top, bottom) = (highs.max()?.get(), lows.min()?.get());
        let minutes = minutes(series);
        let range = top.checked_sub(bottom)?;
        Some(Self { start: series.start, minutes, top, range })
    }

    /// Returns how far to the right a moment is; left of the ground it is negative.
    fn x(&self, at: Timestamp) -> i64 {
        let passed = at.duration_since(self.start).as_secs();
        passed.saturating_mul(WIDTH) / (self.minutes * 60)
    }

    /// Returns how far to the right a minute of the series is.
    fn begin(&self, minute: usize) -> i64 {
        i64::try_from(minute).unwrap_or(i64::MAX).min(self.minutes) * WIDTH / self.minutes
    }

    /// Says from when on there is a record, where that is not from the start.
    fn since(&self, series: &Series, lang: Lang) -> Option<String> {
        let first = series.pieces.first().filter(|piece| self.begin(piece.from) > WHOLE_FROM)?;
        let minutes = i64::try_from(first.from).unwrap_or(0);
        let at = text::stamp(series.start.checked_add(SignedDuration::from_mins(minutes)).ok()?, lang);
        Some(lang.pick(format!("{at}부터 기록"), format!("data since {at}"), format!("{at}から記録")))
    }

    /// Returns the minute of the series that is so far to the right.
    fn minute_at(&self, x: i64) -> usize {
        usize::try_from(x * self.minutes / WIDTH).unwrap_or(0)
    }

    /// Returns where the newest price is.
    fn point(&self, series: &Series, quote: Option<&Quote>, last: Price) -> Option<(i64, i64)> {
        let known_until = series.pieces.last().map_or(0, |piece| self.begin(piece.to));
        let at = standing_at(quote).map_or(WIDTH, |at| self.x(at).clamp(0, WIDTH));
        Some((at.max(known_until), self.y(last)?))
    }

    /// Returns how far down a price is.
    fn y(&self, price: Price) -> Option<i64> {
        if self.range.is_zero() {
            return Some(HEIGHT / 2);
        }
        // Divided first: the widest prices times the height are no decimal any more.
        let down = self.top.checked_sub(price.get())?.checked_div(self.range)?;
        down.checked_mul(Decimal::from(HEIGHT))?.round().to_i64()
    }

    /// Returns the line up to the newest price, and the same closed down to the foot. A hole ends a line.
    fn paths(&self, known: &[Piece], point: Option<(i64, i64)>) -> (String, String) {
        let (mut line, mut area, mut run) = (String::new(), String::new(), Vec::<(i64, i64)>::new());
        let mut reached = None;
        for piece in known {
            if reached != Some(piece.from) {
                end_run(&mut run, &mut line, &mut area);
            }
            self.draw(piece, &mut run);
            reached = Some(piece.to);
        }
        if let (Some(reached), Some((x, y))) = (reached, point)
            && self.minute_at(x) <= reached + UNCLOSED_MINUTES
        {
            run.push((x, y));
        }
        end_run(&mut run, &mut line, &mut area);
        (line, area)
    }

    /// Adds a piece to a line. In which order it went up and down is not known; it is narrower than a few pixels.
    fn draw(&self, piece: &Piece, run: &mut Vec<(i64, i64)>) {
        let Piece { bar, .. } = piece;
        let (from, to) = (self.begin(piece.from), self.begin(piece.to));
        let (second, third) = if bar.close < bar.open { (bar.high, bar.low) } else { (bar.low, bar.high) };
        let third_of = (to - from) / 3;
        let points = [(from, bar.open), (from + third_of, second), (to - third_of, third), (to, bar.close)];
        for (x, price) in points {
            let Some(y) = self.y(price) else { continue };
            if run.last() == Some(&(x, y)) {
                continue;
            }
            // What lies between two of the same height says nothing more.
            if let [.., (_, first), (_, second)] = run.as_slice()
                && (*first, *second) == (y, y)
            {
                run.pop();
            }
            run.push((x, y));
        }
    }

    fn label(&self, at: usize, price: Price, below: bool, text: String) -> Label {
        let x = self.begin(at);
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

/// Returns how many minutes a series has.
pub fn minutes(series: &Series) -> i64 {
    (Minute::of(series.end).0 - Minute::of(series.start).0).max(1)
}

/// Returns the moment that the last price stands at where that is not now.
pub fn standing_at(quote: Option<&Quote>) -> Option<Timestamp> {
    let quote = quote.filter(|quote| !matches!(quote.state, State::Live | State::Delayed))?;
    quote.confirmed_at.or(quote.received_at)
}

fn end_run(run: &mut Vec<(i64, i64)>, line: &mut String, area: &mut String) {
    let (Some(&(first, _)), Some(&(last, _))) = (run.first(), run.last()) else { return };
    let mut path = String::new();
    for (at, (x, y)) in run.drain(..).enumerate() {
        // Writing into a text can't fail.
        let _ = write!(path, "{}{x} {y}", if at == 0 { 'M' } else { 'L' });
    }
    let _ = write!(area, "{path}L{last} {FOOT}L{first} {FOOT}Z");
    line.push_str(&path);
}

/// Writes thousandths of the size of the labels' text.
fn em(thousandths: i64) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}em", thousandths.abs() / 1000, thousandths.abs() % 1000)
}

/// Writes a part of [`WIDTH`].
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

/// Says what the drawing shows.
fn describe(
    high: Option<String>,
    low: Option<String>,
    last: Option<String>,
    since: Option<&str>,
    lang: Lang,
) -> String {
    let (Some(high), Some(low)) = (high, low) else { return String::new() };
    let last = last.unwrap_or_else(|| text::UNKNOWN.to_owned());
    let since = since.map_or_else(String::new, |since| format!(" {since}{}", lang.pick(".", ".", "。")));
    let words = lang.pick(
        format!("1분 종가의 최고 {high}, 최저 {low}, 현재 {last}. 빈 곳은 기록이 없는 시간입니다."),
        format!("Minute closes: highest {high}, lowest {low}, now {last}. Gaps are times without a record."),
        format!("1分終値の最高 {high}、最低 {low}、現在 {last}。空白は記録のない時間です。"),
    );
    words + &since
}

/// Every six hours of a day, every midnight of a week, as the reader's clock has it.
fn ticks(series: &Series, lang: Lang) -> Vec<Tick> {
    let every = if series.question.span == Span::Day { 6 } else { 24 };
    let zone = i64::from(text::zone(lang).hours);
    let (start, end) = (series.start.as_second(), series.end.as_second());
    let (first, width) = (start.div_euclid(3600) + 1, (end - start).max(1));
    let hours = (first..=end.div_euclid(3600)).filter(|hour| (hour + zone).rem_euclid(every) == 0);
    let tick = |hour: i64| {
        let x = (hour * 3600 - start) * WIDTH / width;
        let at = Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_hours(hour)).ok()?;
        let text = if every == 24 { text::day(at, lang) } else { text::clock(at, lang)[..5].to_owned() };
        (TICK_EDGE..=WIDTH - TICK_EDGE).contains(&x).then(|| Tick { x: percent(x), text })
    };
    hours.filter_map(tick).collect()
}
