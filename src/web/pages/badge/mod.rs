//! A market as a small picture, for places without script: a README, a mail, a page that allows images alone.
//!
//! A picture may be kept by a mail program or a proxy for longer than we can
//! know, so it always says of when it is. What it says is laid out once and
//! written in one of three forms: SVG, PNG, and the JSON from which shields.io
//! draws its own.

mod png;
mod shields;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::super::AppState;
use super::super::bodies::Life;
use super::choice::{Colors, Rgb, Theme};
use super::options::{self, Options};
use crate::domain::{Direction, Quote, State as RowState, is_unprintable};
use crate::text::{self, Lang};

/// How long a proxy keeps a picture: a price of a minute ago with its minute written on it is right.
const CACHE: &str = "public, max-age=30, stale-while-revalidate=60, stale-if-error=3600";

/// What a refusal says to a cache.
const CACHE_REFUSAL: &str = "no-store";

/// Height in pixels.
pub const HEIGHT: u32 = 26;

/// Tenths of a pixel beside the text and between its parts.
const PADDING: u32 = 90;
const GAP: u32 = 70;

/// Longest name drawn, in characters.
const NAME_CHARS_MAX: usize = 24;

/// Places in the lists of colours.
const INK: usize = 2;
const QUIET: usize = 3;
const TONE: usize = 4;

#[derive(Template)]
#[template(path = "badge.svg")]
struct Badge {
    lang: Lang,
    title: String,
    auto: bool,
    /// Ground, line, ink, quiet, tone; on a light ground and on a dark one.
    light: [Rgb; 5],
    dark: [Rgb; 5],
    parts: Vec<Part>,
    /// Which of the colours says how the price moves.
    tone: usize,
    /// Whether the price is of now.
    current: bool,
}

struct Part {
    is_name: bool,
    /// Which of the colours.
    color: usize,
    /// Tenths of a pixel.
    x: u32,
    length: u32,
    size: u32,
    bold: bool,
    text: String,
}

/// How a badge is written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Svg,
    Png,
    Shields,
}

impl Form {
    /// Reads `BTC-KRW.png`: the market, and the form, which is SVG where none is named.
    fn of(file: &str) -> (&str, Self) {
        let forms = [(".svg", Self::Svg), (".png", Self::Png), (".json", Self::Shields)];
        let named = forms.into_iter().find_map(|(ending, form)| Some((file.strip_suffix(ending)?, form)));
        named.unwrap_or((file, Self::Svg))
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
            Self::Shields => "application/json",
        }
    }
}

