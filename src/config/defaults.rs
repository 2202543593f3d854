//! What is served when nothing is configured: the reference board.

use std::collections::BTreeMap;

use crate::domain::{Basis, Market, SourceId, change::JUMP_MAX_PERCENT, change::PLACES_DEFAULT};

use super::{Board, Config, Limits, LogFormat, Site};

/// The eleven coins of the reference board, in its order.
const REFERENCE: [&str; 11] = ["BTC", "ETH", "BCH", "XRP", "SOL", "ADA", "TRX", "XLM", "BSV", "LINK", "SAND"];

/// Its title in Korean, English and Japanese.
pub(super) const TITLES: [&str; 3] = ["실시간 암호화폐 시세", "Live cryptocurrency prices", "暗号資産リアルタイム価格"];

/// The directory of the store, in the working directory.
const DATA: &str = "data";

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            log: LogFormat::Text,
            percent_places: PLACES_DEFAULT,
            jump_max_percent: Some(JUMP_MAX_PERCENT),
            tls_ca: None,
            proxies: super::Proxies::default(),
            data: Some(DATA.into()),
            metrics: None,
            retention_days: 8,
            site: Site::default(),
            limits: Limits::default(),
            venues: BTreeMap::new(),
            boards: vec![Board::reference()],
            redenominations: Vec::new(),
            demo: false,
        }
    }
}

impl Board {
    /// Returns the reference board: eleven coins in won, from Bithumb, then Upbit.
    pub fn reference() -> Self {
        Self {
            id: "krw".to_owned(),
            titles: TITLES.map(str::to_owned),
            markets: REFERENCE.iter().filter_map(|base| Market::new(base, "KRW").ok()).collect(),
            source: SourceId::new(["bithumb", "upbit"]),
            basis: Basis::Rolling24h,
        }
    }
}
