//! Gaps: the most urgent first, paced, retried, and each minute only when it is over.

use std::time::Duration;

use jiff::SignedDuration;
use sisepan::clock::Clock;
use sisepan::domain::{Event, Gap, Market, Minute, Urgency, VenueId};

use sisepan::ingest::Settings;

use super::toy::{Bench, Server, Toy, markets, until};

fn gap(symbol: &str, start: Minute, end: Minute, urgency: Urgency) -> Gap {
    Gap { venue: VenueId("toy"), market: markets(&[symbol]).remove(0), span: start..end, urgency }
}

fn now() -> Minute {
    Minute::of(Clock::system().now())
}

async fn settled(bench: &mut Bench, symbol: &str) -> (std::ops::Range<Minute>, Vec<(Minute, String)>) {
    let wanted = markets(&[symbol]).remove(0);
    bench
        .wait("a settled span", |event| match event {
            Event::Settled { market, span, closes, .. } if *market == wanted => {
                let closes = closes.iter().map(|(minute, close)| (*minute, close.to_string())).collect();
                Some((span.clone(), closes))
            }
            _ => None,
        })
        .await
}

/// The market and the stretch of the next answer.
async fn next_settled(bench: &mut Bench) -> (Market, std::ops::Range<Minute>) {
    bench
        .wait("a settled span", |event| match event {
            Event::Settled { market, span, .. } => Some((market.clone(), span.clone())),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_base_is_one_candle_that_speaks_for_all_minutes_up_to_its_end() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-1440);
    server
        .with(|world| world.candles.insert("btc".to_owned(), vec![(end.0 - 50, "9".into()), (end.0 - 7, "10".into())]));
    let mut bench = Bench::start(&server, &["btc"]);
    bench.gaps.send(gap("btc", end.plus(-1), end, Urgency::Base)).await.unwrap();
    let (span, closes) = settled(&mut bench, "btc").await;
    assert_eq!(span, end.plus(-7)..end);
    assert_eq!(closes, [(end.plus(-7), "10".to_owned())]);
    assert!(server.logged("get /candles").len() == 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_hole_is_filled_in_pages_from_its_oldest_minute_on_until_it_is_whole() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-10);
    let candles = (0..25).map(|at| (end.0 - 25 + at, at.to_string().replace('0', "1"))).collect();
    server.with(|world| world.candles.insert("btc".to_owned(), candles));
    let mut bench = Bench::start(&server, &["btc"]);
    bench.gaps.send(gap("btc", end.plus(-25), end, Urgency::Hole)).await.unwrap();
    let mut from = end.plus(-25);
    for length in [10, 10, 5] {
        let (span, closes) = settled(&mut bench, "btc").await;
        assert_eq!(span, from..from.plus(length));
        assert_eq!(closes.len(), usize::try_from(length).unwrap());
        from = span.end;
    }
    assert_eq!(server.logged("get /candles").len(), 3);
    bench.stop().await;
}

#[tokio::test]
async fn bases_come_before_holes_and_holes_before_what_was_seen_live() {
    let symbols = ["a", "b", "c", "d", "e"];
    let server = Server::start(&symbols).await;
    let end = now().plus(-10);
    for symbol in symbols {
        server.with(|world| world.candles.insert(symbol.to_owned(), vec![(end.0 - 1, "5".into())]));
    }
    let mut bench = Bench::start(&server, &symbols);
    // The first one is under way while the others come in.
    server.reply("/candles?s=a", "late", "");
    bench.gaps.send(gap("a", end.plus(-1), end, Urgency::Settle)).await.unwrap();
    until("the first", || !server.logged("get /candles?s=a").is_empty()).await;
    for (symbol, urgency) in
        [("b", Urgency::Settle), ("c", Urgency::Hole), ("d", Urgency::Base), ("e", Urgency::Recent)]
    {
        bench.gaps.send(gap(symbol, end.plus(-1), end, urgency)).await.unwrap();
    }
    for symbol in ["d", "e", "c", "b"] {
        let (market, _) = next_settled(&mut bench).await;
        assert_eq!(market, markets(&[symbol]).remove(0));
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_failed_request_is_made_again_and_duplicates_are_one() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-10);
    server.with(|world| world.candles.insert("btc".to_owned(), vec![(end.0 - 1, "5".into())]));
    server.reply("/candles", "500 Busy", "");
    let mut bench = Bench::start(&server, &["btc"]);
    for _ in 0..5 {
        bench.gaps.send(gap("btc", end.plus(-1), end, Urgency::Hole)).await.unwrap();
    }
    until("some failures", || server.logged("get /candles").len() >= 3).await;
    server.with(|world| world.replies.clear());
    settled(&mut bench, "btc").await;
    let asked = server.logged("get /candles").len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.logged("get /candles").len(), asked, "a duplicate was asked for");
    bench.stop().await;
}

