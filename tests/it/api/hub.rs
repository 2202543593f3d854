//! Groups: one encoding for all members, no work for none.

use std::time::Duration;

use sisepan::clock::Clock;
use sisepan::domain::{Basis, Quote, State};
use sisepan::hub::{Hub, Subscription, View};

use super::setup::*;

fn view(names: &[&str]) -> View {
    let board = board("krw", names);
    let rows: Vec<_> = board.markets.iter().map(|market| (board.source.clone(), market.clone())).collect();
    View { board: None, rows: rows.into(), basis: Basis::Rolling24h, lang: None, demo: false }
}

fn join(hub: &Hub, interval: Duration) -> Subscription {
    hub.subscribe(view(&["BTC-KRW", "ETH-KRW"]), interval, None, None).0
}

#[tokio::test(start_paused = true)]
async fn a_frame_is_encoded_once_for_all_members() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let mut members: Vec<_> = (0..1000).map(|_| join(&hub, Duration::ZERO)).collect();
    assert_eq!(hub.load().snapshots_encoded, 1, "they began with the same bytes");
    for price in 2..12 {
        hub.publish(changed([quote("BTC-KRW", &price.to_string())]));
        let first = members[0].next().await.unwrap();
        for member in &mut members[1..] {
            let texts = member.next().await.unwrap();
            assert_eq!(texts[0].as_ptr(), first[0].as_ptr(), "the bytes are shared");
        }
    }
    assert_eq!(hub.load().frames_encoded, 10);
    assert_eq!((hub.load().groups, hub.load().tasks), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn members_that_fell_behind_alike_share_their_bytes() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let (mut one, mut two) = (join(&hub, Duration::ZERO), join(&hub, Duration::ZERO));
    for price in 2..6 {
        hub.publish(changed([quote("BTC-KRW", &price.to_string())]));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(one.next().await.unwrap()[0].as_ptr(), two.next().await.unwrap()[0].as_ptr());
}

#[tokio::test(start_paused = true)]
async fn an_interval_makes_many_changes_one_frame() {
    let hub = hub();
    let mut member = join(&hub, Duration::from_millis(250));
    for price in 1..=100 {
        hub.publish(changed([quote("BTC-KRW", &price.to_string()), quote("ETH-KRW", &price.to_string())]));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(250)).await;
    // One at once, then one each 250 ms of the second.
    assert_eq!(hub.load().frames_encoded, 5);
    let texts = member.next().await.unwrap();
    assert!(String::from_utf8_lossy(&texts[0]).contains(r#""last":"100""#));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_what_a_group_does_not_show_is_no_frame() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let _member = join(&hub, Duration::ZERO);
    hub.publish(changed([quote("SOL-KRW", "1")]));
    hub.publish(changed([quote("BTC-KRW", "1.0")]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hub.load().frames_encoded, 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_no_longer_falls_back_says_so() {
    let hub = hub();
    hub.publish(changed([sisepan::domain::Quote { fallback: true, ..quote("BTC-KRW", "1") }]));
    let (mut member, texts) = hub.subscribe(view(&["BTC-KRW"]), Duration::ZERO, None, None);
    assert!(String::from_utf8_lossy(&texts[0]).contains(r#""fallback":true"#));
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let texts = member.next().await.unwrap();
    assert!(String::from_utf8_lossy(&texts[0]).ends_with(r#""rows":[{"market":"BTC-KRW","fallback":false}]}"#));
}

#[tokio::test]
async fn out_21_coming_and_going_leaves_nothing_behind() {
    let hub = hub();
    for _ in 0..1000 {
        drop((join(&hub, Duration::ZERO), join(&hub, Duration::from_secs(1))));
    }
    eventually("every task ended", || hub.load().tasks == 0).await;
    assert_eq!((hub.load().groups, hub.load().members), (0, 0));
}

/// As after a pause of the process, when a reader comes before the board has looked at anything.
#[tokio::test(start_paused = true)]
async fn rows_that_nobody_has_looked_after_are_live_to_no_reader_until_somebody_does() {
    let clock = Clock::manual(time("2026-01-15T06:27:04Z"));
    let hub = Hub::watched(EPOCH.to_owned(), clock.clone());
    let halted = Quote { state: State::Halted, ..quote("ETH-KRW", "1") };
    let delayed = Quote { state: State::Delayed, ..quote("XRP-KRW", "1") };
    let rows = || changed([quote("BTC-KRW", "1"), halted.clone(), delayed.clone()]);
    hub.publish(rows());
    let app = state(&hub);
    let shown = async || {
        let body: serde_json::Value = serde_json::from_str(&text(get(&app, "/api/v1/snapshot").await).await).unwrap();
        body["rows"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut member = join(&hub, Duration::ZERO);
    let as_published = ["live", "halted", "delayed"];
    for _ in 0..3 {
        clock.advance(Duration::from_millis(4_900));
        assert_eq!(shown().await, as_published);
        assert!(!hub.watch(clock.monotonic()), "nothing was marked");
    }
    clock.advance(Duration::from_millis(5_001));
    assert_eq!(shown().await, ["stale", "halted", "stale"]);
    // At once, not with the next heartbeat.
    let told = tokio::time::timeout(Duration::from_secs(1), member.next()).await.unwrap().unwrap();
    assert!(std::str::from_utf8(&told[0]).unwrap().contains(r#""state":"stale""#), "{told:?}");
    clock.advance(Duration::from_secs(60));
    let sequence = hub.sequence();
    assert_eq!(shown().await, ["stale", "halted", "stale"]);
    assert_eq!(hub.sequence(), sequence, "it is said once");

    assert!(hub.watch(clock.monotonic()), "all of them are wanted again");
    assert_eq!(shown().await, ["stale", "halted", "stale"], "nobody has said anything of them yet");
    assert!(!hub.watch(clock.monotonic()));
    hub.publish(rows());
    assert_eq!(shown().await, as_published);

    // Whoever looks after them first, a reader or the board, finds them stale.
    clock.advance(Duration::from_secs(6));
    assert!(hub.watch(clock.monotonic()));
    assert_eq!(shown().await, ["stale", "halted", "stale"]);
}
