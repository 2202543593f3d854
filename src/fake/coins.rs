//! Which markets the fake exchanges list, at about which price, and how busy they are.

use super::units::ONE;

/// One coin: its names and its reference prices.
#[derive(Debug, Clone, Copy)]
pub struct Coin {
    /// The id: `BTC`.
    pub id: &'static str,
    /// Korean name, as Bithumb spells it.
    pub ko: &'static str,
    /// English name, as Bithumb spells it.
    pub en: &'static str,
    /// Won, in units of 10^-8.
    pub krw: i64,
    /// Dollars, in units of 10^-8; 0 where Binance does not list it.
    pub usdt: i64,
    /// The price step on Binance, in units.
    pub usdt_tick: i64,
    /// Mean time between two trades, in ms.
    pub every: u32,
}

const fn coin(
    (id, ko, en): (&'static str, &'static str, &'static str),
    krw: i64,
    (usdt, usdt_tick): (i64, i64),
    every: u32,
) -> Coin {
    Coin { id, ko, en, krw, usdt, usdt_tick, every }
}

const CENT: i64 = ONE / 100;
const PIP: i64 = ONE / 10_000;

/// Every coin. The won prices of the first eleven are those of the reference page.
pub const ALL: &[Coin] = &[
    coin(("BTC", "비트코인", "Bitcoin"), 142_187_000 * ONE, (9_639_712 * CENT, CENT), 700),
    coin(("ETH", "이더리움", "Ethereum"), 4_949_000 * ONE, (335_525 * CENT, CENT), 900),
    coin(("BCH", "비트코인 캐시", "Bitcoin Cash"), 914_000 * ONE, (6_197 * ONE / 10, ONE / 10), 15_000),
    coin(("XRP", "엑스알피 [리플]", "XRP"), 3_104 * ONE, (21_044 * PIP, PIP), 600),
    coin(("SOL", "솔라나", "Solana"), 213_500 * ONE, (14_475 * CENT, CENT), 1_500),
    coin(("ADA", "에이다", "Cardano"), 595 * ONE, (4_034 * PIP, PIP), 4_000),
    coin(("TRX", "트론", "TRON"), 447 * ONE, (3_031 * PIP, PIP), 6_000),
    coin(("XLM", "스텔라루멘", "Stellar Lumens"), 340 * ONE, (2_305 * PIP, PIP), 8_000),
    coin(("BSV", "비트코인에스브이", "BITCOINSV"), 29_670 * ONE, (2_012 * CENT, CENT), 60_000),
    coin(("LINK", "체인링크", "ChainLink"), 20_590 * ONE, (1_396 * CENT, CENT), 10_000),
    coin(("SAND", "샌드박스", "The Sandbox"), 183 * ONE, (1_241 * PIP, PIP), 120_000),
    coin(("DOGE", "도지코인", "Dogecoin"), 206 * ONE, (13_966 * ONE / 100_000, ONE / 100_000), 2_000),
    coin(("SHIB", "시바이누", "Shiba Inu"), 1_250_000, (847, 1), 5_000),
    coin(("PEPE", "페페", "Pepe"), 755_000, (512, 1), 7_000),
    coin(("WAXP", "왁스", "WAX"), 1_230_000_000, (834 * ONE / 100_000, ONE / 100_000), 2_400_000),
    coin(("AVAX", "아발란체", "Avalanche"), 33_150 * ONE, (2_248 * CENT, CENT), 9_000),
    coin(("DOT", "폴카닷", "Polkadot"), 5_905 * ONE, (4_003 * ONE / 1_000, ONE / 1_000), 12_000),
    coin(("NEAR", "니어프로토콜", "NEAR Protocol"), 3_320 * ONE, (2_251 * ONE / 1_000, ONE / 1_000), 14_000),
    coin(("ETC", "이더리움 클래식", "Ethereum Classic"), 30_900 * ONE, (2_095 * CENT, CENT), 11_000),
    coin(("SUI", "수이", "Sui"), 4_800 * ONE, (32_541 * PIP, PIP), 3_000),
    coin(("USDT", "테더", "Tether"), 1_475 * ONE, (0, 0), 1_500),
];

/// The fake venues, by id.
pub const VENUES: [&str; 3] = ["upbit", "bithumb", "binance"];

/// Returns the won step at a price, both in units (Upbit's table since 2025-07-31).
pub fn krw_tick(price: i64) -> i64 {
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
