//! What a venue's lists say of one market: that it is there, that it does not trade, that it is gone.
//!
//! A name that was gone and is back may stand for another coin, or for the
//! same one in other units. So its return begins a new listing.

use jiff::{SignedDuration, Timestamp};

use crate::domain::{Listing, ListingRecord};

/// A market is gone when so many lists in a row lack it: one list may be a bad one.
const MISSED_MAX: u32 = 2;

/// A halt of this length may end in another coin under the same name: some venues never take a name off their list.
const HALT_MAX: SignedDuration = SignedDuration::from_hours(24);

/// The present listing of a market.
#[derive(Debug, Default)]
pub struct Presence {
    said: Said,
    record: ListingRecord,
    missed: u32,
    unrecorded: bool,
}

#[derive(Debug, Default)]
enum Said {
    #[default]
    Nothing,
    Listed(Listing),
    Absent,
}

/// What a list says of one market.
#[derive(Debug)]
pub enum Word {
    /// It has it.
    Listed(Listing),
    /// It has a row that can't be read.
    Unreadable,
    /// It lacks it.
    Missing,
}

impl Presence {
    /// Takes in what another life of the process knew, as far as no list has said otherwise since.
    pub fn restore(&mut self, record: ListingRecord) {
        if matches!(self.said, Said::Nothing) {
            self.said = if record.gone_since.is_some() { Said::Absent } else { Said::Nothing };
            self.record = record;
        }
        self.record.since = self.record.since.max(record.since);
    }

    /// Takes in a list, made `there` by the venue's clock; returns whether another listing has begun.
    ///
    /// `known` is whether the market was ever seen to trade: one that never was is not there at the first word.
    pub fn take(&mut self, word: Word, known: bool, there: Timestamp) -> bool {
        let before = self.record;
        let anew = match word {
            Word::Listed(listing) => self.listed(listing, there),
            Word::Unreadable => false,
            Word::Missing => {
                self.missed = self.missed.saturating_add(1);
                if self.missed >= MISSED_MAX || (!known && !matches!(self.said, Said::Listed(_))) {
                    self.said = Said::Absent;
                    self.record.gone_since.get_or_insert(there);
                }
                false
            }
        };
        self.unrecorded |= self.record != before;
        anew
    }

    fn listed(&mut self, listing: Listing, there: Timestamp) -> bool {
        let halt = self.record.halted_since.map(|since| there.duration_since(since));
        let long_halt = !listing.halted && halt.is_some_and(|halt| halt >= HALT_MAX);
        let anew = self.record.gone_since.take().is_some() || long_halt;
        if anew {
            self.record = ListingRecord { since: Some(there), ..ListingRecord::default() };
        }
        self.record.halted_since = listing.halted.then(|| self.record.halted_since.unwrap_or(there));
        self.said = Said::Listed(listing);
        self.missed = 0;
        anew
    }

    /// Returns what the newest list that has it says.
    pub fn listing(&self) -> Option<&Listing> {
        match &self.said {
            Said::Listed(listing) => Some(listing),
            Said::Nothing | Said::Absent => None,
        }
    }

    /// Returns whether the market is not there.
    pub fn is_gone(&self) -> bool {
        matches!(self.said, Said::Absent)
    }

    /// Returns when the present listing was first seen, if there was another before it.
    pub fn since(&self) -> Option<Timestamp> {
        self.record.since
    }

    /// Has [`Self::take_unrecorded`] return what is known, if anything is.
    pub fn record_all(&mut self) {
        self.unrecorded |= self.record != ListingRecord::default();
    }

    /// Returns what is to outlive the process, if it has changed.
    pub fn take_unrecorded(&mut self) -> Option<ListingRecord> {
        std::mem::take(&mut self.unrecorded).then_some(self.record)
    }
}
