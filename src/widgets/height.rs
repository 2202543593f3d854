//! Estimates the height of a widget, so that snippets can reserve its space before it has loaded.
//!
//! An iframe keeps the height of its snippet unless `sisepan.js` runs in the page around it, and an element has no
//! height until its script has run. Line heights are those of `sisepan.css`. The number of lines of a text is estimated
//! from its characters, with a bias towards one line too many.

use super::board::longest_price_digits;
use super::context::{Placement, RenderContext, Server, sources_label};
use super::widget_options::Options;
use super::{movers, plot};
use crate::locale::{self, Lang};
use crate::options::{Count, Density, Size, Span, Widget};

/// Smallest width for which height is reserved, in pixels.
const WIDTH_MIN: u32 = 200;

/// Width from which no widget becomes lower, in pixels.
const WIDTH_MAX: u32 = 1_200;

/// Distance between the widths that are evaluated, in pixels.
const WIDTH_STEP: u32 = 10;

/// Unused height that is accepted before another step is added to the snippet, in percent.
const SPARE_PERCENT: u32 = 10;

/// Maximum number of steps in a snippet, which should stay readable.
const STEPS_MAX: usize = 2;

/// Horizontal padding of an embed page, left and right together, in pixels.
const PADDING_X: u32 = 4;

/// Vertical padding of an embed page, top and bottom together, in pixels.
pub const PADDING_Y: u32 = 8;

/// Maximum number of rows that are counted.
const ROWS_MAX: usize = 128;

/// Up to this width the rows of a table have two lines, in thousandths of an em.
const TWO_LINES_MAX: u32 = 18_000;

/// Up to this width a name is placed above its figures, in thousandths of an em.
const STACKED_MAX: u32 = 15_000;

/// Width of a change with the gap before it, in thousandths of an em.
const CHANGE_WIDTH: u32 = 4_800;

/// Width from which the two tables of the movers are side by side, in thousandths of an em.
const SIDE_BY_SIDE_MIN: u32 = 41_000;

/// The height that a widget needs, as a function of its width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedHeight {
    /// Height in pixels at large widths.
    pub wide: u32,
    /// Pairs of a width and the height below that width, in pixels, in descending order of width.
    pub steps: Vec<(u32, u32)>,
}

impl ReservedHeight {
    /// Computes the height of an iframe that suffices at every width and in each of the languages.
    pub fn new(server: Server<'_>, options: &Options<'_>, widget: Widget, langs: &[Lang]) -> Self {
        let localized: Vec<Options<'_>> = langs.iter().map(|lang| Options { lang: *lang, ..options.clone() }).collect();
        let contexts: Vec<RenderContext<'_>> =
            localized.iter().map(|options| RenderContext::new(server, options, Placement::Embed)).collect();
        let highest = |width| contexts.iter().map(|context| height(context, widget, width)).max().unwrap_or_default();
        let mut groups: Vec<(u32, u32, u32)> = Vec::new();
        let mut width = WIDTH_MAX;
        while width >= WIDTH_MIN {
            let current = highest(width);
            let is_last = groups.len() > STEPS_MAX;
            match groups.last_mut() {
                Some((first, max_height, below)) if is_last || current <= *first + *first * SPARE_PERCENT / 100 => {
                    (*max_height, *below) = (current.max(*max_height), width);
                }
                _ => groups.push((current, current, width)),
            }
            width -= WIDTH_STEP;
        }
        let wide = groups.first().map_or(0, |(_, max_height, _)| *max_height);
        let steps = groups.windows(2).filter_map(|pair| match pair {
            [(_, _, from), (_, max_height, _)] => Some((*from, *max_height)),
            _ => None,
        });
        Self { wide, steps: steps.collect() }
    }

    /// Returns the largest height, in pixels.
    pub fn max(&self) -> u32 {
        self.steps.iter().map(|(_, height)| *height).fold(self.wide, u32::max)
    }

    /// Returns a CSS length that evaluates to the height at the width of the surrounding container.
    ///
    /// `height_css` and `width_css` format a height and a width that are given in pixels.
    pub fn css(&self, height_css: impl Fn(u32) -> String, width_css: impl Fn(u32) -> String) -> String {
        let step = |(below, height): &(u32, u32)| {
            format!(",min({},({} - 100cqi)*9999)", height_css(*height), width_css(*below))
        };
        let steps: String = self.steps.iter().map(step).collect();
        if steps.is_empty() { height_css(self.wide) } else { format!("max({}{steps})", height_css(self.wide)) }
    }
}

