//! `sisepan check`: is the configuration right, and with `--live`, would `serve` show prices?

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Args;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, ConfigErrors, Problem};
use crate::domain::{Lacks, Market, Reason, ReasonCode, State, VenueId, VenueState};
use crate::run::venues_of;
use crate::{ingest, store};

use super::trial::{self, Trial};
use super::{ConfigArg, DataArg, ListenArg, listen, load};

/// What `sisepan check` takes.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    listen: ListenArg,
    #[command(flatten)]
    data: DataArg,
    /// Also read each exchange as `serve` does, for up to 20 seconds, and fail where `serve` would show no price.
    #[arg(long)]
    live: bool,
}

pub(super) async fn run(args: CheckArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = load(&args.config, &[args.listen.flag(), args.data.flag()])?;
    let place = args.config.file().map_or("configuration".into(), Path::to_string_lossy);
    let (obstacles, taken) = obstacles(&config).await;
    if !obstacles.is_empty() {
        let problem =
            |(key, message): (&str, String)| Problem { place: place.to_string(), key: key.to_owned(), message };
        bail!(ConfigErrors(obstacles.into_iter().map(problem).collect()));
    }
    let mut report = describe(&config);
    for (key, what) in taken {
        let _ = writeln!(report, "note: {key}: {what} is in use: by a running server, or serve will not start");
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
        trials.iter().for_each(|(venue, trial)| table(&mut report, *venue, trial));
        failures = judge(&config, &trials);
    }
    let mut out = io::stdout();
    out.write_all(report.as_bytes()).and_then(|()| out.flush()).context("writing to standard output")?;
    if !failures.is_empty() {
        bail!("{}", failures.join("; "));
    }
    Ok(())
}

/// What is said of a setting, by its name.
type Said = Vec<(&'static str, String)>;

/// Returns what `serve` would stumble over though the configuration is valid, and what another process has: most likely
/// the server whose configuration is checked.
async fn obstacles(config: &Config) -> (Said, Said) {
    let (mut found, mut taken) = (Vec::new(), Vec::new());
    let metrics = config.metrics.iter().map(|listen| ("metrics.listen", listen));
    for (key, listen) in std::iter::once(("listen", &config.listen)).chain(metrics) {
        match listen::bind(listen).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken.push((key, listen.clone())),
            Err(error) => found.push((key, format!("can't listen on {listen}: {error}"))),
        }
    }
    if let Some(directory) = &config.data {
        match check_data(directory) {
            Err(problem) => found.push(("data", problem)),
            Ok(()) if store::is_in_use(directory) => taken.push(("data", directory.display().to_string())),
            Ok(()) => {}
        }
    }
    (found, taken)
}

