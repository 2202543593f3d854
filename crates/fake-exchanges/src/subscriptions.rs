//! The ticker subscriptions of a session: what was sent of each market, and what is due.

use std::collections::BTreeMap;

use super::fault_view::FaultView;
use super::session::Step;
use super::ticker_figures::TickerFigures;

/// The subscribed symbols of one connection.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// Minimum time between two messages about a market, in ms.
    every: i64,
    by_symbol: BTreeMap<String, Sent>,
}

/// What was sent of a market.
#[derive(Debug, Default)]
struct Sent {
    /// Id of the last trade; 0 before the first message.
    trade_id: u64,
    halted: bool,
    /// Unix ms from which the next message may be sent.
    next_at: i64,
}

impl Subscriptions {
    /// Creates an empty list; `every` is the minimum time between two messages about a market, in ms.
    pub fn new(every: i64) -> Self {
        Self { every, by_symbol: BTreeMap::new() }
    }

    /// Subscribes to a symbol.
    pub fn add(&mut self, symbol: &str) {
        self.by_symbol.insert(symbol.to_owned(), Sent::default());
    }

    /// Ends the subscription to a symbol.
    pub fn remove(&mut self, symbol: &str) {
        self.by_symbol.remove(symbol);
    }

    /// Subscribes to all of `symbols`, or ends their subscriptions; does nothing and returns false if one of them is
    /// unknown.
    pub fn change(&mut self, view: &FaultView<'_>, venue: &str, symbols: &[&str], is_wanted: bool) -> bool {
        if symbols.iter().any(|symbol| view.simulation.by_symbol(venue, symbol).is_none()) {
            return false;
        }
        for symbol in symbols {
            if is_wanted { self.add(symbol) } else { self.remove(symbol) }
        }
        true
    }

    /// Returns the steps that send the figures of [`Self::due`].
    pub fn poll(
        &mut self,
        view: &FaultView<'_>,
        venue: &str,
        offset: i64,
        encode: impl Fn(&TickerFigures<'_>) -> String,
    ) -> Vec<Step> {
        let step =
            |figures: &TickerFigures<'_>| Step::Data { symbol: figures.market.symbol.clone(), body: encode(figures) };
        self.due(view, venue, offset).iter().map(step).collect()
    }

    /// Returns the figures to send now: of markets that traded since the last message or were halted, and the older
    /// ones that a `replay` fault repeats at the beginning. `offset` (ms) is the offset of the venue's day from UTC.
    pub fn due<'a>(&mut self, view: &FaultView<'a>, venue: &str, offset: i64) -> Vec<TickerFigures<'a>> {
        let mut due = Vec::new();
        for (symbol, sent) in &mut self.by_symbol {
            let Some(market) = view.simulation.by_symbol(venue, symbol) else { continue };
            let Some(last) = market.trade_log.last().filter(|_| sent.next_at <= view.now) else { continue };
            let is_first = sent.trade_id == 0;
            if last.id <= sent.trade_id && market.halted == sent.halted {
                continue;
            }
            due.push(TickerFigures::at_trade(view, market, last, offset));
            if is_first && view.effects.replay > 0 {
                let count = view.effects.replay;
                let trades = market.trade_log.after_id(last.id.saturating_sub(count.into()), count as usize);
                due.extend(trades.map(|trade| TickerFigures::replayed(view, market, trade, offset)));
            }
            *sent = Sent { trade_id: last.id, halted: market.halted, next_at: view.now + self.every };
        }
        due
    }
}
