//! The fake exchanges: each is one file here, and one entry in [`ALL`]. [`upbit_family`] is what Upbit and
//! Bithumb share.

pub mod binance;
pub mod bitfinex;
pub mod bithumb;
pub mod kraken;
pub mod kucoin;
pub mod upbit;
pub mod upbit_family;

use std::time::Duration;

use jiff::Timestamp;

use crate::fake_venue::{FakeVenue, RestRequest};
use crate::fault_view::FaultView;
use crate::listing::Listing;
use crate::query::RequestTarget;
use crate::response::FakeResponse;
use crate::series::CandleSeries;
use crate::session::Session;
use crate::simulated_market::{HISTORY, Simulation};

/// All fake exchanges.
pub const ALL: &[&dyn FakeVenue] =
    &[&upbit::Upbit, &bithumb::Bithumb, &binance::Binance, &bitfinex::Bitfinex, &kucoin::KuCoin, &kraken::Kraken];

/// Returns the ids of all venues.
pub fn ids() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|venue| venue.listing().venue)
}

/// Returns the venue of this id.
pub fn find(id: &str) -> Option<&'static dyn FakeVenue> {
    ALL.iter().copied().find(|venue| venue.listing().venue == id)
}

/// Returns the id of a venue, or an empty text for none.
pub fn id_of(venue: Option<&dyn FakeVenue>) -> &'static str {
    venue.map_or("", |venue| venue.listing().venue)
}

/// Returns whether a venue has a caution of this name.
pub fn has_caution(name: &str) -> bool {
    ALL.iter().any(|venue| venue.cautions().contains(&name))
}

/// Returns the response to a GET request to a venue's REST API; the path is without the venue prefix.
///
/// Does not count or enforce rate limits. A stream's URL in the response is on 127.0.0.1.
pub fn rest(venue: &str, view: &FaultView<'_>, path_and_query: &str) -> FakeResponse {
    match find(venue) {
        Some(found) => {
            let stream_url = format!("ws://127.0.0.1/{venue}{}", found.stream_path());
            let target = RequestTarget::parse(path_and_query);
            found.rest(view, &RestRequest { method: "GET", target, stream_url: &stream_url })
        }
        None => FakeResponse::json(404, r#"{"error":{"name":"not_found","message":"no such venue"}}"#),
    }
}

/// Returns a session for a stream path of a venue, without the venue prefix; `None` if nothing is served there.
pub fn open(venue: &str, path_and_query: &str) -> Option<Box<dyn Session>> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    find(venue)?.open(path.trim_end_matches('/'), query)
}

fn listings() -> Vec<Listing> {
    ALL.iter().map(|venue| venue.listing()).collect()
}

impl Simulation {
    /// Creates a simulation of all venues with 27 hours of history up to `begin`.
    pub fn new(seed: u64, begin: Timestamp) -> Self {
        Self::with_history(seed, begin, HISTORY)
    }

    /// As [`Simulation::new`], with a history of another length, at most a year.
    pub fn with_history(seed: u64, begin: Timestamp, history: Duration) -> Self {
        Self::of_listings(&listings(), seed, (begin, history), |_, _| true)
    }

    /// As [`Simulation::new`], but only with the markets for which `wanted(venue, market)` is true; prices are the
    /// same.
    pub fn with_markets(seed: u64, begin: Timestamp, wanted: impl Fn(&str, &str) -> bool) -> Self {
        Self::of_listings(&listings(), seed, (begin, HISTORY), wanted)
    }

    /// Creates a simulation in which each venue lists only BTC, at the prices of a series.
    ///
    /// The minute that contains `begin` is the one of the series that follows its first `minutes` minutes.
    pub fn from_series(series: &CandleSeries, minutes: usize, begin: Timestamp) -> Self {
        Self::of_series(&listings(), series, minutes, begin)
    }
}
