//! How high a widget becomes, for whoever must reserve its room before it is there.
//!
//! An iframe without our script around it keeps the height that its page gave it, and an
//! element has none until its script has run. Heights of lines are those of `sisepan.css`;
//! how many lines a text takes is estimated from its characters, rather one too many.

use super::super::AppState;
use super::board::widest;
use super::choice::{Density, Reach, Size, Widget};
use super::movers;
use super::options::Options;
use super::plot;
use super::reply::Frame;
use super::stage::Stage;
use crate::text::{self, Lang};

/// Narrowest place that room is reserved for, in pixels.
const WIDTH_MIN: u32 = 200;

/// From this width on nothing becomes lower, in pixels.
const WIDTH_MAX: u32 = 1_200;

/// Distance between the widths that are looked at, in pixels.
const WIDTH_STEP: u32 = 10;

/// Part of a height that may stay empty before a step is worth its characters, in percent.
const SPARE_PERCENT: u32 = 10;

/// Most steps of one snippet: whoever copies it should still be able to read it.
const STEPS_MAX: usize = 2;

/// What the page of a widget leaves beside, and above and below it, in pixels.
const BESIDE: u32 = 4;
pub const AROUND: u32 = 8;

/// Most rows that are counted.
const ROWS_MAX: usize = 128;

/// Below this the rows of a table stand in two lines, in thousandths of the text's size.
const NARROW: u32 = 18_000;

/// Below this a name stands above its figures, in thousandths of the text's size.
const LEAST: u32 = 15_000;

/// Length of a change with the gap before it, in thousandths of the text's size.
const FIGURES_MIN: u32 = 4_800;

/// From this on the two tables of the movers stand side by side.
const SIDE_BY_SIDE: u32 = 41_000;

/// The room that a widget needs at any width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// In pixels, where there is room.
    pub wide: u32,
    /// Below a width the height is another, in pixels; the widest first.
    pub steps: Vec<(u32, u32)>,
}

impl Reserve {
    /// Returns the room of a frame, at any width and in each of the languages.
    pub fn new(app: &AppState, options: &Options<'_>, widget: Widget, langs: &[Lang]) -> Self {
        let spoken: Vec<Options<'_>> = langs.iter().map(|lang| Options { lang: *lang, ..options.clone() }).collect();
        let stages: Vec<Stage<'_>> = spoken.iter().map(|options| Stage::new(app, options, Frame::Embed)).collect();
        let highest = |width| stages.iter().map(|stage| height(stage, widget, width)).max().unwrap_or_default();
        let mut groups: Vec<(u32, u32, u32)> = Vec::new();
        let mut width = WIDTH_MAX;
        while width >= WIDTH_MIN {
            let now = highest(width);
            let is_last = groups.len() > STEPS_MAX;
            match groups.last_mut() {
                Some((first, most, below)) if is_last || now <= *first + *first * SPARE_PERCENT / 100 => {
                    (*most, *below) = (now.max(*most), width);
                }
                _ => groups.push((now, now, width)),
            }
            width -= WIDTH_STEP;
        }
        let wide = groups.first().map_or(0, |(_, most, _)| *most);
        let steps = groups.windows(2).filter_map(|two| match two {
            [(_, _, from), (_, most, _)] => Some((*from, *most)),
            _ => None,
        });
        Self { wide, steps: steps.collect() }
    }

    /// Returns the largest height.
    pub fn most(&self) -> u32 {
        self.steps.iter().map(|(_, height)| *height).fold(self.wide, u32::max)
    }

    /// Returns a length of CSS that is the height at any width of the container around it.
    ///
    /// `high` and `broad` write a height and a width that are given in pixels.
    pub fn css(&self, high: impl Fn(u32) -> String, broad: impl Fn(u32) -> String) -> String {
        let step = |(below, height): &(u32, u32)| format!(",min({},({} - 100cqi)*9999)", high(*height), broad(*below));
        let steps: String = self.steps.iter().map(step).collect();
        if steps.is_empty() { high(self.wide) } else { format!("max({}{steps})", high(self.wide)) }
    }
}

/// Returns the size of a widget's text in pixels, for a reader whose text is of the usual size.
pub fn text_px(size: Size) -> u32 {
    match size {
        Size::Xs => 13,
        Size::S => 14,
        Size::M => 15,
        Size::Inherit => 16,
        Size::L => 17,
        Size::Xl => 19,
    }
}

