//! Logging to standard error. Standard output has only the `listening on` line, which tools wait for.
//!
//! Of exchanges, every change of state is logged once, with cause, consequence and end ([`ChangeLog`]).

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use crate::feed::{BoardUpdate, Jump, JumpStatus, Reason, ReasonCode, Relisting, VenueHealth, VenueState};
use crate::market::{Market, Quote, SourceId, VenueId};

/// Default of `RUST_LOG`: `info` for our own code, only errors of other crates.
const FILTER_DEFAULT: &str = "error,sisepan=info";

/// The crates of this workspace, to which the directives for `sisepan` apply too.
const CRATES: [&str; 2] = ["fanout", "fake_exchanges"];

/// Starts logging. Later calls have no effect: the first subscriber stays.
pub fn start(format: LogFormat) {
    let requested =
        std::env::var(EnvFilter::DEFAULT_ENV).ok().and_then(|text| EnvFilter::try_new(for_crates(&text)).ok());
    let filter = requested.unwrap_or_else(|| EnvFilter::new(for_crates(FILTER_DEFAULT)));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // The formatter escapes control characters in fields, so data from an exchange can't control the terminal.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// Returns a filter with each directive for all of `sisepan` repeated for the crates that it consists of.
fn for_crates(filter: &str) -> String {
    let levels = filter.split(',').filter_map(|directive| directive.strip_prefix("sisepan"));
    let levels = levels.filter(|level| level.is_empty() || level.starts_with('='));
    let added = levels.flat_map(|level| CRATES.map(|name| format!("{name}{level},"))).collect::<String>();
    // What the filter itself says of a crate comes later and replaces the repeated directive.
    added + filter
}

/// Installs a hook that logs every panic, and exits with code 1 if the tokio runtime itself panics.
///
/// A panic in a task or thread is handled by the code that started it. A panic in a runtime worker would otherwise
/// go unnoticed: the worker is lost, together with the tasks that wait for it.
pub fn watch_panics() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if tracing::dispatcher::has_been_set() {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("?");
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic.payload_as_str().unwrap_or("?");
            tracing::error!(thread, location, message, "panic");
        } else {
            default_hook(panic);
        }
        if panic.location().is_some_and(|location| is_runtime(location.file())) {
            tracing::error!("the async runtime has failed; exiting");
            std::process::exit(1);
        }
    }));
}

/// Returns whether a source file belongs to tokio's runtime, such as `…/tokio-1.54.0/src/runtime/io/driver.rs`.
fn is_runtime(file: &str) -> bool {
    let file = file.replace('\\', "/");
    file.rsplit_once("/src/runtime/").is_some_and(|(before, _)| {
        let package = before.rsplit('/').next().unwrap_or_default();
        package == "tokio" || package.starts_with("tokio-1")
    })
}

/// Most lines of one kind about one exchange per [`WINDOW`]; further ones are counted as suppressed.
const LINES_MAX: u32 = 6;

/// Period of [`LINES_MAX`].
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Most markets named in one line; `count` includes all of them.
const NAMED_MAX: usize = 5;

/// Logs state changes of exchanges, and changes of the exchange that rows come from.
#[derive(Debug, Default)]
pub struct ChangeLog {
    venues: BTreeMap<VenueId, Venue>,
    jumps: BTreeMap<VenueId, LineLimit>,
    /// The venue that each row comes from, and since when if it is a fallback.
    rows: BTreeMap<(SourceId, Market), (VenueId, Option<Timestamp>)>,
}

#[derive(Debug)]
struct Venue {
    state: VenueState,
    code: Option<ReasonCode>,
    /// Start of the current failure, if there is one.
    failing_since: Option<Timestamp>,
    /// Whether it has ever supplied prices.
    connected: bool,
    limit: LineLimit,
}

/// Rate limit of log lines.
#[derive(Debug)]
struct LineLimit {
    window: Timestamp,
    lines: u32,
    suppressed: u32,
}

impl LineLimit {
    fn new(at: Timestamp) -> Self {
        Self { window: at, lines: 0, suppressed: 0 }
    }

