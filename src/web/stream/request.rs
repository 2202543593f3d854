//! Strict parsing of client messages; every error names the invalid member.

use serde_json::{Map, Value};

use crate::api::RequestId;
use crate::hub::Resume;
use crate::web::rows_query::{BadRequest, RowsQuery};

/// Maximum length of an id or epoch in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRequest {
    /// Subscribe to rows, replacing a subscription with the same id.
    Subscribe { query: RowsQuery, resume: Option<Resume> },
    /// End a subscription.
    Unsubscribe,
    /// Ask for a `pong`.
    Ping,
}

/// Parses one message; returns the id even if the rest is invalid.
pub fn parse(text: &str) -> (Option<RequestId>, Result<ClientRequest, BadRequest>) {
    let object = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return (None, Err(BadRequest::new("bad-json", "", "message is not a JSON object"))),
        Err(error) => {
            let detail = format!("message is not JSON: line {}, column {}", error.line(), error.column());
            return (None, Err(BadRequest::new("bad-json", "", detail)));
        }
    };
    match id(&object) {
        Ok(id) => (id, request(&object)),
        Err(error) => (None, Err(error)),
    }
}

fn request(object: &Map<String, Value>) -> Result<ClientRequest, BadRequest> {
    match object.get("type").and_then(Value::as_str) {
        Some("subscribe") => Ok(ClientRequest::Subscribe { query: query(object)?, resume: resume(object)? }),
        Some("unsubscribe") => Ok(ClientRequest::Unsubscribe),
        Some("ping") => Ok(ClientRequest::Ping),
        _ => Err(BadRequest::new("unknown-type", "type", "type must be subscribe, unsubscribe or ping")),
    }
}

fn query(object: &Map<String, Value>) -> Result<RowsQuery, BadRequest> {
    let interval_ms = match object.get("interval_ms") {
        None | Some(Value::Null) => None,
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) => return Err(bad("interval_ms", "a number")),
    };
    let (board, markets) = (text(object, "board", "board")?, markets(object)?);
    if board.is_none() && markets.is_none() {
        return Err(BadRequest::new("bad-field", "board", "subscribe requires board or markets"));
    }
    let (basis, lang) = (text(object, "basis", "basis")?, text(object, "lang", "lang")?);
    Ok(RowsQuery { board, markets, basis, lang, interval_ms })
}

fn markets(object: &Map<String, Value>) -> Result<Option<Vec<String>>, BadRequest> {
    let list = match object.get("markets") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(bad("markets", "an array of strings")),
    };
    if list.is_empty() {
        return Err(BadRequest::new("bad-field", "markets", "markets must not be empty"));
    }
    let texts = list.iter().enumerate().map(|(index, market)| match market {
        Value::String(text) => Ok(text.clone()),
        _ => Err(bad(&format!("markets[{index}]"), "a string")),
    });
    texts.collect::<Result<_, _>>().map(Some)
}

fn resume(object: &Map<String, Value>) -> Result<Option<Resume>, BadRequest> {
    let resume = match object.get("resume") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(resume)) => resume,
        Some(_) => return Err(bad("resume", "an object")),
    };
    let epoch = text(resume, "epoch", "resume.epoch")?.filter(|epoch| epoch.len() <= NAME_BYTES_MAX);
    let epoch = epoch.ok_or_else(|| bad("resume.epoch", "a string of at most 64 bytes"))?;
    let sequence = resume.get("sequence").and_then(Value::as_u64);
    let sequence = sequence.ok_or_else(|| bad("resume.sequence", "a non-negative integer"))?;
    Ok(Some(Resume { epoch, sequence }))
}

fn id(object: &Map<String, Value>) -> Result<Option<RequestId>, BadRequest> {
    match object.get("id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= NAME_BYTES_MAX => Ok(Some(RequestId::Text(text.clone()))),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(RequestId::Number(number))),
            None => Err(bad("id", "a non-negative integer or a string of at most 64 bytes")),
        },
    }
}

fn text(object: &Map<String, Value>, name: &str, path: &str) -> Result<Option<String>, BadRequest> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(bad(path, "a string")),
    }
}

fn bad(field: &str, expected: &str) -> BadRequest {
    BadRequest::new("bad-field", field, format!("{field} must be {expected}"))
}
