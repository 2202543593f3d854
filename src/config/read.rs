//! Reads a [`Config`] from a file and the environment, or returns all errors.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use toml::de::DeTable;
use url::Url;

use crate::market::change::PLACES_MAX;
use crate::market::{Basis, Market, Minute, Price, Redenomination, SourceId, VenueId};
use crate::venue;

use super::section::{ConfigError, ConfigErrors, Environment, Found, Section, Source, known_venues};
use super::settings::{Board, Config, LogFormat, TITLES, VenueConfig};
use super::{limits, proxy, site, widgets};

/// Most markets on one board.
pub const MARKETS_MAX: usize = 128;

/// Most boards.
const BOARDS_MAX: usize = 64;

/// Most redenominations.
const REDENOMINATIONS_MAX: usize = 256;

/// Allowed retention of minute closes in days; a change over 24 hours needs more than one day.
const RETENTION_DAYS: std::ops::RangeInclusive<u64> = 2..=3650;

/// Largest configuration file read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Description of a valid listen address, for error messages.
const LISTEN_MUST_BE: &str = "must be an address and a port such as 127.0.0.1:8080, localhost:8080 or :8080";

/// Prefixes of variables that are not settings: the path of the file, and those that Kubernetes sets for a service
/// named `sisepan`.
const IGNORED_PREFIXES: [&str; 3] = ["SISEPAN_CONFIG", "SISEPAN_SERVICE_", "SISEPAN_PORT"];