    /// Counts a line. Returns `None` if it must be suppressed, else the number of lines suppressed before it, if
    /// any.
    fn admit(&mut self, at: Timestamp, always: bool) -> Option<Option<u32>> {
        if at.duration_since(self.window).abs() > WINDOW {
            (self.window, self.lines) = (at, 0);
        }
        self.lines += 1;
        if self.lines > LINES_MAX && !always {
            self.suppressed += 1;
            return None;
        }
        Some(Some(std::mem::take(&mut self.suppressed)).filter(|count| *count > 0))
    }
}

/// Rows that changed from one exchange to another at the same time.
#[derive(Debug, Default)]
struct Move {
    markets: Vec<Market>,
    since: Option<Timestamp>,
}

impl ChangeLog {
    /// Logs the changes in what the board publishes.
    pub fn note(&mut self, publish: &BoardUpdate) {
        publish.venues.iter().for_each(|health| self.note_venue(health, publish.at));
        publish.removed.iter().for_each(|row| {
            self.rows.remove(row);
        });
        self.note_rows(&publish.changed, publish.at);
    }

    fn note_venue(&mut self, health: &VenueHealth, at: Timestamp) {
        let code = health.reason.as_ref().map(|reason| reason.code);
        let venue = self.venues.entry(health.venue).or_insert(Venue {
            state: VenueState::Connecting,
            code: None,
            failing_since: None,
            connected: false,
            limit: LineLimit::new(at),
        });
        if (venue.state, venue.code) == (health.state, code) {
            return;
        }
        let before = std::mem::replace(&mut venue.state, health.state);
        venue.code = code;
        // Polling without a reason is configured and is not a failure.
        let works = health.state == VenueState::Up || (health.state == VenueState::Delayed && code.is_none());
        let lasted = venue.failing_since.map(|since| seconds(at.duration_since(since)));
        let restored = works && venue.failing_since.is_some();
        let failed = matches!(health.state, VenueState::Down | VenueState::Delayed) || before == VenueState::Up;
        venue.failing_since = if works { None } else { venue.failing_since.or(failed.then_some(at)) };
        let connected = venue.connected;
        venue.connected |= matches!(health.state, VenueState::Up | VenueState::Delayed);
        // The end of a failure is never suppressed, so that no failure seems to continue.
        let Some(suppressed) = venue.limit.admit(at, restored) else { return };
        let (id, state) = (health.venue, health.state.as_str());
        let detail = health.reason.as_ref().map(|reason| reason.message.as_str());
        let reason = code.map(ReasonCode::as_str);
        let event = if restored && connected { "exchange connection restored" } else { "exchange connected" };
        match health.state {
            VenueState::Down => error!(
                venue = %id, state, reason, detail, lasted, suppressed,
                "exchange down: no prices; retrying"
            ),
            VenueState::Delayed if code.is_some() => warn!(
                venue = %id, state, reason, detail, lasted, suppressed,
                "streaming failed: prices are polled and shown as delayed; reconnecting"
            ),
            VenueState::Connecting if connected && (before == VenueState::Up || code.is_some()) => {
                warn!(venue = %id, state, reason, detail, lasted, suppressed, "exchange connection lost; reconnecting");
            }
            VenueState::Connecting if code.is_some() => warn!(
                venue = %id, state, reason, detail, lasted, suppressed,
                "not connected to the exchange yet"
            ),
            VenueState::Connecting => info!(venue = %id, state, "connecting to the exchange"),
            VenueState::Up if code.is_some() => warn!(
                venue = %id, state, reason, detail, lasted, suppressed,
                "{event}, but some of its data is unusable"
            ),
            VenueState::Up | VenueState::Delayed => info!(venue = %id, state, lasted, suppressed, "{event}"),
        }
    }

    /// Logs that a price is held back, or the outcome.
    pub fn note_jump(&mut self, jump: &Jump, at: Timestamp) {
        let Jump { venue, market, held, shown, status } = jump;
        let limit = self.jumps.entry(*venue).or_insert_with(|| LineLimit::new(at));
        let Some(suppressed) = limit.admit(at, false) else { return };
        let shown = shown.map(tracing::field::display);
        match status {
            JumpStatus::Held if shown.is_none() => warn!(
                %venue, %market, %held, suppressed,
                "price held back: the market is back on the list and the price is far from its last one; no price is shown until a second source confirms it (price-jump)"
            ),
            JumpStatus::Held => warn!(
                %venue, %market, %held, shown, suppressed,
                "price held back: it is far from the previous price, which is shown until a second source confirms the new one (price-jump)"
            ),
            JumpStatus::Refuted => info!(
                %venue, %market, %held, shown, suppressed,
                "held-back price discarded: the next price is close to the previous one (price-jump-refuted)"
            ),
            JumpStatus::Released => {
                info!(%venue, %market, %held, shown, suppressed, "no price is held back any longer");
            }
        }
    }

