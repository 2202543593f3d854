//! One market at one venue: its newest figures, their age, and its window.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::extremes::Extremes;
use super::jump::{self, Held, Verdict};
use super::notices::Notices;
use super::places::RecentPlaces;
use super::presence::{Presence, Turn, Word};
use super::said::SaidDay;
use crate::domain::window::Sighting;
use crate::domain::{
    AHEAD_MAX, Base, BaseSource, Basis, Change, FeedRecords, HaltReason, HourRecord, Implausible, LastRecord, MESSAGE,
    Market, Minute, NoChange, Notice, Now, Price, State, Ticker, Units, VenueClock, VenueId, Via, Window, is_repeated,
    plausible, shifted, tick_size,
};

/// A fetched answer speaks for the moment when it was asked for, so much earlier as we may mistake the venue's clock.
const FETCH_MARGIN: SignedDuration = SignedDuration::from_secs(2);

/// An answer that took longer was held up, by us or on the way: it confirms what was so when it was asked for.
const ANSWER_MAX: Duration = Duration::from_secs(12);

/// A market that is back after a short absence with a price further than this many percent from its last one is another.
const SAME_COIN_PERCENT: u32 = 20;

/// A market that is back for so long and whose trades have lower numbers than before has begun to count anew.
const NUMBERED_ANEW_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// A trade so much later than the message that its market was halted shows that it is not any more; a venue's own clocks
/// may be as far apart.
const HALT_MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// The venue is asked about a price that is held for so long; after that it waits for another trade.
const HELD_MAX: Duration = Duration::from_secs(60);

/// A feed not confirmed for so long keeps its bases: the window moves on without it.
const KEEP_AFTER: Duration = Duration::from_secs(60);

/// A session's first message, if it was longer on its way than this, may be one repeated from before the session.
const FIRST_LAG_MAX: SignedDuration = SignedDuration::from_secs(2);

/// A ticker on its way in.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub ticker: Ticker,
    pub asked: Now,
    pub received: Now,
    pub via: Via,
    /// The venue's clock, if it is known; else ours stands for it.
    pub clock: Option<VenueClock>,
}

/// Returns what the venue's clock shows, or ours for want of it.
pub fn there(clock: Option<VenueClock>, now: Now) -> Timestamp {
    clock.map_or(now.wall, |clock| clock.at(now.monotonic))
}

/// When a price is held back until something else says the same.
#[derive(Debug, Clone, Copy)]
pub struct JumpRule {
    /// The largest step from a live price that needs no second witness, in percent; `None` holds nothing back.
    pub max_percent: Option<u32>,
    /// How long a price is live without a confirmation.
    pub stale_after: Duration,
}

/// What became of a ticker that is plausible by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It counts.
    Believed,
    /// It counts, and the jump before it does not.
    Refuted,
    /// It is too far from the live price before it to be shown yet.
    Held,
    /// It says nothing new of one that is held, or its market is off the list.
    Waiting,
}

/// The state of one market at one venue.
#[derive(Debug, Default)]
pub struct Feed {
    last: Option<Last>,
    said: SaidDay,
    /// What the venue said last of why the market does not trade.
    halt: Option<Halt>,
    notices: Notices,
    confirmed_at: Option<Timestamp>,
    /// When the price was last so by the venue's clock: the change is measured as of then.
    confirmed_there: Option<Timestamp>,
    /// When that was by the monotonic clock; not known of what another life of the process has confirmed.
    confirmed: Option<Duration>,
    /// A jump that no second witness has confirmed yet.
    held: Option<Held>,
    polled: bool,
    session: Option<u64>,
    places: RecentPlaces,
    tick_size: Option<Decimal>,
    presence: Presence,
    window: Window,
    extremes: Extremes,
    /// The bases of a price that is not confirmed any more, and as of when.
    kept: Option<(Timestamp, Bases)>,
    /// Whether the price is in another unit than its base was.
    rescaled: bool,
    /// The minutes of jumps by a power of ten that another exchange has made too: its market moved.
    moves: BTreeSet<Minute>,
    /// Since when nothing has come but old news.
    late_since: Option<Duration>,
    /// The older trade, by price and time, that fetched answers tell of, and since when.
    older: Option<(Price, Option<Timestamp>, Duration)>,
    /// Why the newest ticker was not believed, or confirms nothing.
    refused: Option<Implausible>,
    /// What is to be counted although it costs no price.
    noted: Option<Implausible>,
    unrecorded: bool,
    anew: bool,
    /// What was known of a market that is back after a short absence, until its first trades show whether it is the same.
    former: Option<Box<Feed>>,
    /// Why another listing has begun, until it is taken.
    relisted: Option<String>,
}

/// A market that does not trade, as its tickers say.
#[derive(Debug, Clone, Copy)]
struct Halt {
    delisted: bool,
    /// When that was said last, by the venue's clock; not before the last trade then.
    said_at: Timestamp,
}

/// One for each [`Basis`].
type Bases = [Option<Base>; 3];

