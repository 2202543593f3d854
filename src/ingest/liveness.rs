//! Liveness of each market: when its price was last confirmed, and whether its stream is dead.
//!
//! Pure: time is an argument. Heartbeats, pongs and acknowledgements never
//! reach this module, so only a price can make a market look alive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::assignment::Assignment;
use super::limits::Backoff;
use super::settings::Settings;
use crate::market::{Market, Price, Ticker};

/// When the stream of a market is found dead this many times in a row, its connection is replaced; at any other count,
/// the market is only subscribed to again.
pub const STRIKES_MAX: u32 = 3;

/// What distinguishes one trade from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TradeKey {
    traded_at: Option<Timestamp>,
    trade_id: Option<u64>,
    last: Price,
}

impl TradeKey {
    pub fn of(ticker: &Ticker) -> Self {
        Self { traded_at: ticker.traded_at, trade_id: ticker.trade_id, last: ticker.last }
    }

    /// Returns whether it has more than a price, so that of two different trades the later one is known.
    fn is_ordered(&self) -> bool {
        self.trade_id.is_some() || self.traded_at.is_some()
    }

    /// Returns whether this trade is later than `other`, by the best criterion that both have: id, time, or else a
    /// different price.
    pub fn is_later_than(&self, other: &Self) -> bool {
        match (self.trade_id.zip(other.trade_id), self.traded_at.zip(other.traded_at)) {
            (Some((mine, theirs)), _) => mine > theirs,
            (None, Some((mine, theirs))) => mine > theirs,
            (None, None) => self.last != other.last,
        }
    }
}

/// Liveness of one market.
#[derive(Debug, Default)]
struct MarketLiveness {
    connection: usize,
    /// Whether a connection has subscribed to it, delivering or not.
    subscribed: bool,
    /// When the venue refused that subscription, or when it was last sent again after that; `None` if not refused.
    refused_at: Option<Duration>,
    confirmed_at: Option<Duration>,
    /// When the stream last delivered a price.
    streamed_at: Option<Duration>,
    requested_at: Option<Duration>,
    /// Set while it is requested alone, since it was refused, missing, unreadable or late: not before this time.
    isolated: Option<(Duration, Backoff)>,
    /// The newest trade known from any source.
    newest: Option<TradeKey>,
    /// The newest trade that the stream delivered; until then, the one that REST reported after the subscription.
    reference: Option<TradeKey>,
    /// Since when the newest subscription has had a reference.
    watched_since: Option<Duration>,
    /// A trade that REST reported and the stream did not, and when that was found.
    missed: Option<(Duration, TradeKey)>,
    found_dead_at: Option<Duration>,
    strikes: u32,
    dead: bool,
}

/// Liveness of all wanted markets.
#[derive(Debug)]
pub struct Liveness {
    markets: BTreeMap<Market, MarketLiveness>,
    /// Whether each connection delivers or has failed; those that are being opened for the first time are absent.
    up: BTreeMap<usize, bool>,
    /// When silent markets were last checked.
    checked_at: Option<Duration>,
    confirm_after: Duration,
    poll_every: Duration,
    lag_grace: Duration,
    first_message: Duration,
    refused_retry: Duration,
    isolation_backoff: Backoff,
}

/// Markets to request now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Those with a stream that is down or dead.
    pub poll: Vec<Market>,
    /// Those with a stream that is up but silent.
    pub check: Vec<Market>,
}

impl MarketLiveness {
    /// Returns whether the stream of the market is down, given whether its connection delivers.
    fn is_down(&self, up: &BTreeMap<usize, bool>) -> bool {
        self.dead || self.refused_at.is_some() || up.get(&self.connection) != Some(&true)
    }

    fn record_newest(&mut self, seen: TradeKey) {
        if self.newest.is_none_or(|newest| seen.is_later_than(&newest)) {
            self.newest = Some(seen);
        }
    }
}