/// Reads the settings from `file`, if given, and from the environment.
///
/// # Errors
/// [`ConfigErrors`] with all errors found.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Config, ConfigErrors> {
    let Some(path) = file else { return parse("defaults", "", environment) };
    let name = path.display().to_string();
    let unreadable =
        |message: String| ConfigErrors(vec![ConfigError { location: name.clone(), key: String::new(), message }]);
    let size = std::fs::metadata(path).map_err(|error| unreadable(format!("can't be read: {error}")))?.len();
    if size > FILE_MAX {
        return Err(unreadable(format!("is too large: {size} bytes, at most {FILE_MAX} are allowed")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(format!("can't be read: {error}")))?;
    parse(&name, &text, environment)
}

/// Parses the settings from a text; error messages call it `name`.
///
/// # Errors
/// [`ConfigErrors`] with all errors found.
pub fn parse(name: &str, text: &str, environment: &Environment) -> Result<Config, ConfigErrors> {
    let (table, syntax) = DeTable::parse_recoverable(text);
    let source = Source { name, text, environment, problems: RefCell::default(), variables: RefCell::default() };
    for error in &syntax {
        let location = error.span().map_or_else(|| name.to_owned(), |span| source.line(&span));
        source.report(location, "", error.message().trim());
    }
    let config = read_all(&source, table.get_ref());
    report_unknown_variables(&source);
    let problems = source.problems.into_inner();
    if problems.is_empty() { Ok(config) } else { Err(ConfigErrors(problems)) }
}

/// Reports variables with our prefix that match no setting, since they are probably misspelt.
fn report_unknown_variables(source: &Source<'_>) {
    let known = source.variables.borrow();
    let is_ignored =
        |name: &str| !name.starts_with("SISEPAN_") || IGNORED_PREFIXES.iter().any(|start| name.starts_with(start));
    for name in source.environment.keys().filter(|name| !known.contains(*name) && !is_ignored(name)) {
        source.report(format!("environment variable {name}"), "", "matches no setting");
    }
}

pub(super) fn read_all(source: &Source<'_>, table: &DeTable<'_>) -> Config {
    let mut root = Section::new(source, Some(table), "");
    let mut config = Config::default();
    if let Some(listen) = read_listen(source, &mut root) {
        config.listen = listen;
    }
    let mut metrics = root.table("metrics");
    config.metrics = read_listen(source, &mut metrics);
    metrics.finish();
    if let Some(log) = root.string("log") {
        match log.value.as_str() {
            "text" => config.log = LogFormat::Text,
            "json" => config.log = LogFormat::Json,
            other => source.report(log.location, "log", format!("must be text or json, is {other:?}")),
        }
    }
    if let Some(places) = root.integer("percent_places", 0..=u64::from(PLACES_MAX)) {
        config.percent_places = u32::try_from(places).unwrap_or(config.percent_places);
    }
    if let Some(percent) = root.integer("jump_max_percent", 0..=99) {
        config.jump_max_percent = u32::try_from(percent).ok().filter(|percent| *percent > 0);
    }
    let mut tls = root.table("tls");
    if let Some(ca) = tls.string("ca") {
        if let Err(problem) = check_authorities(ca.value.as_ref()) {
            source.report(ca.location, tls.key("ca"), format!("{:?} can't be used: {problem}", ca.value));
        }
        config.tls_ca = Some(ca.value.into());
    }
    tls.finish();
    config.proxies = proxy::read(source, &mut root);
    if let Some(data) = root.string("data") {
        config.data = (!matches!(data.value.as_str(), "" | "none")).then(|| data.value.into());
    }
    let mut store = root.table("store");
    if let Some(days) = store.integer("retention_days", RETENTION_DAYS) {
        config.retention_days = u32::try_from(days).unwrap_or(config.retention_days);
    }
    store.finish();
    config.site = site::read(source, &mut root);
    let mut widgets = root.table("widgets");
    config.site.widgets = widgets::read(source, &mut widgets);
    let basis = read_basis(source, &mut widgets, Basis::default());
    widgets.finish();
    config.boards.iter_mut().for_each(|board| board.basis = basis);
    config.limits = limits::read(root.table("limits"));
    config.venues = read_venues(source, root.table("venues"));
    if let Some(boards) = root.tables("boards") {
        config.boards = read_boards(source, boards, basis);
    }
    if let Some(entries) = root.tables("redenominations") {
        config.redenominations = read_redenominations(source, entries);
    }
    root.finish();
    config
}

fn read_listen(source: &Source<'_>, section: &mut Section<'_>) -> Option<String> {
    let Found { value, location } = section.string("listen")?;
    if is_listen_address(&value) {
        return Some(value);
    }
    source.report(location, section.key("listen"), format!("{}, is {value:?}", LISTEN_MUST_BE));
    None
}

/// Returns whether `text` is a valid listen address: IP address and port, host name and
/// port, or a port alone. Host names are resolved later.
fn is_listen_address(text: &str) -> bool {
    if text.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let is_host_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.rsplit_once(':').is_some_and(|(host, port)| port.parse::<u16>().is_ok() && host.bytes().all(is_host_byte))
}

/// Checks a PEM file of certificate authorities.
fn check_authorities(file: &Path) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| match error {
        pem::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    })?;
    if certificates.is_empty() {
        return Err("it contains no certificates".to_owned());
    }
    let mut roots = RootCertStore::empty();
    certificates.into_iter().try_for_each(|certificate| roots.add(certificate)).map_err(|error| error.to_string())
}

fn read_venues(source: &Source<'_>, mut section: Section<'_>) -> BTreeMap<VenueId, VenueConfig> {
    for key in section.keys() {
        if venue::find(&key.value).is_none() {
            let message = format!("unknown exchange; known: {}", known_venues());
            source.report(key.location, section.key(&key.value), message);
        }
    }
    let mut venues = BTreeMap::new();
    for venue in venue::ALL {
        let id = venue.profile().id;
        let mut overrides = section.table(id.as_str());
        let config = VenueConfig {
            rest: read_url(source, &mut overrides, "rest", &["http", "https"]),
            stream: read_url(source, &mut overrides, "stream", &["ws", "wss"]),
            streaming: overrides.boolean("streaming"),
            stale_after: overrides.integer("stale_after_secs", 1..=3600).map(Duration::from_secs),
            silence_max: overrides.integer("silence_max_secs", 1..=3600).map(Duration::from_secs),
            confirm_after: overrides.integer("confirm_after_secs", 1..=3600).map(Duration::from_secs),
            poll_every: overrides.integer("poll_every_ms", 200..=60_000).map(Duration::from_millis),
        };
        overrides.finish();
        if config != VenueConfig::default() {
            venues.insert(id, config);
        }
    }
    venues
}

