//! Which tickers of a market are accepted, and what an accepted one changes.

use std::cmp::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::feed::{Feed, Halt, LastTrade, venue_now};
use super::jump::{self, HeldTicker, JumpRule, ReceivedTicker, Verdict};
use crate::feed::{AHEAD_MAX, Implausible, MESSAGE_TIME, Via, check_ticker_times, is_repeated};
use crate::market::window::TradeObservation;
use crate::market::{Minute, Now, Price, State, Ticker, VenueClock, shifted, tick_size};

/// A fetched response counts as of the time of its request, minus this margin for the error of our estimate
/// of the venue's clock.
const FETCH_MARGIN: SignedDuration = SignedDuration::from_secs(2);

/// A response that took longer was delayed, by us or on the way: it confirms the state at the time of its
/// request.
const RESPONSE_DELAY_MAX: Duration = Duration::from_secs(12);

/// A price further than this many percent from the last one, after a short absence of the market, belongs to
/// another coin.
const SAME_COIN_PERCENT: u32 = 20;

/// If trade ids are still lower than before this long after the market returned, the venue has restarted the
/// numbering.
const RENUMBERED_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// A trade ends a halt if it is later than the message that reported the halt by more than this, because a
/// venue's own clocks may differ by as much.
const HALT_MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// If the first message of a session was in transit for longer than this, it may be a repetition from before
/// the session.
const FIRST_LAG_MAX: SignedDuration = SignedDuration::from_secs(2);

/// Old messages and nothing else for this long are more than the beginning of a connection.
const LATE_COUNTED_AFTER: Duration = Duration::from_secs(5);

/// A fetched response may be an outdated copy with an older trade; one that is repeated for this long is not.
const OLDER_ACCEPTED_AFTER: Duration = Duration::from_secs(30);

/// What became of a plausible ticker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickerOutcome {
    /// It was accepted.
    Accepted,
    /// It was accepted, and the held jump before it was discarded.
    Refuted,
    /// It is too far from the live price before it to be shown yet.
    Held,
    /// It was not accepted: a price is still held (possibly this one, in place of an earlier one), or the market is not
    /// listed.
    Waiting,
}

impl Feed {
    /// Applies a ticker, or holds it back.
    ///
    /// An older trade never replaces a newer one, however and in whichever order they arrive; it may still be
    /// the close of its minute.
    pub fn apply_ticker(&mut self, mut incoming: ReceivedTicker, rule: JumpRule) -> Result<TickerOutcome, Implausible> {
        self.tolerated = None;
        let checked = self.check_times(&mut incoming);
        self.rejection = checked.err();
        self.tolerated = checked?;
        // While a market is not listed, tickers under its name are ignored, because they may belong to
        // another coin.
        if self.tracker.is_gone() {
            return Ok(TickerOutcome::Waiting);
        }
        if let Some(outcome) = self.decide_return(&incoming)? {
            return Ok(outcome);
        }
        let held = self.held.take();
        let Some((before, max_percent)) = self.jump_reference(&incoming, rule) else {
            self.accept(incoming);
            return Ok(TickerOutcome::Accepted);
        };
        let Some(held) = held else {
            if jump::is_jump(before, incoming.ticker.last, max_percent) {
                self.held = Some(HeldTicker::new(incoming));
                return Ok(TickerOutcome::Held);
            }
            self.accept(incoming);
            return Ok(TickerOutcome::Accepted);
        };
        match held.compare(&incoming, before, max_percent) {
            Verdict::Confirmed => self.accept(held.latest),
            Verdict::Refuted => {
                self.accept(incoming);
                return Ok(TickerOutcome::Refuted);
            }
            Verdict::Replaced => {
                self.held = Some(held.replaced_by(incoming));
                return Ok(TickerOutcome::Waiting);
            }
            Verdict::Undecided => {
                self.held = Some(held);
                if jump::is_jump(before, incoming.ticker.last, max_percent) {
                    return Ok(TickerOutcome::Waiting);
                }
            }
        }
        self.accept(incoming);
        Ok(TickerOutcome::Accepted)
    }

