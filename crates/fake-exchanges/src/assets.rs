//! The assets that the fake exchanges list, with reference prices and trade rates.

use super::units::ONE;

/// An asset: names, reference prices, trade rate.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Id, such as `BTC`.
    pub id: &'static str,
    /// Korean name, as Bithumb spells it.
    pub korean_name: &'static str,
    /// English name, as Bithumb spells it.
    pub english_name: &'static str,
    /// Reference price in KRW, in units of 10^-8.
    pub krw_price: i64,
    /// Reference price in USDT, in units of 10^-8; 0 if Binance does not list the asset.
    pub usdt_price: i64,
    /// Tick size on Binance, in units.
    pub usdt_tick_size: i64,
    /// Mean time between trades, in ms.
    pub mean_interval: u32,
}

const fn asset(
    (id, ko, en): (&'static str, &'static str, &'static str),
    krw: i64,
    (usdt, usdt_tick): (i64, i64),
    every: u32,
) -> Asset {
    Asset {
        id,
        korean_name: ko,
        english_name: en,
        krw_price: krw,
        usdt_price: usdt,
        usdt_tick_size: usdt_tick,
        mean_interval: every,
    }
}

const CENT: i64 = ONE / 100;
const PIP: i64 = ONE / 10_000;

/// All assets. The KRW prices of the first eleven are those of the reference page.
pub const ALL: &[Asset] = &[
    asset(("BTC", "비트코인", "Bitcoin"), 142_187_000 * ONE, (9_639_712 * CENT, CENT), 700),
    asset(("ETH", "이더리움", "Ethereum"), 4_949_000 * ONE, (335_525 * CENT, CENT), 900),
    asset(("BCH", "비트코인 캐시", "Bitcoin Cash"), 914_000 * ONE, (6_197 * ONE / 10, ONE / 10), 15_000),
    asset(("XRP", "엑스알피 [리플]", "XRP"), 3_104 * ONE, (21_044 * PIP, PIP), 600),
    asset(("SOL", "솔라나", "Solana"), 213_500 * ONE, (14_475 * CENT, CENT), 1_500),
    asset(("ADA", "에이다", "Cardano"), 595 * ONE, (4_034 * PIP, PIP), 4_000),
    asset(("TRX", "트론", "TRON"), 447 * ONE, (3_031 * PIP, PIP), 6_000),
    asset(("XLM", "스텔라루멘", "Stellar Lumens"), 340 * ONE, (2_305 * PIP, PIP), 8_000),
    asset(("BSV", "비트코인에스브이", "BITCOINSV"), 29_670 * ONE, (2_012 * CENT, CENT), 60_000),
    asset(("LINK", "체인링크", "ChainLink"), 20_590 * ONE, (1_396 * CENT, CENT), 10_000),
    asset(("SAND", "샌드박스", "The Sandbox"), 183 * ONE, (1_241 * PIP, PIP), 120_000),
    asset(("DOGE", "도지코인", "Dogecoin"), 206 * ONE, (13_966 * ONE / 100_000, ONE / 100_000), 2_000),
    asset(("SHIB", "시바이누", "Shiba Inu"), 1_250_000, (847, 1), 5_000),
    asset(("PEPE", "페페", "Pepe"), 755_000, (512, 1), 7_000),
    asset(("WAXP", "왁스", "WAX"), 1_230_000_000, (834 * ONE / 100_000, ONE / 100_000), 2_400_000),
    asset(("AVAX", "아발란체", "Avalanche"), 33_150 * ONE, (2_248 * CENT, CENT), 9_000),
    asset(("DOT", "폴카닷", "Polkadot"), 5_905 * ONE, (4_003 * ONE / 1_000, ONE / 1_000), 12_000),
    asset(("NEAR", "니어프로토콜", "NEAR Protocol"), 3_320 * ONE, (2_251 * ONE / 1_000, ONE / 1_000), 14_000),
    asset(("ETC", "이더리움 클래식", "Ethereum Classic"), 30_900 * ONE, (2_095 * CENT, CENT), 11_000),
    asset(("SUI", "수이", "Sui"), 4_800 * ONE, (32_541 * PIP, PIP), 3_000),
    asset(("USDT", "테더", "Tether"), 1_475 * ONE, (0, 0), 1_500),
];
