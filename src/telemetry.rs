//! Logs: to standard error, so that standard output stays for the one line that tools wait for.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is logged unless `RUST_LOG` says otherwise.
const FILTER_DEFAULT: &str = "info,hyper=warn,reqwest=warn,rustls=warn,tungstenite=warn";

/// Starts logging. A second call does nothing: the first subscriber stays.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Control characters in a field are escaped by the formatter, so an exchange can't write to the terminal.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
