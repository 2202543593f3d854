//! What the stream costs: memory of an idle client, time from exchange to client, CPU of a delivered frame.
//!
//! The server is the release program, in a process of its own, fed by a fake
//! exchange in this one. Beside it, in turn and with the same clients, runs the
//! floor: a loop that writes the same bytes to the same number of sockets.
//! Ratios are taken within a pass. `scripts/measure` builds and runs it.

#![allow(clippy::disallowed_methods)] // A measurement reads the clock itself.

mod crowd;
mod figures;
mod floor;
mod process;
mod stage;

use clap::Parser;
use sisepan::fake;

/// Measures memory, latency and CPU of the stream on loopback.
#[derive(Debug, Parser)]
struct Options {
    /// The program to measure.
    #[arg(long, default_value = "target/release/sisepan")]
    program: String,
    /// Numbers of idle clients to measure the memory with, rising.
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    idle: Vec<usize>,
    /// Numbers of clients to measure time and CPU with, rising.
    #[arg(long, value_delimiter = ',', default_value = "1,1000")]
    clients: Vec<usize>,
    /// Passes of each; server and floor in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    passes: u32,
    /// Length of a pass, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Runs as the floor instead.
    #[arg(long, hide = true)]
    floor: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.floor {
        return floor::run();
    }
    let pinned = process::part_cores();
    let cores = if pinned { "server and floor on one core, exchange and clients on another" } else { "not pinned" };
    println!("stream: {cores}; {} passes of {} s", options.passes, options.seconds);
    // One thread for the exchange, so that it does not crowd the clients out.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let fake = runtime.block_on(fake::start(fake::Options::default()))?;
    let mut stage = stage::Stage::new(fake, options.program.clone(), pinned);
    stage.memory(&options.idle)?;
    stage.delivery(&options)?;
    runtime.block_on(stage.end());
    Ok(())
}
