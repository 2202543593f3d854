//! Figures out of a venue's JSON: exact, bounded, and each fault with its name.
//!
//! It stands apart because every venue reads the same way: a message is cut
//! into records, and a record into raw members, without reading a number. Each
//! number is then taken from its source text by the one parser
//! ([`crate::domain::amount`]), whether it stood in quotes or not. So a bad
//! record harms only itself, and no figure ever passes through a float.

use std::borrow::Cow;

use jiff::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{ParseError, Rejection};
use crate::domain::{ASSET_BYTES_MAX, AmountError, Price, amount, escape_unprintable};

/// Longest symbol taken: two names and a separator, in bytes.
pub(super) const SYMBOL_BYTES_MAX: usize = 2 * ASSET_BYTES_MAX + 1;

/// Most characters of a venue's words that go into a message of ours.
const WORDS_MAX: usize = 120;

/// Most characters of an unreadable body that go into a message.
const START_MAX: usize = 32;

/// Longest source text of a number: each character may be written `\u0000`, in quotes.
const NUMBER_SOURCE_MAX: usize = amount::CHARS_MAX * 6 + 2;

/// A member of a JSON object as it was written; `null` is something, absent is not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Raw<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}

impl<'a> Raw<'a> {
    /// Wraps an element of an array.
    pub(super) fn of(raw: &'a RawValue) -> Self {
        Self(Some(raw))
    }

    /// Returns whether the member stood there at all.
    pub(super) fn is_present(self) -> bool {
        self.0.is_some()
    }

    /// Returns the source text, or `None` where the member is absent or `null`.
    pub(super) fn said(self) -> Option<&'a RawValue> {
        self.0.filter(|raw| raw.get() != "null")
    }

    /// Reads a price that must be there and above zero.
    pub(super) fn price(self, field: &'static str) -> Result<Price, Rejection> {
        Price::new(self.decimal(field)?).ok_or_else(|| self.refuse(field, AmountError::NotPositive.code()))
    }

    /// Reads a price that may be absent, `null` or empty.
    ///
    /// Zero means "none" (no trade in the time it speaks for), and what can't
    /// be held exactly is left out: neither may cost the record its last price.
    pub(super) fn price_maybe(self, field: &'static str) -> Result<Option<Price>, Rejection> {
        match self.figure(field)? {
            Some(value) if value.is_zero() => Ok(None),
            Some(value) => {
                Price::new(value).map(Some).ok_or_else(|| self.refuse(field, AmountError::NotPositive.code()))
            }
            None => Ok(None),
        }
    }

    /// Reads a volume that may be absent, `null` or empty; zero is a volume.
    ///
    /// What can't be held exactly is left out: some venues send more digits
    /// than any price has, and that must not cost the record its last price.
    pub(super) fn volume_maybe(self, field: &'static str) -> Result<Option<Decimal>, Rejection> {
        match self.figure(field)? {
            Some(value) if value < Decimal::ZERO => Err(self.refuse(field, AmountError::NotPositive.code())),
            figure => Ok(figure),
        }
    }

    /// Reads a number of either sign that may be absent, `null` or empty.
    pub(super) fn signed_maybe(self, field: &'static str) -> Result<Option<Decimal>, Rejection> {
        self.figure(field)
    }

    /// Reads Unix milliseconds that may be absent, `null` or empty.
    pub(super) fn time_maybe(self, field: &'static str) -> Result<Option<Timestamp>, Rejection> {
        let value = match self.number(field) {
            Err(fault) if fault.problem == AmountError::Inexact.code() => return Err(self.refuse(field, "time")),
            read => read?,
        };
        let Some(value) = value else { return Ok(None) };
        whole(value)
            .filter(|&ms| ms >= 0)
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .map(Some)
            .ok_or_else(|| self.refuse(field, "time"))
    }

    /// Reads a count that may be absent, `null` or empty; below zero means "none".
    pub(super) fn count_maybe(self, field: &'static str) -> Result<Option<u64>, Rejection> {
        let Some(value) = self.figure(field)? else { return Ok(None) };
        let count = whole(value).ok_or_else(|| self.refuse(field, "type"))?;
        Ok(u64::try_from(count).ok())
    }

    /// Reads `true` or `false`, which may be absent or `null`.
    pub(super) fn truth_maybe(self, field: &'static str) -> Result<Option<bool>, Rejection> {
        match self.said().map(RawValue::get) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.refuse(field, "type")),
        }
    }

    /// Reads a text that may be absent, `null` or empty.
    pub(super) fn text_maybe(self, field: &'static str) -> Result<Option<Cow<'a, str>>, Rejection> {
        let Some(raw) = self.said() else { return Ok(None) };
        let text = unquote(raw.get()).ok_or_else(|| self.refuse(field, "type"))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Reads a market's symbol: opaque text, but never empty and never long.
    pub(super) fn symbol(self, field: &'static str) -> Result<Cow<'a, str>, Rejection> {
        let raw = self.0.ok_or_else(|| self.refuse(field, "missing"))?;
        // Checked before decoding: a name of megabytes is not worth a copy.
        if raw.get().len() > SYMBOL_BYTES_MAX * 6 {
            return Err(self.refuse(field, "symbol"));
        }
        let text = unquote(raw.get()).ok_or_else(|| self.refuse(field, "type"))?;
        if text.is_empty() || text.len() > SYMBOL_BYTES_MAX {
            return Err(self.refuse(field, "symbol"));
        }
        Ok(text)
    }

    /// Returns a venue's words, text or number, fit for a message of ours.
    pub(super) fn words(self) -> String {
        self.said().map_or_else(String::new, |raw| shorten(&unquote(raw.get()).unwrap_or(Cow::Borrowed(raw.get()))))
    }

    /// Makes a rejection that shows what stands there.
    pub(super) fn refuse(self, field: &'static str, problem: &'static str) -> Rejection {
        let seen = self.0.map_or_else(String::new, |raw| start(raw.get()));
        Rejection { seen, ..refuse(field, problem) }
    }

    /// Reads a number that must be there.
    fn decimal(self, field: &'static str) -> Result<Decimal, Rejection> {
        let raw = self.0.ok_or_else(|| self.refuse(field, "missing"))?;
        let text = number_source(raw.get()).map_err(|problem| self.refuse(field, problem))?;
        amount::parse(&text).map_err(|error| self.refuse(field, error.code()))
    }

    /// Reads a number that may be absent, `null` or empty.
    fn number(self, field: &'static str) -> Result<Option<Decimal>, Rejection> {
        if self.said().is_none() {
            return Ok(None);
        }
        match self.decimal(field) {
            Err(fault) if fault.problem == AmountError::Empty.code() => Ok(None),
            read => read.map(Some),
        }
    }

    /// Reads a number that may also be beyond what can be held exactly: then it is left out.
    fn figure(self, field: &'static str) -> Result<Option<Decimal>, Rejection> {
        match self.number(field) {
            Err(fault) if fault.problem == AmountError::Inexact.code() => Ok(None),
            read => read,
        }
    }
}

/// What the outermost value of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
}

/// Tells what a text is before it is parsed.
///
/// # Errors
/// [`ParseError::Payload`] naming what it looks like, where that is neither object nor array.
pub(super) fn shape(text: &str) -> Result<Shape, ParseError> {
    let text = text.trim_start();
    match text.as_bytes().first() {
        Some(b'{') => Ok(Shape::Object),
        Some(b'[') => Ok(Shape::Array),
        None => Err(payload("it is empty")),
        Some(b'<') => Err(payload("it is an HTML page")),
        Some(_) => Err(payload(format!("it is not JSON, it starts with \"{}\"", start(text).escape_debug()))),
    }
}

/// Reads a text that must be an object.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ParseError> {
    match shape(text)? {
        Shape::Object => serde_json::from_str(text).map_err(|error| unreadable(&error)),
        Shape::Array => Err(payload("it is a list where an object was expected")),
    }
}

