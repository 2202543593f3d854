//! JSON text built member by member, so that each number keeps its venue's format.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::value::RawValue;

/// An object under construction.
#[derive(Debug, Default)]
pub struct Object(String);

impl Object {
    /// Creates an empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member whose value is already JSON: a formatted number, `null`, an array.
    pub fn raw(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        // Writing to a string can't fail.
        let _ = write!(self.0, "{}:{value}", json_string(name));
        self
    }

    /// Adds a member whose value is a string.
    pub fn text(self, name: &str, value: &str) -> Self {
        let value = json_string(value);
        self.raw(name, value)
    }

    /// Adds members whose values are already JSON.
    pub fn raws<'a>(self, members: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        members.into_iter().fold(self, |object, (name, value)| object.raw(name, value))
    }

    /// Adds members whose values are strings.
    pub fn texts<'a>(self, members: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        members.into_iter().fold(self, |object, (name, value)| object.text(name, &value))
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

/// Encodes a string as JSON.
pub fn json_string(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// Returns a member of a parsed frame that is a string, or an empty text.
pub fn text_member<'a>(frame: &'a serde_json::Value, name: &str) -> &'a str {
    frame[name].as_str().unwrap_or_default()
}

/// Joins values that are already JSON to an array.
pub fn array(values: impl IntoIterator<Item = String>) -> String {
    let values: Vec<String> = values.into_iter().collect();
    format!("[{}]", values.join(","))
}

/// Joins strings to an array.
pub fn text_array(values: impl IntoIterator<Item = String>) -> String {
    array(values.into_iter().map(|value| json_string(&value)))
}

/// Replaces the values of the members `names`, separated by commas, as [`set_member`] does.
pub fn set_members(json: &str, names: &str, value: &str) -> String {
    names.split(',').fold(json.to_owned(), |json, name| set_member(&json, name, value))
}

/// Replaces the value of a member wherever it occurs, nested objects included; all other text stays as it is.
///
/// In a row that is an array, `name` is the index of the value; in an array that contains rows, those are changed.
fn set_member(json: &str, name: &str, value: &str) -> String {
    if let (Ok(index), Ok(cells)) = (name.parse::<usize>(), serde_json::from_str::<Vec<&RawValue>>(json)) {
        let has_rows = cells.iter().any(|cell| cell.get().starts_with('['));
        return array(cells.iter().enumerate().map(|(at, cell)| match cell.get() {
            cell if has_rows => set_member(cell, name, value),
            cell => if at == index { value } else { cell }.to_owned(),
        }));
    }
    let key = format!("{}:", json_string(name));
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

/// Where the rows of a venue's responses are, and where a row names its market.
#[derive(Debug, Clone, Copy)]
pub struct RowShape {
    /// Members of a body that may hold the rows, as an array or as an object of rows by name; a body that is an array
    /// holds them itself.
    pub lists: &'static [&'static str],
    /// Members of a row that may name the market; a row that is an array begins with it, or with a time if it has none.
    pub symbols: &'static [&'static str],
    /// Returns the symbol that the name of a row stands for; `None` if rows have no names.
    pub names: Option<fn(&str) -> String>,
}

/// Passes each row of a response body, with the symbol that it names, through `edit`, which may drop it; all other text
/// stays as it is, but for the order of rows that have names.
///
/// A body without rows is one row, or has one row in a member of `shape.lists`, which is `null` without it.
pub fn edit_rows(json: &str, shape: RowShape, mut edit: impl FnMut(Option<String>, &str) -> Option<String>) -> String {
    let rows = match json.starts_with('[') {
        true => value_at(json, 0),
        false => shape.lists.iter().find_map(|name| value_at(json, json.find(&key(name))? + key(name).len())),
    };
    let Some((from, rows, to)) = rows else { return edit(symbol_of(json, shape), json).unwrap_or_default() };
    let edited = match shape.names.filter(|_| rows.starts_with('{')) {
        Some(symbol) => {
            let rows: BTreeMap<&str, &RawValue> = serde_json::from_str(rows).unwrap_or_default();
            let rows = rows.into_iter().filter_map(|(name, row)| {
                let edited = match row.get().as_bytes().first() {
                    Some(b'{') => edit(Some(symbol(name)), row.get()),
                    Some(b'[') => Some(edit_array(row.get(), shape, &mut edit)),
                    _ => Some(row.get().to_owned()),
                };
                edited.map(|row| (name, row))
            });
            Object::new().raws(rows).end()
        }
        None if rows.starts_with('[') => edit_array(rows, shape, &mut edit),
        None => edit(symbol_of(rows, shape), rows).unwrap_or("null".to_owned()),
    };
    format!("{}{edited}{}", &json[..from], &json[to..])
}

fn edit_array(rows: &str, shape: RowShape, edit: &mut impl FnMut(Option<String>, &str) -> Option<String>) -> String {
    let rows: Vec<&RawValue> = serde_json::from_str(rows).unwrap_or_default();
    array(rows.into_iter().filter_map(|row| edit(symbol_of(row.get(), shape), row.get())))
}

fn key(name: &str) -> String {
    format!("{}:", json_string(name))
}

/// Returns an array or an object that begins at `from`, and where it begins and ends.
fn value_at(json: &str, from: usize) -> Option<(usize, &str, usize)> {
    let mut values = serde_json::Deserializer::from_str(&json[from..]).into_iter::<&RawValue>();
    let value = values.next()?.ok()?.get();
    value.starts_with(['[', '{']).then(|| (from, value, from + values.byte_offset()))
}

/// Returns the symbol that a row names, or `None`; in a row that is an array, a number is none.
fn symbol_of(row: &str, shape: RowShape) -> Option<String> {
    if let Ok(cells) = serde_json::from_str::<Vec<&RawValue>>(row) {
        let name: String = serde_json::from_str(cells.first()?.get()).ok()?;
        return name.parse::<u64>().is_err().then_some(name);
    }
    let members: BTreeMap<&str, &RawValue> = serde_json::from_str(row).ok()?;
    let name = shape.symbols.iter().find_map(|name| members.get(name))?;
    serde_json::from_str(name.get()).ok()
}
