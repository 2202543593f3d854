//! Options that several commands share, and the configuration that results.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{self, Config, ConfigErrors};

/// A flag that overrides a setting: its name, and its value if given.
pub(super) type Flag<'a> = (&'static str, Option<&'a str>);

/// The `--config` option.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfigArg {
    /// Configuration file (TOML); without one, the default board is served.
    #[arg(long, env = "SISEPAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArg {
    pub fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct ListenArg {
    /// Address to listen on, such as 127.0.0.1:8080, localhost:8080, or :8080 for all interfaces; port 0 picks a
    /// free port.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl ListenArg {
    pub fn flag(&self) -> Flag<'_> {
        ("--listen", self.listen.as_deref())
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct LogArg {
    /// Log format.
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    log: Option<String>,
}

impl LogArg {
    pub fn flag(&self) -> Flag<'_> {
        ("--log", self.log.as_deref())
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct DataArg {
    /// Directory of the store, created if missing; `none` keeps everything in memory.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

impl DataArg {
    pub fn flag(&self) -> Flag<'_> {
        ("--data", self.data.as_deref())
    }
}

/// Reads the configuration; flags override environment variables, and these override the file.
pub(super) fn load(config: &ConfigArg, flags: &[Flag<'_>]) -> Result<Config, ConfigErrors> {
    let variables = std::env::vars_os().filter_map(|(name, value)| read_variable(&name, &value));
    let flags = flags.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
    config::load(config.file(), &variables.chain(flags).collect())
}

/// Returns an environment variable as text if it is one of ours or a proxy variable.
fn read_variable(name: &OsStr, value: &OsStr) -> Option<(String, String)> {
    let name = name.to_str().filter(|name| name.starts_with("SISEPAN_") || config::PROXY_VARIABLES.contains(name))?;
    Some((name.to_owned(), value.to_string_lossy().into_owned()))
}
