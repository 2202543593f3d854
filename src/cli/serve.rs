//! `sisepan serve`: everything in one process.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{Listeners, ingest_settings, venues_of};
use crate::clock::Clock;
use crate::config::Config;
use crate::feed::FeedRecords;

use super::args::{self, ConfigArg, DataArg, ListenArg, LogArg, load};

/// Arguments of `sisepan serve`.
#[derive(Debug, Clone, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    listen: ListenArg,
    #[command(flatten)]
    log: LogArg,
    #[command(flatten)]
    data: DataArg,
}

pub(super) async fn run(args: ServeArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = load(&args.config, &[args.listen.flag(), args.log.flag(), args.data.flag()])?;
    crate::telemetry::start(config.log);
    serve(config, Vec::new(), args.config.file(), shutdown).await
}

/// Binds the listeners, prints the address, and serves until `shutdown`. `history` are records to start with, in
/// addition to those of the store; `file` is the configuration file.
pub(super) async fn serve(
    config: Config,
    history: Vec<FeedRecords>,
    file: Option<&Path>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let clock = Clock::system();
    let (site, address) = bind(&config.listen).await?;
    let metrics = match &config.metrics {
        Some(listen) => Some((bind(listen).await?, crate::metrics::start()?)),
        None => None,
    };
    log_start(&config, file, address, metrics.as_ref().map(|((_, address), _)| *address));
    // A tool may send requests as soon as it reads the address, so restore the last run's state first.
    let (store, mut restored) = crate::app::open_store(&config, &clock).await?;
    restored.feeds.extend(history);
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{address}").and_then(|()| out.flush()).context("writing to standard output")?;
    let listeners = Listeners { site, metrics: metrics.map(|((listener, _), counted)| (listener, counted)) };
    let boards = crate::app::fixed_boards(&config);
    crate::app::run_with(config, boards, (store, restored), listeners, clock, shutdown).await
}

async fn bind(listen: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = args::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    let address = listener.local_addr().context("reading the local address")?;
    Ok((listener, address))
}

/// Logs the first line: version, configuration and addresses.
fn log_start(config: &Config, file: Option<&Path>, address: SocketAddr, metrics: Option<SocketAddr>) {
    let list = |names: Vec<String>| names.join(",");
    let venues = venues_of(config);
    let proxies = venues.iter().flat_map(|venue| {
        let settings = ingest_settings(*venue, config);
        [settings.rest_proxy, settings.stream_proxy]
    });
    let proxies: std::collections::BTreeSet<String> = proxies.flatten().map(|proxy| proxy.to_string()).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = env!("BUILT_COMMIT"),
        config = file.map_or("none".into(), Path::to_string_lossy).as_ref(),
        store = config.data.as_deref().map_or("none".into(), Path::to_string_lossy).as_ref(),
        boards = list(config.boards.iter().map(|board| board.id.clone()).collect()),
        exchanges = list(venues.iter().map(|venue| venue.profile().id.to_string()).collect()),
        proxy = (!proxies.is_empty()).then(|| list(proxies.into_iter().collect())),
        listen = %address,
        metrics = metrics.map(tracing::field::display),
        "sisepan started"
    );
    for (board, market, likely) in config.swapped_markets() {
        tracing::warn!(board, %market, "base and quote may be swapped; did you mean {likely}?");
    }
}
