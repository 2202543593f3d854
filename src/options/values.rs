//! Types of the option values: keywords with their labels, columns, intervals and counts.

use crate::locale::Lang;
use crate::market::Basis;

/// The values that an option accepts, for parsers, error messages, forms and documents.
#[derive(Debug, Clone, Copy)]
pub enum Accepted {
    /// One of these keywords.
    Keywords(&'static [Keyword]),
    /// Columns of a board, separated by commas.
    Columns,
    /// `on` or `off`.
    Switch,
    /// One of these numbers.
    Numbers(&'static [u64]),
    /// A number from 1 to this one.
    UpTo(usize),
    /// One of these keywords, or a text of another form.
    KeywordOrText {
        /// The keywords.
        keywords: &'static [Keyword],
        /// A name for the other texts, for documents.
        name: &'static str,
        /// Maximum length of a text, in bytes.
        max: usize,
        /// Their form, in a language.
        form: fn(Lang) -> &'static str,
        /// A regular expression for all accepted texts, without anchors.
        pattern: &'static str,
    },
    /// What the configuration defines, as described here in Markdown.
    Name(&'static str),
}

/// A keyword and its label in Korean, English and Japanese.
pub type Keyword = (&'static str, [&'static str; 3]);

impl Accepted {
    /// Returns the keywords, or nothing.
    pub fn keywords(&self) -> &'static [Keyword] {
        match self {
            Self::Keywords(keywords) | Self::KeywordOrText { keywords, .. } => keywords,
            Self::Columns => Column::KEYWORDS,
            Self::Switch => SWITCH,
            Self::Numbers(_) | Self::UpTo(_) | Self::Name(_) => &[],
        }
    }

    /// Returns a description of the accepted values, for error messages.
    pub fn allowed(&self, lang: Lang) -> String {
        let words: Vec<&str> = self.keywords().iter().map(|(word, _)| *word).collect();
        match self {
            Self::Keywords(_) | Self::Columns | Self::Switch => words.join(", "),
            Self::Numbers(numbers) => numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
            Self::UpTo(max) => lang.pick(format!("1~{max}"), format!("1 to {max}"), format!("1〜{max}")),
            Self::KeywordOrText { form, .. } => format!("{}, {}", words.join(", "), form(lang)),
            Self::Name(what) => (*what).to_owned(),
        }
    }
}

/// A type of option values.
pub trait OptionValue: Sized {
    /// The accepted values.
    const ACCEPTED: Accepted;

    /// Parses a text.
    ///
    /// # Errors
    /// The part of the text that is not accepted.
    fn parse(text: &str) -> Result<Self, &str>;

    /// Returns the text for queries and markup.
    fn text(&self) -> String;
}

/// A value that is one of a fixed set of keywords.
pub trait Choice: Copy + 'static {
    /// All values, in the order in which they are listed to users.
    const EVERY: &'static [Self];

    /// The keywords of all values, in the same order.
    const KEYWORDS: &'static [Keyword];

    /// Returns the keyword used in URLs and markup.
    fn keyword(self) -> &'static str;
}

impl<T: Choice> OptionValue for T {
    const ACCEPTED: Accepted = Accepted::Keywords(T::KEYWORDS);

    fn parse(text: &str) -> Result<Self, &str> {
        find_keyword(text).ok_or(text)
    }

    fn text(&self) -> String {
        self.keyword().to_owned()
    }
}

/// Finds a value by its keyword.
pub fn find_keyword<T: Choice>(word: &str) -> Option<T> {
    T::EVERY.iter().copied().find(|choice| choice.keyword() == word)
}

/// Returns the label of a value.
pub fn keyword_label<T: Choice>(value: T, lang: Lang) -> &'static str {
    let word = value.keyword();
    let found = T::KEYWORDS.iter().find(|(keyword, _)| *keyword == word);
    found.map_or(word, |(_, [ko, en, ja])| lang.pick(ko, en, ja))
}

