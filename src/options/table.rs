//! The table of options, and [`OptionValues`], which holds their values.

use super::colors::Colors;
use super::link::Link;
use super::values::{Accepted, Column, Columns, Count, Density, Interval, OptionValue, Size, Span, Theme, Widget};
use crate::locale::Lang;
use crate::market::Basis;

/// The description of an option. Texts in three languages are in Korean, English and Japanese.
#[derive(Debug, Clone, Copy)]
pub struct OptionInfo {
    /// The name, which is the same in queries, attributes and the configuration.
    pub name: &'static str,
    /// What it means, in Markdown.
    pub about: &'static str,
    /// The accepted values.
    pub accepted: Accepted,
    /// A valid value if there is no fixed default, as an example.
    pub example: &'static str,
    /// The default, in Markdown.
    pub default: &'static str,
    /// The built-in default; `None` if it depends on the visitor, the widget or other settings.
    pub built_in: fn() -> Option<String>,
    /// The label of its form field; empty for options that have none of their own.
    pub label: [&'static str; 3],
    /// The label of the built-in default, if the field shows it in place of its keyword.
    pub default_label: Option<[&'static str; 3]>,
    /// The only widget that it applies to.
    pub only_for: Option<Widget>,
}

impl OptionInfo {
    /// Returns an option without the texts that not every option has.
    const fn new(name: &'static str, about: &'static str, accepted: Accepted) -> Self {
        Self {
            name,
            about,
            accepted,
            example: "",
            default: "",
            built_in: || None,
            label: [""; 3],
            default_label: None,
            only_for: None,
        }
    }

    /// Formats a value of this option as TOML.
    pub fn toml(&self, value: &str) -> String {
        match self.accepted {
            Accepted::Numbers(_) | Accepted::UpTo(_) => value.to_owned(),
            Accepted::Columns => {
                // The name is always shown.
                let words = value.split(',').filter(|word| *word != "name").map(|word| format!("{word:?}"));
                format!("[{}]", words.collect::<Vec<_>>().join(", "))
            }
            _ => format!("{value:?}"),
        }
    }
}

/// Returns the options that the table `[widgets]` of the configuration sets. Boards and markets are configured in
/// `[[boards]]`, and `basis` there is the default of all boards.
pub fn settings() -> impl Iterator<Item = &'static OptionInfo> {
    TABLE.iter().filter(|option| !matches!(option.accepted, Accepted::Name(_)) && option.name != "basis")
}

/// Defines [`TABLE`] and [`OptionValues`] from the options, each with its type, its built-in default, if it has one, what
/// it means, and its further texts.
macro_rules! options {
    ($($name:ident: $type:ty $(= $default:expr)?, $about:literal, { $($text:ident: $value:expr),* $(,)? };)+) => {
        /// Every option.
        pub const TABLE: &[OptionInfo] = &[
            OptionInfo {
                default: "the first",
                ..OptionInfo::new("board", "the board to show", Accepted::Name("id of a board"))
            },
            OptionInfo {
                default: "those of the board; card, ticker and chart its first",
                ..OptionInfo::new(
                    "markets",
                    "the markets to show, in this order; without `board` they can be of several boards",
                    Accepted::Name("`BTC-KRW,ETH-KRW`"),
                )
            },
            $(OptionInfo {
                $(built_in: || Some(OptionValue::text(&{ let built_in: $type = $default; built_in })),)?
                $($text: $value,)*
                ..OptionInfo::new(stringify!($name), $about, <$type as OptionValue>::ACCEPTED)
            },)+
        ];

        /// The values of options that a query or the configuration sets; the others are `None`. Methods of the same
        /// name add the built-in default.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct OptionValues {
            $(#[doc = $about] pub $name: Option<$type>,)+
        }

        impl OptionValues {
            $($(
                /// Returns the value or the built-in default.
                pub fn $name(&self) -> $type {
                    self.$name.clone().unwrap_or_else(|| $default)
                }
            )?)+

            /// Sets the option with this name; does nothing for `board` and `markets`, whose values are not part of it.
            ///
            /// # Errors
            /// The part of the text that is not accepted.
            pub fn set<'a>(&mut self, name: &str, text: &'a str) -> Result<(), &'a str> {
                match name {
                    $(stringify!($name) => self.$name = Some(OptionValue::parse(text)?),)+
                    _ => {}
                }
                Ok(())
            }

            /// Returns these values, and those of `defaults` for options that are not set.
            pub fn or(self, defaults: &Self) -> Self {
                Self { $($name: self.$name.or_else(|| defaults.$name.clone()),)+ }
            }

            /// Returns the names and values of the options that are set.
            pub fn set_options(&self) -> Vec<(&'static str, String)> {
                let all = [$((stringify!($name), self.$name.as_ref().map(OptionValue::text)),)+];
                all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
            }

            /// Returns the names and values of the options that differ from `defaults` or else from the built-in ones.
            pub fn changes(&self, defaults: &Self) -> Vec<(&'static str, String)> {
                let mut changes = Vec::new();
                $({
                    let value = |values: &Self| values.$name.clone()$(.or_else(|| Some($default)))?;
                    if let Some(own) = value(self).filter(|_| value(self) != value(defaults)) {
                        changes.push((stringify!($name), own.text()));
                    }
                })+
                changes
            }
        }
    };
}

