//! The way out to the board, which may be slow, without making a reader wait.
//!
//! Events go straight through while there is room. When there is none, the
//! newest ticker of each market and minute is kept and handed over as room
//! comes back: a price replaces the one before it, but the last price of a
//! minute is that minute's close and stays.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::domain::{Event, Market, Minute};

/// Minutes kept of one market while the board does not listen; older ones are left to candles.
const MINUTES_KEPT_MAX: i64 = 10;

/// Sends to the board.
#[derive(Debug)]
pub struct Outbox {
    events: mpsc::Sender<Event>,
    /// Held for a map operation only.
    waiting: Mutex<Waiting>,
    more: Notify,
}

/// In the order of sending: what time it is there, what a market is, then its prices, then how the venue does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Clock,
    Listings,
    Ticker(Market, Minute),
    Health,
}

#[derive(Debug, Default)]
struct Waiting {
    events: BTreeMap<Key, Event>,
    /// Whether one is on its way out of the map; nothing may overtake it.
    leaving: bool,
}

impl Outbox {
    pub fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, waiting: Mutex::default(), more: Notify::new() }
    }

    /// Hands an event over now, or keeps it in place of an older one of its kind. Never waits.
    pub fn push(&self, event: Event) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let event = if waiting.events.is_empty() && !waiting.leaving {
            match self.events.try_send(event) {
                Ok(()) | Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(event)) => event,
            }
        } else {
            event
        };
        let Some(key) = key(&event) else { return };
        if let Key::Ticker(market, minute) = &key {
            let stale = Key::Ticker(market.clone(), minute.plus(-MINUTES_KEPT_MAX));
            let first = Key::Ticker(market.clone(), Minute(i64::MIN));
            let old: Vec<_> = waiting.events.range(first..=stale).map(|(key, _)| key.clone()).collect();
            for key in old {
                waiting.events.remove(&key);
            }
        }
        waiting.events.insert(key, event);
        self.more.notify_one();
    }

    /// Hands over an event that nothing replaces, waiting for room.
    pub async fn send(&self, event: Event) {
        // An error means that the board is gone, and we soon are.
        let _ = self.events.send(event).await;
    }

    /// Hands over what waits, as room comes; ends only when the board is gone.
    pub async fn flush(&self) {
        loop {
            self.more.notified().await;
            while let Some(event) = self.pop() {
                let sent = self.events.send(event).await;
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).leaving = false;
                if sent.is_err() {
                    return;
                }
            }
        }
    }

    fn pop(&self) -> Option<Event> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, event) = waiting.events.pop_first()?;
        waiting.leaving = true;
        Some(event)
    }
}

fn key(event: &Event) -> Option<Key> {
    match event {
        Event::Ticker { market, ticker, received, .. } => {
            let at: Timestamp = ticker.venue_time().unwrap_or(received.wall);
            Some(Key::Ticker(market.clone(), Minute::of(at)))
        }
        Event::Listings { .. } => Some(Key::Listings),
        Event::TickSizes { .. } => None,
        Event::Health(_) => Some(Key::Health),
        Event::Clock { .. } => Some(Key::Clock),
        Event::Settled { .. } => None,
    }
}
