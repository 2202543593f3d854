//! The number of decimal places that a price is displayed with.
//!
//! The venue's own tick size decides. If it is unknown, a table per quote currency derives the places from
//! the price, with at least as many places as the venue has recently sent. The digits of a price itself are
//! never cut off.

use rust_decimal::Decimal;

use super::Price;

/// Maximum number of decimal places that a table or a tick size can ask for.
pub const DIGITS_MAX: u32 = 12;

/// Upbit's KRW table since 2025-07-31: minimum price, decimal places.
///
/// No decimals from 100 won upwards; below, one more with every power of ten. Source: docs.upbit.com, "KRW
/// market info", read 2026-05-04.
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

/// Returns the number of decimal places for a price of `last` in `quote`.
///
/// `tick_size` is the venue's, if it publishes one. Without it, `sent` counts: the largest number of places
/// (without trailing zeros) that the venue has recently sent for this market.
pub fn digits(tick_size: Option<Decimal>, quote: &str, last: Price, sent: u32) -> u32 {
    match tick_size {
        Some(step) if step > Decimal::ZERO => step.normalize().scale().min(DIGITS_MAX).max(decimal_places(last)),
        _ => table(quote, last.get()).min(DIGITS_MAX).max(sent).max(decimal_places(last)),
    }
}

/// Returns the number of decimal places that `price` itself needs.
pub fn decimal_places(price: Price) -> u32 {
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