    /// Decides by its first trades whether a market that is back after a short absence is still the same;
    /// returns the outcome of a ticker that needs no further processing.
    ///
    /// A ticker that does not continue the known data is held until a second source confirms it, because all
    /// that data would be deleted.
    fn decide_return(&mut self, incoming: &ReceivedTicker) -> Result<Option<TickerOutcome>, Implausible> {
        let Some(former) = &self.former else { return Ok(None) };
        let returned = self.tracker.returned_at().unwrap_or_else(|| venue_now(incoming.clock, incoming.received));
        match former.continues_with(incoming, returned) {
            Some(true) => {
                // Notices from before the absence no longer apply.
                let notices = std::mem::take(&mut self.notices);
                let was_held = self.held.is_some();
                self.restore_former();
                self.notices = notices;
                self.tracker.resume();
                self.interrupt();
                if was_held {
                    self.accept(incoming.clone());
                    return Ok(Some(TickerOutcome::Refuted));
                }
            }
            Some(false) => {
                let confirmed = match self.held.take() {
                    _ if former.last.is_none() => None,
                    None => {
                        self.held = Some(HeldTicker::new(incoming.clone()));
                        return Ok(Some(TickerOutcome::Held));
                    }
                    Some(held) if held.is_confirmed_by(incoming, SAME_COIN_PERCENT) => Some(held.latest),
                    Some(held) => {
                        self.held = Some(held.or_newer(incoming));
                        return Ok(Some(TickerOutcome::Waiting));
                    }
                };
                let (new_price, new_trade) = (incoming.ticker.last, trade_suffix(incoming.ticker.trade_id));
                let cause = match former.last {
                    Some(LastTrade { price, trade_id, .. }) => format!(
                        "relisted at {new_price}{new_trade}, which does not continue its last price of {price}{}",
                        trade_suffix(trade_id)
                    ),
                    None => format!("relisted at {new_price}, and its last price is not known"),
                };
                self.tracker.begin_listing(returned);
                self.reset(cause);
                if let Some(first) = confirmed {
                    self.accept(first);
                }
            }
            None => {
                self.rejection = Some(Implausible::UnprovenListing);
                return Err(Implausible::UnprovenListing);
            }
        }
        Ok(None)
    }

    /// Returns whether a price belongs to the same coin as this feed: a later trade, near the last one, of a
    /// market that returned at `returned`; `None` if it is unknown whether the trade is later.
    fn continues_with(&self, incoming: &ReceivedTicker, returned: Timestamp) -> Option<bool> {
        let Some(last) = self.last else { return Some(false) };
        let ticker = &incoming.ticker;
        let received_venue_time = venue_now(incoming.clock, incoming.received);
        let unit = Minute::of(ticker.venue_time().unwrap_or(received_venue_time));
        let before = self.window.units().convert(last.price, self.unit_minute(received_venue_time), unit);
        let near = before.is_some_and(|before| !jump::is_jump(before, ticker.last, SAME_COIN_PERCENT));
        let dated = last.newest_trade.zip(ticker.traded_at);
        let order = match (last.trade_id.zip(ticker.trade_id), dated) {
            (Some((had, new)), _) => new.cmp(&had),
            (None, Some((had, new))) if new != had => new.cmp(&had),
            (None, None) if ticker.traded_at.is_some() => Ordering::Greater,
            // A different price means a different trade.
            _ if ticker.last == last.price => Ordering::Equal,
            _ => Ordering::Greater,
        };
        // Trade ids that are still lower by then were restarted.
        let is_settled = ticker.venue_time().is_some_and(|at| at > shifted(returned, RENUMBERED_AFTER));
        match (near, order) {
            (_, Ordering::Less) if ticker.trade_id.is_some() && is_settled => Some(false),
            (true, Ordering::Greater) => Some(true),
            (false, Ordering::Greater | Ordering::Less) => Some(false),
            (_, Ordering::Equal) | (true, Ordering::Less) => None,
        }
    }

