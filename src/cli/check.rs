//! `sisepan check`: validates the configuration and, with `--live`, whether `serve` would show prices.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Args;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::app::venues_of;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, ConfigErrors};
use crate::feed::{MissingPart, Reason, ReasonCode, UNKNOWN_NAME, VenueState};
use crate::market::{Market, State, VenueId};
use crate::{ingest, store};

use super::args::{self, ConfigArg, DataArg, ListenArg, load};
use super::trial::{self, Trial};

/// Arguments of `sisepan check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    listen: ListenArg,
    #[command(flatten)]
    data: DataArg,
    /// Also read each exchange as `serve` does, for up to 20 seconds; fail if an exchange does not work or a
    /// market has no price.
    #[arg(long)]
    live: bool,
}

pub(super) async fn run(args: CheckArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = load(&args.config, &[args.listen.flag(), args.data.flag()])?;
    let location = args.config.file().map_or("configuration".into(), Path::to_string_lossy);
    let (obstacles, in_use) = obstacles(&config).await;
    if !obstacles.is_empty() {
        let problem = |(key, message): (&str, String)| ConfigError {
            location: location.to_string(),
            key: key.to_owned(),
            message,
        };
        bail!(ConfigErrors(obstacles.into_iter().map(problem).collect()));
    }
    let mut report = describe(&config);
    for (key, resource) in in_use {
        let _ = writeln!(
            report,
            "note: {key}: {resource} is in use (perhaps by a running sisepan); serve can't start until it is free"
        );
    }
    let mut failures = Vec::new();
    if args.live {
        let tls = ingest::Tls::new(config.tls_ca.as_deref())?;
        let clock = Clock::system();
        let trials = join_all(venues_of(&config).into_iter().map(|venue| {
            let (config, tls, clock) = (&config, tls.clone(), &clock);
            async move { (venue.profile().id, trial::run(venue, config, tls, clock).await) }
        }));
        let trials = tokio::select! {
            trials = trials => trials,
            () = shutdown.cancelled() => bail!("interrupted"),
        };
        trials.iter().for_each(|(venue, trial)| write_report(&mut report, *venue, trial));
        failures = find_failures(&config, &trials);
    }
    let mut out = io::stdout();
    out.write_all(report.as_bytes()).and_then(|()| out.flush()).context("writing to standard output")?;
    if !failures.is_empty() {
        bail!("{}", failures.join("; "));
    }
    Ok(())
}

/// Messages about settings: name of the setting, and message.
type Messages = Vec<(&'static str, String)>;

/// Returns what would make `serve` fail although the configuration is valid, and the addresses and directories
/// that another process uses, which is probably the server whose configuration is being checked.
async fn obstacles(config: &Config) -> (Messages, Messages) {
    let (mut found, mut in_use) = (Vec::new(), Vec::new());
    let metrics = config.metrics.iter().map(|listen| ("metrics.listen", listen));
    for (key, listen) in std::iter::once(("listen", &config.listen)).chain(metrics) {
        match args::bind(listen).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => in_use.push((key, listen.clone())),
            Err(error) => found.push((key, format!("can't listen on {listen}: {error}"))),
        }
    }
    if let Some(directory) = &config.data {
        match check_data(directory) {
            Err(problem) => found.push(("data", problem)),
            Ok(()) if store::is_in_use(directory) => in_use.push(("data", directory.display().to_string())),
            Ok(()) => {}
        }
    }
    (found, in_use)
}

/// Checks that the store can be kept in `directory`. Changes nothing there.
fn check_data(directory: &Path) -> Result<(), String> {
    let existing = directory.ancestors().find(|path| path.exists() || path.as_os_str().is_empty());
    let existing = existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let problem = |path: &Path, problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    if !existing.is_dir() {
        return Err(problem(existing, &"is not a directory"));
    }
    tempfile::tempfile_in(existing).map_err(|error| problem(existing, &format!("can't be written to: {error}")))?;
    for file in [store::DATABASE_FILE, store::LOCK_FILE].map(|name| directory.join(name)) {
        match OpenOptions::new().read(true).write(true).open(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(problem(&file, &error)),
            _ => {}
        }
    }
    store::inspect(directory)
}

fn describe(config: &Config) -> String {
    let mut text = String::from("configuration OK\n");
    for board in &config.boards {
        let (markets, source) = (board.markets.len(), board.source.as_str());
        let _ = writeln!(text, "board {}: {markets} markets from {source}, change over {}", board.id, board.basis);
    }
    for (board, market, likely) in config.swapped_markets() {
        let _ =
            writeln!(text, "warning: board {board}: {market}: markets are written BASE-QUOTE; did you mean {likely}?");
    }
    text
}

/// Returns the failures: exchanges that do not work, and markets without a price from any source.
fn find_failures(config: &Config, trials: &[(VenueId, Trial)]) -> Vec<String> {
    let mut failures = Vec::new();
    let of = |venue: &VenueId| trials.iter().find(|(id, _)| id == venue).map(|(_, trial)| trial);
    let failed: Vec<&str> =
        trials.iter().filter(|(_, trial)| trial.has_failed()).map(|(venue, _)| venue.as_str()).collect();
    if !failed.is_empty() {
        failures.push(format!("{} of {} exchanges failed: {}", failed.len(), trials.len(), failed.join(", ")));
    }
    for board in &config.boards {
        let venues = board.venues();
        let shown = |market: &&Market| venues.iter().filter_map(of).any(|trial| trial.current_quote(market).is_some());
        let without_price: Vec<&str> =
            board.markets.iter().filter(|market| !shown(market)).map(|market| market.as_str()).collect();
        if !without_price.is_empty() {
            failures.push(format!("board {}: no price for {}", board.id, without_price.join(", ")));
        }
    }
    failures
}

