//! `sisepan fake`: serves the fake exchanges.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use fake_exchanges::tls::Certificate;
use fake_exchanges::{Clock, Options, series};
use tokio_util::sync::CancellationToken;

use crate::failpoint;

/// Serve fake exchanges for demos and for testing clients.
#[derive(Debug, Clone, clap::Args)]
pub struct FakeArgs {
    /// Address of the exchanges; port 0 picks a free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000", value_parser = super::args::listen_address)]
    pub listen: SocketAddr,
    /// Address of the control server; port 0 picks a free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = super::args::listen_address)]
    pub control: SocketAddr,
    /// Seed of the price walk.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Serve recorded payloads, DIR/VENUE/NAME.json, instead of the walk.
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Trade a recorded series of minute candles, `[[ms, open, high, low, close, volume], …]`, instead of the
    /// walk; the first 25 hours are served as history.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub series: Option<PathBuf>,
    /// Inject timed faults: one JSON object per line, with "at" in seconds after the start.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Lifetime of a stream of Binance or KuCoin in seconds; Binance announces the end 10 minutes before (at most a
    /// tenth of it).
    #[arg(long, value_name = "SECS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..))]
    pub lifetime: u64,
    /// Disable the exchanges' limits of requests, connections and frames.
    #[arg(long)]
    pub no_limits: bool,
    /// Serve https and wss.
    #[arg(long)]
    pub tls: bool,
    /// Write the certificate of the authority to trust to this file, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub tls_ca: Option<PathBuf>,
    /// Certificate to present.
    #[arg(long, value_enum, default_value_t, requires = "tls")]
    pub tls_cert: Certificate,
}

/// Serves until `shutdown` is cancelled.
///
/// # Errors
/// If the fake exchanges can't be started or one of their tasks fails, or if the certificate can't be written.
pub async fn run(args: FakeArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let options = Options {
        listen: args.listen,
        control: args.control,
        seed: args.seed,
        history: super::demo::HISTORY,
        clock: Clock::system(),
        recordings: args.from,
        series: args.series.map(|path| (path, series::HISTORY_MINUTES)),
        script: args.script,
        tls: args.tls.then_some(args.tls_cert),
        enforces_limits: !args.no_limits,
        stream_lifetime: Duration::from_secs(args.lifetime),
        on_tick: || !failpoint::is_hit("fake"),
    };
    let fake = fake_exchanges::start(options).await?;
    if let (Some(path), Some(pem)) = (&args.tls_ca, fake.ca_pem()) {
        std::fs::write(path, pem).with_context(|| format!("writing the certificate to {}", path.display()))?;
    }
    let scheme = if args.tls { "https" } else { "http" };
    writeln!(std::io::stderr(), "control on http://{}", fake.control_addr()).context("writing to standard error")?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on {scheme}://{}", fake.addr()).context("writing to standard output")?;
    out.flush().context("writing to standard output")?;
    let result = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = fake.failed() => Err(anyhow::anyhow!("a task of the fake exchanges has failed")),
    };
    fake.shutdown().await;
    result
}