    /// Returns the price that a jump is measured from, in the unit of the incoming ticker, and the limit in
    /// percent. Returns `None` if any price is accepted: the first one, one after a price that is not live,
    /// or any if there is no limit.
    fn jump_reference(&self, incoming: &ReceivedTicker, rule: JumpRule) -> Option<(Price, u32)> {
        let last = self.last?;
        let live = matches!(self.state(rule.stale_after, incoming.received), State::Live | State::Delayed);
        let received_venue_time = venue_now(incoming.clock, incoming.received);
        let unit = Minute::of(incoming.ticker.venue_time().unwrap_or(received_venue_time));
        let before = self.window.units().convert(last.price, self.unit_minute(received_venue_time), unit)?;
        rule.max_percent.filter(|_| live).map(|max| (before, max))
    }

    /// Checks the times of a ticker; removes the message time if it is unusable and the trade time suffices.
    fn check_times(&self, incoming: &mut ReceivedTicker) -> Result<Option<Implausible>, Implausible> {
        let ReceivedTicker { ticker, received, clock, .. } = incoming;
        let ignored = check_ticker_times(ticker, venue_now(*clock, *received))?;
        if ignored.is_some() {
            ticker.sent_at = None;
        }
        // Trades of this listing that were accepted in a previous run belong to it.
        let accepted = self.last.and_then(|last| last.newest_trade);
        let own = self.tracker.trades_since().map(|since| accepted.map_or(since, |accepted| accepted.min(since)));
        match own.zip(ticker.traded_at).filter(|(own, traded_at)| traded_at < own) {
            Some((_, traded_at)) => Err(Implausible::FormerListing(traded_at)),
            None => Ok(ignored),
        }
    }

    /// Applies an accepted ticker, which may still be too old to confirm anything.
    fn accept(&mut self, incoming: ReceivedTicker) {
        let ReceivedTicker { ticker, requested, received, via, clock } = incoming;
        let received_venue_time = venue_now(clock, received);
        let fetched = !matches!(via, Via::Stream { .. });
        // Of two prices without times and ids, the streamed one counts if it came while the other was requested.
        let is_undated = ticker.venue_time().is_none() && ticker.trade_id.is_none();
        if fetched && is_undated && self.streamed_at.is_some_and(|at| at > requested.monotonic) {
            return;
        }
        let reported_at = ticker.sent_at.unwrap_or(received_venue_time);
        let requested_at = shifted(venue_now(clock, requested).min(received_venue_time), -FETCH_MARGIN);
        let until = if fetched { ticker.sent_at.unwrap_or(requested_at).max(requested_at) } else { reported_at };
        if let Some(at) = ticker.traded_at
            && self.tracker.observe_trade(at)
        {
            self.window.start_at(Minute::of(at));
        }
        self.observe(&ticker, via, until);
        match via {
            // The first messages of a connection may repeat older ones. Its session starts with its first
            // current message.
            Via::Stream { session } if self.session == Some(session) => {}
            Via::Stream { session } => {
                self.session = (reported_at >= shifted(received_venue_time, -FIRST_LAG_MAX)).then_some(session);
            }
            Via::Poll => self.session = None,
            Via::Check => {}
        }
        // A stream that repeats old messages confirms nothing; a fetched response is current, whatever its
        // times are.
        let fresh = fetched || !is_repeated(reported_at, received_venue_time);
        self.track_late(fresh, reported_at, received_venue_time, received.monotonic);
        let is_older = self.last.is_some_and(|last| last.is_newer_than(&ticker));
        if is_older && !(fetched && self.is_really_newest(&ticker, received.monotonic)) {
            return;
        }
        self.older_trade = None;
        if !fetched {
            self.streamed_at = Some(received.monotonic);
        }

        let received_at = received.wall;
        // An older trade that the venue keeps reporting replaces every later one.
        let known = self.last.filter(|_| !is_older);
        let newest_trade = ticker.traded_at.or(known.and_then(|last| last.newest_trade));
        let newest_message = ticker.sent_at.or(known.and_then(|last| last.newest_message));
        let Ticker { last: price, traded_at, sent_at, trade_id, .. } = ticker;
        let new = LastTrade { price, traded_at, sent_at, newest_trade, newest_message, trade_id, received_at };
        self.last = Some(match self.last {
            Some(old) if old.price == new.price && old.venue_time() == new.venue_time() => {
                LastTrade { received_at: old.received_at, ..new }
            }
            _ => new,
        });
        self.decimal_places.record(tick_size::decimal_places(ticker.last), received.monotonic);
        self.reported.apply(&ticker, until);
        self.halt = match ticker.halted {
            Some(true) => {
                let reported_at = ticker.traded_at.map_or(reported_at, |traded_at| traded_at.max(reported_at));
                Some(Halt { delisted: ticker.delisted, reported_at })
            }
            Some(false) => None,
            // A trade ends a halt, even if no message says so.
            None => {
                self.halt.filter(|halt| ticker.traded_at.is_none_or(|at| at <= shifted(halt.reported_at, HALT_MARGIN)))
            }
        };
        self.notices.apply_ticker(&ticker);
        self.unrecorded = true;
        if fresh {
            let delayed = received.monotonic.saturating_sub(requested.monotonic) > RESPONSE_DELAY_MAX;
            self.confirm(if delayed { requested } else { received }, clock);
            self.polled = via == Via::Poll;
        } else if self.confirmed_venue_time.is_some_and(|at| at < reported_at) {
            // An old message, but newer than the last confirmation: the change is measured as of its time.
            self.confirmed_venue_time = Some(reported_at);
        }
        self.update_extremes();
    }

