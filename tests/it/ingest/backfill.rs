//! Backfill of gaps: most urgent first, rate limited, retried, and no minute before it has ended.

use std::time::Duration;

use jiff::SignedDuration;
use sisepan::clock::Clock;
use sisepan::feed::{Event, Gap, Urgency};
use sisepan::market::{Market, Minute, VenueId};

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

/// Returns market and span of the next settled event.
async fn next_settled(bench: &mut Bench) -> (Market, std::ops::Range<Minute>) {
    bench
        .wait("a settled span", |event| match event {
            Event::Settled { market, span, .. } => Some((market.clone(), span.clone())),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn one_candle_is_requested_for_a_base_price_and_settles_the_quiet_minutes_after_it() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-1440);
    server
        .with(|state| state.candles.insert("btc".to_owned(), vec![(end.0 - 50, "9".into()), (end.0 - 7, "10".into())]));
    let mut bench = Bench::start(&server, &["btc"]);
    bench.gaps.send(gap("btc", end.plus(-1), end, Urgency::Base)).await.unwrap();
    let (span, closes) = settled(&mut bench, "btc").await;
    assert_eq!(span, end.plus(-7)..end);
    assert_eq!(closes, [(end.plus(-7), "10".to_owned())]);
    assert!(server.logged("get /candles").len() == 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_gap_is_filled_page_by_page_from_its_oldest_minute() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-10);
    let candles = (0..25).map(|at| (end.0 - 25 + at, at.to_string().replace('0', "1"))).collect();
    server.with(|state| state.candles.insert("btc".to_owned(), candles));
    let mut bench = Bench::start(&server, &["btc"]);
    bench.gaps.send(gap("btc", end.plus(-25), end, Urgency::Older)).await.unwrap();
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
async fn base_prices_come_before_gaps_and_gaps_before_minutes_seen_live() {
    let symbols = ["a", "b", "c", "d", "e"];
    let server = Server::start(&symbols).await;
    let end = now().plus(-10);
    for symbol in symbols {
        server.with(|state| state.candles.insert(symbol.to_owned(), vec![(end.0 - 1, "5".into())]));
    }
    let mut bench = Bench::start(&server, &symbols);
    // Keeps the first request pending while the other gaps are queued.
    server.reply("/candles?s=a", "late", "");
    bench.gaps.send(gap("a", end.plus(-1), end, Urgency::Settle)).await.unwrap();
    until("the first", || !server.logged("get /candles?s=a").is_empty()).await;
    for (symbol, urgency) in
        [("b", Urgency::Settle), ("c", Urgency::Older), ("d", Urgency::Base), ("e", Urgency::Recent)]
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
async fn a_failed_request_is_retried_and_duplicate_gaps_are_merged() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-10);
    server.with(|state| state.candles.insert("btc".to_owned(), vec![(end.0 - 1, "5".into())]));
    server.reply("/candles", "500 Busy", "");
    let mut bench = Bench::start(&server, &["btc"]);
    for _ in 0..5 {
        bench.gaps.send(gap("btc", end.plus(-1), end, Urgency::Older)).await.unwrap();
    }
    until("some failures", || server.logged("get /candles").len() >= 3).await;
    server.with(|state| state.replies.clear());
    settled(&mut bench, "btc").await;
    let requests = server.logged("get /candles").len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.logged("get /candles").len(), requests, "a duplicate was requested");
    bench.stop().await;
}

#[tokio::test]
async fn an_empty_response_settles_nothing_and_is_not_requested_again() {
    let server = Server::start(&["btc", "eth"]).await;
    let end = now().plus(-10);
    server.with(|state| state.candles.insert("eth".to_owned(), vec![(end.0 - 1, "5".into())]));
    let mut bench = Bench::start(&server, &["btc", "eth"]);
    for _ in 0..3 {
        bench.gaps.send(gap("btc", end.plus(-1), end, Urgency::Base)).await.unwrap();
        bench.gaps.send(gap("eth", end.plus(-1), end, Urgency::Older)).await.unwrap();
        settled(&mut bench, "eth").await;
    }
    assert_eq!(server.logged("get /candles?s=btc").len(), 1);
    assert!(!bench.seen.iter().any(|event| matches!(event, Event::Settled { market, .. } if market.base() == "BTC")));
    bench.stop().await;
}

#[tokio::test]
async fn a_minute_that_has_not_ended_is_not_requested() {
    let server = Server::start(&["btc"]).await;
    let (start, end) = (now().plus(-3), now().plus(5));
    server.with(|state| state.candles.insert("btc".to_owned(), (start.0..end.0).map(|at| (at, "5".into())).collect()));
    let mut bench = Bench::start(&server, &["btc"]);
    bench.gaps.send(gap("btc", start, end, Urgency::Settle)).await.unwrap();
    let (span, _) = settled(&mut bench, "btc").await;
    assert!(span.end <= now(), "{span:?} at {:?}", now());
    let requested = server
        .with(|state| state.log.iter().find_map(|(_, line)| line.split_once("end=").map(|(_, end)| end.to_owned())));
    let end: i64 = requested.unwrap().split('&').next().unwrap().parse().unwrap();
    assert!(Minute(end) <= now(), "requested up to {:?}", Minute(end));
    bench.stop().await;
}

