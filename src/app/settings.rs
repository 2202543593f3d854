//! What the parts need of the configuration.

use std::collections::BTreeSet;

use crate::board::{self, BoardSpec};
use crate::config::{Board, Config, VenueConfig};
use crate::ingest;
use crate::market::{Market, VenueId};
use crate::venue::{self, Venue};

/// Returns what the board needs of the boards.
pub(super) fn board_specs(boards: &[Board]) -> Vec<BoardSpec> {
    let spec = |board: &Board| BoardSpec {
        source: board.source.clone(),
        venues: board.venues(),
        markets: board.markets.to_vec(),
        basis: board.basis,
    };
    boards.iter().map(spec).collect()
}

/// Returns the exchanges that the boards use.
pub(crate) fn venues_of(config: &Config) -> Vec<&'static dyn Venue> {
    let used: Vec<VenueId> = config.boards.iter().flat_map(Board::venues).collect();
    venue::ALL.iter().copied().filter(|venue| used.contains(&venue.profile().id)).collect()
}

/// Returns every market that the boards need from an exchange.
pub(crate) fn markets_of(boards: &[Board], venue: VenueId) -> BTreeSet<Market> {
    let boards = boards.iter().filter(|board| board.venues().contains(&venue));
    boards.flat_map(|board| board.markets.iter().cloned()).collect()
}

/// Returns the board's settings: the configured values over the defaults.
pub(crate) fn board_settings(config: &Config) -> board::BoardSettings {
    let profiles = || venue::ALL.iter().map(|venue| venue.profile());
    let stale_after = profiles().map(|profile| {
        let set = config.venues.get(&profile.id).and_then(|overrides| overrides.stale_after);
        (profile.id, set.unwrap_or(profile.stale_after))
    });
    board::BoardSettings {
        percent_places: config.percent_places,
        jump_max_percent: config.jump_max_percent,
        stale_after: stale_after.collect(),
        venues_without_trade_times: profiles().filter(|p| !p.has_trade_times).map(|p| p.id).collect(),
        minutes_kept: profiles().filter_map(|p| Some((p.id, p.minutes_kept?))).collect(),
        redenominations: config.redenominations.clone(),
        ..board::BoardSettings::default()
    }
}

/// Returns an exchange's settings: the configured values over its profile.
pub(crate) fn ingest_settings(venue: &dyn Venue, config: &Config) -> ingest::Settings {
    let defaults = ingest::Settings::defaults(venue.profile());
    let no_overrides = VenueConfig::default();
    let overrides = config.venues.get(&venue.profile().id).unwrap_or(&no_overrides);
    let rest = overrides.rest.clone().unwrap_or(defaults.rest);
    let stream = overrides.stream.clone().unwrap_or(defaults.stream);
    let proxy = |target: &str| config.proxies.proxy_for(target).cloned().map(ingest::Proxy::new);
    ingest::Settings {
        rest_proxy: proxy(&rest),
        stream_proxy: proxy(&stream),
        rest,
        stream,
        stream_enabled: overrides.streaming.unwrap_or(defaults.stream_enabled),
        stale_after: overrides.stale_after.unwrap_or(defaults.stale_after),
        silence_max: overrides.silence_max.unwrap_or(defaults.silence_max),
        confirm_after: overrides.confirm_after.unwrap_or(defaults.confirm_after),
        poll_every: overrides.poll_every.unwrap_or(defaults.poll_every),
        ..defaults
    }
}
