//! Groups of the hub: each update is encoded once for all members, and a group without members costs nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::test_hub::{TestApp, TestHub};
use sisepan::bus::Local;
use sisepan::clock::Clock;
use sisepan::feed::{BoardUpdate, Reason, ReasonCode, VenueHealth, VenueState};
use sisepan::hub::{Hub, Resume, RowsView, Subscription};
use sisepan::market::{Basis, HaltReason, Notice, Quote, State};

use super::setup::*;

fn view(names: &[&str]) -> RowsView {
    let board = board("krw", names);
    let rows: Vec<_> = board.markets.iter().map(|market| (board.source.clone(), market.clone())).collect();
    RowsView { board: None, rows: rows.into(), basis: Basis::Rolling24h, lang: None, demo: false, missing: [].into() }
}

fn join(hub: &TestHub, interval: Duration) -> Subscription {
    hub.subscribe(view(&["BTC-KRW", "ETH-KRW"]), interval, None, None).0
}

#[tokio::test(start_paused = true)]
async fn a_frame_is_encoded_once_for_all_members() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let mut members: Vec<_> = (0..1000).map(|_| join(&hub, Duration::ZERO)).collect();
    assert_eq!(hub.stats().snapshots_encoded, 1, "all members got the same snapshot bytes");
    for price in 2..12 {
        hub.publish(changed([quote("BTC-KRW", &price.to_string())]));
        let first = members[0].next().await.unwrap();
        for member in &mut members[1..] {
            let texts = member.next().await.unwrap();
            assert_eq!(texts[0].as_ptr(), first[0].as_ptr(), "the bytes are shared");
        }
    }
    assert_eq!(hub.stats().frames_encoded, 10);
    assert_eq!((hub.stats().groups, hub.stats().tasks), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn members_at_the_same_sequence_share_their_bytes() {
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
async fn an_interval_conflates_many_changes_into_one_frame() {
    let hub = hub();
    let mut member = join(&hub, Duration::from_millis(250));
    for price in 1..=100 {
        hub.publish(changed([quote("BTC-KRW", &price.to_string()), quote("ETH-KRW", &price.to_string())]));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(250)).await;
    // One at once, then one per 250 ms of the second.
    assert_eq!(hub.stats().frames_encoded, 5);
    let texts = member.next().await.unwrap();
    assert!(String::from_utf8_lossy(&texts[0]).contains(r#""last":"100""#));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_a_group_does_not_show_makes_no_frame() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let _member = join(&hub, Duration::ZERO);
    hub.publish(changed([quote("SOL-KRW", "1")]));
    hub.publish(changed([quote("BTC-KRW", "1.0")]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hub.stats().frames_encoded, 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_no_longer_falls_back_says_so() {
    let hub = hub();
    hub.publish(changed([sisepan::market::Quote { fallback: true, ..quote("BTC-KRW", "1") }]));
    let (mut member, texts) = hub.subscribe(view(&["BTC-KRW"]), Duration::ZERO, None, None);
    assert!(String::from_utf8_lossy(&texts[0]).contains(r#""fallback":true"#));
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let texts = member.next().await.unwrap();
    assert!(String::from_utf8_lossy(&texts[0]).ends_with(r#""rows":[{"market":"BTC-KRW","fallback":false}]}"#));
}

#[tokio::test(start_paused = true)]
async fn fc_11_a_notice_and_a_reason_that_have_ended_are_null_in_the_delta() {
    let hub = hub();
    let notice = Notice::of(true, None, &[]).map(Arc::new);
    let halted = Quote { state: State::Halted, reason: Some(HaltReason::Suspended), ..quote("BTC-KRW", "1") };
    hub.publish(changed([Quote { notice, ..halted }]));
    let (mut member, texts) = hub.subscribe(view(&["BTC-KRW"]), Duration::ZERO, None, None);
    let first = |texts: &[bytes::Bytes]| String::from_utf8_lossy(&texts[0]).into_owned();
    let expected = r#""state":"halted","reason":"suspended","notice":{"kind":"warning"},"traded_at""#;
    assert!(first(&texts).contains(expected), "{}", first(&texts));
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let ended = r#""rows":[{"market":"BTC-KRW","state":"live","reason":null,"notice":null}]}"#;
    let texts = member.next().await.unwrap();
    assert!(first(&texts).ends_with(ended), "{}", first(&texts));
    let (_, texts) = hub.subscribe(view(&["BTC-KRW"]), Duration::ZERO, None, None);
    assert!(!first(&texts).contains("notice") && !first(&texts).contains("reason"), "{}", first(&texts));
}

#[tokio::test]
async fn out_21_subscribing_and_leaving_leaves_nothing_behind() {
    let hub = hub();
    for _ in 0..1000 {
        drop((join(&hub, Duration::ZERO), join(&hub, Duration::from_secs(1))));
    }
    eventually("every task ended", || hub.stats().tasks == 0).await;
    assert_eq!((hub.stats().groups, hub.stats().members), (0, 0));
}

fn states(body: &serde_json::Value) -> Vec<&str> {
    body["rows"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect()
}

fn resume(sequence: u64) -> Resume {
    Resume { epoch: EPOCH.to_owned(), sequence }
}

/// A hub with a live, a halted and a delayed row, and its app.
struct Silence {
    clock: Clock,
    hub: TestHub,
    app: TestApp,
}

impl Silence {
    const PUBLISHED: [&str; 3] = ["live", "halted", "delayed"];
    const STALE: [&str; 3] = ["stale", "halted", "stale"];

    fn new() -> Self {
        let clock = Clock::manual(time("2026-01-15T06:27:04Z"));
        let hub = TestHub::with_clock(EPOCH, clock.clone());
        hub.publish(Self::all());
        Self { app: app_state(&hub), clock, hub }
    }

    fn all() -> BoardUpdate {
        let halted = Quote { state: State::Halted, ..quote("ETH-KRW", "1") };
        let delayed = Quote { state: State::Delayed, ..quote("XRP-KRW", "1") };
        BoardUpdate { is_complete: true, ..changed([quote("BTC-KRW", "1"), halted, delayed]) }
    }

    fn view() -> RowsView {
        view(&["BTC-KRW", "ETH-KRW", "XRP-KRW"])
    }

    /// Asserts that every kind of answer has these states.
    async fn assert_shown(&self, expected: [&str; 3]) {
        let body = text(get(&self.app, "/api/v1/snapshot").await).await;
        assert_eq!(states(&serde_json::from_str(&body).unwrap()), expected);
        let csv = text(get(&self.app, "/api/v1/snapshot.csv").await).await;
        let in_csv = |line: &str| expected.iter().find(|state| line.contains(**state)).copied();
        assert_eq!(csv.lines().skip(1).map(in_csv).collect::<Vec<_>>(), expected.map(Some));
        let ready = text(get(&self.app, "/readyz").await).await;
        let live = expected.iter().filter(|state| **state == "live").count();
        assert!(ready.contains(&format!(r#""live":{live},"#)), "{ready}");
        let page = text(get(&self.app, "/embed/board").await).await;
        for state in ["live", "stale"] {
            let is_shown = page.contains(&format!(r#"data-state="{state}""#));
            assert_eq!(is_shown, expected.contains(&state), "{state}: {page}");
        }
        let markets = ["BTC-KRW", "ETH-KRW", "XRP-KRW"].map(market);
        let state = |row: Arc<Quote>| row.state.as_str();
        assert_eq!(self.hub.rows(&source(), &markets).into_iter().map(state).collect::<Vec<_>>(), expected);
        assert_eq!(self.hub.all_rows().into_iter().map(state).collect::<Vec<_>>(), expected);
        assert_eq!(markets.map(|market| self.hub.row(&source(), &market).unwrap().state.as_str()), expected);
    }

    /// Returns the first message to a client that resumes.
    fn resumed(&self, sequence: u64) -> serde_json::Value {
        let (_, texts) = self.hub.subscribe(Self::view(), Duration::ZERO, None, Some(&resume(sequence)));
        serde_json::from_slice(&texts[0]).unwrap()
    }
}

/// After a pause of the process, a client may request rows before the board has checked them.
#[tokio::test(start_paused = true)]
async fn rows_of_a_silent_market_are_stale_in_every_answer_and_under_the_same_number() {
    let test = Silence::new();
    let Silence { clock, hub, .. } = &test;
    let mut member = join(hub, Duration::ZERO);
    let fingerprint = hub.fingerprint(&Silence::view());
    for _ in 0..3 {
        clock.advance(Duration::from_millis(4_900));
        assert!(!hub.needs_all_rows());
        test.assert_shown(Silence::PUBLISHED).await;
        // Nothing has changed, but the market is alive.
        hub.publish(BoardUpdate::default());
    }
    let (sequence, revision) = (hub.sequence(), hub.revision());
    clock.advance(Duration::from_millis(5_001));
    assert!(hub.needs_all_rows(), "the market has to publish all rows");
    test.assert_shown(Silence::STALE).await;
    // At once, not with the next heartbeat: the member has to join again, and gets a snapshot.
    let update = tokio::time::timeout(Duration::from_secs(1), member.next()).await.unwrap();
    assert!(update.is_none() && member.take_revision(), "{update:?}");
    assert_ne!(hub.fingerprint(&Silence::view()), fingerprint);
    // Whoever resumes may have seen live rows with this number.
    let snapshot = test.resumed(sequence);
    assert_eq!((snapshot["type"].as_str(), states(&snapshot)), (Some("snapshot"), Silence::STALE.to_vec()));
    clock.advance(Duration::from_secs(60));
    test.assert_shown(Silence::STALE).await;
    assert_eq!((hub.sequence(), hub.revision()), (sequence, revision + 1), "an edge numbers nothing");

    hub.publish(Silence::all());
    test.assert_shown(Silence::PUBLISHED).await;
    assert_eq!((hub.sequence(), hub.revision(), hub.needs_all_rows()), (sequence + 1, revision + 2, false));
    assert!(member.next().await.is_none() && member.take_revision(), "current rows need another snapshot");
    let snapshot = test.resumed(sequence);
    assert_eq!((snapshot["type"].as_str(), states(&snapshot)), (Some("snapshot"), Silence::PUBLISHED.to_vec()));
    let delta = test.resumed(sequence + 1);
    assert_eq!((&delta["type"], &delta["rows"]), (&"delta".into(), &serde_json::json!([])), "{delta}");

    // The next update comes before anybody has asked.
    clock.advance(Duration::from_secs(6));
    assert!(hub.needs_all_rows());
    hub.publish(Silence::all());
    test.assert_shown(Silence::PUBLISHED).await;
    assert_eq!((hub.sequence(), hub.revision()), (sequence + 2, revision + 2));
    assert_eq!(test.resumed(sequence + 1)["type"], "snapshot", "at another edge, these rows may have been stale");
}

/// The process may be stopped between the evaluation of rows and their publication, or while they are evaluated.
#[tokio::test(start_paused = true)]
async fn only_rows_that_were_all_evaluated_after_a_silence_end_it() {
    let late = Duration::from_secs(6);
    let updates: [fn() -> BoardUpdate; 2] = [|| changed([quote("BTC-KRW", "1")]), Silence::all];
    for is_noticed in [false, true] {
        for (update, ago) in [(0, late), (0, Duration::ZERO), (1, late), (1, Duration::ZERO)] {
            let test = Silence::new();
            let Silence { clock, hub, .. } = &test;
            let sequence = hub.sequence();
            clock.advance(late);
            if is_noticed {
                hub.check_silence();
            }
            hub.publish_late(updates[update](), ago);
            let is_over = (update, ago) == (1, Duration::ZERO);
            assert_eq!(hub.needs_all_rows(), !is_over, "{is_noticed} {update} {ago:?}");
            test.assert_shown(if is_over { Silence::PUBLISHED } else { Silence::STALE }).await;
            assert_eq!(test.resumed(sequence)["type"], "snapshot");
            assert_eq!(test.resumed(hub.sequence())["type"], if is_over { "delta" } else { "snapshot" });
            hub.publish(Silence::all());
            test.assert_shown(Silence::PUBLISHED).await;
        }
    }
}

/// The time between the evaluation of rows and their arrival at the edge is no silence.
#[tokio::test(start_paused = true)]
async fn rows_that_were_evaluated_in_time_and_arrive_later_are_live() {
    let test = Silence::new();
    let Silence { clock, hub, .. } = &test;
    for _ in 0..3 {
        clock.advance(Duration::from_millis(4_995));
        hub.publish_late(BoardUpdate::default(), Duration::from_millis(15));
        test.assert_shown(Silence::PUBLISHED).await;
    }
    assert_eq!(hub.revision(), 0);
    // Once they are stale, they are published as a whole.
    clock.advance(Duration::from_millis(4_990));
    hub.check_silence();
    hub.publish_late(BoardUpdate::default(), Duration::from_millis(105));
    test.assert_shown(Silence::STALE).await;
    clock.advance(Duration::from_secs(1));
    hub.publish(BoardUpdate::default());
    test.assert_shown(Silence::STALE).await;
    assert!(hub.needs_all_rows());
}

#[tokio::test]
async fn two_edges_of_a_market_give_the_same_answers_and_a_client_of_one_resumes_at_the_other() {
    let clock = Clock::manual(time("2026-01-15T06:27:04Z"));
    let mut bus = Local::with_epoch(EPOCH.to_owned(), clock.clone());
    let hubs = [(); 2].map(|()| Hub::new(bus.edge()));
    let mut publish = |update| bus.publish(update, clock.monotonic());
    publish(BoardUpdate { venues: vec![health(VenueState::Up)], ..changed([quote("BTC-KRW", "1")]) });
    let bitcoin = || view(&["BTC-KRW"]);
    let [(mut first, texts), (mut second, same)] =
        hubs.each_ref().map(|hub| hub.subscribe(bitcoin(), Duration::ZERO, None, None));
    assert_eq!(texts, same);
    publish(confirmed([quote("BTC-KRW", "1")]));
    publish(changed([quote("BTC-KRW", "2")]));
    let seen = first.next().await.unwrap();
    assert!(seen[0].starts_with(br#"{"type":"delta""#), "{seen:?}");
    assert_eq!(seen, second.next().await.unwrap());
    let position = resume(first.sequence());
    publish(changed([quote("BTC-KRW", "3")]));
    // The change may follow in a message of its own: the other edge has not encoded it yet.
    let (mut other, resumed) = hubs[1].subscribe(bitcoin(), Duration::ZERO, None, Some(&position));
    let resumed: serde_json::Value = serde_json::from_slice(&resumed[0]).unwrap();
    assert_eq!((&resumed["recovered"], &resumed["rows"]), (&true.into(), &serde_json::json!([])), "{resumed}");
    let next: serde_json::Value = serde_json::from_slice(&other.next().await.unwrap()[0]).unwrap();
    assert_eq!((&next["previous"], &next["rows"][0]["last"]), (&position.sequence.into(), &"3".into()), "{next}");

    // Only one edge has noticed a silence. Its client has stale rows, and resumes at the other edge.
    clock.advance(Duration::from_secs(6));
    hubs[0].check_silence();
    assert_eq!(hubs[0].all_rows()[0].state, State::Stale);
    let position = resume(hubs[0].sequence());
    publish(BoardUpdate { is_complete: true, ..changed([quote("BTC-KRW", "3")]) });
    let (_, resumed) = hubs[1].subscribe(bitcoin(), Duration::ZERO, None, Some(&position));
    let resumed: serde_json::Value = serde_json::from_slice(&resumed[0]).unwrap();
    assert_eq!((states(&resumed), &resumed["recovered"]), (vec!["live"], &false.into()), "{resumed}");
    let [one, other] = hubs.each_ref().map(|hub| (hub.sequence(), hub.all_rows(), hub.snapshot(&bitcoin()).body));
    assert_eq!(one, other);
}

fn rows_of(view: &RowsView) -> Vec<String> {
    view.rows.iter().map(|(_, market)| market.to_string()).collect()
}

/// One minute of a healthy venue whose health figures change twice a second, while a price changes too.
#[tokio::test(start_paused = true)]
async fn fc_20_a_status_is_sent_only_when_state_reason_or_since_changes() {
    let hub = hub();
    hub.publish(BoardUpdate { venues: vec![health(VenueState::Up)], ..changed([quote("BTC-KRW", "1")]) });
    let (mut busy, first) = hub.subscribe(view(&["BTC-KRW"]), Duration::from_millis(250), None, None);
    assert_eq!(first.len(), 1, "a snapshot, and no status for a venue that is up");
    let mut messages = Vec::new();
    for turn in 0..120u64 {
        let figures = VenueHealth { connects: turn, data_at: None, ..health(VenueState::Up) };
        hub.publish(BoardUpdate { venues: vec![figures], ..changed([quote("BTC-KRW", &(turn + 2).to_string())]) });
        let texts = busy.next().await.unwrap();
        messages.extend(texts.iter().map(|text| String::from_utf8(text.to_vec()).unwrap()));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(
        messages.len() >= 119 && messages.iter().all(|text| text.starts_with(r#"{"type":"delta""#)),
        "{messages:?}"
    );
    assert_eq!(hub.venues()[0].connects, 119, "the figures are still current in the hub");

    // A change of state, of reason and of `since` each cause one status.
    let base = health(VenueState::Delayed);
    let reason = base.reason.clone().map(|reason| Reason { message: "another".to_owned(), ..reason });
    let since = base.since + jiff::SignedDuration::from_secs(1);
    let mut at = changed([]).at;
    for health in [base.clone(), VenueHealth { reason, ..base.clone() }, VenueHealth { since, ..base }] {
        // A new message with the same reason code is published with a delay.
        at += jiff::SignedDuration::from_secs(10);
        for _ in 0..3 {
            hub.publish(BoardUpdate { at, venues: vec![health.clone()], ..changed([]) });
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let texts = busy.next().await.unwrap();
        assert!(texts.len() == 1 && texts[0].starts_with(br#"{"type":"status""#), "{texts:?}");
    }
    let more = tokio::time::timeout(Duration::from_secs(10), busy.next()).await;
    assert!(more.is_err(), "no further message: {more:?}");
}

/// Health figures of a venue do not postpone the heartbeat of a quiet board.
#[tokio::test(start_paused = true)]
async fn fc_20_a_quiet_board_gets_its_heartbeats() {
    let hub = hub();
    hub.publish(BoardUpdate { venues: vec![health(VenueState::Up)], ..changed([quote("BTC-KRW", "1")]) });
    let (mut member, _) = hub.subscribe(view(&["BTC-KRW"]), Duration::from_millis(250), None, None);
    let figures = hub.clone();
    tokio::spawn(async move {
        for turn in 0.. {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let health = VenueHealth { connects: turn, ..health(VenueState::Up) };
            figures.publish(BoardUpdate { venues: vec![health], ..confirmed([quote("BTC-KRW", "1")]) });
        }
    });
    let mut messages = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(62), async {
        loop {
            let texts = member.next().await.unwrap();
            messages.extend(texts.iter().map(|text| String::from_utf8(text.to_vec()).unwrap()));
        }
    })
    .await;
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert!(messages.iter().all(|text| text.starts_with(r#"{"type":"heartbeat""#)), "{messages:?}");
}

#[tokio::test(start_paused = true)]
async fn fc_32_order_and_board_of_a_subscription_make_no_other_group() {
    let hub = hub();
    hub.publish(changed(["BTC-KRW", "ETH-KRW", "XRP-KRW"].map(|name| quote(name, "1"))));
    let orders =
        [["BTC-KRW", "ETH-KRW", "XRP-KRW"], ["XRP-KRW", "BTC-KRW", "ETH-KRW"], ["ETH-KRW", "XRP-KRW", "BTC-KRW"]];
    let mut members = Vec::new();
    for names in orders {
        for board in [None, Some("krw".into())] {
            let requested = RowsView { board, ..view(&names) };
            let (member, texts) = hub.subscribe(requested.clone(), Duration::ZERO, None, None);
            let snapshot: serde_json::Value = serde_json::from_slice(&texts[0]).unwrap();
            let rows: Vec<_> = snapshot["rows"].as_array().unwrap().iter().map(|row| row["market"].clone()).collect();
            assert_eq!(rows, rows_of(&requested), "the snapshot keeps the requested order");
            assert_eq!(snapshot["board"].as_str(), requested.board.as_deref());
            members.push(member);
        }
    }
    assert_eq!((hub.stats().groups, hub.stats().members), (1, 6));
    hub.publish(changed([quote("ETH-KRW", "2")]));
    let mut frames = std::collections::BTreeSet::new();
    for member in &mut members {
        frames.insert(member.next().await.unwrap()[0].as_ptr().addr());
    }
    assert_eq!((frames.len(), hub.stats().frames_encoded), (1, 1), "all get the same bytes");
}

#[tokio::test(start_paused = true)]
async fn fc_32_a_change_wakes_only_the_groups_that_show_it() {
    let hub = hub();
    let name = |number: usize| format!("C{number}-KRW");
    hub.publish(changed((0..100).map(|number| quote(&name(number), "1"))));
    // A hundred groups of two markets each, every market in two of them.
    let members: Vec<_> = (0..100)
        .map(|number| {
            let (one, two) = (name(number), name((number + 1) % 100));
            hub.subscribe(view(&[&one, &two]), Duration::ZERO, None, None).0
        })
        .collect();
    assert_eq!((hub.stats().groups, hub.stats().wakes), (100, 0));
    for price in 2..12 {
        hub.publish(changed([quote("C7-KRW", &price.to_string())]));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((hub.stats().wakes, hub.stats().frames_encoded), (20, 20));
    hub.publish(changed([quote("C7-KRW", "1"), quote("C8-KRW", "2")]));
    assert_eq!(hub.stats().wakes, 23, "a group that shows both is woken once");
    hub.publish(changed([quote("NEW-KRW", "1")]));
    hub.publish(confirmed([quote("C7-KRW", "1")]));
    assert_eq!(hub.stats().wakes, 23);
    // A group may contain a market that has not been published yet.
    let (mut early, _) = hub.subscribe(view(&["LATE-KRW"]), Duration::ZERO, None, None);
    hub.publish(changed([quote("LATE-KRW", "1")]));
    assert!(early.next().await.is_some_and(|texts| texts.len() == 1));
    drop((members, early));
    eventually("every task ended", || hub.stats().tasks == 0).await;
    hub.publish(changed([quote("C7-KRW", "3")]));
    assert_eq!((hub.stats().groups, hub.stats().wakes), (0, 24), "a removed group is not woken");
}

#[tokio::test(start_paused = true)]
async fn counts_in_a_reason_match_the_health_figures_and_reach_the_stream_only_every_ten_seconds() {
    let hub = hub();
    let at = |second: i64| time("2026-01-15T06:27:00Z") + jiff::SignedDuration::from_secs(second);
    let incomplete = |missing: usize| VenueHealth {
        state: VenueState::Up,
        reason: Some(Reason::new(ReasonCode::Incomplete, format!("{missing} of 60 markets"))),
        without_base: missing,
        ..health(VenueState::Up)
    };
    let publish = |second, venues| hub.publish(BoardUpdate { at: at(second), venues, ..changed([]) });
    hub.publish(changed([quote("BTC-KRW", "1")]));
    publish(0, vec![incomplete(60)]);
    let (mut member, _) = hub.subscribe(view(&["BTC-KRW"]), Duration::ZERO, None, None);
    for second in 1..=25 {
        publish(second, vec![incomplete(60 - usize::try_from(second).unwrap())]);
        let health = hub.venues().remove(0);
        assert_eq!(health.reason.unwrap().message, format!("{} of 60 markets", health.without_base));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(hub.stats().frames_encoded, 2, "after ten seconds and after twenty");
    // The delayed reason is published although nothing changes any more.
    publish(29, vec![]);
    publish(30, vec![]);
    publish(41, vec![]);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let texts = member.next().await.unwrap();
    assert!(String::from_utf8_lossy(texts.last().unwrap()).contains("35 of 60 markets"), "{texts:?}");
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(hub.stats().frames_encoded, 3);
    // A reason with another code is published at once.
    publish(42, vec![health(VenueState::Delayed)]);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(hub.stats().frames_encoded, 4);
}