/// Returns the height of a line of a ticker in pixels, where the line height around it is the usual 1.5.
pub fn ticker_line_px(size: Size) -> u32 {
    (text_px(size) * 3 / 2).max(24)
}

/// Returns the height of a widget's own page in pixels, at a width of it.
pub fn height(stage: &Stage<'_>, widget: Widget, width: u32) -> u32 {
    let (options, lang) = (stage.options, stage.options.lang);
    let text = text_px(options.size_of(widget));
    let room = width.saturating_sub(BESIDE) * 1000 / text;
    let narrow = room <= NARROW;
    let credit = stage.credit(widget);
    let demo = if stage.app.demo { " DEMO" } else { "" };
    let count = options.picks.len().min(ROWS_MAX);
    let footnote =
        |room: u32| 520 + (lines([text::footnote(options.basis, lang)], room * 5 / 4) + u32::from(credit)) * 1120;
    let heading = |title: &str, clock: u32| {
        let room = (if narrow { room } else { room.saturating_sub(clock + 750) }) * 15 / 16;
        let title = if options.title { lines([format!("{title}{demo}").as_str()], room) * 1334 } else { 0 };
        // The clock stands below the title, or beside it.
        500 + if narrow { title + 938 } else { title.max(938) }
    };
    let row = match (options.density, narrow) {
        (Density::Normal, false) => 2500,
        (Density::Compact, false) => 2000,
        (Density::Normal, true) => 3400,
        (Density::Compact, true) => 2900,
    };
    // Where a name has a line of its own, its figures may need two more.
    let row = if room <= LEAST && FIGURES_MIN + figure(stage) > room { row + 1000 } else { row };
    let head = if narrow { 0 } else { 1920 };
    let rows = |count: usize| row * u32::try_from(count).unwrap_or_default();
    let tall = match widget {
        Widget::Board => heading(stage.title(), 7500) + head + rows(count) + footnote(room),
        Widget::Movers => {
            let most = options.count.unwrap_or(stage.app.movers().count).min(count);
            let beside = room >= SIDE_BY_SIDE;
            let place = if beside { (room - 2500) / 2 } else { room };
            let empty = lines([movers::nothing(true, lang), movers::nothing(false, lang)], place) * 1250 + 3000;
            // Whatever rises does not fall.
            let rest = most.min(count - most);
            let (one, other) = (rows(most).max(empty), rows(rest).max(empty));
            let side = 2050 + head + 67;
            let sides = if beside { side + one } else { side * 2 + 500 + one + other };
            heading(movers::title(options.basis, lang), 10_000) + sides + footnote(room)
        }
        Widget::Tape => {
            // Each of these holds together; the sources are cut rather than wrapped.
            let clock = format!("00:00:00·{}0", text::state(crate::domain::State::Halted, lang));
            let basis = text::footnote(options.basis, lang);
            let foot = [demo, &clock, basis].map(|part| part.trim().replace(' ', "0"));
            let credited = u32::from(credit && room < 40_000);
            2650 + 320 + 1120 * (lines(foot.iter().map(String::as_str), room * 5 / 4) + credited)
        }
        Widget::Card => {
            let columns = if count < 2 { 1 } else { ((room + 1750) / (11_500.min(room) + 1750)).max(1) };
            let place = (room - (columns - 1) * 1750) / columns;
            let digits = u32::try_from(widest(&stage.rows())).unwrap_or_default();
            let high_and_low = if place < digits * 1050 + 6500 { 2 } else { 1 };
            let card = 700 + 1250 + 2160 + 1350 + 5100 + 477 + 1084 * high_and_low;
            let deep = u32::try_from(count).unwrap_or(1).max(1).div_ceil(columns);
            let clock = format!("{}{demo}", clock(lang));
            let footnote = text::footnote(options.basis, lang);
            // The clock stands above the footnote, or beside it.
            let deep_foot = if narrow {
                lines([clock.as_str()], room * 5 / 4) + lines([footnote], room * 5 / 4)
            } else {
                lines([footnote, clock.as_str()], room * 5 / 4)
            };
            let foot = 560 + 520 + (deep_foot + u32::from(credit)) * 1120;
            (card + 250) * deep + 1750 * (deep - 1) + foot
        }
        Widget::Chart => {
            let base = stage.quotes.first().and_then(Option::as_ref).and_then(|quote| quote.base(options.basis));
            let legend = base.map_or_else(|| "0".repeat(30), |base| text::base(&base, lang));
            let legend = lines([legend.as_str()], (room * 5 / 4).saturating_sub(2350));
            let below = match options.span {
                Reach::Day => 200 + 1000 * legend + footnote(room),
                Reach::Week => footnote(room),
            };
            let title = format!("{}{demo}", plot::title(options.span.into(), lang));
            // The clock of a plot is set in three quarters of the size of its title.
            let caption = lines([title.as_str()], room) * 1250;
            let beside = line(&title) + 1200 + line(&clock(lang)) * 3 / 4 <= room;
            let caption = if beside { caption } else { caption + 938 };
            5460 + 1000 + 250 + caption + 15_107 + 720 + below
        }
        Widget::Ticker => {
            let size = options.size_of(widget);
            lines(ticker_words(stage).iter().map(String::as_str), room) * (ticker_line_px(size) * 1000).div_ceil(text)
        }
    };
    // Lines of one or two pixels, and what browsers round.
    tall * text / 1000 + 4 + AROUND
}

