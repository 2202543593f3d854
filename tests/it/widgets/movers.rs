//! Risers and fallers: who may be one, in which order, under which caption.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::config::{Environment, Site, parse as read_config};
use sisepan::domain::{Base, BaseSource, Basis, Direction, MoversRule, Quote, State};

use super::parse::parse;
use super::{Set, app, ask, board, quote};
use crate::history::{kept, minute, rising};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn ranked(rule: &MoversRule, quotes: &[Quote]) -> (Vec<String>, Vec<String>) {
    let movers = rule.rank(quotes.iter(), Basis::Rolling24h);
    let names = |rows: &[&Quote]| rows.iter().map(|quote| quote.market.base().to_owned()).collect();
    (names(&movers.risers), names(&movers.fallers))
}

#[test]
fn the_largest_change_stands_first_and_even_is_neither() {
    let quotes =
        [("A", "110"), ("B", "130"), ("C", "100"), ("D", "90"), ("E", "50"), ("F", "130")].map(|(base, last)| {
            let turnover = if base == "F" { "9000000000" } else { "5000000000" };
            let row = quote(&format!("{base}-KRW"), last, Some("100"));
            Quote { quote_volume_24h: Some(decimal(turnover)), ..row }
        });
    let (risers, fallers) = ranked(&MoversRule::default(), &quotes);
    assert_eq!(risers, ["F", "B", "A"], "of equals the one that is traded more");
    assert_eq!(fallers, ["E", "D"]);
}

#[test]
fn a_market_that_hardly_trades_is_no_mover() {
    let with = |turnover: Option<&str>| Quote {
        quote_volume_24h: turnover.map(decimal),
        ..quote("A-KRW", "110", Some("100"))
    };
    let rule = MoversRule::default();
    let is = |rule: &MoversRule, quote: Quote| ranked(rule, &[quote]).0.len() == 1;
    assert!(is(&rule, with(Some("1000000000"))));
    assert!(!is(&rule, with(Some("999999999.99"))));
    assert!(!is(&rule, with(None)), "an unknown turnover passes no floor");
    let none = MoversRule { turnover_min: BTreeMap::new(), ..rule.clone() };
    assert!(is(&none, with(None)), "where there is no floor it need not be known");
    let other = Quote { quote_volume_24h: None, ..quote("A-BTC", "110", Some("100")) };
    assert!(is(&rule, other), "a currency without a floor");
}

#[test]
fn a_change_beyond_belief_is_no_mover() {
    let rule = MoversRule { change_max_percent: decimal("50"), ..MoversRule::default() };
    let is = |last: &str| {
        let (risers, fallers) = ranked(&rule, &[quote("A-KRW", last, Some("10000"))]);
        risers.len() + fallers.len() == 1
    };
    assert!(is("15000") && is("5000"));
    assert!(!is("15001") && !is("4999"));
}

#[test]
fn a_market_without_a_day_behind_it_is_no_mover() {
    let day = quote("A-KRW", "110", Some("100"));
    let [base, ..] = day.bases;
    let today = Quote { bases: [None, base, base], ..day.clone() };
    let theirs = Quote {
        bases: base.map(|base| Base { source: BaseSource::Venue, ..base }).map_or([None; 3], |b| [Some(b); 3]),
        ..day.clone()
    };
    let rule = MoversRule::default();
    assert_eq!(rule.rank([&day].into_iter(), Basis::KstDay).risers.len(), 1);
    assert_eq!(rule.rank([&today].into_iter(), Basis::KstDay).risers.len(), 0, "its change of today is known, no more");
    assert_eq!(rule.rank([&theirs].into_iter(), Basis::Rolling24h).risers.len(), 0, "may be against its first price");
    let any = MoversRule { age_min_hours: 0, ..rule };
    assert_eq!(any.rank([&today, &theirs].into_iter(), Basis::KstDay).risers.len(), 2);
}

#[test]
fn an_old_change_is_no_mover_while_any_is_of_now() {
    let live = quote("A-KRW", "101", Some("100"));
    let stale = Quote { state: State::Stale, ..quote("B-KRW", "200", Some("100")) };
    assert_eq!(ranked(&MoversRule::default(), &[live, stale.clone()]).0, ["A"]);
    assert_eq!(ranked(&MoversRule::default(), &[stale]).0, ["B"], "the last that was known stays");
}

