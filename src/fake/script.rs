//! Timed faults from a file: one JSON object a line, as for `POST /fault`, with `at` in seconds.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value};

use super::fault::Order;

/// Largest script, in lines.
const LINES_MAX: usize = 10_000;

/// An order and its time.
#[derive(Debug, Clone)]
pub struct Timed {
    /// How long after the start.
    pub at: Duration,
    /// What is to be broken.
    pub order: Order,
}

/// Reads a script; blank lines and lines that begin with `#` are passed over.
///
/// # Errors
/// If the file can't be read, or a line is wrong (with its number).
pub fn read(path: &Path) -> anyhow::Result<Vec<Timed>> {
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

fn parse(line: &str) -> anyhow::Result<Timed> {
    let mut members: Map<String, Value> = serde_json::from_str(line).context("not a JSON object")?;
    let at = members.remove("at").context("no \"at\" (seconds after the start)")?;
    let at = rust_decimal::Decimal::from_str_exact(&at.to_string()).context("\"at\" is not a number of seconds")?;
    let millis = u64::try_from((at * rust_decimal::Decimal::ONE_THOUSAND).trunc()).context("\"at\" is negative")?;
    let order = Order::parse(&Value::Object(members).to_string()).map_err(anyhow::Error::msg)?;
    Ok(Timed { at: Duration::from_millis(millis), order })
}
