//! Formats times, dates and ages.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::{Lang, grouped};
use crate::market::Base;

/// The time zone in which times are shown for a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    /// Abbreviation shown after a time.
    pub label: &'static str,
    /// Offset from UTC in hours, positive to the east. None of these zones has daylight saving time.
    pub hours: i8,
}

/// Returns the zone for a language.
pub fn zone(lang: Lang) -> Zone {
    lang.pick(Zone { label: "KST", hours: 9 }, Zone { label: "UTC", hours: 0 }, Zone { label: "JST", hours: 9 })
}

/// Returns the time of day to the second, such as `15:27:03`.
pub fn clock(at: Timestamp, lang: Lang) -> String {
    local(at, lang).strftime("%H:%M:%S").to_string()
}

/// Returns date and time to the minute: `1월 14일 15:27 KST`.
pub fn moment(at: Timestamp, lang: Lang) -> String {
    let pattern = lang.pick("%-m월 %-d일 %H:%M", "%-d %b %H:%M", "%-m月%-d日 %H:%M");
    format!("{} {}", local(at, lang).strftime(pattern), zone(lang).label)
}

/// Returns date and time to the second: `1월 14일 15:27:03 KST`.
pub fn moment_exact(at: Timestamp, lang: Lang) -> String {
    let pattern = lang.pick("%-m월 %-d일 %H:%M:%S", "%-d %b %H:%M:%S", "%-m月%-d日 %H:%M:%S");
    format!("{} {}", local(at, lang).strftime(pattern), zone(lang).label)
}

/// Returns a day of the last week in short form: `1/14`, in English `Wed`.
pub fn day(at: Timestamp, lang: Lang) -> String {
    local(at, lang).strftime(lang.pick("%-m/%-d", "%a", "%-m/%-d")).to_string()
}

/// Returns base price and base time, such as `기준 139,290,000 · 01-14 15:27 KST`.
pub fn base(base: &Base, lang: Lang) -> String {
    let price = grouped(base.price.get(), 0);
    let at = local(base.at, lang).strftime("%m-%d %H:%M");
    format!("{} {price} · {at} {}", lang.pick("기준", "base", "基準"), zone(lang).label)
}

/// Returns date and time in the short form of a newspaper caption: `11.25 10:15`, in English `25 Nov 01:15 UTC`.
pub fn stamp(at: Timestamp, lang: Lang) -> String {
    local(at, lang).strftime(lang.pick("%m.%d %H:%M", "%-d %b %H:%M UTC", "%m.%d %H:%M")).to_string()
}

/// Returns only the date in the form of [`stamp`]: `01.15`.
pub fn stamp_day(at: Timestamp, lang: Lang) -> String {
    local(at, lang).strftime(lang.pick("%m.%d", "%-d %b", "%m.%d")).to_string()
}

/// Returns how long ago `at` was, such as `12초 전`; a time in the future counts as now.
pub fn age(at: Timestamp, now: Timestamp, lang: Lang) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    let (count, unit) = match seconds {
        ..60 => (seconds, 0),
        60..3600 => (seconds / 60, 1),
        3600..86_400 => (seconds / 3600, 2),
        _ => (seconds / 86_400, 3),
    };
    age_patterns(lang)[unit].replace('#', &count.to_string())
}

/// Returns the patterns of [`age`] for seconds, minutes, hours and days; `#` is the placeholder for the count.
pub fn age_patterns(lang: Lang) -> [&'static str; 4] {
    lang.pick(
        ["#초 전", "#분 전", "#시간 전", "#일 전"],
        ["#s ago", "#m ago", "#h ago", "#d ago"],
        ["#秒前", "#分前", "#時間前", "#日前"],
    )
}

fn local(at: Timestamp, lang: Lang) -> DateTime {
    jiff::tz::offset(zone(lang).hours).to_datetime(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::BaseSource;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_age_is_in_its_largest_whole_unit() {
        let start = at("2026-01-15T00:00:00Z");
        for (now, ko, en) in [
            ("2026-01-15T00:00:00Z", "0초 전", "0s ago"),
            ("2026-01-15T00:00:59Z", "59초 전", "59s ago"),
            ("2026-01-15T00:01:00Z", "1분 전", "1m ago"),
            ("2026-01-15T23:59:59Z", "23시간 전", "23h ago"),
            ("2026-01-18T01:00:00Z", "3일 전", "3d ago"),
            ("2026-01-14T00:00:00Z", "0초 전", "0s ago"),
        ] {
            assert_eq!(age(start, at(now), Lang::Ko), ko);
            assert_eq!(age(start, at(now), Lang::En), en);
        }
    }

    #[test]
    fn a_base_has_its_price_and_its_time_in_the_zone_of_the_language() {
        let price = "139290000.00".parse().unwrap();
        let figure = Base { price, at: at("2026-01-14T06:27:00Z"), source: BaseSource::Window };
        assert_eq!(base(&figure, Lang::Ko), "기준 139,290,000 · 01-14 15:27 KST");
        assert_eq!(base(&figure, Lang::En), "base 139,290,000 · 01-14 06:27 UTC");
        assert_eq!(clock(figure.at, Lang::Ja), "15:27:00");
    }
}