    /// Tracks old messages: a connection may begin with them, but must not continue with them.
    fn track_late(&mut self, fresh: bool, reported_at: Timestamp, received_venue_time: Timestamp, at: Duration) {
        if fresh {
            self.late_since = None;
            return;
        }
        let since = *self.late_since.get_or_insert(at);
        if at.saturating_sub(since) >= LATE_COUNTED_AFTER {
            let by = received_venue_time.duration_since(reported_at);
            self.tolerated = Some(Implausible::Behind { what: MESSAGE_TIME, time: reported_at, by });
            self.rejection = self.tolerated;
        }
    }

    /// Records a confirmation. A delayed response does not take back a confirmation from after its request.
    fn confirm(&mut self, at: Now, clock: Option<VenueClock>) {
        if self.confirmed_monotonic.is_none_or(|before| before <= at.monotonic) {
            self.confirmed_at = Some(at.wall);
            self.confirmed_venue_time = self.confirmed_venue_time.max(Some(venue_now(clock, at)));
            self.confirmed_monotonic = Some(at.monotonic);
        }
    }

    fn observe(&mut self, ticker: &Ticker, via: Via, until: Timestamp) {
        let same_session = matches!(via, Via::Stream { session } if self.session == Some(session));
        // If a venue dates its messages but not its trades, there may have been a trade between two messages,
        // on either side of a minute boundary. Only an unchanged trade id proves that there was none.
        let is_same_trade = self.last.is_some_and(|last| ticker.trade_id.is_some() && last.trade_id == ticker.trade_id);
        let unbroken = is_same_trade || (same_session && ticker.traded_at.is_some());
        let traded_at = ticker.traded_at.unwrap_or(until);
        self.window.observe(TradeObservation { price: ticker.last, traded_at, until, unbroken });
    }

    /// Records an older trade that a fetched response reports; returns whether it is the venue's newest one
    /// after all.
    ///
    /// It is if the venue has reported nothing newer for long, and either its price is the same as ours, or
    /// the venue's clock may have been ahead by the difference when it dated the other trade.
    fn is_really_newest(&mut self, ticker: &Ticker, at: Duration) -> bool {
        let (last, time) = (ticker.last, ticker.venue_time());
        let same = self.older_trade.filter(|(before, dated, _)| (*before, *dated) == (last, time));
        let since = same.map_or(at, |(.., since)| since);
        self.older_trade = Some((last, time, since));
        let Some(known) = self.last else { return false };
        let Some((time, newest)) = time.zip(known.newest_trade.or(known.newest_message)) else { return false };
        let reported_for = at.saturating_sub(since);
        if reported_for >= LATE_COUNTED_AFTER {
            self.tolerated = Some(Implausible::Older { time, newest });
            self.rejection = self.tolerated;
        }
        reported_for >= OLDER_ACCEPTED_AFTER && (last == known.price || newest.duration_since(time) <= AHEAD_MAX)
    }
}

fn trade_suffix(trade: Option<u64>) -> String {
    trade.map_or_else(String::new, |number| format!(" (trade {number})"))
}
