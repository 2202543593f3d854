//! Trades, books and windows over REST, each checked against the trade log.

use fake_exchanges::session::{Session, Step};
use fake_exchanges::{FaultView, Simulation, rest, venues};
use jiff::SignedDuration;
use serde_json::Value;

use super::client::start_time;

fn get(simulation: &Simulation, venue: &str, path: &str) -> Value {
    let answer = rest(venue, &FaultView::new(simulation), path);
    assert_eq!(answer.status, 200, "{venue} {path}: {}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

/// Parses a JSON number, or a string that holds one, in any format.
fn number(value: &Value) -> rust_decimal::Decimal {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse()
        .or_else(|_| rust_decimal::Decimal::from_scientific(&text))
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn price(units: i64) -> rust_decimal::Decimal {
    rust_decimal::Decimal::new(units, 8)
}

/// Advances a simulation in steps of 50 ms, as the server does, and calls `visit` after each.
fn run_live(simulation: &mut Simulation, seconds: i64, mut visit: impl FnMut(&Simulation)) {
    for step in 1..=seconds * 20 {
        simulation.advance(start_time() + SignedDuration::from_millis(step * 50));
        visit(simulation);
    }
}

/// Returns the payloads of data steps.
fn bodies(steps: Vec<Step>) -> Vec<Value> {
    let bodies = steps.into_iter().map(|step| match step {
        Step::Data { body, .. } => serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")),
        other => panic!("not data: {other:?}"),
    });
    bodies.collect()
}

fn open_session(venue: &str, path: &str, simulation: &Simulation) -> Box<dyn Session> {
    let mut session = venues::open(venue, path).unwrap();
    assert!(session.open(&FaultView::new(simulation)).is_empty());
    session
}

#[test]
fn trades_over_rest_equal_those_of_the_log() {
    let mut simulation = Simulation::new(5, start_time());
    run_live(&mut simulation, 60, |_| {});
    for (venue, symbol) in [("upbit", "KRW-BTC"), ("bithumb", "KRW-BTC")] {
        let rows = get(&simulation, venue, &format!("/v1/trades/ticks?market={symbol}&count=100"));
        let rows = rows.as_array().unwrap();
        let trades: Vec<_> = simulation.by_symbol(venue, symbol).unwrap().trade_log.trades().rev().take(100).collect();
        assert_eq!(rows.len(), 100, "{venue}");
        for (row, trade) in rows.iter().zip(trades) {
            assert_eq!((number(&row["trade_price"]), &row["timestamp"]), (price(trade.price), &trade.at.into()));
            assert_eq!(row["ask_bid"], if trade.taker_sold { "ASK" } else { "BID" });
            let change = number(&row["trade_price"]) - number(&row["prev_closing_price"]);
            assert_eq!(number(&row["change_price"]), change, "{venue}");
        }
        let ids: Vec<i64> = rows.iter().map(|row| row["sequential_id"].as_i64().unwrap()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "{venue}: {ids:?}");
        let next = get(&simulation, venue, &format!("/v1/trades/ticks?market={symbol}&count=50&cursor={}", ids[49]));
        assert_eq!(next.as_array().unwrap()[..], rows[50..], "{venue}: the next page");
    }
    let rows = get(&simulation, "upbit", "/v1/trades/ticks?market=KRW-BTC&days_ago=1&to=12:00:00");
    let seen = (rows[0]["trade_date_utc"].as_str().unwrap(), rows[0]["trade_time_utc"].as_str().unwrap());
    assert!(seen.0 == "2026-01-14" && seen.1 < "12:00:00" && seen.1 > "11:50", "{seen:?}");
    for refused in ["count=501", "to=25:00:00", "days_ago=8", "cursor=x"] {
        let path = format!("/v1/trades/ticks?market=KRW-BTC&{refused}");
        assert_eq!(rest("upbit", &FaultView::new(&simulation), &path).status, 400, "{refused}");
    }
}

#[test]
fn binance_trades_are_served_by_id_and_by_time() {
    let mut simulation = Simulation::new(5, start_time());
    run_live(&mut simulation, 60, |_| {});
    let trades: Vec<_> = simulation.by_symbol("binance", "BTCUSDT").unwrap().trade_log.trades().copied().collect();
    let last = trades.last().unwrap();
    let rows = get(&simulation, "binance", "/api/v3/trades?symbol=BTCUSDT&limit=7");
    let rows = rows.as_array().unwrap();
    assert_eq!((rows.len(), &rows[6]["id"]), (7, &last.id.into()), "the newest, oldest first");
    for (row, trade) in rows.iter().zip(&trades[trades.len() - 7..]) {
        assert_eq!((number(&row["price"]), &row["isBuyerMaker"]), (price(trade.price), &trade.taker_sold.into()));
        let cost = number(&row["price"]) * number(&row["qty"]);
        assert!((number(&row["quoteQty"]) - cost).abs() < price(2), "{row}");
    }
    let from = last.id - 20;
    let path = format!("/api/v3/aggTrades?symbol=BTCUSDT&fromId={from}&limit=5");
    let ids: Vec<u64> =
        get(&simulation, "binance", &path).as_array().unwrap().iter().map(|row| row["a"].as_u64().unwrap()).collect();
    assert_eq!(ids, (from..from + 5).collect::<Vec<_>>());
    let (start, end) = (last.at - 10_000, last.at - 5_000);
    let path = format!("/api/v3/aggTrades?symbol=BTCUSDT&startTime={start}&endTime={end}");
    let times: Vec<i64> =
        get(&simulation, "binance", &path).as_array().unwrap().iter().map(|row| row["T"].as_i64().unwrap()).collect();
    let wanted: Vec<i64> = trades.iter().map(|trade| trade.at).filter(|at| (start..=end).contains(at)).collect();
    assert_eq!(times, wanted);
    let both = format!("/api/v3/aggTrades?symbol=BTCUSDT&startTime={start}&fromId=3");
    assert_eq!(rest("binance", &FaultView::new(&simulation), &both).status, 400);
}

#[test]
fn a_book_encloses_the_last_trade_with_a_spread_of_one_tick() {
    let mut simulation = Simulation::new(5, start_time());
    run_live(&mut simulation, 30, |_| {});
    // The others serve no books.
    let has_books = |venue| ["upbit", "bithumb", "binance"].contains(&venue);
    for market in simulation.all_markets().iter().filter(|market| has_books(market.venue)) {
        let last = market.trade_log.last().unwrap();
        let (bids, asks): (Vec<_>, Vec<_>) = if market.venue == "binance" {
            let book = get(&simulation, market.venue, &format!("/api/v3/depth?symbol={}&limit=20", market.symbol));
            assert_eq!(book["lastUpdateId"], last.id);
            let side = |name: &str| {
                book[name].as_array().unwrap().iter().map(|row| (number(&row[0]), number(&row[1]))).collect()
            };
            (side("bids"), side("asks"))
        } else {
            let book = &get(&simulation, market.venue, &format!("/v1/orderbook?markets={}", market.symbol))[0];
            let units = book["orderbook_units"].as_array().unwrap();
            assert_eq!(units.len(), 30, "{} {}", market.venue, market.symbol);
            let side = |price: &str, size: &str| {
                units.iter().map(|unit| (number(&unit[price]), number(&unit[size]))).collect::<Vec<_>>()
            };
            let total: rust_decimal::Decimal = units.iter().map(|unit| number(&unit["ask_size"])).sum();
            // serde_json has parsed the numbers as floats.
            let off = (number(&book["total_ask_size"]) - total).abs() / total;
            assert!(off < price(1), "{} {}: off by {off}", market.venue, market.symbol);
            (side("bid_price", "bid_size"), side("ask_price", "ask_size"))
        };
        let name = format!("{} {}", market.venue, market.symbol);
        assert!(bids.windows(2).all(|pair| pair[0].0 > pair[1].0), "{name}: {bids:?}");
        assert!(asks.windows(2).all(|pair| pair[0].0 < pair[1].0), "{name}: {asks:?}");
        assert!(bids.iter().chain(&asks).all(|(price, size)| price.is_sign_positive() && !size.is_zero()), "{name}");
        let hit = if last.taker_sold { bids[0].0 } else { asks[0].0 };
        assert_eq!(hit, price(last.price), "{name}: the side that the last taker hit");
        assert!(asks[0].0 - bids[0].0 <= price(market.tick_size()) && asks[0].0 > bids[0].0, "{name}");
    }
    for (path, wanted) in [
        ("/v1/orderbook?markets=KRW-BTC&level=12345", 0),
        ("/v1/orderbook?markets=KRW-BTC,KRW-ETH&count=5", 2),
        ("/v1/orderbook/instruments?markets=KRW-BTC", 1),
        ("/v1/orderbook/supported_levels?markets=KRW-BTC", 1),
    ] {
        assert_eq!(get(&simulation, "upbit", path).as_array().unwrap().len(), wanted, "{path}");
    }
    let gathered = &get(&simulation, "upbit", "/v1/orderbook?markets=KRW-BTC&level=10000")[0]["orderbook_units"];
    for unit in gathered.as_array().unwrap() {
        let remainder = number(&unit["ask_price"]) % rust_decimal::Decimal::from(10_000);
        assert!(remainder.is_zero(), "{unit}");
    }
}

#[test]
fn a_local_book_that_applies_the_updates_equals_the_rest_book() {
    let mut simulation = Simulation::new(9, start_time());
    let mut session = open_session("binance", "/ws/xrpusdt@depth@100ms", &simulation);
    let mut local: Option<(u64, [std::collections::BTreeMap<rust_decimal::Decimal, rust_decimal::Decimal>; 2])> = None;
    let (mut updates, mut last, mut step) = (0, 0, 0);
    run_live(&mut simulation, 120, |simulation| {
        step += 1;
        for event in bodies(session.poll(&FaultView::new(simulation))) {
            assert_eq!(event["e"], "depthUpdate");
            let (first, newest) = (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap());
            assert!(last == 0 || first == last + 1, "a gap between updates {last} and {first}");
            last = newest;
            let Some((id, sides)) = &mut local else { continue };
            // The documented procedure: updates before the snapshot are skipped.
            if newest <= *id {
                continue;
            }
            assert!(first <= *id + 1, "the snapshot {id} is older than the first update {first}");
            for (name, side) in ["b", "a"].into_iter().zip(sides.iter_mut()) {
                for level in event[name].as_array().unwrap() {
                    let (price, size) = (number(&level[0]), number(&level[1]));
                    if size.is_zero() {
                        side.remove(&price)
                    } else {
                        side.insert(price, size)
                    };
                }
            }
            *id = newest;
            updates += 1;
        }
        // The snapshot is fetched between two events.
        if step == 777 {
            let book = get(simulation, "binance", "/api/v3/depth?symbol=XRPUSDT&limit=1000");
            let side = |name: &str| {
                book[name].as_array().unwrap().iter().map(|row| (number(&row[0]), number(&row[1]))).collect()
            };
            local = Some((book["lastUpdateId"].as_u64().unwrap(), [side("bids"), side("asks")]));
        }
        let fetched = get(simulation, "binance", "/api/v3/depth?symbol=XRPUSDT&limit=1000");
        if let Some((id, sides)) = local.as_ref().filter(|(id, _)| fetched["lastUpdateId"] == *id) {
            for (name, side) in ["bids", "asks"].into_iter().zip(sides) {
                let wanted: std::collections::BTreeMap<_, _> =
                    fetched[name].as_array().unwrap().iter().map(|row| (number(&row[0]), number(&row[1]))).collect();
                assert_eq!(*side, wanted, "{name} after update {id}");
            }
        }
    });
    assert!(updates > 50, "{updates} updates");
}

#[test]
fn other_windows_and_averages_are_sums_of_the_trade_log() {
    let mut simulation = Simulation::new(5, start_time());
    run_live(&mut simulation, 30, |_| {});
    let trades: Vec<_> = simulation.by_symbol("binance", "ETHUSDT").unwrap().trade_log.trades().copied().collect();
    let row = get(&simulation, "binance", "/api/v3/ticker?symbol=ETHUSDT&windowSize=4h");
    let from = row["openTime"].as_i64().unwrap();
    let since = simulation.now() - 4 * 3_600_000;
    assert!(from % 60_000 == 0 && (since - 60_000..=since).contains(&from), "{from}");
    let within: Vec<_> = trades.iter().filter(|trade| trade.at >= from).collect();
    assert_eq!(row["count"], within.len());
    assert_eq!(number(&row["openPrice"]), price(within[0].price));
    assert_eq!(number(&row["highPrice"]), price(within.iter().map(|trade| trade.price).max().unwrap()));
    assert_eq!(number(&row["volume"]), within.iter().map(|trade| price(trade.base_volume)).sum());
    let day = get(&simulation, "binance", "/api/v3/ticker/tradingDay?symbols=[%22ETHUSDT%22]&type=MINI");
    assert_eq!(day[0]["openTime"], "2026-01-15T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond());
    let average = get(&simulation, "binance", "/api/v3/avgPrice?symbol=ETHUSDT");
    let recent: Vec<_> = trades.iter().filter(|trade| trade.at >= simulation.now() - 300_000).collect();
    let value: i128 = recent.iter().map(|trade| i128::from(trade.price) * i128::from(trade.base_volume)).sum();
    let volume: i128 = recent.iter().map(|trade| i128::from(trade.base_volume)).sum();
    assert_eq!(number(&average["price"]), price(i64::try_from(value / volume).unwrap()));
    for path in
        ["/api/v3/ticker?symbol=ETHUSDT&windowSize=61m", "/api/v3/ticker", "/api/v3/depth", "/api/v3/depth?symbol=NOPE"]
    {
        assert_eq!(rest("binance", &FaultView::new(&simulation), path).status, 400, "{path}");
    }
}
