//! The last day of one market at one venue: what it closed at, minute by minute.
//!
//! A window answers one question, "what was the last trade before this
//! minute began?", and answers it only if it knows. It therefore keeps two
//! things: the closes of minutes with trades, and which minutes were
//! *covered*: for which we can say that no trade is missing. A covered minute
//! without a trade takes the close before it; an uncovered one has no answer.
//!
//! Knowledge comes from two sides. Live, each ticker says that the last trade
//! at its time was at its price ([`Window::observe`]). Later, the venue's own
//! candles say so with authority ([`Window::settle`]) and replace what was
//! seen live.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use super::record::{HOUR, HourRecord};
use super::rescale::power_of_ten;
use super::{Minute, Price, Ranges, Units};

/// Minutes kept: a day for every basis, and an hour to settle what was seen live.
pub const KEPT_MINUTES: i64 = 25 * 60;

/// The last trade of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Close {
    minute: Minute,
    /// Time of the trade; orders live closes within a minute.
    at: Timestamp,
    price: Price,
}

/// Minute closes and coverage of one market at one venue.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// One per minute with a trade, oldest first.
    closes: Vec<Close>,
    /// Minutes of which we know the close, or that there was none.
    covered: Ranges,
    /// The covered minutes that a candle answer has spoken for.
    settled: Ranges,
    /// The instant up to which the live knowledge reaches, while nothing broke it since.
    known_until: Option<Timestamp>,
    /// The latest `until` of any sighting; orders trades of one instant.
    seen_until: Option<Timestamp>,
    /// The latest trade of any sighting. The closes do not tell: a settled one has no time of its own.
    traded_at: Option<Timestamp>,
    /// Hours of which more, or something else, is known than was last recorded.
    unrecorded: BTreeSet<Minute>,
    /// The first minute of the market's present listing, if it is known to have had another: none before is its own.
    first: Option<Minute>,
    /// When the unit of the price has changed, as an operator says.
    units: Units,
}

/// One live sighting of the last trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The last trade's price.
    pub price: Price,
    /// The time of that trade, or the earliest time at which it is known to be the last.
    pub traded_at: Timestamp,
    /// The time at which it was still the last trade.
    pub until: Timestamp,
    /// Whether no trade can have gone unseen since the sighting before.
    pub unbroken: bool,
}

impl Window {
    /// Begins at `minute`: what is known of the minutes before is forgotten, and never taken in again.
    pub fn begin(&mut self, minute: Minute) {
        self.first = Some(minute);
        self.closes.retain(|close| close.minute >= minute);
        self.covered.cut_before(minute);
        self.settled.cut_before(minute);
    }

    /// Returns the part of `span` that can belong to the market's present listing.
    pub fn own(&self, span: Range<Minute>) -> Range<Minute> {
        self.first.map_or(span.start, |first| span.start.max(first))..span.end
    }

    /// Notes that nobody was looking for a while: what comes next is not joined to what was seen live before.
    pub fn interrupt(&mut self) {
        self.known_until = None;
    }

    /// Takes in what a ticker says.
    ///
    /// Sightings may repeat and may come in any order: a minute keeps its
    /// latest trade, and settled minutes are left alone.
    pub fn observe(&mut self, seen: Sighting) {
        let until = seen.until.max(seen.traded_at);
        if !seen.unbroken {
            // Also when this sighting proves nothing itself (a replayed trade): what
            // comes next is unbroken since this one, not since the one before.
            self.known_until = None;
        }
        self.note(Close { minute: Minute::of(seen.traded_at), at: seen.traded_at, price: seen.price }, until);

        // A newer trade is known, so this one was not the last any more when it came: it proves nothing further.
        let newest = self.traded_at.max(self.closes.last().map(|newest| newest.at));
        if newest.is_some_and(|newest| newest > seen.traded_at) {
            return;
        }
        self.traded_at = Some(seen.traded_at);
        let from = self.known_until.map_or(seen.traded_at, |known| known.min(seen.traded_at));
        // A minute's close is known once the knowledge reaches past its end; the
        // minute that `until` lies in is still running.
        self.cover(Minute::of(from)..Minute::of(until));
        self.known_until = self.known_until.max(Some(until));
    }

