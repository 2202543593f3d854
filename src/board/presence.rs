//! What a venue's lists say of one market: that it is there, that it does not trade, that it is gone.
//!
//! A name that was gone and is back may stand for another coin, or for the
//! same one in other units. After a long absence its return begins a new
//! listing; after a short one its first trades decide ([`Feed`](super::feed::Feed)).

use jiff::{SignedDuration, Timestamp};

use crate::domain::{Listing, ListingRecord, shifted};

/// A market is gone when so many lists in a row lack it: one list may be a bad one.
const MISSED_MAX: u32 = 2;

/// An absence of this length may end in another coin under the same name, whatever its price is.
const ABSENCE_MAX: SignedDuration = SignedDuration::from_hours(6);

/// A trade so long before a new listing was first seen may belong to it: lists are some time apart.
const NOTICED_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// A halt of this length may end in another coin under the same name: some venues never take a name off their list.
const HALT_MAX: SignedDuration = SignedDuration::from_hours(24);

/// The present listing of a market.
#[derive(Debug, Default)]
pub struct Presence {
    said: Said,
    record: ListingRecord,
    missed: u32,
    /// When it came back from an absence and how long that was, while it is not known yet whether it is the same listing.
    returned: Option<(Timestamp, SignedDuration)>,
    /// Since when the market did not trade before it came back the last time, if that was in this life of the process.
    away_since: Option<Timestamp>,
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
    /// It has a row that can't be read, or lacks a market that goes on trading: the market is there.
    Unreadable,
    /// It lacks it.
    Missing,
}

/// What a list changes.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing, or the market is gone.
    None,
    /// The market is back after a short absence.
    Back,
    /// Another listing has begun, for this reason.
    Anew(String),
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

    /// Takes in a list, made `there` by the venue's clock.
    ///
    /// `known` is whether the market was ever seen to trade: one that never was is not there at the first word.
    pub fn take(&mut self, word: Word, known: bool, there: Timestamp) -> Turn {
        let before = self.record;
        let turn = match word {
            Word::Listed(listing) => self.listed(listing, there),
            Word::Unreadable => self.come_back(there),
            Word::Missing => {
                self.missed = self.missed.saturating_add(1);
                if self.missed >= MISSED_MAX || (!known && !matches!(self.said, Said::Listed(_))) {
                    self.said = Said::Absent;
                    if self.returned.take().is_some() {
                        self.record.gone_since = None;
                    }
                    self.record.gone_since.get_or_insert(there);
                }
                Turn::None
            }
        };
        self.unrecorded |= self.record != before;
        turn
    }

    fn listed(&mut self, listing: Listing, there: Timestamp) -> Turn {
        let halt = self.record.halted_since.map(|since| there.duration_since(since));
        let long_halt = halt.filter(|&halt| !listing.halted && halt >= HALT_MAX);
        let turn = match (self.come_back(there), long_halt) {
            (Turn::None | Turn::Back, Some(halt)) => {
                self.away_since = self.record.halted_since;
                self.begin(there);
                Turn::Anew(format!("it was halted for {} h", halt.as_hours()))
            }
            (turn, _) => turn,
        };
        self.record.halted_since = listing.halted.then(|| self.record.halted_since.unwrap_or(there));
        self.said = Said::Listed(listing);
        turn
    }

    /// The market is there: it may have been gone.
    fn come_back(&mut self, there: Timestamp) -> Turn {
        self.missed = 0;
        // What outlives the process is how long it was away: since it is back, time no longer counts.
        if let Some((_, away)) = self.returned {
            self.record.gone_since = Some(shifted(there, -away));
        }
        let Some(gone_since) = self.record.gone_since.filter(|_| self.is_gone()) else { return Turn::None };
        self.said = Said::Nothing;
        self.away_since = Some(gone_since);
        let away = there.duration_since(gone_since);
        if away < ABSENCE_MAX {
            self.returned = Some((there, away));
            return Turn::Back;
        }
        self.begin(there);
        Turn::Anew(format!("it was not listed for {} h", away.as_hours()))
    }

    /// Another listing began `at` this time by the venue's clock.
    pub fn begin(&mut self, at: Timestamp) {
        self.record = ListingRecord { since: Some(at), ..ListingRecord::default() };
        self.returned = None;
        self.unrecorded = true;
    }

    /// The market that is back is the one that was gone.
    pub fn resume(&mut self) {
        self.record.gone_since = None;
        self.returned = None;
        self.unrecorded = true;
    }

    /// Returns when the market came back, while it is not known yet whether it is the same listing.
    pub fn returned(&self) -> Option<Timestamp> {
        self.returned.map(|(at, _)| at)
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

    /// Returns when the present listing was first seen, if there was another before it, or may have been.
    pub fn since(&self) -> Option<Timestamp> {
        self.returned().max(self.record.since)
    }

    /// Returns since when trades may be of the present listing, if there was another before it: it came back between two
    /// lists, so any trade since it was away counts, where that is known.
    pub fn trades_since(&self) -> Option<Timestamp> {
        let since = shifted(self.since()?, -NOTICED_AFTER);
        Some(self.away_since.map_or(since, |away| away.min(since)))
    }

    /// Takes in a trade of the present listing; returns whether the listing has begun earlier than was known, with this trade.
    pub fn note_trade(&mut self, at: Timestamp) -> bool {
        let is_earlier = self.record.since.is_some_and(|since| at < since);
        if is_earlier {
            self.record.since = Some(at);
            self.unrecorded = true;
        }
        is_earlier
    }

    /// The same, without a return that is not decided yet.
    pub fn known_since(&self) -> Option<Timestamp> {
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