impl Liveness {
    /// Starts without markets.
    pub fn new(settings: &Settings) -> Self {
        Self {
            markets: BTreeMap::new(),
            up: BTreeMap::new(),
            checked_at: None,
            confirm_after: settings.confirm_after,
            poll_every: settings.poll_every,
            lag_grace: settings.lag_grace,
            first_message: settings.first_message,
            refused_retry: settings.refused_retry,
            isolation_backoff: Backoff::new(settings.poll_every, settings.backoff_max),
        }
    }

    /// Forgets the markets that are not assigned any more, and starts with no new one confirmed.
    pub fn set_markets(&mut self, connections: &Assignment) {
        let mut markets = BTreeMap::new();
        for (connection, assigned) in connections.iter() {
            for market in assigned {
                let state = self.markets.remove(market);
                let state = state.unwrap_or_else(|| MarketLiveness { connection, ..MarketLiveness::default() });
                markets.insert(market.clone(), state);
            }
        }
        self.markets = markets;
    }

    /// Records that a new connection subscribed to `markets`: it is not measured by what the old one delivered.
    pub fn record_subscription(&mut self, markets: &[Market]) {
        for market in markets {
            if let Some(state) = self.markets.get_mut(market) {
                state.subscribed = true;
                state.refused_at = None;
                (state.reference, state.watched_since, state.missed) = (None, None, None);
            }
        }
    }

    /// Records that the venue refused to stream a market: it is polled, and its trades are no evidence against the
    /// connection, until there is another subscription or the stream delivers it after all.
    pub fn record_refusal(&mut self, market: &Market, now: Duration) {
        if let Some(state) = self.markets.get_mut(market) {
            state.refused_at = Some(now);
            (state.reference, state.watched_since, state.missed) = (None, None, None);
        }
    }

    /// Returns whether the venue refused to stream all of these markets.
    pub fn all_refused(&self, markets: &[Market]) -> bool {
        markets.iter().all(|market| self.markets.get(market).is_some_and(|state| state.refused_at.is_some()))
    }

    /// Returns the markets to subscribe to again because their refusal is long ago, by connection. They are polled
    /// until the stream delivers them.
    pub fn take_due_refused(&mut self, listed: &BTreeSet<Market>, now: Duration) -> BTreeMap<usize, Vec<Market>> {
        let mut due: BTreeMap<usize, Vec<Market>> = BTreeMap::new();
        for (market, state) in self.markets.iter_mut().filter(|(market, _)| listed.contains(*market)) {
            if state.refused_at.is_some_and(|at| now.saturating_sub(at) >= self.refused_retry) {
                state.refused_at = Some(now);
                due.entry(state.connection).or_default().push(market.clone());
            }
        }
        due
    }

    /// Records that a failed connection was replaced by one that had subscribed to `markets` before the failure:
    /// the trades that it is measured by stay valid.
    pub fn record_takeover(&mut self, markets: &[Market]) {
        for market in markets {
            if let Some(state) = self.markets.get_mut(market) {
                state.subscribed = true;
            }
        }
    }

    /// Records a ticker from the stream.
    pub fn record_streamed(&mut self, market: &Market, ticker: &Ticker, now: Duration) {
        let Some(state) = self.markets.get_mut(market) else { return };
        let seen = TradeKey::of(ticker);
        state.record_newest(seen);
        (state.confirmed_at, state.streamed_at) = (Some(now), Some(now));
        (state.subscribed, state.refused_at) = (true, None);
        // By its price alone, any other trade looks later than the missed one; but a price that moves is not dead.
        let has_moved = !seen.is_ordered() && state.reference.is_some_and(|reference| reference.last != seen.last);
        if has_moved || state.missed.is_none_or(|(_, missed)| !missed.is_later_than(&seen)) {
            (state.missed, state.found_dead_at, state.strikes, state.dead) = (None, None, 0, false);
        }
        if state.reference.is_none_or(|reference| !seen.is_ordered() || !reference.is_later_than(&seen)) {
            state.reference = Some(seen);
            state.watched_since.get_or_insert(now);
        }
    }

