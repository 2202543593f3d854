//! Isolation of markets: a defect in a response about one market affects that market alone.
//!
//! Runs every defect on every channel of every exchange, over real sockets against the fake exchanges.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use fake_exchanges::{self as fake, Fake};
use futures_util::{FutureExt, StreamExt};
use jiff::SignedDuration;
use sisepan::clock::Clock;
use sisepan::feed::{Event, Gap, MissingPart, Urgency, VenueHealth, Via};
use sisepan::ingest::{BoardRequests, Settings, Tls, run};
use sisepan::market::{Market, Minute};
use sisepan::venue::{self, Venue};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::toy::WAIT_MAX;

const VICTIM: &str = "XRP";
const OTHERS: [&str; 3] = ["BTC", "ETH", "SOL"];

/// Interval between the trades of each market.
const TRADE_EVERY: Duration = Duration::from_millis(200);

/// Cells (exchange × channel × defect) that run at the same time.
const AT_ONCE: usize = 4;

/// How data about a market arrives: in the response to a REST query, or in a frame of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Tickers,
    Candles,
    List,
    Frame,
}

use Channel::{Candles, Frame, List, Tickers};

/// The symbols, paths and JSON members of one exchange that the faults need.
struct Exchange {
    id: &'static str,
    quote: &'static str,
    victim: &'static str,
    ticker_path: &'static str,
    candle_path: &'static str,
    list_path: &'static str,
    /// Members with the last price: in REST responses, and in frames.
    price: [&'static str; 2],
    /// Member with the trade time, in frames.
    time: &'static str,
    /// Member of the market list with the market's name.
    name: &'static str,
    /// Optional member of the market list.
    optional: &'static str,
    /// Error object of this exchange, escaped for the fault's JSON.
    error: &'static str,
    /// Candle response whose close is null, escaped likewise.
    null_candle: &'static str,
}

const UPBIT_FAMILY_CANDLE: &str = r#"[{\"market\":\"KRW-XRP\",\"candle_date_time_utc\":\"2026-01-01T00:00:00\",\"opening_price\":1,\"high_price\":1,\"low_price\":1,\"trade_price\":null,\"unit\":1}]"#;

const EXCHANGES: [Exchange; 3] = [
    Exchange {
        id: "upbit",
        quote: "KRW",
        victim: "KRW-XRP",
        ticker_path: "/v1/ticker",
        candle_path: "/v1/candles",
        list_path: "/v1/market/all",
        price: ["trade_price", "trade_price"],
        time: "trade_timestamp",
        name: "market",
        optional: "market_event",
        error: r#"{\"error\":{\"name\":\"busy\",\"message\":\"later\"}}"#,
        null_candle: UPBIT_FAMILY_CANDLE,
    },
    Exchange {
        id: "bithumb",
        quote: "KRW",
        victim: "KRW-XRP",
        ticker_path: "/v1/ticker",
        candle_path: "/v1/candles",
        list_path: "/v1/market/all",
        price: ["trade_price", "trade_price"],
        time: "trade_timestamp",
        name: "market",
        optional: "market_warning",
        error: r#"{\"error\":{\"name\":\"busy\",\"message\":\"later\"}}"#,
        null_candle: UPBIT_FAMILY_CANDLE,
    },
    Exchange {
        id: "binance",
        quote: "USDT",
        victim: "XRPUSDT",
        ticker_path: "/api/v3/ticker",
        candle_path: "/api/v3/klines",
        list_path: "/api/v3/exchangeInfo",
        price: ["lastPrice", "c"],
        time: "E",
        name: "baseAsset",
        optional: "filters",
        error: r#"{\"code\":-1121,\"msg\":\"Invalid symbol.\"}"#,
        null_candle: r#"[[1767225600000,\"1\",\"1\",\"1\",null,\"1\",1767225659999,\"1\",1,\"1\",\"1\",\"0\"]]"#,
    },
];

/// A defect of a response or frame about the victim: its name, and the fault in the JSON of the control server.
type Defect = (&'static str, String);

impl Exchange {
    fn defects(&self, channel: Channel) -> Vec<Defect> {
        let Self { victim, error, .. } = self;
        let path = match channel {
            Tickers => self.ticker_path,
            Candles => self.candle_path,
            List => self.list_path,
            Frame => "",
        };
        let rest =
            |what: &str| format!(r#"{{"venue":"{}","on":"rest","path":"{path}","symbol":"{victim}",{what}}}"#, self.id);
        let stream = |what: &str| format!(r#"{{"venue":"{}","on":"stream",{what}}}"#, self.id);
        // The faults raw, rst and eof last five seconds by default.
        let lasting = |what: &str| rest(&format!(r#"{what},"seconds":3600"#));
        let raw = |payload: &str| lasting(&format!(r#""fault":"raw","payload":"{payload}""#));
        let status = |status: u16, body: &str| rest(&format!(r#""fault":"status","status":{status},"body":"{body}""#));
        let set = |field: &str, value: &str| format!(r#""fault":"set-field","field":"{field}","payload":"{value}""#);
        let [in_rest, in_frame] = self.price;
        let of_victim = |what: &str| format!(r#""symbol":"{victim}",{what}"#);
        // Defects of the whole response to a request that names the victim, alone or among others.
        let whole = vec![
            ("an error response with 404", status(404, error)),
            ("an error response with 400", status(400, error)),
            ("not found", status(404, "")),
            ("an internal server error", status(500, "")),
            ("a maintenance page", rest(r#""fault":"html""#)),
            ("broken JSON", raw("[{")),
            ("an error object with 200", raw(error)),
            ("empty", raw("")),
            ("a number", raw("7")),
            ("late", rest(r#""fault":"stall-body""#)),
            ("reset", lasting(r#""fault":"rst""#)),
            ("cut", lasting(r#""fault":"eof""#)),
        ];
        match channel {
            Candles => {
                let own = [
                    ("missing", raw("[]")),
                    ("a price of null", raw(self.null_candle)),
                    ("a price of zero", raw(&self.null_candle.replace("null", "0"))),
                    ("rows of another shape", raw("[[],{},null]")),
                ];
                whole.into_iter().chain(own).collect()
            }
            Tickers => {
                let own = [
                    ("missing", rest(r#""fault":"omit""#)),
                    ("a price of null", rest(&set(in_rest, "null"))),
                    ("a price of zero", rest(&set(in_rest, "0"))),
                    ("a negative price", rest(&set(in_rest, "-5"))),
                    ("an absurd price", rest(&set(in_rest, "1e400"))),
                    ("a boolean price", rest(&set(in_rest, "true"))),
                ];
                whole.into_iter().chain(own).collect()
            }
            List => vec![
                ("missing", rest(r#""fault":"omit""#)),
                ("a malformed optional member", rest(&set(self.optional, "[null]"))),
                ("an optional member of another type", rest(&set(self.optional, "7"))),
                // Only the first row is left.
                ("cut", format!(r#"{{"venue":"{}","on":"rest","path":"{path}","fault":"rows","n":1}}"#, self.id)),
                ("no name", rest(&set(self.name, "null"))),
                ("an empty name", rest(&set(self.name, r#"\"\""#))),
                ("a number for a name", rest(&set(self.name, "7"))),
            ],
            Frame => vec![
                ("missing", stream(&of_victim(r#""fault":"drop-sym""#))),
                ("a price of null", stream(&of_victim(&set(in_frame, "null")))),
                ("a price of zero", stream(&of_victim(&set(in_frame, "0")))),
                ("a negative price", stream(&of_victim(&set(in_frame, "-5")))),
                ("an absurd price", stream(&of_victim(&set(in_frame, "1e400")))),
                ("a boolean price", stream(&of_victim(&set(in_frame, "true")))),
                ("an absurd time", stream(&of_victim(&set(self.time, "1e30")))),
                ("broken JSON", stream(r#""fault":"raw","payload":"{","seconds":3600"#)),
                ("no JSON", stream(r#""fault":"raw","payload":"upbit","seconds":3600"#)),
                ("an error", stream(&format!(r#""fault":"raw","payload":"{error}","seconds":3600"#))),
                (
                    "an unknown message type",
                    stream(r#""fault":"raw","payload":"{\"type\":\"news\",\"e\":\"news\"}","seconds":3600"#),
                ),
            ],
        }
    }

    fn market(&self, base: &str) -> Market {
        Market::new(base, self.quote).unwrap()
    }

    fn translator(&self) -> &'static dyn Venue {
        venue::find(self.id).unwrap()
    }
}

/// A running ingest of one exchange against its own fake.
struct Bench<'a> {
    exchange: &'a Exchange,
    fake: Fake,
    events: mpsc::Receiver<Event>,
    gaps: mpsc::Sender<Gap>,
    stop: CancellationToken,
    health: Option<VenueHealth>,
    channel: Channel,
    cell: String,
}

impl<'a> Bench<'a> {
    async fn start(exchange: &'a Exchange, channel: Channel, defect: &Defect) -> Self {
        let fake = fake::start(fake::Options { enforces_limits: false, ..fake::Options::default() }).await.unwrap();
        fake.inject_fault(&defect.1).unwrap_or_else(|error| panic!("{error}: {}", defect.1));
        let translator = exchange.translator();
        let ms = Duration::from_millis;
        let settings = Settings {
            rest: fake.rest_url(exchange.id),
            stream: fake.stream_url(exchange.id),
            stream_enabled: channel == Frame,
            poll_every: ms(300),
            request: ms(4000),
            backoff_min: ms(50),
            backoff_max: ms(1000),
            empty_retry_max: ms(1000),
            connect_every: ms(10),
            list_every: ms(500),
            ..Settings::defaults(translator.profile())
        };
        let (sender, events) = mpsc::channel(4096);
        let (gaps, wanted_gaps) = mpsc::channel(64);
        let requests = BoardRequests { gaps: wanted_gaps, checks: mpsc::channel(1).1 };
        let stop = CancellationToken::new();
        let wanted = OTHERS.iter().chain([&VICTIM]).map(|base| exchange.market(base)).collect();
        let wanted = watch::channel(Arc::new(wanted)).1;
        let tls = Tls::new(None).unwrap();
        tokio::spawn(run(translator, settings, wanted, tls, Clock::system(), sender, requests, stop.clone()));
        let cell = name(exchange, channel, defect);
        Self { exchange, fake, events, gaps, stop, health: None, channel, cell }
    }

    async fn wait<T>(&mut self, what: &str, mut fits: impl FnMut(&Event) -> Option<T>) -> T {
        let found = tokio::time::timeout(WAIT_MAX, async {
            let mut timer = tokio::time::interval(TRADE_EVERY);
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                let event = tokio::select! {
                    event = self.events.recv() => event.expect("ingest has ended"),
                    _ = timer.tick() => {
                        match self.channel {
                            // A market that a list lacks is shown once it has traded.
                            Frame | List => self.trade(),
                            Candles => self.request_candles(),
                            Tickers => {}
                        }
                        continue;
                    }
                };
                if let Event::Health(health) = &event {
                    self.health = Some(health.clone());
                }
                if let Some(fit) = fits(&event) {
                    return fit;
                }
            }
        });
        let found = found.await.ok();
        found.unwrap_or_else(|| panic!("{}: no {what}; {:?}", self.cell, self.health))
    }

    /// Trades every market once at its current price.
    fn trade(&self) {
        for base in OTHERS.iter().chain([&VICTIM]) {
            let (venue, market) = (self.exchange.id, self.exchange.market(base).to_string());
            // A market that a fault has delisted does not trade.
            if let Some((_, last)) = self.fake.trade_before(venue, &market, Clock::system().now()) {
                let _ = self.fake.set_price(venue, &market, last, false);
            }
        }
    }

    /// Waits for `times` prices of each market.
    async fn prices(&mut self, bases: &[&str], times: usize, via: fn(Via) -> bool) {
        let mut left: BTreeMap<Market, usize> = bases.iter().map(|base| (self.exchange.market(base), times)).collect();
        self.wait("prices", |event| {
            let Event::Ticker { market, via: v, .. } = event else { return None };
            if via(*v)
                && let Some(times) = left.get_mut(market)
            {
                *times = times.saturating_sub(1);
            }
            left.values().all(|times| *times == 0).then_some(())
        })
        .await;
    }

    async fn candles(&mut self, bases: &[&str]) {
        let mut left: BTreeSet<Market> = bases.iter().map(|base| self.exchange.market(base)).collect();
        self.wait("candles", |event| {
            if let Event::Settled { market, .. } = event {
                left.remove(market);
            }
            left.is_empty().then_some(())
        })
        .await;
    }

    /// Requests the base minute and a recent minute of every market.
    fn request_candles(&self) {
        let latest = Minute::of(Clock::system().now() - SignedDuration::from_mins(10));
        for (urgency, ago) in [(Urgency::Base, 1300), (Urgency::Recent, 5)] {
            for base in [VICTIM].iter().chain(&OTHERS) {
                let span = latest.plus(-ago)..latest.plus(1 - ago);
                let market = self.exchange.market(base);
                let venue = self.exchange.translator().profile().id;
                // Like the board: a gap that does not fit into the queue is sent again with the next ones.
                let _ = self.gaps.try_send(Gap { venue, market, span, urgency });
            }
        }
    }
}

fn name(exchange: &Exchange, channel: Channel, (defect, _): &Defect) -> String {
    format!("{} × {channel:?} × {defect}", exchange.id)
}

async fn cell(exchange: &Exchange, channel: Channel, defect: Defect) {
    let mut bench = Bench::start(exchange, channel, &defect).await;
    let is_stream = |via: Via| matches!(via, Via::Stream { .. });
    let is_rest = |via: Via| !matches!(via, Via::Stream { .. });
    match channel {
        Candles => {
            bench.candles(&OTHERS).await;
            bench.candles(&OTHERS).await;
        }
        Tickers | List => bench.prices(&OTHERS, 3, is_rest).await,
        Frame => {
            bench.prices(&OTHERS, 5, is_stream).await;
            bench.prices(&OTHERS, 2, is_stream).await;
        }
    }
    // The exchange itself is not reported as failing, and no other market is named.
    let (victim, lacks) =
        (exchange.market(VICTIM), if channel == Candles { MissingPart::Base } else { MissingPart::Price });
    let is_named = matches!(channel, Tickers | Candles);
    bench
        .wait("health that names it alone", |event| {
            let Event::Health(health) = event else { return None };
            let named = health.missing.iter().any(|missing| missing.lacks == lacks && !missing.detail.is_empty());
            let alone = health.missing.iter().all(|missing| missing.market == victim);
            (health.reason.is_none() && alone && (named || !is_named)).then_some(())
        })
        .await;
    if channel == Frame {
        let connects = bench.fake.log().iter().filter(|entry| entry.kind == "upgrade").count();
        assert_eq!(connects, 1, "{}: the connection was replaced", bench.cell);
    }
    bench.fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    match channel {
        Candles => bench.candles(&[VICTIM]).await,
        // A frame comes with the next trade.
        Tickers | List => bench.prices(&[VICTIM], 1, is_rest).await,
        Frame => bench.prices(&[VICTIM], 1, is_stream).await,
    }
    bench.stop.cancel();
    bench.fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fc_01_every_defect_on_every_channel_of_every_exchange_affects_one_market_alone() {
    let mut cells = Vec::new();
    for exchange in &EXCHANGES {
        for channel in [Tickers, Candles, List, Frame] {
            let defects = exchange.defects(channel).into_iter();
            cells.extend(defects.map(|defect| (name(exchange, channel, &defect), cell(exchange, channel, defect))));
        }
    }
    assert!(cells.len() > 140, "{} cells", cells.len());
    let runs = futures_util::stream::iter(cells.into_iter().map(async |(name, cell)| {
        let done = AssertUnwindSafe(cell).catch_unwind().await;
        done.err().map(|_| name)
    }));
    let failed: Vec<String> = runs.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    assert!(failed.is_empty(), "these cells failed, and their panics are printed above: {failed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fc_04_a_rejected_tick_size_request_affects_one_market_and_names_it() {
    let exchange = EXCHANGES.iter().find(|exchange| exchange.id == "upbit").unwrap();
    let start = r#"{"venue":"upbit","on":"rest","path":"/v1/orderbook/instruments","symbol":"KRW-XRP""#;
    for kind in [r#""fault":"status","status":404,"body":"""#, r#""fault":"html""#, r#""fault":"omit""#] {
        let mut bench = Bench::start(exchange, Tickers, &("no tick size", format!("{start},{kind}}}"))).await;
        let mut left: BTreeSet<Market> = OTHERS.iter().map(|base| exchange.market(base)).collect();
        bench
            .wait("tick sizes of the others", |event| {
                if let Event::TickSizes { sizes, .. } = event {
                    left.retain(|market| sizes.iter().all(|(sized, _)| sized != market));
                }
                left.is_empty().then_some(())
            })
            .await;
        let victim = exchange.market(VICTIM);
        bench
            .wait("health that names it", |event| {
                let Event::Health(health) = event else { return None };
                let mut problems = health.problems.iter().filter(|problem| problem.field == Some("tick_size"));
                let named = problems.next().is_some_and(|problem| problem.example.market.as_ref() == Some(&victim));
                (health.reason.is_none() && named && problems.next().is_none()).then_some(())
            })
            .await;
        bench.fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
        bench
            .wait("its tick size", |event| {
                let Event::TickSizes { sizes, .. } = event else { return None };
                sizes.iter().any(|(market, _)| *market == victim).then_some(())
            })
            .await;
        bench.stop.cancel();
        bench.fake.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fc_04_an_unreadable_listing_is_named_with_its_field() {
    let exchange = EXCHANGES.iter().find(|exchange| exchange.id == "binance").unwrap();
    for (member, value, field) in
        [("filters", "[null]", "filters"), ("status", "null", "status"), ("baseAsset", "7", "baseAsset")]
    {
        let fault = format!(
            r#"{{"venue":"binance","on":"rest","path":"/api/v3/exchangeInfo","symbol":"XRPUSDT","fault":"set-field","field":"{member}","payload":"{value}"}}"#
        );
        let mut bench = Bench::start(exchange, List, &("unreadable", fault)).await;
        bench.prices(&[VICTIM], 2, |_| true).await;
        let victim = exchange.market(VICTIM);
        bench
            .wait("health that names it", |event| {
                let Event::Health(health) = event else { return None };
                let problem = health.problems.iter().find(|problem| problem.field == Some(field))?;
                (problem.example.market.as_ref() == Some(&victim)).then_some(())
            })
            .await;
        bench.stop.cancel();
        bench.fake.shutdown().await;
    }
}
