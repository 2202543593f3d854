//! Names of markets, and the number of decimal places of prices.

use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::market::{ASSET_BYTES_MAX, Market, Price, VenueId, tick_size};
use sisepan::venue;

proptest! {
    #[test]
    fn a_market_prints_as_it_was_parsed(base in "[A-Z0-9가-힣]{1,12}", quote in "[A-Z]{1,6}") {
        let market = Market::new(&base, &quote).unwrap();
        prop_assert_eq!((market.base(), market.quote()), (&*base, &*quote));
        prop_assert_eq!(market.to_string().parse::<Market>().unwrap(), market.clone());
        let json = serde_json::to_string(&market).unwrap();
        prop_assert_eq!(serde_json::from_str::<Market>(&json).unwrap(), market);
    }

    #[test]
    fn any_text_is_a_market_or_an_error(text in "\\PC{0,150}") {
        if let Ok(market) = text.parse::<Market>() {
            prop_assert_eq!(market.as_str(), text.to_ascii_uppercase());
            prop_assert!(!market.base().is_empty() && !market.quote().is_empty());
        }
    }

    #[test]
    fn no_digit_that_was_sent_is_cut(mantissa in 1i64..1_000_000_000, scale in 0u32..=20, step in 0u32..=14) {
        let last = Price::new(Decimal::new(mantissa, scale)).unwrap();
        let sent = tick_size::decimal_places(last);
        for quote in ["KRW", "USDT", "BTC", "JPY"] {
            for listed in [None, Some(Decimal::new(1, step)), Some(Decimal::ZERO)] {
                prop_assert!(tick_size::digits(listed, quote, last, sent) >= sent);
            }
        }
    }
}

#[test]
fn a_venue_id_from_text_is_that_of_the_program_and_kept_once() {
    let parse = |text: &str| text.parse::<VenueId>();
    for venue in venue::ALL {
        let id = venue.profile().id;
        assert_eq!(parse(id.as_str()), Ok(id));
    }
    let (first, again) = (parse("house_2").unwrap(), parse("house_2").unwrap());
    assert_eq!((first.as_str(), first.as_str().as_ptr()), ("house_2", again.as_str().as_ptr()));
    for invalid in ["", "Upbit", "2nd", "_x", "a,b", "a b", "a-b", "업비트", &"a".repeat(33)] {
        let error = parse(invalid).unwrap_err().to_string();
        assert!(error.contains("is no exchange id"), "{error}");
    }
}

#[test]
fn invalid_market_names_are_rejected() {
    let long = "A".repeat(ASSET_BYTES_MAX + 1);
    for side in ["", " ", "A B", "A-B", "A\n", "\u{202e}A", "A\u{200b}", "A\u{ad}", "A\u{61c}", "\u{feff}A", &long] {
        assert!(Market::new(side, "KRW").is_err() && Market::new("BTC", side).is_err(), "{side:?}");
    }
    assert_eq!(Market::new("btc", "krw").unwrap().as_str(), "BTC-KRW");
    assert_eq!(Market::new("币安人生", "usdt").unwrap().as_str(), "币安人生-USDT");
    for invalid in ["BTCKRW", "-KRW", "BTC-", "A-B-C", ""] {
        assert!(invalid.parse::<Market>().is_err(), "{invalid}");
    }
}

#[test]
fn won_prices_have_the_digits_of_the_tick_size_table() {
    for (price, digits) in [
        ("142187000", 0),
        ("1000", 0),
        ("100", 0),
        ("99.9", 1),
        ("10", 1),
        ("9.99", 2),
        ("1", 2),
        ("0.5", 3),
        ("0.01", 4),
        ("0.00001", 7),
        ("0.000001", 8),
        ("0.00000001", 8),
    ] {
        let last: Price = price.parse().unwrap();
        assert_eq!(tick_size::digits(None, "KRW", last, 0), digits, "{price}");
    }
    let last: Price = "68004.12".parse().unwrap();
    assert_eq!(tick_size::digits(Some(Decimal::new(1_000_000, 8)), "USDT", last, 2), 2, "a tick size of 0.01000000");
    assert_eq!(tick_size::digits(None, "USDT", last, 3), 3);
}
