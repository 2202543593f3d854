//! Parses values from a venue's JSON: exact, bounded, and with a code for each fault.
//!
//! All venues parse in the same way: a message is split into records, and a
//! record into raw members, without parsing any number. The one parser
//! ([`crate::market::amount`]) then parses each number from its source text,
//! quoted or not. So a bad record affects only itself, and no number ever passes
//! through a float.

use std::borrow::Cow;

use jiff::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::feed::quoted;
use crate::market::{ASSET_BYTES_MAX, AmountError, Price, amount};

/// Longest symbol accepted, in bytes: two asset names and a separator.
pub(super) const SYMBOL_BYTES_MAX: usize = 2 * ASSET_BYTES_MAX + 1;

/// Maximum number of characters of an unreadable value or body quoted in a message.
const EXCERPT_CHARS_MAX: usize = 32;

/// Longest source text of a number, in bytes: quoted, with each character written as `\u0000`.
const NUMBER_SOURCE_MAX: usize = amount::CHARS_MAX * 6 + 2;

/// Why one record or field of a message is rejected; the others are used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Rejection {
    /// The venue's name of the field at fault.
    pub field: &'static str,
    /// What is wrong with it, as a stable code: one of
    /// [`AmountError::code`](crate::market::AmountError::code), `missing`, `null`, `type`, `time`, `symbol`,
    /// `candle`, `contradiction`, `unknown` (a value that the venue does not document), `repeated`.
    pub problem: &'static str,
    /// The beginning of its value.
    pub excerpt: String,
}

impl Rejection {
    /// Returns a rejection without the value.
    pub fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem, excerpt: String::new() }
    }

    /// Returns the field, the problem and the beginning of the value, for a message.
    pub fn describe(&self) -> String {
        if self.excerpt.is_empty() { self.to_string() } else { format!("{self}: {}", self.excerpt) }
    }
}

/// Why a whole body or frame can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is not the expected JSON; the message says where.
    #[error("unreadable answer: {0}")]
    Payload(String),
    /// It is an error message of the venue, whatever the HTTP status was.
    #[error("the exchange answered {code}: {message}")]
    Refused {
        /// The venue's code or name.
        code: String,
        /// The venue's message, shortened.
        message: String,
    },
    /// The same, for too many requests.
    #[error("the exchange answered {code}: {message}")]
    RateLimited {
        /// The venue's code or name.
        code: String,
        /// The venue's message, shortened.
        message: String,
    },
}

/// A member of a JSON object, or an element of an array, as its source text. A `null` member counts as present.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RawMember<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for RawMember<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}

impl<'a> RawMember<'a> {
    /// Wraps an element of an array.
    pub(super) fn of(raw: &'a RawValue) -> Self {
        Self(Some(raw))
    }

    /// Returns whether the member is present, `null` included.
    pub(super) fn is_present(self) -> bool {
        self.0.is_some()
    }

