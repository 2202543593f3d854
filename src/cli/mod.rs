//! The command line, with one file per command.

mod backup;
mod check;
mod demo;
mod fake;
mod listen;
mod serve;
mod trial;

use std::ffi::OsStr;
use std::io::Write as _;
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

/// A flag that overrides a setting: its name, and its value if given.
type Flag<'a> = (&'static str, Option<&'a str>);

/// The `--config` option.
#[derive(Debug, Clone, Args)]
struct ConfigArg {
    /// Configuration file (TOML); without one, the default board is served.
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
    /// Address to listen on, such as 127.0.0.1:8080, localhost:8080, or :8080 for all interfaces; port 0 picks a
    /// free port.
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
    /// Directory of the store, created if missing; `none` keeps everything in memory.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

impl DataArg {
    fn flag(&self) -> Flag<'_> {
        ("--data", self.data.as_deref())
    }
}

/// Reads the configuration; flags override environment variables, and these override the file.
fn load(config: &ConfigArg, flags: &[Flag<'_>]) -> Result<Config, ConfigErrors> {
    let variables = std::env::vars_os().filter_map(|(name, value)| read_variable(&name, &value));
    let flags = flags.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
    config::load(config.file(), &variables.chain(flags).collect())
}

/// Returns an environment variable as text if it is one of ours or a proxy variable.
fn read_variable(name: &OsStr, value: &OsStr) -> Option<(String, String)> {
    let name = name.to_str().filter(|name| name.starts_with("SISEPAN_") || config::PROXY_VARIABLES.contains(name))?;
    Some((name.to_owned(), value.to_string_lossy().into_owned()))
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
