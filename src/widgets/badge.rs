//! Badges: the price of a market as a small image, for places without script such as a README or an email.
//!
//! Email clients and proxies may keep an image for an unknown time, so a badge always contains the time of its price.
//! The layout is computed once and written in one of three formats: SVG, PNG, or the JSON from which shields.io draws
//! its own badge.

use askama::Template;
use serde::Serialize;

use super::bad_option::BadOption;
use super::context::Server;
use super::widget_options::Options;
use crate::api;
use crate::locale::{self, Lang};
use crate::market::{Direction, Quote, State as RowState, is_unprintable};
use crate::options::{Colors, Rgb, Theme};

/// Height in pixels.
pub const HEIGHT: u32 = 26;

/// Horizontal padding, in tenths of a pixel.
const PADDING: u32 = 90;

/// Gap between two parts of the text, in tenths of a pixel.
const GAP: u32 = 70;

/// Maximum length of a name, in characters; longer ones are cut.
const NAME_CHARS_MAX: usize = 24;

/// Indices into [`Badge::light`] and [`Badge::dark`].
const TEXT_COLOR: usize = 2;
const SECONDARY_COLOR: usize = 3;
const CHANGE_COLOR: usize = 4;

#[derive(Template)]
#[template(path = "badge.svg")]
pub struct Badge {
    lang: Lang,
    title: String,
    auto: bool,
    /// Background, border, text, secondary text and change, in the light scheme.
    pub light: [Rgb; 5],
    /// The same in the dark scheme.
    pub dark: [Rgb; 5],
    pub parts: Vec<Part>,
    /// Index of the colour of the change.
    tone: usize,
    /// Whether the price is current: live or delayed.
    current: bool,
}

/// A text with its position.
pub struct Part {
    is_name: bool,
    /// Index of the colour.
    pub color: usize,
    /// Left edge, in tenths of a pixel.
    pub x: u32,
    /// Width, in tenths of a pixel.
    pub length: u32,
    /// Font size, in pixels.
    pub size: u32,
    pub bold: bool,
    pub text: String,
}

/// Returns the width of the current badge, in pixels.
pub fn width(server: Server<'_>, options: &Options<'_>) -> u32 {
    Badge::of_options(server, options).pixels_wide()
}

/// Minimum cache time that shields.io accepts, in seconds.
const CACHE_SECONDS: u32 = 300;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'a> {
    schema_version: u32,
    label: &'a str,
    message: String,
    color: String,
    is_error: bool,
    cache_seconds: u32,
}

impl Badge {
    /// Creates the badge of the first market, with its newest row.
    pub fn of_options(server: Server<'_>, options: &Options<'_>) -> Self {
        let pick = options.picks.first();
        let row = pick.and_then(|pick| server.hub.row(&pick.source, &pick.market));
        let asset = || pick.map_or_else(String::new, |pick| locale::asset(pick.market.base(), options.lang));
        let name = row.as_deref().map_or_else(asset, |quote| locale::name(quote, options.lang));
        Self::of_row(options, row.as_deref(), &name, server.demo)
    }

    fn of_row(options: &Options<'_>, quote: Option<&Quote>, name: &str, demo: bool) -> Self {
        let lang = options.lang;
        let change = quote.and_then(|quote| quote.change(options.basis));
        let state = quote.map_or(RowState::Unknown, |quote| quote.state);
        let current = matches!(state, RowState::Live | RowState::Delayed);
        let direction = change.map_or(Direction::Even, |change| change.direction);
        let text_color = if current { TEXT_COLOR } else { SECONDARY_COLOR };
        let tone = if current && direction != Direction::Even { CHANGE_COLOR } else { text_color };
        let mut line = Line::default();
        if demo {
            line.add(SECONDARY_COLOR, 11, true, "DEMO");
        }
        line.add_name(&name.chars().take(NAME_CHARS_MAX).collect::<String>());
        if let Some(quote) = quote.filter(|quote| quote.last.is_some()) {
            let (last, unit) = (locale::last(quote, lang), locale::unit(quote.market.quote(), lang));
            let price = lang.pick(format!("{last}{unit}"), format!("{last} {unit}"), format!("{last}{unit}"));
            line.add(text_color, 13, true, &price);
            let arrow = match direction {
                Direction::Rise => "▲ ",
                Direction::Even => "",
                Direction::Fall => "▼ ",
            };
            line.add(tone, 13, false, &format!("{arrow}{}", locale::change(change.as_ref(), lang)));
        }
        let at = quote.and_then(|quote| quote.confirmed_at.or(quote.received_at));
        let word = if state == RowState::Live { "" } else { locale::state(state, lang) };
        let time = at.map_or_else(String::new, |at| locale::stamp(at, lang));
        line.add(SECONDARY_COLOR, 11, false, format!("{word} {time}").trim());
        let sentence = quote.map_or_else(
            || format!("{name} {}", locale::state(RowState::Unknown, lang)),
            |quote| locale::sentence(quote, options.basis, lang),
        );
        // Without a price the sentence already contains the state.
        let reason = if quote.is_some_and(|quote| quote.last.is_some()) { word.to_owned() } else { String::new() };
        let no_change = quote.map_or_else(String::new, |quote| locale::no_change(quote, options.basis, lang));
        let title = [sentence, no_change, reason, time, if demo { "DEMO".to_owned() } else { String::new() }];
        let title = title.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let badge = Self::new(line, &title, options.values.theme(), options.colors(), direction, lang);
        Self { tone, current, ..badge }
    }

