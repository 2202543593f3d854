//! Labels of widgets, columns and option values, and the texts that the script writes into rows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::option_values::{Column, Widget, find};
use crate::feed::VenueState;
use crate::locale;
use crate::locale::Lang;
use crate::market::{Direction, State, VenueId};

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

#[derive(Serialize)]
struct ClientStrings<'a> {
    direction: BTreeMap<&'a str, &'a str>,
    state: BTreeMap<&'a str, &'a str>,
    age: [&'a str; 4],
    venue: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    link: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reason: BTreeMap<&'a str, &'a str>,
    base: &'a str,
    zone: &'a str,
    hours: i8,
    live: &'a str,
    off: &'a str,
}

/// Returns the texts that the script writes into rows of these venues, as a JSON object; `credit` adds those for the
/// states of the venues.
///
/// They are part of the markup of each widget (`data-words`), so `sisepan.js` itself contains no texts.
pub fn client_strings(venues: &[VenueId], lang: Lang, credit: bool) -> String {
    let links = [VenueState::Connecting, VenueState::Delayed, VenueState::Down];
    let strings = ClientStrings {
        direction: [Direction::Rise, Direction::Even, Direction::Fall]
            .map(|it| (it.as_str(), locale::direction(it, lang)))
            .into(),
        state: [State::Delayed, State::Stale, State::Halted, State::Unknown]
            .map(|it| (it.as_str(), locale::state(it, lang)))
            .into(),
        age: locale::age_patterns(lang),
        venue: venues.iter().map(|&id| (id.as_str(), locale::venue(id, lang))).collect(),
        link: links.into_iter().filter(|_| credit).map(|it| (it.as_str(), locale::venue_state(it, lang))).collect(),
        reason: locale::reason_texts(lang).filter(|_| credit).collect(),
        base: lang.pick("기준", "base", "基準"),
        zone: locale::zone(lang).label,
        hours: locale::zone(lang).hours,
        live: lang.pick("실시간", "live", "リアルタイム"),
        off: lang.pick("연결 끊김", "not live", "接続なし"),
    };
    // Serializing strings and numbers can't fail.
    serde_json::to_string(&strings).unwrap_or_default()
}
