//! The `link` option: the target of the link on a market's name.
//!
//! Anybody can write the URL of a widget, so a link can only point to this server or to a path of the host page, never
//! to another host.

use std::fmt;

use crate::config::is_path_template;
use crate::locale::Lang;
use crate::market::Market;

/// The target of the link on a market's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// No link.
    Off,
    /// The market page of this server.
    Market,
    /// A path on the host of the page around the widget, with placeholders: `/coins/{base}`.
    Path(String),
}

impl Link {
    /// Returns a description of the accepted values, for error messages.
    pub fn allowed(lang: Lang) -> String {
        let words = lang.pick(
            "off, market 또는 /coins/{base} 같은 경로({market}, {base}, {quote} 사용 가능)",
            "off, market, or a path such as /coins/{base} with {market}, {base} or {quote} in it",
            "off, market, または /coins/{base} のようなパス({market}, {base}, {quote} を使えます)",
        );
        words.to_owned()
    }

    /// Parses a value of the option.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "market" => Some(Self::Market),
            path => is_path_template(path).then(|| Self::Path(path.to_owned())),
        }
    }

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
            assert_eq!(Link::parse(text), None, "{text}");
        }
    }
}