/// The last trade as far as we know.
#[derive(Debug, Clone, Copy)]
struct Last {
    price: Price,
    traded_at: Option<Timestamp>,
    sent_at: Option<Timestamp>,
    /// The newest trade that was dated so far: a price without the time of its trade does not forget it.
    newest_trade: Option<Timestamp>,
    trade_id: Option<u64>,
    received_at: Timestamp,
}

impl Last {
    fn venue_time(&self) -> Option<Timestamp> {
        self.traded_at.or(self.sent_at)
    }

    /// Whether a ticker is older. Times of trades are compared with each other, and times of messages with each other: a
    /// message may be sent hours after the newest trade.
    fn is_newer_than(&self, ticker: &Ticker) -> bool {
        let is_older = |had: Option<Timestamp>, new: Option<Timestamp>| {
            had.zip(new).filter(|(had, new)| had != new).map(|(had, new)| new < had)
        };
        let by_trade = is_older(self.newest_trade, ticker.traded_at);
        let by_time = match (self.traded_at, ticker.traded_at) {
            (Some(_), Some(_)) => by_trade,
            (None, Some(_)) => by_trade.filter(|&is| is).or(is_older(self.sent_at, ticker.sent_at)),
            // No message from before a trade knows of it.
            (_, None) => is_older(self.sent_at.max(self.newest_trade), ticker.sent_at),
        };
        by_time.unwrap_or_else(|| self.trade_id.zip(ticker.trade_id).is_some_and(|(had, new)| new < had))
    }
}

impl Feed {
    /// A feed of which nothing is known but when the unit of its price changes.
    pub fn new(units: Units) -> Self {
        let mut feed = Self::default();
        feed.window.set_units(units);
        feed
    }

    /// Takes in a ticker, or holds it back.
    ///
    /// An older trade never replaces a newer one, whichever way and in
    /// whichever order they come; it may still be the close of its minute.
    pub fn take(&mut self, mut arrival: Arrival, rule: JumpRule) -> Result<Taken, Implausible> {
        self.noted = None;
        let checked = self.check(&mut arrival);
        self.refused = checked.err();
        self.noted = checked?;
        // What trades under a name that was gone is known when a list has it again: it may be another coin.
        if self.presence.is_gone() {
            return Ok(Taken::Waiting);
        }
        if let Some(taken) = self.decide(&arrival)? {
            return Ok(taken);
        }
        let held = self.held.take();
        let Some((before, max_percent)) = self.live_price(&arrival, rule) else {
            self.believe(arrival);
            return Ok(Taken::Believed);
        };
        let Some(held) = held else {
            if jump::is_jump(before, arrival.ticker.last, max_percent) {
                self.held = Some(Held::new(arrival));
                return Ok(Taken::Held);
            }
            self.believe(arrival);
            return Ok(Taken::Believed);
        };
        match held.judge(&arrival, before, max_percent) {
            Verdict::Confirmed => self.believe(held.arrival),
            Verdict::Refuted => {
                self.believe(arrival);
                return Ok(Taken::Refuted);
            }
            Verdict::Moved => {
                self.held = Some(held.moved(arrival));
                return Ok(Taken::Waiting);
            }
            Verdict::Undecided => {
                self.held = Some(held);
                if jump::is_jump(before, arrival.ticker.last, max_percent) {
                    return Ok(Taken::Waiting);
                }
            }
        }
        self.believe(arrival);
        Ok(Taken::Believed)
    }

    /// Decides by its first trades whether a market that is back after a short absence is the one that it was; returns what
    /// became of a ticker that is not to be taken any further.
    ///
    /// One that does not continue what was known is held until a second witness says the same: all that is known would be
    /// deleted for it.
    fn decide(&mut self, arrival: &Arrival) -> Result<Option<Taken>, Implausible> {
        let Some(former) = &self.former else { return Ok(None) };
        let returned = self.presence.returned().unwrap_or_else(|| there(arrival.clock, arrival.received));
        match former.goes_on_with(arrival, returned) {
            Some(true) => {
                // What was announced before it came back is over.
                let notices = std::mem::take(&mut self.notices);
                let was_held = self.held.is_some();
                self.put_back();
                self.notices = notices;
                self.presence.resume();
                self.interrupt();
                if was_held {
                    self.believe(arrival.clone());
                    return Ok(Some(Taken::Refuted));
                }
            }
            Some(false) => {
                let witnessed = match self.held.take() {
                    _ if former.last.is_none() => None,
                    None => {
                        self.held = Some(Held::new(arrival.clone()));
                        return Ok(Some(Taken::Held));
                    }
                    Some(held) if held.is_witnessed_by(arrival, SAME_COIN_PERCENT) => Some(held.arrival),
                    Some(held) => {
                        self.held = Some(held.or_newer(arrival));
                        return Ok(Some(Taken::Waiting));
                    }
                };
                let (now, trade) = (arrival.ticker.last, numbered(arrival.ticker.trade_id));
                let cause = match former.last {
                    Some(Last { price, trade_id, .. }) => format!(
                        "it is listed again at {now}{trade}, which does not continue {price}{}, its last price",
                        numbered(trade_id)
                    ),
                    None => format!("it is listed again at {now}, and its last price is not known"),
                };
                self.presence.begin(returned);
                self.begin_anew(cause);
                if let Some(first) = witnessed {
                    self.believe(first);
                }
            }
            None => {
                self.refused = Some(Implausible::Unproven);
                return Err(Implausible::Unproven);
            }
        }
        Ok(None)
    }

