//! Payloads from files, served at the paths and streams where they were recorded.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use super::query::Target;
use super::session::{Session, Step};
use super::view::{FakeResponse, View};

/// Largest file taken.
const FILE_MAX: u64 = 8 << 20;

/// Between two rounds of the recorded frames, in ms.
const EVERY: i64 = 1000;

/// The files of each venue, by venue and file name.
#[derive(Debug, Clone, Default)]
pub struct Recorded(BTreeMap<(String, String), String>);

impl Recorded {
    /// Reads `DIR/<venue>/<name>.json`.
    ///
    /// # Errors
    /// If the directory or a file can't be read, or there is none.
    pub fn read(directory: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        let shown = directory.display();
        for venue in std::fs::read_dir(directory).with_context(|| format!("reading the directory {shown}"))? {
            let venue = venue.with_context(|| format!("reading the directory {shown}"))?.path();
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
        anyhow::ensure!(!files.is_empty(), "no recordings (VENUE/NAME.json) in {shown}");
        Ok(Self(files))
    }

    /// Answers a request with the file recorded at its path, or 404.
    pub fn rest(&self, venue: &str, target: &Target) -> FakeResponse {
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

    /// Returns the session that repeats a venue's `ws-ticker*` files once a client has spoken.
    pub fn session(&self, venue: &str, path: &str) -> Box<dyn Session> {
        let of_venue = self.0.iter().filter(|((at, name), _)| at == venue && name.starts_with("ws-ticker"));
        let frames = of_venue.map(|(_, text)| text.clone()).collect();
        let asked = path.contains("@");
        Box::new(Replay { frames, binary: venue != "binance", asked, next_at: 0 })
    }

    /// The file of that name, or else the first that begins so.
    fn first(&self, venue: &str, name: &str) -> Option<&str> {
        let exact = self.0.get(&(venue.to_owned(), name.to_owned()));
        let begun = || self.0.iter().find(|((at, file), _)| at == venue && file.starts_with(&format!("{name}-")));
        (!name.is_empty()).then(|| exact.or_else(|| begun().map(|(_, text)| text)))?.map(String::as_str)
    }
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

struct Replay {
    frames: Vec<String>,
    binary: bool,
    asked: bool,
    next_at: i64,
}

impl Session for Replay {
    fn binary(&self) -> bool {
        self.binary
    }

    fn receive(&mut self, text: &str, _view: &View<'_>) -> Vec<Step> {
        if text.trim() == "PING" {
            return vec![Step::Reply(r#"{"status":"UP"}"#.to_owned())];
        }
        self.asked = true;
        Vec::new()
    }

    fn poll(&mut self, view: &View<'_>) -> Vec<Step> {
        if !self.asked || view.now < self.next_at {
            return Vec::new();
        }
        self.next_at = view.now + EVERY;
        self.frames.iter().map(|body| Step::Data { symbol: String::new(), body: body.clone() }).collect()
    }
}
