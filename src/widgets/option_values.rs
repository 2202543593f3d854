//! Types of the option values (keywords, colours, links and intervals), and the labels of widgets, columns and values.

use std::fmt;
use std::str::FromStr;

use super::series::Span;
use crate::config::is_path_template;
use crate::locale::Lang;
use crate::market::{Basis, Market};

/// An option whose value is one of a fixed set of keywords.
pub trait Choice: Copy + 'static {
    /// All values, in the order in which they are listed to users.
    const EVERY: &'static [Self];

    /// Returns the keyword used in URLs and markup.
    fn keyword(self) -> &'static str;
}

/// Finds a value by its keyword.
pub fn find<T: Choice>(word: &str) -> Option<T> {
    T::EVERY.iter().copied().find(|choice| choice.keyword() == word)
}

/// Returns the comma-separated keywords of an option, for error messages.
pub fn allowed<T: Choice>() -> String {
    T::EVERY.iter().map(|choice| choice.keyword()).collect::<Vec<_>>().join(", ")
}

/// Defines an enum that implements [`Choice`].
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $case:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $case),+ }

        impl Choice for $name {
            const EVERY: &'static [Self] = &[$(Self::$case),+];

            fn keyword(self) -> &'static str {
                match self { $(Self::$case => $word),+ }
            }
        }
    };
}

choice! {
    /// The widgets.
    Widget {
        /// A table of markets.
        Board = "board",
        /// A line of markets that scrolls if it does not fit.
        Tape = "tape",
        /// One or several markets, each with a sparkline of the last 24 hours.
        Card = "card",
        /// An inline price for running text.
        Ticker = "ticker",
        /// The markets with the largest rise and fall.
        Movers = "movers",
        /// A plot of one market.
        Chart = "chart",
    }
}

choice! {
    /// The colour scheme.
    Theme {
        /// Follows the page around the widget, or the visitor's system.
        Auto = "auto",
        /// Dark text on a light background.
        Light = "light",
        /// Light text on a dark background.
        Dark = "dark",
    }
}

choice! {
    /// The text size: the five steps of a newspaper's text size control, or inherited.
    Size {
        /// Smallest (가장 작게).
        Xs = "xs",
        /// Small (작게).
        S = "s",
        /// Medium (보통).
        M = "m",
        /// Large (크게).
        L = "l",
        /// Largest (가장 크게).
        Xl = "xl",
        /// The size of the surrounding text.
        Inherit = "inherit",
    }
}

choice! {
    /// The height of rows.
    Density {
        /// The height of a newspaper table.
        Normal = "normal",
        /// Lower rows.
        Compact = "compact",
    }
}

choice! {
    /// An on/off option.
    Switch {
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }
}

choice! {
    /// A column of a board. The name is always shown, as the first column.
    Column {
        /// The name of the base asset.
        Name = "name",
        /// The last price.
        Last = "last",
        /// The change in percent.
        Change = "change",
        /// The change in the quote currency.
        Amount = "amount",
        /// The 24-hour high.
        High = "high",
        /// The 24-hour low.
        Low = "low",
        /// The 24-hour turnover in the quote currency.
        Volume = "volume",
    }
}

choice! {
    /// The period of a chart.
    ChartSpan {
        /// 24 hours.
        Day = "24h",
        /// 7 days.
        Week = "7d",
    }
}

impl From<ChartSpan> for Span {
    fn from(span: ChartSpan) -> Self {
        match span {
            ChartSpan::Day => Self::Day,
            ChartSpan::Week => Self::Week,
        }
    }
}

impl Choice for Lang {
    const EVERY: &'static [Self] = &Self::ALL;

    fn keyword(self) -> &'static str {
        self.as_str()
    }
}

impl Choice for Basis {
    const EVERY: &'static [Self] = &Self::ALL;

    fn keyword(self) -> &'static str {
        self.as_str()
    }
}

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