/// Returns the length of the words of a ticker in one line, in thousandths of the text's size.
pub fn ticker_length(app: &AppState, options: &Options<'_>, langs: &[Lang]) -> u32 {
    let length = |lang: &Lang| {
        let options = Options { lang: *lang, ..options.clone() };
        let words = ticker_words(&Stage::new(app, &options, Frame::Embed));
        words.iter().map(|word| length(word) + SPACE).sum()
    };
    langs.iter().map(length).max().unwrap_or_default()
}

/// Each word is followed by a space; what holds together is one word. A digit more than now has room.
fn ticker_words(stage: &Stage<'_>) -> Vec<String> {
    let mut words = Vec::new();
    for row in stage.rows() {
        words.extend(row.name.split(' ').map(str::to_owned));
        words.push(format!("{}{}{}", row.last, row.gap, row.unit).replace(' ', "0"));
        // An arrow stands before it.
        words.push(format!("m{}0", row.change));
        words.extend((!row.mark.is_empty()).then(|| row.mark.clone()));
    }
    if stage.credit(Widget::Ticker) {
        words.extend(
            stage.sources.iter().flat_map(|source| source.text.split(' ').map(str::to_owned).collect::<Vec<_>>()),
        );
        words.push(super::stage::source_word(stage.options.lang).to_owned());
    }
    words.extend(text::basis_in_brackets(stage.options.basis, stage.options.lang).split(' ').map(str::to_owned));
    words.extend(stage.app.demo.then(|| "DEMO".to_owned()));
    words
}

/// Returns the length of the longest price, in thousandths of the text's size.
fn figure(stage: &Stage<'_>) -> u32 {
    u32::try_from(widest(&stage.rows())).unwrap_or_default() * 600
}

/// Returns the longest text of a clock, with its dot.
fn clock(lang: Lang) -> String {
    format!("m {} · 00:00:00", text::state(crate::domain::State::Halted, lang))
}

/// Length of a space.
const SPACE: u32 = 300;

/// Returns how many lines texts take one after the other, at a width in thousandths of their size.
fn lines<'a>(texts: impl IntoIterator<Item = &'a str>, room: u32) -> u32 {
    let room = room.max(1000);
    let (mut lines, mut filled) = (1, 0);
    for word in texts.into_iter().flat_map(|text| text.split(' ')).filter(|word| !word.is_empty()) {
        let long = length(word);
        if filled > 0 && filled + SPACE + long > room {
            lines += 1;
            filled = 0;
        }
        filled += long + if filled > 0 { SPACE } else { 0 };
        // A word that is longer than a line is broken.
        lines += filled / room;
        filled %= room;
    }
    lines
}

/// Returns the length of a text in one line, in thousandths of its size.
fn line(text: &str) -> u32 {
    text.split(' ').map(|word| length(word) + SPACE).sum()
}

/// Returns the length of a word in bold type, in thousandths of its size.
fn length(word: &str) -> u32 {
    let one = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | '\'' | '|' | '(' | ')' | '*' | '·' => 350,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 900,
        'a'..='z' | '0'..='9' | '-' | '+' | '–' => 590,
        c if c < '\u{1100}' => 700,
        _ => 1000,
    };
    word.chars().map(one).sum()
}