    /// Records a ticker from REST.
    pub fn record_fetched(&mut self, market: &Market, ticker: &Ticker, now: Duration) {
        let Some(state) = self.markets.get_mut(market) else { return };
        let seen = TradeKey::of(ticker);
        state.record_newest(seen);
        state.confirmed_at = Some(now);
        // Without times, a price that was requested before the stream's last one proves nothing.
        let is_outdated = !seen.is_ordered() && state.requested_at.is_some_and(|at| state.streamed_at > Some(at));
        state.requested_at = Some(now);
        match state.reference {
            _ if !state.subscribed || state.refused_at.is_some() || is_outdated => {}
            None => (state.reference, state.watched_since) = (Some(seen), Some(now)),
            Some(reference) if seen.is_later_than(&reference) => {
                state.missed.get_or_insert((now, seen));
            }
            // A response that was under way while the price went up and down again.
            Some(_) if !seen.is_ordered() && !state.dead => state.missed = None,
            Some(_) => {}
        }
    }

    /// Returns the newest known trade of a market.
    pub fn newest_trade(&self, market: &Market) -> Option<TradeKey> {
        self.markets.get(market)?.newest
    }

    /// Records that a connection started or stopped delivering.
    pub fn set_connection_up(&mut self, connection: usize, up: bool) {
        self.up.insert(connection, up);
        self.set_subscribed(connection, up);
    }

    /// Records that a connection was closed because it is not needed.
    pub fn forget_connection(&mut self, connection: usize) {
        self.up.remove(&connection);
        self.set_subscribed(connection, false);
    }

    fn set_subscribed(&mut self, connection: usize, up: bool) {
        for state in self.markets.values_mut().filter(|state| state.connection == connection) {
            state.subscribed = up;
            if !up {
                state.refused_at = None;
                (state.missed, state.found_dead_at) = (None, None);
            }
        }
    }

    /// Returns whether all of these connections deliver.
    pub fn all_up(&self, connections: &[usize]) -> bool {
        connections.iter().all(|connection| self.is_up(*connection))
    }

    /// Returns whether any connection delivers.
    pub fn any_up(&self) -> bool {
        self.up.values().any(|up| *up)
    }

    /// Returns whether any connection has failed and does not deliver again yet.
    pub fn any_failed(&self) -> bool {
        self.up.values().any(|up| !up)
    }

    fn is_up(&self, connection: usize) -> bool {
        self.up.get(&connection) == Some(&true)
    }

    /// Returns whether the stream delivers a market.
    pub fn is_streamed(&self, market: &Market) -> bool {
        self.markets.get(market).is_some_and(|state| !state.is_down(&self.up))
    }

    /// Isolates a market without a usable response: from now on it is requested alone, with growing delays.
    pub fn isolate(&mut self, market: &Market, now: Duration) {
        let initial = &self.isolation_backoff;
        if let Some(state) = self.markets.get_mut(market) {
            let (until, backoff) = state.isolated.get_or_insert_with(|| (now, initial.clone()));
            *until = now + backoff.after_failure();
        }
    }

    /// Ends the isolation of a market, after a usable response.
    pub fn end_isolation(&mut self, market: &Market) {
        if let Some(state) = self.markets.get_mut(market) {
            state.isolated = None;
        }
    }

    /// Returns those of `markets` that are not isolated.
    pub fn not_isolated(&self, markets: &[Market]) -> Vec<Market> {
        let is_batched = |market: &&Market| self.markets.get(*market).is_none_or(|state| state.isolated.is_none());
        markets.iter().filter(is_batched).cloned().collect()
    }

    /// Returns the isolated markets to request now, and whether the stream of each is down.
    pub fn due_isolated(&self, listed: &BTreeSet<Market>, now: Duration) -> Vec<(Market, bool)> {
        let states = self.markets.iter().filter(|(market, _)| listed.contains(*market));
        let due = states.filter_map(|(market, state)| {
            let is_polled = state.is_down(&self.up);
            let is_unconfirmed = state.confirmed_at.is_none_or(|at| now.saturating_sub(at) >= self.confirm_after);
            let (until, _) = state.isolated.as_ref()?;
            (*until <= now && (is_polled || is_unconfirmed)).then(|| (market.clone(), is_polled))
        });
        due.collect()
    }

