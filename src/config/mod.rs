//! Every setting: its name, unit, default and check.
//!
//! Settings come from a TOML file and from `SISEPAN_…` environment variables
//! (`venues.upbit.rest` is `SISEPAN_VENUES_UPBIT_REST`), the latter winning;
//! boards come from the file alone.
//! A file with mistakes is refused whole, and every mistake is told at once,
//! each with its file, line and key. Without a file the defaults are the
//! reference board.

mod defaults;
mod limits;
mod listen;
mod movers;
mod network;
mod proxy;
mod read;
mod redenominations;
mod section;
mod site;
mod widgets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Basis, Market, Redenomination, SourceId, VenueId};

pub use limits::Limits;
pub use network::{Network, NoNetwork};
pub use proxy::{Proxies, VARIABLES as PROXY_VARIABLES};
pub use read::{Environment, load, parse};
pub use section::{ConfigErrors, Problem};
pub use site::{AccessLog, Site};
pub use widgets::{Widgets, is_path_template};

/// Everything that an operator may set.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `listen`: address or name, and port; a port alone (`:8080`) is every address of this machine, port 0 takes a free
    /// one. Default `127.0.0.1:8080`.
    pub listen: String,
    /// `log`: `text` or `json`. Default `text`.
    pub log: LogFormat,
    /// `percent_places`: decimal places of a change, 0 to 4. Default 2.
    pub percent_places: u32,
    /// `jump_max_percent`, 0 to 99: a price further than this from a live one is shown only after a second trade or an
    /// answer of the exchange's REST API says the same; 0 shows every price at once (`None` here). Default 20.
    pub jump_max_percent: Option<u32>,
    /// `tls.ca`: a PEM file with further certificate authorities to trust towards exchanges. Default none.
    pub tls_ca: Option<PathBuf>,
    /// `proxy` and `no_proxy`: which proxy leads to which exchange; `none` connects directly. Default: as `HTTPS_PROXY`,
    /// `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    pub proxies: Proxies,
    /// `data`: directory of the store, made if it is not there; `none` or empty keeps everything in memory. Default `data`.
    pub data: Option<PathBuf>,
    /// `store.retention_days`, 2 to 3650: how long minute closes are kept. Default 8.
    pub retention_days: u32,
    /// `metrics.listen`: where `GET /metrics` is served, as `listen` is written. Default none: nothing is counted.
    pub metrics: Option<String>,
    /// Where the publisher puts it: `base_path` and its neighbours.
    pub site: Site,
    /// `[limits]`: how much may come in, and how long we wait.
    pub limits: Limits,
    /// `venues.<id>`: what differs from the exchange's defaults.
    pub venues: BTreeMap<VenueId, VenueConfig>,
    /// `[[boards]]`: at least one; the first is the default board.
    pub boards: Vec<Board>,
    /// `[[redenominations]]`: where the unit of a price has changed. Default none.
    pub redenominations: Vec<Redenomination>,
    /// Whether the prices are invented. Set by `sisepan demo`, not by a file.
    pub demo: bool,
}

impl Config {
    /// Returns the markets whose base and quote seem to be swapped, each with its board and with the likely name.
    pub fn swapped_markets(&self) -> impl Iterator<Item = (&str, &Market, Market)> {
        self.boards.iter().flat_map(|board| {
            let markets = board.markets.iter();
            markets.filter_map(|market| Some((board.id.as_str(), market, board.swapped(market)?)))
        })
    }
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For eyes.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings of one exchange; what is absent is as the exchange's profile says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VenueConfig {
    /// `rest`: base URL of the REST API.
    pub rest: Option<String>,
    /// `stream`: the WebSocket URL.
    pub stream: Option<String>,
    /// `streaming`: whether to stream at all; `false` polls only. Default true.
    pub streaming: Option<bool>,
    /// `stale_after_secs`, 1 to 3600: a price not confirmed for this long is stale.
    pub stale_after: Option<Duration>,
    /// `silence_max_secs`, 1 to 3600: a stream without data for this long is checked by REST, and given up unless its markets are quiet.
    pub silence_max: Option<Duration>,
    /// `confirm_after_secs`, 1 to 3600: a market not heard from for this long is asked for over REST.
    pub confirm_after: Option<Duration>,
    /// `poll_every_ms`, 200 to 60000: how often prices are fetched while streaming is down.
    pub poll_every: Option<Duration>,
}

/// A named list of markets with its sources.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    /// `id`, as in `?board=krw`: letters, digits, `-` and `_`, at most 32.
    pub id: String,
    /// `title`: one text, or `{ ko, en, ja }`.
    pub titles: [String; 3],
    /// `markets`: 1 to 128, in the order shown.
    pub markets: Arc<[Market]>,
    /// `source`: one exchange or a list, the preferred one first.
    pub source: SourceId,
    /// `basis`: what changes are measured against unless the reader asks for another. Default `24h`.
    pub basis: Basis,
}

impl Board {
    /// Returns `market` the other way round if none of the board's exchanges would quote its base in its quote, but its
    /// quote in its base: `KRW-BTC`, as some exchanges spell `BTC-KRW`.
    fn swapped(&self, market: &Market) -> Option<Market> {
        let swapped = |venue: &&'static dyn crate::venue::Venue| {
            let rank = |asset: &str| venue.profile().quotes.iter().position(|quote| *quote == asset);
            rank(market.base()).is_some_and(|base| rank(market.quote()).is_none_or(|quote| base < quote))
        };
        let venues: Vec<_> = self.source.as_str().split(',').filter_map(crate::venue::find).collect();
        let all = !venues.is_empty() && venues.iter().all(swapped);
        all.then(|| Market::new(market.quote(), market.base()).ok()).flatten()
    }

    /// Returns the venues of its rows, the preferred one first.
    pub fn venues(&self) -> Vec<VenueId> {
        let ids = self.source.as_str().split(',');
        ids.filter_map(crate::venue::find).map(|venue| venue.profile().id).collect()
    }
}