    /// Keeps a trade seen live, if it is its minute's latest and no candle has spoken for that minute.
    fn note(&mut self, close: Close, until: Timestamp) {
        // Of two trades at one instant the one that was seen standing later is the last.
        let is_newest = self.seen_until.is_none_or(|seen| seen <= until);
        self.seen_until = self.seen_until.max(Some(until));
        let former = self.first.is_some_and(|first| close.minute < first);
        if former || self.settled.containing(close.minute).is_some() {
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
            self.unrecorded.insert(HourRecord::of(close.minute));
        }
    }

    fn cover(&mut self, span: Range<Minute>) {
        let span = self.own(span);
        if self.covered.containing(span.start).is_some_and(|known| known.end >= span.end) {
            return;
        }
        self.covered.insert(span.clone());
        self.mark(span);
    }

    /// Notes that the hours of `span` are to be recorded anew, those at least that are still kept.
    fn mark(&mut self, span: Range<Minute>) {
        let mut hour = HourRecord::of(span.start).max(HourRecord::of(span.end.plus(-KEPT_MINUTES)));
        while hour < span.end {
            self.unrecorded.insert(hour);
            hour = hour.plus(HOUR);
        }
    }

    /// Takes in a candle answer that speaks for every minute of `span`.
    ///
    /// `closes` are the minutes of `span` that had trades, any order. What was
    /// seen live in `span` is replaced. Returns in how many minutes that was
    /// another close than we would have answered with: a minute seen only in
    /// part was never claimed and does not count.
    pub fn settle(&mut self, span: Range<Minute>, closes: &[(Minute, Price)]) -> usize {
        let span = self.own(span);
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
        let claimed = |close: &&Close| self.covered.containing(close.minute).is_some();
        let overruled = live.iter().filter(claimed).filter(|c| price_in(&settled, c.minute) != Some(c.price)).count()
            + settled.iter().filter(claimed).filter(|c| price_in(live, c.minute).is_none()).count();

        self.closes.splice(from..to, settled);
        self.covered.insert(span.clone());
        self.settled.insert(span.clone());
        // The hours up to the next trade say which close they began with.
        let next = self.closes.iter().find(|c| c.minute >= span.end).map(|c| c.minute.plus(1));
        let known = self.covered.containing(span.end.plus(-1)).map(|range| range.end);
        let until = if overruled > 0 { next.or(known).unwrap_or(span.end) } else { span.end };
        self.mark(span.start..until);
        overruled
    }

    /// Returns the price of the last trade before `time`, a minute's start,
    /// or `None` where that is not known.
    pub fn price_before(&self, time: Timestamp) -> Option<Price> {
        self.standing(Minute::of(time)).map(|(_, price)| price)
    }

    /// As [`Window::price_before`], in the unit that prices had in `unit`; `None` also where it can't be written exactly.
    pub fn price_before_in(&self, time: Timestamp, unit: Minute) -> Option<Price> {
        self.standing(Minute::of(time)).and_then(|(minute, price)| self.units.bring(price, minute, unit))
    }

    /// Returns when the unit of the price has changed.
    pub fn units(&self) -> &Units {
        &self.units
    }

    /// Says when the unit of the price has changed. What is kept stays as it was said.
    pub fn set_units(&mut self, units: Units) {
        self.units = units;
    }

    /// Returns the close that stands when `minute` begins, with the minute of that trade, where it is known.
    fn standing(&self, minute: Minute) -> Option<(Minute, Price)> {
        let range = self.covered.containing(minute.plus(-1))?;
        let at = self.closes.partition_point(|c| c.minute < minute);
        let close = self.closes.get(at.checked_sub(1)?)?;
        // A hole between the close and the minute could hide another trade.
        (close.minute >= range.start).then_some((close.minute, close.price))
    }

    /// Returns the lowest and the highest close of the minutes `from..to`; a quiet minute has the close before it.
    ///
    /// `None` unless every one of them is known: a hole can hide a higher one. Of minute closes, not of every trade.
    pub fn extremes(&self, from: Minute, to: Minute) -> Option<(Price, Price)> {
        if self.known_from(from)? < to {
            return None;
        }
        let (_, first) = self.standing(from.plus(1)).filter(|_| from < to)?;
        let after = self.closes.partition_point(|c| c.minute <= from);
        let closes = self.closes[after..].iter().take_while(|close| close.minute < to);
        Some(closes.fold((first, first), |(low, high), close| (low.min(close.price), high.max(close.price))))
    }

