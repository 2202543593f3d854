//! Twenty-five hours of a real market, replayed by each fake exchange.
//!
//! The candles are a recording (tests/fixtures/README.md), which the fake exchanges trade in their own formats. The
//! expected changes of fifty minutes were computed beforehand by tests/series/expected.py, which shares no code
//! with the program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fake_exchanges::series::CandleSeries;
use fake_exchanges::{self as fake, FaultView, Options, Simulation, venues};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sisepan::board::{BoardSettings, BoardSpec, Quotes};
use sisepan::config::{Board, Config, VenueConfig};
use sisepan::feed::{Event, Via};
use sisepan::market::{BaseSource, Basis, Market, Minute, Now, SourceId};
use sisepan::venue::{self, Response, RestQuery, Venue};

use super::end_to_end::Service;
use super::joined::Joined;

/// The minute, counted from the first candle's; the last price in it; the base price; the change in percent.
const EXPECTED: [(usize, &str, &str, &str); 50] = [
    (1441, "0.00178515", "0.00162008", "10.19"),
    (1442, "0.00179756", "0.00161", "11.65"),
    (1443, "0.00178515", "0.00161", "10.88"),
    (1444, "0.00178504", "0.00162", "10.19"),
    (1445, "0.0017851", "0.00162", "10.19"),
    (1446, "0.00178509", "0.00160345", "11.33"),
    (1447, "0.00178", "0.00160345", "11.01"),
    (1448, "0.00177498", "0.00160345", "10.70"),
    (1449, "0.00177498", "0.00160345", "10.70"),
    (1450, "0.00177498", "0.00160345", "10.70"),
    (1451, "0.00177499", "0.00160345", "10.70"),
    (1452, "0.00177499", "0.00160345", "10.70"),
    (1453, "0.00178", "0.00161902", "9.94"),
    (1454, "0.001775", "0.0016034", "10.70"),
    (1455, "0.00177498", "0.0016034", "10.70"),
    (1456, "0.0017805", "0.0016009", "11.22"),
    (1457, "0.00178515", "0.0016034", "11.34"),
    (1458, "0.00177559", "0.0016034", "10.74"),
    (1459, "0.00178799", "0.00160356", "11.50"),
    (1460, "0.00179306", "0.00160086", "12.01"),
    (1461, "0.00179219", "0.0016", "12.01"),
    (1462, "0.00179757", "0.0016", "12.35"),
    (1463, "0.0017999", "0.0016", "12.49"),
    (1464, "0.0018", "0.00159984", "12.51"),
    (1465, "0.00179223", "0.00159795", "12.16"),
    (1466, "0.001803", "0.00159601", "12.97"),
    (1467, "0.001803", "0.0015946", "13.07"),
    (1468, "0.001802", "0.00158785", "13.49"),
    (1469, "0.00180144", "0.00158817", "13.43"),
    (1470, "0.00180252", "0.00158817", "13.50"),
    (1471, "0.00180252", "0.00159999", "12.66"),
    (1472, "0.0018", "0.00159999", "12.50"),
    (1473, "0.00179198", "0.00159999", "12.00"),
    (1474, "0.00179198", "0.00159999", "12.00"),
    (1475, "0.00179198", "0.00159999", "12.00"),
    (1476, "0.001792", "0.00159999", "12.00"),
    (1477, "0.001792", "0.00159965", "12.02"),
    (1478, "0.00178357", "0.00158632", "12.43"),
    (1479, "0.00178361", "0.001586", "12.46"),
    (1480, "0.001792", "0.00158246", "13.24"),
    (1481, "0.001792", "0.00158285", "13.21"),
    (1482, "0.001792", "0.00159931", "12.05"),
    (1483, "0.00178357", "0.00159931", "11.52"),
    (1484, "0.001783", "0.00158441", "12.53"),
    (1485, "0.001783", "0.00158455", "12.52"),
    (1486, "0.00178", "0.00158519", "12.29"),
    (1487, "0.00178", "0.00159897", "11.32"),
    (1488, "0.00178", "0.00159897", "11.32"),
    (1489, "0.00178534", "0.00159991", "11.59"),
    (1490, "0.00178", "0.00159991", "11.26"),
];

/// Second of a minute from which the last price is the candle's close; all its prices are traded before that.
const SETTLED_SECOND: i64 = 10;

fn file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fixtures/series/minute-candles-2017-11.json"].iter().collect()
}

/// The board of one exchange, and a simulation of the exchange that trades the series.
struct Replay {
    venue: &'static dyn Venue,
    simulation: Simulation,
    quotes: Quotes,
    now: Now,
    market: Market,
    connection: Joined,
    candles: usize,
}