fn read_url(source: &Source<'_>, section: &mut Section<'_>, key: &'static str, schemes: &[&str]) -> Option<String> {
    let found = section.string(key)?;
    let url = Url::parse(&found.value).ok().filter(|url| schemes.contains(&url.scheme()) && url.has_host());
    if url.is_none() {
        let message = format!("must be a URL that begins with {}://, is {:?}", schemes.join(":// or "), found.value);
        source.report(found.location, section.key(key), message);
        return None;
    }
    Some(found.value.trim_end_matches('/').to_owned())
}

fn read_boards(source: &Source<'_>, sections: Vec<(Section<'_>, String)>, basis: Basis) -> Vec<Board> {
    if sections.is_empty() || sections.len() > BOARDS_MAX {
        source.report(
            source.name.to_owned(),
            "boards",
            format!("must have 1 to {BOARDS_MAX} entries, has {}", sections.len()),
        );
    }
    let mut boards: Vec<Board> = Vec::new();
    for (mut section, location) in sections {
        let board = read_board(source, &mut section, &location, basis);
        if boards.iter().any(|other| other.id == board.id && !board.id.is_empty()) {
            source.report(location, section.key("id"), format!("board {:?} is defined twice", board.id));
        }
        section.finish();
        boards.push(board);
    }
    boards
}

/// Reads one board. Invalid settings are replaced by placeholders, so that the remaining errors are found too.
fn read_board(source: &Source<'_>, section: &mut Section<'_>, location: &str, basis: Basis) -> Board {
    let missing = |section: &Section<'_>, key: &str| {
        source.report(location.to_owned(), section.key(key), "is missing");
    };
    let id = section.string("id");
    match &id {
        None => missing(section, "id"),
        Some(id) if !is_board_id(&id.value) => {
            let message = format!("must be 1 to 32 letters, digits, - or _, is {:?}", id.value);
            source.report(id.location.clone(), section.key("id"), message);
        }
        Some(_) => {}
    }
    let markets = section.strings("markets");
    if markets.is_none() {
        missing(section, "markets");
    }
    let sources = section.strings("source");
    if sources.is_none() {
        missing(section, "source");
    }
    Board {
        id: id.map(|id| id.value).unwrap_or_default(),
        titles: read_titles(section),
        markets: read_markets(source, section, markets).into(),
        source: read_source(source, section, sources),
        basis: read_basis(source, section, basis),
    }
}

