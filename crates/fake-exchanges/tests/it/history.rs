//! A history that is longer than that of single trades: older minutes have candles only.

use std::collections::BTreeMap;
use std::time::Duration;

use fake_exchanges::{FaultView, HISTORY, Options, Simulation, rest, start, venues};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::Value;

use super::client::start_time;

const MINUTE: i64 = 60_000;
const DAYS: i64 = 8;
const EIGHT_DAYS: Duration = Duration::from_hours(8 * 24);

fn simulation(seed: u64) -> Simulation {
    Simulation::with_history(seed, start_time(), EIGHT_DAYS)
}

/// Returns the closes of all complete minutes, by the start of the minute.
fn truth(simulation: &Simulation, venue: &str, market: &str) -> BTreeMap<i64, Decimal> {
    let minutes = simulation.truth(venue, market).unwrap().minutes;
    minutes.into_iter().map(|(start, close)| (start.as_millisecond(), close)).collect()
}

fn number(value: &Value) -> Decimal {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let number = text.parse().or_else(|_| Decimal::from_scientific(&text));
    number.unwrap_or_else(|error| panic!("{error}: {text}")).normalize()
}

/// Requests a page of minute candles that begin before `end` (Unix ms); returns start and close.
fn page(simulation: &Simulation, venue: &str, symbol: &str, end: i64) -> Vec<(i64, Decimal)> {
    let utc = Timestamp::from_millisecond(end).unwrap();
    let path = match venue {
        "binance" => {
            format!("/api/v3/klines?symbol={symbol}&interval=1m&limit=1000&endTime={}", end - 1)
        }
        "bitfinex" => format!("/v2/candles/trade:1m:{symbol}/hist?limit=1000&end={}", end - 1),
        "kucoin" => format!("/api/v1/market/candles?type=1min&symbol={symbol}&endAt={}", end / 1000 - 1),
        "upbit" => format!("/v1/candles/minutes/1?market={symbol}&count=200&to={utc}"),
        _ => format!("/v1/candles/minutes/1?market={symbol}&count=200&to={}", utc + SignedDuration::from_hours(9))
            .replace('Z', ""),
    };
    let body: Value = serde_json::from_slice(&rest(venue, &FaultView::new(simulation), &path).body).unwrap();
    let rows = body.get("data").unwrap_or(&body).as_array().unwrap_or_else(|| panic!("{venue}: {body}"));
    let row = |row: &Value| match venue {
        "binance" => (row[0].as_i64().unwrap(), number(&row[4])),
        "bitfinex" => (row[0].as_i64().unwrap(), number(&row[2])),
        "kucoin" => (row[0].as_str().unwrap().parse::<i64>().unwrap() * 1000, number(&row[2])),
        _ => {
            let start = format!("{}Z", row["candle_date_time_utc"].as_str().unwrap());
            (start.parse::<Timestamp>().unwrap().as_millisecond(), number(&row["trade_price"]))
        }
    };
    rows.iter().map(row).collect()
}

#[test]
fn truth_and_the_candles_of_every_exchange_agree_over_eight_days() {
    let mut simulation = simulation(3);
    simulation.advance(start_time() + SignedDuration::from_mins(5));
    // Kraken has candles of half a day only.
    for venue in venues::ids().filter(|id| *id != "kraken") {
        for asset in ["BTC", "BSV", "WAXP"] {
            let mut markets = simulation.markets_of(venue);
            let market = markets.find(|market| market.asset.id == asset).unwrap();
            let truth = truth(&simulation, venue, &market.name);
            let first = *truth.keys().next().unwrap();
            let (mut end, mut candles) = (simulation.now() - simulation.now().rem_euclid(MINUTE), BTreeMap::new());
            let begin = start_time().as_millisecond();
            assert_eq!(first, begin - begin.rem_euclid(MINUTE) - DAYS * 24 * 60 * MINUTE, "{venue} {asset}");
            assert_eq!(truth.len(), usize::try_from((end - first) / MINUTE).unwrap(), "{venue} {asset}");
            while end > first {
                let rows = page(&simulation, venue, &market.symbol, end);
                end = rows.iter().map(|(start, _)| *start).min().unwrap();
                candles.extend(rows);
            }
            assert_eq!(candles.keys().next(), Some(&first), "{venue} {asset}");
            let mut last = None;
            for (start, close) in &truth {
                last = candles.get(start).copied().or(last);
                assert_eq!(last, Some(*close), "{venue} {asset} {start}");
            }
            let closes = market.minute_closes(simulation.now()).unwrap();
            assert_eq!(closes.span.start.as_millisecond(), first);
            assert_eq!(closes.span.end.as_millisecond(), truth.keys().last().unwrap() + MINUTE);
            // Binance has candles for minutes without trades as well.
            let traded: Vec<_> = closes.closes.iter().map(|(at, price)| (at.as_millisecond(), *price)).collect();
            assert!(traded.iter().all(|(at, price)| candles.get(at) == Some(price)), "{venue} {asset}");
            assert!(venue == "binance" || traded.len() == candles.len(), "{venue} {asset}");
        }
    }
}

