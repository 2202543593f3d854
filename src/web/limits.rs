//! How much may come in, and how long we wait.

use std::time::Duration;

/// The limits of requests and streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most markets of one request or subscription.
    pub markets_max: usize,
    /// Most streams at once; one more is answered with 503.
    pub streams_max: usize,
    /// Longest message of a stream client, in bytes; a longer one ends the connection with 1009.
    pub message_bytes_max: usize,
    /// Most messages of a stream client in a second; one more ends the connection with 3013.
    pub messages_per_second_max: u32,
    /// How soon the first subscription must come, else 3502.
    pub subscribe_within: Duration,
    /// How often a stream client is pinged.
    pub ping_every: Duration,
    /// How soon the answer must come, else 3012.
    pub pong_within: Duration,
    /// How long one write may be blocked, else 3008.
    pub write_within: Duration,
    /// How long we wait for the other side to close as well.
    pub close_within: Duration,
    /// Clients told to come back are spread over this time.
    pub return_spread: Duration,
    /// Most connections at once that are not streams; one more waits for a place.
    pub connections_max: usize,
    /// How soon the head of a request must be there, the next one's too: an idle connection is closed after this long.
    pub head_within: Duration,
    /// Longest head of a request, in bytes; a longer one is answered with 431.
    pub head_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            markets_max: 128,
            streams_max: 15_000,
            message_bytes_max: 4096,
            messages_per_second_max: 5,
            subscribe_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(25),
            pong_within: Duration::from_secs(10),
            write_within: Duration::from_secs(10),
            close_within: Duration::from_secs(2),
            return_spread: Duration::from_secs(15),
            connections_max: 4096,
            head_within: Duration::from_secs(10),
            head_bytes_max: 16 << 10,
        }
    }
}

impl Limits {
    /// Returns when one client, chosen at random, is to come back.
    pub fn come_back(&self) -> Duration {
        let most = u64::try_from(self.return_spread.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(rand::random_range(0..=most))
    }
}
