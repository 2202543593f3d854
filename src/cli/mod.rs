//! The command line: one file a command.

mod backup;
mod check;
mod demo;
mod fake;
mod serve;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config, ConfigErrors, LogFormat};
use crate::failpoint;

/// Live crypto price board: exact 24-hour change, served as widget, WebSocket feed and JSON.
#[derive(Debug, Parser)]
#[command(name = "sisepan", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the boards (the default command).
    Serve(ConfigArgs),
    /// Serve the boards on invented prices, without any network.
    Demo(demo::DemoArgs),
    /// Serve fake exchanges for tests and development.
    Fake(fake::FakeArgs),
    /// Check the configuration, and with --live each exchange.
    Check(check::CheckArgs),
    /// Copy the store to a file, verified, also while it is served.
    Backup(backup::BackupArgs),
}

/// What every command that reads the configuration takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// TOML file with the settings; without one, the reference board is served.
    #[arg(long, env = "SISEPAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Form of the log lines.
    #[arg(long, value_name = "FORM", value_parser = ["text", "json"])]
    log: Option<String>,
    /// Directory of the store, made if it is not there; `none` keeps everything in memory.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

impl ConfigArgs {
    /// Reads file and environment, and lays the flags over them.
    fn load(&self) -> Result<Config, ConfigErrors> {
        let mut environment: config::Environment =
            std::env::vars_os().filter_map(|(name, value)| read_variable(&name, &value)).collect();
        let flags = [("SISEPAN_LISTEN", &self.listen), ("SISEPAN_LOG", &self.log), ("SISEPAN_DATA", &self.data)];
        for (name, flag) in flags {
            if let Some(value) = flag {
                environment.insert(name.to_owned(), value.clone());
            }
        }
        config::load(self.config.as_deref(), &environment)
    }
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