impl Colors {
    const NAMED: [(&'static str, Self); 5] =
        [("kr", Self::Kr), ("jp", Self::Jp), ("cn", Self::Cn), ("intl", Self::Intl), ("cb", Self::Cb)];

    /// Returns a description of the accepted values, for error messages.
    pub fn allowed(lang: Lang) -> String {
        let named = Self::NAMED.map(|(word, _)| word).join(", ");
        let (two, four) = lang.pick(
            ("상승-하락", "뒤의 둘은 어두운 배경용"),
            ("rise-fall", "the last two on dark backgrounds"),
            ("上昇-下落", "後の2色は暗い背景用"),
        );
        format!("{named}, RRGGBB-RRGGBB ({two}), RRGGBB-RRGGBB-RRGGBB-RRGGBB ({four})")
    }

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

/// A text that is not a valid value of the `colors` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidColors;

impl FromStr for Colors {
    type Err = InvalidColors;

    fn from_str(text: &str) -> Result<Self, InvalidColors> {
        if let Some((_, colors)) = Self::NAMED.iter().find(|(word, _)| *word == text) {
            return Ok(*colors);
        }
        let mut tones = text.split('-').map(rgb);
        let mut next = || tones.next().flatten();
        let (rise, fall) = next().zip(next()).ok_or(InvalidColors)?;
        let (dark_rise, dark_fall) = match text.split('-').count() {
            2 => (rise, fall),
            4 => next().zip(next()).ok_or(InvalidColors)?,
            _ => return Err(InvalidColors),
        };
        Ok(Self::Custom([rise, fall, dark_rise, dark_fall]))
    }
}

/// Parses exactly six hexadecimal digits.
fn rgb(text: &str) -> Option<Rgb> {
    let strict = text.len() == 6 && text.bytes().all(|b| b.is_ascii_hexdigit());
    strict.then(|| u32::from_str_radix(text, 16).ok()).flatten().map(Rgb)
}

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

/// Allowed minimum times between two frames, in milliseconds; 0 means no minimum.
pub const INTERVALS_MS: [u64; 7] = [0, 100, 250, 500, 1000, 2000, 5000];

/// Parses an interval; only the exact texts of [`INTERVALS_MS`] are accepted.
pub fn parse_interval(text: &str) -> Option<u64> {
    INTERVALS_MS.into_iter().find(|millis| millis.to_string() == text)
}

/// Returns the name of a widget and a short description.
pub fn widget_label(widget: Widget, lang: Lang) -> (&'static str, &'static str) {
    match widget {
        Widget::Board => (
            lang.pick("시세표", "Board", "ボード"),
            lang.pick("여러 종목을 한 표로", "A table of markets", "複数銘柄の表"),
        ),
        Widget::Tape => (
            lang.pick("흐르는 시세", "Tape", "テープ"),
            lang.pick("한 줄로 움직이는 시세", "A scrolling line of markets", "1行で流れる価格"),
        ),
        Widget::Card => (
            lang.pick("카드", "Card", "カード"),
            lang.pick("24시간 그래프 포함", "With a 24-hour sparkline", "24時間のグラフ付き"),
        ),
        Widget::Ticker => (
            lang.pick("본문 속 시세", "Ticker", "ティッカー"),
            lang.pick("문장에 넣는 가격", "Inline price for running text", "文中に入れる価格"),
        ),
        Widget::Movers => (
            lang.pick("상승·하락 종목", "Movers", "騰落ランキング"),
            lang.pick("많이 오르고 내린 종목", "Risers and fallers", "値上がり・値下がり銘柄"),
        ),
        Widget::Chart => (
            lang.pick("차트", "Chart", "チャート"),
            lang.pick("24시간 또는 7일", "24 hours or 7 days", "24時間または7日間"),
        ),
    }
}

/// Returns the name of a column.
pub fn column_label(column: Column, lang: Lang) -> &'static str {
    match column {
        Column::Name => lang.pick("종목", "Coin", "銘柄"),
        Column::Last => lang.pick("현재가", "Price", "現在値"),
        Column::Change => lang.pick("변동률", "Change", "変動率"),
        Column::Amount => lang.pick("변동액", "Difference", "変動幅"),
        Column::High => lang.pick("고가", "High", "高値"),
        Column::Low => lang.pick("저가", "Low", "安値"),
        Column::Volume => lang.pick("거래대금", "Turnover", "売買代金"),
    }
}

/// Returns the label of an option value, or the keyword itself if it needs none.
pub fn value_label<'a>(name: &str, word: &'a str, lang: Lang) -> &'a str {
    match (name, word) {
        ("lang", word) => find::<Lang>(word).map_or(word, |lang| lang.own_name()),
        ("theme", "auto") => lang.pick("자동", "Auto", "自動"),
        ("theme", "light") => lang.pick("밝게", "Light", "ライト"),
        ("theme", "dark") => lang.pick("어둡게", "Dark", "ダーク"),
        ("colors", "kr") => lang.pick("한국: 빨강·파랑", "Korea: red, blue", "韓国: 赤・青"),
        ("colors", "jp") => lang.pick("일본: 빨강·초록", "Japan: red, green", "日本: 赤・緑"),
        ("colors", "cn") => lang.pick("중국: 빨강·초록", "China: red, green", "中国: 赤・緑"),
        ("colors", "intl") => lang.pick("기타: 초록·빨강", "International: green, red", "その他: 緑・赤"),
        ("colors", "cb") => lang.pick("색각 이상 배려", "Colour-blind safe", "色覚に配慮"),
        ("size", "xs") => lang.pick("가장 작게", "Smallest", "最小"),
        ("size", "s") => lang.pick("작게", "Small", "小"),
        ("size", "m") => lang.pick("보통", "Medium", "中"),
        ("size", "l") => lang.pick("크게", "Large", "大"),
        ("size", "xl") => lang.pick("가장 크게", "Largest", "最大"),
        ("size", "inherit") => lang.pick("본문에 맞춤", "Match surrounding text", "本文に合わせる"),
        ("density", "normal") => lang.pick("보통", "Normal", "標準"),
        ("density", "compact") => lang.pick("좁게", "Compact", "コンパクト"),
        ("basis", "24h") => lang.pick("24시간 전", "24 hours ago", "24時間前"),
        ("basis", "utc-day") => lang.pick("오전 9시(UTC 0시)", "00:00 UTC", "午前9時（UTC 0時）"),
        ("basis", "kst-day") => lang.pick("0시(한국시간)", "00:00 KST", "午前0時（日本時間）"),
        ("span", "24h") => lang.pick("24시간", "24 hours", "24時間"),
        ("span", "7d") => lang.pick("7일", "7 days", "7日間"),
        ("link", "market") => lang.pick("종목 페이지", "Market page", "銘柄ページ"),
        (_, "on") => lang.pick("켬", "On", "オン"),
        (_, "off") => lang.pick("끔", "Off", "オフ"),
        (_, word) => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_colours_are_parsed_strictly_and_printed_as_they_were() {
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