    /// Whether a price is of the coin that this feed is of: a later trade, not far from the last one, of a market that was
    /// back at `returned`. `None` where the trade is not known to be a later one.
    fn goes_on_with(&self, arrival: &Arrival, returned: Timestamp) -> Option<bool> {
        let Some(last) = self.last else { return Some(false) };
        let ticker = &arrival.ticker;
        let venue_now = there(arrival.clock, arrival.received);
        let unit = Minute::of(ticker.venue_time().unwrap_or(venue_now));
        let before = self.window.units().bring(last.price, self.unit(venue_now), unit);
        let near = before.is_some_and(|before| !jump::is_jump(before, ticker.last, SAME_COIN_PERCENT));
        let dated = last.newest_trade.zip(ticker.traded_at);
        let order = match (last.trade_id.zip(ticker.trade_id), dated) {
            (Some((had, new)), _) => new.cmp(&had),
            (None, Some((had, new))) if new != had => new.cmp(&had),
            (None, None) if ticker.traded_at.is_some() => Ordering::Greater,
            // Any other price is another trade.
            _ if ticker.last == last.price => Ordering::Equal,
            _ => Ordering::Greater,
        };
        // Trades that are still behind by then are numbered anew.
        let is_settled = ticker.venue_time().is_some_and(|at| at > shifted(returned, NUMBERED_ANEW_AFTER));
        match (near, order) {
            (_, Ordering::Less) if ticker.trade_id.is_some() && is_settled => Some(false),
            (true, Ordering::Greater) => Some(true),
            (false, Ordering::Greater | Ordering::Less) => Some(false),
            (_, Ordering::Equal) | (true, Ordering::Less) => None,
        }
    }

    /// Sets aside what is known of a market that is back, until its first trades are there.
    fn set_aside(&mut self, at: Timestamp) {
        let presence = std::mem::take(&mut self.presence);
        let fresh = Self { presence, ..Self::new(self.window.units().clone()) };
        let former = std::mem::replace(self, fresh);
        self.former = Some(Box::new(former));
        self.window.begin(Minute::of(at));
    }

    /// Puts back what was set aside.
    fn put_back(&mut self) {
        if let Some(former) = self.former.take() {
            let tick_size = self.tick_size.or(former.tick_size);
            *self = Self { presence: std::mem::take(&mut self.presence), tick_size, held: None, ..*former };
        }
    }

    /// Forgets all that was known: the name stands for another listing.
    fn begin_anew(&mut self, cause: String) {
        let (presence, tick_size) = (std::mem::take(&mut self.presence), self.tick_size);
        let since = presence.since();
        *self = Self { presence, tick_size, anew: true, ..Self::new(self.window.units().clone()) };
        if let Some(since) = since {
            self.window.begin(Minute::of(since));
        }
        self.relisted = Some(cause);
    }

    /// Returns why another listing has begun, if one has since the last call.
    pub fn take_relisted(&mut self) -> Option<String> {
        self.relisted.take()
    }

    /// Returns the price that a jump is measured from, in the unit of the arrival, and how far it may be; `None` where
    /// any price is believed: the first one, one after a price that is not live, or without a limit.
    fn live_price(&self, arrival: &Arrival, rule: JumpRule) -> Option<(Price, u32)> {
        let last = self.last?;
        let live = matches!(self.state(rule.stale_after, arrival.received), State::Live | State::Delayed);
        let venue_now = there(arrival.clock, arrival.received);
        let unit = Minute::of(arrival.ticker.venue_time().unwrap_or(venue_now));
        let before = self.window.units().bring(last.price, self.unit(venue_now), unit)?;
        rule.max_percent.filter(|_| live).map(|max| (before, max))
    }

    /// Takes in the smallest step of the price.
    pub fn set_tick_size(&mut self, size: Decimal) {
        self.tick_size = Some(size);
    }

    /// Returns whether a price is held that the venue is to be asked about.
    pub fn is_asked_about(&self, now: Now) -> bool {
        self.held.as_ref().is_some_and(|held| held.waits(now) <= HELD_MAX)
    }

    /// Returns what was found of late that costs no price: a date that was left out, or old news that go on.
    pub fn take_noted(&mut self) -> Option<Implausible> {
        self.noted.take()
    }

