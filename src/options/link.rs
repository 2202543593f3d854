//! The target of the link on a market's name.

use std::fmt;

use super::values::{Accepted, OFF, OptionValue};
use crate::market::Market;

/// The target of the link on a market's name.
///
/// Anybody can write the URL of a widget, so a link can only point to this server or to a path of the host page, never
/// to another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// No link.
    Off,
    /// The market page of this server.
    Market,
    /// A path on the host of the page around the widget, with placeholders: `/coins/{base}`.
    Path(String),
}

/// Maximum length of a link path, in bytes.
const LINK_BYTES_MAX: usize = 200;

/// Returns whether `text` is a valid link path on the same host: it starts with a single slash, and has no
/// characters from which a browser could read another host. May contain `{market}`, `{base}` and `{quote}`.
fn is_path_template(text: &str) -> bool {
    let plain = ["{market}", "{base}", "{quote}"].iter().fold(text.to_owned(), |text, name| text.replace(name, "x"));
    let usable = |b: u8| b.is_ascii_alphanumeric() || b"/-._~?&=%+,:@#".contains(&b);
    text.len() <= LINK_BYTES_MAX && text.starts_with('/') && !text.starts_with("//") && plain.bytes().all(usable)
}

impl OptionValue for Link {
    const ACCEPTED: Accepted = Accepted::KeywordOrText {
        keywords: &[("off", OFF), ("market", ["종목 페이지", "Market page", "銘柄ページ"])],
        name: "a path",
        max: LINK_BYTES_MAX,
        form: |lang| {
            lang.pick(
                "또는 /coins/{base} 같은 경로({market}, {base}, {quote} 사용 가능)",
                "or a path such as /coins/{base} with {market}, {base} or {quote} in it",
                "または /coins/{base} のようなパス({market}, {base}, {quote} を使えます)",
            )
        },
        pattern: r"off|market|/(([A-Za-z0-9._~?&=%+,:@#-]|\{(market|base|quote)\})([A-Za-z0-9/._~?&=%+,:@#-]|\{(market|base|quote)\})*)?",
    };

    fn parse(text: &str) -> Result<Self, &str> {
        match text {
            "off" => Ok(Self::Off),
            "market" => Ok(Self::Market),
            path if is_path_template(path) => Ok(Self::Path(path.to_owned())),
            _ => Err(text),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Link {
    /// Returns the URL for a market, or `None` without a link; `market_page` returns that of the market page.
    pub fn url_for(&self, market: &Market, market_page: impl FnOnce() -> String) -> Option<String> {
        let part = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        match self {
            Self::Off => None,
            Self::Market => Some(market_page()),
            Self::Path(path) => Some(
                path.replace("{market}", &part(market.as_str()))
                    .replace("{base}", &part(market.base()))
                    .replace("{quote}", &part(market.quote())),
            ),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Market => "market",
            Self::Path(path) => path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_on_its_host() {
        let to = |text: &str, market: &str| {
            Link::parse(text).unwrap().url_for(&market.parse().unwrap(), || "ours".to_owned()).unwrap_or_default()
        };
        assert_eq!(to("off", "BTC-KRW"), "");
        assert_eq!(to("market", "BTC-KRW"), "ours");
        assert_eq!(to("/coins/{base}?in={quote}", "BTC-KRW"), "/coins/BTC?in=KRW");
        assert_eq!(to("/{market}", "<B>'-KRW"), "/%3CB%3E%27-KRW");
        for text in [
            "//evil.example/",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "x",
            "",
            "/\"x",
            "/{x}",
            "/ ",
        ] {
            assert_eq!(Link::parse(text), Err(text));
        }
    }
}
