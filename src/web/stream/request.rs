//! What a client says, read strictly: every refusal names the place.

use serde_json::{Map, Value};

use crate::hub::Resume;
use crate::web::ask::{Ask, Refusal};
use crate::wire::Id;

/// Longest id and epoch, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// These rows from now on, instead of any before.
    Subscribe { ask: Ask, resume: Option<Resume> },
    /// No more rows.
    Unsubscribe,
    /// A sign of life.
    Ping,
}

/// Reads one message; the id is given back also where the rest is wrong.
pub fn read(text: &str) -> (Option<Id>, Result<Request, Refusal>) {
    let object = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return (None, Err(Refusal::new("bad-json", "", "message is not a JSON object"))),
        Err(error) => {
            let place = format!("message is not JSON: line {}, column {}", error.line(), error.column());
            return (None, Err(Refusal::new("bad-json", "", place)));
        }
    };
    match id(&object) {
        Ok(id) => (id, request(&object)),
        Err(refusal) => (None, Err(refusal)),
    }
}

fn request(object: &Map<String, Value>) -> Result<Request, Refusal> {
    match object.get("type").and_then(Value::as_str) {
        Some("subscribe") => Ok(Request::Subscribe { ask: ask(object)?, resume: resume(object)? }),
        Some("unsubscribe") => Ok(Request::Unsubscribe),
        Some("ping") => Ok(Request::Ping),
        _ => Err(Refusal::new("unknown-type", "type", "type is none of subscribe, unsubscribe, ping")),
    }
}

fn ask(object: &Map<String, Value>) -> Result<Ask, Refusal> {
    let interval_ms = match object.get("interval_ms") {
        None | Some(Value::Null) => None,
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) => return Err(bad("interval_ms", "a number")),
    };
    let (board, markets) = (text(object, "board", "board")?, markets(object)?);
    if board.is_none() && markets.is_none() {
        return Err(Refusal::new("bad-field", "board", "subscribe needs board or markets"));
    }
    let (basis, lang) = (text(object, "basis", "basis")?, text(object, "lang", "lang")?);
    Ok(Ask { board, markets, basis, lang, interval_ms })
}

fn markets(object: &Map<String, Value>) -> Result<Option<Vec<String>>, Refusal> {
    let list = match object.get("markets") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(bad("markets", "a list of texts")),
    };
    if list.is_empty() {
        return Err(Refusal::new("bad-field", "markets", "markets is empty"));
    }
    let texts = list.iter().enumerate().map(|(place, market)| match market {
        Value::String(text) => Ok(text.clone()),
        _ => Err(bad(&format!("markets[{place}]"), "a text")),
    });
    texts.collect::<Result<_, _>>().map(Some)
}

fn resume(object: &Map<String, Value>) -> Result<Option<Resume>, Refusal> {
    let resume = match object.get("resume") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(resume)) => resume,
        Some(_) => return Err(bad("resume", "an object")),
    };
    let epoch = text(resume, "epoch", "resume.epoch")?.filter(|epoch| epoch.len() <= NAME_BYTES_MAX);
    let epoch = epoch.ok_or_else(|| bad("resume.epoch", "a text of at most 64 bytes"))?;
    let sequence = resume.get("sequence").and_then(Value::as_u64);
    let sequence = sequence.ok_or_else(|| bad("resume.sequence", "a whole number"))?;
    Ok(Some(Resume { epoch, sequence }))
}

fn id(object: &Map<String, Value>) -> Result<Option<Id>, Refusal> {
    match object.get("id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= NAME_BYTES_MAX => Ok(Some(Id::Text(text.clone()))),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(Id::Number(number))),
            None => Err(bad("id", "a whole number or a text of at most 64 bytes")),
        },
    }
}

fn text(object: &Map<String, Value>, name: &str, path: &str) -> Result<Option<String>, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(bad(path, "a text")),
    }
}

fn bad(field: &str, wanted: &str) -> Refusal {
    Refusal::new("bad-field", field, format!("{field} is not {wanted}"))
}
