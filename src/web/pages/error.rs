//! The page that says which parameter is wrong and what it may be.

use askama::Template;

use super::choice::{Choice, Theme};
use super::given::BadOption;
use super::reply::Frame;
use crate::text::Lang;

#[derive(Template)]
#[template(path = "error.html")]
struct Page<'a> {
    lang: Lang,
    theme: &'static str,
    title: &'a str,
    message: String,
    back: &'a str,
    root: &'a str,
}

#[derive(Template)]
#[template(path = "error_fragment.html")]
struct Fragment {
    lang: Lang,
    message: String,
}

/// Renders a refusal, as a whole page or as a piece of one.
///
/// # Errors
/// When the template can't be written out.
pub fn page(bad: &BadOption, lang: Lang, theme: Theme, frame: Frame) -> Result<String, askama::Error> {
    let message = message(bad, lang);
    match frame {
        Frame::Fragment => Fragment { lang, message }.render(),
        Frame::Page | Frame::Deep | Frame::Embed => Page {
            lang,
            theme: theme.word(),
            title: lang.pick(
                "요청을 이해할 수 없습니다",
                "This request can't be answered",
                "リクエストを処理できません",
            ),
            message,
            back: lang.pick("시세판으로", "To the price board", "価格ボードへ"),
            root: if frame == Frame::Page { "" } else { "../" },
        }
        .render(),
    }
}

fn message(bad: &BadOption, lang: Lang) -> String {
    match bad {
        BadOption::Value { name, value, allowed } => lang.pick(
            format!("{name}: “{value}” 값은 쓸 수 없습니다. 가능한 값: {allowed}"),
            format!("{name}: “{value}” can't be used. Allowed: {allowed}"),
            format!("{name}: “{value}” は使えません。使える値: {allowed}"),
        ),
        BadOption::Missing { name, value, allowed } => lang.pick(
            format!("{name}: “{value}” 항목이 없습니다. 가능한 값: {allowed}"),
            format!("{name}: “{value}” does not exist here. Allowed: {allowed}"),
            format!("{name}: “{value}” はありません。使える値: {allowed}"),
        ),
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
