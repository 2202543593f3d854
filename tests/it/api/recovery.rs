//! A client that applies all messages ends with the newest rows, however slowly it reads and whenever it resumes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::test_hub::TestHub;
use proptest::prelude::*;
use serde_json::{Value, json};
use sisepan::clock::Clock;
use sisepan::config::Board;
use sisepan::feed::{BoardUpdate, VenueState};
use sisepan::hub::{Resume, RowsView, Subscription};
use sisepan::market::Basis;

use super::setup::*;

const MARKETS: [&str; 4] = ["BTC-KRW", "ETH-KRW", "XRP-KRW", "SOL-KRW"];

fn view(names: &[&str]) -> RowsView {
    let Board { markets, source, .. } = board("krw", names);
    let rows: Vec<_> = markets.iter().map(|market| (source.clone(), market.clone())).collect();
    RowsView {
        board: Some("krw".into()),
        rows: rows.into(),
        basis: Basis::Rolling24h,
        lang: None,
        demo: false,
        missing: [].into(),
    }
}

fn apply(known: &mut ClientState, texts: &[bytes::Bytes]) {
    for text in texts {
        known.apply(&serde_json::from_slice::<Value>(text).unwrap());
    }
}

/// One step of a generated scenario for a hub with several members.
#[derive(Debug, Clone)]
enum Step {
    /// These markets (indices) trade.
    Publish(Vec<usize>),
    /// A venue changes its state.
    Venue(bool),
    /// This row is confirmed.
    Confirm(usize),
    /// This member reads everything available.
    Read(usize),
    /// This member leaves and resumes at its sequence.
    Resume(usize),
    /// This member leaves and subscribes again without a position.
    Restart(usize),
    /// Time passes, in milliseconds.
    Wait(u64),
    /// The market is silent for too long, and the edge notices it, or doesn't.
    Silence(bool),
    /// The market publishes all rows, evaluated now or before the last silence.
    PublishAll(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec(0..MARKETS.len(), 1..4).prop_map(Step::Publish),
        1 => any::<bool>().prop_map(Step::Venue),
        1 => (0..MARKETS.len()).prop_map(Step::Confirm),
        4 => (0usize..3).prop_map(Step::Read),
        2 => (0usize..3).prop_map(Step::Resume),
        1 => (0usize..3).prop_map(Step::Restart),
        2 => prop_oneof![Just(1u64), Just(60), Just(300), Just(16_000)].prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Silence),
        1 => any::<bool>().prop_map(Step::PublishAll),
    ];
    prop::collection::vec(step, 1..60)
}

struct Member {
    subscription: Option<Subscription>,
    known: ClientState,
    interval: Duration,
    fingerprint: u64,
}

impl Member {
    fn join(&mut self, hub: &TestHub, resume: Option<u64>) {
        self.subscription = None;
        self.fingerprint = hub.fingerprint(&view(&MARKETS));
        let resume = resume.map(|sequence| Resume { epoch: EPOCH.to_owned(), sequence });
        let (subscription, texts) = hub.subscribe(view(&MARKETS), self.interval, None, resume.as_ref());
        apply(&mut self.known, &texts);
        self.subscription = Some(subscription);
    }

    /// Reads until nothing arrives for `quiet`.
    async fn read(&mut self, hub: &TestHub, quiet: Duration) {
        let next = async |member: &mut Self| member.subscription.as_mut().unwrap().next().await;
        while let Ok(texts) = tokio::time::timeout(quiet, next(self)).await {
            match texts {
                Some(texts) => apply(&mut self.known, &texts),
                None => {
                    assert!(self.subscription.as_mut().unwrap().take_revision());
                    if hub.fingerprint(&view(&MARKETS)) != self.fingerprint {
                        self.join(hub, None);
                    }
                }
            }
        }
    }

    fn has_live_rows(&self) -> bool {
        self.known.rows.values().any(|row| row["state"] == "live")
    }
}

async fn run_scenario(steps: Vec<Step>) {
    const SILENCE: Duration = Duration::from_secs(6);
    let clock = Clock::manual(time("2026-01-15T06:27:04Z"));
    let hub = TestHub::with_clock(EPOCH, clock.clone());
    // What the market must do once the edge shows its rows as stale.
    let publish_all = |truth: &BTreeMap<String, String>, ago| {
        let rows = truth.iter().map(|(market, last)| quote(market, last));
        hub.publish_late(BoardUpdate { is_complete: true, ..changed(rows.collect::<Vec<_>>()) }, ago);
    };
    let mut is_silent = false;
    let mut truth = BTreeMap::new();
    let mut price = 0;
    let mut members: Vec<_> = [0, 0, 250]
        .into_iter()
        .map(|millis| Member {
            subscription: None,
            known: ClientState::default(),
            interval: Duration::from_millis(millis),
            fingerprint: 0,
        })
        .collect();
    members.iter_mut().for_each(|member| member.join(&hub, None));
    for step in steps {
        match step {
            Step::Publish(indices) => {
                let quotes: Vec<_> = indices
                    .into_iter()
                    .map(|index| {
                        price += 1;
                        truth.insert(MARKETS[index].to_owned(), price.to_string());
                        quote(MARKETS[index], &price.to_string())
                    })
                    .collect();
                hub.publish(changed(quotes));
            }
            Step::Venue(up) => hub.publish(venue_update(if up { VenueState::Up } else { VenueState::Down })),
            Step::Confirm(index) => {
                if let Some(last) = truth.get(MARKETS[index]) {
                    hub.publish(confirmed([quote(MARKETS[index], last)]));
                }
            }
            Step::Read(index) => {
                members[index].read(&hub, Duration::from_millis(1)).await;
                assert!(!(is_silent && members[index].has_live_rows()), "live while the market is silent");
            }
            Step::Resume(index) => {
                let sequence = members[index].known.sequence;
                members[index].join(&hub, Some(sequence));
            }
            Step::Restart(index) => members[index].join(&hub, None),
            Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Step::Silence(is_noticed) => {
                clock.advance(SILENCE);
                if is_noticed {
                    hub.check_silence();
                    is_silent = true;
                }
            }
            Step::PublishAll(is_late) => {
                publish_all(&truth, if is_late { SILENCE } else { Duration::ZERO });
                is_silent &= is_late;
            }
        }
    }
    publish_all(&truth, Duration::ZERO);
    for member in &mut members {
        member.read(&hub, Duration::from_millis(600)).await;
        assert_eq!(member.known.last_prices(), truth);
        assert!(member.known.rows.values().all(|row| row["state"] == "live"), "{:?}", member.known.rows);
    }
    assert_eq!(hub.stats().groups, 2);
    drop(members);
    eventually("groups without members end", || hub.stats().groups == 0 && hub.stats().tasks == 0).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn out_04_a_snapshot_and_its_deltas_add_up_to_the_board(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run_scenario(steps));
    }
}

