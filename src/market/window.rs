//! The minute closes of one market at one venue over the last day.
//!
//! A window answers one question, "what was the last trade before this minute began?", and answers it only if
//! it knows. So it stores two things: the closes of minutes with trades, and which minutes are *covered*,
//! that is, known to lack no trade. A covered minute without a trade has the close before it; an uncovered
//! one has no answer.
//!
//! The data comes from two sources. Live, each ticker reports the last trade as of its
//! own time ([`Window::observe`]). Later, the venue's own candles settle the minutes with authority
//! ([`Window::settle`]) and replace what was seen live.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use super::minute::{HourRecord, MINUTES_PER_HOUR};
use super::redenomination::power_of_ten;
use super::{Minute, MinuteSet, Price, UnitChanges};

/// Number of minutes kept: a day for every basis, and an hour to settle what was seen live.
pub const KEPT_MINUTES: i64 = 25 * 60;

/// The last trade of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Close {
    minute: Minute,
    /// Trade time; orders live closes within a minute.
    at: Timestamp,
    price: Price,
}

/// Minute closes and coverage of one market at one venue.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// One per minute with a trade, oldest first.
    closes: Vec<Close>,
    /// Minutes whose close is known, or that are known to have had no trade.
    covered: MinuteSet,
    /// The covered minutes for which a candle response has been applied.
    settled: MinuteSet,
    /// The instant up to which live data is complete, unless it was interrupted since.
    known_until: Option<Timestamp>,
    /// The latest `until` of any observation; orders trades of the same instant.
    seen_until: Option<Timestamp>,
    /// The latest trade time of any observation. The closes don't provide it: a settled close has no trade
    /// time.
    traded_at: Option<Timestamp>,
    /// Hours that have changed since they were last recorded.
    unrecorded: BTreeSet<Minute>,
    /// The first minute of the current listing, if the market had another one before: earlier minutes don't
    /// belong to it.
    listing_start: Option<Minute>,
    /// Changes of the price's unit, as configured by the operator.
    units: UnitChanges,
}

/// One live observation of the last trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TradeObservation {
    /// Price of the last trade.
    pub price: Price,
    /// Its trade time, or the earliest time at which it is known to be the last trade.
    pub traded_at: Timestamp,
    /// The latest time at which it is known to have still been the last trade.
    pub until: Timestamp,
    /// Whether no trade can have been missed since the previous observation.
    pub unbroken: bool,
}

impl Window {
    /// Starts the window at `minute`: discards earlier minutes, and ignores them from now on.
    pub fn start_at(&mut self, minute: Minute) {
        self.listing_start = Some(minute);
        self.closes.retain(|close| close.minute >= minute);
        self.covered.remove_before(minute);
        self.settled.remove_before(minute);
    }

    /// Returns the part of `span` that can belong to the current listing.
    pub fn clip_to_listing(&self, span: Range<Minute>) -> Range<Minute> {
        self.listing_start.map_or(span.start, |first| span.start.max(first))..span.end
    }

    /// Marks an interruption: what is observed next is not joined to what was seen live before.
    pub fn interrupt(&mut self) {
        self.known_until = None;
    }

    /// Records what a ticker reports.
    ///
    /// Observations may repeat and may come in any order: a minute keeps its latest trade, and settled
    /// minutes don't change.
    pub fn observe(&mut self, observation: TradeObservation) {
        let until = observation.until.max(observation.traded_at);
        if !observation.unbroken {
            // Also if this observation proves nothing itself (a replayed trade): the next one is continuous
            // with this one, not with the one before.
            self.known_until = None;
        }
        self.record_close(
            Close { minute: Minute::of(observation.traded_at), at: observation.traded_at, price: observation.price },
            until,
        );

        // A newer trade is known, so this one was no longer the last when it came: it proves nothing more.
        let newest = self.traded_at.max(self.closes.last().map(|newest| newest.at));
        if newest.is_some_and(|newest| newest > observation.traded_at) {
            return;
        }
        self.traded_at = Some(observation.traded_at);
        let from = self.known_until.map_or(observation.traded_at, |known| known.min(observation.traded_at));
        // A minute's close is known once the live data reaches past its end; the minute of `until` is still
        // running.
        self.cover(Minute::of(from)..Minute::of(until));
        self.known_until = self.known_until.max(Some(until));
    }