    /// Checks the times of a ticker, and leaves out that of the message where the trade's will do.
    fn check(&self, arrival: &mut Arrival) -> Result<Option<Implausible>, Implausible> {
        let Arrival { ticker, received, clock, .. } = arrival;
        let left_out = plausible(ticker, there(*clock, *received))?;
        if left_out.is_some() {
            ticker.sent_at = None;
        }
        // What was believed of this listing in another life of the process is its own.
        let believed = self.last.and_then(|last| last.newest_trade);
        let own = self.presence.trades_since().map(|since| believed.map_or(since, |believed| believed.min(since)));
        match own.zip(ticker.traded_at).filter(|(own, traded_at)| traded_at < own) {
            Some((_, traded_at)) => Err(Implausible::Former(traded_at)),
            None => Ok(left_out),
        }
    }

    /// Takes in what is believed, which may still be too old to confirm anything.
    fn believe(&mut self, arrival: Arrival) {
        let Arrival { ticker, asked, received, via, clock } = arrival;
        let venue_now = there(clock, received);
        let fetched = !matches!(via, Via::Stream { .. });
        let said_at = ticker.sent_at.unwrap_or(venue_now);
        let asked_at = shifted(there(clock, asked).min(venue_now), -FETCH_MARGIN);
        let until = if fetched { ticker.sent_at.unwrap_or(asked_at).max(asked_at) } else { said_at };
        if let Some(at) = ticker.traded_at
            && self.presence.note_trade(at)
        {
            self.window.begin(Minute::of(at));
        }
        self.observe(&ticker, via, until);
        match via {
            // What a connection says first may be repeated from before it was there: it has begun with its first word of now.
            Via::Stream { session } if self.session == Some(session) => {}
            Via::Stream { session } => {
                self.session = (said_at >= shifted(venue_now, -FIRST_LAG_MAX)).then_some(session);
            }
            Via::Poll => self.session = None,
            Via::Check => {}
        }
        // A stream that repeats old messages confirms nothing; a fetched answer is of now, whatever it dates.
        let fresh = fetched || !is_repeated(said_at, venue_now);
        self.note_late(fresh, said_at, venue_now, received.monotonic);
        let is_older = self.last.is_some_and(|last| last.is_newer_than(&ticker));
        if is_older && !(fetched && self.is_insisted_on(&ticker, received.monotonic)) {
            return;
        }
        self.older = None;

        let received_at = received.wall;
        // What the venue insists on stands against every later trade.
        let known = self.last.filter(|_| !is_older).and_then(|last| last.newest_trade);
        let newest_trade = ticker.traded_at.or(known);
        let Ticker { last: price, traded_at, sent_at, trade_id, .. } = ticker;
        let new = Last { price, traded_at, sent_at, newest_trade, trade_id, received_at };
        self.last = Some(match self.last {
            Some(old) if old.price == new.price && old.venue_time() == new.venue_time() => {
                Last { received_at: old.received_at, ..new }
            }
            _ => new,
        });
        self.places.note(tick_size::places(ticker.last), received.monotonic);
        self.said.take(&ticker, until);
        self.halt = match ticker.halted {
            Some(true) => {
                let said_at = ticker.traded_at.map_or(said_at, |traded_at| traded_at.max(said_at));
                Some(Halt { delisted: ticker.delisted, said_at })
            }
            Some(false) => None,
            // What trades is not halted, also where no message that would say so comes.
            None => self.halt.filter(|halt| ticker.traded_at.is_none_or(|at| at <= shifted(halt.said_at, HALT_MARGIN))),
        };
        self.notices.take_ticker(&ticker);
        self.unrecorded = true;
        if fresh {
            let held_up = received.monotonic.saturating_sub(asked.monotonic) > ANSWER_MAX;
            self.confirm(if held_up { asked } else { received }, clock);
            self.polled = via == Via::Poll;
        } else if self.confirmed_there.is_some_and(|there| there < said_at) {
            // Old news, but newer than the last: the change is measured as of when it was so.
            self.confirmed_there = Some(said_at);
        }
        self.seek_extremes();
    }

    /// A connection may begin with old news; it may not go on with them.
    fn note_late(&mut self, fresh: bool, said_at: Timestamp, venue_now: Timestamp, at: Duration) {
        if fresh {
            self.late_since = None;
            return;
        }
        let since = *self.late_since.get_or_insert(at);
        if at.saturating_sub(since) >= LATE_MAX {
            let by = venue_now.duration_since(said_at);
            self.noted = Some(Implausible::Behind { what: MESSAGE, time: said_at, by });
            self.refused = self.noted;
        }
    }

    /// An answer that was held up does not take back what was confirmed after it was asked for.
    fn confirm(&mut self, at: Now, clock: Option<VenueClock>) {
        if self.confirmed.is_none_or(|before| before <= at.monotonic) {
            self.confirmed_at = Some(at.wall);
            self.confirmed_there = self.confirmed_there.max(Some(there(clock, at)));
            self.confirmed = Some(at.monotonic);
        }
    }

