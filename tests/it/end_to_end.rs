//! The whole program over real sockets: fake exchanges, ingest, board, hub, web and a client.

use std::process::Stdio;
use std::time::Duration;

use fake_exchanges::tls::Certificate;
use fake_exchanges::{self as fake, Fake, Options};
use futures_util::StreamExt as _;
use rust_decimal::Decimal;
use serde_json::Value;
use sisepan::clock::Clock;
use sisepan::config::{Config, VenueConfig};
use sisepan::venue;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longest wait for an expected state.
const DEADLINE: Duration = Duration::from_secs(40);

/// How often an awaited condition is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A running service under test.
pub(super) struct Service {
    pub(super) address: std::net::SocketAddr,
    pub(super) shutdown: CancellationToken,
    pub(super) task: tokio::task::JoinHandle<anyhow::Result<()>>,
    http: reqwest::Client,
}

impl Service {
    pub(super) async fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(sisepan::run(config, listener, Clock::system(), shutdown.clone()));
        Self::new(address, shutdown, task)
    }

    pub(super) fn new(
        address: std::net::SocketAddr,
        shutdown: CancellationToken,
        task: tokio::task::JoinHandle<anyhow::Result<()>>,
    ) -> Self {
        // The HTTP client needs a TLS provider even for plain HTTP.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { address, shutdown, task, http: reqwest::Client::new() }
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.address);
        let body = self.http.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    pub(super) async fn row(&self, market: &str) -> Value {
        let snapshot = self.get("/api/v1/snapshot?lang=ko").await;
        let rows = snapshot["rows"].as_array().unwrap();
        rows.iter()
            .find(|row| row["market"] == market)
            .unwrap_or_else(|| panic!("{market} is not in {snapshot}"))
            .clone()
    }

    pub(super) async fn venue(&self, id: &str) -> Value {
        let health = self.get("/api/v1/venues").await;
        let venues = health["venues"].as_array().unwrap();
        venues.iter().find(|venue| venue["venue"] == id).cloned().unwrap_or(Value::Null)
    }

    /// Requests a row until it is as wanted. Panics at the deadline.
    pub(super) async fn wait_row(&self, market: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                last = self.row(market).await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        });
        let in_time = found.await.is_ok();
        assert!(in_time, "{market} did not reach the wanted state: {last}");
        last
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// Returns a configuration of the default board with the fake exchanges.
pub(super) fn config_for_fake(fake: &Fake) -> Config {
    let mut config = Config { data: None, ..Config::default() };
    for venue in venue::ALL {
        let id = venue.profile().id;
        let own = VenueConfig {
            rest: Some(fake.rest_url(id.as_str())),
            stream: Some(fake.stream_url(id.as_str())),
            stale_after: Some(Duration::from_secs(4)),
            silence_max: Some(Duration::from_secs(2)),
            confirm_after: Some(Duration::from_secs(1)),
            ..VenueConfig::default()
        };
        config.venues.insert(id, own);
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_shows_the_prices_of_the_exchange_and_follows_them() {
    let fake = fake::start(Options::default()).await.unwrap();
    let service = Service::start(config_for_fake(&fake)).await;
    for market in Config::default().boards[0].markets.iter() {
        let row = service.wait_row(market.as_str(), |row| row["state"] == "live" && !row["change"].is_null()).await;
        assert_eq!(row["venue"], "bithumb", "the preferred venue");
        let truth = fake.truth("bithumb", market.as_str()).unwrap();
        let change = &row["change"];
        let (_, base) =
            truth.minutes.iter().find(|(start, _)| start.to_string() == minute_before(&change["base_at"])).unwrap();
        assert_eq!(change["base_price"].as_str().unwrap().parse::<Decimal>().unwrap(), *base, "{market}");
    }
    let url = format!("ws://{}/api/v1/stream?board=krw&lang=ko&interval_ms=0", service.address);
    let (mut stream, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    fake.set_price("bithumb", "ADA-KRW", Decimal::from(777), true).unwrap();
    let received = tokio::time::timeout(DEADLINE, async {
        loop {
            let message = stream.next().await.unwrap().unwrap();
            let Ok(message) = serde_json::from_str::<Value>(message.to_text().unwrap()) else { continue };
            let rows = message["rows"].as_array().cloned().unwrap_or_default();
            if let Some(row) = rows.into_iter().find(|row| row["market"] == "ADA-KRW" && row["last"] == "777") {
                return row;
            }
        }
    });
    let row = received.await.expect("the new price arrives");
    assert_eq!(row["text"]["last"], "777");
    service.stop().await;
    fake.shutdown().await;
}

/// Starts the default board with this venue as its only source.
async fn start_with_source(venue: &'static str) -> (Fake, Service) {
    let fake = fake::start(Options::default()).await.unwrap();
    let mut config = config_for_fake(&fake);
    config.boards[0].source = sisepan::market::SourceId::new([venue]);
    let service = Service::start(config).await;
    (fake, service)
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_09_the_decimal_places_of_a_price_follow_the_tick_size_of_the_exchange() {
    let (fake, service) = start_with_source("upbit").await;
    service.wait_row("ADA-KRW", |row| row["state"] == "live").await;
    // At this price the tick size of Upbit is one won, but the exchange sends half a won once.
    for (price, text) in [("3059", "3,059"), ("3059.5", "3,059.5"), ("3060", "3,060")] {
        fake.set_price("upbit", "ADA-KRW", price.parse().unwrap(), true).unwrap();
        let row = service.wait_row("ADA-KRW", |row| row["last"] == price).await;
        assert_eq!(row["text"]["last"], text);
    }
    let requested = fake.log().iter().any(|entry| format!("{entry:?}").contains("/v1/orderbook/instruments"));
    assert!(requested, "the tick sizes were requested from the exchange");
    service.stop().await;
    fake.shutdown().await;
}

fn minute_before(base_at: &Value) -> String {
    let at: jiff::Timestamp = base_at.as_str().unwrap().parse().unwrap();
    (at - jiff::SignedDuration::from_mins(1)).to_string()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_silent_exchange_is_polled_then_stale_then_live_again() {
    let fake = fake::start(Options::default()).await.unwrap();
    let mut config = config_for_fake(&fake);
    config.boards[0].source = sisepan::market::SourceId::new(["bithumb"]);
    let service = Service::start(config).await;
    service.wait_row("BTC-KRW", |row| row["state"] == "live").await;

    fake.inject_fault(r#"{"fault":"mute","venue":"bithumb"}"#).unwrap();
    let row = service.wait_row("BTC-KRW", |row| row["state"] == "delayed").await;
    assert!(!row["last"].is_null());
    fake.set_price("bithumb", "BTC-KRW", Decimal::from(123_456_000), true).unwrap();
    service.wait_row("BTC-KRW", |row| row["state"] == "delayed" && row["last"] == "123456000").await;

    fake.inject_fault(r#"{"fault":"status","venue":"bithumb","status":503,"body":"down"}"#).unwrap();
    let row = service.wait_row("BTC-KRW", |row| row["state"] == "stale").await;
    assert_eq!(row["last"], "123456000", "the last good price stays");
    let venue = service.venue("bithumb").await;
    assert_eq!(venue["state"], "down", "{venue}");
    assert!(venue["reason"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{venue}");

    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    fake.set_price("bithumb", "BTC-KRW", Decimal::from(124_000_000), true).unwrap();
    service.wait_row("BTC-KRW", |row| row["state"] == "live" && row["last"] == "124000000").await;
    service.stop().await;
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_falls_back_to_its_second_exchange_and_marks_the_row() {
    let fake = fake::start(Options::default()).await.unwrap();
    let service = Service::start(config_for_fake(&fake)).await;
    service.wait_row("ETH-KRW", |row| row["venue"] == "bithumb" && row["state"] == "live").await;
    fake.inject_fault(r#"{"fault":"status","venue":"bithumb","status":503,"body":"down"}"#).unwrap();
    fake.inject_fault(r#"{"fault":"stall-upgrade","venue":"bithumb"}"#).unwrap();
    fake.inject_fault(r#"{"fault":"rst","venue":"bithumb"}"#).unwrap();
    let row = service
        .wait_row("ETH-KRW", |row| row["venue"] == "upbit" && row["state"] == "live" && !row["change"].is_null())
        .await;
    assert_eq!(row["fallback"], true, "{row}");
    let truth = fake.truth("upbit", "ETH-KRW").unwrap();
    let (_, base) =
        truth.minutes.iter().find(|(start, _)| start.to_string() == minute_before(&row["change"]["base_at"])).unwrap();
    assert_eq!(
        row["change"]["base_price"].as_str().unwrap().parse::<Decimal>().unwrap(),
        *base,
        "its own base, not the other's"
    );
    service.stop().await;
    fake.shutdown().await;
}

/// Starts fake exchanges over TLS, and a service that trusts their CA if `trust` is set. Returns the CA file too.
async fn start_over_tls(kind: Certificate, trust: bool) -> (Fake, Service, Option<std::path::PathBuf>) {
    let fake = fake::start(Options { tls: Some(kind), ..Options::default() }).await.unwrap();
    let mut config = config_for_fake(&fake);
    let file = trust.then(|| {
        let name = format!("sisepan-ca-{}-{}.pem", std::process::id(), fake.addr().port());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, fake.ca_pem().unwrap()).unwrap();
        file
    });
    config.tls_ca.clone_from(&file);
    (fake, Service::start(config).await, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_and_wss_work_with_a_configured_ca() {
    let (fake, service, file) = start_over_tls(Certificate::Valid, true).await;
    assert!(fake.rest_url("upbit").starts_with("https://") && fake.stream_url("upbit").starts_with("wss://"));
    let row = service.wait_row("XRP-KRW", |row| row["state"] == "live" && !row["change"].is_null()).await;
    assert_eq!(row["venue"], "bithumb");
    // REST comes first: connects are rate-limited from the start, in case the process has just restarted.
    let up = async {
        loop {
            let venue = service.venue("bithumb").await;
            if venue["state"] == "up" {
                return venue;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let venue = tokio::time::timeout(DEADLINE, up).await.expect("the stream did not come up");
    assert_eq!(venue["connects"].as_u64(), Some(1), "{venue}");
    service.stop().await;
    fake.shutdown().await;
    std::fs::remove_file(file.unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_26_an_invalid_certificate_is_rejected_with_its_reason_over_rest_and_stream() {
    for (kind, trust, cause) in [
        (Certificate::Valid, false, "issuer is unknown"),
        (Certificate::UnknownCa, true, "issuer is unknown"),
        (Certificate::Expired, true, "expired"),
        (Certificate::WrongName, true, "not valid for"),
    ] {
        let (fake, service, file) = start_over_tls(kind, trust).await;
        let mut venue = Value::Null;
        let refused = tokio::time::timeout(DEADLINE, async {
            while venue["reason"]["code"] != "tls-refused" || venue["state"] != "down" {
                tokio::time::sleep(POLL_INTERVAL).await;
                venue = service.venue("upbit").await;
            }
        });
        assert!(refused.await.is_ok(), "{kind:?}: {venue}");
        let message = venue["reason"]["message"].as_str().unwrap().to_lowercase();
        assert!(message.contains(cause), "{kind:?} was reported as {message:?}, without {cause:?}");
        assert_eq!(service.row("BTC-KRW").await["state"], "unknown", "no price was received");
        service.stop().await;
        fake.shutdown().await;
        file.into_iter().for_each(|file| std::fs::remove_file(file).unwrap());
    }
}

#[tokio::test]
async fn the_program_prints_one_line_serves_and_exits_with_0() {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_sisepan"))
        .args(["demo", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let address = first.strip_prefix("listening on http://").unwrap_or_else(|| panic!("unexpected line {first:?}"));
    let task = tokio::spawn(async { Ok(()) });
    let service = Service::new(address.parse().unwrap(), CancellationToken::new(), task);
    let row = service.wait_row("BTC-KRW", |row| row["state"] == "live").await;
    assert_eq!(row["text"]["name"], "비트코인");
    assert_eq!(service.get("/api/v1/snapshot").await["demo"], true);

    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(12), child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(lines.next_line().await.unwrap(), None, "only one line is printed");
}

/// Starts the program with Bithumb and Upbit at this address; returns it with the folder of its log.
fn start_program(at: std::net::SocketAddr) -> (tokio::process::Child, std::path::PathBuf) {
    let folder = std::env::temp_dir().join(format!("sisepan-offline-{}-{}", std::process::id(), at.port()));
    std::fs::create_dir_all(&folder).unwrap();
    let venue = |id: &str, stream: &str| {
        format!("[venues.{id}]\nrest = \"http://{at}/{id}\"\nstream = \"ws://{at}/{id}/{stream}\"\n")
    };
    let config = folder.join("sisepan.toml");
    let text = format!("data = \"none\"\n{}{}", venue("bithumb", "websocket/v1"), venue("upbit", "websocket/v1"));
    std::fs::write(&config, text).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let child = tokio::process::Command::new(env!("CARGO_BIN_EXE_sisepan"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (child, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_the_program_starts_states_why_and_keeps_trying() {
    // A port on which nothing listens.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (mut child, folder) = start_program(free);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let address = first.strip_prefix("listening on http://").unwrap_or_else(|| panic!("unexpected line {first:?}"));
    let task = tokio::spawn(async { Ok(()) });
    let service = Service::new(address.parse().unwrap(), CancellationToken::new(), task);
    let mut venue = Value::Null;
    let is_down = tokio::time::timeout(DEADLINE, async {
        while venue["state"] != "down" {
            tokio::time::sleep(POLL_INTERVAL).await;
            venue = service.venue("bithumb").await;
        }
    });
    assert!(is_down.await.is_ok(), "{venue}");
    assert_eq!(venue["reason"]["code"], "connect", "{venue}");
    let row = service.row("BTC-KRW").await;
    assert_eq!(
        (row["state"].as_str(), row["text"]["last"].as_str()),
        (Some("unknown"), Some("–")),
        "an unknown price is shown as unknown"
    );
    assert_eq!(service.get("/readyz").await["ready"], false);

    let page = reqwest::get(format!("http://{}/?lang=ko", service.address)).await.unwrap().text().await.unwrap();
    let rows = page.matches("data-state=\"unknown\"").count();
    assert!(rows >= 11, "every row is shown as unknown: {rows}");
    assert!(page.contains("빗썸 연결 끊김: 접속 실패"), "the page says which exchange, and why");
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    assert!(log.contains("bithumb") && log.contains("can't connect to 127.0.0.1"), "the log states it too: {log}");

    // Once the exchanges are reachable, prices arrive.
    let fake = fake::start(Options { listen: free, ..Options::default() }).await.unwrap();
    let row = service.wait_row("BTC-KRW", |row| row["state"] == "live" && !row["change"].is_null()).await;
    assert_eq!(row["venue"], "bithumb");
    child.kill().await.unwrap();
    fake.shutdown().await;
    std::fs::remove_dir_all(folder).unwrap();
}

/// Requests the health of a venue until it is as wanted. Panics at the deadline.
async fn wait_venue(service: &Service, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = tokio::time::timeout(DEADLINE, async {
        loop {
            last = service.venue(id).await;
            if wanted(&last) {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    });
    let in_time = found.await.is_ok();
    assert!(in_time, "{id} did not reach the wanted state: {last}");
    last
}

/// Returns a configuration of a board with one venue and two markets.
fn config_for_venue(fake: &Fake, venue: &str, markets: [&str; 2]) -> Config {
    let mut config = config_for_fake(fake);
    config.boards[0].source = sisepan::market::SourceId::new([venue]);
    config.boards[0].markets = markets.iter().map(|market| market.parse().unwrap()).collect();
    config
}

fn is_unbelieved(venue: &Value) -> bool {
    let message = venue["reason"]["message"].as_str().unwrap_or_default();
    venue["state"] == "down"
        && venue["reason"]["code"] == "unbelieved"
        && venue["markets_live"] == 0
        && venue["without_price"] == 2
        && message.contains("times")
        && message.contains("such as")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_08_times_in_another_unit_are_reported_with_field_count_and_example() {
    let fake = fake::start(Options::default()).await.unwrap();
    let unit = r#"{"fault":"unit","venue":"binance","unit":"us"}"#;
    // From the start.
    fake.inject_fault(unit).unwrap();
    let service = Service::start(config_for_venue(&fake, "binance", ["BTC-USDT", "ETH-USDT"])).await;
    let venue = wait_venue(&service, "binance", is_unbelieved).await;
    let message = venue["reason"]["message"].as_str().unwrap();
    assert!(message.contains("E: time") || message.contains("closeTime: time"), "{message}");
    assert!(
        venue["missing"].as_array().unwrap().iter().all(|m| m["lacks"] == "price" && m["code"] == "time"),
        "{venue}"
    );
    // It recovers without a restart.
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    wait_venue(&service, "binance", |venue| venue["state"] == "up" && venue["markets_live"] == 2).await;
    // While running.
    fake.inject_fault(unit).unwrap();
    wait_venue(&service, "binance", is_unbelieved).await;
    service.stop().await;
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_08_times_in_another_unit_are_reported_when_only_rest_works() {
    let fake = fake::start(Options::default()).await.unwrap();
    fake.inject_fault(r#"{"fault":"unit","venue":"upbit","unit":"us"}"#).unwrap();
    let mut config = config_for_venue(&fake, "upbit", ["BTC-KRW", "ETH-KRW"]);
    config.venues.values_mut().for_each(|own| own.streaming = Some(false));
    let service = Service::start(config).await;
    let venue = wait_venue(&service, "upbit", is_unbelieved).await;
    assert!(venue["reason"]["message"].as_str().unwrap().contains("trade_timestamp"), "{venue}");
    service.stop().await;
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_14_an_exchange_whose_data_disagrees_with_its_clock_is_not_up() {
    let fake = fake::start(Options::default()).await.unwrap();
    let service = Service::start(config_for_venue(&fake, "upbit", ["BTC-KRW", "ETH-KRW"])).await;
    wait_venue(&service, "upbit", |venue| venue["state"] == "up" && venue["markets_live"] == 2).await;
    // REST requests fail too, since their correct times would be accepted.
    for (ms, code) in [(30_000, "time-ahead"), (-30_000, "time-behind")] {
        fake.inject_fault(&format!(r#"{{"fault":"skew","venue":"upbit","on":"stream","ms":{ms}}}"#)).unwrap();
        fake.inject_fault(r#"{"fault":"status","venue":"upbit","status":503,"body":"down"}"#).unwrap();
        let venue = wait_venue(&service, "upbit", is_unbelieved).await;
        assert!(venue["rejected"][code].as_u64().unwrap() > 0, "{venue}");
        assert!(venue["reason"]["message"].as_str().unwrap().contains(code), "{venue}");
        fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
        wait_venue(&service, "upbit", |venue| venue["state"] == "up" && venue["markets_live"] == 2).await;
    }
    service.stop().await;
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_07_an_exchange_that_timestamps_messages_has_no_trade_times() {
    let fake = fake::start(Options::default()).await.unwrap();
    let service = Service::start(config_for_venue(&fake, "binance", ["BTC-USDT", "ETH-USDT"])).await;
    let row = service.wait_row("BTC-USDT", |row| row["state"] == "live").await;
    assert_eq!(row["traded_at"], Value::Null, "{row}");
    service.stop().await;
    let service = Service::start(config_for_venue(&fake, "upbit", ["BTC-KRW", "ETH-KRW"])).await;
    let row = service.wait_row("BTC-KRW", |row| row["state"] == "live").await;
    assert!(row["traded_at"].is_string(), "{row}");
    service.stop().await;
    fake.shutdown().await;
}