    /// Stores a live trade if it is the latest of its minute and no candle has settled that minute.
    fn record_close(&mut self, close: Close, until: Timestamp) {
        // Of two trades at the same instant, the one that was seen as the last trade later wins.
        let is_newest = self.seen_until.is_none_or(|seen| seen <= until);
        self.seen_until = self.seen_until.max(Some(until));
        let is_former = self.listing_start.is_some_and(|first| close.minute < first);
        if is_former || self.settled.containing(close.minute).is_some() {
            return;
        }
        match self.closes.binary_search_by_key(&close.minute, |c| c.minute) {
            Ok(at) if self.closes[at].at < close.at || (self.closes[at].at == close.at && is_newest) => {
                self.closes[at] = close;
            }
            Ok(_) => {}
            Err(at) => self.closes.insert(at, close),
        }
        if self.covered.containing(close.minute).is_some() {
            self.unrecorded.insert(HourRecord::hour_of(close.minute));
        }
    }

    fn cover(&mut self, span: Range<Minute>) {
        let span = self.clip_to_listing(span);
        if self.covered.containing(span.start).is_some_and(|known| known.end >= span.end) {
            return;
        }
        self.covered.insert(span.clone());
        self.mark_unrecorded(span);
    }

    /// Marks the hours of `span` for recording, as far as they are still kept.
    fn mark_unrecorded(&mut self, span: Range<Minute>) {
        let mut hour = HourRecord::hour_of(span.start).max(HourRecord::hour_of(span.end.plus(-KEPT_MINUTES)));
        while hour < span.end {
            self.unrecorded.insert(hour);
            hour = hour.plus(MINUTES_PER_HOUR);
        }
    }

    /// Applies a candle response that covers every minute of `span`.
    ///
    /// `closes` are the minutes of `span` that had trades, in any order. They replace what was seen live in
    /// `span`. Returns the number of minutes whose known close is corrected; a minute that was seen only in
    /// part had none and does not count.
    pub fn settle(&mut self, span: Range<Minute>, closes: &[(Minute, Price)]) -> usize {
        let span = self.clip_to_listing(span);
        if span.is_empty() {
            return 0;
        }
        let mut settled: Vec<Close> = closes
            .iter()
            .filter(|(minute, _)| span.contains(minute))
            .map(|&(minute, price)| Close { minute, at: minute.start(), price })
            .collect();
        settled.sort_by_key(|close| close.minute);
        settled.dedup_by_key(|close| close.minute);

        let from = self.closes.partition_point(|c| c.minute < span.start);
        let to = self.closes.partition_point(|c| c.minute < span.end);
        let live = &self.closes[from..to];
        let price_in = |set: &[Close], minute: Minute| {
            set.binary_search_by_key(&minute, |c| c.minute).ok().map(|at| set[at].price)
        };
        let is_covered = |close: &&Close| self.covered.containing(close.minute).is_some();
        let overruled =
            live.iter().filter(is_covered).filter(|c| price_in(&settled, c.minute) != Some(c.price)).count()
                + settled.iter().filter(is_covered).filter(|c| price_in(live, c.minute).is_none()).count();

        self.closes.splice(from..to, settled);
        self.covered.insert(span.clone());
        self.settled.insert(span.clone());
        // The records of the hours up to the next trade contain the close they began with.
        let next = self.closes.iter().find(|c| c.minute >= span.end).map(|c| c.minute.plus(1));
        let known = self.covered.containing(span.end.plus(-1)).map(|range| range.end);
        let until = if overruled > 0 { next.or(known).unwrap_or(span.end) } else { span.end };
        self.mark_unrecorded(span.start..until);
        overruled
    }

    /// Returns the price of the last trade before `time` (the start of a minute), or `None` if it is unknown.
    pub fn price_before(&self, time: Timestamp) -> Option<Price> {
        self.last_close_before(Minute::of(time)).map(|(_, price)| price)
    }

    /// Like [`Window::price_before`], converted to the unit of minute `unit`; `None` also if it can't be
    /// represented exactly in it.
    pub fn price_before_in(&self, time: Timestamp, unit: Minute) -> Option<Price> {
        self.last_close_before(Minute::of(time)).and_then(|(minute, price)| self.units.convert(price, minute, unit))
    }

    /// Returns the changes of the price's unit.
    pub fn units(&self) -> &UnitChanges {
        &self.units
    }

    /// Sets the changes of the price's unit. Stored prices are not converted.
    pub fn set_units(&mut self, units: UnitChanges) {
        self.units = units;
    }

    /// Returns the close in effect at the start of `minute`, with the minute of its trade, if known.
    fn last_close_before(&self, minute: Minute) -> Option<(Minute, Price)> {
        let range = self.covered.containing(minute.plus(-1))?;
        let at = self.closes.partition_point(|c| c.minute < minute);
        let close = self.closes.get(at.checked_sub(1)?)?;
        // A gap between the close and `minute` could hide another trade.
        (close.minute >= range.start).then_some((close.minute, close.price))
    }

