//! `sisepan demo`: serves the boards with made-up prices, without network access.

use std::time::Duration;

use clap::Args;
use fake_exchanges as fake;
use tokio_util::sync::CancellationToken;

use crate::app::{markets_of, venues_of};
use crate::config::{Config, Proxies, VenueConfig};
use crate::feed::FeedRecords;
use crate::market::{HourRecord, MINUTES_PER_HOUR, Minute, Price, Window};
use crate::{failpoint, venue};

use super::args::{ConfigArg, ListenArg, LogArg, load};

/// History of the made-up prices: the longest chart, and one more day.
pub(super) const HISTORY: Duration = Duration::from_hours(8 * 24);

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
    let on_tick = || !failpoint::is_hit("fake");
    let options = fake::Options { seed: args.seed, history: HISTORY, on_tick, ..fake::Options::default() };
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
    let history = stored_history(&fake, &config);
    let served = tokio::select! {
        served = Box::pin(super::serve::serve(config, history, args.config.file(), shutdown)) => served,
        () = fake.failed() => Err(anyhow::anyhow!("a task of the fake exchanges has failed")),
    };
    fake.shutdown().await;
    served
}

/// Returns the history of the boards' markets as if an earlier run had fetched and stored it: to fetch it through the
/// exchanges' rate limits would take minutes.
fn stored_history(fake: &fake::Fake, config: &Config) -> Vec<FeedRecords> {
    let mut records = Vec::new();
    for venue in venues_of(config).iter().map(|venue| venue.profile().id) {
        for market in markets_of(&config.boards, venue) {
            if let Some(closes) = fake.minute_closes(venue.as_str(), market.as_str()) {
                let hours = hour_records(&closes);
                records.push(FeedRecords { venue, market, last: None, listing: None, hours, reset: false });
            }
        }
    }
    records
}

fn hour_records(closes: &fake::MinuteCloses) -> Vec<HourRecord> {
    let (start, end) = (Minute::of(closes.span.start), Minute::of(closes.span.end));
    let prices = closes.closes.iter().filter_map(|(at, price)| Some((Minute::of(*at), Price::new(*price)?)));
    let mut window = Window::default();
    window.settle(start..end, &prices.collect::<Vec<_>>());
    let hours = std::iter::successors(Some(HourRecord::hour_of(start)), |hour| Some(hour.plus(MINUTES_PER_HOUR)));
    hours.take_while(|hour| *hour < end).map(|hour| window.hour_record(hour)).collect()
}
