//! Risers and fallers: eligibility, order and caption.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::config::{Environment, Site, parse as read_config};
use sisepan::market::{Base, BaseSource, Basis, Direction, MoversRule, Quote, State};

use super::parse::parse;
use super::{AppFixture, app, board, get, quote};
use crate::history::{memory_history, minute, rising};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn ranked(rule: &MoversRule, quotes: &[Quote]) -> (Vec<String>, Vec<String>) {
    let movers = rule.rank(quotes.iter(), Basis::Rolling24h);
    let names = |rows: &[&Quote]| rows.iter().map(|quote| quote.market.base().to_owned()).collect();
    (names(&movers.risers), names(&movers.fallers))
}

#[test]
fn the_largest_change_comes_first_and_an_unchanged_price_is_no_mover() {
    let quotes =
        [("A", "110"), ("B", "130"), ("C", "100"), ("D", "90"), ("E", "50"), ("F", "130")].map(|(base, last)| {
            let turnover = if base == "F" { "9000000000" } else { "5000000000" };
            let row = quote(&format!("{base}-KRW"), last, Some("100"));
            Quote { quote_volume_24h: Some(decimal(turnover)), ..row }
        });
    let (risers, fallers) = ranked(&MoversRule::default(), &quotes);
    assert_eq!(risers, ["F", "B", "A"], "of equal changes, the higher turnover comes first");
    assert_eq!(fallers, ["E", "D"]);
}

#[test]
fn a_market_below_the_turnover_minimum_is_no_mover() {
    let with = |turnover: Option<&str>| Quote {
        quote_volume_24h: turnover.map(decimal),
        ..quote("A-KRW", "110", Some("100"))
    };
    let rule = MoversRule::default();
    let is_mover = |rule: &MoversRule, quote: Quote| ranked(rule, &[quote]).0.len() == 1;
    assert!(is_mover(&rule, with(Some("1000000000"))));
    assert!(!is_mover(&rule, with(Some("999999999.99"))));
    assert!(!is_mover(&rule, with(None)), "an unknown turnover is below the minimum");
    let no_minimum = MoversRule { turnover_min: BTreeMap::new(), ..rule.clone() };
    assert!(is_mover(&no_minimum, with(None)), "without a minimum, the turnover may be unknown");
    let other = Quote { quote_volume_24h: None, ..quote("A-BTC", "110", Some("100")) };
    assert!(is_mover(&rule, other), "a currency without a minimum");
}

#[test]
fn a_change_above_the_maximum_is_no_mover() {
    let rule = MoversRule { change_max_percent: decimal("50"), ..MoversRule::default() };
    let is_mover = |last: &str| {
        let (risers, fallers) = ranked(&rule, &[quote("A-KRW", last, Some("10000"))]);
        risers.len() + fallers.len() == 1
    };
    assert!(is_mover("15000") && is_mover("5000"));
    assert!(!is_mover("15001") && !is_mover("4999"));
}

#[test]
fn a_market_listed_for_less_than_a_day_is_no_mover() {
    let day = quote("A-KRW", "110", Some("100"));
    let [base, ..] = day.bases;
    let today = Quote { bases: [None, base, base], ..day.clone() };
    let from_venue = Quote {
        bases: base.map(|base| Base { source: BaseSource::Venue, ..base }).map_or([None; 3], |b| [Some(b); 3]),
        ..day.clone()
    };
    let rule = MoversRule::default();
    assert_eq!(rule.rank([&day].into_iter(), Basis::KstDay).risers.len(), 1);
    assert_eq!(rule.rank([&today].into_iter(), Basis::KstDay).risers.len(), 0, "known since midnight only");
    assert_eq!(rule.rank([&from_venue].into_iter(), Basis::Rolling24h).risers.len(), 0, "may be the listing price");
    let any = MoversRule { age_min_hours: 0, ..rule };
    assert_eq!(any.rank([&today, &from_venue].into_iter(), Basis::KstDay).risers.len(), 2);
}

#[test]
fn a_stale_change_is_no_mover_while_any_change_is_live() {
    let live = quote("A-KRW", "101", Some("100"));
    let stale = Quote { state: State::Stale, ..quote("B-KRW", "200", Some("100")) };
    assert_eq!(ranked(&MoversRule::default(), &[live, stale.clone()]).0, ["A"]);
    assert_eq!(ranked(&MoversRule::default(), &[stale]).0, ["B"], "if no change is live, the last known ones stay");
}

proptest! {
    #[test]
    fn movers_are_sorted_and_contain_only_plausible_known_changes(
        prices in prop::collection::vec((1u64..1_000_000, prop::option::of(1u64..1_000_000), 0u64..3_000_000_000), 0..40)
    ) {
        let quotes: Vec<Quote> = prices.iter().enumerate().map(|(at, (last, base, turnover))| {
            let row = quote(&format!("C{at}-KRW"), &last.to_string(), base.map(|base| base.to_string()).as_deref());
            Quote { quote_volume_24h: Some(Decimal::from(*turnover)), ..row }
        }).collect();
        let rule = MoversRule::default();
        let movers = rule.rank(quotes.iter(), Basis::Rolling24h);
        let percent = |quote: &Quote| quote.change(Basis::Rolling24h).unwrap().percent;
        prop_assert!(movers.risers.windows(2).all(|pair| percent(pair[0]) >= percent(pair[1])));
        prop_assert!(movers.fallers.windows(2).all(|pair| percent(pair[0]) <= percent(pair[1])));
        for quote in &quotes {
            let passes = quote.quote_volume_24h.unwrap() >= Decimal::from(1_000_000_000u64);
            let change = quote.change(Basis::Rolling24h).filter(|change| passes && change.percent.abs() <= Decimal::from(500));
            let direction = change.map(|change| change.direction);
            prop_assert_eq!(movers.risers.iter().any(|row| row.market == quote.market), direction == Some(Direction::Rise));
            prop_assert_eq!(movers.fallers.iter().any(|row| row.market == quote.market), direction == Some(Direction::Fall));
        }
    }
}