    /// The venue's clock was set back to `venue_now`: what was said and confirmed by the wrong one was so by now at the
    /// latest.
    pub fn set_back(&mut self, venue_now: Timestamp) {
        if let Some(former) = &mut self.former {
            former.set_back(venue_now);
        }
        if let Some(halt) = &mut self.halt {
            halt.said_at = halt.said_at.min(venue_now);
        }
        if self.confirmed_there.is_some_and(|at| at > venue_now) {
            self.confirmed_there = Some(venue_now);
            self.said.set_back(venue_now);
            self.seek_extremes();
        }
    }

    /// Nobody was looking for a while: what comes next proves nothing of the time between.
    pub fn interrupt(&mut self) {
        self.session = None;
        self.window.interrupt();
    }

    fn observe(&mut self, ticker: &Ticker, via: Via, until: Timestamp) {
        let same_session = matches!(via, Via::Stream { session } if self.session == Some(session));
        // A venue that dates its messages but not its trades may have traded between two of them, on either side of
        // a minute's end: only the same trade number says that it has not.
        let unmoved = self.last.is_some_and(|last| ticker.trade_id.is_some() && last.trade_id == ticker.trade_id);
        let unbroken = unmoved || (same_session && ticker.traded_at.is_some());
        let traded_at = ticker.traded_at.unwrap_or(until);
        self.window.observe(Sighting { price: ticker.last, traded_at, until, unbroken });
    }

    /// Notes an older trade that a fetched answer tells of, and returns whether it is the venue's newest one: the venue has
    /// told of nothing newer for long, and its price is the same, or its clock may have been ahead by the difference when
    /// it dated the other.
    fn is_insisted_on(&mut self, ticker: &Ticker, at: Duration) -> bool {
        let (last, time) = (ticker.last, ticker.venue_time());
        let same = self.older.filter(|(before, dated, _)| (*before, *dated) == (last, time));
        let since = same.map_or(at, |(.., since)| since);
        self.older = Some((last, time, since));
        let Some(known) = self.last else { return false };
        let Some((time, newest)) = time.zip(known.newest_trade.or(known.sent_at)) else { return false };
        let told_for = at.saturating_sub(since);
        if told_for >= LATE_MAX {
            self.noted = Some(Implausible::Older { time, newest });
            self.refused = self.noted;
        }
        told_for >= OLDER_MAX && (last == known.price || newest.duration_since(time) <= AHEAD_MAX)
    }

    /// Takes in a candle answer; returns in how many minutes it says something else than we did.
    pub fn settle(&mut self, span: Range<Minute>, closes: &[(Minute, Price)]) -> usize {
        let overruled = self.window.settle(span, closes);
        self.extremes.forget();
        self.seek_extremes();
        overruled
    }

    fn seek_extremes(&mut self) {
        if let Some(at) = self.confirmed_there {
            self.extremes.seek(&self.window, at);
        }
    }

    /// Returns low and high of 24 hours, and who says so.
    fn range(&self) -> (Option<Price>, Option<Price>, Option<BaseSource>) {
        let said = self.confirmed_there.map(|at| (self.said.low(at), self.said.high(at)));
        if let Some((low, high)) = said.filter(|(low, high)| low.is_some() || high.is_some()) {
            // They may have been said before the last price was.
            let last = self.last.map(|last| last.price);
            let low = low.map(|low| last.map_or(low, |last| low.min(last)));
            let high = high.map(|high| last.map_or(high, |last| high.max(last)));
            return (low, high, Some(BaseSource::Venue));
        }
        let ours = self.last.filter(|_| !self.rescaled).and_then(|last| self.extremes.with(last.price));
        ours.map_or((None, None, None), |(low, high)| (Some(low), Some(high), Some(BaseSource::Window)))
    }

    /// Takes in what the venue's list says, `at` by its clock.
    ///
    /// Another listing starts a new window: the name may stand for another
    /// coin, or for the same one in other units. After a short absence the
    /// first trades show it.
    pub fn list(&mut self, word: Word, at: Timestamp) {
        let is_known = self.last.is_some() || self.former.is_some();
        match self.presence.take(word, is_known, at) {
            Turn::None if self.presence.is_gone() => self.put_back(),
            Turn::None => {}
            // There is nothing that another coin could be mistaken for.
            Turn::Back if self.last.is_none() && self.window.is_empty() => self.presence.resume(),
            Turn::Back => self.set_aside(at),
            Turn::Anew(cause) => self.begin_anew(cause),
        }
        if let Some(listing) = self.presence.listing() {
            self.notices.take_listing(listing);
        }
    }

    /// Forgets what is too old to matter at `at` by the venue's clock; of a price that nobody confirms the bases stay.
    pub fn prune(&mut self, at: Timestamp, now: Now) {
        let left = self.confirmed.is_none_or(|confirmed| now.monotonic.saturating_sub(confirmed) > KEEP_AFTER);
        self.kept = self.confirmed_there.filter(|_| left).map(|as_of| (as_of, self.known_bases(as_of)));
        self.window.prune(at);
        self.places.forget(now.monotonic);
    }

