//! Logging to standard error. Standard output has only the `listening on` line, which tools wait for.

mod changes;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

pub use changes::ChangeLog;

/// Default of `RUST_LOG`: `info` for our own code, only errors of other crates.
const FILTER_DEFAULT: &str = "error,sisepan=info";

/// Starts logging. Later calls have no effect: the first subscriber stays.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // The formatter escapes control characters in fields, so data from an exchange can't control the terminal.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// Installs a hook that logs every panic, and exits with code 1 if the tokio runtime itself panics.
///
/// A panic in a task or thread is handled by the code that started it. A panic in a runtime worker would otherwise
/// go unnoticed: the worker is lost, together with the tasks that wait for it.
pub fn watch_panics() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if tracing::dispatcher::has_been_set() {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("?");
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic.payload_as_str().unwrap_or("?");
            tracing::error!(thread, location, message, "panic");
        } else {
            default_hook(panic);
        }
        if panic.location().is_some_and(|location| is_runtime(location.file())) {
            tracing::error!("the async runtime has failed; exiting");
            std::process::exit(1);
        }
    }));
}

/// Returns whether a source file belongs to tokio's runtime, such as `…/tokio-1.54.0/src/runtime/io/driver.rs`.
fn is_runtime(file: &str) -> bool {
    let file = file.replace('\\', "/");
    file.rsplit_once("/src/runtime/").is_some_and(|(before, _)| {
        let package = before.rsplit('/').next().unwrap_or_default();
        package == "tokio" || package.starts_with("tokio-1")
    })
}
