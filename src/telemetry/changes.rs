//! What operators read in the log of exchanges: each change once, with its cause, its consequence and its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tracing::{error, info, warn};

use crate::domain::{Market, Publish, Quote, ReasonCode, SourceId, VenueHealth, VenueId, VenueState};

/// Lines about one exchange in [`WINDOW`]; the rest is counted.
const LINES_MAX: u32 = 6;

/// See [`LINES_MAX`].
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Markets that one line names; the count beside them is complete.
const NAMED_MAX: usize = 5;

/// Logs the changes of exchanges and of where rows come from.
#[derive(Debug, Default)]
pub struct ChangeLog {
    venues: BTreeMap<VenueId, Venue>,
    /// Where each row comes from, and since when if that is a fallback.
    rows: BTreeMap<(SourceId, Market), (VenueId, Option<Timestamp>)>,
}

#[derive(Debug)]
struct Venue {
    state: VenueState,
    code: Option<ReasonCode>,
    /// Since when it has not been up, once it was or has failed.
    failing_since: Option<Timestamp>,
    window: Timestamp,
    lines: u32,
    suppressed: u32,
}

/// Rows that moved from one exchange to another at once.
#[derive(Debug, Default)]
struct Move {
    markets: Vec<Market>,
    since: Option<Timestamp>,
}

impl ChangeLog {
    /// Logs what has changed.
    pub fn note(&mut self, publish: &Publish) {
        publish.venues.iter().for_each(|health| self.note_venue(health, publish.at));
        self.note_rows(&publish.changed, publish.at);
    }

    fn note_venue(&mut self, health: &VenueHealth, at: Timestamp) {
        let code = health.reason.as_ref().map(|reason| reason.code);
        let venue = self.venues.entry(health.venue).or_insert(Venue {
            state: VenueState::Connecting,
            code: None,
            failing_since: None,
            window: at,
            lines: 0,
            suppressed: 0,
        });
        if (venue.state, venue.code) == (health.state, code) {
            return;
        }
        let before = std::mem::replace(&mut venue.state, health.state);
        venue.code = code;
        // Polling without a reason is what was asked for.
        let works = health.state == VenueState::Up || (health.state == VenueState::Delayed && code.is_none());
        let lasted = venue.failing_since.map(|since| seconds(at.duration_since(since)));
        let restored = works && venue.failing_since.is_some();
        let failed = matches!(health.state, VenueState::Down | VenueState::Delayed) || before == VenueState::Up;
        venue.failing_since = if works { None } else { venue.failing_since.or(failed.then_some(at)) };
        if at.duration_since(venue.window).abs() > WINDOW {
            (venue.window, venue.lines) = (at, 0);
        }
        venue.lines += 1;
        // The end of a failure is always told, so that none seems to go on.
        if venue.lines > LINES_MAX && !restored {
            venue.suppressed += 1;
            return;
        }
        let suppressed = Some(std::mem::take(&mut venue.suppressed)).filter(|count| *count > 0);
        let (id, state) = (health.venue, health.state.as_str());
        let detail = health.reason.as_ref().map(|reason| reason.message.as_str());
        let reason = code.map(ReasonCode::as_str);
        match health.state {
            VenueState::Down => error!(
                venue = %id, state, reason, detail, lasted, suppressed,
                "exchange down: no price comes from it; retrying"
            ),
            VenueState::Delayed if code.is_some() => warn!(
                venue = %id, state, reason, detail, lasted, suppressed,
                "streaming failed: prices are polled and shown as delayed; reconnecting"
            ),
            VenueState::Connecting if before == VenueState::Up || code.is_some() => {
                warn!(venue = %id, state, reason, detail, lasted, suppressed, "exchange connection lost; reconnecting");
            }
            VenueState::Connecting => info!(venue = %id, state, "connecting to the exchange"),
            VenueState::Up if code.is_some() => warn!(
                venue = %id, state, reason, detail, lasted, suppressed,
                "exchange connected, but not everything it sends is usable"
            ),
            VenueState::Up | VenueState::Delayed if restored => {
                info!(venue = %id, state, lasted, suppressed, "exchange connection restored");
            }
            VenueState::Up | VenueState::Delayed => info!(venue = %id, state, suppressed, "exchange connected"),
        }
    }

