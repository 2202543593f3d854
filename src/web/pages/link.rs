//! Where the name of a market leads.
//!
//! A widget's address can be written by anybody, so a link may only stay on
//! the host that the widget stands on: no other host can be named.

use std::fmt;

use crate::config::is_path_template;
use crate::domain::Market;
use crate::text::Lang;

/// Where the name of a market leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Nowhere: the name is text.
    Off,
    /// To our own page of the market.
    Market,
    /// To a page of the host around it: `/coins/{base}`.
    Path(String),
}

impl Link {
    /// Returns what may be asked for, in words.
    pub fn allowed(lang: Lang) -> String {
        let words = lang.pick(
            "off, market, 또는 /coins/{base} 같은 경로({market}, {base}, {quote} 사용 가능)",
            "off, market, or a path such as /coins/{base} with {market}, {base} or {quote} in it",
            "off, market, または /coins/{base} のようなパス({market}, {base}, {quote} を使えます)",
        );
        words.to_owned()
    }

    /// Reads a value of the option.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "market" => Some(Self::Market),
            path => is_path_template(path).then(|| Self::Path(path.to_owned())),
        }
    }

    /// Returns the address for a market; `ours` is that of our own page.
    pub fn to(&self, market: &Market, ours: impl FnOnce() -> String) -> Option<String> {
        let part = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        match self {
            Self::Off => None,
            Self::Market => Some(ours()),
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
            Link::read(text).unwrap().to(&market.parse().unwrap(), || "ours".to_owned()).unwrap_or_default()
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
            assert_eq!(Link::read(text), None, "{text}");
        }
    }
}
