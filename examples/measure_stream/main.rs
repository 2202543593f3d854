//! Measures the stream: memory per idle client, latency from exchange to client, CPU time per delivered frame, and
//! the effect of misbehaving clients on the others.
//!
//! The server is the release program in a separate process, fed by a fake
//! exchange in this one. For comparison, the same clients also use, in turn,
//! the floor (a loop that writes the same bytes to the same number of sockets),
//! two conventional servers, and Bun's publish/subscribe if it is installed.
//! Ratios to the floor are computed within a pass. `scripts/measure-feed` builds
//! and runs it.

#![allow(clippy::disallowed_methods)] // A measurement reads the clock directly.

mod conventional;
mod crowd;
mod figures;
mod floor;
mod process;
mod test_bench;

use clap::Parser;
use fake_exchanges as fake;

/// Measures memory, latency and CPU of the stream on loopback.
#[derive(Debug, Parser)]
struct Options {
    /// Program to measure.
    #[arg(long, default_value = "target/release/sisepan")]
    program: String,
    /// Numbers of idle clients for the memory measurement, in ascending order.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    idle: Vec<usize>,
    /// Numbers of clients for the latency and CPU measurement.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    clients: Vec<usize>,
    /// Update intervals in milliseconds for the CPU time per tick.
    #[arg(long, value_delimiter = ',', default_value = "100,250")]
    beats: Vec<u64>,
    /// Number of clients, of which one in five misbehaves; 0 skips this measurement.
    #[arg(long, default_value_t = 0)]
    bad: usize,
    /// Number of clients that are disconnected and reconnect at the same time; 0 skips this measurement.
    #[arg(long, default_value_t = 0)]
    herd: usize,
    /// Number of passes; within a pass the sides take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    passes: u32,
    /// Duration of a pass in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Target rate in frames per second; lower than what any side can write.
    #[arg(long, default_value_t = 20_000)]
    frames_per_second: usize,
    /// Program of Bun, whose publish/subscribe is measured as well.
    #[arg(long)]
    bun: Option<String>,
    /// Additional lines for the program's configuration.
    #[arg(long, default_value = "")]
    settings: String,
    /// Run as one of the servers to compare with (internal).
    #[arg(long, hide = true)]
    serve: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match options.serve.as_deref() {
        Some("textbook") => return conventional::textbook(),
        Some("task") => return conventional::task(),
        Some(_) => return floor::run(),
        None => {}
    }
    let pinned = process::pin_to_core();
    let cores = if pinned { "server and floor on one core, exchange and clients on another" } else { "not pinned" };
    println!("stream: {cores}; {} passes of {} s", options.passes, options.seconds);
    // One thread for the exchange, so that it leaves CPU time to the clients.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let fake = runtime.block_on(fake::start(fake::Options::default()))?;
    let mut bench = test_bench::TestBench::new(fake, &options, pinned);
    bench.measure_memory(&options.idle)?;
    bench.measure_delivery(&options)?;
    if options.bad > 0 {
        bench.measure_bad_clients(&options)?;
    }
    if options.herd > 0 {
        bench.measure_reconnects(options.herd)?;
    }
    runtime.block_on(bench.shut_down());
    Ok(())
}
