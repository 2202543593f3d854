//! Clients that disconnect at any moment and resume, also across server restarts. Every resume is checked.
//!
//! `RESUMES` sets the number of resumes (default 100,000).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::test_hub::{TestApp, TestHub};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use sisepan::web::Limits;

use crate::api::setup::*;
use crate::from_env;

const MARKETS: [&str; 3] = ["BTC-KRW", "ETH-KRW", "XRP-KRW"];
const CLIENTS: usize = 16;
const SERVERS: usize = 8;

/// A server with its own epoch, and the newest price of each market.
struct Server {
    app: TestApp,
    hub: TestHub,
    epoch: String,
    address: String,
    truth: Mutex<BTreeMap<String, String>>,
    /// 1 once nothing more is published.
    is_quiet: AtomicUsize,
}

async fn start(number: usize) -> Arc<Server> {
    let epoch = format!("server-{number}");
    let hub = TestHub::new(&epoch);
    let limits =
        Limits { messages_per_second_max: 1_000_000, return_spread: Duration::from_millis(50), ..Limits::default() };
    let app = app_state_with(&hub, limits);
    let truth: BTreeMap<_, _> = MARKETS.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
    hub.publish(changed(MARKETS.map(|name| quote(name, "1"))));
    let address = serve(&app).await;
    Arc::new(Server { app, hub, epoch, address, truth: Mutex::new(truth), is_quiet: AtomicUsize::new(0) })
}

/// Publishes trades until the clients have resumed `wanted` times.
async fn trade(server: Arc<Server>, wanted: usize, done: Arc<AtomicUsize>, seed: u64) {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut price = 1u64;
    while done.load(Ordering::Relaxed) < wanted {
        for _ in 0..random.random_range(1..4) {
            price += 1;
            let name = MARKETS[random.random_range(0..MARKETS.len())];
            let mut truth = server.truth.lock().unwrap();
            server.hub.publish(changed([quote(name, &price.to_string())]));
            truth.insert(name.to_owned(), price.to_string());
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..4))).await;
    }
    server.is_quiet.store(1, Ordering::SeqCst);
}

/// What a client keeps between two connections.
#[derive(Default)]
struct ClientMemory {
    known: ClientState,
    epoch: Option<String>,
}

impl ClientMemory {
    fn request(&self) -> Value {
        let mut request = json!({"type":"subscribe","id":1,"board":"krw","interval_ms":0});
        if let Some(epoch) = &self.epoch {
            request["resume"] = json!({"epoch":epoch,"sequence":self.known.sequence});
        }
        request
    }

    /// Checks and applies the reply to a subscribe request that resumed at the sequence `requested`.
    fn apply_reply(&mut self, message: &Value, epoch: &str, requested: u64) {
        assert_eq!(message["id"], 1, "{message}");
        if self.epoch.as_deref() == Some(epoch) {
            assert_eq!((&message["type"], &message["recovered"]), (&json!("delta"), &json!(true)), "{message}");
            assert_eq!(message["previous"].as_u64(), Some(requested), "{message}");
            // Messages already on their way came first; everything since the requested sequence is repeated.
            assert!(message["sequence"].as_u64().unwrap() >= self.known.sequence, "{message}");
            self.known.sequence = requested;
        } else {
            let recovered = self.epoch.as_ref().map(|_| json!(false));
            assert_eq!((&message["type"], message.get("recovered")), (&json!("snapshot"), recovered.as_ref()));
            self.known = ClientState::default();
            self.epoch = Some(epoch.to_owned());
        }
        self.apply(message);
    }

    /// Applies a message; [`ClientState`] panics on gaps and wrong orders.
    fn apply(&mut self, message: &Value) {
        if let (Some(epoch), Some(own)) = (message["epoch"].as_str(), &self.epoch) {
            assert_eq!(epoch, own, "epochs are never mixed: {message}");
        }
        let before = self.known.sequence;
        self.known.apply(message);
        let is_live_delta = message["type"] == "delta" && message.get("recovered").is_none();
        assert!(!is_live_delta || self.known.sequence > before, "repeated: {message}");
    }
}