    /// Returns whether the unit of the price was just found to be another one than that of its base.
    pub fn is_newly_rescaled(&mut self, at: Timestamp) -> bool {
        let base = self.known_base(0, at);
        let is = self.last.zip(base).is_some_and(|(last, base)| self.is_rescaled(base, last.price));
        !std::mem::replace(&mut self.rescaled, is) && is
    }

    /// Has everything recorded anew: what was recorded is lost.
    pub fn record_all(&mut self) {
        self.presence.record_all();
        match &mut self.former {
            Some(former) => former.record_figures(),
            None => self.record_figures(),
        }
    }

    fn record_figures(&mut self) {
        self.window.record_all();
        self.unrecorded = self.last.is_some();
    }

    /// Returns what has changed since the last call and should outlive the process, if anything has.
    pub fn take_unrecorded(&mut self, venue: VenueId, market: &Market) -> Option<FeedRecords> {
        let (last, hours, anew) = match &mut self.former {
            Some(former) => former.take_unrecorded_figures(),
            None => self.take_unrecorded_figures(),
        };
        let listing = self.presence.take_unrecorded();
        let any = anew || listing.is_some() || last.is_some() || !hours.is_empty();
        any.then(|| FeedRecords { venue, market: market.clone(), last, listing, hours, anew })
    }

    fn take_unrecorded_figures(&mut self) -> (Option<LastRecord>, Vec<HourRecord>, bool) {
        let hours = self.window.take_unrecorded();
        let last = if std::mem::take(&mut self.unrecorded) { self.last_record() } else { None };
        (last, hours, std::mem::take(&mut self.anew))
    }

    fn last_record(&self) -> Option<LastRecord> {
        let last = self.last?;
        let there = self.confirmed_there.or(self.confirmed_at)?;
        Some(LastRecord {
            last: last.price,
            venue_time: last.venue_time(),
            trade_id: last.trade_id,
            received_at: last.received_at,
            confirmed_at: self.confirmed_at?,
            confirmed_there: self.confirmed_there,
            sent_places: self.places.most(),
            high_24h: self.said.high(there),
            low_24h: self.said.low(there),
            base_volume_24h: self.said.base_volume(there),
            quote_volume_24h: self.said.quote_volume(there),
        })
    }

    /// Takes in what another life of the process knew: its last price is stale until it is confirmed.
    ///
    /// May also come late, when the disk can be read at last: what is known already stands against it.
    pub fn restore(&mut self, records: &FeedRecords) {
        if let Some(listing) = records.listing {
            self.presence.restore(listing);
        }
        let (since, known_since) = (self.presence.since(), self.presence.known_since());
        match &mut self.former {
            Some(former) => former.restore_figures(records, known_since),
            None => self.restore_figures(records, since),
        }
    }

    fn restore_figures(&mut self, records: &FeedRecords, since: Option<Timestamp>) {
        if let Some(since) = since {
            self.window.begin(Minute::of(since));
        }
        self.window.restore(&records.hours);
        let Some(last) = records.last.as_ref().filter(|_| self.last.is_none()) else {
            self.extremes.forget();
            self.seek_extremes();
            return;
        };
        if let Some(at) = last.venue_time {
            self.window.knows_of(at);
        }
        self.last = Some(Last {
            price: last.last,
            traded_at: last.venue_time,
            sent_at: None,
            newest_trade: last.venue_time,
            trade_id: last.trade_id,
            received_at: last.received_at,
        });
        self.confirmed_at = Some(last.confirmed_at);
        self.confirmed_there = last.confirmed_there.or(Some(last.confirmed_at));
        self.places.restore(last.sent_places);
        let said = Ticker {
            high_24h: last.high_24h,
            low_24h: last.low_24h,
            base_volume_24h: last.base_volume_24h,
            quote_volume_24h: last.quote_volume_24h,
            ..Ticker::new(last.last)
        };
        self.said.take(&said, last.confirmed_there.unwrap_or(last.confirmed_at));
        self.extremes.forget();
        self.seek_extremes();
    }

    /// Returns how far to rely on the last price.
    pub fn state(&self, stale_after: Duration, now: Now) -> State {
        if self.last.is_none() || self.confirmed_at.is_none() {
            return State::Unknown;
        }
        if self.presence.is_gone() || self.is_suspended() {
            State::Halted
        } else if self.confirmed.is_none_or(|at| now.monotonic.saturating_sub(at) > stale_after) {
            State::Stale
        } else if self.polled {
            State::Delayed
        } else {
            State::Live
        }
    }

    /// Returns whether this process has seen the price confirmed; a restored one is not.
    pub fn is_confirmed_since_start(&self) -> bool {
        self.confirmed.is_some()
    }

    /// Returns why the market is halted, if it is.
    pub fn halt_reason(&self) -> Option<HaltReason> {
        let delisted = self.presence.is_gone() || self.halt.is_some_and(|halt| halt.delisted);
        let is_halted = self.presence.is_gone() || self.is_suspended();
        is_halted.then_some(if delisted { HaltReason::Delisted } else { HaltReason::Suspended })
    }

