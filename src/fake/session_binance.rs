//! Binance's stream: named streams, acknowledged, each once a second if it has changed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::binance::{mini_frame, ticker_frame};
use super::figures::Figures;
use super::json::{Object, array, text};
use super::session::{Session, Step};
use super::view::View;
use super::world::Line;

/// Most streams of one connection.
pub const STREAMS_MAX: usize = 1024;

/// Between two events of a stream, in ms.
const EVERY: i64 = 1000;

const VENUE: &str = "binance";
const CLOSE_POLICY: u16 = 1008;

/// See the module.
#[derive(Debug, Default)]
pub struct BinanceSession {
    combined: bool,
    /// Last trade sent by symbol, by stream.
    streams: BTreeMap<String, BTreeMap<String, u64>>,
    next_at: i64,
}

impl BinanceSession {
    /// Begins the session of `/ws`, `/ws/<stream>` or `/stream?streams=a/b`.
    pub fn at(path: &str, query: &str) -> Option<Self> {
        let mut session = Self::default();
        if path == "/stream" {
            session.combined = true;
            let streams = query.split('&').find_map(|pair| pair.strip_prefix("streams=")).unwrap_or_default();
            let streams = streams.replace("%2F", "/").replace("%40", "@");
            session.add(streams.split('/'));
        } else {
            let streams = path.strip_prefix("/ws")?;
            session.add(streams.split('/'));
        }
        Some(session)
    }

    fn add<'a>(&mut self, streams: impl Iterator<Item = &'a str>) {
        for stream in streams.filter(|stream| !stream.is_empty()) {
            self.streams.entry(stream.to_owned()).or_default();
        }
    }

    fn request(&mut self, frame: &str) -> Result<Option<String>, String> {
        let request: serde_json::Map<String, Value> =
            serde_json::from_str(frame).map_err(|error| refusal(3, &format!("Invalid JSON: {error}")))?;
        let id = request.get("id").cloned().unwrap_or(Value::Null);
        let Some(method) = request.get("method").and_then(Value::as_str) else {
            return Err(refusal(2, "Invalid request: missing field `method`"));
        };
        let names: Vec<&str> = match request.get("params") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut result = "null".to_owned();
        match method {
            "SUBSCRIBE" => {
                if self.streams.len() + names.len() > STREAMS_MAX {
                    return Ok(None);
                }
                self.add(names.into_iter());
            }
            "UNSUBSCRIBE" => self.streams.retain(|stream, _| !names.contains(&stream.as_str())),
            "LIST_SUBSCRIPTIONS" => result = array(self.streams.keys().map(|name| text(name))),
            "SET_PROPERTY" => {
                if let Some(Value::Array(params)) = request.get("params") {
                    self.combined = params.get(1) == Some(&Value::Bool(true));
                }
            }
            other => {
                let known = "expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`";
                return Err(refusal(2, &format!("Invalid request: unknown variant `{other}`, {known}")));
            }
        }
        Ok(Some(Object::new().raw("result", result).raw("id", id).end()))
    }
}

fn refusal(code: i32, message: &str) -> String {
    Object::new().raw("code", code).text("msg", message).end()
}

impl Session for BinanceSession {
    fn binary(&self) -> bool {
        false
    }

    fn receive(&mut self, frame: &str, _view: &View<'_>) -> Vec<Step> {
        match self.request(frame) {
            Ok(Some(answer)) | Err(answer) => vec![Step::Reply(answer)],
            Ok(None) => vec![Step::Close(CLOSE_POLICY, "Too many streams".to_owned())],
        }
    }

    fn poll(&mut self, view: &View<'_>) -> Vec<Step> {
        if view.now < self.next_at {
            return Vec::new();
        }
        let mut steps = Vec::new();
        for (stream, seen) in &mut self.streams {
            let (subject, kind) = stream.split_once('@').unwrap_or((stream, ""));
            let mini = match kind {
                "ticker" => false,
                "miniTicker" | "arr" => true,
                _ => continue,
            };
            let every = matches!(subject, "!miniTicker");
            let lines = view.world.lines(VENUE);
            let wanted = lines.filter(|line| every || line.symbol.to_ascii_lowercase() == *subject);
            let wanted: Vec<&Line> = wanted.collect();
            for line in wanted.iter().filter(|line| !seen.contains_key(&line.symbol) && !every) {
                let n = u64::from(view.warp.replay);
                let last = line.tape.last().map_or(0, |last| last.id);
                for trade in line.tape.after_id(last.saturating_sub(n), usize::try_from(n).unwrap_or(0)) {
                    let figures = Figures::again(view, line, trade, 0);
                    let body = if mini { mini_frame(&figures) } else { ticker_frame(&figures) };
                    let wrapped = Object::new().text("stream", stream).raw("data", &body).end();
                    steps.push(Step::Data {
                        symbol: line.symbol.clone(),
                        body: if self.combined { wrapped } else { body },
                    });
                }
            }
            let changed = wanted.into_iter().filter_map(|line| event(view, line, mini, seen));
            let changed: Vec<(&Line, String)> = changed.collect();
            let (symbol, body) = match (every, changed.into_iter()) {
                (_, events) if events.len() == 0 => continue,
                (true, events) => (String::new(), array(events.map(|(_, body)| body))),
                (false, mut events) => match events.next() {
                    Some((line, body)) => (line.symbol.clone(), body),
                    None => continue,
                },
            };
            let wrap = |body: &String| Object::new().text("stream", stream).raw("data", body).end();
            let body = if self.combined { wrap(&body) } else { body };
            steps.push(Step::Data { symbol, body });
        }
        // A look that found nothing does not use the second up.
        if !steps.is_empty() {
            self.next_at = view.now - view.now.rem_euclid(EVERY) + EVERY;
        }
        steps
    }
}

/// The event of a market that has traded since the last one.
fn event<'a>(
    view: &View<'_>,
    line: &'a Line,
    mini: bool,
    seen: &mut BTreeMap<String, u64>,
) -> Option<(&'a Line, String)> {
    let last = line.tape.last()?;
    let before = seen.insert(line.symbol.clone(), last.id);
    if before == Some(last.id) {
        return None;
    }
    let figures = Figures::of(view, line, last, 0);
    Some((line, if mini { mini_frame(&figures) } else { ticker_frame(&figures) }))
}
