//! A market as a small picture, for places without script: a README, a mail, a page that allows images alone.
//!
//! A picture may be kept by a mail program or a proxy for longer than we can
//! know, so it always says of when it is.

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::super::AppState;
use super::super::bodies::Life;
use super::choice::{Colors, Theme};
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

#[derive(Template)]
#[template(path = "badge.svg")]
struct Badge {
    lang: Lang,
    width: String,
    /// The same without the line around it.
    inner: String,
    title: String,
    auto: bool,
    /// Ground, line, ink, quiet, tone; on a light ground and on a dark one.
    light: [String; 5],
    dark: [String; 5],
    parts: Vec<Part>,
}

struct Part {
    /// Which of the colours, as a class and as a place in the list.
    class: &'static str,
    color: usize,
    x: String,
    length: String,
    size: u32,
    bold: bool,
    text: String,
}

/// `GET /badge/{market}.svg`.
pub async fn badge(
    State(app): State<AppState>,
    Path(file): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let id = file.strip_suffix(".svg").unwrap_or(&file);
    let drawn = match Options::of_market(&app, &headers, query.as_deref().unwrap_or_default(), id) {
        Ok(options) => {
            let draw = || Ok((head(CACHE), Bytes::from(Badge::of_options(&app, &options).render()?)));
            app.bodies().get(&app, &headers, format!("badge {}", options.query()), Life::Change, draw)
        }
        Err(bad) => {
            let lang = options::lang(&app, &headers, query.as_deref().unwrap_or_default());
            let word = match bad.status() {
                StatusCode::NOT_FOUND => lang.pick("없는 종목", "no such market", "該当銘柄なし"),
                _ => lang.pick("잘못된 주소", "bad address", "URLが不正です"),
            };
            let badge = Badge::of_words(word, &bad.to_string(), lang);
            badge.render().map(|body| (bad.status(), head(CACHE_REFUSAL), body).into_response())
        }
    };
    drawn.unwrap_or_else(|error: askama::Error| {
        tracing::error!(%error, "rendering a badge failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// Returns the width of a badge in pixels, as it is now.
pub fn width(app: &AppState, options: &Options<'_>) -> u32 {
    let width = Badge::of_options(app, options).width;
    width.split('.').next().and_then(|whole| whole.parse::<u32>().ok()).unwrap_or_default() + 1
}

fn head(cache: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, "image/svg+xml"),
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
        let mut line = Line::default();
        if demo {
            line.add(3, 11, true, "DEMO");
        }
        let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
        line.add(2, 13, false, &shown);
        let ink = if current { 2 } else { 3 };
        if let Some(quote) = quote.filter(|quote| quote.last.is_some()) {
            let (last, unit) = (text::last(quote, lang), text::unit(quote.market.quote(), lang));
            let price = lang.pick(format!("{last}{unit}"), format!("{last} {unit}"), format!("{last}{unit}"));
            line.add(ink, 13, true, &price);
            let arrow = match direction {
                Direction::Rise => "▲ ",
                Direction::Even => "",
                Direction::Fall => "▼ ",
            };
            let tone = if current && direction != Direction::Even { 4 } else { ink };
            line.add(tone, 13, false, &format!("{arrow}{}", text::change(change.as_ref(), lang)));
        }
        let at = quote.and_then(|quote| quote.confirmed_at.or(quote.received_at));
        let word = if state == RowState::Live { "" } else { text::state(state, lang) };
        let time = at.map_or_else(String::new, |at| text::stamp(at, lang));
        line.add(3, 11, false, format!("{word} {time}").trim());
        let said = quote.map_or_else(
            || format!("{name} {}", text::state(RowState::Unknown, lang)),
            |quote| text::sentence(quote, options.basis, lang),
        );
        // Without a price the sentence says the state itself.
        let reason = if quote.is_some_and(|quote| quote.last.is_some()) { word.to_owned() } else { String::new() };
        let title = [said, reason, time, if demo { "DEMO".to_owned() } else { String::new() }];
        let title = title.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        Self::new(line, &title, options.theme, options.colors, direction, lang)
    }

    fn of_words(word: &str, title: &str, lang: Lang) -> Self {
        let mut line = Line::default();
        line.add(3, 13, false, word);
        Self::new(line, title, Theme::Light, Colors::usual(lang), Direction::Even, lang)
    }

    fn new(line: Line, title: &str, theme: Theme, colors: Colors, direction: Direction, lang: Lang) -> Self {
        let [rise, fall, dark_rise, dark_fall] = colors.tones().map(|tone| format!("#{tone}"));
        let (tone, dark_tone) = if direction == Direction::Fall { (fall, dark_fall) } else { (rise, dark_rise) };
        let set = |colors: [&str; 4], tone: String| {
            let [ground, rule, ink, quiet] = colors.map(str::to_owned);
            [ground, rule, ink, quiet, tone]
        };
        let light = set(["#fff", "#d5d8dc", "#1a1c1f", "#5f656d"], tone);
        let dark = set(["#15171a", "#3a3f46", "#eceef1", "#a0a7b0"], dark_tone);
        let light = if theme == Theme::Dark { dark.clone() } else { light };
        let auto = theme == Theme::Auto;
        let (width, inner) = (pixels(line.width()), pixels(line.width().saturating_sub(10)));
        Self { lang, width, inner, title: plain(title), auto, light, dark, parts: line.parts }
    }
}

/// Texts side by side, each as wide as it is told to be: the reader's font is not known here.
#[derive(Default)]
struct Line {
    parts: Vec<Part>,
    end: u32,
}

impl Line {
    fn add(&mut self, color: usize, size: u32, bold: bool, text: &str) {
        const CLASSES: [&str; 5] = ["g", "l", "i", "q", "t"];
        let text = plain(text);
        if text.is_empty() {
            return;
        }
        let x = if self.parts.is_empty() { PADDING } else { self.end + GAP };
        let length = text.chars().map(breadth).sum::<u32>() * size / 10;
        self.end = x + length;
        let (x, length) = (pixels(x), pixels(length));
        let class = CLASSES.get(color).copied().unwrap_or_default();
        self.parts.push(Part { class, color, x, length, size, bold, text });
    }

    fn width(&self) -> u32 {
        self.end + PADDING
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
