//! `sisepan fake`: the fake exchanges as a program.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::fake::tls::Certificate;
use crate::fake::{self, Options, series};

/// Serve fake exchanges, for demonstrations and for tests of clients.
#[derive(Debug, Clone, clap::Args)]
pub struct FakeArgs {
    /// Where the exchanges listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000", value_parser = super::listen::address)]
    pub listen: SocketAddr,
    /// Where the control server listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = super::listen::address)]
    pub control: SocketAddr,
    /// Seed of the price walk.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Serve recorded payloads, DIR/VENUE/NAME.json, instead of the walk.
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Trade a recorded series of minute candles, `[[ms, open, high, low, close, volume], …]`, instead of the walk:
    /// 25 hours of it are over at the start.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub series: Option<PathBuf>,
    /// Timed faults, one JSON object a line with "at" in seconds.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// How long Binance leaves a stream open, in seconds; it says so a tenth of that before, or ten minutes.
    #[arg(long, value_name = "SECS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..))]
    pub lifetime: u64,
    /// Count and refuse nothing.
    #[arg(long)]
    pub no_limits: bool,
    /// Serve https and wss.
    #[arg(long)]
    pub tls: bool,
    /// Where the certificate to trust is written, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub tls_ca: Option<PathBuf>,
    /// Which certificate is shown.
    #[arg(long, value_enum, default_value_t, requires = "tls")]
    pub tls_cert: Certificate,
}

/// Serves until `shutdown` is cancelled.
///
/// # Errors
/// If the fake can't be started, or the certificate can't be written.
pub async fn run(args: FakeArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let options = Options {
        listen: args.listen,
        control: args.control,
        seed: args.seed,
        clock: Clock::system(),
        from: args.from,
        series: args.series.map(|path| (path, series::PAST)),
        script: args.script,
        tls: args.tls.then_some(args.tls_cert),
        limits: !args.no_limits,
        lifetime: Duration::from_secs(args.lifetime),
    };
    let fake = fake::start(options).await?;
    if let (Some(path), Some(pem)) = (&args.tls_ca, fake.ca_pem()) {
        std::fs::write(path, pem).with_context(|| format!("writing the certificate to {}", path.display()))?;
    }
    let scheme = if args.tls { "https" } else { "http" };
    writeln!(std::io::stderr(), "control on http://{}", fake.control_addr()).context("writing to standard error")?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on {scheme}://{}", fake.addr()).context("writing to standard output")?;
    out.flush().context("writing to standard output")?;
    let ended = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = fake.failed() => Err(anyhow::anyhow!("a part of the fake exchanges has failed")),
    };
    fake.shutdown().await;
    ended
}