/// `GET /badge/{market}.svg`, `.png` and `.json`.
pub async fn badge(
    State(app): State<AppState>,
    Path(file): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let (id, form) = Form::of(&file);
    let drawn = match Options::of_market(&app, &headers, query.as_deref().unwrap_or_default(), id) {
        Ok(options) => {
            let draw = || Ok((head(form, CACHE), Badge::of_options(&app, &options).write(form)?));
            app.bodies().get(&app, &headers, format!("badge {form:?} {}", options.query()), Life::Change, draw)
        }
        Err(bad) => {
            let lang = options::lang(&app, &headers, query.as_deref().unwrap_or_default());
            let word = match bad.status() {
                StatusCode::NOT_FOUND => lang.pick("없는 종목", "no such market", "該当銘柄なし"),
                _ => lang.pick("잘못된 주소", "bad address", "URLが不正です"),
            };
            let badge = Badge::of_words(word, &bad.to_string(), lang);
            badge.write(form).map(|body| (bad.status(), head(form, CACHE_REFUSAL), body).into_response())
        }
    };
    drawn.unwrap_or_else(|error: anyhow::Error| {
        tracing::error!(%error, "rendering a badge failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// Returns the width of a badge in pixels, as it is now.
pub fn width(app: &AppState, options: &Options<'_>) -> u32 {
    Badge::of_options(app, options).pixels_wide()
}

fn head(form: Form, cache: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, form.content_type()),
        (header::CACHE_CONTROL, cache),
        (header::VARY, "accept-encoding, accept-language"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // For whoever opens it as a document: then it is light, and nothing in it loads or runs.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

impl Badge {
    fn of_options(app: &AppState, options: &Options<'_>) -> Self {
        let pick = options.picks.first();
        let row = pick.and_then(|pick| app.hub.row(&pick.source, &pick.market));
        let asset = || pick.map_or_else(String::new, |pick| text::asset(pick.market.base(), options.lang));
        let name = row.as_deref().map_or_else(asset, |quote| text::name(quote, options.lang));
        Self::of_row(options, row.as_deref(), &name, app.demo)
    }

    fn of_row(options: &Options<'_>, quote: Option<&Quote>, name: &str, demo: bool) -> Self {
        let lang = options.lang;
        let change = quote.and_then(|quote| quote.change(options.basis));
        let state = quote.map_or(RowState::Unknown, |quote| quote.state);
        let current = matches!(state, RowState::Live | RowState::Delayed);
        let direction = change.map_or(Direction::Even, |change| change.direction);
        let ink = if current { INK } else { QUIET };
        let tone = if current && direction != Direction::Even { TONE } else { ink };
        let mut line = Line::default();
        if demo {
            line.add(QUIET, 11, true, "DEMO");
        }
        line.add_name(&name.chars().take(NAME_CHARS_MAX).collect::<String>());
        if let Some(quote) = quote.filter(|quote| quote.last.is_some()) {
            let (last, unit) = (text::last(quote, lang), text::unit(quote.market.quote(), lang));
            let price = lang.pick(format!("{last}{unit}"), format!("{last} {unit}"), format!("{last}{unit}"));
            line.add(ink, 13, true, &price);
            let arrow = match direction {
                Direction::Rise => "▲ ",
                Direction::Even => "",
                Direction::Fall => "▼ ",
            };
            line.add(tone, 13, false, &format!("{arrow}{}", text::change(change.as_ref(), lang)));
        }
        let at = quote.and_then(|quote| quote.confirmed_at.or(quote.received_at));
        let word = if state == RowState::Live { "" } else { text::state(state, lang) };
        let time = at.map_or_else(String::new, |at| text::stamp(at, lang));
        line.add(QUIET, 11, false, format!("{word} {time}").trim());
        let said = quote.map_or_else(
            || format!("{name} {}", text::state(RowState::Unknown, lang)),
            |quote| text::sentence(quote, options.basis, lang),
        );
        // Without a price the sentence says the state itself.
        let reason = if quote.is_some_and(|quote| quote.last.is_some()) { word.to_owned() } else { String::new() };
        let no_change = quote.map_or_else(String::new, |quote| text::no_change(quote, options.basis, lang));
        let title = [said, no_change, reason, time, if demo { "DEMO".to_owned() } else { String::new() }];
        let title = title.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let badge = Self::new(line, &title, options.theme, options.colors, direction, lang);
        Self { tone, current, ..badge }
    }

    fn of_words(word: &str, title: &str, lang: Lang) -> Self {
        let mut line = Line::default();
        line.add(QUIET, 13, false, word);
        Self::new(line, title, Theme::Light, Colors::usual(lang), Direction::Even, lang)
    }

    fn new(line: Line, title: &str, theme: Theme, colors: Colors, direction: Direction, lang: Lang) -> Self {
        let [rise, fall, dark_rise, dark_fall] = colors.tones();
        let (tone, dark_tone) = if direction == Direction::Fall { (fall, dark_fall) } else { (rise, dark_rise) };
        let set = |colors: [u32; 4], tone: Rgb| {
            let [ground, rule, ink, quiet] = colors.map(Rgb::new);
            [ground, rule, ink, quiet, tone]
        };
        let light = set([0xff_ffff, 0xd5_d8dc, 0x1a_1c1f, 0x5f_656d], tone);
        let dark = set([0x15_171a, 0x3a_3f46, 0xec_eef1, 0xa0_a7b0], dark_tone);
        let light = if theme == Theme::Dark { dark } else { light };
        let auto = theme == Theme::Auto;
        Self { lang, title: plain(title), auto, light, dark, parts: line.parts, tone: QUIET, current: false }
    }

    fn write(&self, form: Form) -> anyhow::Result<Bytes> {
        Ok(match form {
            Form::Svg => self.render()?.into(),
            Form::Png => png::draw(self)?.into(),
            Form::Shields => shields::json(self).into(),
        })
    }

    /// In tenths of a pixel.
    fn tenths_wide(&self) -> u32 {
        self.parts.last().map_or(0, |part| part.x + part.length) + PADDING
    }

    fn pixels_wide(&self) -> u32 {
        self.tenths_wide().div_ceil(10)
    }

    fn width(&self) -> String {
        pixels(self.tenths_wide())
    }

    /// The width without the line around it.
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

/// Texts side by side, each as wide as it is told to be: the reader's font is not known here.
#[derive(Default)]
struct Line {
    parts: Vec<Part>,
}

impl Line {
    fn add_name(&mut self, text: &str) {
        self.push(INK, 13, false, text, true);
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
        let length = text.chars().map(breadth).sum::<u32>() * size / 10;
        self.parts.push(Part { is_name, color, x, length, size, bold, text });
    }
}

/// Returns about how broad a character is, in hundredths of the font's size.
fn breadth(c: char) -> u32 {
    match c {
        ' ' => 28,
        ',' | '.' | '\'' | 'i' | 'l' | 'I' | '|' | ':' => 27,
        '0'..='9' | '+' | '-' | '–' => 57,
        '%' | 'm' | 'w' | 'M' | 'W' => 86,
        'A'..='Z' | '▲' | '▼' => 66,
        c if c.is_ascii() => 55,
        // Hangul, kana, ideographs: a square each.
        '\u{1100}'.. => 96,
        _ => 60,
    }
}

/// Leaves out what may not stand in XML at all, escaped or not, and what reaches beyond its own text.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !is_unprintable(*c)).collect()
}

/// Writes tenths of a pixel.
fn pixels(tenths: u32) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}
