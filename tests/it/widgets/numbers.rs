//! Every widget shows all digits of a price.

use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::market::Quote;

use super::{AppFixture, board, get, quote};

fn parse_number(text: &str) -> Decimal {
    text.replace(',', "").parse().unwrap()
}

/// Prices with up to 12 digits and up to 8 decimal places.
fn price() -> impl Strategy<Value = Decimal> {
    (1i64..1_000_000_000_000, 0u32..=8).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_widget_shows_all_digits_of_a_price(prices in prop::collection::vec((price(), price(), 0u32..=8), 1..8)) {
        let names: Vec<String> = (0..prices.len()).map(|at| format!("C{at}-KRW")).collect();
        let quotes: Vec<Quote> = prices.iter().zip(&names).map(|((last, base, digits), name)| {
            let row = quote(name, &last.to_string(), Some(&base.to_string()));
            Quote { digits: *digits, high_24h: row.last, low_24h: row.last, ..row }
        }).collect();
        let markets: Vec<&str> = names.iter().map(String::as_str).collect();
        let boards = vec![board("krw", &markets, "bithumb")];
        let app = AppFixture { quotes, boards, history: None, ..AppFixture::default() }.app();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for path in ["board?columns=last,change,amount,high,low", "tape?x", "card?x", "ticker?x"] {
                let page = get(&app, &format!("/fragment/{path}&lang=ko&markets={}", markets.join(","))).await;
                assert_eq!(page.status, 200, "{}", page.body);
                for cell in ["last", "high", "low"] {
                    for (text, (last, _, digits)) in page.between(&format!("data-cell=\"{cell}\">"), "<").iter().zip(&prices) {
                        assert_eq!(parse_number(text), *last, "{path} {cell}");
                        let places = text.split_once('.').map_or(0, |(_, places)| places.len());
                        assert_eq!(places, digits.max(&last.normalize().scale()).to_owned() as usize, "{path}: {text}");
                    }
                }
                for text in page.between("data-cell=\"change\">", "<") {
                    let (sign, rest) = text.split_at(text.len() - text.trim_start_matches(['+', '-']).len());
                    let zero = rest == "0.00%";
                    assert!(text == "–" || (zero == sign.is_empty() && rest.ends_with('%') && !rest.contains('e')), "{path}: {text}");
                }
            }
            // The badge may shorten a long price in its drawing, but not in its title.
            let badge = get(&app, &format!("/badge/{}.svg?lang=en", markets[0])).await;
            assert!(badge.body.contains(&format!("{} KRW", sisepan::locale::grouped(prices[0].0, prices[0].2))), "{}", badge.body);
        });
    }
}