    /// Returns the source text, or `None` if the member is absent or `null`.
    pub(super) fn non_null(self) -> Option<&'a RawValue> {
        self.0.filter(|raw| raw.get() != "null")
    }

    /// Parses a required price, which must be above zero.
    pub(super) fn price(self, field: &'static str) -> Result<Price, Rejection> {
        Price::new(self.decimal(field)?).ok_or_else(|| self.rejection(field, AmountError::NotPositive.code()))
    }

    /// Parses a price that may be absent, `null` or empty.
    ///
    /// Returns `None` for zero, which means that there was no trade, and for a
    /// value that can't be represented exactly: neither may invalidate the record.
    pub(super) fn optional_price(self, field: &'static str) -> Result<Option<Price>, Rejection> {
        match self.exact_number(field)? {
            Some(value) if value.is_zero() => Ok(None),
            Some(value) => {
                Price::new(value).map(Some).ok_or_else(|| self.rejection(field, AmountError::NotPositive.code()))
            }
            None => Ok(None),
        }
    }

    /// Parses a volume that may be absent, `null` or empty; zero is a volume.
    ///
    /// Returns `None` for a value that can't be represented exactly: some venues
    /// send more digits than any price has, which must not invalidate the record.
    pub(super) fn optional_volume(self, field: &'static str) -> Result<Option<Decimal>, Rejection> {
        match self.exact_number(field)? {
            Some(value) if value < Decimal::ZERO => Err(self.rejection(field, AmountError::NotPositive.code())),
            figure => Ok(figure),
        }
    }

    /// Parses a number of either sign that may be absent, `null` or empty.
    pub(super) fn optional_signed(self, field: &'static str) -> Result<Option<Decimal>, Rejection> {
        self.exact_number(field)
    }

    /// Parses Unix milliseconds that may be absent, `null` or empty.
    pub(super) fn optional_time(self, field: &'static str) -> Result<Option<Timestamp>, Rejection> {
        let value = match self.number(field) {
            Err(rejection) if rejection.problem == AmountError::Inexact.code() => {
                return Err(self.rejection(field, "time"));
            }
            parsed => parsed?,
        };
        let Some(value) = value else { return Ok(None) };
        whole(value)
            .filter(|&ms| ms >= 0)
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .map(Some)
            .ok_or_else(|| self.rejection(field, "time"))
    }

    /// Parses a count that may be absent, `null` or empty; a negative one means that there is none.
    pub(super) fn optional_count(self, field: &'static str) -> Result<Option<u64>, Rejection> {
        let Some(value) = self.exact_number(field)? else { return Ok(None) };
        let count = whole(value).ok_or_else(|| self.rejection(field, "type"))?;
        Ok(u64::try_from(count).ok())
    }

    /// Parses a boolean that may be absent or `null`.
    pub(super) fn optional_bool(self, field: &'static str) -> Result<Option<bool>, Rejection> {
        match self.non_null().map(RawValue::get) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.rejection(field, "type")),
        }
    }

    /// Parses a string that may be absent, `null` or empty.
    pub(super) fn optional_text(self, field: &'static str) -> Result<Option<Cow<'a, str>>, Rejection> {
        let Some(raw) = self.non_null() else { return Ok(None) };
        let text = unquote(raw.get()).ok_or_else(|| self.rejection(field, "type"))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Parses a market's symbol: an opaque string, not empty and at most [`SYMBOL_BYTES_MAX`] bytes long.
    pub(super) fn symbol(self, field: &'static str) -> Result<Cow<'a, str>, Rejection> {
        let raw = self.0.ok_or_else(|| self.rejection(field, "missing"))?;
        // Checked before decoding, so that a symbol of megabytes is not copied.
        if raw.get().len() > SYMBOL_BYTES_MAX * 6 {
            return Err(self.rejection(field, "symbol"));
        }
        let text = unquote(raw.get()).ok_or_else(|| self.rejection(field, "type"))?;
        if text.is_empty() || text.len() > SYMBOL_BYTES_MAX {
            return Err(self.rejection(field, "symbol"));
        }
        Ok(text)
    }

    /// Returns a string or any other value as text that is safe to quote in our messages.
    pub(super) fn lossy_text(self) -> String {
        self.non_null().map_or_else(String::new, |raw| quoted(&unquote(raw.get()).unwrap_or(Cow::Borrowed(raw.get()))))
    }

    /// Returns a rejection that quotes the beginning of the value.
    pub(super) fn rejection(self, field: &'static str, problem: &'static str) -> Rejection {
        let excerpt = self.0.map_or_else(String::new, |raw| excerpt(raw.get()));
        Rejection { excerpt, ..rejection(field, problem) }
    }

    /// Parses a required number.
    fn decimal(self, field: &'static str) -> Result<Decimal, Rejection> {
        let raw = self.0.ok_or_else(|| self.rejection(field, "missing"))?;
        let text = number_source(raw.get()).map_err(|problem| self.rejection(field, problem))?;
        amount::parse(&text).map_err(|error| self.rejection(field, error.code()))
    }

    /// Parses a number that may be absent, `null` or empty.
    fn number(self, field: &'static str) -> Result<Option<Decimal>, Rejection> {
        if self.non_null().is_none() {
            return Ok(None);
        }
        match self.decimal(field) {
            Err(rejection) if rejection.problem == AmountError::Empty.code() => Ok(None),
            parsed => parsed.map(Some),
        }
    }

    /// Parses a number that may be absent, `null`, empty, or not exactly representable.
    fn exact_number(self, field: &'static str) -> Result<Option<Decimal>, Rejection> {
        match self.number(field) {
            Err(rejection) if rejection.problem == AmountError::Inexact.code() => Ok(None),
            parsed => parsed,
        }
    }
}

/// The type of the outermost JSON value of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
}

/// Detects the outermost JSON value of a text before it is parsed.
///
/// # Errors
/// [`ParseError::Payload`] if it is neither an object nor an array; says what it looks like.
pub(super) fn shape(text: &str) -> Result<Shape, ParseError> {
    let text = text.trim_start();
    match text.as_bytes().first() {
        Some(b'{') => Ok(Shape::Object),
        Some(b'[') => Ok(Shape::Array),
        None => Err(payload_error("it is empty")),
        Some(b'<') => Err(payload_error("it is an HTML page")),
        Some(_) => Err(payload_error(format!("it is not JSON, it starts with \"{}\"", excerpt(text).escape_debug()))),
    }
}

/// Parses a text that must be an object.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ParseError> {
    match shape(text)? {
        Shape::Object => serde_json::from_str(text).map_err(|error| describe_error(&error)),
        Shape::Array => Err(payload_error("expected an object, got a list")),
    }
}

