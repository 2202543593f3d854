//! Timed faults from a file: one JSON object per line, as for `POST /fault`, plus `at` in seconds.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value};

use super::fault::FaultSpec;

/// Maximum number of lines; further ones are ignored.
const LINES_MAX: usize = 10_000;

/// A fault and its time.
#[derive(Debug, Clone)]
pub struct TimedFault {
    /// Time of the injection, after the start.
    pub at: Duration,
    /// The fault to inject.
    pub spec: FaultSpec,
}

/// Reads a script and sorts it by time; blank lines and lines that begin with `#` are ignored.
///
/// # Errors
/// If the file can't be read, or a line is invalid; the message has its number.
pub fn read(path: &Path) -> anyhow::Result<Vec<TimedFault>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading the script {}", path.display()))?;
    let mut script = Vec::new();
    for (index, line) in text.lines().enumerate().take(LINES_MAX) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        script.push(parse(line).with_context(|| format!("script {}, line {}", path.display(), index + 1))?);
    }
    script.sort_by_key(|timed| timed.at);
    Ok(script)
}

fn parse(line: &str) -> anyhow::Result<TimedFault> {
    let mut members: Map<String, Value> = serde_json::from_str(line).context("not a JSON object")?;
    let at = members.remove("at").context("\"at\" (seconds after the start) is missing")?;
    let at = rust_decimal::Decimal::from_str_exact(&at.to_string()).context("\"at\" is not a number of seconds")?;
    let millis = u64::try_from((at * rust_decimal::Decimal::ONE_THOUSAND).trunc()).context("\"at\" is negative")?;
    let spec = FaultSpec::parse(&Value::Object(members).to_string()).map_err(anyhow::Error::msg)?;
    Ok(TimedFault { at: Duration::from_millis(millis), spec })
}
