//! The languages of the pages, and how one is chosen for a visitor.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A language that texts are available in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// Korean.
    #[default]
    Ko,
    /// English.
    En,
    /// Japanese.
    Ja,
}

impl Lang {
    /// Every language.
    pub const ALL: [Self; 3] = [Self::Ko, Self::En, Self::Ja];

    /// Returns the BCP 47 tag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ko => "ko",
            Self::En => "en",
            Self::Ja => "ja",
        }
    }

    /// Returns the name of the language in that language.
    pub fn own_name(self) -> &'static str {
        self.pick("한국어", "English", "日本語")
    }

    /// Returns the argument for this language; the order is Korean, English, Japanese.
    pub fn pick<T>(self, ko: T, en: T, ja: T) -> T {
        match self {
            Self::Ko => ko,
            Self::En => en,
            Self::Ja => ja,
        }
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An unsupported language tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown language {0:?}: use ko, en or ja")]
pub struct UnknownLang(pub String);

impl FromStr for Lang {
    type Err = UnknownLang;

    fn from_str(text: &str) -> Result<Self, UnknownLang> {
        let known = Self::ALL.into_iter().find(|lang| lang.as_str() == text);
        known.ok_or_else(|| UnknownLang(text.chars().take(32).collect()))
    }
}

/// Number of ranges read from an `Accept-Language` value; the rest is ignored.
const RANGES_MAX: usize = 16;

/// Chooses the language for an `Accept-Language` value; Korean if it accepts no supported language.
///
/// A range is matched by its primary subtag (`en-GB` is English). The range with the highest weight wins, the first
/// one among equal weights. A weight of zero excludes a language.
/// Source: RFC 9110 section 12.5.4.
pub fn negotiate(accept_language: &str) -> Lang {
    let mut best: Option<(Lang, u16)> = None;
    for range in accept_language.split(',').take(RANGES_MAX) {
        let (tag, weight) = match range.split_once(';') {
            Some((tag, parameter)) => (tag, weight(parameter)),
            None => (range, Some(1000)),
        };
        let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
        let (Ok(lang), Some(weight)) = (primary.parse::<Lang>(), weight) else { continue };
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((lang, weight));
        }
    }
    best.map_or(Lang::Ko, |(lang, _)| lang)
}

/// Parses `q=0.8` into thousandths (800); `None` if it is not a valid weight.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_weight_wins_and_the_first_among_equals() {
        for (header, lang) in [
            ("", Lang::Ko),
            ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", Lang::Ko),
            ("en-US,en;q=0.9,ko;q=0.8", Lang::En),
            ("fr-FR, ja;q=0.3, en;q=0.2", Lang::Ja),
            ("en;q=0.2,ja;q=0.9", Lang::Ja),
            ("en;q=0, ja;q=0.001", Lang::Ja),
            ("EN-gb ; Q=1.000", Lang::En),
            ("ja,en", Lang::Ja),
            ("*", Lang::Ko),
            ("de", Lang::Ko),
        ] {
            assert_eq!(negotiate(header), lang, "{header}");
        }
    }

    #[test]
    fn malformed_ranges_are_ignored() {
        for header in [";;;", "en;q=2", "en;q=0.12345", "en;q=x", "en;level=1", ",,,", "\u{202e}en"] {
            assert_eq!(negotiate(header), Lang::Ko, "{header}");
        }
        assert_eq!(negotiate(&format!("{},en", "x,".repeat(100))), Lang::Ko);
    }
}