    /// Returns what the venue warns of.
    pub fn notice(&self) -> Option<Arc<Notice>> {
        self.notices.notice().cloned()
    }

    /// Returns whether the venue has said of late that the market does not trade.
    pub fn is_halted_now(&self, stale_after: Duration, now: Now) -> bool {
        let late = self.confirmed.is_none_or(|at| now.monotonic.saturating_sub(at) > stale_after);
        self.last.is_some() && self.is_suspended() && !self.presence.is_gone() && !late
    }

    fn is_suspended(&self) -> bool {
        self.halt.is_some() || self.presence.listing().is_some_and(|listing| listing.halted)
    }

    /// Returns the price that is held back.
    pub fn held_price(&self) -> Option<Price> {
        self.held.as_ref().map(|held| held.arrival.ticker.last)
    }

    /// Returns the newest price that is believed.
    pub fn last_price(&self) -> Option<Price> {
        self.last.map(|last| last.price)
    }

    /// Returns why the price is none of now, if that follows from what the venue has said.
    pub fn why_no_price(&self) -> Option<(&'static str, String)> {
        if self.presence.is_gone() {
            let code = if self.last.is_some() { "delisted" } else { "unlisted" };
            return Some((code, "the exchange does not list it".to_owned()));
        }
        let unproven = self.former.as_ref().map(|_| Implausible::Unproven);
        if let Some(refused) = self.refused.or(unproven) {
            return Some((refused.code(), refused.to_string()));
        }
        if self.held.is_some() {
            return Some(("price-jump", "its price has jumped, and no second witness has said so yet".to_owned()));
        }
        match self.halt_reason().filter(|_| self.last.is_some())? {
            HaltReason::Delisted => Some(("delisted", "the exchange says that it is delisted".to_owned())),
            HaltReason::Suspended => Some(("halted", "the exchange says that it does not trade".to_owned())),
        }
    }

    /// Returns why there is no base at `time`, if that follows from what the venue has said.
    pub fn why_no_base(&self, time: Timestamp) -> Option<NoChange> {
        if self.former.is_some() {
            return Some(NoChange::Relisted);
        }
        if self.rescaled {
            return Some(NoChange::Rescaled);
        }
        if self.presence.since().is_some_and(|since| since > time) {
            return Some(NoChange::NewListing);
        }
        self.window.known_from(Minute::of(time).plus(-1)).map(|_| NoChange::NoEarlierTrade)
    }

    /// Returns the same with its code, for an operator.
    pub fn explain_no_base(&self, time: Timestamp) -> Option<(&'static str, String)> {
        let why = self.why_no_base(time)?;
        let detail = match (why, self.presence.since()) {
            (NoChange::Rescaled, _) => Implausible::Rescaled.to_string(),
            (NoChange::Relisted, _) => Implausible::Unproven.to_string(),
            (NoChange::NewListing, Some(since)) => format!("listed at {since}, after {time}"),
            _ => format!("its candles tell of no trade before {time}"),
        };
        Some((why.as_str(), detail))
    }

    /// Returns why there is no change to `places` decimal places, if one is too wide to be worked out exactly.
    pub fn why_no_change(&self, bases: Bases, places: u32) -> Option<(&'static str, String)> {
        let last = self.last?.price;
        let base = bases.into_iter().flatten().find(|base| Change::between(last, base.price, places).is_none())?.price;
        Some((
            NoChange::TooWide.as_str(),
            format!("the change of {last} against {base} has more digits than can be worked out exactly"),
        ))
    }

    /// Returns whether the venue's list lacks the market and it never traded here.
    pub fn is_foreign(&self) -> bool {
        self.presence.is_gone() && self.last.is_none()
    }

    /// Returns the base of each basis, as of `at` by the venue's clock; none that is in another unit than the price.
    pub fn bases(&self, at: Timestamp) -> Bases {
        let known = self.known_bases(at);
        known.map(|base| base.filter(|&base| self.last.is_none_or(|last| !self.is_rescaled(base, last.price))))
    }

    fn known_bases(&self, at: Timestamp) -> Bases {
        std::array::from_fn(|index| self.known_base(index, at))
    }

    fn known_base(&self, index: usize, at: Timestamp) -> Option<Base> {
        let (basis, time, unit) = (Basis::ALL[index], Basis::ALL[index].base_time(at), self.unit(at));
        let price = self.window.price_before_in(time, unit);
        let ours = price.map(|price| Base { price, at: time, source: BaseSource::Window });
        let kept = || self.kept.filter(|(as_of, _)| *as_of == at).and_then(|(_, bases)| bases[index]);
        ours.or_else(kept).or_else(|| self.venue_base(basis, at, unit))
    }

    /// The minute whose unit the last price is in: that of its trade, where the venue says it.
    fn unit(&self, at: Timestamp) -> Minute {
        Minute::of(self.last.and_then(|last| last.venue_time()).or(self.confirmed_there).unwrap_or(at))
    }