    /// Returns the markets among `listed` to request now.
    ///
    /// When one is due, it takes along those that will be due soon, so that a
    /// quiet night costs one request per `confirm_after`, not one per market.
    pub fn due(&mut self, listed: &BTreeSet<Market>, now: Duration) -> Due {
        let age = |since: Option<Duration>| since.map_or(Duration::MAX, |since| now.saturating_sub(since));
        let mut due = Due::default();
        let (mut poll_now, mut check_now, mut is_new) = (false, false, false);
        let is_batched =
            |(market, state): &(&Market, &MarketLiveness)| listed.contains(*market) && state.isolated.is_none();
        for (market, state) in self.markets.iter().filter(is_batched) {
            let since_request = age(state.requested_at);
            if state.is_down(&self.up) {
                if since_request >= self.poll_every / 2 {
                    due.poll.push(market.clone());
                    poll_now |= since_request >= self.poll_every;
                }
            } else {
                let unconfirmed = age(state.confirmed_at).min(since_request);
                if unconfirmed >= self.confirm_after / 2 {
                    due.check.push(market.clone());
                    check_now |= unconfirmed >= self.confirm_after;
                    is_new |= state.requested_at.is_none() && state.confirmed_at.is_none();
                }
            }
        }
        // A new market does not wait for the next check.
        check_now &= is_new || age(self.checked_at) >= self.confirm_after;
        if check_now {
            self.checked_at = Some(now);
        } else {
            due.check.clear();
        }
        if !poll_now {
            due.poll.clear();
        }
        // Markets that a truncated response left out come first, in case the next one is truncated too.
        due.poll.sort_by_key(|market| self.markets.get(market).and_then(|state| state.confirmed_at));
        due
    }

    /// Records that these markets were requested, whatever the outcome.
    pub fn record_request(&mut self, markets: &[Market], now: Duration) {
        for market in markets {
            if let Some(state) = self.markets.get_mut(market) {
                state.requested_at = Some(now);
            }
        }
    }

    /// Marks as dead the markets whose stream has missed a trade for longer than `lag_grace`. Returns each at most
    /// once per `first_message`, with its connection and how often in a row it was found dead.
    pub fn mark_dead(&mut self, now: Duration) -> Vec<(Market, usize, u32)> {
        let mut dead = Vec::new();
        for (market, state) in &mut self.markets {
            let overdue = state.missed.is_some_and(|(since, _)| now.saturating_sub(since) >= self.lag_grace);
            let may_repeat = state.found_dead_at.is_none_or(|at| now.saturating_sub(at) >= self.first_message);
            if overdue && may_repeat {
                state.strikes += 1;
                state.dead = true;
                state.found_dead_at = Some(now);
                dead.push((market.clone(), state.connection, state.strikes));
            }
        }
        dead
    }

    /// Returns whether these markets have been watched for missed trades for at least `age`. Those without usable
    /// data since the subscription are ignored.
    pub fn is_watched_for(&self, markets: &[Market], age: Duration, now: Duration) -> bool {
        let states = markets.iter().filter_map(|market| self.markets.get(market));
        let newest = states.filter_map(|state| state.watched_since).max();
        newest.is_some_and(|since| now.saturating_sub(since) >= age)
    }

