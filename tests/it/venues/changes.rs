//! The change of recorded prices against recorded base prices, compared with an independent computation.

use std::time::Duration;

use jiff::Timestamp;
use rust_decimal::Decimal;
use sisepan::board::{BoardSettings, BoardSpec, Quotes};
use sisepan::feed::{Event, Via};
use sisepan::market::{BaseSource, Basis, Change, Direction, Market, Now, Price, SourceId};
use sisepan::venue::{self, Incoming, Response, RestQuery, TickerRecord};

use super::{fixture, market};
use crate::laws::exact;

/// How a payload holds its base price.
enum Base {
    /// As the value of this member.
    Member(&'static str),
    /// As the last price minus this member.
    LastMinus(&'static str),
    /// Nowhere as a 24-hour base: it is the last price minus this member, of a day whose beginning is not documented.
    DayOf(&'static str),
}

use Base::{DayOf, LastMinus, Member};

/// File, index of the row, member with the last price, base price, and the change in percent as noted with the
/// recording. A member of an array is its index.
///
/// The bases of Upbit's and Bithumb's `v1` rows are those of a calendar day: they serve for the arithmetic, but no row
/// may show them as a 24-hour change.
type Recorded = (&'static str, usize, &'static str, Base, &'static str);

const RECORDED: &[Recorded] = &[
    ("upbit/rest-tickers.json", 0, "trade_price", Member("prev_closing_price"), "-0.152649"),
    ("upbit/rest-tickers-docs.json", 0, "trade_price", Member("prev_closing_price"), "-0.091436"),
    ("upbit/rest-tickers-docs.json", 1, "trade_price", Member("prev_closing_price"), "-0.199033"),
    ("upbit/rest-tickers-2018.json", 0, "trade_price", Member("prev_closing_price"), "-0.829934"),
    ("upbit/rest-tickers-ccxt-quoted.json", 0, "trade_price", Member("prev_closing_price"), "3.44811"),
    ("upbit/ws-ticker-snapshot-2020.json", 0, "trade_price", Member("prev_closing_price"), "-1.12329"),
    ("upbit/ws-ticker-snapshot-docs.json", 0, "trade_price", Member("prev_closing_price"), "-0.821807"),
    ("bithumb/rest-tickers.json", 0, "trade_price", Member("prev_closing_price"), "0.132830"),
    ("bithumb/rest-tickers-ccxt-wrapped.json", 0, "trade_price", Member("prev_closing_price"), "10.38561"),
    ("bithumb/rest-public-ticker-ALL_KRW.json", 0, "closing_price", LastMinus("fluctate_24H"), "-0.43309"),
    ("bithumb/rest-public-ticker-ALL_KRW.json", 1, "closing_price", LastMinus("fluctate_24H"), "-4.88690"),
    ("bithumb/rest-public-ticker-BTC_KRW.json", 0, "closing_price", LastMinus("fluctate_24H"), "-0.53661"),
    ("bithumb/ws-ticker.json", 0, "trade_price", Member("prev_closing_price"), "1.165593"),
    ("bithumb/ws-ticker-docs-snapshot.json", 0, "trade_price", Member("prev_closing_price"), "1.775026"),
    ("bithumb/ws-legacy-ticker.json", 0, "closePrice", Member("openPrice"), "0.65161"),
    ("binance/ws-ticker.json", 0, "c", Member("o"), "-2.07063"),
    ("binance/ws-ticker-2024.json", 0, "c", Member("o"), "-0.69930"),
    ("binance/ws-miniticker-combined-btcusdt.json", 0, "c", Member("o"), "-2.50073"),
    ("binance/ws-miniticker-combined-atomusdt.json", 0, "c", Member("o"), "-3.54824"),
    ("binance/rest-tickers.json", 0, "lastPrice", Member("openPrice"), "-0.63288"),
    ("bitfinex/ws-ticker.json", 0, "6", DayOf("4"), "0.38522"),
    ("kucoin/ws-ticker.json", 0, "lastTradedPrice", Member("open"), "-5.34609"),
    ("kucoin/rest-tickers.json", 0, "last", Member("open"), "2.15203"),
    ("kucoin/rest-stats.json", 0, "last", LastMinus("changePrice"), "-0.10602"),
    ("kraken/ws-ticker.json", 0, "last", LastMinus("change"), "0.01"),
    ("kraken/rest-ticker-XBTUSD.json", 0, "c", Member("o"), "-0.40768"),
    ("kraken/rest-ticker-TONUSD.json", 0, "c", Member("o"), "-0.28389"),
];

#[test]
fn the_change_of_recorded_prices_is_exact_and_rounded_once() {
    for (file, nth, last, base, noted) in RECORDED {
        let (last, base) = last_and_base(file, *nth, last, base);
        let (last_price, base_price): (Price, Price) = (last.parse().unwrap(), base.parse().unwrap());
        let (last_value, base_value) = (exact::parse_fraction(&last).unwrap(), exact::parse_fraction(&base).unwrap());
        for places in 0..=4 {
            let units = exact::percent(&last_value, &base_value, places);
            let change = Change::between(last_price, base_price, places).unwrap();
            assert_eq!(change.percent, Decimal::new(i64::try_from(&units).unwrap(), places), "{file}, {places} places");
            assert_eq!(change.percent.scale(), places, "{file}");
            let sign = i64::try_from(&units).unwrap().signum();
            let direction = [Direction::Fall, Direction::Even, Direction::Rise][usize::try_from(sign + 1).unwrap()];
            assert_eq!(change.direction, direction, "{file}");
        }
        // The noted change is truncated or rounded, so it is exact to within one unit of its last place.
        let exact = (&last_value - &base_value) * exact::power_of_ten(2) / &base_value;
        let places = i64::try_from(noted.split_once('.').unwrap().1.len()).unwrap();
        let difference = exact - exact::parse_fraction(noted).unwrap();
        assert!(
            difference < exact::power_of_ten(-places) && -difference < exact::power_of_ten(-places),
            "{file}: noted {noted}"
        );
    }
}

/// From the payload's text to the row: a rolling base is shown as the venue's, the base of a calendar day never.
#[test]
fn a_row_shows_the_change_of_a_recorded_payload_only_if_its_base_is_rolling() {
    for (file, nth, last, base, _) in RECORDED {
        let (id, name) = file.split_once('/').unwrap();
        let is_rolling = ["binance", "kucoin"].contains(&id)
            || (id, name) == ("kraken", "ws-ticker.json")
            || name.starts_with("rest-public")
            || name == "ws-legacy-ticker.json";
        let record = &records(id, name)[*nth];
        let (last, base) = last_and_base(file, *nth, last, base);
        let Ok(ticker) = record.ticker.clone() else {
            // An error in the documents: numbers as strings that end in a comma.
            assert_eq!((name, *nth), ("rest-tickers-docs.json", 0));
            continue;
        };
        let wall = ticker.sent_at.or(ticker.traded_at).unwrap_or_else(|| "2024-08-08T00:00:00Z".parse().unwrap());
        let shown = shown(id, ticker, wall);
        assert_eq!(shown.last.unwrap(), last.parse::<Price>().unwrap(), "{file}");
        let Some(change) = shown.change(Basis::Rolling24h) else {
            assert!(!is_rolling, "{file}: no change is shown");
            continue;
        };
        assert!(is_rolling, "{file}: a calendar day's change is shown as a 24-hour change");
        let units = exact::percent(&exact::parse_fraction(&last).unwrap(), &exact::parse_fraction(&base).unwrap(), 2);
        assert_eq!(change.percent, Decimal::new(i64::try_from(&units).unwrap(), 2), "{file}");
        let shown_base = shown.base(Basis::Rolling24h).unwrap();
        assert_eq!((shown_base.source, shown_base.price), (BaseSource::Venue, base.parse().unwrap()), "{file}");
        assert!(shown.change(Basis::UtcDay).is_none() && shown.change(Basis::KstDay).is_none(), "{file}");
    }
}

fn shown(id: &str, ticker: sisepan::market::Ticker, wall: Timestamp) -> sisepan::market::Quote {
    let venue = venue::find(id).unwrap().profile().id;
    let market: Market = market("BTC-KRW");
    let source = SourceId::new([id]);
    let wanted = BoardSpec { source, venues: vec![venue], markets: vec![market.clone()], basis: Basis::Rolling24h };
    let now = Now { wall, monotonic: Duration::from_secs(60) };
    let mut quotes = Quotes::new(&[wanted], BoardSettings::default(), now);
    quotes.apply(Event::Ticker { venue, market, ticker, requested: now, received: now, via: Via::Poll }, now);
    let changed = quotes.publish(now).changed;
    assert_eq!(changed.len(), 1);
    sisepan::market::Quote::clone(&changed[0])
}

fn records(id: &str, name: &str) -> Vec<TickerRecord> {
    let (venue, body) = (venue::find(id).unwrap(), fixture(id, name));
    if name.starts_with("ws-") {
        let mut session = venue.session();
        if id == "bitfinex" {
            session.subscribe(&[market("BTC-USD")], &[]);
            session.parse(&fixture(id, "ws-subscribed.json")).unwrap();
        }
        match session.parse(&body).unwrap() {
            Incoming::Tickers(records) => records,
            other => panic!("{id}/{name} reads as {other:?}"),
        }
    } else {
        let requested = ["BTC-KRW", "ETH-KRW", "BTC-USDT", "CLANKER-USDT", "BTC-USD", "TON-USD"].map(market);
        match venue.response(&RestQuery::Tickers(&requested), &body).unwrap() {
            Response::Tickers(records) => records,
            other => panic!("{id}/{name} reads as {other:?}"),
        }
    }
}

/// Returns the last price and the base of a row of a payload, digit for digit.
fn last_and_base(file: &str, nth: usize, last: &str, base: &Base) -> (String, String) {
    let (id, name) = file.split_once('/').unwrap();
    let body = fixture(id, name);
    let last = member(&body, last, nth).unwrap_or_else(|| panic!("{file} has no {last}"));
    let base = match base {
        Member(name) => member(&body, name, nth).unwrap_or_else(|| panic!("{file} has no {name}")),
        LastMinus(name) | DayOf(name) => {
            let less = member(&body, name, nth).unwrap_or_else(|| panic!("{file} has no {name}"));
            (last.parse::<Decimal>().unwrap() - less.parse::<Decimal>().unwrap()).to_string()
        }
    };
    (last, base)
}

/// Returns the text of the `nth` member of that name, without a JSON parser, which might change its digits.
fn member(body: &str, name: &str, nth: usize) -> Option<String> {
    if let Ok(index) = name.parse::<usize>() {
        return body.rsplit('[').next()?.split([',', ']']).nth(index).map(str::to_owned);
    }
    let rest = body.split(&format!("\"{name}\"")).nth(nth + 1)?.trim_start().strip_prefix(':')?.trim_start();
    let value = rest.trim_start_matches(['[', '"']).split(['"', ',', '}', '\n']).next()?;
    Some(value.trim().to_owned())
}
