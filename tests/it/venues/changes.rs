//! Recorded prices and bases, and their change worked out by another road.

use rust_decimal::Decimal;
use sisepan::domain::{Change, Direction, Price};

use crate::laws::exact;

/// File, last, base, and the exact quotient in percent to the places that were noted with the recording.
///
/// The bases of Upbit's and Bithumb's `v1` rows are those of a calendar day:
/// true sums, but nothing that a row may show as 24 hours.
const RECORDED: &[(&str, &str, &str, &str)] = &[
    ("upbit/rest-tickers.json", "108580000.0", "108746000.0", "-0.152649"),
    ("upbit/rest-tickers-docs.json, 1", "148601000", "148737000", "-0.091436"),
    ("upbit/rest-tickers-docs.json, 2", "3510000", "3517000", "-0.199033"),
    ("upbit/rest-tickers-2018.json", "7050000", "7109000", "-0.829934"),
    ("upbit/rest-tickers-ccxt-quoted.json", "73578.65500000", "71126.14598036", "3.44811"),
    ("upbit/ws-ticker-snapshot-2020.json", "0.02161249", "0.02185802", "-1.12329"),
    ("upbit/ws-ticker-snapshot-docs.json", "36929", "37235", "-0.821807"),
    ("bithumb/rest-tickers.json", "108553000", "108409000", "0.132830"),
    ("bithumb/rest-tickers-ccxt-wrapped.json", "45831000", "41519000", "10.38561"),
    ("bithumb/rest-public-ticker-ALL_KRW.json, BTC", "80694000", "81045000", "-0.43309"),
    ("bithumb/rest-public-ticker-ALL_KRW.json, ETH", "3406000", "3581000", "-4.88690"),
    ("bithumb/rest-public-ticker-BTC_KRW.json", "80630000", "81065000", "-0.53661"),
    ("bithumb/ws-ticker.json", "95299000", "94201000", "1.165593"),
    ("bithumb/ws-ticker-docs-snapshot.json", "493100", "484500", "1.775026"),
    ("bithumb/ws-legacy-ticker.json", "2317", "2302", "0.65161"),
    ("binance/ws-ticker.json", "68004.12000000", "69442.01000000", "-2.07063"),
    ("binance/ws-ticker-2024.json", "553.80000000", "557.70000000", "-0.69930"),
    ("binance/ws-miniticker-combined-btcusdt.json", "102492.27000000", "105121.06000000", "-2.50073"),
    ("binance/ws-miniticker-combined-atomusdt.json", "4.15900000", "4.31200000", "-3.54824"),
    ("binance/rest-tickers.json", "0.03564100", "0.03586800", "-0.63288"),
];

#[test]
fn the_change_of_recorded_prices_is_exact_and_rounded_once() {
    for &(file, last, base, noted) in RECORDED {
        let (last_price, base_price): (Price, Price) = (last.parse().unwrap(), base.parse().unwrap());
        let (last_value, base_value) = (exact::value(last).unwrap(), exact::value(base).unwrap());
        for places in 0..=4 {
            let units = exact::percent(&last_value, &base_value, places);
            let change = Change::between(last_price, base_price, places).unwrap();
            assert_eq!(change.percent, Decimal::new(i64::try_from(&units).unwrap(), places), "{file}, {places} places");
            assert_eq!(change.percent.scale(), places, "{file}");
            let sign = i64::try_from(&units).unwrap().signum();
            let direction = [Direction::Fall, Direction::Even, Direction::Rise][usize::try_from(sign + 1).unwrap()];
            assert_eq!(change.direction, direction, "{file}");
        }
        // The note is the quotient cut or rounded to its places: it lies within one unit of its last place.
        let exact = (&last_value - &base_value) * exact::power(2) / &base_value;
        let places = i64::try_from(noted.split_once('.').unwrap().1.len()).unwrap();
        let difference = exact - exact::value(noted).unwrap();
        assert!(difference < exact::power(-places) && -difference < exact::power(-places), "{file}: noted {noted}");
    }
}
