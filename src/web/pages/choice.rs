//! The values that options may have: fixed sets of words, and colours.

use std::fmt;
use std::str::FromStr;

use super::super::history::Span;
use crate::domain::Basis;
use crate::text::Lang;

/// One of a fixed set of words.
pub trait Choice: Copy + 'static {
    /// All of them.
    const EVERY: &'static [Self];

    /// Returns the word in URLs and markup.
    fn word(self) -> &'static str;
}

/// Finds a choice by its word.
pub fn find<T: Choice>(word: &str) -> Option<T> {
    T::EVERY.iter().copied().find(|choice| choice.word() == word)
}

/// Returns the words of a set, for whoever used another.
pub fn allowed<T: Choice>() -> String {
    T::EVERY.iter().map(|choice| choice.word()).collect::<Vec<_>>().join(", ")
}

/// Defines an option whose values are words.
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $case:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $case),+ }

        impl Choice for $name {
            const EVERY: &'static [Self] = &[$(Self::$case),+];

            fn word(self) -> &'static str {
                match self { $(Self::$case => $word),+ }
            }
        }
    };
}

choice! {
    /// The widgets that there are.
    Widget {
        /// The table of the reference page.
        Board = "board",
        /// A line of markets that may move.
        Tape = "tape",
        /// One market or several, with the line of the last day.
        Card = "card",
        /// Words in a sentence.
        Ticker = "ticker",
        /// What rose and fell most.
        Movers = "movers",
        /// One market as a plot.
        Chart = "chart",
    }
}

choice! {
    /// The ground that a widget is drawn on.
    Theme {
        /// As the page around it, or the reader's system, is.
        Auto = "auto",
        /// Dark on light.
        Light = "light",
        /// Light on dark.
        Dark = "dark",
    }
}

choice! {
    /// The five steps of a newspaper's text size control.
    Size {
        /// 가장작게.
        Xs = "xs",
        /// 작게.
        S = "s",
        /// 기본.
        M = "m",
        /// 크게.
        L = "l",
        /// 가장크게.
        Xl = "xl",
        /// The size of the text around it.
        Inherit = "inherit",
    }
}

choice! {
    /// How close the rows stand.
    Density {
        /// As a newspaper sets a table.
        Normal = "normal",
        /// Closer.
        Compact = "compact",
    }
}

choice! {
    /// A thing that is there or not.
    Switch {
        /// It is.
        On = "on",
        /// It is not.
        Off = "off",
    }
}

choice! {
    /// A column of a board. The name always stands, first.
    Column {
        /// What is quoted.
        Name = "name",
        /// The price.
        Last = "last",
        /// The change in percent.
        Change = "change",
        /// The change in money.
        Amount = "amount",
        /// The highest price of 24 hours.
        High = "high",
        /// The lowest price of 24 hours.
        Low = "low",
        /// The turnover of 24 hours.
        Volume = "volume",
    }
}

choice! {
    /// How far back a chart begins.
    Reach {
        /// A day.
        Day = "24h",
        /// A week.
        Week = "7d",
    }
}

impl From<Reach> for Span {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::Day => Self::Day,
            Reach::Week => Self::Week,
        }
    }
}