/// Defines an enum that implements [`Choice`].
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $case:ident = $word:literal $label:expr),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $case),+ }

        impl $name {
            /// Returns the keyword used in URLs and markup.
            pub fn keyword(self) -> &'static str {
                match self { $(Self::$case => $word),+ }
            }
        }

        impl Choice for $name {
            const EVERY: &'static [Self] = &[$(Self::$case),+];
            const KEYWORDS: &'static [Keyword] = &[$(($word, $label)),+];

            fn keyword(self) -> &'static str {
                self.keyword()
            }
        }
    };
}

choice! {
    /// The widgets.
    Widget {
        /// A table of markets.
        Board = "board" ["시세표", "Board", "ボード"],
        /// A line of markets that scrolls if it does not fit.
        Tape = "tape" ["흐르는 시세", "Tape", "テープ"],
        /// One or several markets, each with a sparkline of the last 24 hours.
        Card = "card" ["카드", "Card", "カード"],
        /// An inline price for running text.
        Ticker = "ticker" ["본문 속 시세", "Ticker", "ティッカー"],
        /// The markets with the largest rise and fall.
        Movers = "movers" ["상승·하락 종목", "Movers", "騰落ランキング"],
        /// A plot of one market.
        Chart = "chart" ["차트", "Chart", "チャート"],
    }
}

choice! {
    /// The colour scheme.
    Theme {
        /// Follows the page around the widget, or the visitor's system.
        Auto = "auto" ["자동", "Auto", "自動"],
        /// Dark text on a light background.
        Light = "light" ["밝게", "Light", "ライト"],
        /// Light text on a dark background.
        Dark = "dark" ["어둡게", "Dark", "ダーク"],
    }
}

choice! {
    /// The text size: the five steps of a newspaper's text size control, or inherited.
    Size {
        /// Smallest (가장 작게).
        Xs = "xs" ["가장 작게", "Smallest", "最小"],
        /// Small (작게).
        S = "s" ["작게", "Small", "小"],
        /// Medium (보통).
        M = "m" ["보통", "Medium", "中"],
        /// Large (크게).
        L = "l" ["크게", "Large", "大"],
        /// Largest (가장 크게).
        Xl = "xl" ["가장 크게", "Largest", "最大"],
        /// The size of the surrounding text.
        Inherit = "inherit" ["본문에 맞춤", "Match surrounding text", "本文に合わせる"],
    }
}

choice! {
    /// The height of rows.
    Density {
        /// The height of a newspaper table.
        Normal = "normal" ["보통", "Normal", "標準"],
        /// Lower rows.
        Compact = "compact" ["좁게", "Compact", "コンパクト"],
    }
}

/// The keywords of an on/off option.
const SWITCH: &[Keyword] = &[("on", ["켬", "On", "オン"]), ("off", OFF)];
/// The label of `off`.
pub const OFF: [&str; 3] = ["끔", "Off", "オフ"];

impl OptionValue for bool {
    const ACCEPTED: Accepted = Accepted::Switch;

    fn parse(text: &str) -> Result<Self, &str> {
        match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(text),
        }
    }

    fn text(&self) -> String {
        if *self { "on" } else { "off" }.to_owned()
    }
}

choice! {
    /// A column of a board. The name is always shown, as the first column.
    Column {
        /// The name of the base asset.
        Name = "name" ["종목", "Coin", "銘柄"],
        /// The last price.
        Last = "last" ["현재가", "Price", "現在値"],
        /// The change in percent.
        Change = "change" ["변동률", "Change", "変動率"],
        /// The change in the quote currency.
        Amount = "amount" ["변동액", "Difference", "変動幅"],
        /// The 24-hour high.
        High = "high" ["고가", "High", "高値"],
        /// The 24-hour low.
        Low = "low" ["저가", "Low", "安値"],
        /// The 24-hour turnover in the quote currency.
        Volume = "volume" ["거래대금", "Turnover", "売買代金"],
    }
}

