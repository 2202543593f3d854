//! Which markets an exchange lists, and in which unit and steps it quotes them.

use super::assets::Asset;
use super::units::ONE;

/// The markets of a venue: one quote, and the assets that have a price in it.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// The venue's id.
    pub venue: &'static str,
    /// The quote of its markets, such as `KRW`.
    pub quote: &'static str,
    /// KRW per unit of the quote, in whole KRW; precise enough for volumes.
    pub krw_per_quote: i64,
    /// Returns an asset's reference price in units of 10^-8, or 0 if the venue does not list it.
    pub reference_price: fn(&Asset) -> i64,
    /// Returns an asset's tick size at a price, both in units.
    pub tick_size: fn(&Asset, i64) -> i64,
    /// Returns the venue's symbol of the asset with this id: `KRW-BTC`, `BTCUSDT`.
    pub symbol: fn(&str) -> String,
}

impl Listing {
    /// Returns the listing of a venue that quotes in KRW.
    pub const fn in_krw(venue: &'static str, symbol: fn(&str) -> String) -> Self {
        Self {
            venue,
            quote: "KRW",
            krw_per_quote: 1,
            reference_price: |asset| asset.krw_price,
            tick_size: |_, price| krw_tick_size(price),
            symbol,
        }
    }

    /// Returns the listing of a venue that quotes in USDT.
    pub const fn in_usdt(venue: &'static str, symbol: fn(&str) -> String) -> Self {
        Self {
            venue,
            quote: "USDT",
            krw_per_quote: 1_475,
            reference_price: |asset| asset.usdt_price,
            tick_size: |asset, _| asset.usdt_tick_size,
            symbol,
        }
    }
}

/// Returns the tick size of KRW markets at a price, both in units (Upbit's table since 2025-07-31).
pub fn krw_tick_size(price: i64) -> i64 {
    const STEPS: [(i64, i64); 14] = [
        (1_000_000 * ONE, 1_000 * ONE),
        (500_000 * ONE, 500 * ONE),
        (100_000 * ONE, 100 * ONE),
        (50_000 * ONE, 50 * ONE),
        (10_000 * ONE, 10 * ONE),
        (5_000 * ONE, 5 * ONE),
        (100 * ONE, ONE),
        (10 * ONE, ONE / 10),
        (ONE, ONE / 100),
        (ONE / 10, ONE / 1_000),
        (ONE / 100, ONE / 10_000),
        (ONE / 1_000, ONE / 100_000),
        (ONE / 10_000, ONE / 1_000_000),
        (ONE / 100_000, ONE / 10_000_000),
    ];
    STEPS.iter().find(|(from, _)| price >= *from).map_or(1, |&(_, step)| step)
}
