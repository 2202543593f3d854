//! How much may come in, and how long we wait: `[limits]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::Section;

/// Seconds that may be set for any wait.
const SECS: RangeInclusive<u64> = 1..=3600;

/// The limits of connections, requests and streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `connections`: most connections at once that are not streams; one more is answered with 503.
    ///
    /// Together with `streams` never more than the descriptors that the process may have, less a reserve.
    pub connections_max: usize,
    /// `connections_per_ipv4`: most connections of one IPv4 address, streams among them. Trusted proxies have no such limit.
    pub per_ipv4_max: usize,
    /// `connections_per_ipv6_64`: most connections of one IPv6 /64: what one household or telephone has.
    pub per_ipv6_64_max: usize,
    /// `connections_per_ipv6_48`: most connections of one IPv6 /48: what one site has.
    pub per_ipv6_48_max: usize,
    /// `streams`: most streams at once, WebSocket and events together; one more is answered with 503.
    pub streams_max: usize,
    /// `subscriptions`: most subscriptions of one stream client.
    pub subscriptions_max: usize,
    /// `groups`: most different subscriptions to lists of markets at once; those to whole boards are always taken.
    pub groups_max: usize,
    /// `groups_per_address`: most of them that one IPv4 address or IPv6 /64 has begun.
    pub groups_per_address_max: usize,
    /// `markets`: most markets of one request or subscription.
    pub markets_max: usize,
    /// `message_bytes`: longest message of a stream client; a longer one ends the connection with 1009.
    pub message_bytes_max: usize,
    /// `messages_per_second`: most messages of a stream client; one more ends the connection with 3013.
    pub messages_per_second_max: u32,
    /// `subscribe_within_secs`: how soon the first subscription must come, else 3502.
    pub subscribe_within: Duration,
    /// `ping_every_secs`: how often a stream client is pinged.
    pub ping_every: Duration,
    /// `pong_within_secs`: how soon the answer must come, else 3012. At most `ping_every_secs`.
    pub pong_within: Duration,
    /// `write_within_secs`: how long one write may be blocked, else 3008, or the end of a connection that is no WebSocket.
    pub write_within: Duration,
    /// `close_within_secs`: how long we wait for the other side to close as well.
    pub close_within: Duration,
    /// `return_spread_secs`: clients told to come back are spread over this time.
    pub return_spread: Duration,
    /// `head_within_secs`: how soon the head of a request must be there, the next one's too: an idle connection is closed after this long.
    pub head_within: Duration,
    /// `head_bytes`: longest head of a request; a longer one is answered with 431.
    pub head_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            per_ipv4_max: 1024,
            per_ipv6_64_max: 256,
            per_ipv6_48_max: 1024,
            streams_max: 15_000,
            subscriptions_max: 32,
            groups_max: 2048,
            groups_per_address_max: 256,
            markets_max: 128,
            message_bytes_max: 4096,
            messages_per_second_max: 5,
            subscribe_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(25),
            pong_within: Duration::from_secs(10),
            write_within: Duration::from_secs(10),
            close_within: Duration::from_secs(2),
            return_spread: Duration::from_secs(15),
            head_within: Duration::from_secs(10),
            head_bytes_max: 16 << 10,
        }
    }
}

/// Reads the table `[limits]`; what is absent stays as it is by default.
pub(super) fn read(mut section: Section<'_>) -> Limits {
    let mut limits = Limits::default();
    let mut count = |key: &'static str, allowed: RangeInclusive<u64>, place: &mut usize| {
        if let Some(number) = section.integer(key, allowed) {
            *place = usize::try_from(number).unwrap_or(*place);
        }
    };
    count("connections", 1..=1_000_000, &mut limits.connections_max);
    count("connections_per_ipv4", 1..=1_000_000, &mut limits.per_ipv4_max);
    count("connections_per_ipv6_64", 1..=1_000_000, &mut limits.per_ipv6_64_max);
    count("connections_per_ipv6_48", 1..=1_000_000, &mut limits.per_ipv6_48_max);
    count("streams", 1..=1_000_000, &mut limits.streams_max);
    count("subscriptions", 1..=1024, &mut limits.subscriptions_max);
    count("groups", 1..=1_000_000, &mut limits.groups_max);
    count("groups_per_address", 1..=1_000_000, &mut limits.groups_per_address_max);
    count("markets", 1..=1024, &mut limits.markets_max);
    count("message_bytes", 256..=65_536, &mut limits.message_bytes_max);
    // The server's library needs 8 KiB to read anything at all.
    count("head_bytes", 8192..=65_536, &mut limits.head_bytes_max);
    if let Some(number) = section.integer("messages_per_second", 1..=1000) {
        limits.messages_per_second_max = u32::try_from(number).unwrap_or(limits.messages_per_second_max);
    }
    let mut wait = |key: &'static str, allowed: RangeInclusive<u64>, place: &mut Duration| {
        if let Some(secs) = section.integer(key, allowed) {
            *place = Duration::from_secs(secs);
        }
    };
    wait("subscribe_within_secs", SECS, &mut limits.subscribe_within);
    wait("ping_every_secs", SECS, &mut limits.ping_every);
    let pong_most = limits.ping_every.as_secs();
    limits.pong_within = limits.pong_within.min(limits.ping_every);
    wait("pong_within_secs", 1..=pong_most, &mut limits.pong_within);
    wait("write_within_secs", SECS, &mut limits.write_within);
    wait("close_within_secs", 1..=5, &mut limits.close_within);
    wait("return_spread_secs", 0..=3600, &mut limits.return_spread);
    wait("head_within_secs", SECS, &mut limits.head_within);
    section.finish();
    limits
}
