//! The simulation without sockets: reproducible, natural, and consistent with its trade log.

use fake_exchanges::trade_log::Trade;
use fake_exchanges::{FaultView, Simulation, rest};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::Value;

use super::client::start_time;

fn trades(simulation: &Simulation) -> Vec<Vec<Trade>> {
    simulation.all_markets().iter().map(|market| market.trade_log.trades().copied().collect()).collect()
}

fn after(seconds: i64) -> Timestamp {
    start_time() + SignedDuration::from_secs(seconds)
}

fn get(simulation: &Simulation, venue: &str, path: &str) -> Value {
    serde_json::from_slice(&rest(venue, &FaultView::new(simulation), path).body).unwrap()
}

#[test]
fn the_trades_do_not_depend_on_how_the_walk_is_stepped() {
    let (mut once, mut often) = (Simulation::new(7, start_time()), Simulation::new(7, start_time()));
    once.advance(after(1800));
    for tenth in 0..=18_000 {
        often.advance(start_time() + SignedDuration::from_millis(tenth * 100));
    }
    assert_eq!(trades(&once), trades(&often));
    assert_ne!(trades(&once), trades(&Simulation::new(7, start_time())));
    let mut other = Simulation::new(8, start_time());
    other.advance(after(1800));
    assert_ne!(trades(&once), trades(&other));
}

#[test]
fn the_changes_over_24_hours_look_natural_and_have_both_signs() {
    for seed in 0..5 {
        let simulation = Simulation::new(seed, start_time());
        let (mut up, mut down) = (0, 0);
        for market in simulation.all_markets() {
            let now = market.trade_log.last().unwrap().price;
            let then = market.trade_log.at_or_before(simulation.now() - 86_400_000).unwrap().price;
            let percent = Decimal::from(now - then) * Decimal::ONE_HUNDRED / Decimal::from(then);
            assert!(percent.abs() < Decimal::from(7), "{} {}: {percent} %", market.venue, market.name);
            up += i32::from(now > then);
            down += i32::from(now < then);
        }
        assert!(up > 10 && down > 10, "seed {seed}: {up} up, {down} down");
    }
}

#[test]
fn markets_trade_at_their_rate_from_whatever_second_of_a_minute_they_start_in() {
    for second in [0, 1, 29, 50] {
        let start = after(second);
        let mut simulation = Simulation::new(1, start);
        simulation.advance(start + SignedDuration::from_secs(10));
        for market in simulation.all_markets().iter().filter(|market| market.name.starts_with("BTC-")) {
            let trades = market.trade_log.trades().filter(|trade| trade.at > start.as_millisecond()).count();
            assert!(trades > 3, "{}: {trades} trades in ten seconds from second {second} on", market.venue);
        }
    }
}

#[test]
fn prices_are_multiples_of_the_tick_size_near_the_reference_and_some_markets_are_quiet() {
    let mut simulation = Simulation::new(1, start_time());
    simulation.advance(after(1800));
    let bitcoin = simulation.market("bithumb", "BTC-KRW").unwrap();
    let last = bitcoin.trade_log.last().unwrap().price / 100_000_000;
    assert!((138_000_000..146_000_000).contains(&last), "{last}");
    assert_eq!(last % 1000, 0);
    let live = |name| {
        let market = simulation.market("upbit", name).unwrap();
        market.trade_log.trades().filter(|trade| trade.at > start_time().as_millisecond()).count()
    };
    assert!(live("BTC-KRW") > 1500, "{}", live("BTC-KRW"));
    assert!(live("SAND-KRW") < 40, "{}", live("SAND-KRW"));
    assert!(live("WAXP-KRW") < 5, "{}", live("WAXP-KRW"));
}

