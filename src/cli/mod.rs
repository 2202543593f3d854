//! The command line: one file a command.

mod backup;
mod check;
mod demo;
mod fake;
mod listen;
mod serve;
mod trial;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config, ConfigErrors, LogFormat};
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
    /// Serve the boards (the default command).
    Serve(serve::ServeArgs),
    /// Serve the boards on invented prices, without any network.
    Demo(demo::DemoArgs),
    /// Serve fake exchanges for tests and development.
    Fake(fake::FakeArgs),
    /// Check the configuration, and with --live each exchange.
    Check(check::CheckArgs),
    /// Copy the store to a file, verified, also while it is served.
    Backup(backup::BackupArgs),
}

/// A flag that stands for a setting: its name, and its value where it was given.
type Flag<'a> = (&'static str, Option<&'a str>);

/// Where the settings are.
#[derive(Debug, Clone, Args)]
struct ConfigArg {
    /// TOML file with the settings; without one, the reference board is served.
    #[arg(long, env = "SISEPAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArg {
    fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

#[derive(Debug, Clone, Args)]
struct ListenArg {
    /// Where to listen: 127.0.0.1:8080, localhost:8080, or :8080 for every address; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl ListenArg {
    fn flag(&self) -> Flag<'_> {
        ("--listen", self.listen.as_deref())
    }
}

#[derive(Debug, Clone, Args)]
struct LogArg {
    /// Log format.
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    log: Option<String>,
}

impl LogArg {
    fn flag(&self) -> Flag<'_> {
        ("--log", self.log.as_deref())
    }
}

#[derive(Debug, Clone, Args)]
struct DataArg {
    /// Directory of the store, made if it is not there; `none` keeps everything in memory.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

impl DataArg {
    fn flag(&self) -> Flag<'_> {
        ("--data", self.data.as_deref())
    }
}

/// Reads file and environment, and lays the flags over them.
fn load(config: &ConfigArg, flags: &[Flag<'_>]) -> Result<Config, ConfigErrors> {
    let variables = std::env::vars_os().filter_map(|(name, value)| read_variable(&name, &value));
    let flags = flags.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
    config::load(config.file(), &variables.chain(flags).collect())
}

/// Returns a variable that is for us.
fn read_variable(name: &OsStr, value: &OsStr) -> Option<(String, String)> {
    let name = name.to_str().filter(|name| name.starts_with("SISEPAN_") || config::PROXY_VARIABLES.contains(name))?;
    Some((name.to_owned(), value.to_string_lossy().into_owned()))
}

/// Runs the command line and returns the exit code: 0 after a signal or a
/// finished command, 2 for a configuration error, 1 for any other.
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
        let signals = tokio::spawn(failpoint::part("signals", cancel_on_signal(shutdown.clone())));
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
            }
        };
        tokio::select! {
            result = Box::pin(running) => result,
            // It goes on for as long as the process does, unless it fails.
            _ = signals => Err(anyhow::anyhow!("signals can't be received, so the program could not be stopped")),
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

/// Cancels on SIGINT or SIGTERM; a second signal ends the process at once.
async fn cancel_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    for press in 0.. {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if press > 0 {
            std::process::exit(1);
        }
        shutdown.cancel();
    }
}
