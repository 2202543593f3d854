//! The whole program while its exchanges misbehave: each fault is ordered from the fake
//! program's control server, as anyone would, and the board is looked at all the while.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sisepan::config::{Board, Config, VenueConfig};
use sisepan::domain::SourceId;
use sisepan::venue;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::end_to_end::Service;

const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// The services' limit, and what a look at them may take.
const STALE_AFTER: Duration = Duration::from_secs(6);
const SLACK: Duration = Duration::from_secs(4);

/// Cases at once: the machine is to be busy, not late.
const AT_ONCE: usize = 7;

const BEFORE: &str = "150000000";
const DURING: &str = "160000000";
const AFTER: &str = "155000000";

/// The neighbour's, throughout.
const NEIGHBOUR: &str = "5000000";

struct Case {
    name: &'static str,
    orders: &'static [&'static str],
    /// What the struck market comes to show, and in which states, while the fault lasts.
    last: &'static str,
    states: &'static [&'static str],
    /// Whether its neighbour at the same exchange stays live throughout.
    neighbour_lives: bool,
}

const CASES: [Case; 24] = [
    Case {
        name: "mute: polled instead",
        orders: &[r#"{"fault":"mute"}"#],
        last: DURING,
        states: &["delayed"],
        neighbour_lives: false,
    },
    Case {
        name: "ack-only: a new connection is acknowledged and never delivers",
        orders: &[r#"{"fault":"ack-only"}"#, r#"{"fault":"rst"}"#],
        last: DURING,
        states: &["delayed"],
        neighbour_lives: false,
    },
    Case {
        name: "drop-sym: one market falls out of the stream",
        orders: &[r#"{"fault":"drop-sym","symbol":"KRW-BTC"}"#],
        last: DURING,
        states: &["live", "delayed"],
        neighbour_lives: true,
    },
    Case {
        name: "close: connected again",
        orders: &[r#"{"fault":"close","code":1001,"reason":"maintenance"}"#],
        last: DURING,
        states: &["live"],
        neighbour_lives: false,
    },
    Case {
        name: "rst: connected again",
        orders: &[r#"{"fault":"rst"}"#],
        last: DURING,
        states: &["live"],
        neighbour_lives: false,
    },
    Case {
        name: "status: REST is down, the stream goes on",
        orders: &[r#"{"fault":"status","status":503,"body":"down"}"#],
        last: DURING,
        states: &["live"],
        neighbour_lives: true,
    },
    Case {
        name: "status on both: the last good price stays, and is not live",
        orders: &[
            r#"{"fault":"status","status":503,"body":"down"}"#,
            r#"{"fault":"status","status":503,"on":"stream"}"#,
            r#"{"fault":"rst"}"#,
        ],
        last: BEFORE,
        states: &["stale"],
        neighbour_lives: false,
    },
    Case {
        name: "html on both: a page of maintenance is no price",
        orders: &[
            r#"{"fault":"html","status":200}"#,
            r#"{"fault":"html","on":"stream","status":200}"#,
            r#"{"fault":"rst"}"#,
        ],
        last: BEFORE,
        states: &["stale"],
        neighbour_lives: false,
    },
    Case {
        name: "raw: half a message of another shape",
        orders: &[r#"{"fault":"raw","payload":"{\"type\":\"ticker\",\"code\":\"KRW-BTC\",\"trade_price\":1e999,"}"#],
        last: DURING,
        states: &["live"],
        neighbour_lives: true,
    },
    Case {
        name: "raw: bytes that are no text, in a text frame",
        orders: &[
            r#"{"fault":"raw","payload":"{\"type\":\"ticker\",\"code\":\"\\u0000<script>\",\"trade_price\":-1}","text":true}"#,
        ],
        last: DURING,
        states: &["live"],
        neighbour_lives: true,
    },
    Case {
        name: "spike: what the exchange says is what it says",
        orders: &[r#"{"fault":"spike","symbol":"KRW-BTC","factor":1.5}"#],
        last: "240000000",
        states: &["live"],
        neighbour_lives: true,
    },
    Case {
        name: FC_16,
        orders: &[
            r#"{"fault":"raw","payload":"{\"type\":\"ticker\",\"code\":\"KRW-BTC\",\"trade_price\":1500000}","text":true}"#,
        ],
        last: DURING,
        states: &["live"],
        neighbour_lives: true,
    },
    Case {
        name: "null-field: no price is not a price of zero",
        orders: &[r#"{"fault":"null-field","field":"trade_price"}"#],
        last: BEFORE,
        states: &["stale"],
        neighbour_lives: false,
    },
    Case {
        name: "freeze-ts: the time of the stream stands still",
        orders: &[r#"{"fault":"freeze-ts","on":"stream"}"#],
        last: DURING,
        states: &["live", "delayed"],
        neighbour_lives: false,
    },
    Case {
        name: "in_45 dup: said twice is said once",
        orders: &[r#"{"fault":"dup"}"#],
        last: DURING,
        states: &["live"],
        neighbour_lives: true,
    },
    Case {
        name: "in_45 swap: an older message does not overwrite a newer one",
        orders: &[r#"{"fault":"swap"}"#],
        last: DURING,
        states: &["live"],
        neighbour_lives: true,
    },
    Case {
        name: "in_46 replay: old trades said again to a new connection move nothing",
        orders: &[r#"{"fault":"replay","n":50}"#, r#"{"fault":"rst"}"#],
        last: DURING,
        states: &["live"],
        neighbour_lives: false,
    },
    Case {
        name: "in_48 gap: candles are missing, prices are not",
        orders: &[r#"{"fault":"gap","ago":1600,"minutes":1500}"#],
        last: DURING,
        states: &["live"],
        neighbour_lives: true,
    },
    Case {
        name: "skew: a clock that is a second behind",
        orders: &[r#"{"fault":"skew","ms":-1000}"#],
        last: DURING,
        states: &["live"],
        neighbour_lives: true,
    },
    Case {
        name: "in_41 unit: seconds are no time of now",
        orders: &[r#"{"fault":"unit","unit":"s"}"#],
        last: BEFORE,
        states: &["stale"],
        neighbour_lives: false,
    },
    Case {
        name: "in_41 unit: nor are microseconds",
        orders: &[r#"{"fault":"unit","unit":"us"}"#],
        last: BEFORE,
        states: &["stale"],
        neighbour_lives: false,
    },
    Case {
        name: "in_54 halt: the market stands still, and says so",
        orders: &[r#"{"fault":"halt","symbol":"BTC-KRW"}"#],
        last: BEFORE,
        states: &["halted"],
        neighbour_lives: true,
    },
    Case {
        name: "in_54 delist: a market that is gone is not live",
        orders: &[r#"{"fault":"delist","symbol":"BTC-KRW"}"#],
        last: BEFORE,
        states: &["stale", "halted"],
        neighbour_lives: true,
    },
    Case {
        name: "in_52 rename: another name is another market",
        orders: &[r#"{"fault":"rename","symbol":"BTC-KRW","to":"KRW-XBTC"}"#],
        last: BEFORE,
        states: &["stale", "halted"],
        neighbour_lives: true,
    },
];

/// The case that has a test of its own.
const FC_16: &str = "raw: one price of the stream that is a hundredth of the true one";

#[tokio::test(flavor = "multi_thread")]
async fn fc_16_one_bad_price_of_a_stream_is_never_live() {
    for case in CASES.into_iter().filter(|case| case.name == FC_16) {
        run(case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_every_fault_nothing_wrong_is_live_and_all_comes_right_again() {
    let runs = futures_util::stream::iter(CASES.into_iter().filter(|case| case.name != FC_16))
        .map(|case| tokio::spawn(run(case)))
        .buffer_unordered(AT_ONCE);
    let failed: Vec<String> =
        runs.filter_map(|done| async { done.err().map(|error| error.to_string()) }).collect().await;
    assert!(failed.is_empty(), "{failed:?}");
}

/// The fake exchanges as a program of their own, and its control server.
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
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut also = BufReader::new(child.stderr.take().unwrap()).lines();
        let control = also.next_line().await.unwrap().unwrap();
        let exchanges = said.next_line().await.unwrap().unwrap();
        tokio::spawn(async move { while let Ok(Some(_)) = also.next_line().await {} });
        Self {
            child,
            exchanges: exchanges.strip_prefix("listening on http://").unwrap().to_owned(),
            control: control.strip_prefix("control on ").unwrap().to_owned(),
            http: reqwest::Client::new(),
        }
    }

    async fn fault(&self, order: &str) {
        let mut order: Value = serde_json::from_str(order).unwrap();
        order["venue"] = json!("bithumb");
        let answer = self.http.post(format!("{}/fault", self.control)).body(order.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{order}: {}", answer.text().await.unwrap());
    }

    /// Trades the struck market at this price, and its neighbour at its own.
    async fn trade(&self, price: &str) {
        self.price("BTC-KRW", price).await;
        self.price("ETH-KRW", NEIGHBOUR).await;
    }

    async fn price(&self, market: &str, price: &str) {
        let order = json!({"venue":"bithumb","market":market,"price":price,"hold":true});
        let answer = self.http.post(format!("{}/price", self.control)).body(order.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{order}");
    }

    fn config(&self) -> Config {
        let mut config = Config { data: None, ..Config::default() };
        for venue in venue::ALL {
            let id = venue.profile().id;
            let path = if id.as_str() == "binance" { "ws" } else { "websocket/v1" };
            // Only the struck exchange has short limits: the others must be live at every look, also on a busy machine.
            let struck = id.as_str() == "bithumb";
            let own = VenueConfig {
                rest: Some(format!("http://{}/{id}", self.exchanges)),
                stream: Some(format!("ws://{}/{id}/{path}", self.exchanges)),
                stale_after: Some(if struck { STALE_AFTER } else { 5 * STALE_AFTER }),
                silence_max: Some(Duration::from_secs(if struck { 2 } else { 15 })),
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
            basis: sisepan::domain::Basis::default(),
        };
        config.boards = vec![
            board("bithumb", ["BTC-KRW", "ETH-KRW"]),
            board("upbit", ["BTC-KRW", "ETH-KRW"]),
            board("binance", ["BTC-USDT", "ETH-USDT"]),
        ];
        config
    }
}

/// What is true now, and until when what was true before may still stand as live.
#[derive(Default)]
struct Truth {
    price: &'static str,
    before: Option<(&'static str, Instant)>,
    /// What the struck exchange says instead of it.
    said: Option<&'static str>,
    neighbour_lives: bool,
}

struct Watch {
    name: &'static str,
    service: Service,
    program: Program,
    truth: Mutex<Truth>,
}

#[expect(clippy::disallowed_methods, reason = "how long a real program takes is measured by a real clock")]
fn now() -> Instant {
    Instant::now()
}

impl Watch {
    fn now_true(&self, price: &'static str) {
        let mut truth = self.truth.lock().unwrap();
        truth.before = Some((truth.price, now() + STALE_AFTER + SLACK));
        truth.price = price;
    }

    /// Looks at every row once; returns the struck one and its neighbour.
    async fn look(&self) -> (Value, Value) {
        let name = self.name;
        let mut found = Vec::new();
        for board in ["upbit", "binance", "bithumb"] {
            let snapshot = self.service.get(&format!("/api/v1/snapshot?board={board}")).await;
            let rows = snapshot["rows"].as_array().unwrap().clone();
            if board != "bithumb" {
                assert!(
                    rows.len() == 2 && rows.iter().all(|row| row["state"] == "live"),
                    "{name}: {board} too: {rows:?}"
                );
            }
            found = rows;
        }
        let [struck, neighbour] = found.try_into().unwrap();
        let truth = self.truth.lock().unwrap();
        if struck["state"] == "live" {
            let last = struck["last"].as_str().unwrap();
            let before = truth.before.is_some_and(|(price, until)| price == last && now() < until);
            let said = truth.said == Some(last);
            assert!(last == truth.price || before || said, "{name}: live and wrong, true is {}: {struck}", truth.price);
        }
        assert!(neighbour["state"] != "live" || neighbour["last"] == NEIGHBOUR, "{name}: {neighbour}");
        assert!(!truth.neighbour_lives || neighbour["state"] == "live", "{name}: {neighbour}");
        drop(truth);
        (struck, neighbour)
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Value, &Value) -> bool) {
        let began = now();
        loop {
            // Both markets trade all the while, each at its one price.
            let price = self.truth.lock().unwrap().price;
            self.program.trade(price).await;
            let (struck, neighbour) = self.look().await;
            if wanted(&struck, &neighbour) {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{}: not {what}: {struck}, {neighbour}", self.name);
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn settled(service: &Service) {
    let began = now();
    loop {
        let mut live = 0;
        for board in ["upbit", "binance", "bithumb"] {
            let snapshot = service.get(&format!("/api/v1/snapshot?board={board}")).await;
            live += snapshot["rows"].as_array().unwrap().iter().filter(|row| row["state"] == "live").count();
        }
        if live == 6 {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "the boards did not come up");
        tokio::time::sleep(LOOK).await;
    }
}

async fn run(case: Case) {
    let program = Program::start().await;
    program.trade(BEFORE).await;
    let service = Service::start(program.config()).await;
    settled(&service).await;
    let truth = Truth { price: BEFORE, ..Truth::default() };
    let watch = Arc::new(Watch { name: case.name, service, program, truth: Mutex::new(truth) });
    watch
        .until("live before", |struck, neighbour| {
            struck["state"] == "live" && struck["last"] == BEFORE && neighbour["state"] == "live"
        })
        .await;

    {
        let mut truth = watch.truth.lock().unwrap();
        truth.neighbour_lives = case.neighbour_lives;
        truth.said = Some(case.last).filter(|last| ![BEFORE, DURING].contains(last));
    }
    for order in case.orders {
        watch.program.fault(order).await;
    }
    watch.now_true(DURING);
    watch
        .until("as it should be under the fault", |struck, _| {
            struck["last"] == case.last && case.states.iter().any(|state| struck["state"] == *state)
        })
        .await;
    // And it stays so for longer than any limit.
    let began = now();
    watch.until("steady", |_, _| began.elapsed() > STALE_AFTER + SLACK).await;

    watch.program.fault(r#"{"fault":"none"}"#).await;
    watch.now_true(AFTER);
    watch
        .until("right again by itself", |struck, neighbour| {
            struck["state"] == "live" && struck["last"] == AFTER && neighbour["state"] == "live"
        })
        .await;
    watch.until("heard of its clock", |_, _| true).await;
    let began = now();
    let health = loop {
        let health = watch.service.venue("bithumb").await;
        if health["state"] == "up" {
            break health;
        }
        assert!(began.elapsed() < DEADLINE, "{}: {health}", case.name);
        tokio::time::sleep(LOOK).await;
    };
    let skew = health["clock_skew_ms"].as_i64().unwrap();
    assert!(skew.abs() < 1500, "{}: the clock is the same one: {health}", case.name);

    let Ok(watch) = Arc::try_unwrap(watch) else { return };
    watch.service.stop().await;
    let mut child = watch.program.child;
    child.kill().await.unwrap();
}
