//! Lifecycle of a market's listing: whether its venue lists it, has halted it, or no longer has it.
//!
//! A name that disappeared and returned may stand for another coin, or for the same one in other units. A
//! return after a long absence starts a new listing; after a short one, the first trades decide.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::feed::{Listing, ListingRecord, MISSED_LISTS_MAX};
use crate::market::{Notice, Ticker, shifted};

/// After an absence of this length the name counts as another listing, whatever its price is.
const ABSENCE_MAX: SignedDuration = SignedDuration::from_hours(6);

/// A trade up to this long before a new listing was first seen may belong to it, because lists are fetched
/// some time apart.
const NOTICED_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// After a halt of this length the name counts as another listing: some venues never remove a name from their
/// list.
const HALT_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Tracks the listing of one market.
#[derive(Debug, Default)]
pub struct ListingTracker {
    list_state: ListState,
    record: ListingRecord,
    /// When it returned from an absence and how long that was, while it is undecided whether the listing is
    /// the same.
    returned: Option<(Timestamp, SignedDuration)>,
    /// Whether the newest list that shows it says that its symbol stands for other assets.
    is_other_asset: bool,
    /// Since when the market did not trade before its last return, if this process has seen that.
    away_since: Option<Timestamp>,
    unrecorded: bool,
}

/// What the newest list shows.
#[derive(Debug, Default)]
enum ListState {
    #[default]
    Unknown,
    Listed(Listing),
    Absent,
}

/// What a list shows about one market.
#[derive(Debug)]
pub enum ListingObservation {
    /// The list has it.
    Listed(Listing),
    /// Its row can't be parsed, or the list lacks it although it still trades: the market exists.
    Unreadable,
    /// The list lacks it; so many in a row have, with this one.
    Missing(u32),
    /// Its symbol stands for other assets.
    OtherAsset,
}

/// How a list changes the state of a listing.
#[derive(Debug, PartialEq, Eq)]
pub enum ListingChange {
    /// No change, or the market is gone.
    None,
    /// The market is back after a short absence.
    Returned,
    /// Another listing has begun, for this cause.
    Relisted(String),
}

impl ListingTracker {
    /// Restores the record of a previous run, as far as no list has been observed since.
    pub fn restore(&mut self, record: ListingRecord) {
        if matches!(self.list_state, ListState::Unknown) {
            self.list_state = if record.gone_since.is_some() { ListState::Absent } else { ListState::Unknown };
            self.record = record;
        }
        self.record.since = self.record.since.max(record.since);
    }

    /// Applies the observation of a list that was made at `venue_time`.
    ///
    /// `known` is whether the market was ever seen to trade: if not, a single list that lacks it is enough.
    pub fn observe(&mut self, observation: ListingObservation, known: bool, venue_time: Timestamp) -> ListingChange {
        let before = self.record;
        let change = match observation {
            ListingObservation::Listed(listing) => self.observe_listed(listing, venue_time),
            ListingObservation::Unreadable => self.observe_present(venue_time),
            ListingObservation::Missing(lists) => {
                if lists >= MISSED_LISTS_MAX || (!known && !matches!(self.list_state, ListState::Listed(_))) {
                    self.list_state = ListState::Absent;
                    if self.returned.take().is_some() {
                        self.record.gone_since = None;
                    }
                    self.record.gone_since.get_or_insert(venue_time);
                }
                ListingChange::None
            }
            ListingObservation::OtherAsset if self.is_other_asset => ListingChange::None,
            ListingObservation::OtherAsset => {
                self.is_other_asset = true;
                self.begin_listing(venue_time);
                self.list_state = ListState::Absent;
                // However soon the name returns, also after a restart, it is another listing.
                self.record.gone_since = Some(shifted(venue_time, -ABSENCE_MAX));
                ListingChange::Relisted("its name stands for another asset".to_owned())
            }
        };
        self.unrecorded |= self.record != before;
        change
    }

    fn observe_listed(&mut self, listing: Listing, venue_time: Timestamp) -> ListingChange {
        let halt = self.record.halted_since.map(|since| venue_time.duration_since(since));
        let long_halt = halt.filter(|&halt| !listing.halted && halt >= HALT_MAX);
        let change = match (self.observe_present(venue_time), long_halt) {
            (ListingChange::None | ListingChange::Returned, Some(halt)) => {
                self.away_since = self.record.halted_since;
                self.begin_listing(venue_time);
                ListingChange::Relisted(format!("it was halted for {} h", halt.as_hours()))
            }
            (change, _) => change,
        };
        self.record.halted_since = listing.halted.then(|| self.record.halted_since.unwrap_or(venue_time));
        self.list_state = ListState::Listed(listing);
        change
    }

    /// Applies an observation of an existing market, which may have been gone before.
    fn observe_present(&mut self, venue_time: Timestamp) -> ListingChange {
        // What is recorded is the length of the absence: time since the return does not count.
        if let Some((_, away)) = self.returned {
            self.record.gone_since = Some(shifted(venue_time, -away));
        }
        if std::mem::take(&mut self.is_other_asset) {
            self.list_state = ListState::Unknown;
            self.away_since = None;
            self.begin_listing(venue_time);
            return ListingChange::Relisted("its name stood for another asset".to_owned());
        }
        let Some(gone_since) = self.record.gone_since.filter(|_| self.is_gone()) else { return ListingChange::None };
        self.list_state = ListState::Unknown;
        self.away_since = Some(gone_since);
        let away = venue_time.duration_since(gone_since);
        if away < ABSENCE_MAX {
            self.returned = Some((venue_time, away));
            return ListingChange::Returned;
        }
        self.begin_listing(venue_time);
        ListingChange::Relisted(format!("it was not listed for {} h", away.as_hours()))
    }

