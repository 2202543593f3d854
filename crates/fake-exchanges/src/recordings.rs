//! Recorded payloads, served from files at the paths and streams where they were recorded.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use super::fake_venue::FakeVenue;
use super::fault_view::FaultView;
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

    /// Returns the response recorded for a path, or a 404 if it has none; `None` for a path that is never recorded.
    pub fn rest(&self, served: &dyn FakeVenue, path: &str) -> Option<FakeResponse> {
        let (_, name) = served.payloads().recordings.iter().find(|(prefix, _)| path.starts_with(prefix))?;
        Some(match self.first(served.listing().venue, name) {
            Some(body) => FakeResponse::json(200, body),
            None => FakeResponse::json(404, r#"{"error":{"name":404,"message":"not recorded"}}"#),
        })
    }

    /// Returns a session that answers like `session`, and repeats the venue's `ws-ticker*` files in place of its data.
    pub fn session(&self, venue: &str, session: Box<dyn Session>) -> Box<dyn Session> {
        let of_venue = self.0.iter().filter(|((at, name), _)| at == venue && name.starts_with("ws-ticker"));
        let frames = of_venue.map(|(_, text)| text.clone()).collect();
        Box::new(Replay { frames, session, is_subscribed: false, next_at: 0 })
    }

    /// Returns the file of that name, or else the first whose name continues it after a hyphen.
    fn first(&self, venue: &str, name: &str) -> Option<&str> {
        let exact = self.0.get(&(venue.to_owned(), name.to_owned()));
        let longer = || self.0.iter().find(|((at, file), _)| at == venue && file.starts_with(&format!("{name}-")));
        exact.or_else(|| longer().map(|(_, text)| text)).map(String::as_str)
    }
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

struct Replay {
    frames: Vec<String>,
    session: Box<dyn Session>,
    /// Whether the client has sent a frame, or the session data.
    is_subscribed: bool,
    next_at: i64,
}

impl Replay {
    /// Returns the steps without data.
    fn without_data(&mut self, mut steps: Vec<Step>) -> Vec<Step> {
        let count = steps.len();
        steps.retain(|step| !matches!(step, Step::Data { .. }));
        self.is_subscribed |= steps.len() < count;
        steps
    }
}

impl Session for Replay {
    fn encoding(&self) -> FrameEncoding {
        self.session.encoding()
    }

    fn open(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        self.session.open(view)
    }

    fn receive(&mut self, text: &str, view: &FaultView<'_>) -> Vec<Step> {
        self.is_subscribed = true;
        let steps = self.session.receive(text, view);
        self.without_data(steps)
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        let steps = self.session.poll(view);
        let mut steps = self.without_data(steps);
        if self.is_subscribed && view.now >= self.next_at {
            self.next_at = view.now + REPLAY_INTERVAL;
            let data = |body: &String| Step::Data { symbol: String::new(), body: body.clone() };
            steps.extend(self.frames.iter().map(data));
        }
        steps
    }

    fn end_announcement(&self, view: &FaultView<'_>) -> Option<Step> {
        self.session.end_announcement(view)
    }
}
