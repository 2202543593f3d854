//! Records of the hours of a window, which outlive the process.
//!
//! Each record is self-contained: if one is lost or damaged, only its own contents become unknown, and no
//! other record becomes wrong.

use std::ops::Range;

use jiff::Timestamp;

use super::{Market, Minute, Price, VenueId};

/// Minutes in the record of an hour.
pub const MINUTES_PER_HOUR: i64 = 60;

/// What a window knows about one hour of UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourRecord {
    /// The first minute; a multiple of [`MINUTES_PER_HOUR`].
    pub hour: Minute,
    /// The last trade of each minute that had one: minute, trade time, price. Oldest first.
    pub closes: Vec<(Minute, Timestamp, Price)>,
    /// Bit `n` is set if minute `n` is covered: its close is known, or it is known to have had no trade.
    pub covered: u64,
    /// Bit `n` is set if a candle response covered minute `n`.
    pub settled: u64,
    /// The close in effect at the start of the hour, with its minute, if known: no trade lies in between.
    pub close_before: Option<(Minute, Price)>,
}

impl HourRecord {
    /// Returns the first minute of the hour that contains `minute`.
    pub fn hour_of(minute: Minute) -> Minute {
        Minute(minute.0.div_euclid(MINUTES_PER_HOUR) * MINUTES_PER_HOUR)
    }

    /// Combines this record with an older one of the same hour.
    ///
    /// Where both know a minute, the exchange's candle takes precedence over live data, and then this record
    /// over the older one.
    #[must_use]
    pub fn merged(self, older: &Self) -> Self {
        debug_assert_eq!(self.hour, older.hour);
        let live = self.covered & !self.settled;
        let from_older = older.covered & (!self.covered | (live & older.settled));
        let mut closes: Vec<_> =
            older.closes.iter().filter(|close| older.is_set(from_older, close.0)).copied().collect();
        closes.extend(self.closes.iter().filter(|close| !self.is_set(from_older, close.0)));
        closes.sort_by_key(|close| close.0);
        Self {
            hour: self.hour,
            closes,
            covered: self.covered | older.covered,
            settled: self.settled | (older.settled & from_older),
            close_before: self.close_before.or(older.close_before),
        }
    }

    /// Returns whether the bit of `minute` is set in `bits`; `false` outside this hour.
    pub fn is_set(&self, bits: u64, minute: Minute) -> bool {
        (0..MINUTES_PER_HOUR).contains(&(minute.0 - self.hour.0)) && bits >> (minute.0 - self.hour.0) & 1 == 1
    }
}

/// Source of the hour records of the past.
pub trait HourSource: Send + Sync + std::fmt::Debug {
    /// Returns the records of the hours that overlap `span`, oldest first; hours without data are omitted.
    ///
    /// May block on a disk: do not call it on an async thread.
    ///
    /// # Errors
    /// A message that says what could not be read.
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String>;
}