    /// Logs that a new listing uses a market's name.
    pub fn note_relisting(relisting: &Relisting) {
        let Relisting { venue, market, cause } = relisting;
        warn!(
            %venue, %market, cause,
            "a new listing uses the same market name: old window and stored hours are dropped, and the change is unknown until the new listing has a base price"
        );
    }

    /// Logs how complete the prices of an exchange are.
    pub fn note_prices(&self, health: &VenueHealth) {
        let VenueHealth { venue, markets_live, markets_wanted, .. } = health;
        let VenueHealth { without_price, without_base, without_change, .. } = health;
        let state = health.state.as_str();
        match &health.reason {
            None if health.state == VenueState::Connecting => {
                info!(%venue, state, markets_live, markets_wanted, "connecting to the exchange; prices are not complete yet");
            }
            None if health.missing.is_empty() => {
                info!(%venue, state, markets_live, markets_wanted, "the prices of the exchange are complete");
            }
            None => info!(
                %venue, state, markets_live, markets_wanted, without_price, without_base, without_change,
                "no row is affected: other exchanges cover what is missing"
            ),
            Some(Reason { code, message }) => {
                let missing = health.missing.first();
                let (market, why) = (missing.map(|m| m.market.as_str()), missing.map(|m| m.code));
                let consequence = match health.state {
                    VenueState::Up => "some markets are shown without price or change",
                    _ if *markets_live == 0 => "no market of the exchange is shown as live",
                    _ => "prices of the exchange may be delayed",
                };
                macro_rules! log_at {
                    ($level:ident) => {
                        $level!(
                            %venue, state, reason = code.as_str(), market, why, detail = message, markets_live,
                            markets_wanted, without_price, without_base, without_change, "{consequence}"
                        )
                    };
                }
                match health.state {
                    VenueState::Down => log_at!(error),
                    _ => log_at!(warn),
                }
            }
        }
    }

    fn note_rows(&mut self, changed: &[Arc<Quote>], at: Timestamp) {
        let mut moves: BTreeMap<(VenueId, VenueId, bool), Move> = BTreeMap::new();
        for quote in changed.iter().filter(|quote| quote.last.is_some()) {
            let key = (quote.source.clone(), quote.market.clone());
            let since = quote.fallback.then_some(at);
            let (from, before) = match self.rows.get_mut(&key) {
                Some((venue, _)) if *venue == quote.venue => continue,
                Some(row) => std::mem::replace(row, (quote.venue, since)),
                None => {
                    self.rows.insert(key, (quote.venue, since));
                    if !quote.fallback {
                        continue;
                    }
                    (quote.venue, None)
                }
            };
            let moved = moves.entry((from, quote.venue, quote.fallback)).or_default();
            moved.markets.push(quote.market.clone());
            moved.since = moved.since.into_iter().chain(before).min();
        }
        for ((from, to, fallback), Move { markets, since }) in moves {
            let named: Vec<&str> = markets.iter().take(NAMED_MAX).map(|market| market.as_str()).collect();
            let (named, count) = (named.join(","), markets.len());
            let lasted = since.map(|since| seconds(at.duration_since(since)));
            let from = (from != to).then(|| tracing::field::display(from));
            if fallback {
                warn!(from, venue = %to, count, markets = named, "prices now come from a fallback exchange");
            } else {
                info!(from, venue = %to, count, markets = named, lasted, "prices come from the preferred exchange again");
            }
        }
    }
}