/// Returns the font size of a widget in pixels, at the browser's default font size of 16 px.
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

/// Returns the line height of a ticker in pixels, for a surrounding line height of 1.5.
pub fn ticker_line_px(size: Size) -> u32 {
    (text_px(size) * 3 / 2).max(24)
}

/// Returns the height of a widget's embed page at a width, both in pixels.
pub fn height(context: &RenderContext<'_>, widget: Widget, width: u32) -> u32 {
    let (options, lang) = (context.options, context.options.lang);
    let text = text_px(options.size_of(widget));
    // Widths and heights below are in thousandths of an em.
    let room = width.saturating_sub(PADDING_X) * 1000 / text;
    let narrow = room <= TWO_LINES_MAX;
    let credit = context.shows_sources(widget);
    let demo = if context.server.demo { " DEMO" } else { "" };
    let count = options.picks.len().min(ROWS_MAX);
    let footnote =
        |room: u32| 520 + (lines([locale::footnote(options.basis, lang)], room * 5 / 4) + u32::from(credit)) * 1120;
    let heading = |title: &str, clock: u32| {
        let room = (if narrow { room } else { room.saturating_sub(clock + 750) }) * 15 / 16;
        let title = if options.values.title() { lines([format!("{title}{demo}").as_str()], room) * 1334 } else { 0 };
        // The clock is below the title if the widget is narrow, else beside it.
        500 + if narrow { title + 938 } else { title.max(938) }
    };
    let row = match (options.values.density(), narrow) {
        (Density::Normal, false) => 2500,
        (Density::Compact, false) => 2000,
        (Density::Normal, true) => 3400,
        (Density::Compact, true) => 2900,
    };
    // If a name has a line of its own, its figures may need two more.
    let row = if room <= STACKED_MAX && CHANGE_WIDTH + longest_price_width(context) > room { row + 1000 } else { row };
    let head = if narrow { 0 } else { 1920 };
    let rows = |count: usize| row * u32::try_from(count).unwrap_or_default();
    let thousandths = match widget {
        Widget::Board => heading(context.title(), 7500) + head + rows(count) + footnote(room),
        Widget::Movers => {
            let max = options.values.count.map_or(context.server.site.movers.count, Count::get).min(count);
            let side_by_side = room >= SIDE_BY_SIDE_MIN;
            let column = if side_by_side { (room - 2500) / 2 } else { room };
            let empty = lines([movers::empty_text(true, lang), movers::empty_text(false, lang)], column) * 1250 + 3000;
            // A market is in one of the two tables only.
            let rest = max.min(count - max);
            let (one, other) = (rows(max).max(empty), rows(rest).max(empty));
            let side = 2050 + head + 67;
            let sides = if side_by_side { side + one } else { side * 2 + 500 + one + other };
            heading(movers::title(options.basis, lang), 10_000) + sides + footnote(room)
        }
        Widget::Tape => {
            // None of these parts is wrapped; the sources are truncated.
            let clock = format!("00:00:00·{}0", locale::state(crate::market::State::Halted, lang));
            let basis = locale::footnote(options.basis, lang);
            let foot = [demo, &clock, basis].map(|part| part.trim().replace(' ', "0"));
            let credited = u32::from(credit && room < 40_000);
            2650 + 320 + 1120 * (lines(foot.iter().map(String::as_str), room * 5 / 4) + credited)
        }
        Widget::Card => {
            let columns = if count < 2 { 1 } else { ((room + 1750) / (11_500.min(room) + 1750)).max(1) };
            let column = (room - (columns - 1) * 1750) / columns;
            let digits = u32::try_from(longest_price_digits(&context.rows())).unwrap_or_default();
            let high_and_low = if column < digits * 1050 + 6500 { 2 } else { 1 };
            let card = 700 + 1250 + 2160 + 1350 + 5100 + 477 + 1084 * high_and_low;
            let card_rows = u32::try_from(count).unwrap_or(1).max(1).div_ceil(columns);
            let clock = format!("{}{demo}", clock(lang));
            let footnote = locale::footnote(options.basis, lang);
            // The clock is above the footnote if the widget is narrow, else beside it.
            let foot_lines = if narrow {
                lines([clock.as_str()], room * 5 / 4) + lines([footnote], room * 5 / 4)
            } else {
                lines([footnote, clock.as_str()], room * 5 / 4)
            };
            let foot = 560 + 520 + (foot_lines + u32::from(credit)) * 1120;
            (card + 250) * card_rows + 1750 * (card_rows - 1) + foot
        }
        Widget::Chart => {
            let base = context.quotes.first().and_then(Option::as_ref).and_then(|quote| quote.base(options.basis));
            let legend = base.map_or_else(|| "0".repeat(30), |base| locale::base(&base, lang));
            let legend = lines([legend.as_str()], (room * 5 / 4).saturating_sub(2350));
            let below = match options.values.span() {
                Span::Day => 200 + 1000 * legend + footnote(room),
                Span::Week => footnote(room),
            };
            let title = format!("{}{demo}", plot::title(options.values.span(), lang));
            // The clock of a plot has three quarters of the font size of its title.
            let caption = lines([title.as_str()], room) * 1250;
            let beside = line_width(&title) + 1200 + line_width(&clock(lang)) * 3 / 4 <= room;
            let caption = if beside { caption } else { caption + 938 };
            5460 + 1000 + 250 + caption + 15_107 + 720 + below
        }
        Widget::Ticker => {
            let size = options.size_of(widget);
            lines(ticker_words(context).iter().map(String::as_str), room) * (ticker_line_px(size) * 1000).div_ceil(text)
        }
    };
    // 4 px for borders and rounding.
    thousandths * text / 1000 + 4 + PADDING_Y
}

