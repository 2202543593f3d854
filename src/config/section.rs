//! Reading one table of settings without stopping at the first mistake.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Range, RangeInclusive};

use toml::de::{DeTable, DeValue};

use super::Environment;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File and line, or the environment variable.
    pub place: String,
    /// The setting, with its tables: `venues.upbit.rest`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.place, self.message)
        } else {
            write!(f, "{}: {}: {}", self.place, self.key, self.message)
        }
    }
}

/// Every mistake of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Problem>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "configuration refused: {count} mistake{}", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// What all sections of a file share.
pub(super) struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
    pub environment: &'a Environment,
    pub problems: RefCell<Vec<Problem>>,
    /// The environment variables that stand for a setting.
    pub variables: RefCell<BTreeSet<String>>,
}

impl Source<'_> {
    pub fn line(&self, span: &Range<usize>) -> String {
        let line = self.text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1);
        format!("{}:{line}", self.name)
    }

    pub fn report(&self, place: String, key: impl Into<String>, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { place, key: key.into(), message: message.into() });
    }
}

/// A value and where it came from, for the message if it turns out wrong.
#[derive(Debug, Clone)]
pub(super) struct Found<T> {
    pub value: T,
    pub place: String,
}

/// One table of the file, with the environment laid over it.
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    table: Option<&'a DeTable<'a>>,
    path: String,
    known: BTreeSet<&'static str>,
}

impl<'a> Section<'a> {
    pub fn new(source: &'a Source<'a>, table: Option<&'a DeTable<'a>>, path: impl Into<String>) -> Self {
        Self { source, table, path: path.into(), known: BTreeSet::new() }
    }

    pub fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn raw(&mut self, key: &'static str) -> Option<Found<&'a DeValue<'a>>> {
        self.known.insert(key);
        let value = self.table?.get(key)?;
        Some(Found { value: value.get_ref(), place: self.source.line(&value.span()) })
    }

    /// The text of the environment variable that stands for `key`.
    fn variable(&mut self, key: &'static str) -> Option<Found<String>> {
        self.known.insert(key);
        // A flag of the command line goes before the variable that stands for the same setting.
        let flag = format!("--{}", self.key(key));
        if let Some(value) = self.source.environment.get(&flag) {
            return Some(Found { value: value.clone(), place: flag });
        }
        let name = format!("SISEPAN_{}", self.key(key).replace(['.', '-'], "_").to_uppercase());
        let value = self.source.environment.get(&name).cloned();
        let place = format!("environment variable {name}");
        self.source.variables.borrow_mut().insert(name);
        Some(Found { value: value?, place })
    }

    fn wrong<T>(&self, key: &str, place: String, message: impl Into<String>) -> Option<T> {
        self.source.report(place, self.key(key), message);
        None
    }

