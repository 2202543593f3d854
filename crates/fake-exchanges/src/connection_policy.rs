//! The connection policy of each venue's streams: keep-alive, limit of inbound frames, and lifetime.
//!
//! Source: docs.upbit.com/kr/reference/rate-limits, apidocs.bithumb.com, github.com/binance/binance-spot-api-docs,
//! traffic observed 2026-09-23.

use std::collections::VecDeque;
use std::time::Duration;

/// Lifetime of a connection at Binance.
pub const STREAM_LIFETIME: Duration = Duration::from_secs(86_400);

/// How long before the end Binance announces it; at most a tenth of the lifetime.
const NOTICE_MAX: Duration = Duration::from_secs(600);

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
    frame_limits: &'static [(usize, Duration)],
    /// Whether control frames count against these limits.
    pub counts_control_frames: bool,
    /// Age at which the venue closes the connection; `None` is unlimited.
    pub lifetime: Option<Duration>,
    /// How long before that the venue announces it.
    pub announcement_lead: Duration,
}

/// Upbit limits the requests of a connection; assumed: that it closes with 1008, and that pings don't count.
const UPBIT_FRAMES: &[(usize, Duration)] = &[(5, Duration::from_secs(1)), (100, Duration::from_secs(60))];

const BINANCE_FRAMES: &[(usize, Duration)] = &[(5, Duration::from_secs(1))];

impl ConnectionPolicy {
    /// Returns the policy of a venue; `lifetime` is used for those that limit the age of connections.
    pub fn of_venue(venue: &str, lifetime: Duration) -> Self {
        // Upbit and Bithumb document 120 s; in practice they close after 60 s, without a close frame.
        let default = Self {
            idle_timeout: Duration::from_secs(60),
            ping_interval: None,
            idle_close: None,
            frame_limits: &[],
            counts_control_frames: false,
            lifetime: None,
            announcement_lead: Duration::ZERO,
        };
        match venue {
            "upbit" => Self { frame_limits: UPBIT_FRAMES, ..default },
            "binance" => Self {
                ping_interval: Some(Duration::from_secs(20)),
                idle_close: Some((1008, "Pong timeout")),
                frame_limits: BINANCE_FRAMES,
                counts_control_frames: true,
                lifetime: Some(lifetime),
                announcement_lead: (lifetime / 10).min(NOTICE_MAX),
                ..default
            },
            _ => default,
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
