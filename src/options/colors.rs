//! The colours for rise and fall.

use std::fmt;

use super::values::{Accepted, OptionValue};
use crate::locale::Lang;

/// The colours for rise and fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colors {
    /// Korea: red for rise, blue for fall.
    Kr,
    /// Japan: red for rise, green for fall.
    Jp,
    /// China: red for rise, green for fall.
    Cn,
    /// Elsewhere: green for rise, red for fall.
    Intl,
    /// Distinguishable for colour-blind readers: orange for rise, blue for fall.
    Cb,
    /// Colours of the publisher: rise and fall on a light background, then on a dark one.
    Custom([Rgb; 4]),
}

/// An opaque colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb(u32);

impl Rgb {
    /// Returns the colour with the given `0xRRGGBB` value.
    pub const fn new(rrggbb: u32) -> Self {
        Self(rrggbb)
    }

    /// Returns the red, green and blue channel.
    pub fn channels(self) -> [u8; 3] {
        let [_, red, green, blue] = self.0.to_be_bytes();
        [red, green, blue]
    }
}

impl OptionValue for Colors {
    const ACCEPTED: Accepted = Accepted::KeywordOrText {
        keywords: &[
            ("kr", ["한국: 빨강·파랑", "Korea: red, blue", "韓国: 赤・青"]),
            ("jp", ["일본: 빨강·초록", "Japan: red, green", "日本: 赤・緑"]),
            ("cn", ["중국: 빨강·초록", "China: red, green", "中国: 赤・緑"]),
            ("intl", ["기타: 초록·빨강", "International: green, red", "その他: 緑・赤"]),
            ("cb", ["색각 이상 배려", "Colour-blind safe", "色覚に配慮"]),
        ],
        name: "your own",
        max: 27,
        form: |lang| {
            lang.pick(
                "RRGGBB-RRGGBB (상승-하락), RRGGBB-RRGGBB-RRGGBB-RRGGBB (뒤의 둘은 어두운 배경용)",
                "RRGGBB-RRGGBB (rise-fall), RRGGBB-RRGGBB-RRGGBB-RRGGBB (the last two on dark backgrounds)",
                "RRGGBB-RRGGBB (上昇-下落), RRGGBB-RRGGBB-RRGGBB-RRGGBB (後の2色は暗い背景用)",
            )
        },
        pattern: "kr|jp|cn|intl|cb|[0-9A-Fa-f]{6}-[0-9A-Fa-f]{6}(-[0-9A-Fa-f]{6}-[0-9A-Fa-f]{6})?",
    };

    fn parse(text: &str) -> Result<Self, &str> {
        if let Some((_, colors)) = Self::NAMED.iter().find(|(word, _)| *word == text) {
            return Ok(*colors);
        }
        let mut tones = text.split('-').map(rgb);
        let mut next = || tones.next().flatten();
        let (rise, fall) = next().zip(next()).ok_or(text)?;
        let (dark_rise, dark_fall) = match text.split('-').count() {
            2 => (rise, fall),
            4 => next().zip(next()).ok_or(text)?,
            _ => return Err(text),
        };
        Ok(Self::Custom([rise, fall, dark_rise, dark_fall]))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Colors {
    const NAMED: [(&'static str, Self); 5] =
        [("kr", Self::Kr), ("jp", Self::Jp), ("cn", Self::Cn), ("intl", Self::Intl), ("cb", Self::Cb)];

    /// Returns the default colours for a language.
    pub fn default_for(lang: Lang) -> Self {
        lang.pick(Self::Kr, Self::Intl, Self::Jp)
    }

    /// Returns rise and fall on a light background, then on a dark one.
    ///
    /// The built-in colours have a contrast of at least 4.5:1.
    pub fn tones(self) -> [Rgb; 4] {
        match self {
            Self::Kr => [0xc8202f, 0x1a5fc8, 0xff7078, 0x74aaff].map(Rgb),
            Self::Jp | Self::Cn => [0xc8202f, 0x117a48, 0xff7078, 0x4cc38a].map(Rgb),
            Self::Intl => [0x117a48, 0xc8202f, 0x4cc38a, 0xff7078].map(Rgb),
            Self::Cb => [0xa84300, 0x0060a8, 0xff9d5c, 0x5eb8ff].map(Rgb),
            Self::Custom(tones) => tones,
        }
    }

    /// Returns whether these are the publisher's colours, for which `sisepan.css` has no rule.
    pub fn is_custom(self) -> bool {
        matches!(self, Self::Custom(_))
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}", self.0)
    }
}

impl fmt::Display for Colors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, Self::NAMED.iter().find(|(_, colors)| colors == self)) {
            (Self::Custom([rise, fall, dark_rise, dark_fall]), _) if (rise, fall) == (dark_rise, dark_fall) => {
                write!(f, "{rise}-{fall}")
            }
            (Self::Custom([rise, fall, dark_rise, dark_fall]), _) => write!(f, "{rise}-{fall}-{dark_rise}-{dark_fall}"),
            (_, named) => f.write_str(named.map_or("", |(word, _)| word)),
        }
    }
}

/// Parses exactly six hexadecimal digits.
fn rgb(text: &str) -> Option<Rgb> {
    let strict = text.len() == 6 && text.bytes().all(|b| b.is_ascii_hexdigit());
    strict.then(|| u32::from_str_radix(text, 16).ok()).flatten().map(Rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_keywords() {
        let words: Vec<_> = Colors::ACCEPTED.keywords().iter().map(|(word, _)| *word).collect();
        assert_eq!(words, Colors::NAMED.map(|(word, _)| word));
        let Accepted::KeywordOrText { pattern, .. } = Colors::ACCEPTED else { panic!() };
        assert!(pattern.starts_with(&format!("{}|", words.join("|"))), "{pattern}");
    }

    #[test]
    fn own_colours_are_parsed_strictly_and_printed_as_they_were() {
        for text in ["kr", "cb", "c8202f-1a5fc8", "c8202f-1a5fc8-ff7078-74aaff"] {
            assert_eq!(Colors::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Colors::parse("C8202F-1A5FC8").unwrap().to_string(), "c8202f-1a5fc8");
        for text in
            ["", "red", "c8202f", "#c8202f-#1a5fc8", "c8202f-1a5fc8-ff7078", "c8202f-1a5fc8-1-2-3", "+12345-123456"]
        {
            assert!(Colors::parse(text).is_err(), "{text}");
        }
    }
}
