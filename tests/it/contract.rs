//! The contract: what the whole program must show of every registered exchange, while that works and while it fails.
//!
//! The exchanges are the fake ones; each has a board with two markets, the affected one and its neighbour. An exchange
//! is covered by being registered. Where one differs, the demand says how and why.

use std::time::{Duration, Instant};

use fake_exchanges::limits::{CountedRequest, Refusal};
use fake_exchanges::query::RequestTarget;
use fake_exchanges::{Fake, FakeResponse, FaultView, Options, Simulation, venues};
use futures_util::StreamExt as _;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sisepan::clock::Clock;
use sisepan::config::{Board, Config, VenueConfig};
use sisepan::market::{Basis, Market, SourceId};
use sisepan::venue::{self, Response, RestQuery, Venue};

use super::end_to_end::Service;
use super::joined::{self, Joined};

const DEADLINE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// `stale_after` of the affected exchanges.
const STALE_AFTER: Duration = Duration::from_secs(6);

/// Maximum duration of one check of the boards.
const SLACK: Duration = Duration::from_secs(4);

/// Number of runs at the same time: as many as the machine can run without missing deadlines.
const CONCURRENT_RUNS: usize = 10;

/// What the board of an exchange shows of the affected market while a fault lasts.
#[derive(Debug, Clone, Copy)]
struct Shown {
    last: Last,
    /// The states in which it may show that price.
    states: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Last {
    /// The price before the fault.
    Before,
    /// The true price during the fault.
    During,
    /// What the exchange reports instead.
    Reported,
}

const STALE: Shown = Shown { last: Last::Before, states: &["stale"] };
const GONE: Shown = Shown { last: Last::Before, states: &["stale", "halted"] };
const LIVE: Shown = Shown { last: Last::During, states: &["live"] };
const POLLED: Shown = Shown { last: Last::During, states: &["delayed"] };
const LIVE_OR_POLLED: Shown = Shown { last: Last::During, states: &["live", "delayed"] };

/// The exchanges of which a demand expects something else.
#[derive(Debug, Clone, Copy)]
enum Exception {
    /// Those whose stream has no times.
    Untimed,
    /// Those whose responses have no times.
    WithUntimedResponses,
    /// Those that don't date their trades.
    WithoutTradeTimes,
    /// This one.
    Id(&'static str),
}

struct Demand {
    name: &'static str,
    /// The faults, as `POST /fault` has them; `{symbol}` is the affected market at the exchange, `{other}` another
    /// symbol, `{price}` and `{time}` the members that hold its last price and the times of a frame. `{error}` with
    /// `{status}`, `{stream_error}` and `{maintenance}` are messages of the exchange. An exchange that lacks one of
    /// these is not affected.
    faults: &'static [&'static str],
    shown: Shown,
    except: &'static [(Exception, Shown)],
    /// Whether its neighbour at the same exchange stays live throughout.
    neighbour_stays_live: bool,
}

impl Demand {
    const fn new(name: &'static str, faults: &'static [&'static str], shown: Shown) -> Self {
        Self { name, faults, shown, except: &[], neighbour_stays_live: false }
    }

    /// Demands that the neighbour stays live throughout.
    const fn neighbour_stays_live(self) -> Self {
        Self { neighbour_stays_live: true, ..self }
    }

    const fn except(self, except: &'static [(Exception, Shown)]) -> Self {
        Self { except, ..self }
    }

    fn shown(&self, exchange: &Exchange) -> Shown {
        let applies = |whose: &Exception| match whose {
            Exception::Untimed => !exchange.is_timed,
            Exception::WithUntimedResponses => !exchange.has_timed_responses,
            Exception::WithoutTradeTimes => !exchange.has_trade_times,
            Exception::Id(id) => *id == exchange.id,
        };
        self.except.iter().find(|(whose, _)| applies(whose)).map_or(self.shown, |(_, shown)| *shown)
    }
}

/// The demand about one market with a price that can't be used: from both transports, or from the stream alone.
macro_rules! bad_price {
    ($what:literal, $price:literal) => {
        bad_price!(concat!("set-field: one market with ", $what), $price, "", STALE)
    };
    ($what:literal, $price:literal, on the stream) => {
        bad_price!(
            concat!("set-field on the stream: one market with ", $what),
            $price,
            r#","on":"stream""#,
            LIVE_OR_POLLED
        )
    };
    ($name:expr, $price:literal, $on:literal, $shown:ident) => {
        Demand::new(
            $name,
            &[concat!(
                r#"{"fault":"set-field","field":"{price}","symbol":"{symbol}","payload":""#,
                $price,
                "\"",
                $on,
                "}"
            )],
            $shown,
        )
        .neighbour_stays_live()
    };
}

const DEMANDS: [Demand; 42] = [
    // A price that stands still looks the same on a dead stream if trades have no times; requests confirm it.
    Demand::new("mute: polled instead", &[r#"{"fault":"mute"}"#], POLLED)
        .except(&[(Exception::WithoutTradeTimes, LIVE_OR_POLLED)]),
    Demand::new(
        "ack-only: a new connection is acknowledged and never delivers",
        &[r#"{"fault":"ack-only"}"#, r#"{"fault":"rst"}"#],
        POLLED,
    )
    .except(&[(Exception::WithoutTradeTimes, LIVE_OR_POLLED)]),
    Demand::new(
        "drop-sym: one market drops out of the stream",
        &[r#"{"fault":"drop-sym","symbol":"{symbol}"}"#],
        LIVE_OR_POLLED,
    )
    .neighbour_stays_live(),
    Demand::new(
        "close: reconnected",
        &[r#"{"fault":"close","code":1001,"reason":"maintenance"}"#],
        LIVE,
    ),
    Demand::new("rst: reconnected", &[r#"{"fault":"rst"}"#], LIVE),
    Demand::new("eof: reconnected", &[r#"{"fault":"eof"}"#], LIVE),
    Demand::new(
        "status: REST is down, the stream goes on",
        &[r#"{"fault":"status","status":503,"body":"down"}"#],
        LIVE,
    )
    .neighbour_stays_live(),
    Demand::new(
        "status on both: the last good price stays, but is not live",
        &[
            r#"{"fault":"status","status":503,"body":"down"}"#,
            r#"{"fault":"status","status":503,"on":"stream"}"#,
            r#"{"fault":"rst"}"#,
        ],
        STALE,
    ),
    Demand::new(
        "stalls: neither an upgrade nor a body arrives",
        &[r#"{"fault":"stall-upgrade"}"#, r#"{"fault":"stall-body"}"#, r#"{"fault":"rst"}"#],
        STALE,
    ),
    Demand::new(
        "raw: half a message with an absurd price",
        &[r#"{"fault":"raw","payload":"{\"type\":\"ticker\",\"code\":\"{symbol}\",\"trade_price\":1e999,"}"#],
        LIVE,
    )
    .neighbour_stays_live(),
    Demand::new(
        "raw: a control character and a negative price in a text frame",
        &[
            r#"{"fault":"raw","payload":"{\"type\":\"ticker\",\"code\":\"\\u0000<script>\",\"trade_price\":-1}","text":true}"#,
        ],
        LIVE,
    )
    .neighbour_stays_live(),
    Demand::new(
        "raw: an error object of the exchange instead of tickers, and a mute stream",
        &[r#"{"fault":"raw","on":"rest","payload":"{error}","seconds":3600}"#, r#"{"fault":"mute"}"#],
        STALE,
    ),
    Demand::new(
        "status: an error of the exchange with its own status, and a mute stream",
        &[r#"{"fault":"status","status":{status},"body":"{error}"}"#, r#"{"fault":"mute"}"#],
        STALE,
    ),
    Demand::new(
        "raw: errors of the exchange on the stream, which goes on",
        &[r#"{"fault":"raw","payload":"{stream_error}","seconds":3600}"#],
        LIVE,
    )
    .neighbour_stays_live(),
    Demand::new(
        "maintenance: connections are closed, and everything is a page",
        &[
            r#"{"fault":"html","status":200}"#,
            r#"{"fault":"html","on":"stream","status":200}"#,
            r#"{"fault":"close","code":1012,"reason":"maintenance"}"#,
        ],
        STALE,
    ),
    Demand::new(
        "maintenance: announced on the stream, which goes on",
        &[r#"{"fault":"raw","payload":"{maintenance}","seconds":3600}"#],
        LIVE,
    )
    .neighbour_stays_live(),
    Demand::new("gzip-in-text: frames that are no text", &[r#"{"fault":"gzip-in-text"}"#], POLLED),
    Demand::new(
        "spike: a price that the exchange reports everywhere is shown",
        &[r#"{"fault":"spike","symbol":"{symbol}","factor":1.5}"#],
        Shown { last: Last::Reported, states: &["live"] },
    )
    .neighbour_stays_live(),
    Demand::new(
        "spike of the stream alone: a hundredth of the true price is never shown",
        &[r#"{"fault":"spike","symbol":"{symbol}","factor":0.01,"on":"stream"}"#],
        LIVE_OR_POLLED,
    )
    .neighbour_stays_live(),
    Demand::new(
        "null-field: a missing price is not a price of zero",
        &[r#"{"fault":"null-field","field":"{price}"}"#],
        STALE,
    ),
    Demand::new(
        "null-field: one market without a price",
        &[r#"{"fault":"null-field","field":"{price}","symbol":"{symbol}"}"#],
        STALE,
    )
    .neighbour_stays_live(),
    bad_price!("a negative price", "-1"),
    bad_price!("a negative price", "-1", on the stream),
    bad_price!("a price of zero", "0"),
    bad_price!("a price of zero", "0", on the stream),
    bad_price!("a boolean price", "true"),
    bad_price!("a boolean price", "true", on the stream),
    bad_price!("a price that is no number", "1e999", on the stream),
    bad_price!("a price of many digits", "1.00000000000000000000000000000000001"),
    Demand::new(
        "omit: one market is left out of responses and of the stream",
        &[r#"{"fault":"omit","symbol":"{symbol}"}"#, r#"{"fault":"drop-sym","symbol":"{symbol}"}"#],
        STALE,
    )
    .neighbour_stays_live(),
    Demand::new(
        "rows: responses are empty lists while the stream is mute",
        &[r#"{"fault":"rows","n":0}"#, r#"{"fault":"mute"}"#],
        STALE,
    ),
    Demand::new(
        "freeze-ts: the times of the stream stop advancing",
        &[r#"{"fault":"freeze-ts","on":"stream"}"#],
        LIVE_OR_POLLED,
    ),
    Demand::new("dup: a repeated message changes nothing", &[r#"{"fault":"dup"}"#], LIVE).neighbour_stays_live(),
    Demand::new(
        "swap: an older message does not overwrite a newer one",
        &[r#"{"fault":"swap"}"#],
        LIVE,
    )
    .neighbour_stays_live(),
    Demand::new(
        "replay: old trades sent again to a new connection change nothing",
        &[r#"{"fault":"replay","n":50}"#, r#"{"fault":"rst"}"#],
        LIVE,
    ),
    Demand::new(
        "gap: candles are missing, prices are not",
        &[r#"{"fault":"gap","ago":1600,"minutes":1500}"#],
        LIVE,
    )
    .neighbour_stays_live(),
    Demand::new("skew: a clock that is a second behind", &[r#"{"fault":"skew","ms":-1000}"#], LIVE).neighbour_stays_live(),
    Demand::new("unit: times in seconds are not current", &[r#"{"fault":"unit","unit":"s"}"#], STALE)
        .except(&[(Exception::Untimed, LIVE), (Exception::WithUntimedResponses, LIVE_OR_POLLED)]),
    Demand::new("unit: times in microseconds are not current", &[r#"{"fault":"unit","unit":"us"}"#], STALE)
        .except(&[(Exception::Untimed, LIVE), (Exception::WithUntimedResponses, LIVE_OR_POLLED)]),
    Demand::new(
        "halt: a suspended market is halted",
        &[r#"{"fault":"halt","symbol":"{symbol}"}"#],
        Shown { last: Last::Before, states: &["halted"] },
    )
    .except(&[
        // Only their lists report it, which are fetched every ten minutes; tickers repeat the last price.
        (Exception::Id("binance"), Shown { last: Last::Before, states: &["live", "halted"] }),
        (Exception::Id("kraken"), Shown { last: Last::Before, states: &["live", "halted"] }),
        // It is as if the market did not exist.
        (Exception::Id("bitfinex"), GONE),
    ])
    .neighbour_stays_live(),
    Demand::new(
        "delist: a delisted market is not live",
        &[r#"{"fault":"delist","symbol":"{symbol}"}"#],
        GONE,
    )
    .neighbour_stays_live(),
    Demand::new(
        "rename: another name is another market",
        &[r#"{"fault":"rename","symbol":"{symbol}","to":"{other}"}"#],
        GONE,
    )
    .neighbour_stays_live(),
];

/// One of the exchanges, and the prices of its markets in a run.
#[derive(Clone)]
struct Exchange {
    id: &'static str,
    affected: String,
    neighbour: String,
    before: Decimal,
    during: Decimal,
    after: Decimal,
    neighbour_price: Decimal,
    /// See [`sisepan::venue::Profile::minutes_kept`].
    minutes_kept: Option<i64>,
    /// Whether its responses to requests for tickers have times.
    has_timed_responses: bool,
    /// Whether its stream has times.
    is_timed: bool,
    has_trade_times: bool,
    /// How much later than a response its stream may report a price.
    lag: Duration,
    /// See [`joined::rest_error`].
    error: (u16, String),
    /// Its reply to a frame that is no message, if it sends one.
    stream_error: Option<String>,
}

impl Exchange {
    fn all() -> Vec<Self> {
        let simulation = Simulation::new(1, Clock::system().now());
        venue::ALL.iter().map(|venue| Self::new(*venue, &simulation)).collect()
    }

    fn new(venue: &dyn Venue, simulation: &Simulation) -> Self {
        let id = venue.profile().id.as_str();
        let quote = venues::find(id).unwrap_or_else(|| panic!("{id} has no fake")).listing().quote;
        let [affected, neighbour] = ["BTC", "ETH"].map(|base| format!("{base}-{quote}"));
        let price = |market: &str, percent: i64| {
            let last = simulation.market(id, market).unwrap().trade_log.last().unwrap().price;
            Decimal::from(last / 100_000_000 * percent / 100)
        };
        let market: Market = affected.parse().unwrap();
        let view = FaultView::new(simulation);
        let mut joined = Joined::open(venue, std::slice::from_ref(&market), &view);
        let records = joined.poll(&view);
        let ticker = records.iter().find_map(|record| record.ticker.as_ref().ok()).unwrap();
        let query = RestQuery::Tickers(std::slice::from_ref(&market));
        let body = venues::rest(id, &view, &venue.request(&query).unwrap().path).body;
        let response = venue.response(&query, std::str::from_utf8(&body).unwrap());
        let Ok(Response::Tickers(responses)) = response else { panic!("{id}: {response:?}") };
        Self {
            id,
            before: price(&affected, 105),
            during: price(&affected, 112),
            after: price(&affected, 108),
            neighbour_price: price(&neighbour, 103),
            has_trade_times: venue.profile().has_trade_times,
            minutes_kept: venue.profile().minutes_kept,
            lag: venue.profile().lag,
            has_timed_responses: responses[0].ticker.as_ref().unwrap().venue_time().is_some(),
            is_timed: ticker.traded_at.or(ticker.sent_at).is_some(),
            error: joined::rest_error(venue, &view),
            stream_error: joined.error(&view),
            affected,
            neighbour,
        }
    }

    fn price(&self, last: Last) -> Decimal {
        match last {
            Last::Before => self.before,
            Last::During => self.during,
            Last::Reported => self.during * Decimal::new(15, 1),
        }
    }

    /// Returns the exchange's symbol of the neighbour.
    fn neighbour_symbol(&self) -> String {
        venue::find(self.id).unwrap().symbol(&self.neighbour.parse().unwrap())
    }

    /// Returns the faults of a demand at this exchange; `None` if it lacks what one of them needs.
    fn faults(&self, demand: &Demand) -> Option<Vec<String>> {
        let symbol = |market: &str| venue::find(self.id).unwrap().symbol(&market.parse().unwrap());
        let payloads = venues::find(self.id).unwrap().payloads();
        let (prices, times) = (payloads.price_members.join(","), payloads.time_members.join(","));
        let values = [
            ("{symbol}", Some(symbol(&self.affected))),
            ("{other}", Some(symbol(&self.affected.replace("BTC", "XBTC")))),
            ("{price}", Some(prices)),
            ("{time}", Some(times).filter(|times| !times.is_empty())),
            ("{status}", Some(self.error.0.to_string())),
            ("{error}", Some(self.error.1.clone())),
            ("{stream_error}", self.stream_error.clone()),
            ("{maintenance}", payloads.maintenance.map(str::to_owned)),
        ];
        let fault = |template: &&str| {
            values.iter().filter(|(name, _)| template.contains(name)).try_fold(
                (*template).to_owned(),
                |fault, value| {
                    let quoted = json!(value.1.as_ref()?).to_string();
                    Some(fault.replace(value.0, &quoted[1..quoted.len() - 1]))
                },
            )
        };
        demand.faults.iter().map(fault).collect()
    }

    /// Injects a fault at this exchange.
    fn inject(&self, fake: &Fake, fault: &str) {
        let mut fault: Value = serde_json::from_str(fault).unwrap();
        fault["venue"] = json!(self.id);
        fake.inject_fault(&fault.to_string()).unwrap();
    }
}

/// Returns the ids of the exchanges that a demand affects in one of its two runs: half of them, and in the other run
/// the other half, without those that lack what its faults need.
fn affected(exchanges: &[Exchange], demand: &Demand, half: usize) -> Vec<&'static str> {
    let exchanges = exchanges.iter().skip(half).step_by(2);
    exchanges.filter(|exchange| exchange.faults(demand).is_some()).map(|exchange| exchange.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn fc_16_one_bad_price_of_a_stream_is_never_live() {
    const SPIKE: &str = r#"{"fault":"spike","symbol":"{symbol}","factor":0.01,"on":"stream","seconds":5}"#;
    let demands = const {
        &[
            Demand::new(
                "spike of the stream for five seconds: a hundredth of the true price is never shown",
                &[SPIKE],
                LIVE,
            )
            .neighbour_stays_live(),
            Demand::new(
                "spike of the stream for five seconds without times: a hundredth of the true price is never shown",
                &[SPIKE, r#"{"fault":"null-field","field":"{time}","symbol":"{symbol}","on":"stream","seconds":5}"#],
                LIVE,
            )
            .neighbour_stays_live(),
        ]
    };
    check_all(demands.iter()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn under_every_fault_nothing_wrong_is_live_and_everything_recovers() {
    let wanted = std::env::var("CONTRACT").ok();
    let is_wanted = |demand: &Demand| wanted.as_ref().is_none_or(|text| demand.name.contains(text.as_str()));
    let demands: Vec<_> = DEMANDS.iter().filter(|demand| is_wanted(demand)).collect();
    assert!(!demands.is_empty(), "no demand has {wanted:?} in its name");
    check_all(demands.into_iter()).await;
}

/// Checks each demand twice, with other exchanges affected; those that are not affected must not notice.
async fn check_all(demands: impl Iterator<Item = &'static Demand>) {
    let exchanges = Exchange::all();
    let mut cases = Vec::new();
    for demand in demands {
        let halves = [0, 1].map(|half| affected(&exchanges, demand, half));
        let cases_before = cases.len();
        cases.extend(halves.into_iter().filter(|affected| !affected.is_empty()).map(|affected| (demand, affected)));
        assert!(cases.len() > cases_before, "{} affects no exchange", demand.name);
    }
    let runs = futures_util::stream::iter(cases)
        .map(|(demand, affected)| tokio::spawn(run(demand, exchanges.clone(), affected)))
        .buffer_unordered(CONCURRENT_RUNS);
    let failed: Vec<String> =
        runs.filter_map(|done| async { done.err().map(|error| error.to_string()) }).collect().await;
    assert!(failed.is_empty(), "{failed:#?}");
}

fn config(fake: &Fake, exchanges: &[Exchange], is_affected: impl Fn(&Exchange) -> bool) -> Config {
    let mut config = Config { data: None, boards: Vec::new(), ..Config::default() };
    for exchange in exchanges {
        // Only affected exchanges have short limits: the others must be live at every check, even on a busy machine.
        let affected = is_affected(exchange);
        let own = VenueConfig {
            rest: Some(fake.rest_url(exchange.id)),
            stream: Some(fake.stream_url(exchange.id)),
            stale_after: Some(if affected { STALE_AFTER } else { 5 * STALE_AFTER }),
            silence_max: Some(if affected {
                Duration::from_secs(2) + 2 * exchange.lag
            } else {
                Duration::from_secs(15)
            }),
            confirm_after: Some(Duration::from_secs(1)),
            ..VenueConfig::default()
        };
        config.venues.insert(venue::find(exchange.id).unwrap().profile().id, own);
        config.boards.push(Board {
            id: exchange.id.to_owned(),
            titles: std::array::from_fn(|_| exchange.id.to_owned()),
            markets: [&exchange.affected, &exchange.neighbour].map(|market| market.parse().unwrap()).into(),
            source: SourceId::new([exchange.id]),
            basis: Basis::default(),
        });
    }
    config
}

#[expect(clippy::disallowed_methods, reason = "how long a real program takes is measured by a real clock")]
fn now() -> Instant {
    Instant::now()
}

type PriceOf = fn(&Exchange) -> Decimal;

/// The true price, and until when the price before it may still be shown as live.
struct Truth {
    price: PriceOf,
    before: Option<(PriceOf, Instant)>,
}

/// One demand on some of the exchanges.
struct Run {
    demand: &'static Demand,
    affected: Vec<Exchange>,
    others: Vec<Exchange>,
    fake: Fake,
    service: Service,
    truth: Truth,
    has_fault: bool,
    /// When the fault ended.
    ended: Option<Instant>,
}

impl Run {
    fn set_truth(&mut self, price: PriceOf) {
        self.truth = Truth { price, before: Some((self.truth.price, now() + STALE_AFTER + SLACK)) };
    }

    /// Trades the markets at their prices, so that each keeps trading.
    fn trade(&self) {
        let all = self.affected.iter().map(|exchange| (exchange, (self.truth.price)(exchange)));
        for (exchange, price) in all.chain(self.others.iter().map(|exchange| (exchange, exchange.before))) {
            // A market that is halted, delisted or renamed has no trades.
            let _ = self.fake.set_price(exchange.id, &exchange.affected, price, true);
            let _ = self.fake.set_price(exchange.id, &exchange.neighbour, exchange.neighbour_price, true);
        }
    }

    async fn rows(&self, exchange: &Exchange) -> [Value; 2] {
        let snapshot = self.service.get(&format!("/api/v1/snapshot?board={}", exchange.id)).await;
        snapshot["rows"].as_array().unwrap().clone().try_into().unwrap()
    }

    /// Checks every row once; returns those of the affected exchanges.
    async fn check(&self) -> Vec<[Value; 2]> {
        let name = self.demand.name;
        for exchange in &self.others {
            for (row, price) in self.rows(exchange).await.iter().zip([exchange.before, exchange.neighbour_price]) {
                assert!(
                    row["state"] == "live" && last(row) == Some(price),
                    "{name}: {} is affected: {row}",
                    exchange.id
                );
            }
        }
        let mut found = Vec::new();
        for exchange in &self.affected {
            let [affected, neighbour] = self.rows(exchange).await;
            let (id, price) = (exchange.id, (self.truth.price)(exchange));
            let shown = self.demand.shown(exchange).last;
            let before = self.truth.before.filter(|(_, until)| now() < *until).map(|(price, _)| price(exchange));
            let is_reported = shown == Last::Reported && (self.has_fault || before == Some(exchange.during));
            let reported = is_reported.then(|| exchange.price(shown));
            // What the exchange itself still reports of a market that does not trade.
            let is_ending = self.ended.is_some_and(|ended| ended.elapsed() < STALE_AFTER + SLACK);
            let halted = ((self.has_fault || is_ending) && shown == Last::Before).then_some(exchange.before);
            let right = [Some(price), before, reported];
            if affected["state"] == "live" {
                assert!(affected["last"].is_string(), "{name}: {id} is live without a price: {affected}");
                let is_right =
                    right.contains(&last(&affected)) || self.may_stay_live(exchange) && last(&affected) == halted;
                assert!(is_right, "{name}: {id} is live and wrong, true is {price}: {affected}");
            }
            let is_right = last(&neighbour) == Some(exchange.neighbour_price);
            assert!(neighbour["state"] != "live" || is_right, "{name}: {id}: {neighbour}");
            let stays = !(self.has_fault && self.demand.neighbour_stays_live) || neighbour["state"] == "live";
            assert!(stays, "{name}: the neighbour at {id} is affected: {neighbour}");
            found.push([affected, neighbour]);
        }
        found
    }

    fn may_stay_live(&self, exchange: &Exchange) -> bool {
        self.demand.shown(exchange).states.contains(&"live")
    }

    async fn until(&self, what: &str, is: impl Fn(&Exchange, &[Value; 2]) -> bool) {
        let start = now();
        loop {
            self.trade();
            let rows = self.check().await;
            let missing = self.affected.iter().zip(&rows).find(|(exchange, rows)| !is(exchange, rows));
            let Some((exchange, rows)) = missing else { return };
            assert!(start.elapsed() < DEADLINE, "{}: {} is not {what}: {rows:?}", self.demand.name, exchange.id);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Checks that no exchange has refused a request because of a limit.
fn assert_no_refusals(fake: &Fake, what: &str) {
    let refused: Vec<_> = fake.log().into_iter().filter(|entry| entry.kind == "refused").collect();
    assert!(refused.is_empty(), "{what}: a limit was exceeded: {refused:?}");
}

fn last(row: &Value) -> Option<Decimal> {
    row["last"].as_str().map(|price| price.parse().unwrap())
}

fn is_live_at([affected, neighbour]: &[Value; 2], price: Decimal) -> bool {
    affected["state"] == "live" && last(affected) == Some(price) && neighbour["state"] == "live"
}

async fn run(demand: &'static Demand, exchanges: Vec<Exchange>, affected: Vec<&'static str>) {
    let fake = fake_exchanges::start(Options::default()).await.unwrap();
    for exchange in &exchanges {
        fake.set_price(exchange.id, &exchange.affected, exchange.before, true).unwrap();
        fake.set_price(exchange.id, &exchange.neighbour, exchange.neighbour_price, true).unwrap();
    }
    let service = Service::start(config(&fake, &exchanges, |exchange| affected.contains(&exchange.id))).await;
    let (affected, others): (Vec<_>, Vec<_>) =
        exchanges.into_iter().partition(|exchange| affected.contains(&exchange.id));
    let mut run = Run {
        demand,
        affected,
        others,
        fake,
        service,
        truth: Truth { price: |exchange| exchange.before, before: None },
        has_fault: false,
        ended: None,
    };
    let start = now();
    for exchange in &run.others {
        while !is_live_at(&run.rows(exchange).await, exchange.before) {
            assert!(start.elapsed() < DEADLINE, "{} does not become live", exchange.id);
            tokio::time::sleep(POLL_INTERVAL).await;
            run.trade();
        }
    }
    run.until("live before", |exchange, rows| is_live_at(rows, exchange.before)).await;

    for exchange in &run.affected {
        exchange.faults(demand).unwrap().iter().for_each(|fault| exchange.inject(&run.fake, fault));
    }
    run.has_fault = true;
    run.set_truth(|exchange| exchange.during);
    let is_shown = |exchange: &Exchange, [affected, _]: &[Value; 2]| {
        let shown = demand.shown(exchange);
        last(affected) == Some(exchange.price(shown.last))
            && shown.states.iter().any(|state| affected["state"] == *state)
    };
    run.until("in the expected state under the fault", is_shown).await;
    // The expected state must outlast every time limit.
    let start = now();
    run.until("steady", |_, _| start.elapsed() > STALE_AFTER + SLACK).await;
    run.until("in the expected state for good", is_shown).await;

    run.fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    (run.has_fault, run.ended) = (false, Some(now()));
    run.set_truth(|exchange| exchange.after);
    run.until("recovered by itself", |exchange, rows| is_live_at(rows, exchange.after)).await;
    for exchange in &run.affected {
        let start = now();
        let health = loop {
            let health = run.service.venue(exchange.id).await;
            if health["state"] == "up" {
                break health;
            }
            assert!(start.elapsed() < DEADLINE, "{}: {}: {health}", demand.name, exchange.id);
            tokio::time::sleep(POLL_INTERVAL).await;
        };
        let skew = health["clock_skew_ms"].as_i64().unwrap();
        assert!(skew.abs() < 1500, "{}: the clock of {} must be unchanged: {health}", demand.name, exchange.id);
    }
    assert_no_refusals(&run.fake, demand.name);
    run.service.stop().await;
    run.fake.shutdown().await;
}

/// A service that reads all exchanges of a fake, with a market on each board that does not exist.
async fn start_undisturbed(fake: &Fake, exchanges: &[Exchange]) -> Service {
    let mut config = config(fake, exchanges, |_| false);
    for board in &mut config.boards {
        let quote = board.markets[0].quote().to_owned();
        let unknown = Market::new("NOPE", &quote).unwrap();
        board.markets = board.markets.iter().cloned().chain([unknown]).collect();
    }
    Service::start(config).await
}

/// Waits until `check` succeeds for every exchange; its error says what is missing.
async fn until_all(exchanges: &[Exchange], check: impl AsyncFn(&Exchange) -> Result<(), String>) {
    let start = now();
    for exchange in exchanges {
        while let Err(wrong) = check(exchange).await {
            assert!(start.elapsed() < 2 * DEADLINE, "{}: {wrong}", exchange.id);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Compares the minutes of the last 24 hours with the truth. Those from before the oldest candle that the exchange kept
/// at the start may be unknown.
async fn check_day(
    service: &Service,
    fake: &Fake,
    exchange: &Exchange,
    market: &str,
    started: jiff::Timestamp,
) -> Result<(), String> {
    let day = service.get(&format!("/api/v1/history/{market}?board={}", exchange.id)).await;
    let truth = fake.truth(exchange.id, market).unwrap().minutes;
    let closes = day["close"].as_array().ok_or_else(|| day.to_string())?;
    let start: jiff::Timestamp = day["start"].as_str().unwrap().parse().unwrap();
    if closes.len() < 1_440 {
        return Err(format!("{market} has {} minutes", closes.len()));
    }
    for (minute, close) in closes.iter().enumerate() {
        let at = start + jiff::SignedDuration::from_mins(i64::try_from(minute).unwrap());
        // A few of the oldest candles are not requested, since they may be gone when the request arrives.
        let is_kept = |kept| at >= started - jiff::SignedDuration::from_mins(kept - 5);
        if close.is_null() && !exchange.minutes_kept.is_none_or(is_kept) {
            continue;
        }
        let close: Decimal = close.as_str().ok_or_else(|| format!("{market} has a gap at {at}"))?.parse().unwrap();
        let Some((_, right)) = truth.iter().find(|(start, _)| *start == at) else { continue };
        assert_eq!(close, *right, "{} {market} at {at}", exchange.id);
    }
    Ok(())
}

/// Checks that the base of a row is the price before its time; that of the exchange itself may be of a minute earlier
/// or later.
fn check_base(fake: &Fake, exchange: &Exchange, row: &Value) {
    let (market, change) = (row["market"].as_str().unwrap(), &row["change"]);
    let base_at: jiff::Timestamp = change["base_at"].as_str().unwrap().parse().unwrap();
    let margin = jiff::SignedDuration::from_secs(if change["base_source"] == "venue" { 61 } else { 0 });
    let (mut at, mut right) = (base_at + margin, Vec::new());
    while let Some((traded_at, price)) = fake.trade_before(exchange.id, market, at) {
        right.push(price);
        at = traded_at;
        if traded_at < base_at - margin {
            break;
        }
    }
    let base: Decimal = change["base_price"].as_str().unwrap().parse().unwrap();
    assert!(right.contains(&base), "{}: {row}: {right:?}", exchange.id);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn every_exchange_has_the_true_prices_of_a_day_and_nothing_of_a_market_that_it_does_not_list() {
    let fake = fake_exchanges::start(Options::default()).await.unwrap();
    let exchanges = Exchange::all();
    let started = Clock::system().now();
    let service = start_undisturbed(&fake, &exchanges).await;
    until_all(&exchanges, async |exchange| {
        for market in [&exchange.affected, &exchange.neighbour] {
            check_day(&service, &fake, exchange, market, started).await?;
        }
        // Without candles of a whole day, the base is that of the exchange.
        let base_source = if exchange.minutes_kept.is_some() { "venue" } else { "window" };
        let snapshot = service.get(&format!("/api/v1/snapshot?board={}", exchange.id)).await;
        for row in &snapshot["rows"].as_array().unwrap()[..2] {
            if row["state"] != "live" || row["change"]["base_source"] != base_source {
                return Err(format!("no change yet: {row}"));
            }
            check_base(&fake, exchange, row);
        }
        let unknown = &snapshot["rows"][2];
        assert!(unknown["last"].is_null() && unknown["state"] == "unknown", "{unknown}");
        let health = service.venue(exchange.id).await;
        let missing = health["missing"].as_array().into_iter().flatten();
        let is_reported =
            missing.clone().any(|missing| missing["market"] == unknown["market"] && missing["code"] == "unlisted");
        if is_reported && health["state"] == "up" { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
    // A trade reaches the board by the stream.
    for exchange in &exchanges {
        fake.set_price(exchange.id, &exchange.affected, exchange.during, true).unwrap();
    }
    until_all(&exchanges, async |exchange| {
        let snapshot = service.get(&format!("/api/v1/snapshot?board={}", exchange.id)).await;
        let row = &snapshot["rows"][0];
        let is_shown = row["state"] == "live" && last(row) == Some(exchange.during);
        if is_shown { Ok(()) } else { Err(row.to_string()) }
    })
    .await;
    assert_no_refusals(&fake, "a day");
    service.stop().await;
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_quiet_connection_is_kept_open_beyond_the_time_after_which_the_exchange_closes_an_idle_one() {
    let fake = fake_exchanges::start(Options::default()).await.unwrap();
    let exchanges = Exchange::all();
    for exchange in &exchanges {
        for market in [&exchange.affected, &exchange.neighbour] {
            fake.set_price(exchange.id, market, fake.truth(exchange.id, market).unwrap().last, true).unwrap();
        }
    }
    let service = start_undisturbed(&fake, &exchanges).await;
    until_all(&exchanges, async |exchange| {
        let health = service.venue(exchange.id).await;
        if health["state"] == "up" { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
    let opened = |id: &str| fake.log().iter().filter(|entry| entry.venue == id && entry.kind == "upgrade").count();
    let before: Vec<usize> = exchanges.iter().map(|exchange| opened(exchange.id)).collect();
    let idle = exchanges.iter().map(|exchange| {
        let policy = venues::find(exchange.id).unwrap().connection_policy(Duration::from_secs(86_400));
        policy.idle_timeout
    });
    // An exchange that closes only after an hour is not tested.
    let longest = idle.filter(|timeout| *timeout <= Duration::from_secs(120)).max().unwrap();
    let start = now();
    while start.elapsed() < longest + Duration::from_secs(15) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for (exchange, before) in exchanges.iter().zip(before) {
        assert_eq!(opened(exchange.id), before, "{} was connected to again: {:?}", exchange.id, fake.log());
    }
    service.stop().await;
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn while_an_exchange_refuses_requests_none_is_sent_and_the_stream_goes_on() {
    check_refusals(|_| 429).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn during_a_ban_no_request_is_sent_and_the_stream_goes_on() {
    check_refusals(|exchange| {
        let neighbour = exchange.neighbour.parse().unwrap();
        let query = RestQuery::Tickers(std::slice::from_ref(&neighbour));
        let target = RequestTarget::parse(&venue::find(exchange.id).unwrap().request(&query).unwrap().path);
        let request = CountedRequest { target: Some(&target), has_origin: false };
        venues::find(exchange.id).unwrap().charges(&request)[0].limit.ban_status
    })
    .await;
}

/// Makes exchanges refuse all requests; their neighbours drop out of the stream, so that they must be requested.
fn refuse_requests(fake: &Fake, exchanges: &[Exchange], refusal: impl Fn(&Exchange) -> FakeResponse) {
    for exchange in exchanges {
        let refusal = refusal(exchange);
        let body = String::from_utf8(refusal.body).unwrap();
        let mut fault = json!({"venue":exchange.id,"fault":"status","status":refusal.status,"body":body});
        // Without a stated time we wait 60 s after a 429, which may end during this test, and 300 s after a 418.
        let stated = refusal.headers.iter().find(|(name, _)| name == "retry-after");
        let stated = stated.map(|(_, seconds)| seconds.clone()).or((refusal.status == 429).then(|| "600".to_owned()));
        fault["retry_after"] = json!(stated);
        fake.inject_fault(&fault.to_string()).unwrap();
        let quiet = json!({"venue":exchange.id,"fault":"drop-sym","symbol":exchange.neighbour_symbol()});
        fake.inject_fault(&quiet.to_string()).unwrap();
    }
}

/// Makes every exchange refuse all requests with this status and its own error body: none may follow, and the stream
/// goes on.
async fn check_refusals(status: impl Fn(&Exchange) -> u16) {
    let fake = fake_exchanges::start(Options::default()).await.unwrap();
    let exchanges = Exchange::all();
    let service = start_undisturbed(&fake, &exchanges).await;
    let rows = async |exchange: &Exchange| {
        let snapshot = service.get(&format!("/api/v1/snapshot?board={}", exchange.id)).await;
        snapshot["rows"].as_array().unwrap().clone()
    };
    until_all(&exchanges, async |exchange| {
        let rows = rows(exchange).await;
        let is_live = rows[..2].iter().all(|row| row["state"] == "live");
        if is_live { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await;
    let refusal = |exchange: &Exchange| {
        let fake_venue = venues::find(exchange.id).unwrap();
        fake_venue.refuse(&Refusal { status: status(exchange), wait: Duration::from_secs(600) })
    };
    // A refusal with 200 states no time, and we wait 60 s after it: such exchanges come last, so that this does not end
    // during the test.
    let (short, stated): (Vec<_>, Vec<_>) =
        exchanges.iter().cloned().partition(|exchange| refusal(exchange).status == 200);
    for exchanges in [stated, short] {
        refuse_requests(&fake, &exchanges, refusal);
        until_all(&exchanges, async |exchange| {
            let health = service.venue(exchange.id).await;
            if health["not_before"].is_string() { Ok(()) } else { Err(health.to_string()) }
        })
        .await;
    }
    let requests = |id: &str| {
        let log = fake.log();
        log.iter().filter(|entry| entry.venue == id && entry.kind == "request").count()
    };
    // Requests that were under way have arrived by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before: Vec<usize> = exchanges.iter().map(|exchange| requests(exchange.id)).collect();
    let start = now();
    while start.elapsed() < Duration::from_secs(5) {
        for exchange in &exchanges {
            fake.set_price(exchange.id, &exchange.affected, exchange.during, true).unwrap();
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    until_all(&exchanges, async |exchange| {
        let rows = rows(exchange).await;
        let is_streamed = rows[0]["state"] == "live" && last(&rows[0]) == Some(exchange.during);
        if is_streamed { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await;
    for (exchange, before) in exchanges.iter().zip(before) {
        assert_eq!(requests(exchange.id), before, "{} was sent requests during its refusal", exchange.id);
    }
    service.stop().await;
    fake.shutdown().await;
}
