//! A price far from the live one before it: held back until something else says the same.
//!
//! One bad record of an exchange must not be shown, and a real jump must be
//! shown soon. So a jump waits for a second witness: another trade near it, or
//! an answer that was asked for after it came. A trade near the former price
//! refutes it. Nothing waits longer than the former price stays live. Of a
//! market that is back on its list there is no live price: there a far one
//! waits until the next trade.

use std::time::Duration;

use rust_decimal::Decimal;

use super::feed::Arrival;
use crate::domain::{Now, Price, Ticker, Via};

/// Returns whether `to` is further from `from` than `max_percent` of it.
pub fn is_jump(from: Price, to: Price, max_percent: u32) -> bool {
    let (from, to) = (from.get(), to.get());
    let sides = || {
        let distance = to.checked_sub(from)?.abs().checked_mul(Decimal::ONE_HUNDRED)?;
        Some((distance, from.checked_mul(Decimal::from(max_percent))?))
    };
    // Prices too wide to be compared are far apart, or of no market.
    sides().is_none_or(|(distance, limit)| distance > limit)
}

fn distance(a: Price, b: Price) -> Decimal {
    a.get().max(b.get()).saturating_sub(a.get().min(b.get()))
}

/// A jump that waits.
#[derive(Debug)]
pub struct Held {
    /// The newest ticker at that price.
    pub arrival: Arrival,
    /// When the first one came, by the monotonic clock.
    since: Duration,
}

/// What a later ticker says of a held one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another trade, or a later answer, near the held price.
    Confirmed,
    /// The market is where it was before.
    Refuted,
    /// Neither: it is older, or the same trade told again.
    Undecided,
    /// A third price, newer than the held one: that one waits now.
    Moved,
}

impl Held {
    /// Begins to wait.
    pub fn new(arrival: Arrival) -> Self {
        Self { since: arrival.received.monotonic, arrival }
    }

    /// Returns how long a price has waited.
    pub fn waits(&self, now: Now) -> Duration {
        now.monotonic.saturating_sub(self.since)
    }

    /// Waits on, with a newer price.
    pub fn moved(self, arrival: Arrival) -> Self {
        Self { arrival, since: self.since }
    }

    /// Whether the next ticker is a second witness: another trade near the held one, or an answer asked for since.
    pub fn is_witnessed_by(&self, next: &Arrival, max_percent: u32) -> bool {
        let held = &self.arrival.ticker;
        let confirms = match Order::of(held, &next.ticker) {
            Order::Older | Order::Newer => true,
            Order::Same | Order::Unknown => self.is_asked_since(next),
        };
        confirms && !is_jump(held.last, next.ticker.last, max_percent)
    }

    /// Whether the next ticker is of an answer that was asked for since the first one of these came.
    fn is_asked_since(&self, next: &Arrival) -> bool {
        !matches!(next.via, Via::Stream { .. }) && next.asked.monotonic >= self.since
    }

    /// Waits on for a witness of the next ticker, if that is newer, or what the venue says when it is asked.
    pub fn or_newer(self, next: &Arrival) -> Self {
        match Order::of(&self.arrival.ticker, &next.ticker) {
            Order::Older if !self.is_asked_since(next) => self,
            _ => self.moved(next.clone()),
        }
    }

    /// Judges the held price by the next ticker; `before` is the price that is shown, in the unit of the held one.
    pub fn judge(&self, next: &Arrival, before: Price, max_percent: u32) -> Verdict {
        let held = &self.arrival.ticker;
        let fetched = !matches!(next.via, Via::Stream { .. });
        let asked_since = self.is_asked_since(next);
        let order = Order::of(held, &next.ticker);
        let price = next.ticker.last;
        let near_before = !is_jump(before, price, max_percent);
        let near_held = !is_jump(held.last, price, max_percent);
        if near_held && (!near_before || distance(price, held.last) < distance(price, before)) {
            let confirmed = self.is_witnessed_by(next, max_percent);
            return if confirmed { Verdict::Confirmed } else { Verdict::Undecided };
        }
        // An answer from before the jump knows nothing of it.
        if order == Order::Older || (order == Order::Unknown && fetched && !asked_since) {
            return Verdict::Undecided;
        }
        if near_before { Verdict::Refuted } else { Verdict::Moved }
    }
}

/// How a ticker's trade lies to a held one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Older,
    Same,
    Newer,
    /// Neither trade is dated or numbered: the messages are in the order in which they came.
    Unknown,
}

impl Order {
    fn of(held: &Ticker, next: &Ticker) -> Self {
        let by = |order: std::cmp::Ordering| match order {
            std::cmp::Ordering::Less => Self::Older,
            std::cmp::Ordering::Equal => Self::Same,
            std::cmp::Ordering::Greater => Self::Newer,
        };
        match (held.trade_id.zip(next.trade_id), held.traded_at.zip(next.traded_at)) {
            (Some((held, next)), _) => by(next.cmp(&held)),
            (None, Some((held, next))) => by(next.cmp(&held)),
            (None, None) => match held.sent_at.zip(next.sent_at) {
                // A message of before is none that refutes it.
                Some((held, next)) if next < held => Self::Older,
                _ => Self::Unknown,
            },
        }
    }
}