    /// Starts another listing at venue time `at`.
    pub fn begin_listing(&mut self, at: Timestamp) {
        self.record = ListingRecord { since: Some(at), ..ListingRecord::default() };
        self.returned = None;
        self.unrecorded = true;
    }

    /// Continues the previous listing: the market that returned is the same.
    pub fn resume(&mut self) {
        self.record.gone_since = None;
        self.returned = None;
        self.unrecorded = true;
    }

    /// Returns when the market returned, while it is undecided whether the listing is the same.
    pub fn returned_at(&self) -> Option<Timestamp> {
        self.returned.map(|(at, _)| at)
    }

    /// Returns the market's row in the newest list that has it.
    pub fn listing(&self) -> Option<&Listing> {
        match &self.list_state {
            ListState::Listed(listing) => Some(listing),
            ListState::Unknown | ListState::Absent => None,
        }
    }

    /// Returns whether the market is no longer listed.
    pub fn is_gone(&self) -> bool {
        matches!(self.list_state, ListState::Absent)
    }

    /// Returns whether the symbol stands for other assets, so that no data under it is the market's.
    pub fn is_other_asset(&self) -> bool {
        self.is_other_asset
    }

    /// Returns when the current listing was first seen, if there was, or may have been, another one before
    /// it.
    pub fn listed_since(&self) -> Option<Timestamp> {
        self.returned_at().max(self.record.since)
    }

    /// Returns the time since which trades can belong to the current listing, if there was another one before
    /// it.
    ///
    /// The market returned between two lists, so every trade since it disappeared counts, if that time is
    /// known.
    pub fn trades_since(&self) -> Option<Timestamp> {
        let since = shifted(self.listed_since()?, -NOTICED_AFTER);
        Some(self.away_since.map_or(since, |away| away.min(since)))
    }

    /// Records a trade of the current listing; returns whether the listing thereby began earlier than known,
    /// with this trade.
    pub fn observe_trade(&mut self, at: Timestamp) -> bool {
        let is_earlier = self.record.since.is_some_and(|since| at < since);
        if is_earlier {
            self.record.since = Some(at);
            self.unrecorded = true;
        }
        is_earlier
    }

    /// Like [`Self::listed_since`], but without a return that is still undecided.
    pub fn decided_since(&self) -> Option<Timestamp> {
        self.record.since
    }

    /// Returns the record.
    pub fn record(&self) -> ListingRecord {
        self.record
    }

    /// Makes [`Self::take_unrecorded`] return the record again, if it is not empty.
    pub fn mark_unrecorded(&mut self) {
        self.unrecorded |= self.record != ListingRecord::default();
    }

    /// Returns the record, if it has changed since the last call.
    pub fn take_unrecorded(&mut self) -> Option<ListingRecord> {
        std::mem::take(&mut self.unrecorded).then_some(self.record)
    }
}

/// The notices about one market that are in force, combined from its venue's list of markets and its tickers.
#[derive(Debug, Default)]
pub struct Notices {
    warning: bool,
    /// What each source last reported about the warning.
    by_list: Option<bool>,
    by_ticker: Option<bool>,
    delisting: Option<Date>,
    cautions: Vec<String>,
    notice: Option<Arc<Notice>>,
}

impl Notices {
    /// Applies a row of the list; values that it does not report stay in effect.
    pub fn apply_listing(&mut self, listing: &Listing) {
        merge_flag(&mut self.warning, &mut self.by_list, listing.warning);
        if let Some(cautions) = &listing.cautions {
            self.cautions.clone_from(cautions);
        }
        self.refresh();
    }

    /// Applies a ticker; values that it does not report stay in effect.
    pub fn apply_ticker(&mut self, ticker: &Ticker) {
        merge_flag(&mut self.warning, &mut self.by_ticker, ticker.warning);
        self.delisting = ticker.delisting.unwrap_or(self.delisting);
        self.refresh();
    }

    /// Returns the notice in force.
    pub fn notice(&self) -> Option<&Arc<Notice>> {
        self.notice.as_ref()
    }

    fn refresh(&mut self) {
        let (warning, delisting, cautions) = (self.warning, self.delisting, &self.cautions);
        let same = self.notice.as_deref().map_or(!warning && delisting.is_none() && cautions.is_empty(), |notice| {
            Notice::of(warning, delisting, cautions).as_ref() == Some(notice)
        });
        if !same {
            self.notice = Notice::of(warning, delisting, cautions).map(Arc::new);
        }
    }
}

/// Merges two sources of one flag: the latest change counts.
///
/// The list is minutes old and the ticker of a quiet market older, so a source that only repeats its value
/// does not override what the other has reported since. The first value of a source can only raise the flag.
fn merge_flag(flag: &mut bool, last: &mut Option<bool>, reported: Option<bool>) {
    let Some(reported) = reported else { return };
    match last.replace(reported) {
        Some(same) if same == reported => {}
        Some(_) => *flag = reported,
        None => *flag |= reported,
    }
}
