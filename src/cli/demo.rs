//! `sisepan demo`: serves the boards with made-up prices, without network access.

use clap::Args;
use fake_exchanges as fake;
use tokio_util::sync::CancellationToken;

use crate::config::{Proxies, VenueConfig};
use crate::{failpoint, venue};

use super::args::{ConfigArg, ListenArg, LogArg, load};

/// Arguments of `sisepan demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    listen: ListenArg,
    #[command(flatten)]
    log: LogArg,
    /// Seed of the simulated prices; the same seed gives the same prices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) async fn run(args: DemoArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut config = load(&args.config, &[args.listen.flag(), args.log.flag()])?;
    crate::telemetry::start(config.log);
    let options = fake::Options { seed: args.seed, on_tick: || !failpoint::is_hit("fake"), ..fake::Options::default() };
    let fake = fake::start(options).await?;
    config.demo = true;
    // Made-up prices must never be stored together with real ones.
    config.data = None;
    // The fake exchanges run in this process and need no proxy.
    config.proxies = Proxies::default();
    for venue in venue::ALL {
        let id = venue.profile().id;
        let overrides = config.venues.remove(&id).unwrap_or_default();
        let settings = VenueConfig {
            rest: Some(fake.rest_url(id.as_str())),
            stream: Some(fake.stream_url(id.as_str())),
            ..overrides
        };
        config.venues.insert(id, settings);
    }
    let served = tokio::select! {
        served = Box::pin(super::serve::serve(config, args.config.file(), shutdown)) => served,
        () = fake.failed() => Err(anyhow::anyhow!("a task of the fake exchanges has failed")),
    };
    fake.shutdown().await;
    served
}