/// At a venue that sends candles for quiet minutes too, a page with missing candles settles several spans.
#[tokio::test]
async fn every_span_that_a_response_settles_is_emitted() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-10);
    let candles = [-8, -7, -5, -4, -1].map(|at| (end.0 + at, "5".to_owned())).to_vec();
    server.with(|state| state.candles.insert("btc".to_owned(), candles));
    let profile = sisepan::venue::Profile { has_quiet_candles: true, ..Toy::profile() };
    let mut bench = Bench::start_with(&server, &["btc"], profile, |_| {});
    bench.gaps.send(gap("btc", end.plus(-8), end, Urgency::Older)).await.unwrap();
    for (from, to) in [(-8, -6), (-5, -3), (-1, 0)] {
        let (span, closes) = settled(&mut bench, "btc").await;
        assert_eq!(span, end.plus(from)..end.plus(to));
        assert_eq!(i64::try_from(closes.len()).unwrap(), to - from);
    }
    bench.stop().await;
}

#[tokio::test]
async fn minutes_of_which_the_venue_keeps_no_candles_are_not_requested() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-10);
    server.with(|state| {
        state.candles.insert("btc".to_owned(), (end.0 - 40..end.0).map(|minute| (minute, "5".into())).collect())
    });
    let profile = sisepan::venue::Profile { minutes_kept: Some(22), candles_per_request: 100, ..Toy::profile() };
    let mut bench = Bench::start_with(&server, &["btc"], profile, |_| {});
    bench.gaps.send(gap("btc", end.plus(-31), end.plus(-30), Urgency::Base)).await.unwrap();
    bench.gaps.send(gap("btc", end.plus(-25), end, Urgency::Older)).await.unwrap();
    let (span, closes) = settled(&mut bench, "btc").await;
    // Two of the minutes are spared, and another one may have begun or ended meanwhile.
    let oldest = end.plus(-11)..=end.plus(-9);
    assert!(oldest.contains(&span.start) && span.end == end, "{span:?}, not {oldest:?}");
    assert_eq!(closes.len(), usize::try_from(span.end.0 - span.start.0).unwrap());
    assert_eq!(server.logged("get /candles").len(), 1);
    bench.stop().await;
}

/// With our clock ahead of the venue's, a minute that has ended here is still running there, and its candle may change.
#[tokio::test]
async fn a_minute_that_has_not_ended_by_the_responses_date_is_not_settled() {
    let server = Server::start(&["btc"]).await;
    let (start, end) = (now().plus(-12), now().plus(-2));
    let venue_minute = end.plus(-4);
    let date = venue_minute.start() + SignedDuration::from_secs(20);
    let candles: Vec<String> = (start.0..=venue_minute.0).map(|at| format!("[{at},\"5\"]")).collect();
    let head = format!("200 OK\r\nDate: {}", date.strftime("%a, %d %b %Y %H:%M:%S GMT"));
    server.reply("/candles", &head, format!("{{\"candles\":[{}]}}", candles.join(",")));
    let mut bench = Bench::start(&server, &["btc"]);
    bench.gaps.send(gap("btc", start, end, Urgency::Older)).await.unwrap();
    let (span, closes) = settled(&mut bench, "btc").await;
    assert_eq!(span, start..venue_minute);
    assert_eq!(closes.last().unwrap().0, venue_minute.plus(-1), "the candle of the running minute must be ignored");
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
        sisepan::venue::Limit { group: "all", rates: const { &[sisepan::venue::Rate::per_second(1000)] } },
        sisepan::venue::Limit { group: "candle", rates: const { &[sisepan::venue::Rate::per_second(8)] } },
    ];
    profile.limits = LIMITS;
    let bench = Bench::start_with(&server, &symbols, profile, |_| {});
    for symbol in &symbols {
        bench.gaps.send(gap(symbol, end.plus(-1), end, Urgency::Base)).await.unwrap();
    }
    until("all requests", || server.logged("get /candles").len() == 12).await;
    let requests = server.logged("get /candles");
    for at in &requests {
        let inside = requests.iter().filter(|other| *other >= at && **other < *at + Duration::from_secs(1)).count();
        assert!(inside <= 8, "{inside} in a second: {requests:?}");
    }
    assert!(requests[11] - requests[0] > Duration::from_millis(1500), "{requests:?}");
    bench.stop().await;
}

/// Starts a bench whose markets have one candle each, in the minute before the returned one.
async fn one_candle_each(
    symbols: &[&str],
    change: impl FnOnce(&mut Settings),
) -> (std::sync::Arc<Server>, Bench, Minute) {
    let server = Server::start(symbols).await;
    let end = now().plus(-10);
    for symbol in symbols {
        server.with(|state| state.candles.insert((*symbol).to_owned(), vec![(end.0 - 1, "5".into())]));
    }
    let bench = Bench::start_with(&server, symbols, Toy::profile(), change);
    (server, bench, end)
}

