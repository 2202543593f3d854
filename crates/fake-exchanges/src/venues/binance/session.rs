//! The session of Binance: named streams that are subscribed, listed and unsubscribed, with acknowledgements.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::stream::NamedStream;
use crate::fault_view::FaultView;
use crate::json::{Object, array, json_string};
use crate::session::{Session, Step};

/// Maximum number of streams of a connection.
pub const STREAMS_MAX: usize = 1024;

const CLOSE_POLICY: u16 = 1008;

/// A session of Binance.
#[derive(Debug, Default)]
pub struct BinanceSession {
    combined: bool,
    streams: BTreeMap<String, NamedStream>,
}

impl BinanceSession {
    /// Creates the session for `/ws`, `/ws/<stream>` or `/stream?streams=a/b`; returns `None` for other paths and
    /// for streams that are not served.
    pub fn for_path(path: &str, query: &str) -> Option<Self> {
        let mut session = Self::default();
        if path == "/stream" {
            session.combined = true;
            let query = query.replace('+', "%2B");
            let streams = url::form_urlencoded::parse(query.as_bytes());
            let streams = streams.into_owned().find(|(name, _)| name == "streams").map(|(_, streams)| streams);
            session.add(&streams.unwrap_or_default().split('/').collect::<Vec<_>>(), None).ok()?;
        } else {
            let streams = path.strip_prefix("/ws").filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
            let streams = streams.replace("%40", "@").replace("%2F", "/").replace("%21", "!");
            session.add(&streams.split('/').collect::<Vec<_>>(), None).ok()?;
        }
        Some(session)
    }

    /// Adds streams, or none of them if one is not served.
    fn add(&mut self, names: &[&str], view: Option<&FaultView<'_>>) -> Result<(), String> {
        let mut added = Vec::new();
        for name in names.iter().filter(|name| !name.is_empty() && !self.streams.contains_key(**name)) {
            let stream = NamedStream::from_name(name);
            let mut stream = stream.ok_or_else(|| format!("Invalid request: stream `{name}` is not served here"))?;
            if let Some(view) = view {
                stream.start(view);
            }
            added.push(((*name).to_owned(), stream));
        }
        self.streams.extend(added);
        Ok(())
    }

    /// Returns the response to a request, as an error if it is refused; `None` if it subscribes to too many
    /// streams.
    fn request(&mut self, frame: &str, view: &FaultView<'_>) -> Result<Option<String>, String> {
        let request: Map<String, Value> =
            serde_json::from_str(frame).map_err(|error| error_reply(3, &format!("Invalid JSON: {error}")))?;
        let id = request.get("id").cloned().unwrap_or(Value::Null);
        let Some(method) = request.get("method").and_then(Value::as_str) else {
            return Err(error_reply(2, "Invalid request: missing field `method`"));
        };
        let params: &[Value] = match request.get("params") {
            Some(Value::Array(params)) => params,
            _ => &[],
        };
        let names: Vec<&str> = params.iter().filter_map(Value::as_str).collect();
        let result = match method {
            "SUBSCRIBE" | "UNSUBSCRIBE" if names.is_empty() || names.len() < params.len() => {
                return Err(error_reply(2, "Invalid request: params must be a list of stream names"));
            }
            "SUBSCRIBE" if self.streams.len() + names.len() > STREAMS_MAX => return Ok(None),
            "SUBSCRIBE" => {
                self.add(&names, Some(view)).map_err(|message| error_reply(2, &message))?;
                "null".to_owned()
            }
            "UNSUBSCRIBE" => {
                self.streams.retain(|stream, _| !names.contains(&stream.as_str()));
                "null".to_owned()
            }
            "LIST_SUBSCRIPTIONS" => array(self.streams.keys().map(|name| json_string(name))),
            "SET_PROPERTY" | "GET_PROPERTY" => self.property(method == "SET_PROPERTY", params)?,
            other => {
                let known = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`";
                let message = format!("Invalid request: unknown variant `{other}`, expected one of {known}");
                return Err(error_reply(2, &message));
            }
        };
        Ok(Some(Object::new().raw("result", result).raw("id", id).end()))
    }

    /// Sets or returns the only property, `combined`.
    fn property(&mut self, set: bool, params: &[Value]) -> Result<String, String> {
        match params.first() {
            Some(Value::String(name)) if name == "combined" => {}
            Some(Value::String(_)) => return Err(error_reply(0, "Unknown property")),
            _ => return Err(error_reply(2, "Invalid request: property name must be a string")),
        }
        match params.get(1) {
            Some(Value::Bool(combined)) if set => self.combined = *combined,
            None if !set => return Ok(self.combined.to_string()),
            _ if set => return Err(error_reply(1, "Invalid value type: expected Boolean")),
            _ => return Err(error_reply(2, "Invalid request: too many parameters")),
        }
        Ok("null".to_owned())
    }
}

fn error_reply(code: i32, message: &str) -> String {
    Object::new().raw("code", code).text("msg", message).end()
}

impl Session for BinanceSession {
    fn open(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        for stream in self.streams.values_mut() {
            stream.start(view);
        }
        Vec::new()
    }

    fn receive(&mut self, frame: &str, view: &FaultView<'_>) -> Vec<Step> {
        match self.request(frame, view) {
            Ok(Some(answer)) | Err(answer) => vec![Step::Reply(answer)],
            Ok(None) => vec![Step::Close(CLOSE_POLICY, "Too many streams".to_owned())],
        }
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        for (name, stream) in &mut self.streams {
            for (symbol, body) in stream.poll(view) {
                let wrap = |body: &String| Object::new().text("stream", name).raw("data", body).end();
                let body = if self.combined { wrap(&body) } else { body };
                steps.push(Step::Data { symbol, body });
            }
        }
        steps
    }

    fn end_announcement(&self, view: &FaultView<'_>) -> Option<Step> {
        // Assumed to be unwrapped on combined connections too; the documents don't say.
        Some(Step::Reply(Object::new().text("e", "serverShutdown").raw("E", view.reported_time(view.now)).end()))
    }
}
