//! Candle responses are accepted as a whole or not at all, and truncated payloads are rejected.

use sisepan::market::Minute;
use sisepan::venue::{self, Incoming, Response, RestQuery};

use super::{fixture, folders, market, markets, parse_response, subscribed};

const END: Minute = Minute(1_788_064_020 / 60);

/// Returns a candle row in Upbit's format.
fn minute(time: &str, close: &str) -> String {
    format!(
        r#"{{"market":"KRW-BTC","candle_date_time_utc":"{time}","opening_price":5,"high_price":9,"low_price":1,"trade_price":{close},"unit":1}}"#
    )
}

#[test]
fn a_candle_response_is_accepted_as_a_whole_or_not_at_all() {
    let one = market("BTC-KRW");
    let query = RestQuery::Candles { market: &one, end: END, count: 200 };
    let good = minute("2026-08-30T04:25:00", "5");
    let read = |rows: &[&str]| parse_response(venue::find("upbit").unwrap(), &query, &format!("[{}]", rows.join(",")));
    // A repeated row is ignored, and order does not matter.
    let newer = minute("2026-08-30T04:26:00", "6");
    assert_eq!(read(&[&good, &newer, &good]), read(&[&newer, &good]));
    assert_eq!(read(&[&good, &newer]).len(), 2);
    for (bad, message) in [
        (minute("2026-08-30T04:25:00", "6"), "two different candles for 2026-08-30T04:25:00Z"),
        (minute("2026-08-30T04:24:00", "10"), "candle 1: candle: candle"),
        (minute("2026-08-30T04:24:00", "0"), "candle 1: trade_price: not-positive"),
        (minute("2026-08-30T04:24:30", "5"), "candle 1: candle_date_time_utc: time"),
        (minute("24 August", "5"), "candle 1: candle_date_time_utc: missing"),
        (minute("2026-08-30T04:27:00", "5"), "candle 1: 2026-08-30T04:27:00Z is not before 2026-08-30T04:27:00Z"),
        (minute("2026-08-30T04:24:00", "5").replace("KRW-BTC", "KRW-ETH"), "candle 1: market: symbol"),
        (minute("2026-08-30T04:24:00", "5").replace(r#""unit":1"#, r#""unit":3"#), "candle 1: unit: candle"),
        (minute("2026-08-30T04:24:00", "5").replace(r#","unit":1"#, ""), "candle 1: unit: candle"),
        ("[]".to_owned(), "candle 1: record: type"),
    ] {
        assert_eq!(read(&[&good, &bad]), [format!("error unreadable answer: {message}")]);
    }
}

#[test]
fn a_binance_response_keeps_its_flat_candles_and_its_order() {
    let one = market("BTC-USDT");
    let query = RestQuery::Candles { market: &one, end: END, count: 2 };
    let row = |minute: i64, prices: [&str; 4]| {
        let [open, high, low, close] = prices;
        let (start, end) = (minute * 60_000, minute * 60_000 + 59_999);
        format!(r#"[{start},"{open}","{high}","{low}","{close}","0.0",{end},"0.0",0,"0","0","0"]"#)
    };
    let body = format!("[{},{}]", row(END.0 - 2, ["5", "7", "4", "6"]), row(END.0 - 1, ["6"; 4]));
    assert_eq!(
        parse_response(venue::find("binance").unwrap(), &query, &body),
        ["2026-08-30T04:25:00Z 5 7 4 6 0.0 0.0", "2026-08-30T04:26:00Z 6 6 6 6 0.0 0.0"]
    );
    for bad in [row(END.0 - 3, ["5", "7", "4", "8"]), "[1788063900000,\"5\"]".to_owned(), "{}".to_owned()] {
        let body = format!("[{bad},{}]", row(END.0 - 1, ["6"; 4]));
        assert!(
            parse_response(venue::find("binance").unwrap(), &query, &body)[0]
                .starts_with("error unreadable answer: candle 0")
        );
    }
}

/// Their rows are arrays in the same order; KuCoin's are of strings, have one figure more, and are in an envelope.
#[test]
fn bitfinex_and_kucoin_candles_have_the_close_second_and_are_accepted_as_a_whole_or_not_at_all() {
    let one = market("BTC-USDT");
    let query = RestQuery::Candles { market: &one, end: END, count: 200 };
    for id in ["bitfinex", "kucoin"] {
        let is_kucoin = id == "kucoin";
        let begin = |minute: i64| if is_kucoin { minute * 60 } else { minute * 60_000 }.to_string();
        let row = |figures: &[&str]| {
            let quote = |figure: &&str| {
                if figure.parse::<f64>().is_ok() { format!("\"{figure}\"") } else { (*figure).to_owned() }
            };
            let figures: Vec<String> = if is_kucoin {
                figures.iter().chain(&["7"]).map(quote).collect()
            } else {
                figures.iter().map(|figure| (*figure).to_owned()).collect()
            };
            format!("[{}]", figures.join(","))
        };
        let read = |rows: &[&str]| {
            let list = format!("[{}]", rows.join(","));
            let body = if is_kucoin { format!(r#"{{"code":"200000","data":{list}}}"#) } else { list };
            parse_response(venue::find(id).unwrap(), &query, &body)
        };
        let (older, newer) = (begin(END.0 - 3), begin(END.0 - 1));
        let (good, newest) = (row(&[&older, "5", "6", "9", "1", "2.5"]), row(&[&newer, "6", "8", "8", "6", "0"]));
        // Newest first, as they are sent.
        let quote_volume = if is_kucoin { "7" } else { "-" };
        let expected = [
            format!("2026-08-30T04:24:00Z 5 9 1 6 2.5 {quote_volume}"),
            format!("2026-08-30T04:26:00Z 6 8 6 8 0 {quote_volume}"),
        ];
        assert_eq!(read(&[&newest, &good]), expected, "{id}");
        assert_eq!(read(&[&good, &newest, &good]), expected, "{id}");
        assert!(read(&[]).is_empty(), "{id}: no candle");
        // Volumes have no part in a base.
        let odd_volume = row(&[&older, "5", "6", "9", "1", "null"]);
        assert_eq!(read(&[&odd_volume])[0], expected[0].replace(" 2.5 ", " - "), "{id}");
        let (other, half, end) = (begin(END.0 - 2), begin(END.0 - 2), begin(END.0));
        let half = format!("{}{}", &half[..half.len() - 1], 7);
        for (bad, message) in [
            (row(&[&older, "5", "7", "9", "1", "2.5"]), "two different candles for 2026-08-30T04:24:00Z"),
            (row(&[&other, "5", "10", "9", "1", "1"]), "candle 1: candle: candle"),
            (row(&[&other, "5", "6", "5", "1", "1"]), "candle 1: candle: candle"),
            (
                row(&[&end, "5", "6", "9", "1", "1"]),
                "candle 1: 2026-08-30T04:27:00Z is not before 2026-08-30T04:27:00Z",
            ),
            (row(&[&half, "5", "6", "9", "1", "1"]), "candle 1: time: time"),
            (
                row(&["null", "5", "6", "9", "1", "1"]),
                if is_kucoin { "candle 1: time: time" } else { "candle 1: time: missing" },
            ),
            (row(&["true", "5", "6", "9", "1", "1"]), "candle 1: time: type"),
            (row(&["-60000", "5", "6", "9", "1", "1"]), "candle 1: time: time"),
            (row(&["1e30", "5", "6", "9", "1", "1"]), "candle 1: time: time"),
            (row(&[&other, "null", "6", "9", "1", "1"]), "candle 1: open: null"),
            (row(&[&other, "5", "0", "9", "1", "1"]), "candle 1: close: not-positive"),
            (row(&[&other, "5", "6", "[]", "1", "1"]), "candle 1: high: type"),
            (row(&[&other, "5", "6", "9", "\"NaN\"", "1"]), "candle 1: low: malformed"),
            (row(&[&other, "5", "6", "9", "\"\"", "1"]), "candle 1: low: empty"),
            (row(&[&other, "5", "6", "9", "1"]), "candle 1: record: type"),
            (row(&[&other, "5", "6", "9", "1", "1", "1"]), "candle 1: record: type"),
            ("[]".to_owned(), "candle 1: record: type"),
            ("null".to_owned(), "candle 1: record: type"),
            (r#"{"time":1}"#.to_owned(), "candle 1: record: type"),
        ] {
            assert_eq!(read(&[&good, &bad]), [format!("error unreadable answer: {message}")], "{id}: {bad}");
        }
    }
}

#[test]
fn a_truncated_payload_is_rejected_by_every_exchange() {
    let requested = markets("BTC-KRW");
    for (id, expected) in folders() {
        for file in expected.iter().map(|expected| expected.file) {
            let whole = fixture(id, file);
            let whole = whole.trim_end();
            for at in (0..whole.len()).filter(|&at| whole.is_char_boundary(at)) {
                let cut = &whole[..at];
                // Parsed by its own venue and by all others.
                for venue in venue::ALL {
                    assert!(venue.session().parse(cut).is_err(), "{id}/{file} at {at}");
                    assert!(venue.response(&RestQuery::Tickers(&requested), cut).is_err(), "{id}/{file} at {at}");
                }
            }
        }
    }
}

#[test]
fn no_exchange_parses_a_price_from_the_payloads_of_another() {
    for (id, expected) in folders() {
        for file in expected.iter().map(|expected| expected.file) {
            let body = fixture(id, file);
            for other in venue::ALL.iter().filter(|other| has_other_format(id, other.profile().id.as_str())) {
                if let Ok(Incoming::Tickers(records)) = subscribed(*other).parse(&body) {
                    assert!(records.iter().all(|record| record.ticker.is_err()), "{id}/{file}");
                }
                if let Ok(Response::Tickers(records)) = other.response(&RestQuery::Tickers(&markets("BTC-KRW")), &body)
                {
                    assert!(records.iter().all(|record| record.ticker.is_err()), "{id}/{file}");
                }
            }
        }
    }
}

/// Upbit and Bithumb share a format; the others have their own.
fn has_other_format(one: &str, other: &str) -> bool {
    let is_korean = |id| ["upbit", "bithumb"].contains(&id);
    one != other && !(is_korean(one) && is_korean(other))
}