    /// Returns the lowest and the highest close of the minutes `from..to`; a minute without a trade has the
    /// close before it.
    ///
    /// Returns `None` unless all of them are known, since a gap can hide a higher price. Based on minute
    /// closes, not on every trade.
    pub fn extremes(&self, from: Minute, to: Minute) -> Option<(Price, Price)> {
        if self.covered_until(from)? < to {
            return None;
        }
        let (_, first) = self.last_close_before(from.plus(1)).filter(|_| from < to)?;
        let after = self.closes.partition_point(|c| c.minute <= from);
        let closes = self.closes[after..].iter().take_while(|close| close.minute < to);
        Some(closes.fold((first, first), |(low, high), close| (low.min(close.price), high.max(close.price))))
    }

    /// Returns the jumps by a power of ten, up or down, between consecutive closes: the minute of the later
    /// price, and the exponent.
    ///
    /// The series starts with `base`, the price in effect at the start of `from`, and ends with `last`, both
    /// in the unit of minute `unit`. No market makes such jumps. Changes of unit and moves of the market that
    /// the operator has configured are not included.
    pub fn jumps(&self, from: Minute, base: Price, last: Price, unit: Minute) -> Vec<(Minute, i32)> {
        let after = self.closes.partition_point(|c| c.minute < from);
        let closes = self.closes[after..].iter();
        let closes = closes.filter_map(|c| Some((c.minute, self.units.convert(c.price, c.minute, unit)?)));
        let steps = closes.chain([(unit, last)]).scan((from, base), |before, (minute, price)| {
            let (previous, previous_price) = std::mem::replace(before, (minute, price));
            let declared = self.units.is_market_move(previous, minute);
            Some((minute, if declared { 0 } else { power_of_ten(previous_price, price) }))
        });
        steps.filter(|(_, power)| *power != 0).collect()
    }

    /// Returns the end of the covered range that contains `minute`; `None` if `minute` is not covered.
    pub fn covered_until(&self, minute: Minute) -> Option<Minute> {
        self.covered.containing(minute).map(|known| known.end)
    }

    /// Marks every hour for recording: what was recorded before is lost.
    pub fn mark_all_unrecorded(&mut self) {
        let ends = self.covered.iter().next().zip(self.covered.iter().last());
        if let Some((first, last)) = ends.map(|(first, last)| (first.start, last.end)) {
            self.mark_unrecorded(first..last);
        }
    }

    /// Returns a record of each hour that has changed since the last call.
    pub fn take_unrecorded(&mut self) -> Vec<HourRecord> {
        std::mem::take(&mut self.unrecorded).into_iter().map(|hour| self.hour_record(hour)).collect()
    }

    /// Returns the record of the hour that begins at `hour`.
    pub fn hour_record(&self, hour: Minute) -> HourRecord {
        let bits = |set: &MinuteSet| {
            let minutes = (0..MINUTES_PER_HOUR).filter(|&n| set.containing(hour.plus(n)).is_some());
            minutes.fold(0u64, |bits, n| bits | 1 << n)
        };
        let from = self.closes.partition_point(|c| c.minute < hour);
        let to = self.closes.partition_point(|c| c.minute < hour.plus(MINUTES_PER_HOUR));
        let known = self.closes[from..to].iter().filter(|c| self.covered.containing(c.minute).is_some());
        HourRecord {
            hour,
            closes: known.map(|c| (c.minute, c.at, c.price)).collect(),
            covered: bits(&self.covered),
            settled: bits(&self.settled),
            close_before: self.last_close_before(hour),
        }
    }

    /// Restores records of hours, in any order; later live data is not joined to them.
    ///
    /// Data that the window already has takes precedence.
    pub fn restore(&mut self, records: &[HourRecord]) {
        for record in records {
            let record = &self.hour_record(record.hour).merged(record);
            for n in 0..MINUTES_PER_HOUR {
                let minute = record.hour.plus(n);
                if record.is_set(record.covered, minute) {
                    self.covered.insert(minute..minute.plus(1));
                }
                if record.is_set(record.settled, minute) {
                    self.settled.insert(minute..minute.plus(1));
                }
            }
            for &(minute, at, price) in &record.closes {
                self.insert_close(Close { minute, at, price });
            }
        }
        records.iter().for_each(|record| self.restore_close_before(record));
        if let Some(first) = self.listing_start {
            self.start_at(first);
        }
    }

    /// Restores the close before an hour, unless the records of earlier hours have better data.
    fn restore_close_before(&mut self, record: &HourRecord) {
        let Some((minute, price)) = record.close_before else { return };
        let from = self.closes.partition_point(|c| c.minute < minute);
        let to = self.closes.partition_point(|c| c.minute < record.hour);
        match self.closes.get(from..to) {
            Some([]) if self.covered.containing(minute).is_none() => {
                // The exact trade time is lost; the end of its minute is safe, since the minute had no later
                // trade.
                let at = minute.end().checked_sub(SignedDuration::from_nanos(1)).unwrap_or(minute.start());
                self.insert_close(Close { minute, at, price });
            }
            Some([same]) if same.minute == minute && same.price == price => {}
            _ => return,
        }
        self.covered.insert(minute..record.hour);
    }