#[tokio::test]
async fn an_empty_answer_settles_nothing_and_is_not_asked_for_again() {
    let server = Server::start(&["btc", "eth"]).await;
    let end = now().plus(-10);
    server.with(|world| world.candles.insert("eth".to_owned(), vec![(end.0 - 1, "5".into())]));
    let mut bench = Bench::start(&server, &["btc", "eth"]);
    for _ in 0..3 {
        bench.gaps.send(gap("btc", end.plus(-1), end, Urgency::Base)).await.unwrap();
        bench.gaps.send(gap("eth", end.plus(-1), end, Urgency::Hole)).await.unwrap();
        settled(&mut bench, "eth").await;
    }
    assert_eq!(server.logged("get /candles?s=btc").len(), 1);
    assert!(!bench.seen.iter().any(|event| matches!(event, Event::Settled { market, .. } if market.base() == "BTC")));
    bench.stop().await;
}

#[tokio::test]
async fn a_minute_that_is_not_over_is_not_asked_for() {
    let server = Server::start(&["btc"]).await;
    let (start, end) = (now().plus(-3), now().plus(5));
    server.with(|world| world.candles.insert("btc".to_owned(), (start.0..end.0).map(|at| (at, "5".into())).collect()));
    let mut bench = Bench::start(&server, &["btc"]);
    bench.gaps.send(gap("btc", start, end, Urgency::Settle)).await.unwrap();
    let (span, _) = settled(&mut bench, "btc").await;
    assert!(span.end <= now(), "{span:?} at {:?}", now());
    let asked = server
        .with(|world| world.log.iter().find_map(|(_, line)| line.split_once("end=").map(|(_, end)| end.to_owned())));
    let asked: i64 = asked.unwrap().split('&').next().unwrap().parse().unwrap();
    assert!(Minute(asked) <= now(), "asked up to {:?}", Minute(asked));
    bench.stop().await;
}

/// Where quiet minutes have candles too, a page with some missing settles several stretches.
#[tokio::test]
async fn every_stretch_that_an_answer_settles_is_passed_on() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-10);
    let candles = [-8, -7, -5, -4, -1].map(|at| (end.0 + at, "5".to_owned())).to_vec();
    server.with(|world| world.candles.insert("btc".to_owned(), candles));
    let profile = sisepan::venue::Profile { quiet_candles: true, ..Toy::profile() };
    let mut bench = Bench::start_with(&server, &["btc"], profile, |_| {});
    bench.gaps.send(gap("btc", end.plus(-8), end, Urgency::Hole)).await.unwrap();
    for (from, to) in [(-8, -6), (-5, -3), (-1, 0)] {
        let (span, closes) = settled(&mut bench, "btc").await;
        assert_eq!(span, end.plus(from)..end.plus(to));
        assert_eq!(i64::try_from(closes.len()).unwrap(), to - from);
    }
    bench.stop().await;
}

/// Our clock is ahead of the venue's: what is over here is still running there, and its candle is not the last word.
#[tokio::test]
async fn a_minute_that_is_not_over_by_the_answers_own_date_is_not_settled() {
    let server = Server::start(&["btc"]).await;
    let (start, end) = (now().plus(-12), now().plus(-2));
    let there = end.plus(-4);
    let date = there.start() + SignedDuration::from_secs(20);
    let candles: Vec<String> = (start.0..=there.0).map(|at| format!("[{at},\"5\"]")).collect();
    let head = format!("200 OK\r\nDate: {}", date.strftime("%a, %d %b %Y %H:%M:%S GMT"));
    server.reply("/candles", &head, format!("{{\"candles\":[{}]}}", candles.join(",")));
    let mut bench = Bench::start(&server, &["btc"]);
    bench.gaps.send(gap("btc", start, end, Urgency::Hole)).await.unwrap();
    let (span, closes) = settled(&mut bench, "btc").await;
    assert_eq!(span, start..there);
    assert_eq!(closes.last().unwrap().0, there.plus(-1), "the candle of the running minute is not taken");
    bench.stop().await;
}