impl Replay {
    /// Starts in a minute of the series.
    fn start(venue: &'static dyn Venue, minute: usize) -> Self {
        let wall: Timestamp = "2026-01-15T06:27:00Z".parse().unwrap();
        let id = venue.profile().id;
        let simulation = Simulation::from_series(&CandleSeries::read(&file()).unwrap(), minute, wall);
        let market: Market = simulation.markets_of(id.as_str()).next().unwrap().name.parse().unwrap();
        let now = Now { wall, monotonic: Duration::ZERO };
        let source = SourceId::new([id.as_str()]);
        let markets = vec![market.clone()];
        let wanted = BoardSpec { source, venues: vec![id], markets, basis: Basis::Rolling24h };
        let quotes = Quotes::new(&[wanted], BoardSettings::default(), now);
        let connection = Joined::open(venue, std::slice::from_ref(&market), &FaultView::new(&simulation));
        Self { venue, simulation, quotes, now, market, connection, candles: 0 }
    }

    /// Advances the time by seconds: streams each trade, and queries REST every five seconds without one.
    fn advance(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.now.wall += SignedDuration::from_secs(1);
            self.now.monotonic += Duration::from_secs(1);
            self.simulation.advance(self.now.wall);
            let records = self.connection.poll(&FaultView::new(&self.simulation));
            let is_quiet = records.is_empty();
            self.apply(records, Via::Stream { session: 1 });
            if is_quiet && self.now.monotonic.as_secs().is_multiple_of(5) {
                let markets = [self.market.clone()];
                let Response::Tickers(records) = self.query(&RestQuery::Tickers(&markets)) else {
                    panic!("no tickers")
                };
                self.apply(records, Via::Check);
            }
        }
        self.quotes.tick(self.now);
    }

    fn apply(&mut self, records: Vec<venue::TickerRecord>, via: Via) {
        for record in records {
            let event = Event::Ticker {
                venue: self.venue.profile().id,
                market: self.market.clone(),
                ticker: record.ticker.unwrap(),
                requested: self.now,
                received: self.now,
                via,
            };
            self.quotes.apply(event, self.now);
        }
    }

    fn query(&self, query: &RestQuery<'_>) -> Response {
        let request = self.venue.request(query).unwrap();
        let response = fake::rest(self.venue.profile().id.as_str(), &FaultView::new(&self.simulation), &request.path);
        self.venue.response(query, std::str::from_utf8(&response.body).unwrap()).unwrap()
    }

    /// Fills the board's gaps from candles.
    fn fill(&mut self) {
        let ended = Minute::of(self.now.wall - SignedDuration::from_secs(5));
        for gap in self.quotes.gaps(self.now) {
            let page = i64::try_from(self.venue.profile().candles_per_request).unwrap();
            let mut start = gap.span.start;
            while start < gap.span.end.min(ended) {
                let end = start.plus(page).min(gap.span.end).min(ended);
                let count = usize::try_from(end.0 - start.0).unwrap();
                let Response::Candles(candles) = self.query(&RestQuery::Candles { market: &gap.market, end, count })
                else {
                    panic!("no candles")
                };
                self.candles += candles.len();
                if let Some(oldest) = candles.first() {
                    let span = oldest.minute..end;
                    let closes = candles.iter().map(|candle| (candle.minute, candle.close)).collect();
                    let (venue, market) = (gap.venue, gap.market.clone());
                    self.quotes.apply(Event::Settled { venue, market, span, closes }, self.now);
                }
                start = end;
            }
        }
    }

    /// Asserts that the row shows the expected change of this minute.
    fn check(&mut self, (minute, last, base, percent): (usize, &str, &str, &str)) {
        self.quotes.tick(self.now);
        let publish = self.quotes.publish(self.now);
        let quote = publish.changed.into_iter().next().unwrap_or_else(|| panic!("nothing changed in minute {minute}"));
        let context = format!("{} in minute {minute}", quote.venue);
        assert_eq!(Ok(quote.last.unwrap()), last.parse(), "{context}");
        let shown = quote.base(Basis::Rolling24h).unwrap_or_else(|| panic!("{context}: no base"));
        assert_eq!((Ok(shown.price), shown.source), (base.parse(), BaseSource::Window), "{context}");
        assert_eq!(quote.change(Basis::Rolling24h).unwrap().percent.to_string(), percent, "{context}");
    }
}

fn venues_with_a_day_of_candles() -> impl Iterator<Item = &'static &'static dyn Venue> {
    venue::ALL.iter().filter(|venue| venue.profile().minutes_kept.is_none())
}

/// The older half of the day is from candles of the first minute, the newer one was streamed.
#[test]
fn a_board_whose_exchange_keeps_half_a_day_of_candles_shows_the_same_changes_half_a_day_later() {
    const STREAMED: usize = 730;
    let mut tried = 0;
    for venue in venue::ALL.iter().filter(|venue| venue.profile().minutes_kept.is_some()) {
        let mut replay = Replay::start(*venue, EXPECTED[0].0 - 1 - STREAMED);
        replay.advance(60);
        replay.fill();
        let candles = replay.candles;
        assert!((700..=720).contains(&candles), "{candles} candles");
        for _ in 0..STREAMED / 10 {
            replay.advance(600);
            // What a stream without times of trades has not made certain.
            replay.fill();
        }
        for expected in EXPECTED {
            replay.advance(usize::try_from(SETTLED_SECOND).unwrap());
            replay.fill();
            replay.check(expected);
            replay.advance(60 - usize::try_from(SETTLED_SECOND).unwrap());
        }
        tried += 1;
    }
    assert_eq!(tried, 1);
}