#[test]
fn truth_candles_and_tickers_agree() {
    let mut simulation = Simulation::new(3, start_time());
    simulation.advance(after(600));
    for (venue, market, symbol) in [
        ("upbit", "BTC-KRW", "KRW-BTC"),
        ("bithumb", "SAND-KRW", "KRW-SAND"),
        ("binance", "PEPE-USDT", "PEPEUSDT"),
        ("bitfinex", "DOGE-USD", "tDOGE:USD"),
        ("kucoin", "BTC-USDT", "BTC-USDT"),
    ] {
        let truth = simulation.truth(venue, market).unwrap();
        let closes: std::collections::BTreeMap<i64, Decimal> =
            truth.minutes.iter().map(|(start, close)| (start.as_millisecond(), *close)).collect();
        assert!(closes.len() > 24 * 60, "{venue}: only {} minutes", closes.len());
        let (ticker, last, candles) = match venue {
            "binance" => (format!("/api/v3/ticker/24hr?symbols=[%22{symbol}%22]"), "/0/lastPrice", 1000),
            "bitfinex" => (format!("/v2/tickers?symbols={symbol}"), "/0/7", 1000),
            "kucoin" => (format!("/api/v1/market/stats?symbol={symbol}"), "/data/last", 1000),
            _ => (format!("/v1/ticker?markets={symbol}"), "/0/trade_price", 200),
        };
        assert_eq!(number(get(&simulation, venue, &ticker).pointer(last).unwrap()), truth.last, "{venue}");
        let newest = simulation.now() / 60_000 * 60;
        let path = match venue {
            "binance" => format!("/api/v3/klines?symbol={symbol}&interval=1m&limit={candles}"),
            "bitfinex" => format!("/v2/candles/trade:1m:{symbol}/hist?limit={candles}"),
            "kucoin" => format!("/api/v1/market/candles?type=1min&symbol={symbol}&startAt={}", newest - 999 * 60),
            _ => format!("/v1/candles/minutes/1?market={symbol}&count={candles}"),
        };
        let rows = get(&simulation, venue, &path);
        let rows = rows.get("data").unwrap_or(&rows).as_array().unwrap();
        assert_eq!(rows.len(), candles, "{venue}");
        let mut compared = 0;
        for row in rows {
            let (start, close) = match venue {
                "binance" => (row[0].as_i64().unwrap(), &row[4]),
                "bitfinex" => (row[0].as_i64().unwrap(), &row[2]),
                "kucoin" => (row[0].as_str().unwrap().parse::<i64>().unwrap() * 1000, &row[2]),
                _ => (utc(row["candle_date_time_utc"].as_str().unwrap()), &row["trade_price"]),
            };
            if let Some(wanted) = closes.get(&start) {
                assert_eq!(number(close), *wanted, "{venue} {start}");
                compared += 1;
            }
        }
        assert!(compared >= candles - 1, "{venue}: compared {compared}");
    }
}

#[test]
fn a_set_price_is_exact_and_is_held() {
    let mut simulation = Simulation::new(3, start_time());
    simulation.set_price("bithumb", "BTC-KRW", "142187000".parse().unwrap(), true).unwrap();
    simulation.set_price("upbit", "BTC-KRW", "200000000".parse().unwrap(), false).unwrap();
    simulation.advance(after(300));
    assert_eq!(simulation.truth("bithumb", "BTC-KRW").unwrap().last, Decimal::from(142_187_000));
    let moved = simulation.truth("upbit", "BTC-KRW").unwrap().last;
    assert!(moved != Decimal::from(200_000_000) && moved > Decimal::from(195_000_000), "{moved}");
    for (venue, market, price) in [("bithumb", "NO-KRW", "1"), ("bithumb", "BTC-KRW", "0"), ("nowhere", "BTC-KRW", "1")]
    {
        assert!(
            simulation.set_price(venue, market, price.parse().unwrap(), false).is_err(),
            "{venue} {market} {price}"
        );
    }
}

fn utc(text: &str) -> i64 {
    format!("{text}Z").parse::<Timestamp>().unwrap().as_millisecond()
}

/// Parses a JSON number, or a string that holds one; prices here have few enough digits to survive a float.
fn number(value: &Value) -> Decimal {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let number = text.parse().or_else(|_| Decimal::from_scientific(&text));
    number.unwrap_or_else(|error| panic!("{error}: {text}")).normalize()
}