fn write_report(text: &mut String, venue: VenueId, trial: &Trial) {
    let _ = writeln!(text, "\n{venue} ({} ms)", trial.duration.as_millis());
    let wanted = trial.wanted.len();
    let connection = trial.connection.as_ref();
    let list_failed =
        connection.and_then(|connection| connection.list_failed.as_ref()).filter(|_| trial.listed.is_none());
    let _ = match &trial.listed {
        Some(listed) => {
            let missing = trial.wanted.iter().filter(|market| trial.is_unlisted(market)).count();
            writeln!(text, "  list     {} markets, {} of {wanted} wanted", listed.len(), wanted - missing)
        }
        None => match list_failed {
            Some(reason) => writeln!(text, "  list     not received: {reason}"),
            None => writeln!(text, "  list     not received"),
        },
    };
    let current = trial.wanted.iter().filter(|market| trial.current_quote(market).is_some()).count();
    let _ = writeln!(text, "  prices   {current} of {wanted}");
    for market in &trial.wanted {
        let shown = match trial.current_quote(market).and_then(|quote| quote.last) {
            Some(price) => format!("{:>16}", price.to_string()),
            None => explain_no_price(trial, market),
        };
        let _ = writeln!(text, "           {:<12} {shown}", market.as_str());
    }
    // Whether the board accepts the prices is reported separately; it is not a failure of the stream.
    let connected = connection.is_some_and(|connection| connection.state == VenueState::Up);
    let stream_failed =
        connection.and_then(|connection| connection.stream_failed.as_ref()).filter(|_| trial.streaming && !connected);
    let _ = match (connected, trial.streaming) {
        (true, true) => writeln!(text, "  stream   connected"),
        (_, false) => writeln!(text, "  stream   disabled"),
        (false, true) => match stream_failed {
            Some(reason) => writeln!(text, "  stream   failed: {reason}"),
            None => writeln!(text, "  stream   no usable data"),
        },
    };
    // Missing prices are shown for each market; missing bases are not reported, since a trial requests no candles.
    let reason = trial.health.as_ref().and_then(|health| health.reason.as_ref());
    let reason = reason.filter(|reason| reason.code != ReasonCode::Incomplete);
    let reason = reason.or_else(|| connection.and_then(|connection| connection.list_reason.as_ref()));
    let printed = |reason: &&Reason| [list_failed, stream_failed].contains(&Some(*reason));
    if let Some(reason) = reason.filter(|reason| trial.has_failed() && !printed(reason)) {
        let _ = writeln!(text, "  reason   {reason}");
    }
    for problem in trial.health.iter().flat_map(|health| &health.problems) {
        let field = problem.field.map(|field| format!(" in {field}")).unwrap_or_default();
        let _ =
            writeln!(text, "  rejected {}{field} ({}x), for example {}", problem.code, problem.count, problem.example);
    }
}

/// Returns why a market has no current price.
fn explain_no_price(trial: &Trial, market: &Market) -> String {
    let missing = trial.health.iter().flat_map(|health| &health.missing);
    let missing =
        missing.filter(|missing| missing.lacks == MissingPart::Price).find(|missing| missing.market == *market);
    if trial.is_unlisted(market) && missing.is_none_or(|missing| missing.code != UNKNOWN_NAME) {
        let swapped = Market::new(market.quote(), market.base()).ok();
        let swapped = swapped.filter(|swapped| !trial.is_unlisted(swapped));
        return match swapped {
            Some(swapped) => format!("is not listed; did you mean {swapped}?"),
            None => "is not listed".to_owned(),
        };
    }
    if let Some(missing) = missing {
        return format!("no price ({}): {}", missing.code, missing.detail);
    }
    let state = trial.quotes.get(market).map_or(State::Unknown, |quote| quote.state);
    match state {
        State::Halted => "is halted by the exchange",
        State::Stale => "is stale: the exchange has not confirmed its price",
        State::Delayed => "is delayed: polled instead of streamed",
        State::Live | State::Unknown => "has no usable price",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::feed::VenueHealth;

    /// A stream that is open but silent has not failed yet, and what the board lacks is not its failure reason.
    #[test]
    fn fc_42_what_the_board_lacks_is_not_the_reason_of_the_stream() {
        let id = VenueId("toy");
        let market = Market::new("BTC", "KRW").unwrap();
        let health = |state, reason| VenueHealth { state, reason, ..VenueHealth::new(id, 1, Timestamp::UNIX_EPOCH) };
        let awaited = "1 of 1 wanted markets without a base, such as BTC-KRW (awaited)";
        let report = |connection: VenueHealth| {
            let reason = connection.reason.clone().unwrap_or_else(|| Reason::new(ReasonCode::Incomplete, awaited));
            let trial = Trial {
                wanted: vec![market.clone()],
                streaming: true,
                listed: Some(BTreeSet::from([market.clone()])),
                health: Some(health(connection.state, Some(reason))),
                connection: Some(connection),
                quotes: BTreeMap::new(),
                duration: Duration::ZERO,
            };
            let mut text = String::new();
            write_report(&mut text, id, &trial);
            text
        };
        let silent = report(health(VenueState::Connecting, None));
        assert!(silent.contains("  stream   no usable data\n") && !silent.contains("without a base"), "{silent}");
        // Each of several failures has a line of its own.
        let refused = Reason::new(ReasonCode::Http, "503 for prices");
        let failed = Some(Reason::new(ReasonCode::Upgrade, "403 for the stream"));
        let both = report(VenueHealth { stream_failed: failed, ..health(VenueState::Down, Some(refused)) });
        assert!(both.contains("  stream   failed: 403 for the stream\n"), "{both}");
        assert!(both.contains("  reason   503 for prices\n"), "{both}");
    }
}
