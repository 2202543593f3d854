//! Clients that leave at any moment and come back: each return is checked, over lives of the server.
//!
//! `SISEPAN_RESUMES` is how many returns there are; 100,000 if it is not set.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use sisepan::hub::Hub;
use sisepan::web::{AppState, Limits};

use crate::api::setup::*;

const MARKETS: [&str; 3] = ["BTC-KRW", "ETH-KRW", "XRP-KRW"];
const CLIENTS: usize = 16;
const LIVES: usize = 8;

/// A server, with what it has said last.
struct Life {
    app: AppState,
    hub: Hub,
    epoch: String,
    address: String,
    truth: Mutex<BTreeMap<String, String>>,
    /// Set when nothing is published any more.
    is_quiet: AtomicUsize,
}

async fn begin(number: usize) -> Arc<Life> {
    let epoch = format!("life-{number}");
    let hub = Hub::new(epoch.clone());
    let limits =
        Limits { messages_per_second_max: 1_000_000, return_spread: Duration::from_millis(50), ..Limits::default() };
    let app = state_with(&hub, limits);
    let truth: BTreeMap<_, _> = MARKETS.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
    hub.publish(changed(MARKETS.map(|name| quote(name, "1"))));
    let address = serve(&app).await;
    Arc::new(Life { app, hub, epoch, address, truth: Mutex::new(truth), is_quiet: AtomicUsize::new(0) })
}

/// Trades until all clients have come back often enough.
async fn trade(life: Arc<Life>, wanted: usize, done: Arc<AtomicUsize>, seed: u64) {
    let mut dice = Pcg64Mcg::seed_from_u64(seed);
    let mut price = 1u64;
    while done.load(Ordering::Relaxed) < wanted {
        for _ in 0..dice.random_range(1..4) {
            price += 1;
            let name = MARKETS[dice.random_range(0..MARKETS.len())];
            let mut truth = life.truth.lock().unwrap();
            life.hub.publish(changed([quote(name, &price.to_string())]));
            truth.insert(name.to_owned(), price.to_string());
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..4))).await;
    }
    life.is_quiet.store(1, Ordering::SeqCst);
}

/// What a client holds of the feed between two connections.
#[derive(Default)]
struct Held {
    known: Known,
    epoch: Option<String>,
}

impl Held {
    fn request(&self) -> Value {
        let mut request = json!({"type":"subscribe","id":1,"board":"krw","interval_ms":0});
        if let Some(epoch) = &self.epoch {
            request["resume"] = json!({"epoch":epoch,"sequence":self.known.sequence});
        }
        request
    }

    /// Checks the answer to a request that said `asked`, and takes it in.
    fn answer(&mut self, message: &Value, epoch: &str, asked: u64) {
        assert_eq!(message["id"], 1, "{message}");
        if self.epoch.as_deref() == Some(epoch) {
            assert_eq!((&message["type"], &message["recovered"]), (&json!("delta"), &json!(true)), "{message}");
            assert_eq!(message["previous"].as_u64(), Some(asked), "{message}");
            // Messages that were on their way came first; what is new since the question is told again, whole.
            assert!(message["sequence"].as_u64().unwrap() >= self.known.sequence, "{message}");
            self.known.sequence = asked;
        } else {
            let announced = self.epoch.as_ref().map(|_| json!(false));
            assert_eq!((&message["type"], message.get("recovered")), (&json!("snapshot"), announced.as_ref()));
            self.known = Known::default();
            self.epoch = Some(epoch.to_owned());
        }
        self.take(message);
    }

    /// Takes a message in; [`Known`] finds holes, repetitions and wrong orders.
    fn take(&mut self, message: &Value) {
        if let (Some(epoch), Some(own)) = (message["epoch"].as_str(), &self.epoch) {
            assert_eq!(epoch, own, "lives are never mixed: {message}");
        }
        let before = self.known.sequence;
        self.known.apply(message);
        let is_news = message["type"] == "delta" && message.get("recovered").is_none();
        assert!(!is_news || self.known.sequence > before, "told twice: {message}");
    }
}