    /// Records that there was a trade at `at`: an older one that arrives later was not the last.
    pub fn note_trade_time(&mut self, at: Timestamp) {
        self.traded_at = self.traded_at.max(Some(at));
    }

    fn insert_close(&mut self, close: Close) {
        match self.closes.binary_search_by_key(&close.minute, |c| c.minute) {
            Ok(at) => self.closes[at] = close,
            Err(at) => self.closes.insert(at, close),
        }
    }

    /// Returns the parts of `span` whose closes are unknown, oldest first.
    pub fn missing(&self, span: Range<Minute>) -> Vec<Range<Minute>> {
        self.covered.missing(self.clip_to_listing(span))
    }

    /// Returns the parts of `span` for which no candle response has been applied, oldest first.
    pub fn unsettled(&self, span: Range<Minute>) -> Vec<Range<Minute>> {
        self.settled.missing(self.clip_to_listing(span))
    }

    /// Removes data from before the last [`KEPT_MINUTES`], except the close that is still in effect in a
    /// quiet market.
    pub fn prune(&mut self, now: Timestamp) {
        let cutoff = Minute::of(now).plus(-KEPT_MINUTES);
        let newer = self.closes.partition_point(|c| c.minute <= cutoff);
        let keep_from = match self.closes.get(newer.wrapping_sub(1)) {
            Some(last) if self.covered.containing(cutoff).is_some_and(|r| r.start <= last.minute) => {
                self.closes[newer - 1].minute
            }
            _ => cutoff,
        };
        let obsolete = self.closes.partition_point(|c| c.minute < keep_from);
        self.closes.drain(..obsolete);
        self.covered.remove_before(keep_from);
        self.settled.remove_before(keep_from);
    }

    /// Returns the number of minutes with a trade.
    pub fn len(&self) -> usize {
        self.closes.len()
    }

    /// Returns whether there is no minute with a trade.
    pub fn is_empty(&self) -> bool {
        self.closes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Price {
        Price::new(text.parse().unwrap()).unwrap()
    }

    fn hour(hour: i64, closes: Vec<(Minute, Timestamp, Price)>, before: Option<(Minute, Price)>) -> HourRecord {
        let covered = (1 << MINUTES_PER_HOUR) - 1;
        HourRecord { hour: Minute(hour), closes, covered, settled: 0, close_before: before }
    }

    fn restored(records: &[HourRecord]) -> Window {
        let mut window = Window::default();
        window.restore(records);
        window
    }

    #[test]
    fn a_trade_repeated_after_a_restart_does_not_replace_the_last_of_its_minute() {
        let last = Minute(119);
        let at = last.start() + SignedDuration::from_secs(59);
        let first = hour(60, vec![(last, at, price("335"))], None);
        let second = hour(120, vec![], Some((last, price("335"))));
        let orders = [vec![first.clone(), second.clone()], vec![second.clone(), first], vec![second]];
        for records in orders {
            let mut window = restored(&records);
            let traded_at = last.start() + SignedDuration::from_secs(7);
            window.observe(TradeObservation { price: price("336"), traded_at, until: traded_at, unbroken: false });
            assert_eq!(window.price_before(last.end()), Some(price("335")), "{records:?}");
        }
    }

    #[test]
    fn the_record_of_an_hour_takes_precedence_over_the_close_stored_in_the_next_one() {
        let last = Minute(119);
        let first = hour(60, vec![(last, last.start(), price("335"))], None);
        let second = hour(120, vec![], Some((last, price("336"))));
        let window = restored(&[first, second]);
        assert_eq!(window.price_before(last.end()), Some(price("335")));
    }

    #[test]
    fn a_candle_that_corrects_the_last_trade_of_an_hour_has_the_next_hours_recorded_again() {
        let mut window = restored(&[hour(60, vec![(Minute(119), Minute(119).start(), price("335"))], None)]);
        window.cover(Minute(120)..Minute(250));
        window.take_unrecorded();
        window.settle(Minute(119)..Minute(120), &[(Minute(119), price("340"))]);
        let written = window.take_unrecorded();
        let before: Vec<_> = written.iter().map(|record| (record.hour.0, record.close_before)).collect();
        let in_effect = Some((Minute(119), price("340")));
        assert_eq!(before, [(60, None), (120, in_effect), (180, in_effect), (240, in_effect)]);
    }
}
