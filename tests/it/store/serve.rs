//! The real program against the fake exchanges, stopped and started in different ways.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use fake_exchanges::{self as fake, Fake, Options};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::Value;
use sisepan::clock::Clock;
use sisepan::market::{HourRecord, Minute, Window};
use sisepan::store::{Restored, Store, StoreSettings};

use super::disk::{DEADLINE, until_saved};
use super::setup::{Folder, UPBIT, VENUES, market};
use crate::from_env;

pub(super) const MARKETS: [&str; 3] = ["BTC-KRW", "ETH-KRW", "XRP-KRW"];

pub(super) struct Server {
    pub(super) child: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts the program, and returns once it prints its address.
    pub(super) fn start(folder: &Folder, command: &mut Command) -> Self {
        let config = folder.0.join("sisepan.toml");
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("it printed {line:?}"));
        Self { child, address: address.parse().unwrap() }
    }

    pub(super) fn get(&self, path: &str) -> Value {
        let mut connection = TcpStream::connect(self.address).unwrap();
        write!(connection, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    pub(super) fn rows(&self) -> Vec<Value> {
        self.get("/api/v1/snapshot")["rows"].as_array().unwrap().clone()
    }

    pub(super) async fn until(&self, path: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let clock = Clock::system();
        let deadline = clock.monotonic() + DEADLINE;
        while clock.monotonic() < deadline {
            let answer = self.get(path);
            if condition(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} stayed at {}\n{}", self.get(path), self.get("/api/v1/venues"));
    }

    /// Waits until every row is live and has a change.
    pub(super) async fn until_live(&self) {
        let live = |row: &Value| row["state"] == "live" && row["change"].is_object();
        let all = |answer: &Value| {
            let rows = answer["rows"].as_array().unwrap();
            rows.len() == MARKETS.len() && rows.iter().all(live)
        };
        self.until("/api/v1/snapshot", all).await;
    }

    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sisepan"))
}

pub(super) fn configure(folder: &Folder, fake: &Fake, data: &str) {
    let (rest, stream) = (fake.rest_url("upbit"), fake.stream_url("upbit"));
    let text = format!(
        "data = {data:?}\n[[boards]]\nid = \"krw\"\nmarkets = {MARKETS:?}\nsource = \"upbit\"\n\
         [venues.upbit]\nrest = {rest:?}\nstream = {stream:?}\n"
    );
    std::fs::write(folder.0.join("sisepan.toml"), text).unwrap();
}

pub(super) async fn set_up() -> (Folder, Fake, String) {
    set_up_with(Options::default()).await
}

async fn set_up_with(options: Options) -> (Folder, Fake, String) {
    let fake = fake::start(Options { seed: from_env::seed(), ..options }).await.unwrap();
    let folder = Folder::new();
    let data = folder.0.join("data").display().to_string();
    configure(&folder, &fake, &data);
    (folder, fake, data)
}

pub(super) fn open_store(data: &str) -> (Store, Restored) {
    Store::open(data.as_ref(), StoreSettings::default(), &VENUES, Clock::system()).unwrap()
}

/// Asserts that every close restored from the records is the exchange's own; returns the known minutes.
pub(super) fn check_truth(fake: &Fake, name: &str, hours: &[HourRecord]) -> Vec<Minute> {
    let truth = fake.truth("upbit", name).unwrap();
    let closes: BTreeMap<Minute, Decimal> = truth.minutes.iter().map(|(at, price)| (Minute::of(*at), *price)).collect();
    let mut window = Window::default();
    window.restore(hours);
    let known = closes.into_iter().filter(|(minute, expected)| {
        let found = window.price_before(minute.end());
        assert!(found.is_none_or(|found| found.get() == *expected), "{name} at {minute:?}: {found:?}, not {expected}");
        found.is_some()
    });
    known.map(|(minute, _)| minute).collect()
}

pub(super) fn now() -> Timestamp {
    Clock::system().now()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_after_a_kill_shows_the_last_prices_as_stale_with_their_age() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    server.until_live().await;
    until_saved(&server, now()).await;
    server.kill();
    fake.shutdown().await;
    let kept: BTreeMap<String, _> = {
        let (store, restored) = open_store(&data);
        store.close();
        restored.feeds.into_iter().map(|feed| (feed.market.to_string(), feed.last.unwrap())).collect()
    };

    let server = Server::start(&folder, &mut program());
    let rows = server.rows();
    assert_eq!(rows.len(), MARKETS.len());
    for row in rows {
        let last = &kept[row["market"].as_str().unwrap()];
        assert_eq!(row["state"], "stale", "{row}");
        assert_eq!(row["last"].as_str().unwrap().parse(), Ok(last.last.get()), "{row}");
        assert_eq!(row["confirmed_at"], format!("{:.3}", last.confirmed_at), "{row}");
        assert!(row["change"]["base_source"] == "window", "{row}");
    }
    assert_eq!(server.get("/readyz")["ready"], true);
    assert!(server.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_clean_shutdown_saves_everything_and_a_restart_requests_only_what_is_missing() {
    let (folder, fake, _) = set_up().await;
    let server = Server::start(&folder, &mut program());
    server.until_live().await;
    let candles =
        |fake: &Fake| fake.log().iter().filter(|e| e.kind == "request" && e.text.contains("/candles/")).count();
    // The whole window is filled: a day in pages of 200 minutes, for each market.
    let enough = MARKETS.len() * 7;
    for _ in 0..400 {
        if candles(&fake) >= enough {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(candles(&fake) >= enough, "{}", candles(&fake));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(server.terminate().success());
    let before = candles(&fake);
    let server = Server::start(&folder, &mut program());
    server.until_live().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let requests = candles(&fake) - before;
    assert!(requests <= MARKETS.len() * 2, "{requests} requests for candles after a restart, {before} before it");
    assert!(server.terminate().success());
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn in_22_a_ban_is_honoured_after_a_kill() {
    const BAN: SignedDuration = SignedDuration::from_secs(7);
    let (folder, fake, _) = set_up().await;
    fake.inject_fault(r#"{"fault":"status","venue":"upbit","status":429,"retry_after":"7","times":1}"#).unwrap();
    let server = Server::start(&folder, &mut program());
    let requests = |fake: &Fake| fake.log().into_iter().filter(|entry| entry.kind == "request").collect::<Vec<_>>();
    server.until("/api/v1/venues", |answer| answer["venues"][0]["not_before"].is_string()).await;
    server.until("/readyz", |answer| answer["store"]["saved_at"].is_string()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.kill();
    let banned = requests(&fake).into_iter().find(|entry| entry.status == Some(429)).unwrap().at;
    // A crash loop neither forgets the ban nor extends it.
    for _ in 0..4 {
        let server = Server::start(&folder, &mut program());
        tokio::time::sleep(Duration::from_millis(600)).await;
        server.kill();
    }
    let server = Server::start(&folder, &mut program());
    server.until("/api/v1/venues", |answer| answer["venues"][0]["not_before"].is_null()).await;
    server.until_live().await;
    let all = requests(&fake);
    let inside: Vec<_> = all.iter().filter(|entry| entry.at > banned && entry.at < banned + BAN).collect();
    let answered_late = |entry: &&&fake::client_log::LogEntry| entry.at > banned + SignedDuration::from_millis(300);
    assert!(inside.iter().filter(answered_late).count() == 0, "{inside:#?}");
    assert!(all.iter().any(|entry| entry.at >= banned + BAN && entry.at < banned + BAN * 3));
    assert!(server.terminate().success());
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs prlimit"]
async fn a_full_disk_is_reported_and_prices_go_on() {
    let (folder, fake, _) = set_up().await;
    let environment = Command::new("scripts/system-env").current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(environment.status.success(), "{}", String::from_utf8_lossy(&environment.stderr));
    // No file of this process may grow beyond 64 KiB; the signal that would end it is ignored.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 128; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_sisepan")]);
    let server = Server::start(&folder, &mut limited);
    let reported = server.until("/readyz", |answer| answer["store"]["persisting"] == false).await;
    assert!(reported["store"]["reason"].is_string(), "{reported}");
    server.until_live().await;
    assert_eq!(server.get("/readyz")["ready"], true);

    let id = server.child.id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status().unwrap().success());
    let reported = server.until("/readyz", |answer| answer["store"]["persisting"] == true).await;
    assert!(reported["store"]["reason"].is_null() && reported["store"]["saved_at"].is_string(), "{reported}");
    assert!(server.terminate().success());
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_can_not_be_created_is_reported_and_used_once_it_can() {
    let (folder, fake, _) = set_up().await;
    let obstacle = folder.0.join("obstacle");
    std::fs::write(&obstacle, "").unwrap();
    configure(&folder, &fake, &obstacle.join("data").display().to_string());
    let server = Server::start(&folder, &mut program());
    server.until_live().await;
    let reported = server.get("/readyz");
    assert!(reported["ready"] == true && reported["store"]["persisting"] == false, "{reported}");
    std::fs::remove_file(&obstacle).unwrap();
    server.until("/readyz", |answer| answer["store"]["persisting"] == true).await;
    assert!(server.terminate().success());
    let (store, restored) = open_store(&obstacle.join("data").display().to_string());
    assert_eq!(restored.feeds.len(), MARKETS.len());
    store.close();
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_and_a_foreign_file_are_refused_with_exit_code_1() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    let refused = |reason: &str| {
        let config = folder.0.join("sisepan.toml");
        let ended = program().args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(config).output().unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{errors}");
        assert!(ended.stdout.is_empty() && errors.contains(reason) && errors.contains(&data), "{errors}");
    };
    refused("in use by another sisepan process");
    assert!(server.terminate().success());
    std::fs::write(folder.0.join("data/sisepan.db"), "not yours").unwrap();
    refused("not a database");
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_data_directory_nothing_is_written() {
    let (folder, fake, _) = set_up().await;
    for data in ["none", ""] {
        configure(&folder, &fake, data);
        let server = Server::start(&folder, program().current_dir(&folder.0));
        server.until_live().await;
        assert!(server.get("/readyz").get("store").is_none());
        assert!(server.terminate().success());
    }
    assert_eq!(folder.names(), ["sisepan.toml"]);
    fake.shutdown().await;
}

/// Compares closes that were seen live, over the end of a minute, with the exchange's own prices.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn closes_seen_live_survive_a_kill_and_are_the_exchanges_own() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    server.until_live().await;
    let began = Minute::of(now());
    // The first minute that is seen in full. A quiet market may send nothing for some seconds after it.
    let minute = began.plus(1);
    let end = minute.end() + SignedDuration::from_millis(3500);
    while now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for name in MARKETS {
        let is_written = |history: &Value| {
            let start: Timestamp = history["start"].as_str().unwrap().parse().unwrap();
            let index = minute.start().duration_since(start).as_secs() / 60;
            usize::try_from(index).is_ok_and(|index| history["close"][index].is_string())
        };
        server.until(&format!("/api/v1/history/{name}?span=24h&step=1m"), is_written).await;
    }
    server.kill();
    let (store, restored) = open_store(&data);
    for name in MARKETS {
        let feed = restored.feeds.iter().find(|feed| feed.venue == UPBIT && feed.market == market(name)).unwrap();
        let knows = check_truth(&fake, name, &feed.hours);
        assert!(knows.contains(&minute), "{name}: {minute:?} is not known");
    }
    store.close();
    fake.shutdown().await;
}

/// `examples/store_bench.rs` measures how fast this is.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_many_markets_and_no_exchange_shows_every_last_row_with_its_age() {
    let folder = Folder::new();
    let data = folder.0.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let now_minute = Minute::of(now());
    let names: Vec<String> = (0..300).map(|n| format!("C{n}-KRW")).collect();
    {
        let store = Store::open(&data, StoreSettings::default(), &VENUES, Clock::system()).unwrap().0;
        let records = names.iter().map(|name| {
            let market = market(name);
            let last = super::setup::true_last(&super::setup::markets()[0], now_minute.plus(-60));
            let last = sisepan::feed::LastRecord { confirmed_at: now_minute.plus(-60).start(), ..last };
            sisepan::feed::FeedRecords {
                venue: UPBIT,
                market,
                last: Some(last),
                listing: None,
                hours: vec![],
                reset: false,
            }
        });
        store.save(records.collect());
        assert!(store.flush(super::setup::FLUSH_MAX));
        store.close();
    }
    let boards = names
        .chunks(100)
        .enumerate()
        .map(|(at, markets)| format!("[[boards]]\nid = \"b{at}\"\nmarkets = {markets:?}\nsource = \"upbit\"\n"));
    let text = format!(
        "data = {:?}\n{}[venues.upbit]\nrest = \"http://127.0.0.1:9\"\nstream = \"ws://127.0.0.1:9/\"\n",
        data.display().to_string(),
        boards.collect::<String>()
    );
    std::fs::write(folder.0.join("sisepan.toml"), text).unwrap();
    let server = Server::start(&folder, &mut program());
    // The very first responses have all rows.
    let of = |board| server.get(&format!("/api/v1/snapshot?board=b{board}"))["rows"].as_array().unwrap().clone();
    let rows: Vec<Value> = (0..3).flat_map(of).collect();
    assert_eq!(rows.len(), names.len());
    let confirmed_at = format!("{:.3}", now_minute.plus(-60).start());
    assert!(rows.iter().all(|row| row["state"] == "stale" && row["confirmed_at"] == confirmed_at), "{:?}", rows[0]);
    assert!(server.terminate().success());
}
