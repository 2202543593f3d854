//! Judges which prices may be shown, based on the trades of the fake exchanges.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_exchanges::Fake;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::Value;
use sisepan::clock::Clock;

/// Oldest acceptable live price: the exchange's limit of 15 s plus the delays of a busy machine.
const LIVE_MAX: SignedDuration = SignedDuration::from_secs(25);

/// Farthest that an exchange's clock may be ahead and still be accepted: the largest such skew that is injected,
/// plus latency.
const AHEAD_MAX: SignedDuration = SignedDuration::from_secs(2);

/// How long a falsified price may still be shown after the fault has ended.
const FALSE_PRICE_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// Most findings that are listed and printed.
const FINDINGS_MAX: usize = 50;

/// Counts of what was checked, and the findings.
#[derive(Default)]
pub struct Findings {
    rows: AtomicU64,
    live: AtomicU64,
    changes: AtomicU64,
    frames: AtomicU64,
    reasons: AtomicU64,
    wrong: AtomicU64,
    listed: Mutex<Vec<String>>,
}

impl Findings {
    pub fn report(&self, finding: String) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
        let mut listed = self.listed.lock().unwrap();
        if listed.len() < FINDINGS_MAX {
            println!("WRONG: {finding}");
            listed.push(finding);
        }
    }

    pub fn count_frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_reason(&self) {
        self.reasons.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    pub fn list(&self) -> Vec<String> {
        self.listed.lock().unwrap().clone()
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

/// Checks rows against the trades of the fake exchanges.
pub struct Oracle {
    fake: Arc<Fake>,
    clock: Clock,
    pub findings: Arc<Findings>,
    /// Factor by which a fault multiplies a market's prices, and until when such prices may be shown.
    factors: Mutex<BTreeMap<(String, String), (Decimal, Timestamp)>>,
}

impl Oracle {
    pub fn new(fake: Arc<Fake>, clock: Clock, findings: Arc<Findings>) -> Self {
        Self { fake, clock, findings, factors: Mutex::default() }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Records that an exchange sends `factor` times a market's price for the duration of a fault.
    pub fn expect_factor(&self, venue: &str, market: &str, factor: Decimal, duration: Duration) {
        let until = self.now() + SignedDuration::try_from(duration).unwrap() + FALSE_PRICE_GRACE;
        self.factors.lock().unwrap().insert((venue.to_owned(), market.to_owned()), (factor, until));
    }

    /// Checks a complete row as it is shown now.
    pub fn check(&self, row: &Value, venue: &str) {
        let findings = &self.findings;
        findings.rows.fetch_add(1, Ordering::Relaxed);
        findings.changes.fetch_add(u64::from(row["change"].is_object()), Ordering::Relaxed);
        if !matches!(row["state"].as_str(), Some("live" | "delayed")) {
            return;
        }
        findings.live.fetch_add(1, Ordering::Relaxed);
        let (Some(market), Some(last)) = (row["market"].as_str(), row["last"].as_str()) else {
            return findings.report(format!("{venue}: a live row without market or price: {row}"));
        };
        let Ok(last) = last.parse::<Decimal>() else {
            return findings.report(format!("{venue}: {last} is not a price: {row}"));
        };
        if !self.is_current(venue, market, last) {
            let newest = self.fake.trade_before(venue, market, self.now());
            findings.report(format!("{venue} {market}: {last} is shown as live, the last trade was {newest:?}: {row}"));
        }
    }

    /// Returns whether this was a price of the exchange within the last seconds.
    fn is_current(&self, venue: &str, market: &str, last: Decimal) -> bool {
        let now = self.now();
        let known = self.factors.lock().unwrap().get(&(venue.to_owned(), market.to_owned())).copied();
        let factor = known.filter(|(_, until)| now < *until).map(|(factor, _)| factor);
        let mut at = now + AHEAD_MAX;
        while let Some((traded_at, price)) = self.fake.trade_before(venue, market, at) {
            // Any of several trades in the same millisecond may have been the last one for a moment.
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

/// Compares with a tolerance of 1 %, since a multiplied price is rounded to the tick size.
fn is_near(one: Decimal, other: Decimal) -> bool {
    (one - other).abs() * Decimal::ONE_HUNDRED <= one.abs()
}
