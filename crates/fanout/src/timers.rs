//! Timer queue: the nearest deadline of each client, earliest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Monotonic time in milliseconds.
pub(super) type Millis = u64;

/// Ping times are rounded up to a multiple of this, so that a thread wakes up once for many clients and their pongs
/// instead of three times per client.
const PING_ALIGN: Millis = 250;

/// Deadlines of clients. A superseded entry stays in the heap until its time and is ignored by the caller then.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Millis, u32)>>);

impl Timers {
    /// Arms a timer for `at` if that is earlier than `armed`, the client's nearest deadline so far.
    pub fn arm(&mut self, client: u32, armed: &mut Millis, at: Millis) {
        if at < *armed {
            *armed = at;
            self.0.push(Reverse((at, client)));
        }
    }

    /// Returns the nearest deadline.
    pub fn next(&self) -> Option<Millis> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes and returns the earliest deadline and the key of its client, if that deadline has passed.
    pub fn pop_due(&mut self, now: Millis) -> Option<(Millis, u32)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }
}

/// Converts a duration to milliseconds.
pub(super) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Rounds a ping time up to the next multiple of [`PING_ALIGN`].
pub(super) fn align_ping(at: Millis) -> Millis {
    at.next_multiple_of(PING_ALIGN)
}