    /// Returns the jumps by powers of ten that no market makes, up and down, from one close to the next between `base`,
    /// the price that stood when `from` began, and `last`, both in the unit of `unit`: the minute of the later price, and
    /// the power. Neither a change of unit nor a move of the market that an operator has told of is among them.
    pub fn jumps(&self, from: Minute, base: Price, last: Price, unit: Minute) -> Vec<(Minute, i32)> {
        let after = self.closes.partition_point(|c| c.minute < from);
        let closes = self.closes[after..].iter();
        let closes = closes.filter_map(|c| Some((c.minute, self.units.bring(c.price, c.minute, unit)?)));
        let steps = closes.chain([(unit, last)]).scan((from, base), |before, (minute, price)| {
            let (was, former) = std::mem::replace(before, (minute, price));
            let told = self.units.is_move(was, minute);
            Some((minute, if told { 0 } else { power_of_ten(former, price) }))
        });
        steps.filter(|(_, power)| *power != 0).collect()
    }

    /// Returns the end of the minutes that are covered without a break from `minute` on; `None` if it is not itself.
    pub fn known_from(&self, minute: Minute) -> Option<Minute> {
        self.covered.containing(minute).map(|known| known.end)
    }

    /// Has every hour recorded anew: what was recorded is lost.
    pub fn record_all(&mut self) {
        let ends = self.covered.iter().next().zip(self.covered.iter().last());
        if let Some((first, last)) = ends.map(|(first, last)| (first.start, last.end)) {
            self.mark(first..last);
        }
    }

    /// Returns a record of each hour that has changed since the last call.
    pub fn take_unrecorded(&mut self) -> Vec<HourRecord> {
        std::mem::take(&mut self.unrecorded).into_iter().map(|hour| self.record(hour)).collect()
    }

    /// Returns what is known of the hour that begins at `hour`.
    pub fn record(&self, hour: Minute) -> HourRecord {
        let bits = |set: &Ranges| {
            let minutes = (0..HOUR).filter(|&n| set.containing(hour.plus(n)).is_some());
            minutes.fold(0u64, |bits, n| bits | 1 << n)
        };
        let from = self.closes.partition_point(|c| c.minute < hour);
        let to = self.closes.partition_point(|c| c.minute < hour.plus(HOUR));
        let known = self.closes[from..to].iter().filter(|c| self.covered.containing(c.minute).is_some());
        HourRecord {
            hour,
            closes: known.map(|c| (c.minute, c.at, c.price)).collect(),
            covered: bits(&self.covered),
            settled: bits(&self.settled),
            before: self.standing(hour),
        }
    }

    /// Takes in the records of hours, in any order; what comes live after them is not joined to them.
    ///
    /// What the window knows already stands against them.
    pub fn restore(&mut self, records: &[HourRecord]) {
        for record in records {
            let record = &self.record(record.hour).merged(record);
            for n in 0..HOUR {
                let minute = record.hour.plus(n);
                if record.has(record.covered, minute) {
                    self.covered.insert(minute..minute.plus(1));
                }
                if record.has(record.settled, minute) {
                    self.settled.insert(minute..minute.plus(1));
                }
            }
            for &(minute, at, price) in &record.closes {
                self.put_back(Close { minute, at, price });
            }
        }
        records.iter().for_each(|record| self.restore_before(record));
        if let Some(first) = self.first {
            self.begin(first);
        }
    }

    /// Takes in the close before an hour, unless the records of the hours before know it better.
    fn restore_before(&mut self, record: &HourRecord) {
        let Some((minute, price)) = record.before else { return };
        let from = self.closes.partition_point(|c| c.minute < minute);
        let to = self.closes.partition_point(|c| c.minute < record.hour);
        match self.closes.get(from..to) {
            Some([]) if self.covered.containing(minute).is_none() => {
                // The time of that trade is lost, but none of its minute came after it.
                let at = minute.end().checked_sub(SignedDuration::from_nanos(1)).unwrap_or(minute.start());
                self.put_back(Close { minute, at, price });
            }
            Some([same]) if same.minute == minute && same.price == price => {}
            _ => return,
        }
        self.covered.insert(minute..record.hour);
    }

