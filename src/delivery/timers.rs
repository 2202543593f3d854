//! When to look at a client next: one moment each, the earliest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Milliseconds of the monotonic clock.
pub(super) type Millis = u64;

/// Moments of clients. An entry that a nearer one has overtaken stays until its time, and is passed over then.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Millis, u32)>>);

impl Timers {
    /// Has a client looked at by `at`; `armed` is its nearest moment so far.
    pub fn arm(&mut self, client: u32, armed: &mut Millis, at: Millis) {
        if at < *armed {
            *armed = at;
            self.0.push(Reverse((at, client)));
        }
    }

    /// Returns the nearest moment.
    pub fn next(&self) -> Option<Millis> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes a client whose moment has come, and that moment.
    pub fn due(&mut self, now: Millis) -> Option<(Millis, u32)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }
}