options! {
    lang: Lang, "language of texts, numbers and times", {
        example: "ko",
        default: "browser language",
        label: ["언어", "Language", "言語"],
        default_label: Some(["방문자 언어", "Visitor's language", "訪問者の言語"]),
    };
    basis: Basis, "what changes are measured against; every widget names it. Where a change is unknown, its `–` \
        explains why, on hover and to screen readers", {
        default: "the board's",
        label: ["변동률 기준", "Change since", "変動率の基準"],
        default_label: Some(["시세판 기본값", "Board default", "ボードのデフォルト"]),
    };
    theme: Theme = Theme::Auto, "light or dark background; `auto` follows the `color-scheme` of the surrounding page \
        at all times", {
        label: ["배경", "Background", "背景"],
        default_label: Some(["자동", "Auto", "自動"]),
    };
    colors: Colors, "colours of rise and fall: a set, by region or for colour-blind readers, or your own, as \
        `RRGGBB-RRGGBB`", {
        example: "kr",
        default: "by language",
        label: ["색", "Colours", "色"],
        default_label: Some(["언어에 맞춤", "Match language", "言語に合わせる"]),
    };
    size: Size, "text size in five steps; `inherit` matches the surrounding text", {
        example: "m",
        default: "`m`; a ticker `inherit`",
        label: ["글자 크기", "Text size", "文字サイズ"],
    };
    columns: Columns = Columns::new([Column::Last, Column::Change]), "the columns of a board, in this order; the name \
        is always shown, first", {
        label: ["표시 항목", "Columns", "表示項目"],
        only_for: Some(Widget::Board),
    };
    density: Density = Density::Normal, "spacing between rows", {
        label: ["줄 간격", "Row spacing", "行間"],
    };
    flash: bool = true, "whether a changed price lights up briefly; never under reduced motion", {
        label: ["가격 변동 강조", "Flash on change", "価格変動時の点滅"],
    };
    link: Link = Link::Off, "where a name links to: nowhere, the market's page on this server, or a path on the host \
        that shows the widget", {
        label: ["종목명 링크", "Link on names", "銘柄名のリンク"],
        default_label: Some(["없음", "None", "なし"]),
    };
    credit: bool, "whether the exchanges are named, with their current problems", {
        example: "on",
        default: "`on`; tape and ticker `off`",
        label: ["출처 표시", "Show sources", "出典の表示"],
    };
    transparent: bool = false, "whether the page behind shows through; in a frame only if `theme` matches the \
        surrounding `color-scheme` (otherwise browsers paint the background of the theme)", {
        label: ["투명 배경", "Transparent background", "透明な背景"],
    };
    interval: Interval = Interval::DEFAULT, "shortest time between two updates, in milliseconds", {
        label: ["최소 갱신 간격(ms)", "Update at most every (ms)", "最短更新間隔（ms）"],
    };
    span: Span = Span::Day, "time range of a chart", {
        label: ["기간", "Period", "期間"],
        default_label: Some(["24시간", "24 hours", "24時間"]),
        only_for: Some(Widget::Chart),
    };
    count: Count, "number of risers, and of fallers", {
        example: "5",
        default: "`movers.count`, which is 5 if not set",
        label: ["상승·하락 각 개수", "Risers and fallers, each", "上昇・下落の各件数"],
        only_for: Some(Widget::Movers),
    };
    title: bool = true, "whether the heading is visible; screen readers always get it", {
        label: ["제목 표시", "Show title", "タイトルの表示"],
    };
}
