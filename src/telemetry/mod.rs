//! Logs: to standard error, so that standard output stays for the one line that tools wait for.

mod changes;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

pub use changes::ChangeLog;

/// What is logged unless `RUST_LOG` says otherwise: our own lines, and of other crates what they call an error.
const FILTER_DEFAULT: &str = "error,sisepan=info";

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

/// Logs every panic, and ends the process with exit code 1 if the runtime itself panics.
///
/// Whoever started a task or a thread deals with its panic; a worker of the runtime that panics is lost together with
/// the tasks that waited for it, and nobody would notice.
pub fn watch_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if tracing::dispatcher::has_been_set() {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("?");
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic.payload_as_str().unwrap_or("?");
            tracing::error!(thread, location, message, "panic");
        } else {
            print(panic);
        }
        if panic.location().is_some_and(|location| is_runtime(location.file())) {
            tracing::error!("the runtime has failed; the process ends");
            std::process::exit(1);
        }
    }));
}

/// Whether a source file is of tokio's runtime: `…/tokio-1.54.0/src/runtime/io/driver.rs`.
fn is_runtime(file: &str) -> bool {
    let file = file.replace('\\', "/");
    file.rsplit_once("/src/runtime/").is_some_and(|(before, _)| {
        let package = before.rsplit('/').next().unwrap_or_default();
        package == "tokio" || package.starts_with("tokio-1")
    })
}