#[tokio::test]
async fn a_client_that_resumes_gets_only_what_changed() {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("ETH-KRW", "1")]));
    let address = serve(&app_state(&hub)).await;
    let mut client = Client::welcomed(&address, "?board=krw").await;
    let sequence = client.json().await["sequence"].as_u64().unwrap();
    drop(client);
    hub.publish(changed([quote("ETH-KRW", "2")]));
    hub.publish(changed([quote("ETH-KRW", "3")]));

    let mut client = Client::welcomed(&address, "").await;
    let resume = json!({"type":"subscribe","id":1,"board":"krw","resume":{"epoch":EPOCH,"sequence":sequence}});
    client.send(resume.to_string()).await;
    let delta = client.json().await;
    assert_eq!((&delta["type"], &delta["recovered"], &delta["id"]), (&json!("delta"), &json!(true), &json!(1)));
    assert_eq!((&delta["previous"], &delta["sequence"]), (&json!(sequence), &json!(sequence + 2)));
    assert_eq!(delta["rows"].as_array().unwrap().len(), 1);
    assert_eq!(delta["rows"][0]["last"], "3");
    assert_eq!(delta["rows"][0]["fallback"], false, "a recovered row is complete");

    hub.publish(changed([quote("BTC-KRW", "7")]));
    assert_eq!(client.json().await["previous"], sequence + 2);
}

#[tokio::test]
async fn out_08_out_35_a_position_of_another_epoch_is_not_recovered() {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let address = serve(&app_state(&hub)).await;
    for (epoch, sequence) in [("another", 1), (EPOCH, 2), (EPOCH, u64::MAX), ("", 0)] {
        let mut client = Client::welcomed(&address, "").await;
        let resume = json!({"type":"subscribe","id":1,"board":"krw","resume":{"epoch":epoch,"sequence":sequence}});
        client.send(resume.to_string()).await;
        let snapshot = client.json().await;
        assert_eq!((&snapshot["type"], &snapshot["recovered"]), (&json!("snapshot"), &json!(false)));
        assert_eq!(snapshot["sequence"], 1);
    }
}

#[tokio::test]
async fn out_04_a_client_that_pauses_on_a_real_socket_ends_with_the_newest_rows() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1"), quote("ETH-KRW", "1"), quote("XRP-KRW", "1")]));
    let address = serve(&app_state(&hub)).await;
    let mut client = Client::welcomed(&address, "?board=krw&interval_ms=0").await;
    let mut known = ClientState::default();
    known.apply(&client.json().await);
    let writer = tokio::spawn({
        let hub = hub.clone();
        async move {
            for price in 2..20_000 {
                let name = MARKETS[price % 3];
                hub.publish(changed([quote(name, &price.to_string())]));
                if price % 50 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    // Reads nothing until everything is published: the server keeps only the newest rows.
    writer.await.unwrap();
    let truth: BTreeMap<_, _> =
        (19_997..20_000).map(|price| (MARKETS[price % 3].to_owned(), price.to_string())).collect();
    while known.last_prices() != truth {
        known.apply(&client.json().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_group_sends_a_heartbeat_every_15_seconds() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let (mut member, texts) = hub.subscribe(view(&["BTC-KRW"]), Duration::ZERO, None, None);
    let mut known = ClientState::default();
    apply(&mut known, &texts);
    // Another market trades all the time, but this group does not show it.
    let others = tokio::spawn({
        let hub = hub.clone();
        async move {
            for price in 1..100 {
                hub.publish(changed([quote("ETH-KRW", &price.to_string())]));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    });
    for _ in 0..3 {
        let texts =
            tokio::time::timeout(Duration::from_millis(15_500), member.next()).await.expect("a heartbeat").unwrap();
        let heartbeat: Value = serde_json::from_slice(&texts[0]).unwrap();
        assert_eq!(heartbeat["type"], "heartbeat");
        known.apply(&heartbeat);
    }
    hub.publish(changed([quote("BTC-KRW", "2")]));
    apply(&mut known, &member.next().await.unwrap());
    assert_eq!(known.last_prices()["BTC-KRW"], "2");
    others.abort();
    let _: Arc<[bytes::Bytes]> = texts.into();
}
