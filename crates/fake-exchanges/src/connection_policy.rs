//! The connection policy of a venue's streams: keep-alive, limit of inbound frames, and lifetime.

use std::collections::VecDeque;
use std::time::Duration;

/// A venue's rules for a stream connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionPolicy {
    /// Time without activity of the client after which the venue ends the connection.
    pub idle_timeout: Duration,
    /// Interval of the venue's pings, whose pongs are then the only activity; `None` if it does not ping, and any
    /// text, binary or ping frame is activity.
    pub ping_interval: Option<Duration>,
    /// Close code and reason after that time; `None` ends the connection without a close frame.
    pub idle_close: Option<(u16, &'static str)>,
    /// Limits of inbound frames: maximum count and length of the sliding window.
    pub frame_limits: &'static [(usize, Duration)],
    /// Whether control frames count against these limits.
    pub counts_control_frames: bool,
    /// Age at which the venue closes the connection; `None` is unlimited.
    pub lifetime: Option<Duration>,
    /// How long before that the venue announces it.
    pub announcement_lead: Duration,
}

impl Default for ConnectionPolicy {
    /// No limits, and an end without a close frame after 60 s without activity.
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(60),
            ping_interval: None,
            idle_close: None,
            frame_limits: &[],
            counts_control_frames: false,
            lifetime: None,
            announcement_lead: Duration::ZERO,
        }
    }
}

/// Monotonic times of a client's recent frames, within the longest window.
#[derive(Debug, Default)]
pub struct InboundFrames(VecDeque<Duration>);

impl InboundFrames {
    /// Counts a frame and returns whether it is within the limits.
    ///
    /// Windows are sliding; how the venues align theirs is not known.
    pub fn count(&mut self, policy: &ConnectionPolicy, now: Duration) -> bool {
        let longest = policy.frame_limits.iter().map(|(_, window)| *window).max().unwrap_or_default();
        while self.0.front().is_some_and(|at| *at + longest <= now) {
            self.0.pop_front();
        }
        if !policy.frame_limits.is_empty() {
            self.0.push_back(now);
        }
        policy.frame_limits.iter().all(|(limit, window)| {
            let recent = self.0.iter().rev().take_while(|at| **at + *window > now);
            recent.count() <= *limit
        })
    }
}