fn is_board_id(id: &str) -> bool {
    (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn read_titles(section: &mut Section<'_>) -> [String; 3] {
    if section.is_table("title") {
        let mut titles = section.table("title");
        let read = ["ko", "en", "ja"].map(|lang| titles.string(lang).map(|title| title.value));
        titles.finish();
        let any_title = read.iter().flatten().next().cloned();
        let mut defaults = TITLES.into_iter();
        return read.map(|title| {
            let default = defaults.next().unwrap_or_default();
            title.or_else(|| any_title.clone()).unwrap_or_else(|| default.to_owned())
        });
    }
    match section.string("title") {
        Some(title) => std::array::from_fn(|_| title.value.clone()),
        None => TITLES.map(str::to_owned),
    }
}

fn read_markets(source: &Source<'_>, section: &Section<'_>, found: Option<Found<Vec<Found<String>>>>) -> Vec<Market> {
    let Some(found) = found else { return Vec::new() };
    if found.value.is_empty() || found.value.len() > MARKETS_MAX {
        let message = format!("must have 1 to {MARKETS_MAX} entries, has {}", found.value.len());
        source.report(found.location, section.key("markets"), message);
    }
    let mut seen = BTreeSet::new();
    let mut markets = Vec::new();
    for text in found.value {
        match text.value.parse::<Market>() {
            Ok(market) if seen.insert(market.clone()) => markets.push(market),
            Ok(market) => source.report(text.location, section.key("markets"), format!("{market} is listed twice")),
            Err(error) => source.report(text.location, section.key("markets"), error.to_string()),
        }
    }
    markets
}

fn read_source(source: &Source<'_>, section: &Section<'_>, found: Option<Found<Vec<Found<String>>>>) -> SourceId {
    let Some(found) = found else { return SourceId::new([]) };
    if found.value.is_empty() {
        source.report(
            found.location,
            section.key("source"),
            format!("must name an exchange; known: {}", known_venues()),
        );
    }
    let found = found.value;
    for id in &found {
        if venue::find(&id.value).is_none() {
            let message = format!("unknown exchange {:?}; known: {}", id.value, known_venues());
            source.report(id.location.clone(), section.key("source"), message);
        }
    }
    SourceId::new(found.iter().map(|id| id.value.as_str()))
}

fn read_basis(source: &Source<'_>, section: &mut Section<'_>, default: Basis) -> Basis {
    let Some(found) = section.string("basis") else { return default };
    found.value.parse().unwrap_or_else(|error: crate::market::UnknownBasis| {
        source.report(found.location, section.key("basis"), error.to_string());
        default
    })
}

/// Reads the changes of price units. Invalid ones are left out and their errors reported.
fn read_redenominations(source: &Source<'_>, sections: Vec<(Section<'_>, String)>) -> Vec<Redenomination> {
    if sections.len() > REDENOMINATIONS_MAX {
        let message = format!("must have at most {REDENOMINATIONS_MAX} entries, has {}", sections.len());
        source.report(source.name.to_owned(), "redenominations", message);
    }
    let mut entries: Vec<Redenomination> = Vec::new();
    for (mut section, location) in sections {
        let entry = read_redenomination(source, &mut section, &location);
        let same = |a: &Redenomination, b: &Redenomination| a.venue == b.venue && a.market == b.market && a.at == b.at;
        match entry {
            Some(entry) if entries.iter().any(|other| same(other, &entry)) => {
                source.report(
                    location,
                    section.key("at"),
                    format!("{} at {} has two entries for the same minute", entry.market, entry.venue),
                );
            }
            entry => entries.extend(entry),
        }
        section.finish();
    }
    entries
}

fn read_redenomination(source: &Source<'_>, section: &mut Section<'_>, location: &str) -> Option<Redenomination> {
    let mut value = |key: &'static str, must_be: &str, is_valid: &dyn Fn(&str) -> bool| {
        let problem_count = source.problems.borrow().len();
        let Some(found) = section.string(key) else {
            // A value that is not a string has been reported already.
            if source.problems.borrow().len() == problem_count {
                source.report(location.to_owned(), section.key(key), format!("is missing; must be {must_be}"));
            }
            return None;
        };
        if !is_valid(&found.value) {
            source.report(found.location, section.key(key), format!("must be {must_be}, is {:?}", found.value));
            return None;
        }
        Some(found.value)
    };
    let is_venue = |text: &str| venue::find(text).is_some();
    let venue = value("venue", &format!("an exchange; known: {}", known_venues()), &is_venue);
    let market = value("market", "a market such as BTC-KRW", &|text| text.parse::<Market>().is_ok());
    let at = value("at", "the start of a minute such as \"2026-03-01T00:00:00Z\"", &|text| {
        parse_minute_start(text).is_some()
    });
    let must_be =
        "the factor for older prices, a positive decimal in quotes such as \"0.01\", or \"1\" for a real price move";
    let factor = value("factor", must_be, &|text| parse_factor(text).is_some());
    Some(Redenomination {
        venue: venue::find(&venue?)?.profile().id,
        market: market?.parse().ok()?,
        at: parse_minute_start(&at?)?,
        factor: parse_factor(&factor?)?,
    })
}

/// Parses a time that is exactly the start of a minute, since the unit changes between two minutes.
fn parse_minute_start(text: &str) -> Option<Minute> {
    let at: Timestamp = text.parse().ok()?;
    Some(Minute::of(at)).filter(|minute| minute.start() == at)
}

fn parse_factor(text: &str) -> Option<Price> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc_55_names_and_ports_alone_are_accepted() {
        for valid in ["127.0.0.1:8080", "[::1]:0", "localhost:8080", ":8080", "board.internal.example:80", "0.0.0.0:1"]
        {
            assert!(is_listen_address(valid), "{valid}");
        }
        for invalid in
            ["", ":", "8080", "localhost", "localhost:", ":x", ":65536", "::1:x", "a b:1", "http://x:1", "::1:8080"]
        {
            assert!(!is_listen_address(invalid), "{invalid}");
        }
    }
}
