//! Minute candles, checked against a naive grouping of the trade log.

use fake_exchanges::series::CandleSeries;
use fake_exchanges::trade_log::Trade;
use fake_exchanges::units::parse;
use fake_exchanges::{FaultView, Simulation, rest};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::client::start_time;

const MINUTE: i64 = 60_000;

/// Returns a simulation that has traded live for a while and is in the middle of a minute.
fn live_simulation() -> Simulation {
    let mut simulation = Simulation::new(11, start_time());
    simulation.advance(start_time() + SignedDuration::from_millis(1_234_567));
    simulation
}

fn get(simulation: &Simulation, venue: &str, path: &str) -> Vec<Value> {
    let answer = rest(venue, &FaultView::new(simulation), path);
    let body = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 200, "{venue} {path}: {body}");
    let rows: Value = serde_json::from_str(&body).unwrap();
    rows.as_array().unwrap_or_else(|| panic!("{venue} {path}: {body}")).clone()
}

struct Naive {
    begin: i64,
    prices: [i64; 4],
    volume: i128,
    count: usize,
}

/// Returns the minutes that have trades, oldest first.
fn naive(trades: &[Trade]) -> Vec<Naive> {
    let mut candles: Vec<Naive> = Vec::new();
    for trade in trades {
        let begin = trade.at - trade.at.rem_euclid(MINUTE);
        match candles.last_mut().filter(|last| last.begin == begin) {
            Some(last) => {
                let [open, high, low, _] = last.prices;
                last.prices = [open, high.max(trade.price), low.min(trade.price), trade.price];
                last.volume += i128::from(trade.base_volume);
                last.count += 1;
            }
            None => candles.push(Naive { begin, prices: [trade.price; 4], volume: trade.base_volume.into(), count: 1 }),
        }
    }
    candles
}

/// Parses a JSON number, or a string that holds one, to units of 10^-8.
fn units(value: &Value) -> i128 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    assert!(fraction.len() <= 8 && !text.contains(['e', 'E']), "{text}");
    format!("{whole}{fraction:0<8}").parse().unwrap()
}

#[test]
fn candles_of_upbit_and_bithumb_equal_those_of_the_trade_log() {
    let simulation = live_simulation();
    for (venue, symbol) in
        [("upbit", "KRW-BTC"), ("upbit", "KRW-SAND"), ("bithumb", "KRW-BTC"), ("bithumb", "KRW-SAND")]
    {
        let trades: Vec<Trade> = simulation.by_symbol(venue, symbol).unwrap().trade_log.trades().copied().collect();
        let rows = get(&simulation, venue, &format!("/v1/candles/minutes/1?market={symbol}&count=200"));
        let wanted = naive(&trades);
        assert_eq!(rows.len(), wanted.len().min(200), "{venue} {symbol}");
        for (row, wanted) in rows.iter().zip(wanted.iter().rev()) {
            let at = format!("{}Z", row["candle_date_time_utc"].as_str().unwrap());
            assert_eq!(at.parse::<Timestamp>().unwrap().as_millisecond(), wanted.begin, "{venue} {symbol}");
            let prices = ["opening_price", "high_price", "low_price", "trade_price"];
            for (name, price) in prices.into_iter().zip(wanted.prices) {
                assert_eq!(units(&row[name]), price.into(), "{venue} {symbol} {at} {name}");
            }
            assert_eq!(units(&row["candle_acc_trade_volume"]), wanted.volume, "{venue} {symbol} {at}");
            assert_eq!(row["unit"], 1, "{venue} {symbol} {at}");
        }
    }
}

#[test]
fn candles_of_bitfinex_and_kucoin_come_newest_first_without_quiet_minutes() {
    let simulation = live_simulation();
    for (venue, symbol) in
        [("bitfinex", "tBTCUSD"), ("bitfinex", "tSAND:USD"), ("kucoin", "BTC-USDT"), ("kucoin", "SAND-USDT")]
    {
        let is_kucoin = venue == "kucoin";
        let rows = |from: i64, to: i64| -> Vec<(i64, Vec<i128>)> {
            let path = if is_kucoin {
                let (from, to) = (from / 1000, to / 1000);
                format!("/api/v1/market/candles?type=1min&symbol={symbol}&startAt={from}&endAt={to}")
            } else {
                format!("/v2/candles/trade:1m:{symbol}/hist?start={from}&end={to}&limit=1500")
            };
            let body = rest(venue, &FaultView::new(&simulation), &path).body;
            let body: Value = serde_json::from_slice(&body).unwrap();
            let rows = body.get("data").unwrap_or(&body).as_array().unwrap();
            let read = |row: &Value| {
                let cells = row.as_array().unwrap();
                assert_eq!(cells.len(), if is_kucoin { 7 } else { 6 }, "{venue} {row}");
                // In seconds and as a string, or in milliseconds and as a number.
                let start = match &cells[0] {
                    Value::String(second) => second.parse::<i64>().unwrap() * 1000,
                    ms => ms.as_i64().unwrap(),
                };
                (start, cells[1..6].iter().map(units).collect())
            };
            rows.iter().map(read).collect()
        };
        let trades: Vec<Trade> = simulation.by_symbol(venue, symbol).unwrap().trade_log.trades().copied().collect();
        let wanted: Vec<(i64, Vec<i128>)> = naive(&trades)
            .into_iter()
            .map(|candle| {
                let [open, high, low, close] = candle.prices.map(i128::from);
                (candle.begin, vec![open, close, high, low, candle.volume])
            })
            .rev()
            .collect();
        assert_eq!(rows(0, simulation.now()), wanted[..wanted.len().min(1500)], "{venue} {symbol}");
        // Both ends are inclusive.
        let (newest, oldest) = (wanted[1].0, wanted[9].0);
        assert_eq!(rows(oldest, newest), wanted[1..=9], "{venue} {symbol}");
        assert_eq!(rows(oldest + 1000, newest - 1000), wanted[2..9], "{venue} {symbol}");
    }
}

