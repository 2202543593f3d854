//! Isolation of markets: a defect in a response about one market affects that market alone.
//!
//! Runs every defect on every channel of every registered exchange, over real sockets against the fake exchanges. What
//! the faults need to know of an exchange comes from its adapter and its fake.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use fake_exchanges::fake_venue::Payloads;
use fake_exchanges::json::edit_rows;
use fake_exchanges::{self as fake, Fake, FaultView, Simulation, venues};
use futures_util::{FutureExt, StreamExt};
use jiff::SignedDuration;
use serde_json::{Value, json};
use sisepan::clock::Clock;
use sisepan::feed::{Event, Gap, MissingPart, Urgency, VenueHealth, Via};
use sisepan::ingest::{BoardRequests, Settings, Tls, run};
use sisepan::market::{Market, Minute};
use sisepan::venue::{self, Endpoint, Limit, ParseError, Profile, Rate, Request, Response, RestQuery, Session, Venue};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::toy::WAIT_MAX;
use crate::joined::{self, Joined};

const VICTIM: &str = "XRP";
const OTHERS: [&str; 3] = ["BTC", "ETH", "SOL"];

/// Interval between the trades of each market.
const TRADE_EVERY: Duration = Duration::from_millis(200);

/// Cells (exchange × channel × defect) that run at the same time.
const AT_ONCE: usize = 8;

/// How data about a market arrives: in the response to a REST query, or in a frame of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Tickers,
    Candles,
    List,
    Frame,
}

use Channel::{Candles, Frame, List, Tickers};

/// An adapter whose request limits let a cell poll often.
struct Hurried {
    adapter: &'static dyn Venue,
    profile: Profile,
}

/// Ticker requests per second that each request limit allows, at least. Bitfinex, KuCoin and Kraken allow fewer.
const PER_SECOND_MIN: u32 = 10;

impl Hurried {
    fn leak(adapter: &'static dyn Venue, markets: &[Market]) -> &'static dyn Venue {
        let costs = adapter.request(&RestQuery::Tickers(markets)).unwrap().costs;
        let limit = |limit: &Limit| {
            let cost = costs.iter().find(|(group, _)| *group == limit.group).map_or(1, |(_, cost)| *cost);
            let rate = |rate: &Rate| {
                let units = PER_SECOND_MIN * cost * u32::try_from(rate.window.as_secs()).unwrap();
                Rate { units: rate.units.max(units), ..*rate }
            };
            Limit { rates: limit.rates.iter().map(rate).collect::<Vec<_>>().leak(), ..*limit }
        };
        let limits = adapter.profile().limits.iter().map(limit).collect::<Vec<_>>().leak();
        Box::leak(Box::new(Self { adapter, profile: Profile { limits, ..adapter.profile().clone() } }))
    }
}

impl Venue for Hurried {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn symbol(&self, market: &Market) -> String {
        self.adapter.symbol(market)
    }

    fn endpoint(&self) -> Endpoint {
        self.adapter.endpoint()
    }