    /// Returns the first of `markets` with a trade that the stream missed.
    pub fn first_missed<'a>(&self, markets: &'a [Market]) -> Option<&'a Market> {
        markets.iter().find(|market| self.markets.get(*market).is_some_and(|state| state.missed.is_some()))
    }

    /// Returns how many markets were confirmed within `age`, by any source.
    pub fn count_confirmed_within(&self, age: Duration, now: Duration) -> usize {
        self.markets.values().filter(|state| state.confirmed_at.is_some_and(|at| now.saturating_sub(at) <= age)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue;

    const GRACE: Duration = Duration::from_secs(2);

    fn ticker(price: &str) -> Ticker {
        Ticker::new(price.parse().unwrap())
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Returns the liveness of one market whose stream has delivered `price`, without times and trade ids.
    fn streaming(price: &str) -> (Liveness, Market) {
        let market: Market = "BTC-USD".parse().unwrap();
        let settings = Settings { lag_grace: GRACE, ..Settings::defaults(venue::find("bitfinex").unwrap().profile()) };
        let mut liveness = Liveness::new(&settings);
        let mut assignment = Assignment::new(1);
        assignment.update(&BTreeSet::from([market.clone()]));
        liveness.set_markets(&assignment);
        liveness.set_connection_up(0, true);
        liveness.record_subscription(std::slice::from_ref(&market));
        liveness.record_streamed(&market, &ticker(price), at(0));
        (liveness, market)
    }

    #[test]
    fn a_price_that_moves_on_is_not_dead_although_the_response_was_never_streamed() {
        let (mut liveness, market) = streaming("100");
        liveness.record_fetched(&market, &ticker("101"), at(1));
        assert!(liveness.first_missed(std::slice::from_ref(&market)).is_some());
        liveness.record_streamed(&market, &ticker("102"), at(2));
        assert_eq!(liveness.mark_dead(at(1) + GRACE), []);
    }

    #[test]
    fn a_response_is_compared_with_the_price_that_was_streamed_last() {
        let (mut liveness, market) = streaming("100");
        liveness.record_streamed(&market, &ticker("101"), at(1));
        liveness.record_fetched(&market, &ticker("101"), at(2));
        assert_eq!(liveness.first_missed(std::slice::from_ref(&market)), None);
        liveness.record_fetched(&market, &ticker("100"), at(3));
        assert_eq!(liveness.mark_dead(at(3) + GRACE).len(), 1);
    }

    #[test]
    fn a_stream_that_agrees_with_the_next_response_has_missed_nothing() {
        let (mut liveness, market) = streaming("100");
        liveness.record_fetched(&market, &ticker("101"), at(1));
        liveness.record_fetched(&market, &ticker("100"), at(2));
        assert_eq!(liveness.mark_dead(at(1) + GRACE), []);
    }

    #[test]
    fn a_response_that_was_requested_before_the_last_streamed_price_proves_nothing() {
        let (mut liveness, market) = streaming("100");
        liveness.record_request(std::slice::from_ref(&market), at(1));
        liveness.record_streamed(&market, &ticker("101"), at(2));
        liveness.record_fetched(&market, &ticker("100"), at(3));
        assert_eq!(liveness.first_missed(std::slice::from_ref(&market)), None);
        liveness.record_request(std::slice::from_ref(&market), at(4));
        liveness.record_fetched(&market, &ticker("102"), at(5));
        assert_eq!(liveness.mark_dead(at(5) + GRACE).len(), 1);
    }

    #[test]
    fn a_stream_that_repeats_an_old_price_is_dead() {
        let (mut liveness, market) = streaming("100");
        liveness.record_fetched(&market, &ticker("101"), at(1));
        liveness.record_streamed(&market, &ticker("100"), at(2));
        assert_eq!(liveness.mark_dead(at(1) + GRACE), [(market.clone(), 0, 1)]);
        // It stays dead when the market happens to come back to the price that the stream is stuck at.
        liveness.record_fetched(&market, &ticker("100"), at(5));
        assert!(!liveness.is_streamed(&market));
        liveness.record_streamed(&market, &ticker("103"), at(6));
        assert!(liveness.is_streamed(&market));
    }

    #[test]
    fn a_trade_with_a_time_is_missed_until_one_as_late_is_streamed() {
        let (mut liveness, market) = streaming("100");
        let traded =
            |price, second| Ticker { traded_at: Some(Timestamp::from_second(second).unwrap()), ..ticker(price) };
        liveness.record_subscription(std::slice::from_ref(&market));
        liveness.record_streamed(&market, &traded("100", 10), at(1));
        liveness.record_fetched(&market, &traded("101", 20), at(2));
        liveness.record_streamed(&market, &traded("102", 15), at(3));
        assert_eq!(liveness.mark_dead(at(2) + GRACE), [(market, 0, 1)]);
    }
}
