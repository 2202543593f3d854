//! `sisepan check`: is the configuration right, and with `--live`, do the exchanges answer?

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Reason;
use crate::ingest::{self, Probe};
use crate::run::{ingest_settings, markets_of, venues_of};

use super::ConfigArgs;

/// What `sisepan check` takes.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also ask each exchange once: its list, its prices, its stream.
    #[arg(long)]
    live: bool,
}

pub(super) async fn run(args: CheckArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let tls = ingest::Tls::new(config.tls_ca.as_deref())?;
    let mut report = describe(&config);
    let mut failed = 0;
    if args.live {
        let clock = Clock::system();
        for venue in venues_of(&config) {
            let profile = venue.profile();
            let settings = ingest_settings(venue, &config);
            let wanted = markets_of(&config, profile.id);
            let probe = tokio::select! {
                probe = ingest::probe(venue, &settings, &wanted, &tls, &clock) => probe,
                () = shutdown.cancelled() => bail!("interrupted"),
            };
            failed += usize::from(probe.markets.is_err() || probe.tickers.is_err() || probe.stream.is_err());
            report.push_str(&table(profile.id.as_str(), wanted.len(), &probe));
        }
    }
    let mut out = std::io::stdout();
    out.write_all(report.as_bytes()).and_then(|()| out.flush()).context("writing to standard output")?;
    if failed > 0 {
        bail!("{failed} of the exchanges did not answer as they should");
    }
    Ok(())
}

fn describe(config: &Config) -> String {
    let mut text = String::from("the configuration is right\n");
    for board in &config.boards {
        let (markets, source) = (board.markets.len(), board.source.as_str());
        let _ = writeln!(text, "board {}: {markets} markets from {source}, change over {}", board.id, board.basis);
    }
    text
}

fn table(venue: &str, wanted: usize, probe: &Probe) -> String {
    let mut text = format!("\n{venue} ({} ms)\n", probe.took.as_millis());
    match &probe.markets {
        Ok((listed, missing)) => {
            let _ = writeln!(text, "  list     {listed} markets, {} of the {wanted} wanted", wanted - missing.len());
            for market in missing {
                let _ = writeln!(text, "           {market} is not listed");
            }
        }
        Err(reason) => failure(&mut text, "list", reason),
    }
    match &probe.tickers {
        Ok(prices) => {
            let _ = writeln!(text, "  tickers  {} prices", prices.len());
            for (market, price) in prices {
                let _ = writeln!(text, "           {:<12} {:>16}", market.as_str(), price.to_string());
            }
        }
        Err(reason) => failure(&mut text, "tickers", reason),
    }
    match &probe.stream {
        Ok(()) => text.push_str("  stream   connected\n"),
        Err(reason) => failure(&mut text, "stream", reason),
    }
    text
}

fn failure(text: &mut String, what: &str, reason: &Reason) {
    let _ = writeln!(text, "  {what:<8} failed: {reason}");
}