/// Disconnects and resumes at random until `wanted` is reached, then waits for the final prices.
async fn run_client(server: Arc<Server>, memory: &mut ClientMemory, wanted: usize, done: &AtomicUsize, seed: u64) {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    'connect: loop {
        let mut client = Client::welcomed(&server.address, "").await;
        loop {
            client.send(memory.request().to_string()).await;
            let requested = memory.known.sequence;
            loop {
                let message = client.json().await;
                if message["id"] == 1 {
                    memory.apply_reply(&message, &server.epoch, requested);
                    break;
                }
                memory.apply(&message);
            }
            if done.fetch_add(1, Ordering::Relaxed) + 1 >= wanted {
                break;
            }
            for _ in 0..random.random_range(0..3) {
                let message = tokio::time::timeout(Duration::from_millis(20), client.json()).await;
                if let Ok(message) = message {
                    memory.apply(&message);
                }
            }
            match random.random_range(0..4) {
                // Drops the connection without a close frame.
                0 => continue 'connect,
                1 => {
                    client.send(r#"{"type":"unsubscribe","id":1}"#).await;
                    loop {
                        let message = client.json().await;
                        if message["type"] == "unsubscribed" {
                            break;
                        }
                        memory.apply(&message);
                    }
                }
                // Subscribes again with the same id, which replaces the subscription.
                _ => {}
            }
        }
        // The last prices of this server must arrive.
        while server.is_quiet.load(Ordering::SeqCst) == 0 || memory.known.last_prices() != *server.truth.lock().unwrap()
        {
            match tokio::time::timeout(Duration::from_millis(50), client.receive()).await {
                Ok(Received::Json(message)) => memory.apply(&message),
                Ok(other) => panic!("the connection ended: {other:?}"),
                Err(_) => {}
            }
        }
        return;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn out_08_a_hundred_thousand_resumes_lose_and_mix_nothing() {
    let resumes: usize = from_env::number("RESUMES", 100_000);
    let mut memories: Vec<ClientMemory> = (0..CLIENTS).map(|_| ClientMemory::default()).collect();
    let mut total = 0;
    for number in 0..SERVERS {
        let server = start(number).await;
        let wanted = resumes.div_ceil(SERVERS);
        let done = Arc::new(AtomicUsize::new(0));
        let trading = tokio::spawn(trade(server.clone(), wanted, done.clone(), number as u64));
        let mut clients = tokio::task::JoinSet::new();
        for (index, mut memory) in memories.drain(..).enumerate() {
            let (server, done, seed) = (server.clone(), done.clone(), (number * 1000 + index) as u64);
            clients.spawn(async move {
                run_client(server, &mut memory, wanted, &done, seed).await;
                memory
            });
        }
        memories = clients.join_all().await;
        trading.await.unwrap();
        total += done.load(Ordering::Relaxed);
        server.app.stop();
        server.app.streams().close();
        tokio::time::timeout(DEADLINE, server.app.streams().wait()).await.expect("the server ends");
    }
    assert!(total >= resumes);
}

#[tokio::test]
async fn out_35_an_unknown_position_is_not_recovered_and_costs_no_encoding() {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let limits = Limits { messages_per_second_max: 1_000_000, ..Limits::default() };
    let address = serve(&app_state_with(&hub, limits)).await;
    let mut client = Client::welcomed(&address, "").await;
    let long = "x".repeat(64);
    let positions = [("", 1), (long.as_str(), 1), ("server-0", 0), (EPOCH, 2), (EPOCH, u64::MAX), ("\u{0}", 1)];
    for round in 0..1000 {
        let (epoch, sequence) = positions[round % positions.len()];
        let resume = json!({"epoch":epoch,"sequence":sequence});
        client.send(json!({"type":"subscribe","id":1,"board":"krw","resume":resume}).to_string()).await;
        let snapshot = client.json().await;
        assert_eq!((&snapshot["type"], &snapshot["recovered"]), (&json!("snapshot"), &json!(false)), "{resume}");
    }
    assert_eq!(hub.stats().snapshots_encoded, 1, "all got the same encoded snapshot");
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
