//! What may be shown: the fake exchanges know every trade.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::Value;
use sisepan::clock::Clock;
use sisepan::fake::Fake;

/// A live price may be this old: the exchange's limit of 15 s, and what a busy machine takes on the way.
const LIVE_MAX: SignedDuration = SignedDuration::from_secs(25);

/// The clock of an exchange may be ahead by so much and still be believed: the greatest such skew of the storm, and the way.
const AHEAD_MAX: SignedDuration = SignedDuration::from_secs(2);

/// An exchange that says something else than its trades may be believed for this long after it has stopped.
const SAID_FOR: SignedDuration = SignedDuration::from_secs(60);

/// Findings that are kept in full.
const KEPT: usize = 50;

/// What was looked at, and what was wrong.
#[derive(Default)]
pub struct Findings {
    rows: AtomicU64,
    live: AtomicU64,
    changes: AtomicU64,
    frames: AtomicU64,
    reasons: AtomicU64,
    wrong: AtomicU64,
    kept: Mutex<Vec<String>>,
}

impl Findings {
    pub fn wrong(&self, what: String) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().unwrap();
        if kept.len() < KEPT {
            println!("WRONG: {what}");
            kept.push(what);
        }
    }

    pub fn frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    pub fn reason(&self) {
        self.reasons.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    pub fn list(&self) -> Vec<String> {
        self.kept.lock().unwrap().clone()
    }

    pub fn line(&self) -> String {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        format!(
            "{} frames, {} rows ({} live, {} with a change), {} gaps with a reason, {} wrong",
            of(&self.frames),
            of(&self.rows),
            of(&self.live),
            of(&self.changes),
            of(&self.reasons),
            of(&self.wrong)
        )
    }
}

/// Judges rows.
pub struct Oracle {
    fake: Arc<Fake>,
    clock: Clock,
    pub findings: Arc<Findings>,
    /// By what a market's prices are multiplied on purpose, and until when that may be shown.
    said: Mutex<BTreeMap<(String, String), (Decimal, Timestamp)>>,
}

impl Oracle {
    pub fn new(fake: Arc<Fake>, clock: Clock, findings: Arc<Findings>) -> Self {
        Self { fake, clock, findings, said: Mutex::default() }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An exchange says `factor` times a market's price, for `lasts`.
    pub fn says(&self, venue: &str, market: &str, factor: Decimal, lasts: Duration) {
        let until = self.now() + SignedDuration::try_from(lasts).unwrap() + SAID_FOR;
        self.said.lock().unwrap().insert((venue.to_owned(), market.to_owned()), (factor, until));
    }

    /// Judges a whole row as it is shown now, `shown` at that time at the latest.
    pub fn check(&self, row: &Value, venue: &str) {
        let findings = &self.findings;
        findings.rows.fetch_add(1, Ordering::Relaxed);
        findings.changes.fetch_add(u64::from(row["change"].is_object()), Ordering::Relaxed);
        if !matches!(row["state"].as_str(), Some("live" | "delayed")) {
            return;
        }
        findings.live.fetch_add(1, Ordering::Relaxed);
        let (Some(market), Some(last)) = (row["market"].as_str(), row["last"].as_str()) else {
            return findings.wrong(format!("{venue}: a live row without market or price: {row}"));
        };
        let Ok(last) = last.parse::<Decimal>() else {
            return findings.wrong(format!("{venue}: {last} is no price: {row}"));
        };
        if !self.is_of_now(venue, market, last) {
            let newest = self.fake.trade_before(venue, market, self.now());
            findings.wrong(format!("{venue} {market}: {last} is shown as live, the last trade was {newest:?}: {row}"));
        }
    }

    /// Whether the exchange had this price within the last seconds.
    fn is_of_now(&self, venue: &str, market: &str, last: Decimal) -> bool {
        let now = self.now();
        let said = self.said.lock().unwrap().get(&(venue.to_owned(), market.to_owned())).copied();
        let factor = said.filter(|(_, until)| now < *until).map(|(factor, _)| factor);
        let mut at = now + AHEAD_MAX;
        while let Some((traded_at, price)) = self.fake.trade_before(venue, market, at) {
            // Of several trades in one millisecond each was the last one for a moment.
            let is_one_of_them = || self.fake.prices_at(venue, market, traded_at).contains(&last);
            if is_one_of_them() || factor.is_some_and(|factor| is_near(price * factor, last)) {
                return true;
            }
            if traded_at < now - LIVE_MAX {
                break;
            }
            at = traded_at;
        }
        false
    }
}

/// A multiplied price is rounded to the exchange's step.
fn is_near(one: Decimal, other: Decimal) -> bool {
    (one - other).abs() * Decimal::ONE_HUNDRED <= one.abs()
}
