//! `sisepan serve`: everything in one process.

use std::io::Write as _;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;

use super::ConfigArgs;

pub(super) async fn run(args: ConfigArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = args.load()?;
    crate::telemetry::start(config.log);
    serve(config, shutdown).await
}

/// Binds, says where, and serves until `shutdown`.
pub(super) async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let clock = Clock::system();
    // Who is told where we listen may ask at once, and is to find what the last run knew.
    let kept = crate::run::open_store(&config, &clock).await?;
    let listener =
        TcpListener::bind(&config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr().context("reading the address listened on")?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{address}").and_then(|()| out.flush()).context("writing to standard output")?;
    crate::run::run_with(config, kept, listener, clock, shutdown).await
}
