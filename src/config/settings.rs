//! The configuration as the program uses it, and its defaults.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use super::proxy::Proxies;
use super::site::Site;
use crate::market::change::{JUMP_MAX_PERCENT, PLACES_DEFAULT};
use crate::market::{Basis, Market, Redenomination, SourceId, VenueId};

/// The eleven coins of the default board, in display order.
const DEFAULT_COINS: [&str; 11] = ["BTC", "ETH", "BCH", "XRP", "SOL", "ADA", "TRX", "XLM", "BSV", "LINK", "SAND"];

/// Default title of a board in Korean, English and Japanese.
pub(super) const TITLES: [&str; 3] = ["실시간 암호화폐 시세", "Live cryptocurrency prices", "暗号資産リアルタイム価格"];

/// Default directory of the store, relative to the working directory.
const DATA_DIRECTORY: &str = "data";

/// The configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `listen`: IP address or host name, and port. A port alone (`:8080`) means all interfaces, port 0 a free
    /// port. Default `127.0.0.1:8080`.
    pub listen: String,
    /// `log`: `text` or `json`. Default `text`.
    pub log: LogFormat,
    /// `percent_places`: decimal places of the change in percent, 0 to 4. Default 2.
    pub percent_places: u32,
    /// `jump_max_percent`, 0 to 99: a price that differs from the live one by more is shown only after a second
    /// trade or the exchange's REST API confirms it; 0 (`None` here) shows every price at once. Default 20.
    pub jump_max_percent: Option<u32>,
    /// `tls.ca`: a PEM file with additional certificate authorities to trust for connections to exchanges. Default
    /// none.
    pub tls_ca: Option<PathBuf>,
    /// `proxy` and `no_proxy`: the proxy for connections to exchanges, and its exceptions; `none` connects
    /// directly. Default: from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub proxies: Proxies,
    /// `data`: directory of the store, created if missing; `none` or empty keeps everything in memory. Default
    /// `data`.
    pub data: Option<PathBuf>,
    /// `store.retention_days`, 2 to 3650: how many days minute closes are kept. Default 8.
    pub retention_days: u32,
    /// `metrics.listen`: address that serves `GET /metrics`, in the format of `listen`. Default none: no metrics
    /// are collected.
    pub metrics: Option<String>,
    /// `base_path`, `public_url` and the other settings of the published site.
    pub site: Site,
    /// `[limits]`: connection and request limits, and timeouts.
    pub limits: Limits,
    /// `venues.<id>`: overrides of an exchange's defaults.
    pub venues: BTreeMap<VenueId, VenueConfig>,
    /// `[[boards]]`: at least one; the first is the default board.
    pub boards: Vec<Board>,
    /// `[[redenominations]]`: changes of the unit in which a market is priced. Default none.
    pub redenominations: Vec<Redenomination>,
    /// Whether the prices are made up. Set by `sisepan demo`, not by a setting.
    pub demo: bool,
}

impl Config {
    /// Returns the markets whose base and quote seem to be swapped: board id, market, and the market that was
    /// probably meant.
    pub fn swapped_markets(&self) -> impl Iterator<Item = (&str, &Market, Market)> {
        self.boards.iter().flat_map(|board| {
            let markets = board.markets.iter();
            markets.filter_map(|market| Some((board.id.as_str(), market, board.swapped(market)?)))
        })
    }
}

/// Log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Human-readable text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Settings of one exchange; `None` means the default of the exchange's profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VenueConfig {
    /// `rest`: base URL of the REST API.
    pub rest: Option<String>,
    /// `stream`: the WebSocket URL.
    pub stream: Option<String>,
    /// `streaming`: whether to use the stream; `false` only polls. Default true.
    pub streaming: Option<bool>,
    /// `stale_after_secs`, 1 to 3600: a price that has not been confirmed for this long is stale.
    pub stale_after: Option<Duration>,
    /// `silence_max_secs`, 1 to 3600: a stream without data for this long is checked against REST, and closed
    /// unless its markets are just quiet.
    pub silence_max: Option<Duration>,
    /// `confirm_after_secs`, 1 to 3600: a market without an update for this long is requested over REST.
    pub confirm_after: Option<Duration>,
    /// `poll_every_ms`, 200 to 60000: polling interval while streaming is down or disabled.
    pub poll_every: Option<Duration>,
}

/// A board: a named list of markets with its sources.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    /// `id`, as in `?board=krw`: 1 to 32 letters, digits, `-` or `_`.
    pub id: String,
    /// `title` in Korean, English and Japanese: one text for all, or `{ ko, en, ja }`.
    pub titles: [String; 3],
    /// `markets`: 1 to 128, in display order.
    pub markets: Arc<[Market]>,
    /// `source`: one exchange or a list, the preferred one first.
    pub source: SourceId,
    /// `basis`: the default change basis. Default `24h`.
    pub basis: Basis,
}

impl Board {
    /// Returns `market` with base and quote swapped if all exchanges of the board would quote it that way round.
    /// Catches `KRW-BTC`, which is how some exchanges write `BTC-KRW`.
    fn swapped(&self, market: &Market) -> Option<Market> {
        let swapped = |venue: &&'static dyn crate::venue::Venue| {
            let rank = |asset: &str| venue.profile().quotes.iter().position(|quote| *quote == asset);
            rank(market.base()).is_some_and(|base| rank(market.quote()).is_none_or(|quote| base < quote))
        };
        let venues: Vec<_> = self.source.as_str().split(',').filter_map(crate::venue::find).collect();
        let all = !venues.is_empty() && venues.iter().all(swapped);
        all.then(|| Market::new(market.quote(), market.base()).ok()).flatten()
    }

    /// Returns the venues that supply its rows, the preferred one first.
    pub fn venues(&self) -> Vec<VenueId> {
        let ids = self.source.as_str().split(',');
        ids.filter_map(crate::venue::find).map(|venue| venue.profile().id).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            log: LogFormat::Text,
            percent_places: PLACES_DEFAULT,
            jump_max_percent: Some(JUMP_MAX_PERCENT),
            tls_ca: None,
            proxies: Proxies::default(),
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
