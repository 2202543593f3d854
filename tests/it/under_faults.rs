//! The whole program while its exchanges misbehave: each fault is injected through the control server of the fake
//! program, and the boards are checked throughout.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sisepan::config::{Board, Config, VenueConfig};
use sisepan::market::SourceId;
use sisepan::venue;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::end_to_end::Service;

const DEADLINE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// `stale_after` of the affected exchange.
const STALE_AFTER: Duration = Duration::from_secs(6);

/// Maximum duration of one check of the boards.
const SLACK: Duration = Duration::from_secs(4);

/// Number of cases that run at the same time: as many as the machine can run without missing deadlines.
const AT_ONCE: usize = 7;

const BEFORE: &str = "150000000";
const DURING: &str = "160000000";
const AFTER: &str = "155000000";

/// The price of the neighbour, throughout.
const NEIGHBOUR: &str = "5000000";

struct Case {
    name: &'static str,
    faults: &'static [&'static str],
    /// The price that the affected market shows while the fault lasts.
    last: &'static str,
    /// The states in which it may show that price.
    states: &'static [&'static str],
    /// Whether its neighbour at the same exchange stays live throughout.
    neighbour_stays_live: bool,
}

const CASES: [Case; 24] = [
    Case {
        name: "mute: polled instead",
        faults: &[r#"{"fault":"mute"}"#],
        last: DURING,
        states: &["delayed"],
        neighbour_stays_live: false,
    },
    Case {
        name: "ack-only: a new connection is acknowledged and never delivers",
        faults: &[r#"{"fault":"ack-only"}"#, r#"{"fault":"rst"}"#],
        last: DURING,
        states: &["delayed"],
        neighbour_stays_live: false,
    },
    Case {
        name: "drop-sym: one market drops out of the stream",
        faults: &[r#"{"fault":"drop-sym","symbol":"KRW-BTC"}"#],
        last: DURING,
        states: &["live", "delayed"],
        neighbour_stays_live: true,
    },
    Case {
        name: "close: reconnected",
        faults: &[r#"{"fault":"close","code":1001,"reason":"maintenance"}"#],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: false,
    },
    Case {
        name: "rst: reconnected",
        faults: &[r#"{"fault":"rst"}"#],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: false,
    },
    Case {
        name: "status: REST is down, the stream goes on",
        faults: &[r#"{"fault":"status","status":503,"body":"down"}"#],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: true,
    },
    Case {
        name: "status on both: the last good price stays, but is not live",
        faults: &[
            r#"{"fault":"status","status":503,"body":"down"}"#,
            r#"{"fault":"status","status":503,"on":"stream"}"#,
            r#"{"fault":"rst"}"#,
        ],
        last: BEFORE,
        states: &["stale"],
        neighbour_stays_live: false,
    },
    Case {
        name: "html on both: a maintenance page is not a price",
        faults: &[
            r#"{"fault":"html","status":200}"#,
            r#"{"fault":"html","on":"stream","status":200}"#,
            r#"{"fault":"rst"}"#,
        ],
        last: BEFORE,
        states: &["stale"],
        neighbour_stays_live: false,
    },
    Case {
        name: "raw: half a message with an absurd price",
        faults: &[r#"{"fault":"raw","payload":"{\"type\":\"ticker\",\"code\":\"KRW-BTC\",\"trade_price\":1e999,"}"#],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: true,
    },
    Case {
        name: "raw: a control character and a negative price in a text frame",
        faults: &[
            r#"{"fault":"raw","payload":"{\"type\":\"ticker\",\"code\":\"\\u0000<script>\",\"trade_price\":-1}","text":true}"#,
        ],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: true,
    },
    Case {
        name: "spike: a price that the exchange reports everywhere is shown",
        faults: &[r#"{"fault":"spike","symbol":"KRW-BTC","factor":1.5}"#],
        last: "240000000",
        states: &["live"],
        neighbour_stays_live: true,
    },
    Case {
        name: FC_16,
        faults: &[
            r#"{"fault":"raw","payload":"{\"type\":\"ticker\",\"code\":\"KRW-BTC\",\"trade_price\":1500000}","text":true}"#,
        ],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: true,
    },
    Case {
        name: "null-field: a missing price is not a price of zero",
        faults: &[r#"{"fault":"null-field","field":"trade_price"}"#],
        last: BEFORE,
        states: &["stale"],
        neighbour_stays_live: false,
    },
    Case {
        name: "freeze-ts: the times of the stream stop advancing",
        faults: &[r#"{"fault":"freeze-ts","on":"stream"}"#],
        last: DURING,
        states: &["live", "delayed"],
        neighbour_stays_live: false,
    },
    Case {
        name: "in_45 dup: a repeated message changes nothing",
        faults: &[r#"{"fault":"dup"}"#],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: true,
    },
    Case {
        name: "in_45 swap: an older message does not overwrite a newer one",
        faults: &[r#"{"fault":"swap"}"#],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: true,
    },
    Case {
        name: "in_46 replay: old trades sent again to a new connection change nothing",
        faults: &[r#"{"fault":"replay","n":50}"#, r#"{"fault":"rst"}"#],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: false,
    },
    Case {
        name: "in_48 gap: candles are missing, prices are not",
        faults: &[r#"{"fault":"gap","ago":1600,"minutes":1500}"#],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: true,
    },
    Case {
        name: "skew: a clock that is a second behind",
        faults: &[r#"{"fault":"skew","ms":-1000}"#],
        last: DURING,
        states: &["live"],
        neighbour_stays_live: true,
    },
    Case {
        name: "in_41 unit: times in seconds are not current",
        faults: &[r#"{"fault":"unit","unit":"s"}"#],
        last: BEFORE,
        states: &["stale"],
        neighbour_stays_live: false,
    },
    Case {
        name: "in_41 unit: times in microseconds are not current",
        faults: &[r#"{"fault":"unit","unit":"us"}"#],
        last: BEFORE,
        states: &["stale"],
        neighbour_stays_live: false,
    },
    Case {
        name: "in_54 halt: a suspended market is halted",
        faults: &[r#"{"fault":"halt","symbol":"BTC-KRW"}"#],
        last: BEFORE,
        states: &["halted"],
        neighbour_stays_live: true,
    },
    Case {
        name: "in_54 delist: a delisted market is not live",
        faults: &[r#"{"fault":"delist","symbol":"BTC-KRW"}"#],
        last: BEFORE,
        states: &["stale", "halted"],
        neighbour_stays_live: true,
    },
    Case {
        name: "in_52 rename: another name is another market",
        faults: &[r#"{"fault":"rename","symbol":"BTC-KRW","to":"KRW-XBTC"}"#],
        last: BEFORE,
        states: &["stale", "halted"],
        neighbour_stays_live: true,
    },
];

/// Name of the case that has a test of its own.
const FC_16: &str = "raw: one price of the stream that is a hundredth of the true one";

#[tokio::test(flavor = "multi_thread")]
async fn fc_16_one_bad_price_of_a_stream_is_never_live() {
    for case in CASES.into_iter().filter(|case| case.name == FC_16) {
        run(case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_every_fault_nothing_wrong_is_live_and_everything_recovers() {
    let runs = futures_util::stream::iter(CASES.into_iter().filter(|case| case.name != FC_16))
        .map(|case| tokio::spawn(run(case)))
        .buffer_unordered(AT_ONCE);
    let failed: Vec<String> =
        runs.filter_map(|done| async { done.err().map(|error| error.to_string()) }).collect().await;
    assert!(failed.is_empty(), "{failed:?}");
}

/// The fake exchanges as a process of their own, with its control server.
struct Program {
    child: tokio::process::Child,
    exchanges: String,
    control: String,
    http: reqwest::Client,
}

impl Program {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_sisepan"))
            .args(["fake", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let control = stderr.next_line().await.unwrap().unwrap();
        let exchanges = stdout.next_line().await.unwrap().unwrap();
        tokio::spawn(async move { while let Ok(Some(_)) = stderr.next_line().await {} });
        Self {
            child,
            exchanges: exchanges.strip_prefix("listening on http://").unwrap().to_owned(),
            control: control.strip_prefix("control on ").unwrap().to_owned(),
            http: reqwest::Client::new(),
        }
    }

    async fn fault(&self, fault: &str) {
        let mut fault: Value = serde_json::from_str(fault).unwrap();
        fault["venue"] = json!("bithumb");
        let answer = self.http.post(format!("{}/fault", self.control)).body(fault.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{fault}: {}", answer.text().await.unwrap());
    }

    /// Trades the affected market at this price, and its neighbour at its own.
    async fn trade(&self, price: &str) {
        self.price("BTC-KRW", price).await;
        self.price("ETH-KRW", NEIGHBOUR).await;
    }

    async fn price(&self, market: &str, price: &str) {
        let request = json!({"venue":"bithumb","market":market,"price":price,"hold":true});
        let answer = self.http.post(format!("{}/price", self.control)).body(request.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{request}");
    }

    fn config(&self) -> Config {
        let mut config = Config { data: None, ..Config::default() };
        for venue in venue::ALL {
            let id = venue.profile().id;
            let path = if id.as_str() == "binance" { "ws" } else { "websocket/v1" };
            // Only the affected exchange has short limits: the others must be live at every check, even on a
            // busy machine.
            let affected = id.as_str() == "bithumb";
            let own = VenueConfig {
                rest: Some(format!("http://{}/{id}", self.exchanges)),
                stream: Some(format!("ws://{}/{id}/{path}", self.exchanges)),
                stale_after: Some(if affected { STALE_AFTER } else { 5 * STALE_AFTER }),
                silence_max: Some(Duration::from_secs(if affected { 2 } else { 15 })),
                confirm_after: Some(Duration::from_secs(1)),
                ..VenueConfig::default()
            };
            config.venues.insert(id, own);
        }
        let board = |venue: &str, markets: [&str; 2]| Board {
            id: venue.to_owned(),
            titles: std::array::from_fn(|_| venue.to_owned()),
            markets: markets.iter().map(|market| market.parse().unwrap()).collect(),
            source: SourceId::new([venue]),
            basis: sisepan::market::Basis::default(),
        };
        config.boards = vec![
            board("bithumb", ["BTC-KRW", "ETH-KRW"]),
            board("upbit", ["BTC-KRW", "ETH-KRW"]),
            board("binance", ["BTC-USDT", "ETH-USDT"]),
        ];
        config
    }
}

/// The true price, and until when the price before it may still be shown as live.
#[derive(Default)]
struct Truth {
    price: &'static str,
    before: Option<(&'static str, Instant)>,
    /// The price that the affected exchange reports instead.
    reported: Option<&'static str>,
    neighbour_stays_live: bool,
}

struct FaultRun {
    name: &'static str,
    service: Service,
    program: Program,
    truth: Mutex<Truth>,
}

#[expect(clippy::disallowed_methods, reason = "how long a real program takes is measured by a real clock")]
fn now() -> Instant {
    Instant::now()
}

impl FaultRun {
    fn set_true_price(&self, price: &'static str) {
        let mut truth = self.truth.lock().unwrap();
        truth.before = Some((truth.price, now() + STALE_AFTER + SLACK));
        truth.price = price;
    }

    /// Checks every row once; returns the affected one and its neighbour.
    async fn check(&self) -> (Value, Value) {
        let name = self.name;
        let mut found = Vec::new();
        for board in ["upbit", "binance", "bithumb"] {
            let snapshot = self.service.get(&format!("/api/v1/snapshot?board={board}")).await;
            let rows = snapshot["rows"].as_array().unwrap().clone();
            if board != "bithumb" {
                assert!(
                    rows.len() == 2 && rows.iter().all(|row| row["state"] == "live"),
                    "{name}: {board} is not live: {rows:?}"
                );
            }
            found = rows;
        }
        let [affected, neighbour] = found.try_into().unwrap();
        let truth = self.truth.lock().unwrap();
        if affected["state"] == "live" {
            let last = affected["last"].as_str().unwrap();
            let before = truth.before.is_some_and(|(price, until)| price == last && now() < until);
            let reported = truth.reported == Some(last);
            assert!(
                last == truth.price || before || reported,
                "{name}: live and wrong, true is {}: {affected}",
                truth.price
            );
        }
        assert!(neighbour["state"] != "live" || neighbour["last"] == NEIGHBOUR, "{name}: {neighbour}");
        assert!(!truth.neighbour_stays_live || neighbour["state"] == "live", "{name}: {neighbour}");
        drop(truth);
        (affected, neighbour)
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Value, &Value) -> bool) {
        let start = now();
        loop {
            // Both markets keep trading, each at its own price.
            let price = self.truth.lock().unwrap().price;
            self.program.trade(price).await;
            let (affected, neighbour) = self.check().await;
            if wanted(&affected, &neighbour) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "{}: not {what}: {affected}, {neighbour}", self.name);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

async fn until_all_live(service: &Service) {
    let start = now();
    loop {
        let mut live = 0;
        for board in ["upbit", "binance", "bithumb"] {
            let snapshot = service.get(&format!("/api/v1/snapshot?board={board}")).await;
            live += snapshot["rows"].as_array().unwrap().iter().filter(|row| row["state"] == "live").count();
        }
        if live == 6 {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "the boards did not come up");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn run(case: Case) {
    let program = Program::start().await;
    program.trade(BEFORE).await;
    let service = Service::start(program.config()).await;
    until_all_live(&service).await;
    let truth = Truth { price: BEFORE, ..Truth::default() };
    let fault_run = Arc::new(FaultRun { name: case.name, service, program, truth: Mutex::new(truth) });
    fault_run
        .until("live before", |affected, neighbour| {
            affected["state"] == "live" && affected["last"] == BEFORE && neighbour["state"] == "live"
        })
        .await;

    {
        let mut truth = fault_run.truth.lock().unwrap();
        truth.neighbour_stays_live = case.neighbour_stays_live;
        truth.reported = Some(case.last).filter(|last| ![BEFORE, DURING].contains(last));
    }
    for fault in case.faults {
        fault_run.program.fault(fault).await;
    }
    fault_run.set_true_price(DURING);
    fault_run
        .until("in the expected state under the fault", |affected, _| {
            affected["last"] == case.last && case.states.iter().any(|state| affected["state"] == *state)
        })
        .await;
    // It stays so for longer than any limit.
    let start = now();
    fault_run.until("steady", |_, _| start.elapsed() > STALE_AFTER + SLACK).await;

    fault_run.program.fault(r#"{"fault":"none"}"#).await;
    fault_run.set_true_price(AFTER);
    fault_run
        .until("recovered by itself", |affected, neighbour| {
            affected["state"] == "live" && affected["last"] == AFTER && neighbour["state"] == "live"
        })
        .await;
    fault_run.until("checked again", |_, _| true).await;
    let start = now();
    let health = loop {
        let health = fault_run.service.venue("bithumb").await;
        if health["state"] == "up" {
            break health;
        }
        assert!(start.elapsed() < DEADLINE, "{}: {health}", case.name);
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    let skew = health["clock_skew_ms"].as_i64().unwrap();
    assert!(skew.abs() < 1500, "{}: the clock must be unchanged: {health}", case.name);

    let Ok(fault_run) = Arc::try_unwrap(fault_run) else { return };
    fault_run.service.stop().await;
    let mut child = fault_run.program.child;
    child.kill().await.unwrap();
}
