//! Recorded payloads, served from files at the paths and streams where they were recorded.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use super::fault_view::FaultView;
use super::query::RequestTarget;
use super::response::FakeResponse;
use super::session::{FrameEncoding, Session, Step};

/// Largest file that is read, in bytes; larger ones are ignored.
const FILE_MAX: u64 = 8 << 20;

/// Interval at which the recorded frames are sent, in ms.
const REPLAY_INTERVAL: i64 = 1000;

/// The contents of the files by venue and file name.
#[derive(Debug, Clone, Default)]
pub struct Recordings(BTreeMap<(String, String), String>);

impl Recordings {
    /// Reads `DIR/<venue>/<name>.json`.
    ///
    /// # Errors
    /// If the directory or a file can't be read, or there is no file.
    pub fn read(directory: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        let displayed = directory.display();
        for venue in std::fs::read_dir(directory).with_context(|| format!("reading the directory {displayed}"))? {
            let venue = venue.with_context(|| format!("reading the directory {displayed}"))?.path();
            if !venue.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(&venue).with_context(|| format!("reading {}", venue.display()))? {
                let path = file.with_context(|| format!("reading {}", venue.display()))?.path();
                let small = path.metadata().is_ok_and(|data| data.is_file() && data.len() <= FILE_MAX);
                if small && path.extension().is_some_and(|end| end == "json") {
                    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
                    files.insert((name(&venue), name(&path)), text);
                }
            }
        }
        anyhow::ensure!(!files.is_empty(), "no recordings (VENUE/NAME.json) in {displayed}");
        Ok(Self(files))
    }

    /// Returns the file recorded for a request's path, or a 404.
    pub fn rest(&self, venue: &str, target: &RequestTarget) -> FakeResponse {
        let path = target.path.as_str();
        let name = match (path, path.strip_prefix("/public/ticker/")) {
            (_, Some(pair)) => format!("rest-public-ticker-{pair}"),
            _ if path.starts_with("/public/candlestick/") => "rest-public-candlestick-1m".to_owned(),
            _ if path.contains("candle") || path.ends_with("klines") => "rest-candles-1m".to_owned(),
            _ if path.ends_with("price") => "rest-price".to_owned(),
            _ if path.contains("ticker") => "rest-tickers".to_owned(),
            _ if path.ends_with("instruments") => "rest-instruments".to_owned(),
            _ if path.contains("market/all") || path.ends_with("exchangeInfo") => "rest-markets".to_owned(),
            _ => String::new(),
        };
        match self.first(venue, &name) {
            Some(body) => FakeResponse::json(200, body),
            None => FakeResponse::json(404, r#"{"error":{"name":404,"message":"not recorded"}}"#),
        }
    }

    /// Returns a session that repeats a venue's `ws-ticker*` files once the client has sent a frame or named a
    /// stream in the path.
    pub fn session(&self, venue: &str, path: &str, encoding: FrameEncoding) -> Box<dyn Session> {
        let of_venue = self.0.iter().filter(|((at, name), _)| at == venue && name.starts_with("ws-ticker"));
        let frames = of_venue.map(|(_, text)| text.clone()).collect();
        let subscribed = path.contains("@");
        Box::new(Replay { frames, encoding, subscribed, next_at: 0 })
    }

    /// Returns the file of that name, or else the first whose name continues it after a hyphen.
    fn first(&self, venue: &str, name: &str) -> Option<&str> {
        let exact = self.0.get(&(venue.to_owned(), name.to_owned()));
        let longer = || self.0.iter().find(|((at, file), _)| at == venue && file.starts_with(&format!("{name}-")));
        (!name.is_empty()).then(|| exact.or_else(|| longer().map(|(_, text)| text)))?.map(String::as_str)
    }
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

struct Replay {
    frames: Vec<String>,
    encoding: FrameEncoding,
    subscribed: bool,
    next_at: i64,
}

impl Session for Replay {
    fn encoding(&self) -> FrameEncoding {
        self.encoding
    }

    fn receive(&mut self, text: &str, _view: &FaultView<'_>) -> Vec<Step> {
        if text.trim() == "PING" {
            return vec![Step::Reply(r#"{"status":"UP"}"#.to_owned())];
        }
        self.subscribed = true;
        Vec::new()
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        if !self.subscribed || view.now < self.next_at {
            return Vec::new();
        }
        self.next_at = view.now + REPLAY_INTERVAL;
        self.frames.iter().map(|body| Step::Data { symbol: String::new(), body: body.clone() }).collect()
    }
}
