//! How each venue treats a stream's connection: what it must hear, how much it takes, and when it ends it.
//!
//! Source: docs.upbit.com/kr/reference/rate-limits, apidocs.bithumb.com,
//! github.com/binance/binance-spot-api-docs, wire probe 2026-09-23.

use std::collections::VecDeque;
use std::time::Duration;

/// The longest that Binance leaves a connection open.
pub const LIFETIME: Duration = Duration::from_secs(86_400);

/// Binance's notice before it, at most; a tenth of a shorter life.
const NOTICE_MAX: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// Without a word that counts for this long the connection is ended.
    pub silence_max: Duration,
    /// Whether the venue pings, and only an answer counts as a word; else any frame of the client's does.
    pub ping_every: Option<Duration>,
    /// The close code and reason of that end; `None` is none at all.
    pub silence_close: Option<(u16, &'static str)>,
    /// Frames that it takes in a stretch of time.
    inbound: &'static [(usize, Duration)],
    /// Whether pings and pongs count among them.
    pub control_counts: bool,
    /// When the connection is ended, however well it goes.
    pub lifetime: Option<Duration>,
    /// How long before that it is told.
    pub notice: Duration,
}

/// Upbit counts requests on a connection; that it closes one with 1008, and passes over pings, is assumed.
const UPBIT_INBOUND: &[(usize, Duration)] = &[(5, Duration::from_secs(1)), (100, Duration::from_secs(60))];

const BINANCE_INBOUND: &[(usize, Duration)] = &[(5, Duration::from_secs(1))];

impl Manners {
    /// Returns a venue's; `lifetime` is that of those that end connections of themselves.
    pub fn of(venue: &str, lifetime: Duration) -> Self {
        // Upbit and Bithumb document 120 s; they were seen to close after 60, with no close frame at all.
        let quiet = Self {
            silence_max: Duration::from_secs(60),
            ping_every: None,
            silence_close: None,
            inbound: &[],
            control_counts: false,
            lifetime: None,
            notice: Duration::ZERO,
        };
        match venue {
            "upbit" => Self { inbound: UPBIT_INBOUND, ..quiet },
            "binance" => Self {
                ping_every: Some(Duration::from_secs(20)),
                silence_close: Some((1008, "Pong timeout")),
                inbound: BINANCE_INBOUND,
                control_counts: true,
                lifetime: Some(lifetime),
                notice: (lifetime / 10).min(NOTICE_MAX),
                ..quiet
            },
            _ => quiet,
        }
    }
}

/// When the frames of a client came, as far as they still count.
#[derive(Debug, Default)]
pub struct Inbound(VecDeque<Duration>);

impl Inbound {
    /// Counts a frame; false if it is one too many. Each limit is over the time just past: how the venues cut it is not known.
    pub fn count(&mut self, manners: &Manners, now: Duration) -> bool {
        let longest = manners.inbound.iter().map(|(_, window)| *window).max().unwrap_or_default();
        while self.0.front().is_some_and(|at| *at + longest <= now) {
            self.0.pop_front();
        }
        if !manners.inbound.is_empty() {
            self.0.push_back(now);
        }
        manners.inbound.iter().all(|(most, window)| {
            let recent = self.0.iter().rev().take_while(|at| **at + *window > now);
            recent.count() <= *most
        })
    }
}