    fn note_rows(&mut self, changed: &[Arc<Quote>], at: Timestamp) {
        let mut moves: BTreeMap<(VenueId, VenueId, bool), Move> = BTreeMap::new();
        for quote in changed.iter().filter(|quote| quote.last.is_some()) {
            let key = (quote.source.clone(), quote.market.clone());
            let since = quote.fallback.then_some(at);
            let (from, before) = match self.rows.get_mut(&key) {
                Some((venue, _)) if *venue == quote.venue => continue,
                Some(row) => std::mem::replace(row, (quote.venue, since)),
                None => {
                    self.rows.insert(key, (quote.venue, since));
                    if !quote.fallback {
                        continue;
                    }
                    (quote.venue, None)
                }
            };
            let moved = moves.entry((from, quote.venue, quote.fallback)).or_default();
            moved.markets.push(quote.market.clone());
            moved.since = moved.since.into_iter().chain(before).min();
        }
        for ((from, to, fallback), Move { markets, since }) in moves {
            let named: Vec<&str> = markets.iter().take(NAMED_MAX).map(|market| market.as_str()).collect();
            let (named, count) = (named.join(","), markets.len());
            let lasted = since.map(|since| seconds(at.duration_since(since)));
            let from = (from != to).then(|| tracing::field::display(from));
            if fallback {
                warn!(from, venue = %to, count, markets = named, "prices now come from a fallback exchange");
            } else {
                info!(from, venue = %to, count, markets = named, lasted, "prices come from the preferred exchange again");
            }
        }
    }
}

/// `75s`.
fn seconds(duration: SignedDuration) -> String {
    format!("{}s", duration.as_secs())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::domain::Reason;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Plays changes of one exchange, each some seconds after the start, and returns the log.
    fn logged(changes: &[(i64, VenueState, Option<ReasonCode>)]) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
        let subscriber = lines.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut log = ChangeLog::default();
            for &(at, state, code) in changes {
                let at = Timestamp::from_second(1_700_000_000 + at).unwrap();
                let mut health = VenueHealth::new(VenueId("toy"), 1, at);
                (health.state, health.reason) = (state, code.map(|code| Reason::new(code, "a cause")));
                log.note(&Publish { at, changed: Vec::new(), confirmed: Vec::new(), venues: vec![health] });
            }
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn fc_59_each_change_has_its_level_cause_and_end() {
        use VenueState::{Delayed, Down, Up};
        let connect = Some(ReasonCode::Connect);
        let lines = logged(&[
            (0, Up, None),
            (1, Up, None),
            (10, Delayed, connect),
            (20, Down, connect),
            (21, Down, connect),
            (85, Up, None),
        ]);
        let begins = [
            "INFO exchange connected",
            "WARN streaming failed",
            "ERROR exchange down",
            "INFO exchange connection restored",
        ];
        assert_eq!(lines.len(), begins.len(), "{lines:#?}");
        for (line, begin) in lines.iter().zip(begins) {
            assert!(line.starts_with(begin) && line.contains("venue=toy") && !line.contains("suppressed"), "{line}");
        }
        assert!(lines[2].contains("detail=\"a cause\"") && lines[2].contains("lasted=\"10s\""), "{lines:#?}");
        assert!(lines[3].contains("lasted=\"75s\""), "{lines:#?}");
    }

    #[test]
    fn fc_59_an_exchange_that_flaps_does_not_fill_the_log_and_its_end_is_told() {
        let flaps: Vec<_> = (0..40)
            .map(|at| (at, if at % 2 == 0 { VenueState::Delayed } else { VenueState::Down }, Some(ReasonCode::Closed)))
            .chain([(41, VenueState::Up, None)])
            .collect();
        let lines = logged(&flaps);
        assert_eq!(lines.len(), 7, "{lines:#?}");
        assert!(lines[6].contains("restored") && lines[6].contains("suppressed=34"), "{lines:#?}");
    }

    #[test]
    fn fc_59_polling_as_configured_is_no_failure() {
        let lines = logged(&[(0, VenueState::Connecting, None), (1, VenueState::Delayed, None)]);
        assert!(lines.len() == 1 && lines[0].starts_with("INFO exchange connected"), "{lines:#?}");
    }
}