proptest! {
    #[test]
    fn ranks_are_of_the_known_and_believable_in_order(
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
async fn the_caption_says_of_when_it_is_and_only_a_halt_is_a_closed_market() {
    for (state, ko, en, ja) in [
        (State::Live, "01.15 15:27 기준", "as of 15 Jan 06:27 UTC", "01.15 15:27 時点"),
        (State::Delayed, "01.15 15:27 기준", "as of 15 Jan 06:27 UTC", "01.15 15:27 時点"),
        (State::Halted, "01.15 장종료", "15 Jan, market closed", "01.15 取引終了"),
        (State::Stale, "01.15 15:27 갱신 중단", "15 Jan 06:27 UTC not updated", "01.15 15:27 更新停止"),
    ] {
        let quotes = super::rows().into_iter().map(|row| Quote { state, ..row }).collect();
        let app = Set { quotes, ..Set::default() }.app();
        for (lang, said) in [("ko", ko), ("en", en), ("ja", ja)] {
            let answer = ask(&app, &format!("/fragment/movers?lang={lang}")).await;
            let words = parse(&answer.body).unwrap().words();
            assert!(words.contains(said), "{state:?} {lang}: {words}");
        }
    }
}

#[tokio::test]
async fn both_sides_stand_with_as_many_rows_as_asked() {
    let names: Vec<String> = (0..30).map(|at| format!("C{at}-KRW")).collect();
    let quotes = (0..30).map(|at| quote(&names[at], &(870 + at * 10).to_string(), Some("1000"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let boards = vec![board("krw", &names, "bithumb")];
    let app = Set { quotes, boards, ..Set::default() }.app();
    for (query, risers, fallers) in [("lang=ko", 5, 5), ("lang=ko&count=2", 2, 2), ("lang=ko&count=20", 16, 13)] {
        let page = parse(&ask(&app, &format!("/fragment/movers?{query}")).await.body).unwrap();
        let count = |direction| page.with("data-market").filter(|row| row.get("data-direction") == direction).count();
        assert_eq!((count("rise"), count("fall")), (risers, fallers), "{query}");
    }
}

#[tokio::test]
async fn an_age_beyond_a_day_is_read_from_the_past() {
    let rule = |hours| MoversRule { age_min_hours: hours, ..MoversRule::default() };
    let site = |hours| Site { movers: rule(hours), ..Site::default() };
    let end = minute(super::NOW);
    let told = rising(end - 60 * 60..end, 100);
    for (hours, shown) in [(24, true), (48, true), (72, false)] {
        let history = Some(kept("bithumb", "BTC-KRW", &told) as _);
        let app = Set { site: site(hours), history, ..Set::default() }.app();
        let page = parse(&ask(&app, "/fragment/movers?lang=ko").await.body).unwrap();
        assert_eq!(page.text.contains("비트코인"), shown, "traded for 60 hours, asked for {hours}");
    }
    let unread = Set { site: site(48), history: None, ..Set::default() }.app();
    let page = parse(&ask(&unread, "/fragment/movers?lang=ko").await.body).unwrap();
    assert!(!page.text.contains("비트코인"), "what can't be read proves nothing");
    assert!(parse(&ask(&app(), "/fragment/movers?lang=ko").await.body).unwrap().text.contains("비트코인"));
}

#[test]
fn the_rule_is_a_setting() {
    let read = |text: &str| read_config("test.toml", text, &Environment::new());
    let rule = read("").unwrap().site.movers;
    assert_eq!((rule.count, rule.age_min_hours, rule.change_max_percent), (5, 24, decimal("500")));
    let text = "[movers]\nturnover_min = [\"2000000 usdt\", \"0.5 BTC\"]\nchange_max_percent = 90\nage_min_hours = 72\ncount = 3\n";
    let rule = read(text).unwrap().site.movers;
    let floors = BTreeMap::from([("BTC".to_owned(), decimal("0.5")), ("USDT".to_owned(), decimal("2000000"))]);
    assert_eq!(
        rule,
        MoversRule { turnover_min: floors, change_max_percent: decimal("90"), age_min_hours: 72, count: 3 }
    );
    for (text, said) in [
        ("turnover_min = [\"KRW\"]", "movers.turnover_min: must be an amount and a currency"),
        ("turnover_min = [\"-1 KRW\"]", "movers.turnover_min"),
        ("count = 0", "movers.count: must be from 1 to 20"),
        ("age_min_hours = 169", "movers.age_min_hours: must be from 0 to 168"),
        ("change_max_percent = 0", "movers.change_max_percent"),
        ("counts = 1", "movers.counts: unknown setting"),
    ] {
        let error = read(&format!("[movers]\n{text}\n")).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}
