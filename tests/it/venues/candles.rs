//! A candle answer is whole or nothing, and a cut payload is never more than it says.

use sisepan::domain::Minute;
use sisepan::venue::{self, Answer, Ask, Incoming};

use super::{answer, fixture, folders, market, markets};

const END: Minute = Minute(1_788_064_020 / 60);

/// One candle row of Upbit's.
fn minute(time: &str, close: &str) -> String {
    format!(
        r#"{{"market":"KRW-BTC","candle_date_time_utc":"{time}","opening_price":5,"high_price":9,"low_price":1,"trade_price":{close},"unit":1}}"#
    )
}

#[test]
fn a_candle_answer_is_whole_or_nothing() {
    let one = market("BTC-KRW");
    let ask = Ask::Candles { market: &one, end: END, count: 200 };
    let good = minute("2026-08-30T04:25:00", "5");
    let read = |rows: &[&str]| answer(venue::find("upbit").unwrap(), &ask, &format!("[{}]", rows.join(",")));
    // The same row twice says nothing new; order does not matter.
    let newer = minute("2026-08-30T04:26:00", "6");
    assert_eq!(read(&[&good, &newer, &good]), read(&[&newer, &good]));
    assert_eq!(read(&[&good, &newer]).len(), 2);
    for (bad, says) in [
        (minute("2026-08-30T04:25:00", "6"), "two candles differ about 2026-08-30T04:25:00Z"),
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
        assert_eq!(read(&[&good, &bad]), [format!("error unreadable answer: {says}")]);
    }
}

#[test]
fn a_binance_answer_keeps_its_flat_candles_and_its_order() {
    let one = market("BTC-USDT");
    let ask = Ask::Candles { market: &one, end: END, count: 2 };
    let row = |minute: i64, prices: [&str; 4]| {
        let [open, high, low, close] = prices;
        let (start, end) = (minute * 60_000, minute * 60_000 + 59_999);
        format!(r#"[{start},"{open}","{high}","{low}","{close}","0.0",{end},"0.0",0,"0","0","0"]"#)
    };
    let body = format!("[{},{}]", row(END.0 - 2, ["5", "7", "4", "6"]), row(END.0 - 1, ["6"; 4]));
    assert_eq!(
        answer(venue::find("binance").unwrap(), &ask, &body),
        ["2026-08-30T04:25:00Z 5 7 4 6 0.0 0.0", "2026-08-30T04:26:00Z 6 6 6 6 0.0 0.0"]
    );
    for bad in [row(END.0 - 3, ["5", "7", "4", "8"]), "[1788063900000,\"5\"]".to_owned(), "{}".to_owned()] {
        let body = format!("[{bad},{}]", row(END.0 - 1, ["6"; 4]));
        assert!(
            answer(venue::find("binance").unwrap(), &ask, &body)[0].starts_with("error unreadable answer: candle 0")
        );
    }
}

#[test]
fn a_cut_payload_says_nothing_and_breaks_nothing() {
    let asked = markets("BTC-KRW");
    for (id, expected) in folders() {
        for file in expected.iter().map(|expected| expected.file) {
            let whole = fixture(id, file);
            let whole = whole.trim_end();
            for at in (0..whole.len()).filter(|&at| whole.is_char_boundary(at)) {
                let cut = &whole[..at];
                // A recording is read by its own venue and, as strange as can be, by the others.
                for venue in venue::ALL {
                    assert!(venue.parse(cut).is_err(), "{id}/{file} at {at}");
                    assert!(venue.answer(&Ask::Tickers(&asked), cut).is_err(), "{id}/{file} at {at}");
                }
            }
        }
    }
}

#[test]
fn no_exchange_reads_a_price_out_of_the_payloads_of_another() {
    for (id, expected) in folders() {
        for file in expected.iter().map(|expected| expected.file) {
            let body = fixture(id, file);
            for other in venue::ALL.iter().filter(|other| is_stranger(id, other.profile().id.as_str())) {
                if let Ok(Incoming::Tickers(records)) = other.parse(&body) {
                    assert!(records.iter().all(|record| record.ticker.is_err()), "{id}/{file}");
                }
                if let Ok(Answer::Tickers(records)) = other.answer(&Ask::Tickers(&markets("BTC-KRW")), &body) {
                    assert!(records.iter().all(|record| record.ticker.is_err()), "{id}/{file}");
                }
            }
        }
    }
}

/// Upbit and Bithumb speak one language; Binance another.
fn is_stranger(one: &str, other: &str) -> bool {
    (one == "binance") != (other == "binance")
}