#[tokio::test]
async fn the_caption_states_the_time_and_only_a_halt_is_a_closed_market() {
    for (state, ko, en, ja) in [
        (State::Live, "01.15 15:27 기준", "as of 15 Jan 06:27 UTC", "01.15 15:27 時点"),
        (State::Delayed, "01.15 15:27 기준", "as of 15 Jan 06:27 UTC", "01.15 15:27 時点"),
        (State::Halted, "01.15 장종료", "15 Jan, market closed", "01.15 取引終了"),
        (State::Stale, "01.15 15:27 갱신 중단", "15 Jan 06:27 UTC not updated", "01.15 15:27 更新停止"),
    ] {
        let quotes = super::rows().into_iter().map(|row| Quote { state, ..row }).collect();
        let app = AppFixture { quotes, ..AppFixture::default() }.app();
        for (lang, caption) in [("ko", ko), ("en", en), ("ja", ja)] {
            let response = get(&app, &format!("/fragment/movers?lang={lang}")).await;
            let words = parse(&response.body).unwrap().words();
            assert!(words.contains(caption), "{state:?} {lang}: {words}");
        }
    }
}

#[tokio::test]
async fn both_sides_show_the_requested_number_of_rows() {
    let names: Vec<String> = (0..30).map(|at| format!("C{at}-KRW")).collect();
    let quotes = (0..30).map(|at| quote(&names[at], &(870 + at * 10).to_string(), Some("1000"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let boards = vec![board("krw", &names, "bithumb")];
    let app = AppFixture { quotes, boards, ..AppFixture::default() }.app();
    for (query, risers, fallers) in [("lang=ko", 5, 5), ("lang=ko&count=2", 2, 2), ("lang=ko&count=20", 16, 13)] {
        let page = parse(&get(&app, &format!("/fragment/movers?{query}")).await.body).unwrap();
        let count = |direction| page.with("data-market").filter(|row| row.get("data-direction") == direction).count();
        assert_eq!((count("rise"), count("fall")), (risers, fallers), "{query}");
    }
}

#[tokio::test]
async fn a_minimum_age_beyond_a_day_is_read_from_the_history() {
    let rule = |hours| MoversRule { age_min_hours: hours, ..MoversRule::default() };
    let site = |hours| Site { movers: rule(hours), ..Site::default() };
    let end = minute(super::NOW);
    let closes = rising(end - 60 * 60..end, 100);
    for (hours, shown) in [(24, true), (48, true), (72, false)] {
        let history = Some(memory_history("bithumb", "BTC-KRW", &closes) as _);
        let app = AppFixture { site: site(hours), history, ..AppFixture::default() }.app();
        let page = parse(&get(&app, "/fragment/movers?lang=ko").await.body).unwrap();
        assert_eq!(page.text.contains("비트코인"), shown, "traded for 60 hours, minimum {hours}");
    }
    let without_history = AppFixture { site: site(48), history: None, ..AppFixture::default() }.app();
    let page = parse(&get(&without_history, "/fragment/movers?lang=ko").await.body).unwrap();
    assert!(!page.text.contains("비트코인"), "without a history the age is unknown");
    assert!(parse(&get(&app(), "/fragment/movers?lang=ko").await.body).unwrap().text.contains("비트코인"));
}

#[test]
fn the_movers_rule_is_configurable() {
    let read = |text: &str| read_config("test.toml", text, &Environment::new());
    let rule = read("").unwrap().site.movers;
    assert_eq!((rule.count, rule.age_min_hours, rule.change_max_percent), (5, 24, decimal("500")));
    let text = "[movers]\nturnover_min = [\"2000000 usdt\", \"0.5 BTC\"]\nchange_max_percent = 90\nage_min_hours = 72\ncount = 3\n";
    let rule = read(text).unwrap().site.movers;
    let minimums = BTreeMap::from([("BTC".to_owned(), decimal("0.5")), ("USDT".to_owned(), decimal("2000000"))]);
    assert_eq!(
        rule,
        MoversRule { turnover_min: minimums, change_max_percent: decimal("90"), age_min_hours: 72, count: 3 }
    );
    for (text, expected) in [
        ("turnover_min = [\"KRW\"]", "movers.turnover_min: must be an amount and a currency"),
        ("turnover_min = [\"-1 KRW\"]", "movers.turnover_min"),
        ("count = 0", "movers.count: must be from 1 to 20"),
        ("age_min_hours = 169", "movers.age_min_hours: must be from 0 to 168"),
        ("change_max_percent = 0", "movers.change_max_percent"),
        ("counts = 1", "movers.counts: unknown setting"),
    ] {
        let error = read(&format!("[movers]\n{text}\n")).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