#[tokio::test]
async fn candles_are_paced_at_half_of_the_venues_limit() {
    let symbols: Vec<String> = (0..12).map(|at| format!("s{at}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let server = Server::start(&symbols).await;
    let end = now().plus(-10);
    let mut profile = Toy::profile();
    const LIMITS: &[sisepan::venue::Limit] = &[
        sisepan::venue::Limit { group: "all", weight: 1000, window: Duration::from_secs(1) },
        sisepan::venue::Limit { group: "candle", weight: 8, window: Duration::from_secs(1) },
    ];
    profile.limits = LIMITS;
    let bench = Bench::start_with(&server, &symbols, profile, |_| {});
    for symbol in &symbols {
        bench.gaps.send(gap(symbol, end.plus(-1), end, Urgency::Base)).await.unwrap();
    }
    until("all asked", || server.logged("get /candles").len() == 12).await;
    let asked = server.logged("get /candles");
    for at in &asked {
        let inside = asked.iter().filter(|other| *other >= at && **other < *at + Duration::from_secs(1)).count();
        assert!(inside <= 8, "{inside} in a second: {asked:?}");
    }
    assert!(asked[11] - asked[0] > Duration::from_millis(1500), "{asked:?}");
    bench.stop().await;
}

/// Markets with one candle each, and a gap for each.
async fn one_candle_each(
    symbols: &[&str],
    change: impl FnOnce(&mut Settings),
) -> (std::sync::Arc<Server>, Bench, Minute) {
    let server = Server::start(symbols).await;
    let end = now().plus(-10);
    for symbol in symbols {
        server.with(|world| world.candles.insert((*symbol).to_owned(), vec![(end.0 - 1, "5".into())]));
    }
    let bench = Bench::start_with(&server, symbols, Toy::profile(), change);
    (server, bench, end)
}

#[tokio::test]
async fn fc_01_a_market_whose_candles_fail_waits_alone_and_longer_each_time() {
    let symbols = ["bad", "eth", "xrp"];
    for (status, body) in [
        ("404 Not Found", r#"{"error":"unknown"}"#),
        ("404 Not Found", ""),
        ("500 Oops", ""),
        ("503 Busy", "<html>"),
        ("200 OK", "{\"candles\":["),
        ("200 OK", r#"{"error":"busy"}"#),
        ("200 OK", "<html>"),
        ("301 Moved\r\nLocation: http://127.0.0.1:1/", ""),
        ("late", ""),
    ] {
        let slow = |settings: &mut Settings| {
            settings.request = Duration::from_millis(300);
            settings.backoff_max = Duration::from_secs(2);
        };
        let (server, mut bench, end) = one_candle_each(&symbols, slow).await;
        server.reply("/candles?s=bad", status, body);
        for urgency in [Urgency::Base, Urgency::Recent, Urgency::Hole, Urgency::Settle] {
            for symbol in symbols {
                bench.gaps.send(gap(symbol, end.plus(-1), end, urgency)).await.unwrap();
            }
            for _ in 0..2 {
                let (market, _) = next_settled(&mut bench).await;
                assert_ne!(market.base(), "BAD", "{status} {body}");
            }
            server.with(|world| world.log.clear());
        }
        let health = bench.health("the count", |health| health.rejected.contains_key("refused-market")).await;
        assert!(health.rejected["refused-market"] < 20, "{status} {body}: {:?}", health.rejected);
        server.with(|world| world.replies.clear());
        assert_eq!(settled(&mut bench, "bad").await.0, end.plus(-1)..end);
        bench.stop().await;
    }
}

#[tokio::test]
async fn fc_01_several_markets_that_fail_in_a_row_are_a_host_that_fails() {
    let symbols = ["a", "b", "c", "d", "e", "f"];
    let slow = |settings: &mut Settings| {
        settings.backoff_min = Duration::from_secs(60);
        settings.backoff_max = Duration::from_secs(60);
    };
    let (server, bench, end) = one_candle_each(&symbols, slow).await;
    server.reply("/candles", "503 Busy", "");
    for symbol in symbols {
        bench.gaps.send(gap(symbol, end.plus(-1), end, Urgency::Base)).await.unwrap();
    }
    until("four requests", || server.logged("get /candles").len() >= 4).await;
    let asked = server.logged("get /candles");
    assert!(asked[3] - asked[2] >= Duration::from_millis(4900), "{asked:?}");
    bench.stop().await;
}

#[tokio::test]
async fn fc_01_a_market_that_is_not_listed_is_not_asked_for_candles() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-10);
    server.with(|world| world.candles.insert("btc".to_owned(), vec![(end.0 - 1, "5".into())]));
    let mut bench = Bench::start(&server, &["btc", "ghost"]);
    bench.wait("the list", |event| matches!(event, Event::Listings { .. }).then_some(())).await;
    bench.gaps.send(gap("ghost", end.plus(-1), end, Urgency::Base)).await.unwrap();
    bench.gaps.send(gap("btc", end.plus(-1), end, Urgency::Settle)).await.unwrap();
    settled(&mut bench, "btc").await;
    assert!(server.logged("get /candles?s=ghost").is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn fc_01_what_waits_for_a_market_goes_with_it() {
    let (server, mut bench, end) = one_candle_each(&["btc", "gone"], |settings| {
        settings.list_every = Duration::from_millis(50);
        settings.backoff_min = Duration::from_millis(50);
        settings.backoff_max = Duration::from_millis(50);
    })
    .await;
    server.reply("/candles?s=gone", "500 Oops", "");
    bench.gaps.send(gap("gone", end.plus(-1), end, Urgency::Base)).await.unwrap();
    until("failures", || server.logged("get /candles?s=gone").len() > 2).await;
    server.with(|world| world.listed = vec!["btc".to_owned()]);
    bench.health("that it is unlisted", |health| health.rejected.contains_key("unlisted")).await;
    let asked = server.logged("get /candles?s=gone").len();
    bench.gaps.send(gap("btc", end.plus(-1), end, Urgency::Settle)).await.unwrap();
    settled(&mut bench, "btc").await;
    // One may have been under way.
    assert!(server.logged("get /candles?s=gone").len() <= asked + 1);
    bench.stop().await;
}

/// The newest minutes come between older holes by turns, so that neither waits for all of the other.
#[tokio::test]
async fn fc_10_the_newest_minutes_and_older_holes_take_turns() {
    let symbols = ["a", "b", "c", "d", "e"];
    let (server, mut bench, end) = one_candle_each(&symbols, |_| {}).await;
    server.reply("/candles?s=a", "late", "");
    bench.gaps.send(gap("a", end.plus(-1), end, Urgency::Settle)).await.unwrap();
    until("the first", || !server.logged("get /candles?s=a").is_empty()).await;
    for (symbol, urgency) in
        [("b", Urgency::Hole), ("c", Urgency::Hole), ("d", Urgency::Recent), ("e", Urgency::Recent)]
    {
        bench.gaps.send(gap(symbol, end.plus(-1), end, urgency)).await.unwrap();
    }
    for symbol in ["d", "b", "e", "c"] {
        let (market, _) = next_settled(&mut bench).await;
        assert_eq!(market, markets(&[symbol]).remove(0));
    }
    bench.stop().await;
}

/// Markets that fail are asked for beside the others: however soon they are due again, the others have their bases.
#[tokio::test]
async fn fc_01_several_markets_that_go_on_failing_keep_no_base_from_the_others() {
    let symbols = ["bad1", "bad2", "bad3", "bad4", "bad5", "eth", "xrp"];
    for status in ["500 Oops", "451 Unavailable", "late"] {
        let (server, mut bench, end) = one_candle_each(&symbols, |settings| {
            settings.backoff_min = Duration::from_millis(20);
            settings.backoff_max = Duration::from_millis(20);
            settings.request = Duration::from_secs(60);
        })
        .await;
        for bad in &symbols[..5] {
            server.reply(&format!("/candles?s={bad}"), status, "");
        }
        for _ in 0..10 {
            for symbol in symbols {
                bench.gaps.send(gap(symbol, end.plus(-1), end, Urgency::Base)).await.unwrap();
            }
            let mut good = std::collections::BTreeSet::new();
            while good.len() < 2 {
                let (market, _) = next_settled(&mut bench).await;
                good.insert(market.base().to_owned());
            }
            assert_eq!(good.into_iter().collect::<Vec<_>>(), ["ETH", "XRP"], "{status}");
        }
        // None of those that are never answered had to be given up first.
        let failed = server.logged("get /candles?s=bad").len();
        assert!(failed >= 5 && (status != "late" || failed == 5), "{status}: {failed}");
        bench.stop().await;
    }
}