choice! {
    /// Length of a history, up to now.
    Span {
        /// Twenty-four hours.
        Day = "24h" ["24시간", "24 hours", "24時間"],
        /// Seven days.
        Week = "7d" ["7일", "7 days", "7日間"],
    }
}

impl Choice for Lang {
    const EVERY: &'static [Self] = &Self::ALL;
    const KEYWORDS: &'static [Keyword] = &[("ko", ["한국어"; 3]), ("en", ["English"; 3]), ("ja", ["日本語"; 3])];

    fn keyword(self) -> &'static str {
        self.as_str()
    }
}

impl Choice for Basis {
    const EVERY: &'static [Self] = &Self::ALL;
    const KEYWORDS: &'static [Keyword] = &[
        ("24h", ["24시간 전", "24 hours ago", "24時間前"]),
        ("utc-day", ["오전 9시(UTC 0시)", "00:00 UTC", "午前9時（UTC 0時）"]),
        ("kst-day", ["0시(한국시간)", "00:00 KST", "午前0時（日本時間）"]),
    ];

    fn keyword(self) -> &'static str {
        self.as_str()
    }
}

/// The columns of a board; the first is the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// Returns the name and these columns.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        let mut all = vec![Column::Name];
        for column in columns {
            if !all.contains(&column) {
                all.push(column);
            }
        }
        Self(all)
    }

    /// Returns all columns, the name first.
    pub fn all(&self) -> &[Column] {
        &self.0
    }
}

impl OptionValue for Columns {
    const ACCEPTED: Accepted = Accepted::Columns;

    /// Parses `name,last,change`; the name is always the first column, even if it is not listed.
    fn parse(text: &str) -> Result<Self, &str> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let columns: Result<Vec<_>, _> = words.map(|word| find_keyword(word).ok_or(word)).collect();
        columns.map(Self::new)
    }

    fn text(&self) -> String {
        self.0.iter().map(|column| column.keyword()).collect::<Vec<_>>().join(",")
    }
}

/// Allowed minimum times between two frames, in milliseconds; 0 means no minimum.
pub const INTERVALS_MS: [u64; 7] = [0, 100, 250, 500, 1000, 2000, 5000];

/// A minimum time between two updates, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(u64);

impl Interval {
    /// The default of widgets.
    pub const DEFAULT: Self = Self(500);

    /// Returns the milliseconds.
    pub fn millis(self) -> u64 {
        self.0
    }
}

impl OptionValue for Interval {
    const ACCEPTED: Accepted = Accepted::Numbers(&INTERVALS_MS);

    /// Accepts only the exact texts of [`INTERVALS_MS`].
    fn parse(text: &str) -> Result<Self, &str> {
        INTERVALS_MS.into_iter().find(|millis| millis.to_string() == text).map(Self).ok_or(text)
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Maximum number of risers, and of fallers.
pub const COUNT_MAX: usize = 20;

/// A number of risers, and of fallers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(usize);

impl Count {
    /// Returns the number, from 1 to [`COUNT_MAX`].
    pub fn get(self) -> usize {
        self.0
    }
}

impl OptionValue for Count {
    const ACCEPTED: Accepted = Accepted::UpTo(COUNT_MAX);

    fn parse(text: &str) -> Result<Self, &str> {
        (1..=COUNT_MAX).find(|count| count.to_string() == text).map(Self).ok_or(text)
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_keywords<T: Choice>() {
        let words: Vec<_> = T::KEYWORDS.iter().map(|(word, _)| *word).collect();
        assert_eq!(words, T::EVERY.iter().map(|choice| choice.keyword()).collect::<Vec<_>>());
    }

    #[test]
    fn languages_and_bases_have_exactly_their_keywords() {
        assert_keywords::<Lang>();
        assert_keywords::<Basis>();
        for (lang, (_, label)) in Lang::ALL.into_iter().zip(Lang::KEYWORDS) {
            assert_eq!(*label, [lang.own_name(); 3]);
        }
    }
}