impl Choice for Lang {
    const EVERY: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Choice for Basis {
    const EVERY: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Which colours mean rise and fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colors {
    /// Korea: red and blue.
    Kr,
    /// Japan: red and green.
    Jp,
    /// China: red and green.
    Cn,
    /// Elsewhere: green and red.
    Intl,
    /// Told apart by colour-blind readers: orange and blue.
    Cb,
    /// The publisher's own: rise and fall on a light ground, then on a dark one.
    Own([Rgb; 4]),
}

/// A colour without transparency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb(u32);

impl Rgb {
    /// Returns the colour that is written `#RRGGBB`.
    pub const fn new(rrggbb: u32) -> Self {
        Self(rrggbb)
    }

    /// Returns red, green and blue.
    pub fn channels(self) -> [u8; 3] {
        let [_, red, green, blue] = self.0.to_be_bytes();
        [red, green, blue]
    }
}

impl Colors {
    const NAMED: [(&'static str, Self); 5] =
        [("kr", Self::Kr), ("jp", Self::Jp), ("cn", Self::Cn), ("intl", Self::Intl), ("cb", Self::Cb)];

    /// Returns what may be asked for, in words.
    pub fn allowed(lang: Lang) -> String {
        let named = Self::NAMED.map(|(word, _)| word).join(", ");
        let (two, four) = lang.pick(
            ("상승-하락", "뒤의 둘은 어두운 배경용"),
            ("rise-fall", "the latter two on dark"),
            ("上昇-下落", "後の2色は暗い背景用"),
        );
        format!("{named}, RRGGBB-RRGGBB ({two}), RRGGBB-RRGGBB-RRGGBB-RRGGBB ({four})")
    }

    /// Returns the colours that readers of a language expect.
    pub fn usual(lang: Lang) -> Self {
        lang.pick(Self::Kr, Self::Intl, Self::Jp)
    }

    /// Returns rise and fall on a light ground, rise and fall on a dark one; each with a contrast of 4.5 to 1 or more.
    pub fn tones(self) -> [Rgb; 4] {
        match self {
            Self::Kr => [0xc8202f, 0x1a5fc8, 0xff7078, 0x74aaff].map(Rgb),
            Self::Jp | Self::Cn => [0xc8202f, 0x117a48, 0xff7078, 0x4cc38a].map(Rgb),
            Self::Intl => [0x117a48, 0xc8202f, 0x4cc38a, 0xff7078].map(Rgb),
            Self::Cb => [0xa84300, 0x0060a8, 0xff9d5c, 0x5eb8ff].map(Rgb),
            Self::Own(tones) => tones,
        }
    }

    /// Whether no rule of the style sheet knows them.
    pub fn is_own(self) -> bool {
        matches!(self, Self::Own(_))
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
            (Self::Own([rise, fall, dark_rise, dark_fall]), _) if (rise, fall) == (dark_rise, dark_fall) => {
                write!(f, "{rise}-{fall}")
            }
            (Self::Own([rise, fall, dark_rise, dark_fall]), _) => write!(f, "{rise}-{fall}-{dark_rise}-{dark_fall}"),
            (_, named) => f.write_str(named.map_or("", |(word, _)| word)),
        }
    }
}

/// A text that is no set of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoColors;

impl FromStr for Colors {
    type Err = NoColors;

    fn from_str(text: &str) -> Result<Self, NoColors> {
        if let Some((_, colors)) = Self::NAMED.iter().find(|(word, _)| *word == text) {
            return Ok(*colors);
        }
        let mut tones = text.split('-').map(rgb);
        let mut next = || tones.next().flatten();
        let (rise, fall) = next().zip(next()).ok_or(NoColors)?;
        let (dark_rise, dark_fall) = match text.split('-').count() {
            2 => (rise, fall),
            4 => next().zip(next()).ok_or(NoColors)?,
            _ => return Err(NoColors),
        };
        Ok(Self::Own([rise, fall, dark_rise, dark_fall]))
    }
}

/// Reads six hexadecimal digits and nothing else.
fn rgb(text: &str) -> Option<Rgb> {
    let strict = text.len() == 6 && text.bytes().all(|b| b.is_ascii_hexdigit());
    strict.then(|| u32::from_str_radix(text, 16).ok()).flatten().map(Rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_colours_are_strict_and_come_back_as_they_were() {
        for text in ["kr", "cb", "c8202f-1a5fc8", "c8202f-1a5fc8-ff7078-74aaff"] {
            assert_eq!(text.parse::<Colors>().unwrap().to_string(), text);
        }
        assert_eq!("C8202F-1A5FC8".parse::<Colors>().unwrap().to_string(), "c8202f-1a5fc8");
        for text in
            ["", "red", "c8202f", "#c8202f-#1a5fc8", "c8202f-1a5fc8-ff7078", "c8202f-1a5fc8-1-2-3", "+12345-123456"]
        {
            assert!(text.parse::<Colors>().is_err(), "{text}");
        }
    }
}
