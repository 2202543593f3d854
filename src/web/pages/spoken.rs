//! What the configurator calls widgets, columns and values, in each language.

use super::choice::{Column, Widget, find};
use crate::text::Lang;

/// Returns what a widget is called, and what it is, in a few words.
pub fn described(widget: Widget, lang: Lang) -> (&'static str, &'static str) {
    match widget {
        Widget::Board => (
            lang.pick("시세표", "Board", "ボード"),
            lang.pick("표 하나에 여러 종목", "A table of markets", "複数銘柄の表"),
        ),
        Widget::Tape => (
            lang.pick("흐르는 줄", "Tape", "テープ"),
            lang.pick("한 줄에 여러 종목", "Markets in a line", "1行に複数銘柄"),
        ),
        Widget::Card => (
            lang.pick("카드", "Card", "カード"),
            lang.pick("하루의 선과 함께", "With the line of a day", "1日の線とともに"),
        ),
        Widget::Ticker => (
            lang.pick("글 속 시세", "Ticker", "ティッカー"),
            lang.pick("문장 안의 말", "Words in a sentence", "文の中の言葉"),
        ),
        Widget::Movers => (
            lang.pick("급등락", "Movers", "値動き"),
            lang.pick("오른 것과 내린 것", "Risers and fallers", "上昇と下落"),
        ),
        Widget::Chart => (
            lang.pick("차트", "Chart", "チャート"),
            lang.pick("하루나 한 주의 그림", "A day or a week", "1日または1週間"),
        ),
    }
}

/// Returns what a column is called.
pub fn column_name(column: Column, lang: Lang) -> &'static str {
    match column {
        Column::Name => lang.pick("종목", "Name", "銘柄"),
        Column::Last => lang.pick("현재가", "Price", "価格"),
        Column::Change => lang.pick("변동률", "Change", "変動率"),
        Column::Amount => lang.pick("변동액", "Amount", "変動額"),
        Column::High => lang.pick("고가", "High", "高値"),
        Column::Low => lang.pick("저가", "Low", "安値"),
        Column::Volume => lang.pick("거래대금", "Turnover", "売買代金"),
    }
}

/// Returns what a reader understands by a value; most stand for themselves.
pub fn spoken<'a>(name: &str, word: &'a str, lang: Lang) -> &'a str {
    match (name, word) {
        ("lang", word) => find::<Lang>(word).map_or(word, |lang| lang.own_name()),
        ("theme", "auto") => lang.pick("자동", "Auto", "自動"),
        ("theme", "light") => lang.pick("밝게", "Light", "明るい"),
        ("theme", "dark") => lang.pick("어둡게", "Dark", "暗い"),
        ("colors", "kr") => lang.pick("한국: 빨강·파랑", "Korea: red, blue", "韓国: 赤・青"),
        ("colors", "jp") => lang.pick("일본: 빨강·초록", "Japan: red, green", "日本: 赤・緑"),
        ("colors", "cn") => lang.pick("중국: 빨강·초록", "China: red, green", "中国: 赤・緑"),
        ("colors", "intl") => lang.pick("그 밖: 초록·빨강", "Elsewhere: green, red", "その他: 緑・赤"),
        ("colors", "cb") => lang.pick("색각 배려", "Colour-blind safe", "色覚に配慮"),
        ("size", "xs") => lang.pick("가장 작게", "Smallest", "最小"),
        ("size", "s") => lang.pick("작게", "Small", "小"),
        ("size", "m") => lang.pick("기본", "Medium", "中"),
        ("size", "l") => lang.pick("크게", "Large", "大"),
        ("size", "xl") => lang.pick("가장 크게", "Largest", "最大"),
        ("size", "inherit") => lang.pick("본문을 따름", "As the text around", "本文に従う"),
        ("density", "normal") => lang.pick("보통", "Normal", "標準"),
        ("density", "compact") => lang.pick("좁게", "Compact", "狭い"),
        ("basis", "24h") => lang.pick("24시간 전", "24 hours ago", "24時間前"),
        ("basis", "utc-day") => lang.pick("오전 9시(UTC 0시)", "00:00 UTC", "UTC 0時"),
        ("basis", "kst-day") => lang.pick("한국 0시", "00:00 in Seoul", "韓国 0時"),
        ("span", "24h") => lang.pick("24시간", "24 hours", "24時間"),
        ("span", "7d") => lang.pick("7일", "7 days", "7日間"),
        ("link", "market") => lang.pick("시세 페이지로", "To the market's page", "銘柄のページへ"),
        (_, "on") => lang.pick("켬", "On", "オン"),
        (_, "off") => lang.pick("끔", "Off", "オフ"),
        (_, word) => word,
    }
}
