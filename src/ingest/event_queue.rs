//! Conflating queue of events to the board: a slow board never blocks a reader.
//!
//! Events pass straight through while the channel has room. When it is full,
//! the newest ticker of each market and minute is queued until there is room
//! again: a price replaces an older one, but the last price of a minute is
//! that minute's close and is kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::feed::Event;
use crate::market::{Market, Minute};

/// Minutes queued per market while the board is not receiving; older ones are left to backfill.
const MINUTES_QUEUED_MAX: i64 = 10;

/// Event queue to the board.
#[derive(Debug)]
pub struct EventQueue {
    events: mpsc::Sender<Event>,
    /// Locked for a map operation only.
    queued: Mutex<Queued>,
    has_queued: Notify,
}

/// Key of a queued event. Its order is the order of sending: venue clock, listings, tickers, health.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Clock,
    Listings,
    Ticker(Market, Minute),
    Health,
}

#[derive(Debug, Default)]
struct Queued {
    events: BTreeMap<Key, Event>,
    /// Whether an event has left the map but is not sent yet; no other may overtake it.
    in_flight: bool,
}

impl EventQueue {
    pub fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, queued: Mutex::default(), has_queued: Notify::new() }
    }

    /// Sends an event or, if there is no room, queues it in place of an older one of its kind. Never waits.
    ///
    /// Tick sizes are not queued but dropped: they are sent again after the next market list.
    pub fn push(&self, event: Event) {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        let event = if queued.events.is_empty() && !queued.in_flight {
            match self.events.try_send(event) {
                Ok(()) | Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(event)) => event,
            }
        } else {
            event
        };
        let Some(key) = key(&event) else { return };
        if let Key::Ticker(market, minute) = &key {
            let expired = Key::Ticker(market.clone(), minute.plus(-MINUTES_QUEUED_MAX));
            let oldest = Key::Ticker(market.clone(), Minute(i64::MIN));
            let old: Vec<_> = queued.events.range(oldest..=expired).map(|(key, _)| key.clone()).collect();
            for key in old {
                queued.events.remove(&key);
            }
        }
        queued.events.insert(key, event);
        self.has_queued.notify_one();
    }

    /// Sends an event that no newer one may replace, waiting for room. It may overtake queued events.
    pub async fn send(&self, event: Event) {
        // An error means that the board is gone and the process is about to end.
        let _ = self.events.send(event).await;
    }

    /// Sends queued events as room becomes available; returns only when the board is gone.
    pub async fn flush(&self) {
        loop {
            self.has_queued.notified().await;
            while let Some(event) = self.pop() {
                let sent = self.events.send(event).await;
                self.queued.lock().unwrap_or_else(PoisonError::into_inner).in_flight = false;
                if sent.is_err() {
                    return;
                }
            }
        }
    }

    fn pop(&self) -> Option<Event> {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, event) = queued.events.pop_first()?;
        queued.in_flight = true;
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
