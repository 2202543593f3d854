//! Reads one table of settings, collecting errors instead of stopping at the first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Range, RangeInclusive};

use toml::de::{DeTable, DeValue};

use crate::venue;

/// Environment variables, by name.
pub type Environment = BTreeMap<String, String>;

/// Returns the ids of the exchanges, for error messages.
pub(super) fn known_venues() -> String {
    venue::ALL.iter().map(|venue| venue.profile().id.as_str()).collect::<Vec<_>>().join(", ")
}

/// One error in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// File and line, environment variable, or command-line flag.
    pub location: String,
    /// Full name of the setting, such as `venues.upbit.rest`.
    pub key: String,
    /// What is wrong, and what a valid value is.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.location, self.message)
        } else {
            write!(f, "{}: {}: {}", self.location, self.key, self.message)
        }
    }
}

/// All errors in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "invalid configuration: {count} error{}", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// The input shared by all sections, and the errors found so far.
pub(super) struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
    pub environment: &'a Environment,
    pub problems: RefCell<Vec<ConfigError>>,
    /// Names of all environment variables that match a setting.
    pub variables: RefCell<BTreeSet<String>>,
}

impl Source<'_> {
    pub fn line(&self, span: &Range<usize>) -> String {
        let line = self.text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1);
        format!("{}:{line}", self.name)
    }

    pub fn report(&self, location: String, key: impl Into<String>, message: impl Into<String>) {
        self.problems.borrow_mut().push(ConfigError { location, key: key.into(), message: message.into() });
    }
}

/// A value and its location, for error messages.
#[derive(Debug, Clone)]
pub(super) struct Found<T> {
    pub value: T,
    pub location: String,
}

