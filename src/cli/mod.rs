//! The command line, with one file per command.

mod args;
mod backup;
mod check;
mod demo;
mod fake;
mod serve;
mod trial;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::config::{self, ConfigErrors, LogFormat};
use crate::failpoint;

/// Live crypto price board: exact 24-hour change, served as widget, WebSocket feed and JSON.
#[derive(Debug, Parser)]
#[command(name = "sisepan", version = env!("BUILT_VERSION"), about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the boards (default command).
    Serve(serve::ServeArgs),
    /// Serve the boards with made-up prices; needs no network.
    Demo(demo::DemoArgs),
    /// Run simulated exchanges for tests and development.
    Fake(fake::FakeArgs),
    /// Validate the configuration; with --live, also check each exchange.
    Check(check::CheckArgs),
    /// Back up the store to a file (safe while the server runs).
    Backup(backup::BackupArgs),
    /// Print a sample configuration file with every setting and its default.
    Config,
}

/// Runs the program and returns its exit code: 0 after a signal or a finished command, 2 for a configuration
/// error, 1 for any other error.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    crate::telemetry::watch_panics();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("starting the runtime")),
    };
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    let result = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let signals = tokio::spawn(failpoint::run("signals", cancel_on_signal(shutdown.clone())));
        let running = async {
            match command {
                Command::Serve(args) => serve::run(args, shutdown).await,
                Command::Demo(args) => demo::run(args, shutdown).await,
                Command::Fake(args) => {
                    crate::telemetry::start(LogFormat::Text);
                    fake::run(args, shutdown).await
                }
                Command::Check(args) => check::run(args, shutdown).await,
                Command::Backup(args) => backup::run(args).await,
                Command::Config => Ok(std::io::stdout().write_all(config::sample().as_bytes())?),
            }
        };
        tokio::select! {
            result = Box::pin(running) => result,
            // This task never ends unless it fails.
            _ = signals => Err(anyhow::anyhow!("signals can't be received, so the program could not be stopped gracefully")),
        }
    });
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("sisepan: {error:#}");
    if error.is::<ConfigErrors>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// Cancels `shutdown` on SIGINT or SIGTERM; a second signal ends the process at once.
async fn cancel_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    for earlier_signals in 0.. {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if earlier_signals > 0 {
            std::process::exit(1);
        }
        shutdown.cancel();
    }
}