/// Formats a duration, such as `75s`.
fn seconds(duration: SignedDuration) -> String {
    format!("{}s", duration.as_secs())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::feed::{Missing, MissingPart};
    use crate::market::Price;

    #[test]
    fn the_level_of_the_program_is_that_of_its_crates() {
        assert_eq!(for_crates("error,sisepan=info"), "fanout=info,fake_exchanges=info,error,sisepan=info");
        let own = "sisepan=debug,fanout=off,sisepan::web=trace,hyper";
        let filter = EnvFilter::new(for_crates(own)).to_string();
        let directives: std::collections::BTreeSet<&str> = filter.split(',').collect();
        let expected = ["sisepan=debug", "fanout=off", "fake_exchanges=debug", "sisepan::web=trace", "hyper=trace"];
        assert_eq!(directives, std::collections::BTreeSet::from(expected), "{filter}");
        assert_eq!(for_crates("sisepan"), "fanout,fake_exchanges,sisepan");
        assert_eq!(for_crates("warn"), "warn");
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs `play` and returns the lines it logs.
    fn lines_of(play: impl FnOnce()) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
        let subscriber = lines.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, play);
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn second(at: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + at).unwrap()
    }

    fn health(state: VenueState, code: Option<ReasonCode>) -> VenueHealth {
        let reason = code.map(|code| Reason::new(code, "a cause"));
        VenueHealth { state, reason, ..VenueHealth::new(VenueId("toy"), 1, second(0)) }
    }

    /// Logs changes of one exchange, each given in seconds after the start, and returns the lines.
    fn logged(changes: &[(i64, VenueState, Option<ReasonCode>)]) -> Vec<String> {
        lines_of(|| {
            let mut log = ChangeLog::default();
            for &(at, state, code) in changes {
                let venues = vec![health(state, code)];
                log.note(&BoardUpdate { at: second(at), venues, ..BoardUpdate::default() });
            }
        })
    }

    #[test]
    fn fc_59_each_change_has_its_level_cause_and_end() {
        use VenueState::{Delayed, Down, Up};
        let connect = Some(ReasonCode::Connect);
        let lines = logged(&[
            (0, Up, None),
            (1, Up, None),
            (10, Delayed, connect),
            (20, Down, connect),
            (21, Down, connect),
            (85, Up, None),
        ]);
        let begins = [
            "INFO exchange connected",
            "WARN streaming failed",
            "ERROR exchange down",
            "INFO exchange connection restored",
        ];
        assert_eq!(lines.len(), begins.len(), "{lines:#?}");
        for (line, begin) in lines.iter().zip(begins) {
            assert!(line.starts_with(begin) && line.contains("venue=toy") && !line.contains("suppressed"), "{line}");
        }
        assert!(lines[2].contains("detail=\"a cause\"") && lines[2].contains("lasted=\"10s\""), "{lines:#?}");
        assert!(lines[3].contains("lasted=\"75s\""), "{lines:#?}");
    }

    #[test]
    fn fc_59_the_end_of_an_outage_is_logged_although_something_is_still_missing() {
        use VenueState::{Down, Up};
        let (connect, incomplete) = (Some(ReasonCode::Connect), Some(ReasonCode::Incomplete));
        let lines = logged(&[(0, Up, None), (10, Down, connect), (40, Up, incomplete), (41, Up, None)]);
        assert!(lines[2].starts_with("WARN exchange connection restored, but"), "{lines:#?}");
        assert!(lines[2].contains("lasted=\"30s\"") && lines[2].contains("detail=\"a cause\""), "{lines:#?}");
        assert!(lines[3].starts_with("INFO exchange connected") && !lines[3].contains("lasted"), "{lines:#?}");
    }

    #[test]
    fn fc_59_an_exchange_that_flaps_does_not_fill_the_log_and_its_end_is_logged() {
        let flaps: Vec<_> = (0..40)
            .map(|at| (at, if at % 2 == 0 { VenueState::Delayed } else { VenueState::Down }, Some(ReasonCode::Closed)))
            .chain([(41, VenueState::Up, None)])
            .collect();
        let lines = logged(&flaps);
        assert_eq!(lines.len(), 7, "{lines:#?}");
        assert!(lines[6].contains("restored") && lines[6].contains("suppressed=34"), "{lines:#?}");
    }

    #[test]
    fn fc_59_polling_as_configured_is_not_a_failure() {
        let lines = logged(&[(0, VenueState::Connecting, None), (1, VenueState::Delayed, None)]);
        assert!(lines.len() == 1 && lines[0].starts_with("INFO exchange connected"), "{lines:#?}");
    }

    #[test]
    fn fc_59_a_connection_that_never_existed_is_not_logged_as_lost_or_restored() {
        use VenueState::{Connecting, Down, Up};
        let dns = Some(ReasonCode::Dns);
        let lines = logged(&[(0, Connecting, dns), (5, Down, dns), (65, Up, None)]);
        let begins = ["WARN not connected to the exchange yet", "ERROR exchange down", "INFO exchange connected"];
        assert_eq!(lines.len(), begins.len(), "{lines:#?}");
        lines.iter().zip(begins).for_each(|(line, begin)| assert!(line.starts_with(begin), "{line}"));
        assert!(lines[2].contains("lasted="), "{lines:#?}");
        let lines = logged(&[(0, Up, None), (5, Connecting, dns), (65, Up, None)]);
        assert!(lines[1].contains("connection lost") && lines[2].contains("connection restored"), "{lines:#?}");
    }

    #[test]
    fn fc_59_prices_are_called_complete_only_when_none_is_missing() {
        use VenueState::{Connecting, Down, Up};
        let log = ChangeLog::default();
        let line = |health: VenueHealth| lines_of(|| log.note_prices(&health)).concat();
        let starting = line(health(Connecting, None));
        assert!(starting.contains("connecting to the exchange") && !starting.contains("are complete"), "{starting}");
        let complete = line(VenueHealth { markets_live: 1, ..health(Up, None) });
        assert!(complete.contains("are complete"), "{complete}");
        let market = Market::new("BTC", "KRW").unwrap();
        let missing =
            Missing { market, lacks: MissingPart::Price, code: "unlisted", detail: String::new(), since: second(0) };
        let elsewhere = line(VenueHealth { missing: vec![missing], without_price: 1, ..health(Up, None) });
        assert!(!elsewhere.contains("complete") && elsewhere.contains("without_price=1"), "{elsewhere}");
        let lacking = line(health(Up, Some(ReasonCode::Incomplete)));
        assert!(lacking.starts_with("WARN") && lacking.contains("reason=\"incomplete\""), "{lacking}");
        let down = line(health(Down, Some(ReasonCode::Unbelieved)));
        assert!(down.starts_with("ERROR no market of the exchange is shown as live"), "{down}");
    }

    #[test]
    fn fc_59_a_held_back_price_is_logged_with_its_consequence_and_end() {
        let price = |text: &str| Price::new(text.parse().unwrap()).unwrap();
        let jump = |status| Jump {
            venue: VenueId("toy"),
            market: Market::new("BTC", "KRW").unwrap(),
            held: price("900"),
            shown: Some(price("100")),
            status,
        };
        let mut log = ChangeLog::default();
        let all = [JumpStatus::Held, JumpStatus::Refuted, JumpStatus::Released];
        let lines = lines_of(|| all.iter().for_each(|&status| log.note_jump(&jump(status), second(0))));
        for (line, begin) in
            lines.iter().zip(["WARN price held back", "INFO held-back price discarded", "INFO no price is"])
        {
            let all = ["venue=toy", "market=BTC-KRW", "held=900", "shown=100"].iter().all(|part| line.contains(part));
            assert!(line.starts_with(begin) && all, "{line}");
        }
        assert_eq!(lines.len(), 3, "{lines:#?}");
        let lines = lines_of(|| (0..100).for_each(|_| log.note_jump(&jump(JumpStatus::Held), second(1))));
        assert_eq!(lines.len(), 3, "{lines:#?}");
        let lines = lines_of(|| log.note_jump(&jump(JumpStatus::Held), second(100)));
        assert!(lines[0].contains("suppressed=97"), "{lines:#?}");
    }

    #[test]
    fn fc_11_a_new_listing_is_logged_with_its_cause_and_consequence() {
        let market = Market::new("BTC", "KRW").unwrap();
        let cause = "it was not listed for 7 h".to_owned();
        let lines = lines_of(|| ChangeLog::note_relisting(&Relisting { venue: VenueId("toy"), market, cause }));
        let parts = [
            "WARN a new listing uses the same market name",
            "venue=toy",
            "market=BTC-KRW",
            "not listed for 7 h",
            "are dropped",
        ];
        assert!(lines.len() == 1 && parts.iter().all(|part| lines[0].contains(part)), "{lines:#?}");
    }
}
