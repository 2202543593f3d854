//! Price jumps: a price far from the live one before it is held back until a second source confirms it.
//!
//! A single bad record of an exchange must not be shown, and a real jump must be shown soon. So a jump waits
//! for a confirmation: another trade near it, or a response that was requested after it arrived. A trade near
//! the previous price refutes it. No price is held longer than the previous price stays live. A market that
//! has returned to its list has no live price; there, a distant price is held until the next trade.

use std::time::Duration;

use rust_decimal::Decimal;

use crate::feed::Via;
use crate::market::{Now, Price, Ticker, VenueClock};

/// A ticker as it was received.
#[derive(Debug, Clone)]
pub struct ReceivedTicker {
    pub ticker: Ticker,
    pub requested: Now,
    pub received: Now,
    pub via: Via,
    /// The venue's clock, if known; otherwise ours is used.
    pub clock: Option<VenueClock>,
}

/// When a price is held back until a second source confirms it.
#[derive(Debug, Clone, Copy)]
pub struct JumpRule {
    /// Largest step from a live price that needs no confirmation, in percent; `None` disables the check.
    pub max_percent: Option<u32>,
    /// How long a price is live without a confirmation.
    pub stale_after: Duration,
}

/// Returns whether `to` differs from `from` by more than `max_percent` of `from`.
pub fn is_jump(from: Price, to: Price, max_percent: u32) -> bool {
    let (from, to) = (from.get(), to.get());
    let sides = || {
        let distance = to.checked_sub(from)?.abs().checked_mul(Decimal::ONE_HUNDRED)?;
        Some((distance, from.checked_mul(Decimal::from(max_percent))?))
    };
    // Prices with too many digits to be compared exactly count as a jump: they are far apart, or not real prices.
    sides().is_none_or(|(distance, limit)| distance > limit)
}

fn distance(a: Price, b: Price) -> Decimal {
    a.get().max(b.get()).saturating_sub(a.get().min(b.get()))
}

/// A ticker that is held back.
#[derive(Debug)]
pub struct HeldTicker {
    /// The latest ticker at the held price.
    pub latest: ReceivedTicker,
    /// When the first one arrived, by the monotonic clock.
    since: Duration,
}

/// What a later ticker means for a held one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another trade, or a later response, near the held price.
    Confirmed,
    /// Its price is near the previous one again.
    Refuted,
    /// Neither: it is older, or repeats the same trade.
    Undecided,
    /// It has a third price, is newer than the held one, and replaces it.
    Replaced,
}

impl HeldTicker {
    /// Starts to hold a ticker back.
    pub fn new(incoming: ReceivedTicker) -> Self {
        Self { since: incoming.received.monotonic, latest: incoming }
    }

    /// Returns how long a price has been held.
    pub fn held_for(&self, now: Now) -> Duration {
        now.monotonic.saturating_sub(self.since)
    }

    /// Replaces the held ticker with a newer one; the time held continues.
    pub fn replaced_by(self, incoming: ReceivedTicker) -> Self {
        Self { latest: incoming, since: self.since }
    }

    /// Returns whether `next` confirms the held price: it is another trade near it, or a response requested
    /// since.
    pub fn is_confirmed_by(&self, next: &ReceivedTicker, max_percent: u32) -> bool {
        let held = &self.latest.ticker;
        let confirms = match Order::of(held, &next.ticker) {
            Order::Older | Order::Newer => true,
            Order::Same | Order::Unknown => self.is_requested_since(next),
        };
        confirms && !is_jump(held.last, next.ticker.last, max_percent)
    }

    /// Returns whether `next` is a response that was requested after the first held ticker arrived.
    fn is_requested_since(&self, next: &ReceivedTicker) -> bool {
        !matches!(next.via, Via::Stream { .. }) && next.requested.monotonic >= self.since
    }

    /// Replaces the held ticker with `next`, if that is newer or is a response requested since.
    pub fn or_newer(self, next: &ReceivedTicker) -> Self {
        match Order::of(&self.latest.ticker, &next.ticker) {
            Order::Older if !self.is_requested_since(next) => self,
            _ => self.replaced_by(next.clone()),
        }
    }

    /// Compares the held price with the next ticker; `before` is the displayed price, in the unit of the held
    /// one.
    pub fn compare(&self, next: &ReceivedTicker, before: Price, max_percent: u32) -> Verdict {
        let held = &self.latest.ticker;
        let fetched = !matches!(next.via, Via::Stream { .. });
        let requested_since = self.is_requested_since(next);
        let order = Order::of(held, &next.ticker);
        let price = next.ticker.last;
        let near_before = !is_jump(before, price, max_percent);
        let near_held = !is_jump(held.last, price, max_percent);
        if near_held && (!near_before || distance(price, held.last) < distance(price, before)) {
            let confirmed = self.is_confirmed_by(next, max_percent);
            return if confirmed { Verdict::Confirmed } else { Verdict::Undecided };
        }
        // A response from before the jump does not contradict it.
        if order == Order::Older || (order == Order::Unknown && fetched && !requested_since) {
            return Verdict::Undecided;
        }
        if near_before { Verdict::Refuted } else { Verdict::Replaced }
    }
}

/// Whether a ticker's trade is older or newer than a held one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Older,
    Same,
    Newer,
    /// Neither trade is dated or numbered: the messages count in the order in which they arrived.
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
                // An older message does not contradict it.
                Some((held, next)) if next < held => Self::Older,
                _ => Self::Unknown,
            },
        }
    }
}