/// Comes and goes during a life, and ends it with what is true.
async fn wander(life: Arc<Life>, held: &mut Held, wanted: usize, done: &AtomicUsize, seed: u64) {
    let mut dice = Pcg64Mcg::seed_from_u64(seed);
    'away: loop {
        let mut client = Client::welcomed(&life.address, "").await;
        loop {
            client.send(held.request().to_string()).await;
            let asked = held.known.sequence;
            loop {
                let message = client.json().await;
                if message["id"] == 1 {
                    held.answer(&message, &life.epoch, asked);
                    break;
                }
                held.take(&message);
            }
            if done.fetch_add(1, Ordering::Relaxed) + 1 >= wanted {
                break;
            }
            for _ in 0..dice.random_range(0..3) {
                let message = tokio::time::timeout(Duration::from_millis(20), client.json()).await;
                if let Ok(message) = message {
                    held.take(&message);
                }
            }
            match dice.random_range(0..4) {
                // Cut, without a word.
                0 => continue 'away,
                1 => {
                    client.send(r#"{"type":"unsubscribe","id":1}"#).await;
                    loop {
                        let message = client.json().await;
                        if message["type"] == "unsubscribed" {
                            break;
                        }
                        held.take(&message);
                    }
                }
                // The same once more, in place of the one before.
                _ => {}
            }
        }
        // The last word of this life must arrive.
        while life.is_quiet.load(Ordering::SeqCst) == 0 || held.known.lasts() != *life.truth.lock().unwrap() {
            match tokio::time::timeout(Duration::from_millis(50), client.got()).await {
                Ok(Got::Json(message)) => held.take(&message),
                Ok(other) => panic!("the connection ended: {other:?}"),
                Err(_) => {}
            }
        }
        return;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_08_a_hundred_thousand_returns_lose_nothing_and_mix_nothing() {
    let returns: usize = std::env::var("SISEPAN_RESUMES").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let mut all: Vec<Held> = (0..CLIENTS).map(|_| Held::default()).collect();
    let mut total = 0;
    for number in 0..LIVES {
        let life = begin(number).await;
        let wanted = returns.div_ceil(LIVES);
        let done = Arc::new(AtomicUsize::new(0));
        let trading = tokio::spawn(trade(life.clone(), wanted, done.clone(), number as u64));
        let mut wandering = tokio::task::JoinSet::new();
        for (place, mut held) in all.drain(..).enumerate() {
            let (life, done, seed) = (life.clone(), done.clone(), (number * 1000 + place) as u64);
            wandering.spawn(async move {
                wander(life, &mut held, wanted, &done, seed).await;
                held
            });
        }
        all = wandering.join_all().await;
        trading.await.unwrap();
        total += done.load(Ordering::Relaxed);
        life.app.stop();
        life.app.streams().close();
        tokio::time::timeout(DEADLINE, life.app.streams().wait()).await.expect("this life ends");
    }
    assert!(total >= returns);
}

#[tokio::test]
async fn out_35_a_place_that_never_was_is_not_recovered_and_costs_no_search() {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let limits = Limits { messages_per_second_max: 1_000_000, ..Limits::default() };
    let address = serve(&state_with(&hub, limits)).await;
    let mut client = Client::welcomed(&address, "").await;
    let long = "x".repeat(64);
    let places = [("", 1), (long.as_str(), 1), ("life-0", 0), (EPOCH, 2), (EPOCH, u64::MAX), ("\u{0}", 1)];
    for round in 0..1000 {
        let (epoch, sequence) = places[round % places.len()];
        let resume = json!({"epoch":epoch,"sequence":sequence});
        client.send(json!({"type":"subscribe","id":1,"board":"krw","resume":resume}).to_string()).await;
        let snapshot = client.json().await;
        assert_eq!((&snapshot["type"], &snapshot["recovered"]), (&json!("snapshot"), &json!(false)), "{resume}");
    }
    assert_eq!(hub.load().snapshots_encoded, 1, "all were answered from one encoding");
    for resume in [
        json!({"epoch":"x".repeat(65),"sequence":1}),
        json!({"epoch":EPOCH,"sequence":"1"}),
        json!({"epoch":EPOCH,"sequence":-1}),
        json!({"epoch":EPOCH,"sequence":1e300}),
        json!({"epoch":7,"sequence":1}),
        json!([]),
    ] {
        client.send(json!({"type":"subscribe","id":1,"board":"krw","resume":resume}).to_string()).await;
        assert_eq!(client.json().await["code"], "bad-field", "{resume}");
    }
}