#[test]
fn older_prices_are_reproducible_continuous_and_change_nothing_after_them() {
    let (long, short, other) = (simulation(7), Simulation::new(7, start_time()), simulation(8));
    let mut later = simulation(7);
    later.set_price("upbit", "BTC-KRW", Decimal::from(200_000_000), false).unwrap();
    later.advance(start_time() + SignedDuration::from_mins(30));
    let mut differing = 0;
    for (market, newest) in long.all_markets().iter().zip(short.all_markets()) {
        let name = format!("{} {}", market.venue, market.name);
        let price = |simulation: &Simulation| truth(simulation, market.venue, &market.name);
        let (closes, newest_closes) = (price(&long), price(&short));
        assert!(newest_closes.iter().all(|(at, close)| closes.get(at) == Some(close)), "{name}");
        assert!(
            market
                .trade_log
                .trades()
                .map(|trade| (trade.at, trade.price))
                .eq(newest.trade_log.trades().map(|trade| (trade.at, trade.price)))
        );
        let asked_later = price(&later);
        assert!(closes.iter().all(|(at, close)| asked_later.get(at) == Some(close)), "{name}");
        differing += usize::from(price(&other) != closes);
        let prices: Vec<Decimal> = closes.into_values().collect();
        let tick = Decimal::new(market.tick_size(), 8);
        for pair in prices.windows(2) {
            let step = (pair[1] - pair[0]).abs();
            assert!(step <= pair[0] / Decimal::from(100) + tick * Decimal::TWO, "{name}: {pair:?}");
        }
        let reference = Decimal::new((market.listing.reference_price)(&market.asset), 8);
        let is_near = |price: &Decimal| (price - reference).abs() < reference / Decimal::TEN;
        assert!(prices.iter().all(is_near), "{name}");
    }
    assert_eq!(differing, long.all_markets().len());
}

#[test]
fn ids_of_trades_continue_and_sums_over_a_week_contain_older_minutes() {
    let simulation = simulation(1);
    let market = simulation.market("binance", "BTC-USDT").unwrap();
    let log = &market.trade_log;
    let candles: Vec<_> = log.minute_candles(i64::MIN, i64::MAX).copied().collect();
    assert!(candles[0].first_id >= 1);
    for pair in candles.windows(2) {
        assert!(pair[0].start < pair[1].start && pair[0].last_id + 1 == pair[1].first_id, "{pair:?}");
    }
    assert!(candles.iter().rev().eq(log.minute_candles(i64::MIN, i64::MAX).collect::<Vec<_>>().iter().rev().copied()));
    let from = candles[1000].start;
    let volume: i128 = candles[1000..].iter().map(|candle| candle.base_volume).sum();
    assert_eq!(log.ohlcv_since(from).unwrap().base_volume, volume);
    let before = log.before(from).unwrap();
    assert_eq!((before.at, before.price, before.id), (candles[999].last_at, candles[999].close, candles[999].last_id));
    assert_eq!(log.before(candles[0].start), None);
}

#[test]
fn candles_stay_complete_while_single_trades_are_dropped() {
    let mut simulation = simulation(5);
    let before = truth(&simulation, "upbit", "XRP-KRW");
    for hours in 1..=12 {
        simulation.advance(start_time() + SignedDuration::from_hours(hours));
    }
    let market = simulation.market("upbit", "XRP-KRW").unwrap();
    let oldest = market.trade_log.trades().next().unwrap().at;
    assert!(oldest > start_time().as_millisecond() - 20 * 60 * MINUTE, "single trades are dropped");
    let after = truth(&simulation, "upbit", "XRP-KRW");
    assert!(after.len() >= before.len(), "{} minutes, {} before", after.len(), before.len());
    assert!(after.keys().zip(after.keys().skip(1)).all(|(minute, next)| minute + MINUTE == *next));
    let common: Vec<_> = before.iter().filter(|(start, _)| after.contains_key(start)).collect();
    assert!(common.len() > 7 * 24 * 60 && common.iter().all(|(start, close)| after[start] == **close));
}

#[tokio::test]
async fn the_history_is_an_option_and_its_minute_closes_are_those_of_the_truth() {
    for history in [Duration::from_hours(2), HISTORY, EIGHT_DAYS] {
        let clock = fake_exchanges::Clock::manual(start_time());
        let fake = start(Options { clock, history, ..Options::default() }).await.unwrap();
        let closes = fake.minute_closes("kucoin", "SAND-USDT").unwrap();
        assert_eq!(closes.span.end, "2026-01-15T06:27:00Z".parse().unwrap());
        assert_eq!(closes.span.end.duration_since(closes.span.start), SignedDuration::try_from(history).unwrap());
        let mut closes = closes.closes.into_iter().peekable();
        let mut last = None;
        for (start, close) in fake.truth("kucoin", "SAND-USDT").unwrap().minutes {
            last = closes.next_if(|(at, _)| *at == start).map(|(_, price)| price).or(last);
            assert_eq!(last, Some(close), "{start}");
        }
        assert_eq!(closes.next(), None);
        assert_eq!(fake.minute_closes("kucoin", "NO-USDT"), None);
        fake.shutdown().await;
    }
}