#[test]
fn klines_have_no_gaps_and_equal_those_of_the_trade_log() {
    let simulation = live_simulation();
    for symbol in ["BTCUSDT", "SANDUSDT"] {
        let trades: Vec<Trade> = simulation.by_symbol("binance", symbol).unwrap().trade_log.trades().copied().collect();
        let klines =
            |more: &str| get(&simulation, "binance", &format!("/api/v3/klines?symbol={symbol}&interval=1m&{more}"));
        let wanted = naive(&trades);
        let newest = simulation.now() - simulation.now().rem_euclid(MINUTE);
        let rows = klines("limit=1000");
        assert_eq!((rows.len(), &rows[999][0]), (1000, &newest.into()), "{symbol}");
        // All of them: the second page begins where the first one ends.
        let first = klines("limit=1000&startTime=0");
        assert_eq!(first[0][0], wanted[0].begin, "{symbol}: not from the first trade on");
        let rest = klines(&format!("limit=1000&startTime={}", first[999][6]));
        let rows = [first, rest].concat();
        assert_eq!(rows.last().unwrap()[0], newest, "{symbol}");
        for pair in rows.windows(2) {
            assert_eq!(pair[0][6].as_i64().unwrap() + 1, pair[1][0].as_i64().unwrap(), "{symbol}");
        }
        let mut close = None;
        for row in &rows {
            let begin = row[0].as_i64().unwrap();
            let prices = [1, 2, 3, 4].map(|cell: usize| units(&row[cell]));
            match wanted.iter().find(|candle| candle.begin == begin) {
                Some(candle) => {
                    assert_eq!(prices, candle.prices.map(i128::from), "{symbol} {begin}");
                    assert_eq!(units(&row[5]), candle.volume, "{symbol} {begin}");
                    assert_eq!(row[8].as_u64().unwrap(), candle.count as u64, "{symbol} {begin}");
                }
                None => {
                    assert_eq!((units(&row[5]), row[8].as_u64()), (0, Some(0)), "{symbol} {begin}");
                    assert!(prices.iter().all(|price| close.is_none_or(|close| *price == close)), "{symbol} {begin}");
                }
            }
            close = Some(prices[3]);
        }
    }
}

#[test]
fn klines_respect_start_time_end_time_and_limit() {
    let simulation = live_simulation();
    let opens = |more: &str| -> Vec<i64> {
        let rows = get(&simulation, "binance", &format!("/api/v3/klines?symbol=BTCUSDT&interval=1m{more}"));
        rows.iter().map(|row| row[0].as_i64().unwrap()).collect()
    };
    let from = "2026-01-15T03:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
    let to = from + 3 * MINUTE;
    let minutes: Vec<i64> = (0..4).map(|count| from + count * MINUTE).collect();
    assert_eq!(opens(&format!("&startTime={from}&endTime={to}")), minutes);
    assert_eq!(opens(&format!("&startTime={}&endTime={to}", from + 1)), minutes[1..]);
    assert_eq!(opens(&format!("&startTime={}&endTime={to}", from - MINUTE + 1)), minutes);
    assert_eq!(opens(&format!("&startTime={from}&limit=2")), minutes[..2]);
    assert_eq!(opens(&format!("&endTime={}&limit=2", to + MINUTE - 1)), minutes[2..]);
    assert_eq!(opens("&startTime=0&limit=1000").len(), 1000, "not from the first trade on");
    assert_eq!(opens("").len(), 500);
    assert_eq!(opens("&limit=5000").len(), 1000);
    assert!(opens("&endTime=5").is_empty() && opens(&format!("&startTime={}", simulation.now() + 1)).is_empty());
}

#[test]
fn numbers_of_a_series_may_have_an_exponent() {
    let series = |open: &str| CandleSeries::parse(&format!("[[60000,{open},2e-4,9e-05,1.1E-4,12.5]]"));
    let written = [series("9.417e-05").unwrap(), series("0.00009417").unwrap()].map(|series| format!("{series:?}"));
    assert_eq!(written[0], written[1]);
    assert_eq!(format!("{:?}", series("1200e-4").unwrap()), format!("{:?}", series("0.12").unwrap()));
    for wrong in ["\"1\"", "9.417e-07", "1e30", "1e-30", "0.12345678901234567890123456789", "1e999999999999", "-1"] {
        let error = format!("{:#}", series(wrong).unwrap_err());
        assert!(error.starts_with("candle 0: "), "{wrong}: {error}");
    }
}

#[test]
fn a_number_is_read_exactly_or_not_at_all() {
    for (text, value) in
        [("5", "5"), ("-0.50", "-0.5"), ("+1e2", "100"), ("0e5", "0"), ("100e-29", "0.000000000000000000000000001")]
    {
        assert_eq!(parse(text).unwrap().to_string(), value, "{text}");
    }
    for malformed in ["", "-", ".5", "5.", "1.e3", "1_000", "1e", "1e-+5", "e5", "0x10", "1 ", "٣"] {
        assert_eq!(parse(malformed), Err("number is malformed"), "{malformed}");
    }
    for inexact in ["0.12345678901234567890123456789", "1e29", "1e-29", "1e2147483647", "79228162514264337593543950336"]
    {
        assert_eq!(parse(inexact), Err("number can't be represented exactly"), "{inexact}");
    }
}
