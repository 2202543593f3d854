//! Default configuration, with the default board.

use std::collections::BTreeMap;

use crate::market::{Basis, Market, SourceId, change::JUMP_MAX_PERCENT, change::PLACES_DEFAULT};

use super::{Board, Config, Limits, LogFormat, Site};

/// The eleven coins of the default board, in display order.
const DEFAULT_COINS: [&str; 11] = ["BTC", "ETH", "BCH", "XRP", "SOL", "ADA", "TRX", "XLM", "BSV", "LINK", "SAND"];

/// Default title of a board in Korean, English and Japanese.
pub(super) const TITLES: [&str; 3] = ["실시간 암호화폐 시세", "Live cryptocurrency prices", "暗号資産リアルタイム価格"];

/// Default directory of the store, relative to the working directory.
const DATA_DIRECTORY: &str = "data";

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            log: LogFormat::Text,
            percent_places: PLACES_DEFAULT,
            jump_max_percent: Some(JUMP_MAX_PERCENT),
            tls_ca: None,
            proxies: super::Proxies::default(),
            data: Some(DATA_DIRECTORY.into()),
            metrics: None,
            retention_days: 8,
            site: Site::default(),
            limits: Limits::default(),
            venues: BTreeMap::new(),
            boards: vec![Board::default_board()],
            redenominations: Vec::new(),
            demo: false,
        }
    }
}

impl Board {
    /// Returns the default board: eleven coins in KRW from Bithumb, with Upbit as fallback.
    pub fn default_board() -> Self {
        Self {
            id: "krw".to_owned(),
            titles: TITLES.map(str::to_owned),
            markets: DEFAULT_COINS.iter().filter_map(|base| Market::new(base, "KRW").ok()).collect(),
            source: SourceId::new(["bithumb", "upbit"]),
            basis: Basis::Rolling24h,
        }
    }
}
