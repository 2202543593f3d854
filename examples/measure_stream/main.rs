//! What the stream costs: memory of an idle client, time from exchange to client, CPU of a delivered frame, and what bad
//! clients do to the others.
//!
//! The server is the release program, in a process of its own, fed by a fake
//! exchange in this one. Beside it, in turn and with the same clients, run the
//! floor (a loop that writes the same bytes to the same number of sockets) and
//! two servers of the usual kinds. Ratios to the floor are taken within a pass.
//! `scripts/measure-feed` builds and runs it.

#![allow(clippy::disallowed_methods)] // A measurement reads the clock itself.

mod crowd;
mod figures;
mod floor;
mod old;
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
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    idle: Vec<usize>,
    /// Numbers of clients to measure time and CPU with.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    clients: Vec<usize>,
    /// Beats, in milliseconds, to measure the CPU of a tick with.
    #[arg(long, value_delimiter = ',', default_value = "100,250")]
    beats: Vec<u64>,
    /// Number of clients of which one in five is bad; 0 for none.
    #[arg(long, default_value_t = 0)]
    bad: usize,
    /// Number of clients that are cut off at once and come back; 0 for none.
    #[arg(long, default_value_t = 0)]
    herd: usize,
    /// Passes of each; the sides in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    passes: u32,
    /// Length of a pass, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Frames a second that are aimed at: below what any side could write.
    #[arg(long, default_value_t = 20_000)]
    frames_per_second: usize,
    /// Further lines of the program's configuration.
    #[arg(long, default_value = "")]
    settings: String,
    /// Runs as one of the servers beside it instead.
    #[arg(long, hide = true)]
    serve: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match options.serve.as_deref() {
        Some("textbook") => return old::textbook(),
        Some("task") => return old::task(),
        Some(_) => return floor::run(),
        None => {}
    }
    let pinned = process::part_cores();
    let cores = if pinned { "server and floor on one core, exchange and clients on another" } else { "not pinned" };
    println!("stream: {cores}; {} passes of {} s", options.passes, options.seconds);
    // One thread for the exchange, so that it does not crowd the clients out.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let fake = runtime.block_on(fake::start(fake::Options::default()))?;
    let mut stage = stage::Stage::new(fake, &options, pinned);
    stage.memory(&options.idle)?;
    stage.delivery(&options)?;
    if options.bad > 0 {
        stage.bad(&options)?;
    }
    if options.herd > 0 {
        stage.herd(options.herd)?;
    }
    runtime.block_on(stage.end());
    Ok(())
}
