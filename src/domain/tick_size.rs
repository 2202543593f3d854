//! With how many decimal places a price is shown.
//!
//! Best is the venue's own tick size. Where that is not known, the table of
//! the quote currency gives it from the price, with as many places as the venue
//! has lately sent. The digits of a price itself are never cut off.

use rust_decimal::Decimal;

use super::Price;

/// Most decimal places shown because a table or a tick size asks for them.
pub const DIGITS_MAX: u32 = 12;

/// Upbit's won table since 2025-07-31: price from, decimal places.
///
/// From 100 won upwards there are none; below, one more with every power of ten.
/// Source: docs.upbit.com, "KRW market info", read 2026-05-04.
const KRW: [(Decimal, u32); 9] = [
    (Decimal::from_parts(100, 0, 0, false, 0), 0),
    (Decimal::from_parts(10, 0, 0, false, 0), 1),
    (Decimal::from_parts(1, 0, 0, false, 0), 2),
    (Decimal::from_parts(1, 0, 0, false, 1), 3),
    (Decimal::from_parts(1, 0, 0, false, 2), 4),
    (Decimal::from_parts(1, 0, 0, false, 3), 5),
    (Decimal::from_parts(1, 0, 0, false, 4), 6),
    (Decimal::from_parts(1, 0, 0, false, 5), 7),
    (Decimal::ZERO, 8),
];

/// Returns the decimal places for a price of `last` in `quote`.
///
/// `tick_size` is the venue's, if it publishes one. Without it, `sent` counts: the largest number of
/// places (without trailing zeros) that the venue has lately sent for this market.
pub fn digits(tick_size: Option<Decimal>, quote: &str, last: Price, sent: u32) -> u32 {
    match tick_size {
        Some(step) if step > Decimal::ZERO => step.normalize().scale().min(DIGITS_MAX).max(places(last)),
        _ => table(quote, last.get()).min(DIGITS_MAX).max(sent).max(places(last)),
    }
}

/// Returns the places that `price` itself needs.
pub fn places(price: Price) -> u32 {
    price.get().normalize().scale()
}

fn table(quote: &str, price: Decimal) -> u32 {
    match quote {
        "KRW" => KRW.iter().find(|(from, _)| price >= *from).map_or(8, |&(_, places)| places),
        "JPY" if price >= Decimal::ONE_HUNDRED => 0,
        "BTC" | "ETH" => 8,
        _ if price >= Decimal::ONE => 2,
        _ => 4,
    }
}