    /// Creates the badge of an invalid query.
    pub fn of_error(bad: &BadOption, lang: Lang) -> Self {
        let word = match bad {
            BadOption::NotFound { .. } => lang.pick("없는 종목", "no such market", "該当銘柄なし"),
            _ => lang.pick("잘못된 주소", "invalid URL", "URLが不正です"),
        };
        let mut line = Line::default();
        line.add(SECONDARY_COLOR, 13, false, word);
        Self::new(line, &bad.to_string(), Theme::Light, Colors::default_for(lang), Direction::Even, lang)
    }

    fn new(line: Line, title: &str, theme: Theme, colors: Colors, direction: Direction, lang: Lang) -> Self {
        let [rise, fall, dark_rise, dark_fall] = colors.tones();
        let (tone, dark_tone) = if direction == Direction::Fall { (fall, dark_fall) } else { (rise, dark_rise) };
        let set = |colors: [u32; 4], tone: Rgb| {
            let [background, border, text, secondary] = colors.map(Rgb::new);
            [background, border, text, secondary, tone]
        };
        let light = set([0xff_ffff, 0xd5_d8dc, 0x1a_1c1f, 0x5f_656d], tone);
        let dark = set([0x15_171a, 0x3a_3f46, 0xec_eef1, 0xa0_a7b0], dark_tone);
        let light = if theme == Theme::Dark { dark } else { light };
        let auto = theme == Theme::Auto;
        Self { lang, title: plain(title), auto, light, dark, parts: line.parts, tone: SECONDARY_COLOR, current: false }
    }

    /// Returns the badge data: the name as the label; price, change and time as the message, in the colour of the change.
    ///
    /// A price that is not current is marked as an error, so that URL parameters can't override its colour.
    pub fn shields_json(&self) -> Vec<u8> {
        let label = self.parts.iter().find(|part| part.is_name).map_or("", |part| part.text.as_str());
        let message = self.parts.iter().filter(|part| !part.is_name).map(|part| part.text.as_str());
        api::json(&Endpoint {
            schema_version: 1,
            label,
            message: message.collect::<Vec<_>>().join(" "),
            color: format!("#{}", self.light[self.tone]),
            is_error: !self.current,
            cache_seconds: CACHE_SECONDS,
        })
    }

    /// Returns the width in tenths of a pixel.
    fn tenths_wide(&self) -> u32 {
        self.parts.last().map_or(0, |part| part.x + part.length) + PADDING
    }

    /// Returns the width in pixels.
    pub fn pixels_wide(&self) -> u32 {
        self.tenths_wide().div_ceil(10)
    }

    fn width(&self) -> String {
        pixels(self.tenths_wide())
    }

    /// Returns the width without the border, for the template.
    fn inner(&self) -> String {
        pixels(self.tenths_wide().saturating_sub(10))
    }
}

impl Part {
    fn class(&self) -> &'static str {
        ["g", "l", "i", "q", "t"].get(self.color).copied().unwrap_or_default()
    }

    fn x(&self) -> String {
        pixels(self.x)
    }

    fn length(&self) -> String {
        pixels(self.length)
    }
}

/// Lays out texts side by side. Each gets an estimated width, which the renderer enforces: the font is not known here.
#[derive(Default)]
struct Line {
    pub parts: Vec<Part>,
}

impl Line {
    fn add_name(&mut self, text: &str) {
        self.push(TEXT_COLOR, 13, false, text, true);
    }

    fn add(&mut self, color: usize, size: u32, bold: bool, text: &str) {
        self.push(color, size, bold, text, false);
    }

    fn push(&mut self, color: usize, size: u32, bold: bool, text: &str, is_name: bool) {
        let text = plain(text);
        if text.is_empty() {
            return;
        }
        let x = self.parts.last().map_or(PADDING, |before| before.x + before.length + GAP);
        let length = text.chars().map(char_width).sum::<u32>() * size / 10;
        self.parts.push(Part { is_name, color, x, length, size, bold, text });
    }
}

/// Returns the estimated width of a character, in hundredths of an em.
fn char_width(c: char) -> u32 {
    match c {
        ' ' => 28,
        ',' | '.' | '\'' | 'i' | 'l' | 'I' | '|' | ':' => 27,
        '0'..='9' | '+' | '-' | '–' => 57,
        '%' | 'm' | 'w' | 'M' | 'W' => 86,
        'A'..='Z' | '▲' | '▼' => 66,
        c if c.is_ascii() => 55,
        // Hangul, kana and ideographs are full width.
        '\u{1100}'.. => 96,
        _ => 60,
    }
}

/// Removes characters that XML does not allow even escaped, and those that affect the text around them.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !is_unprintable(*c)).collect()
}

/// Formats tenths of a pixel as pixels.
fn pixels(tenths: u32) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}