#[tokio::test]
#[ignore = "slow"]
async fn fc_01_a_market_whose_candle_requests_fail_is_retried_alone_with_growing_pauses() {
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
        for urgency in [Urgency::Base, Urgency::Recent, Urgency::Older, Urgency::Settle] {
            for symbol in symbols {
                bench.gaps.send(gap(symbol, end.plus(-1), end, urgency)).await.unwrap();
            }
            for _ in 0..2 {
                let (market, _) = next_settled(&mut bench).await;
                assert_ne!(market.base(), "BAD", "{status} {body}");
            }
            server.with(|state| state.log.clear());
        }
        let health = bench.health("the count", |health| health.rejected.contains_key("refused-market")).await;
        assert!(health.rejected["refused-market"] < 20, "{status} {body}: {:?}", health.rejected);
        server.with(|state| state.replies.clear());
        assert_eq!(settled(&mut bench, "bad").await.0, end.plus(-1)..end);
        bench.stop().await;
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn fc_01_failures_of_several_markets_in_a_row_count_as_a_failure_of_the_host() {
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
    let requests = server.logged("get /candles");
    assert!(requests[3] - requests[2] >= Duration::from_millis(4900), "{requests:?}");
    bench.stop().await;
}

#[tokio::test]
async fn fc_01_candles_of_an_unlisted_market_are_not_requested() {
    let server = Server::start(&["btc"]).await;
    let end = now().plus(-10);
    server.with(|state| state.candles.insert("btc".to_owned(), vec![(end.0 - 1, "5".into())]));
    let mut bench = Bench::start(&server, &["btc", "ghost"]);
    bench.wait("the list", |event| matches!(event, Event::Listings { .. }).then_some(())).await;
    bench.gaps.send(gap("ghost", end.plus(-1), end, Urgency::Base)).await.unwrap();
    bench.gaps.send(gap("btc", end.plus(-1), end, Urgency::Settle)).await.unwrap();
    settled(&mut bench, "btc").await;
    assert!(server.logged("get /candles?s=ghost").is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn fc_01_queued_gaps_of_a_market_are_dropped_when_it_is_unlisted() {
    let (server, mut bench, end) = one_candle_each(&["btc", "gone"], |settings| {
        settings.list_every = Duration::from_millis(50);
        settings.backoff_min = Duration::from_millis(50);
        settings.backoff_max = Duration::from_millis(50);
    })
    .await;
    server.reply("/candles?s=gone", "500 Oops", "");
    bench.gaps.send(gap("gone", end.plus(-1), end, Urgency::Base)).await.unwrap();
    until("failures", || server.logged("get /candles?s=gone").len() > 2).await;
    server.with(|state| state.listed = vec!["btc".to_owned()]);
    bench.health("that it is unlisted", |health| health.rejected.contains_key("unlisted")).await;
    let requests = server.logged("get /candles?s=gone").len();
    bench.gaps.send(gap("btc", end.plus(-1), end, Urgency::Settle)).await.unwrap();
    settled(&mut bench, "btc").await;
    // One request may have been in flight.
    assert!(server.logged("get /candles?s=gone").len() <= requests + 1);
    bench.stop().await;
}

/// Recent and older gaps alternate, so that neither kind waits for all of the other.
#[tokio::test]
async fn fc_10_recent_and_older_gaps_alternate() {
    let symbols = ["a", "b", "c", "d", "e"];
    let (server, mut bench, end) = one_candle_each(&symbols, |_| {}).await;
    server.reply("/candles?s=a", "late", "");
    bench.gaps.send(gap("a", end.plus(-1), end, Urgency::Settle)).await.unwrap();
    until("the first", || !server.logged("get /candles?s=a").is_empty()).await;
    for (symbol, urgency) in
        [("b", Urgency::Older), ("c", Urgency::Older), ("d", Urgency::Recent), ("e", Urgency::Recent)]
    {
        bench.gaps.send(gap(symbol, end.plus(-1), end, urgency)).await.unwrap();
    }
    for symbol in ["d", "b", "e", "c"] {
        let (market, _) = next_settled(&mut bench).await;
        assert_eq!(market, markets(&[symbol]).remove(0));
    }
    bench.stop().await;
}

/// Failing markets are retried beside the others, which get their base prices however soon the retries are due.
#[tokio::test]
#[ignore = "slow"]
async fn fc_01_markets_that_keep_failing_do_not_delay_the_base_prices_of_others() {
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
        // None of the requests without a response had to time out first.
        let failed = server.logged("get /candles?s=bad").len();
        assert!(failed >= 5 && (status != "late" || failed == 5), "{status}: {failed}");
        bench.stop().await;
    }
}