    fn session(&self) -> Box<dyn Session> {
        self.adapter.session()
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        self.adapter.request(query)
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        self.adapter.response(query, body)
    }
}

/// One exchange, and what the faults need to know of it.
struct Exchange {
    id: &'static str,
    quote: &'static str,
    venue: &'static dyn Venue,
    payloads: Payloads,
    /// Its symbol of the victim.
    victim: String,
    /// See [`joined::rest_error`].
    error: (u16, String),
    /// Its reply on the stream to a frame that is no message, or else the body of `error`.
    stream_error: String,
    /// Its response to a request for a candle of the victim, with rows of another shape.
    odd_candles: String,
    /// Its market list.
    list: String,
}

/// A defect of a response or frame about the victim: its name, and the faults in the JSON of the control server.
type Defect = (&'static str, Vec<String>);

impl Exchange {
    fn all() -> Vec<Self> {
        let simulation = Simulation::new(1, Clock::system().now());
        venue::ALL.iter().map(|venue| Self::new(*venue, &simulation)).collect()
    }

    fn find(id: &str) -> Self {
        Self::new(venue::find(id).unwrap(), &Simulation::new(1, Clock::system().now()))
    }

    fn new(adapter: &'static dyn Venue, simulation: &Simulation) -> Self {
        let id = adapter.profile().id.as_str();
        let fake_venue = venues::find(id).unwrap_or_else(|| panic!("{id} has no fake"));
        let (quote, payloads, view) = (fake_venue.listing().quote, fake_venue.payloads(), FaultView::new(simulation));
        let victim = Market::new(VICTIM, quote).unwrap();
        let error = joined::rest_error(adapter, &view);
        let mut connection = Joined::open(adapter, std::slice::from_ref(&victim), &view);
        connection.poll(&view);
        let (_, candles) = joined::newest_candle(adapter, &victim, &view);
        let mut odd = Some("[],{},null".to_owned());
        let odd_candles = edit_rows(&candles, payloads.rows, |_, _| odd.take());
        assert!(odd.is_none(), "{id}: {candles} has no rows");
        let list = venues::rest(id, &view, &adapter.request(&RestQuery::Markets).unwrap().path);
        Self {
            id,
            quote,
            venue: Hurried::leak(adapter, std::slice::from_ref(&victim)),
            payloads,
            victim: adapter.symbol(&victim),
            stream_error: connection.error(&view).unwrap_or_else(|| error.1.clone()),
            error,
            odd_candles,
            list: String::from_utf8(list.body).unwrap(),
        }
    }

    fn market(&self, base: &str) -> Market {
        Market::new(base, self.quote).unwrap()
    }

    fn markets(&self) -> Vec<Market> {
        OTHERS.iter().chain([&VICTIM]).map(|base| self.market(base)).collect()
    }

    /// Returns the paths of the requests of a channel, without their queries.
    fn paths(&self, channel: Channel) -> BTreeSet<String> {
        let (victim, markets, end) = (self.market(VICTIM), self.markets(), Minute::of(Clock::system().now()));
        let queries = match channel {
            Tickers => vec![RestQuery::Tickers(std::slice::from_ref(&victim)), RestQuery::Tickers(&markets)],
            Candles => vec![RestQuery::Candles { market: &victim, end, count: 1 }],
            List => vec![RestQuery::Markets],
            Frame => Vec::new(),
        };
        let paths = queries.iter().map(|query| self.venue.request(query).unwrap().path);
        paths.map(|path| path.split('?').next().unwrap().to_owned()).collect()
    }

    /// Returns the defects of a channel that the exchange can have.
    fn defects(&self, channel: Channel) -> Vec<Defect> {
        let Payloads { price_members, close_member, time_members, list_members, .. } = self.payloads;
        let paths = self.paths(channel);
        let of_victim = |(name, mut fault): (&'static str, Value)| {
            fault["symbol"] = json!(self.victim);
            (name, fault)
        };
        let rest = |(name, fault): (&'static str, Value)| -> Defect {
            (name, paths.iter().map(|path| self.fault(&fault, json!({"on": "rest", "path": path}))).collect())
        };
        let stream = |(name, fault)| (name, vec![self.fault(&fault, json!({"on": "stream"}))]);
        match channel {
            Tickers => {
                let batch = self.venue.request(&RestQuery::Tickers(&self.markets())).unwrap();
                // KuCoin's request for several markets names none, so that its response as a whole concerns them all.
                let whole = if batch.path.contains(&self.victim) { self.whole_response_defects() } else { Vec::new() };
                let own = [("missing", json!({"fault": "omit"}))].into_iter().chain(prices(price_members[0]));
                whole.into_iter().chain(own).map(of_victim).map(rest).collect()
            }
            Candles => {
                let own = [
                    ("missing", json!({"fault": "omit"})),
                    ("a price of null", set(close_member, "null")),
                    ("a price of zero", set(close_member, "0")),
                    ("rows of another shape", raw(&self.odd_candles)),
                ];
                self.whole_response_defects().into_iter().chain(own).map(of_victim).map(rest).collect()
            }
            List => {
                // An exchange whose list is needed reads no market that the list lacks: that affects all of them.
                let cut = (!self.venue.profile().needs_list).then(|| ("cut", json!({"fault": "rows", "n": 1})));
                let own: Vec<_> = match list_members {
                    Some([name, optional]) => {
                        let is_member = |name| self.list.contains(&format!("\"{name}\":"));
                        assert!(is_member(name) && is_member(optional), "{}", self.list);
                        [
                            ("missing", json!({"fault": "omit"})),
                            ("a malformed optional member", set(optional, "[null]")),
                            ("an optional member of another type", set(optional, "7")),
                            ("no name", set(name, "null")),
                            ("an empty name", set(name, "\"\"")),
                            ("a number for a name", set(name, "7")),
                        ]
                        .map(of_victim)
                        .into()
                    }
                    None => [
                        ("missing", ""),
                        ("no name", "null,"),
                        ("an empty name", "\"\","),
                        ("a number for a name", "7,"),
                    ]
                    .map(|(defect, name)| (defect, raw(&self.list_with_name(name))))
                    .into(),
                };
                own.into_iter().chain(cut).map(rest).collect()
            }
            Frame => {
                let time = time_members.first().map(|time| ("an absurd time", set(time, "1e30")));
                let own = [("missing", json!({"fault": "drop-sym"}))].into_iter().chain(time);
                let own = own.chain(prices(price_members[price_members.len() - 1])).map(of_victim);
                let others = [
                    ("broken JSON", raw("{")),
                    ("no JSON", raw("upbit")),
                    ("an error", raw(&self.stream_error)),
                    ("an unknown message type", raw(r#"{"type":"news","e":"news"}"#)),
                ];
                own.chain(others).map(stream).collect()
            }
        }
    }

    /// Returns the defects of a whole response to a request that names the victim, alone or among others.
    fn whole_response_defects(&self) -> Vec<(&'static str, Value)> {
        let status = |status: u16, body: &str| json!({"fault": "status", "status": status, "body": body});
        let (own, error) = &self.error;
        let with_own = ("an error response with the status of the exchange", status(*own, error));
        let with_own = (![200, 400, 404].contains(own)).then_some(with_own);
        let defects = [
            ("an error response with 404", status(404, error)),
            ("an error response with 400", status(400, error)),
            ("not found", status(404, "")),
            ("an internal server error", status(500, "")),
            ("a maintenance page", json!({"fault": "html"})),
            ("broken JSON", raw("[{")),
            ("an error object with 200", raw(error)),
            ("empty", raw("")),
            ("a number", raw("7")),
            ("late", json!({"fault": "stall-body"})),
            ("reset", json!({"fault": "rst", "seconds": 3600})),
            ("cut", json!({"fault": "eof", "seconds": 3600})),
        ];
        defects.into_iter().chain(with_own).collect()
    }

    /// Returns the market list, which has names only, with another value in place of the victim's name and the comma
    /// after it.
    fn list_with_name(&self, value: &str) -> String {
        let names = self.list.split('"').skip(1).step_by(2).filter(|name| self.victim.ends_with(name));
        let name = names.max_by_key(|name| name.len()).unwrap();
        let list = self.list.replacen(&format!("\"{name}\","), value, 1);
        assert_ne!(list, self.list, "{}: {name} is not found", self.id);
        list
    }

    /// Returns a fault of this exchange in the JSON of the control server.
    fn fault(&self, fault: &Value, mut at: Value) -> String {
        at["venue"] = json!(self.id);
        at.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
        at.to_string()
    }
}

fn raw(payload: &str) -> Value {
    // By default it lasts five seconds.
    json!({"fault": "raw", "payload": payload, "seconds": 3600})
}

fn set(field: &str, value: &str) -> Value {
    json!({"fault": "set-field", "field": field, "payload": value})
}

fn prices(field: &str) -> [(&'static str, Value); 5] {
    [
        ("a price of null", set(field, "null")),
        ("a price of zero", set(field, "0")),
        ("a negative price", set(field, "-5")),
        ("an absurd price", set(field, "1e400")),
        ("a boolean price", set(field, "true")),
    ]
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
        for fault in &defect.1 {
            fake.inject_fault(fault).unwrap_or_else(|error| panic!("{error}: {fault}"));
        }
        let venue = exchange.venue;
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
            ..Settings::defaults(venue.profile())
        };
        let (sender, events) = mpsc::channel(4096);
        let (gaps, wanted_gaps) = mpsc::channel(64);
        let requests = BoardRequests { gaps: wanted_gaps, checks: mpsc::channel(1).1 };
        let stop = CancellationToken::new();
        let wanted = exchange.markets().into_iter().collect();
        let wanted = watch::channel(Arc::new(wanted)).1;
        let tls = Tls::new(None).unwrap();
        tokio::spawn(run(venue, settings, wanted, tls, Clock::system(), sender, requests, stop.clone()));
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
        for market in self.exchange.markets() {
            let (venue, market) = (self.exchange.id, market.to_string());
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
                let venue = self.exchange.venue.profile().id;
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
#[ignore = "slow"]
async fn fc_01_every_defect_on_every_channel_of_every_exchange_affects_one_market_alone() {
    let exchanges = Exchange::all();
    let wanted = std::env::var("ISOLATION").unwrap_or_default();
    let mut cells = Vec::new();
    for exchange in &exchanges {
        for channel in [Tickers, Candles, List, Frame] {
            let defects = exchange.defects(channel);
            assert!(!defects.is_empty(), "{} has no defect of {channel:?}", exchange.id);
            let named = defects.into_iter().map(|defect| (name(exchange, channel, &defect), defect));
            cells.extend(named.map(|(name, defect)| (name, cell(exchange, channel, defect))));
        }
    }
    assert!(cells.len() >= 246, "{} cells", cells.len());
    cells.retain(|(name, _)| name.contains(&wanted));
    assert!(!cells.is_empty(), "no cell has {wanted:?} in its name");
    let runs = futures_util::stream::iter(cells.into_iter().map(async |(name, cell)| {
        let done = AssertUnwindSafe(cell).catch_unwind().await;
        done.err().map(|_| name)
    }));
    let failed: Vec<String> = runs.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    assert!(failed.is_empty(), "these cells failed, and their panics are printed above: {failed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn fc_04_a_rejected_tick_size_request_affects_one_market_and_names_it() {
    let exchange = &Exchange::find("upbit");
    let start = r#"{"venue":"upbit","on":"rest","path":"/v1/orderbook/instruments","symbol":"KRW-XRP""#;
    for kind in [r#""fault":"status","status":404,"body":"""#, r#""fault":"html""#, r#""fault":"omit""#] {
        let mut bench = Bench::start(exchange, Tickers, &("no tick size", vec![format!("{start},{kind}}}")])).await;
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

/// Exchanges whose tickers do not report a halt; the list of Bitfinex leaves such a market out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fc_11_a_halt_that_a_list_reports_begins_and_ends_with_a_list() {
    for id in ["binance", "kraken"] {
        let exchange = &Exchange::find(id);
        let mut bench = Bench::start(exchange, List, &("a halt", vec![])).await;
        let victim = exchange.market(VICTIM);
        let halt = json!({"venue": id, "fault": "halt", "symbol": exchange.victim}).to_string();
        for (fault, halted) in [(halt.as_str(), true), (r#"{"fault":"none"}"#, false)] {
            bench.fake.inject_fault(fault).unwrap();
            bench
                .wait("a list that says so", |event| {
                    let Event::Listings { listings, .. } = event else { return None };
                    let is_halted = |base: &str| {
                        let market = exchange.market(base);
                        listings.iter().find(|listing| listing.market == market).map(|listing| listing.halted)
                    };
                    assert!(OTHERS.iter().all(|base| is_halted(base) == Some(false)), "{id}: {listings:?}");
                    (is_halted(victim.base()) == Some(halted)).then_some(())
                })
                .await;
        }
        bench.stop.cancel();
        bench.fake.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fc_04_an_unreadable_listing_is_named_with_its_field() {
    let exchange = &Exchange::find("binance");
    for (member, value, field) in
        [("filters", "[null]", "filters"), ("status", "null", "status"), ("baseAsset", "7", "baseAsset")]
    {
        let fault = format!(
            r#"{{"venue":"binance","on":"rest","path":"/api/v3/exchangeInfo","symbol":"XRPUSDT","fault":"set-field","field":"{member}","payload":"{value}"}}"#
        );
        let mut bench = Bench::start(exchange, List, &("unreadable", vec![fault])).await;
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