#[test]
fn a_board_that_was_filled_from_candles_shows_the_fifty_changes_of_a_real_day() {
    for venue in venues_with_a_day_of_candles() {
        let mut replay = Replay::start(*venue, EXPECTED[0].0 - 1);
        replay.advance(60);
        for expected in EXPECTED {
            replay.advance(usize::try_from(SETTLED_SECOND).unwrap());
            replay.fill();
            replay.check(expected);
            replay.advance(60 - usize::try_from(SETTLED_SECOND).unwrap());
        }
        assert!(replay.candles > 1000, "{} candles", replay.candles);
    }
}

/// Without the exchanges that don't date their trades: their closes seen live are not all certain.
#[test]
fn a_board_that_streamed_for_a_day_shows_the_same_changes_without_a_candle() {
    for venue in venue::ALL.iter().filter(|venue| venue.profile().has_trade_times) {
        let mut replay = Replay::start(*venue, 0);
        replay.advance(60 * EXPECTED[0].0);
        for expected in EXPECTED {
            replay.advance(usize::try_from(SETTLED_SECOND).unwrap());
            replay.check(expected);
            replay.advance(60 - usize::try_from(SETTLED_SECOND).unwrap());
        }
    }
}

/// The same over sockets and by the machine's clock, in the minutes in which the test happens to run. It takes half a
/// day longer where there are candles of half a day.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn the_whole_program_shows_the_change_of_a_real_day_of_each_exchange() {
    const COMPARED_MIN: usize = 3;
    let now_minute = || Minute::of(sisepan::clock::Clock::system().now());
    let (fake, began) = loop {
        let began = now_minute();
        let series = Some((file(), EXPECTED[3].0));
        let fake = fake::start(Options { series, ..Options::default() }).await.unwrap();
        // Which minute the series started in is certain only if no minute ended meanwhile.
        if began == now_minute() {
            break (fake, began);
        }
    };
    let mut config = Config { data: None, boards: Vec::new(), ..Config::default() };
    for venue in venues_with_a_day_of_candles() {
        let id = venue.profile().id;
        let (rest, stream) = (Some(fake.rest_url(id.as_str())), Some(fake.stream_url(id.as_str())));
        config.venues.insert(id, VenueConfig { rest, stream, ..VenueConfig::default() });
        let market = format!("BTC-{}", venues::find(id.as_str()).unwrap().listing().quote);
        config.boards.push(Board {
            id: id.to_string(),
            titles: std::array::from_fn(|_| id.to_string()),
            markets: [market.parse().unwrap()].into_iter().collect(),
            source: SourceId::new([id.as_str()]),
            basis: Basis::Rolling24h,
        });
    }
    let service = Service::start(config).await;
    let mut compared: BTreeMap<&str, usize> = BTreeMap::new();
    let comparing = async {
        while venues_with_a_day_of_candles()
            .any(|venue| compared.get(venue.profile().id.as_str()).is_none_or(|count| *count < COMPARED_MIN))
        {
            for venue in venues_with_a_day_of_candles() {
                let id = venue.profile().id.as_str();
                let row = service.get(&format!("/api/v1/snapshot?board={id}")).await["rows"][0].clone();
                *compared.entry(id).or_default() += usize::from(compare(&row, began));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(120), comparing).await;
    assert!(in_time.is_ok(), "not compared often enough: {compared:?}");
    service.stop().await;
    fake.shutdown().await;
}

/// Compares a row with its expected change; returns whether it could, which needs a price confirmed after its minute
/// had settled, and a base from our window.
fn compare(row: &Value, began: Minute) -> bool {
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let change = &row["change"];
    let (Some(base_at), Some(confirmed_at)) = (time(&change["base_at"]), time(&row["confirmed_at"])) else {
        return false;
    };
    let minute = Minute::of(base_at).plus(24 * 60);
    let settled = minute.start() + SignedDuration::from_secs(SETTLED_SECOND);
    if row["state"] != "live"
        || change["base_source"] != "window"
        || confirmed_at < settled
        || confirmed_at >= minute.end()
    {
        return false;
    }
    let at = usize::try_from(minute.0 - began.0).unwrap() + EXPECTED[3].0;
    let (_, last, base, percent) = EXPECTED[at - EXPECTED[0].0];
    let number = |value: &Value| value.as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap();
    assert_eq!(number(&row["last"]), last.parse().unwrap(), "in minute {at}: {row}");
    assert_eq!(number(&change["base_price"]), base.parse().unwrap(), "in minute {at}: {row}");
    assert_eq!(change["percent"], *percent, "in minute {at}: {row}");
    true
}