/// Returns why the store could not be kept in `directory`. Changes nothing there.
fn check_data(directory: &Path) -> Result<(), String> {
    let existing = directory.ancestors().find(|path| path.exists() || path.as_os_str().is_empty());
    let existing = existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let problem = |path: &Path, problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    if !existing.is_dir() {
        return Err(problem(existing, &"is not a directory"));
    }
    tempfile::tempfile_in(existing).map_err(|error| problem(existing, &format!("can't be written to: {error}")))?;
    for file in [store::FILE, store::LOCK].map(|name| directory.join(name)) {
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

/// Returns what `serve` would not show, and which exchanges do not work.
fn judge(config: &Config, trials: &[(VenueId, Trial)]) -> Vec<String> {
    let mut failures = Vec::new();
    let of = |venue: &VenueId| trials.iter().find(|(id, _)| id == venue).map(|(_, trial)| trial);
    let failed: Vec<&str> = trials.iter().filter(|(_, trial)| trial.fails()).map(|(venue, _)| venue.as_str()).collect();
    if !failed.is_empty() {
        failures.push(format!("{} of {} exchanges failed: {}", failed.len(), trials.len(), failed.join(", ")));
    }
    for board in &config.boards {
        let venues = board.venues();
        let shown = |market: &&Market| venues.iter().filter_map(of).any(|trial| trial.current(market).is_some());
        let dead: Vec<&str> =
            board.markets.iter().filter(|market| !shown(market)).map(|market| market.as_str()).collect();
        if !dead.is_empty() {
            failures.push(format!("board {}: no price for {}", board.id, dead.join(", ")));
        }
    }
    failures
}

fn table(text: &mut String, venue: VenueId, trial: &Trial) {
    let _ = writeln!(text, "\n{venue} ({} ms)", trial.took.as_millis());
    let wanted = trial.wanted.len();
    let link = trial.link.as_ref();
    let list_failed = link.and_then(|link| link.list_failed.as_ref()).filter(|_| trial.listed.is_none());
    let _ = match &trial.listed {
        Some(listed) => {
            let missing = trial.wanted.iter().filter(|market| trial.is_unlisted(market)).count();
            writeln!(text, "  list     {} markets, {} of the {wanted} wanted", listed.len(), wanted - missing)
        }
        None => match list_failed {
            Some(reason) => writeln!(text, "  list     not received: {reason}"),
            None => writeln!(text, "  list     not received"),
        },
    };
    let current = trial.wanted.iter().filter(|market| trial.current(market).is_some()).count();
    let _ = writeln!(text, "  prices   {current} of {wanted}");
    for market in &trial.wanted {
        let shown = match trial.current(market).and_then(|quote| quote.last) {
            Some(price) => format!("{:>16}", price.to_string()),
            None => why_not(trial, market),
        };
        let _ = writeln!(text, "           {:<12} {shown}", market.as_str());
    }
    // Whether the prices are believed is the board's matter, and no reason of the stream's.
    let connected = link.is_some_and(|link| link.state == VenueState::Up);
    let stream_failed = link.and_then(|link| link.stream_failed.as_ref()).filter(|_| trial.streaming && !connected);
    let _ = match (connected, trial.streaming) {
        (true, true) => writeln!(text, "  stream   connected"),
        (_, false) => writeln!(text, "  stream   switched off"),
        (false, true) => match stream_failed {
            Some(reason) => writeln!(text, "  stream   failed: {reason}"),
            None => writeln!(text, "  stream   no usable data"),
        },
    };
    // What single markets lack stands beside them; that none has a base is no finding, since a trial asks for no past.
    let reason = trial.health.as_ref().and_then(|health| health.reason.as_ref());
    let reason = reason.filter(|reason| reason.code != ReasonCode::Incomplete);
    let reason = reason.or_else(|| link.and_then(|link| link.list_reason.as_ref()));
    let printed = |reason: &&Reason| [list_failed, stream_failed].contains(&Some(*reason));
    if let Some(reason) = reason.filter(|reason| trial.fails() && !printed(reason)) {
        let _ = writeln!(text, "  reason   {reason}");
    }
    for problem in trial.health.iter().flat_map(|health| &health.problems) {
        let field = problem.field.map(|field| format!(" in {field}")).unwrap_or_default();
        let _ =
            writeln!(text, "  rejected {}{field}, {} times, such as {}", problem.code, problem.count, problem.example);
    }
}

/// Says why a market has no current price.
fn why_not(trial: &Trial, market: &Market) -> String {
    if trial.is_unlisted(market) {
        let turned = Market::new(market.quote(), market.base()).ok();
        let turned = turned.filter(|turned| !trial.is_unlisted(turned));
        return match turned {
            Some(turned) => format!("is not listed; did you mean {turned}?"),
            None => "is not listed".to_owned(),
        };
    }
    let missing = trial.health.iter().flat_map(|health| &health.missing);
    if let Some(missing) =
        missing.filter(|missing| missing.lacks == Lacks::Price).find(|missing| missing.market == *market)
    {
        return format!("no price ({}): {}", missing.code, missing.detail);
    }
    let state = trial.quotes.get(market).map_or(State::Unknown, |quote| quote.state);
    match state {
        State::Halted => "is halted by the exchange",
        State::Stale => "is stale: the exchange does not confirm its price",
        State::Delayed => "is delayed: it comes by polling, not from the stream",
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
    use crate::domain::VenueHealth;

    /// A stream that is open and silent: it has not failed yet, and what the board misses is not its reason.
    #[test]
    fn fc_42_what_the_board_misses_is_no_reason_of_the_stream() {
        let id = VenueId("toy");
        let market = Market::new("BTC", "KRW").unwrap();
        let health = |state, reason| VenueHealth { state, reason, ..VenueHealth::new(id, 1, Timestamp::UNIX_EPOCH) };
        let awaited = "1 of 1 wanted markets without a base, such as BTC-KRW (awaited)";
        let told = |link: VenueHealth| {
            let reason = link.reason.clone().unwrap_or_else(|| Reason::new(ReasonCode::Incomplete, awaited));
            let trial = Trial {
                wanted: vec![market.clone()],
                streaming: true,
                listed: Some(BTreeSet::from([market.clone()])),
                health: Some(health(link.state, Some(reason))),
                link: Some(link),
                quotes: BTreeMap::new(),
                took: Duration::ZERO,
            };
            let mut text = String::new();
            table(&mut text, id, &trial);
            text
        };
        let silent = told(health(VenueState::Connecting, None));
        assert!(silent.contains("  stream   no usable data\n") && !silent.contains("without a base"), "{silent}");
        // Of several failures each stands in its own line.
        let refused = Reason::new(ReasonCode::Http, "503 for prices");
        let failed = Some(Reason::new(ReasonCode::Upgrade, "403 for the stream"));
        let both = told(VenueHealth { stream_failed: failed, ..health(VenueState::Down, Some(refused)) });
        assert!(both.contains("  stream   failed: 403 for the stream\n"), "{both}");
        assert!(both.contains("  reason   503 for prices\n"), "{both}");
    }
}