/// Splits a text that must be a list into its elements, without parsing them.
pub(super) fn list(text: &str) -> Result<Vec<&RawValue>, ParseError> {
    match shape(text)? {
        Shape::Array => serde_json::from_str(text).map_err(|error| describe_error(&error)),
        Shape::Object => Err(payload_error("expected a list, got an object")),
    }
}

/// Parses one record, which must be an object.
pub(super) fn record<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Rejection> {
    // Derived deserializers also accept an array as an object, member by member.
    if !raw.get().starts_with('{') {
        return Err(rejection("record", "type"));
    }
    serde_json::from_str(raw.get()).map_err(|_| rejection("record", "type"))
}

/// Splits a record that is an array into its cells.
pub(super) fn cells(raw: &RawValue) -> Result<Vec<&RawValue>, Rejection> {
    serde_json::from_str(raw.get()).map_err(|_| rejection("record", "type"))
}

/// Returns a rejection without the value.
pub(super) fn rejection(field: &'static str, problem: &'static str) -> Rejection {
    Rejection::new(field, problem)
}

/// Returns the error for a body or frame that can't be used.
pub(super) fn payload_error(message: impl Into<String>) -> ParseError {
    ParseError::Payload(message.into())
}

/// Returns the first [`EXCERPT_CHARS_MAX`] characters of a text.
fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS_MAX).collect()
}

/// Describes a parse error, without the text that caused it.
fn describe_error(error: &serde_json::Error) -> ParseError {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "the JSON ends too early",
        serde_json::error::Category::Syntax => "the JSON is malformed",
        _ => "the JSON has an unexpected structure",
    };
    payload_error(format!("{what} at line {} column {}", error.line(), error.column()))
}

/// Returns the text of a number, quoted or not, or the code of what is wrong with it.
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

/// Decodes a JSON string; returns `None` for any other value.
fn unquote(source: &str) -> Option<Cow<'_, str>> {
    let inner = source.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(source).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

fn whole(value: Decimal) -> Option<i64> {
    value.is_integer().then(|| value.to_i64()).flatten()
}