    pub fn string(&mut self, key: &'static str) -> Option<Found<String>> {
        if let Some(found) = self.variable(key) {
            return Some(found);
        }
        let found = self.raw(key)?;
        match found.value {
            DeValue::String(text) => Some(Found { value: text.to_string(), place: found.place }),
            other => self.wrong(key, found.place, format!("must be text, is {}", article(other))),
        }
    }

    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        if let Some(found) = self.variable(key) {
            let value = found.value.parse().ok();
            return value
                .or_else(|| self.wrong(key, found.place, format!("must be true or false, is {:?}", found.value)));
        }
        let found = self.raw(key)?;
        match found.value {
            DeValue::Boolean(value) => Some(*value),
            other => self.wrong(key, found.place, format!("must be true or false, is {}", article(other))),
        }
    }

    /// A whole number as text, for those of which only some are taken.
    pub fn number(&mut self, key: &'static str) -> Option<Found<String>> {
        if let Some(found) = self.variable(key) {
            return Some(found);
        }
        let found = self.raw(key)?;
        let DeValue::Integer(number) = found.value else {
            return self.wrong(key, found.place, format!("must be a whole number, is {}", article(found.value)));
        };
        let value = i128::from_str_radix(number.as_str(), number.radix()).map(|n| n.to_string());
        Some(Found { value: value.unwrap_or_else(|_| number.as_str().to_owned()), place: found.place })
    }

    pub fn integer(&mut self, key: &'static str, allowed: RangeInclusive<u64>) -> Option<u64> {
        let found = self.number(key)?;
        match found.value.parse::<u64>() {
            Ok(value) if allowed.contains(&value) => Some(value),
            _ => {
                let (least, most) = (allowed.start(), allowed.end());
                self.wrong(key, found.place, format!("must be from {least} to {most}, is {}", found.value))
            }
        }
    }

    /// One text, or a list of texts.
    pub fn strings(&mut self, key: &'static str) -> Option<Found<Vec<Found<String>>>> {
        if let Some(found) = self.variable(key) {
            let place = found.place.clone();
            let parts =
                found.value.split(',').map(|part| Found { value: part.trim().to_owned(), place: place.clone() });
            return Some(Found { value: parts.collect(), place: found.place });
        }
        let found = self.raw(key)?;
        let texts = match found.value {
            DeValue::String(text) => vec![Found { value: text.to_string(), place: found.place.clone() }],
            DeValue::Array(items) => {
                let mut texts = Vec::new();
                for item in items.iter() {
                    let place = self.source.line(&item.span());
                    match item.get_ref() {
                        DeValue::String(text) => texts.push(Found { value: text.to_string(), place }),
                        other => {
                            self.wrong(key, place, format!("must be a list of texts, holds {}", article(other)))?
                        }
                    }
                }
                texts
            }
            other => return self.wrong(key, found.place, format!("must be a list of texts, is {}", article(other))),
        };
        Some(Found { value: texts, place: found.place })
    }

    pub fn table(&mut self, key: &'static str) -> Section<'a> {
        let path = self.key(key);
        let table = self.raw(key).and_then(|found| match found.value {
            DeValue::Table(table) => Some(table),
            other => self.wrong(key, found.place, format!("must be a table, is {}", article(other))),
        });
        Section::new(self.source, table, path)
    }

    /// Whether the value of `key` is a table, for settings that may be either.
    pub fn is_table(&self, key: &str) -> bool {
        self.table.and_then(|table| table.get(key)).is_some_and(|value| value.get_ref().is_table())
    }

    /// The tables of `[[key]]`, with the line where each begins.
    pub fn tables(&mut self, key: &'static str) -> Option<Vec<(Section<'a>, String)>> {
        let found = self.raw(key)?;
        let DeValue::Array(items) = found.value else {
            return self.wrong(key, found.place, format!("must be written as [[{key}]], is {}", article(found.value)));
        };
        let mut sections = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let place = self.source.line(&item.span());
            let path = format!("{}[{index}]", self.key(key));
            match item.get_ref() {
                DeValue::Table(table) => sections.push((Section::new(self.source, Some(table), path), place)),
                other => self.wrong(key, place, format!("must be a table, is {}", article(other)))?,
            }
        }
        Some(sections)
    }

    /// The keys that the table really has, with their lines.
    pub fn keys(&self) -> Vec<Found<String>> {
        let entries = self.table.into_iter().flat_map(|table| table.keys());
        entries.map(|key| Found { value: key.get_ref().to_string(), place: self.source.line(&key.span()) }).collect()
    }

    /// Reports what was written but never asked for.
    pub fn finish(self) {
        for key in self.keys() {
            if !self.known.contains(key.value.as_str()) {
                let known = self.known.iter().copied().collect::<Vec<_>>().join(", ");
                self.source.report(key.place, self.key(&key.value), format!("unknown setting; known here: {known}"));
            }
        }
    }
}

fn article(value: &DeValue<'_>) -> String {
    let name = value.type_str();
    let article = if name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {name}")
}