/// One table of the file, overridden by flags and environment variables.
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
        Some(Found { value: value.get_ref(), location: self.source.line(&value.span()) })
    }

    /// Returns the value of the flag or environment variable for `key`.
    fn variable(&mut self, key: &'static str) -> Option<Found<String>> {
        self.known.insert(key);
        // A command-line flag takes precedence over the variable of the same setting.
        let flag = format!("--{}", self.key(key));
        if let Some(value) = self.source.environment.get(&flag) {
            return Some(Found { value: value.clone(), location: flag });
        }
        let name = format!("SISEPAN_{}", self.key(key).replace(['.', '-'], "_").to_uppercase());
        let value = self.source.environment.get(&name).cloned();
        let location = format!("environment variable {name}");
        self.source.variables.borrow_mut().insert(name);
        Some(Found { value: value?, location })
    }

    /// Reports an invalid value and returns `None`.
    fn invalid<T>(&self, key: &str, location: String, message: impl Into<String>) -> Option<T> {
        self.source.report(location, self.key(key), message);
        None
    }

    pub fn string(&mut self, key: &'static str) -> Option<Found<String>> {
        if let Some(found) = self.variable(key) {
            return Some(found);
        }
        let found = self.raw(key)?;
        match found.value {
            DeValue::String(text) => Some(Found { value: text.to_string(), location: found.location }),
            other => self.invalid(key, found.location, format!("must be a string, is {}", with_article(other))),
        }
    }

    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        if let Some(found) = self.variable(key) {
            let value = found.value.parse().ok();
            return value
                .or_else(|| self.invalid(key, found.location, format!("must be true or false, is {:?}", found.value)));
        }
        let found = self.raw(key)?;
        match found.value {
            DeValue::Boolean(value) => Some(*value),
            other => self.invalid(key, found.location, format!("must be true or false, is {}", with_article(other))),
        }
    }

    /// Returns an integer as text, for settings that allow only certain values.
    pub fn number(&mut self, key: &'static str) -> Option<Found<String>> {
        if let Some(found) = self.variable(key) {
            return Some(found);
        }
        let found = self.raw(key)?;
        let DeValue::Integer(number) = found.value else {
            return self.invalid(key, found.location, format!("must be an integer, is {}", with_article(found.value)));
        };
        let value = i128::from_str_radix(number.as_str(), number.radix()).map(|n| n.to_string());
        Some(Found { value: value.unwrap_or_else(|_| number.as_str().to_owned()), location: found.location })
    }

    pub fn integer(&mut self, key: &'static str, allowed: RangeInclusive<u64>) -> Option<u64> {
        let found = self.number(key)?;
        match found.value.parse::<u64>() {
            Ok(value) if allowed.contains(&value) => Some(value),
            _ => {
                let (min, max) = (allowed.start(), allowed.end());
                self.invalid(key, found.location, format!("must be from {min} to {max}, is {}", found.value))
            }
        }
    }

    /// Returns a list of strings; a single string is a list of one, and a variable is split at commas.
    pub fn strings(&mut self, key: &'static str) -> Option<Found<Vec<Found<String>>>> {
        if let Some(found) = self.variable(key) {
            let location = found.location.clone();
            let parts =
                found.value.split(',').map(|part| Found { value: part.trim().to_owned(), location: location.clone() });
            return Some(Found { value: parts.collect(), location: found.location });
        }
        let found = self.raw(key)?;
        let texts = match found.value {
            DeValue::String(text) => vec![Found { value: text.to_string(), location: found.location.clone() }],
            DeValue::Array(items) => {
                let mut texts = Vec::new();
                for item in items.iter() {
                    let location = self.source.line(&item.span());
                    match item.get_ref() {
                        DeValue::String(text) => texts.push(Found { value: text.to_string(), location }),
                        other => self.invalid(
                            key,
                            location,
                            format!("must be a list of strings, contains {}", with_article(other)),
                        )?,
                    }
                }
                texts
            }
            other => {
                return self.invalid(
                    key,
                    found.location,
                    format!("must be a list of strings, is {}", with_article(other)),
                );
            }
        };
        Some(Found { value: texts, location: found.location })
    }

    pub fn table(&mut self, key: &'static str) -> Section<'a> {
        let path = self.key(key);
        let table = self.raw(key).and_then(|found| match found.value {
            DeValue::Table(table) => Some(table),
            other => self.invalid(key, found.location, format!("must be a table, is {}", with_article(other))),
        });
        Section::new(self.source, table, path)
    }

    /// Returns whether the value of `key` is a table, for settings that may be a string or a table.
    pub fn is_table(&self, key: &str) -> bool {
        self.table.and_then(|table| table.get(key)).is_some_and(|value| value.get_ref().is_table())
    }

    /// Returns the tables of `[[key]]`, each with the location of its first line.
    pub fn tables(&mut self, key: &'static str) -> Option<Vec<(Section<'a>, String)>> {
        let found = self.raw(key)?;
        let DeValue::Array(items) = found.value else {
            return self.invalid(
                key,
                found.location,
                format!("must be written as [[{key}]], is {}", with_article(found.value)),
            );
        };
        let mut sections = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let location = self.source.line(&item.span());
            let path = format!("{}[{index}]", self.key(key));
            match item.get_ref() {
                DeValue::Table(table) => sections.push((Section::new(self.source, Some(table), path), location)),
                other => self.invalid(key, location, format!("must be a table, is {}", with_article(other)))?,
            }
        }
        Some(sections)
    }

    /// Returns the keys present in the table, with their locations.
    pub fn keys(&self) -> Vec<Found<String>> {
        let entries = self.table.into_iter().flat_map(|table| table.keys());
        entries.map(|key| Found { value: key.get_ref().to_string(), location: self.source.line(&key.span()) }).collect()
    }

    /// Reports the keys that no setting has read: they are unknown.
    pub fn finish(self) {
        for key in self.keys() {
            if !self.known.contains(key.value.as_str()) {
                let known = self.known.iter().copied().collect::<Vec<_>>().join(", ");
                self.source.report(key.location, self.key(&key.value), format!("unknown setting; known here: {known}"));
            }
        }
    }
}

fn with_article(value: &DeValue<'_>) -> String {
    let name = value.type_str();
    let article = if name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {name}")
}