/// Cuts a text that must be a list into its elements, without reading them.
pub(super) fn list(text: &str) -> Result<Vec<&RawValue>, ParseError> {
    match shape(text)? {
        Shape::Array => serde_json::from_str(text).map_err(|error| unreadable(&error)),
        Shape::Object => Err(payload("it is an object where a list was expected")),
    }
}

/// Reads one record, which must be an object.
pub(super) fn record<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Rejection> {
    // The derived readers would take an array for an object, member by member.
    if !raw.get().starts_with('{') {
        return Err(refuse("record", "type"));
    }
    serde_json::from_str(raw.get()).map_err(|_| refuse("record", "type"))
}

/// Makes a rejection.
pub(super) fn refuse(field: &'static str, problem: &'static str) -> Rejection {
    Rejection::new(field, problem)
}

/// Makes the error of a body that can't be used.
pub(super) fn payload(what: impl Into<String>) -> ParseError {
    ParseError::Payload(what.into())
}

/// Returns a venue's words, cut and escaped, fit for a log line.
pub(super) fn shorten(words: &str) -> String {
    // Only what could forge or hide a line is escaped: Korean words stay readable.
    escape_unprintable(&words.chars().take(WORDS_MAX).collect::<String>())
}

/// Returns the beginning of a text.
fn start(text: &str) -> String {
    text.chars().take(START_MAX).collect()
}

/// Words for a parser's error without the text that it choked on.
fn unreadable(error: &serde_json::Error) -> ParseError {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "the JSON ends too early",
        serde_json::error::Category::Syntax => "the JSON is broken",
        _ => "the JSON has another shape than expected",
    };
    payload(format!("{what} at line {} column {}", error.line(), error.column()))
}

/// Returns the text of a number, bare or quoted, or the word for why it is none.
fn number_source(source: &str) -> Result<Cow<'_, str>, &'static str> {
    if source == "null" {
        return Err("null");
    }
    if source.len() > NUMBER_SOURCE_MAX {
        return Err(AmountError::TooLong.code());
    }
    match source.as_bytes().first() {
        Some(b'"') => unquote(source).ok_or("type"),
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(source)),
        _ => Err("type"),
    }
}

/// Decodes a JSON string, or `None` where it is another value.
fn unquote(source: &str) -> Option<Cow<'_, str>> {
    let inside = source.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        return serde_json::from_str::<String>(source).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inside))
}

fn whole(value: Decimal) -> Option<i64> {
    value.is_integer().then(|| value.to_i64()).flatten()
}