/// Returns the width of a ticker on one line, in thousandths of an em.
pub fn ticker_width(server: Server<'_>, options: &Options<'_>, langs: &[Lang]) -> u32 {
    let length = |lang: &Lang| {
        let options = Options { lang: *lang, ..options.clone() };
        let words = ticker_words(&RenderContext::new(server, &options, Placement::Embed));
        words.iter().map(|word| word_width(word) + SPACE).sum()
    };
    langs.iter().map(length).max().unwrap_or_default()
}

/// Splits the text of a ticker where a line may break; prices and changes get one digit to spare.
fn ticker_words(context: &RenderContext<'_>) -> Vec<String> {
    let mut words = Vec::new();
    for row in context.rows() {
        words.extend(row.name.split(' ').map(str::to_owned));
        words.push(format!("{}{}{}", row.last, row.gap, row.unit).replace(' ', "0"));
        // `m` is the placeholder for the arrow.
        words.push(format!("m{}0", row.change));
        words.extend((!row.mark.is_empty()).then(|| row.mark.clone()));
    }
    if context.shows_sources(Widget::Ticker) {
        words.extend(
            context.sources.iter().flat_map(|source| source.text.split(' ').map(str::to_owned).collect::<Vec<_>>()),
        );
        words.push(sources_label(context.options.lang).to_owned());
    }
    words.extend(locale::basis_in_brackets(context.options.basis, context.options.lang).split(' ').map(str::to_owned));
    words.extend(context.server.demo.then(|| "DEMO".to_owned()));
    words
}

/// Returns the width of the longest price, in thousandths of an em.
fn longest_price_width(context: &RenderContext<'_>) -> u32 {
    u32::try_from(longest_price_digits(&context.rows())).unwrap_or_default() * 600
}

/// Returns the longest text of a clock; `m` is the placeholder for its dot.
fn clock(lang: Lang) -> String {
    format!("m {} · 00:00:00", locale::state(crate::market::State::Halted, lang))
}

/// Width of a space, in thousandths of an em.
const SPACE: u32 = 300;

/// Returns the number of lines of consecutive texts at a width in thousandths of an em.
fn lines<'a>(texts: impl IntoIterator<Item = &'a str>, room: u32) -> u32 {
    let room = room.max(1000);
    let (mut lines, mut filled) = (1, 0);
    for word in texts.into_iter().flat_map(|text| text.split(' ')).filter(|word| !word.is_empty()) {
        let width = word_width(word);
        if filled > 0 && filled + SPACE + width > room {
            lines += 1;
            filled = 0;
        }
        filled += width + if filled > 0 { SPACE } else { 0 };
        // A word longer than a line is broken.
        lines += filled / room;
        filled %= room;
    }
    lines
}

/// Returns the width of a text on one line, in thousandths of an em.
fn line_width(text: &str) -> u32 {
    text.split(' ').map(|word| word_width(word) + SPACE).sum()
}

/// Returns the estimated width of a word in bold type, in thousandths of an em.
fn word_width(word: &str) -> u32 {
    let char_width = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | '\'' | '|' | '(' | ')' | '*' | '·' => 350,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 900,
        'a'..='z' | '0'..='9' | '-' | '+' | '–' => 590,
        c if c < '\u{1100}' => 700,
        _ => 1000,
    };
    word.chars().map(char_width).sum()
}
