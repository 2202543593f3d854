//! Bodies from memory: rendered once a change and variant, compressed once, for however many ask.
//!
//! ```text
//!  request ─▶ again ── hit: the answer, no routing, no parsing
//!               │ miss
//!               ▼
//!  router ─▶ handler ─▶ get(key, life, make) ── fresh: the body │ else: one makes it, the others wait for that one
//! ```
//!
//! A key is what was asked for as it was understood: order, spelling and
//! parameters that mean nothing make no second body. Bounded, the longest
//! unused goes first.

mod body;
mod coding;

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use axum::response::Response;
use bytes::Bytes;

use super::AppState;

pub use body::{Body, is_known, tag, tag_of};
pub use coding::{Effort, thousandths};

/// Most bodies kept.
const KEPT_MAX: usize = 256;

/// Most requests, spelt out, whose body is known without looking into them.
const SPELLINGS_MAX: usize = 1024;

/// Longest such request, in bytes.
const SPELLING_BYTES_MAX: usize = 1280;

/// How long a body is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Until something is published.
    Change,
    /// The same, and at most until the second ends: it says ages or the time.
    Second,
}

/// The bodies of one server.
#[derive(Debug, Default)]
pub struct Bodies {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    /// Requests as they were spelt, by their hash, with the slot that answered them.
    spellings: Mutex<HashMap<u64, (Spelling, Weak<Slot>)>>,
    hasher: RandomState,
    /// Counts uses, so that the longest unused slot is known.
    uses: AtomicU64,
    made: AtomicU64,
}

/// The place of one variant.
#[derive(Debug)]
struct Slot {
    life: Life,
    used: AtomicU64,
    newest: Mutex<Option<(Stamp, Arc<Body>)>>,
}

/// What must be as it was for a body to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    version: u64,
    second: i64,
}

/// A request with all that the answer depends on, as it was spelt.
#[derive(Debug, PartialEq, Eq)]
pub struct Spelling {
    target: Box<str>,
    language: Option<HeaderValue>,
}

/// Says in an answer's extensions which slot it came from.
#[derive(Debug, Clone)]
pub struct Kept(Arc<Slot>);

impl Bodies {
    /// Answers with the body of `key`, made anew where the one that is kept is no longer right.
    ///
    /// `make` returns headers and bytes. While one caller makes it, others of the same key wait.
    ///
    /// # Errors
    /// That of `make`; nothing is kept then.
    pub fn get<E>(
        &self,
        app: &AppState,
        asked: &HeaderMap,
        key: String,
        life: Life,
        make: impl FnOnce() -> Result<(HeaderMap, Bytes), E>,
    ) -> Result<Response, E> {
        let slot = self.slot(&key, life);
        let mut newest = slot.newest();
        let stamp = slot.stamp(app);
        let fresh = newest.as_ref().filter(|(of, _)| *of == stamp).map(|(_, body)| body.clone());
        let body = match fresh {
            Some(body) => body,
            None => {
                self.made.fetch_add(1, Ordering::Relaxed);
                let (head, plain) = make().inspect_err(|_| self.forget(&key))?;
                // Often it is the same again: then it is compressed already.
                let same = newest.take().map(|(_, body)| body).filter(|body| body.is(&head, &plain));
                let body = same.unwrap_or_else(|| Arc::new(Body::new(head, plain, Effort::Quick)));
                *newest = Some((stamp, body.clone()));
                body
            }
        };
        drop(newest);
        let mut response = body.answer(asked);
        response.extensions_mut().insert(Kept(slot));
        Ok(response)
    }

    /// Answers a request that is spelt like one before, if its body is still right.
    pub fn again<B>(&self, app: &AppState, request: &Request<B>) -> Option<Response> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let target = request.uri().path_and_query()?.as_str();
        let language = request.headers().get(header::ACCEPT_LANGUAGE);
        let hash = self.hasher.hash_one((target, language));
        let slot = {
            let spellings = self.spellings();
            let (spelling, slot) = spellings.get(&hash)?;
            (*spelling.target == *target && spelling.language.as_ref() == language).then(|| slot.upgrade())??
        };
        let stamp = slot.stamp(app);
        let newest = slot.newest();
        let body = newest.as_ref().filter(|(of, _)| *of == stamp).map(|(_, body)| body.clone())?;
        drop(newest);
        slot.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(body.answer(request.headers()))
    }

    /// Returns how a request is spelt, if it is one that [`Bodies::again`] may answer later.
    pub fn spelling<B>(request: &Request<B>) -> Option<Spelling> {
        let target = request.uri().path_and_query().filter(|_| *request.method() == Method::GET)?.as_str();
        let language = request.headers().get(header::ACCEPT_LANGUAGE).cloned();
        let bytes = target.len() + language.as_ref().map_or(0, HeaderValue::len);
        (bytes <= SPELLING_BYTES_MAX).then(|| Spelling { target: target.into(), language })
    }

    /// Learns which body answers a request that is spelt so.
    pub fn learn(&self, spelling: Spelling, kept: Kept) {
        let hash = self.hasher.hash_one((&*spelling.target, spelling.language.as_ref()));
        let mut spellings = self.spellings();
        if spellings.len() >= SPELLINGS_MAX && !spellings.contains_key(&hash) {
            // It costs each of them one longer way. Who sends ever new ones gains nothing by it.
            spellings.clear();
        }
        spellings.insert(hash, (spelling, Arc::downgrade(&kept.0)));
    }

    /// Returns how many bodies are kept, and how many requests are known by their spelling.
    pub fn kept(&self) -> (usize, usize) {
        (self.slots().len(), self.spellings().len())
    }

    /// Returns how often a body was made.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    fn slot(&self, key: &str, life: Life) -> Arc<Slot> {
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots();
        if let Some(slot) = slots.get(key) {
            slot.used.store(used, Ordering::Relaxed);
            return slot.clone();
        }
        if slots.len() >= KEPT_MAX {
            let longest_unused = slots.iter().min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed));
            if let Some(key) = longest_unused.map(|(key, _)| key.clone()) {
                slots.remove(&key);
            }
        }
        let slot = Arc::new(Slot { life, used: AtomicU64::new(used), newest: Mutex::default() });
        slots.insert(key.to_owned(), slot.clone());
        slot
    }

    fn forget(&self, key: &str) {
        self.slots().remove(key);
    }

    // Both are held for a few lines and never across an await.
    fn slots(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spellings(&self) -> MutexGuard<'_, HashMap<u64, (Spelling, Weak<Slot>)>> {
        self.spellings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn stamp(&self, app: &AppState) -> Stamp {
        let second = match self.life {
            Life::Change => 0,
            Life::Second => app.clock.now().as_second(),
        };
        Stamp { version: app.hub.version(), second }
    }

    // Held while a body is made, which is what makes the others wait; never across an await.
    fn newest(&self) -> MutexGuard<'_, Option<(Stamp, Arc<Body>)>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
