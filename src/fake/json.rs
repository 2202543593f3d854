//! JSON written member by member, so that each number keeps the spelling chosen for it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::value::RawValue;

/// An object under construction.
#[derive(Debug, Default)]
pub struct Object(String);

impl Object {
    /// Begins an empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member whose value is JSON already: a number's spelling, `null`, an array.
    pub fn raw(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        // Writing to a string can't fail.
        let _ = write!(self.0, "{}:{value}", text(name));
        self
    }

    /// Adds a string.
    pub fn text(self, name: &str, value: &str) -> Self {
        let value = text(value);
        self.raw(name, value)
    }

    /// Returns the finished object.
    pub fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

/// Spells a string as JSON.
pub fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// Joins values that are JSON already.
pub fn array(values: impl IntoIterator<Item = String>) -> String {
    let values: Vec<String> = values.into_iter().collect();
    format!("[{}]", values.join(","))
}

/// Puts another value in place of a member's, wherever the member is; the rest stays to the letter.
///
/// Understands values without braces or brackets, which is all that a ticker holds.
pub fn set_member(json: &str, name: &str, value: &str) -> String {
    let key = format!("{}:", text(name));
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(&key) {
        let (head, tail) = rest.split_at(at + key.len());
        out.push_str(head);
        out.push_str(value);
        let mut values = serde_json::Deserializer::from_str(tail).into_iter::<&RawValue>();
        let is_whole = values.next().is_some_and(|value| value.is_ok());
        rest = &tail[if is_whole { values.byte_offset() } else { tail.len() }..];
    }
    out + rest
}

/// Puts the rows of an answer through `edit`, which may leave one out; the rest stays to the letter.
///
/// Rows are the elements of a list, or of the list `symbols` in an object. Any other answer is one row.
pub fn edit_rows(json: &str, mut edit: impl FnMut(&str) -> Option<String>) -> String {
    const LIST: &str = "\"symbols\":";
    let from = if json.starts_with('[') { Some(0) } else { json.find(LIST).map(|at| at + LIST.len()) };
    let rows = from.and_then(|from| {
        let mut values = serde_json::Deserializer::from_str(&json[from..]).into_iter::<Vec<&RawValue>>();
        let rows = values.next()?.ok()?;
        Some((from, rows, from + values.byte_offset()))
    });
    match rows {
        Some((from, rows, to)) => {
            let rows = array(rows.into_iter().filter_map(|row| edit(row.get())));
            format!("{}{rows}{}", &json[..from], &json[to..])
        }
        None => edit(json).unwrap_or_default(),
    }
}

/// Returns the symbol that a row of an answer is about, if it names one.
pub fn symbol_of(row: &str) -> Option<String> {
    let members: BTreeMap<&str, &RawValue> = serde_json::from_str(row).ok()?;
    let name = ["market", "code", "symbol", "s"].into_iter().find_map(|name| members.get(name))?;
    serde_json::from_str(name.get()).ok()
}
