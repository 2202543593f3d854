//! The page that says what is not there, or which parameter is wrong, and what to try instead.

use askama::Template;
use axum::http::HeaderMap;

use super::super::AppState;
use super::given::{BadOption, QUERY_BYTES_MAX};
use super::options;
use super::reply::{Asked, Frame};
use crate::text::Lang;

#[derive(Template)]
#[template(path = "error.html")]
struct Page {
    lang: Lang,
    theme: &'static str,
    title: String,
    message: String,
    /// What exists and is spelt much like it, with its address where it has a page.
    near: Vec<(String, Option<String>)>,
    root: String,
    /// The languages, with the address of this page in each; none inside a frame.
    langs: Vec<(Lang, String)>,
}

#[derive(Template)]
#[template(path = "error_fragment.html")]
struct Fragment {
    lang: Lang,
    message: String,
}

/// Where an error is shown, and in which language.
pub struct Place {
    lang: Lang,
    theme: &'static str,
    frame: Frame,
    root: String,
    langs: Vec<(Lang, String)>,
}

impl Place {
    /// The place of a page or a piece of one that was asked for.
    pub fn of(asked: Asked<'_>) -> Self {
        let Asked { app, headers, query, frame } = asked;
        let root = if frame == Frame::Page { "" } else { "../" };
        let place = Self::at(app, headers, query, root);
        let langs = if frame == Frame::Embed { Vec::new() } else { place.langs };
        Self { frame, langs, ..place }
    }

    /// A page of its own; the other pages begin at `root`.
    pub fn at(app: &AppState, headers: &HeaderMap, query: &str, root: &str) -> Self {
        use super::choice::Choice as _;
        Self {
            lang: options::lang(app, headers, query),
            theme: options::theme(app, query).word(),
            frame: Frame::Page,
            root: root.to_owned(),
            langs: Lang::ALL.map(|lang| (lang, in_lang(query, lang))).into(),
        }
    }

    fn page(
        self,
        title: String,
        message: String,
        near: Vec<(String, Option<String>)>,
    ) -> Result<String, askama::Error> {
        let Self { lang, theme, root, langs, .. } = self;
        Page { lang, theme, title, message, near, root, langs }.render()
    }
}

/// Renders a refusal, as a whole page or as a piece of one.
///
/// # Errors
/// When the template can't be written out.
pub fn page(app: &AppState, bad: &BadOption, place: Place) -> Result<String, askama::Error> {
    let lang = place.lang;
    match (bad, place.frame) {
        (_, Frame::Fragment) => Fragment { lang, message: message(bad, lang) }.render(),
        (BadOption::Missing { name, value, near }, frame) => {
            let link = |word: &String| {
                let href = (frame != Frame::Embed).then(|| address(app, name, word, &place)).flatten();
                (word.clone(), href)
            };
            let near: Vec<_> = near.iter().map(link).collect();
            let message = if near.is_empty() { String::new() } else { nearest(lang).to_owned() };
            place.page(missing(name, value, lang), message, near)
        }
        (_, Frame::Page | Frame::Deep | Frame::Embed) => {
            let title =
                lang.pick("요청을 이해할 수 없습니다", "This request can't be answered", "リクエストを処理できません");
            place.page(title.to_owned(), message(bad, lang), Vec::new())
        }
    }
}

/// Renders the page that says that there is none.
///
/// # Errors
/// When the template can't be written out.
pub fn no_page(place: Place) -> Result<String, askama::Error> {
    let lang = place.lang;
    let title = lang.pick("이 주소에는 페이지가 없습니다", "There is no page here", "ここにページはありません");
    let message = lang.pick(
        "주소를 다시 확인해 주세요.",
        "Check the address, or go to the price board.",
        "アドレスをご確認ください。",
    );
    place.page(title.to_owned(), message.to_owned(), Vec::new())
}

/// Returns the address of the page of something that exists.
fn address(app: &AppState, name: &str, word: &str, place: &Place) -> Option<String> {
    let (root, lang) = (&place.root, place.lang);
    let part: String = url::form_urlencoded::byte_serialize(word.as_bytes()).collect();
    match name {
        "market" | "markets" => Some(format!("{root}market/{part}?lang={lang}")),
        "board" => {
            app.boards.iter().any(|board| board.id == word).then(|| format!("{root}./?board={part}&lang={lang}"))
        }
        _ => None,
    }
}

/// Returns a query in another language.
fn in_lang(query: &str, lang: Lang) -> String {
    let query = if query.len() > QUERY_BYTES_MAX { "" } else { query };
    let rest = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "lang");
    let mut written = url::form_urlencoded::Serializer::new(String::from("?"));
    written.extend_pairs(rest).append_pair("lang", lang.as_str()).finish()
}

fn nearest(lang: Lang) -> &'static str {
    lang.pick("가장 비슷한 이름:", "Nearest:", "近い名前:")
}

fn missing(name: &str, value: &str, lang: Lang) -> String {
    let what = match name {
        "board" => lang.pick("시세판이", "board", "ボード"),
        "widget" => lang.pick("위젯이", "widget", "ウィジェット"),
        _ => lang.pick("종목이", "market", "銘柄"),
    };
    lang.pick(
        format!("여기에는 “{value}” {what} 없습니다"),
        format!("There is no {what} “{value}” here"),
        format!("ここに “{value}” という{what}はありません"),
    )
}

/// Says what is wrong, in a sentence or two.
pub fn message(bad: &BadOption, lang: Lang) -> String {
    match bad {
        BadOption::Value { name, value, allowed } => {
            let allowed = allowed.text(lang);
            lang.pick(
                format!("{name}: “{value}” 값은 쓸 수 없습니다. 가능한 값: {allowed}"),
                format!("{name}: “{value}” can't be used. Allowed: {allowed}"),
                format!("{name}: “{value}” は使えません。使える値: {allowed}"),
            )
        }
        BadOption::Missing { name, value, near } if near.is_empty() => missing(name, value, lang),
        BadOption::Missing { name, value, near } => {
            format!("{}. {} {}", missing(name, value, lang), nearest(lang), near.join(", "))
        }
        BadOption::Twice(name) => lang.pick(
            format!("{name}: 한 번만 쓸 수 있습니다."),
            format!("{name} is given more than once."),
            format!("{name}: 一度だけ指定してください。"),
        ),
        BadOption::TooLong => lang.pick(
            "주소의 매개변수가 너무 깁니다.".to_owned(),
            "The query is too long.".to_owned(),
            "クエリが長すぎます。".to_owned(),
        ),
    }
}