    fn venue_base(&self, basis: Basis, at: Timestamp, unit: Minute) -> Option<Base> {
        let time = basis.base_time(at);
        // The venue's own figure may reach back to a listing that ended, or to another unit: which it is in then is not told.
        let own = self.presence.since().is_none_or(|since| since <= time)
            && self.window.units().is_one(Minute::of(time), unit);
        let price = self.said.base(at).filter(|_| basis == Basis::Rolling24h && own)?;
        Some(Base { price, at: time, source: BaseSource::Venue })
    }

    fn is_rescaled(&self, base: Base, last: Price) -> bool {
        let unexplained = self.jumps(base, last).into_iter().filter(|(minute, _)| !self.moves.contains(minute));
        unexplained.map(|(_, power)| power).sum::<i32>() != 0 && !self.venue_measures_across(self.unit(base.at))
    }

    fn jumps(&self, base: Base, last: Price) -> Vec<(Minute, i32)> {
        // Only where they lie far apart is it worth a look at what lies between.
        let far = |a: Price, b: Price| a.get().checked_mul(Decimal::TWO).is_some_and(|twice| twice < b.get());
        let apart = far(base.price, last) || far(last, base.price);
        if !apart {
            return Vec::new();
        }
        self.window.jumps(Minute::of(base.at), base.price, last, self.unit(base.at))
    }

    /// Returns whether the venue's own rolling figure has the price of a day ago as the window has it: then the venue
    /// itself measures its change in one unit.
    fn venue_measures_across(&self, unit: Minute) -> bool {
        let both = self.confirmed_there.and_then(|at| {
            let time = Basis::Rolling24h.base_time(at);
            Some((self.window.price_before_in(time, unit)?, self.said.base(at)?))
        });
        // The two moments may be some seconds apart.
        both.is_some_and(|(ours, theirs)| !jump::is_jump(ours, theirs, SAME_BASE_PERCENT))
    }

    /// Returns the jumps by a power of ten since the base of 24 hours, as of `at` by the venue's clock.
    pub fn jumps_since_base(&self, at: Timestamp) -> Vec<(Minute, i32)> {
        let base = self.known_base(0, at);
        self.last.zip(base).map_or_else(Vec::new, |(last, base)| self.jumps(base, last.price))
    }

    /// Takes in in which minutes another exchange has jumped as well.
    pub fn set_moves(&mut self, moves: BTreeSet<Minute>) {
        self.moves = moves;
    }

    /// Returns the window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Returns when the price was last confirmed.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        self.confirmed_at
    }

    /// Returns when that was by the venue's clock.
    pub fn confirmed_there(&self) -> Option<Timestamp> {
        self.confirmed_there
    }

    /// Fills in the figures of a row; its source and state are the row's own matter.
    pub fn figures(&self, quote_asset: &str) -> Figures {
        let listing = self.presence.listing();
        let (low_24h, high_24h, range_source) = self.range();
        let name = |name: Option<&String>| name.map(|name| Arc::from(name.as_str()));
        Figures {
            last: self.last.map(|last| last.price),
            digits: self.last.map_or(0, |last| {
                let tick = listing.and_then(|listing| listing.tick_size).or(self.tick_size);
                tick_size::digits(tick, quote_asset, last.price, self.places.most())
            }),
            korean_name: name(listing.and_then(|listing| listing.korean_name.as_ref())),
            english_name: name(listing.and_then(|listing| listing.english_name.as_ref())),
            high_24h,
            low_24h,
            range_source,
            base_volume_24h: self.confirmed_there.and_then(|at| self.said.base_volume(at)),
            quote_volume_24h: self.confirmed_there.and_then(|at| self.said.quote_volume(at)),
            traded_at: self.last.and_then(|last| last.traded_at),
            received_at: self.last.map(|last| last.received_at),
        }
    }
}

/// What a feed gives to a row.
#[derive(Debug)]
pub struct Figures {
    pub last: Option<Price>,
    pub digits: u32,
    pub korean_name: Option<Arc<str>>,
    pub english_name: Option<Arc<str>>,
    pub high_24h: Option<Price>,
    pub low_24h: Option<Price>,
    pub range_source: Option<BaseSource>,
    pub base_volume_24h: Option<Decimal>,
    pub quote_volume_24h: Option<Decimal>,
    pub traded_at: Option<Timestamp>,
    pub received_at: Option<Timestamp>,
}

/// A base of the venue's and one of ours that are no farther apart are the same, in percent.
const SAME_BASE_PERCENT: u32 = 20;

/// Old news for so long, and nothing else, are not the beginning of a connection.
const LATE_MAX: Duration = Duration::from_secs(5);

/// A fetched answer may be a copy from before, with an older trade; one that says the same for so long is none.
const OLDER_MAX: Duration = Duration::from_secs(30);

fn numbered(trade: Option<u64>) -> String {
    trade.map_or_else(String::new, |number| format!(" (trade {number})"))
}