    /// Notes that there was a trade at `at`: an older one that comes after it was not the last.
    pub fn knows_of(&mut self, at: Timestamp) {
        self.traded_at = self.traded_at.max(Some(at));
    }

    fn put_back(&mut self, close: Close) {
        match self.closes.binary_search_by_key(&close.minute, |c| c.minute) {
            Ok(at) => self.closes[at] = close,
            Err(at) => self.closes.insert(at, close),
        }
    }

    /// Returns the parts of `span` whose close is not known, oldest first.
    pub fn missing(&self, span: Range<Minute>) -> Vec<Range<Minute>> {
        self.covered.missing(self.own(span))
    }

    /// Returns the parts of `span` no candle answer has spoken for, oldest first.
    pub fn unsettled(&self, span: Range<Minute>) -> Vec<Range<Minute>> {
        self.settled.missing(self.own(span))
    }

    /// Forgets what is older than [`KEPT_MINUTES`] before `now`, except the
    /// close that a quiet market still stands on.
    pub fn prune(&mut self, now: Timestamp) {
        let border = Minute::of(now).plus(-KEPT_MINUTES);
        let newer = self.closes.partition_point(|c| c.minute <= border);
        let kept = match self.closes.get(newer.wrapping_sub(1)) {
            Some(stands) if self.covered.containing(border).is_some_and(|r| r.start <= stands.minute) => {
                self.closes[newer - 1].minute
            }
            _ => border,
        };
        let gone = self.closes.partition_point(|c| c.minute < kept);
        self.closes.drain(..gone);
        self.covered.cut_before(kept);
        self.settled.cut_before(kept);
    }

    /// Returns how many minutes with a trade are held.
    pub fn len(&self) -> usize {
        self.closes.len()
    }

    /// Returns whether nothing is held.
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
        let covered = (1 << HOUR) - 1;
        HourRecord { hour: Minute(hour), closes, covered, settled: 0, before }
    }

    fn restored(records: &[HourRecord]) -> Window {
        let mut window = Window::default();
        window.restore(records);
        window
    }

    #[test]
    fn a_trade_said_again_after_a_restart_does_not_replace_the_last_of_its_minute() {
        let last = Minute(119);
        let at = last.start() + SignedDuration::from_secs(59);
        let first = hour(60, vec![(last, at, price("335"))], None);
        let second = hour(120, vec![], Some((last, price("335"))));
        let orders = [vec![first.clone(), second.clone()], vec![second.clone(), first], vec![second]];
        for records in orders {
            let mut window = restored(&records);
            let traded_at = last.start() + SignedDuration::from_secs(7);
            window.observe(Sighting { price: price("336"), traded_at, until: traded_at, unbroken: false });
            assert_eq!(window.price_before(last.end()), Some(price("335")), "{records:?}");
        }
    }

    #[test]
    fn the_record_of_an_hour_is_not_overruled_by_what_the_next_one_says_of_it() {
        let last = Minute(119);
        let first = hour(60, vec![(last, last.start(), price("335"))], None);
        let second = hour(120, vec![], Some((last, price("336"))));
        let window = restored(&[first, second]);
        assert_eq!(window.price_before(last.end()), Some(price("335")));
    }

    #[test]
    fn a_candle_that_overrules_the_last_trade_of_an_hour_has_the_next_hours_written_anew() {
        let mut window = restored(&[hour(60, vec![(Minute(119), Minute(119).start(), price("335"))], None)]);
        window.cover(Minute(120)..Minute(250));
        window.take_unrecorded();
        window.settle(Minute(119)..Minute(120), &[(Minute(119), price("340"))]);
        let written = window.take_unrecorded();
        let before: Vec<_> = written.iter().map(|record| (record.hour.0, record.before)).collect();
        let stands = Some((Minute(119), price("340")));
        assert_eq!(before, [(60, None), (120, stands), (180, stands), (240, stands)]);
    }
}
