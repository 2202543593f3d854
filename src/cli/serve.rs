//! `sisepan serve`: everything in one process.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::run::{ingest_settings, venues_of};

use super::{ConfigArg, DataArg, ListenArg, LogArg, listen, load};

/// What `sisepan serve` takes.
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
    serve(config, args.config.file(), shutdown).await
}

/// Binds, says where, and serves until `shutdown`. `file` is where the configuration was read from.
pub(super) async fn serve(config: Config, file: Option<&Path>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let clock = Clock::system();
    let listener = listen::bind(&config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr().context("reading the address listened on")?;
    log_start(&config, file, address);
    // Who is told where we listen may ask at once, and is to find what the last run knew.
    let kept = crate::run::open_store(&config, &clock).await?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{address}").and_then(|()| out.flush()).context("writing to standard output")?;
    crate::run::run_with(config, kept, listener, clock, shutdown).await
}

/// Logs what was started: the first line.
fn log_start(config: &Config, file: Option<&Path>, address: SocketAddr) {
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
        "sisepan started"
    );
    for (board, market, likely) in config.swapped_markets() {
        tracing::warn!(board, %market, "base and quote may be swapped; did you mean {likely}?");
    }
}
