//! `[limits]`: connection and request limits, and timeouts.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::Section;

/// Allowed range of most timeouts, in seconds.
const TIMEOUT_SECS: RangeInclusive<u64> = 1..=3600;

/// Limits on connections, requests and streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `connections`: most simultaneous connections that are not streams; further ones are answered with 503.
    ///
    /// Lowered together with `streams` so that their sum fits into the process's open-file limit, less a reserve.
    pub connections_max: usize,
    /// `connections_per_ipv4`: most connections from one IPv4 address, including streams. Trusted proxies are
    /// exempt.
    pub per_ipv4_max: usize,
    /// `connections_per_ipv6_64`: most connections from one IPv6 /64, the usual size of a household or a phone.
    pub per_ipv6_64_max: usize,
    /// `connections_per_ipv6_48`: most connections from one IPv6 /48, the usual size of a site.
    pub per_ipv6_48_max: usize,
    /// `streams`: most simultaneous streams, WebSocket and server-sent events together; further ones are answered
    /// with 503.
    pub streams_max: usize,
    /// `subscriptions`: most subscriptions per stream client.
    pub subscriptions_max: usize,
    /// `groups`: most distinct subscriptions to lists of markets at once; subscriptions to whole boards are always
    /// accepted.
    pub groups_max: usize,
    /// `groups_per_address`: most of these groups created by one IPv4 address or IPv6 /64.
    pub groups_per_address_max: usize,
    /// `markets`: most markets in one request, and in all subscriptions of a stream client together.
    pub markets_max: usize,
    /// `message_bytes`: longest message from a stream client; a longer one closes the connection with code 1009.
    pub message_bytes_max: usize,
    /// `messages_per_second`: most messages from a stream client; more close the connection with code 3013.
    pub messages_per_second_max: u32,
    /// `subscribe_within_secs`: deadline for the first subscription, else close code 3502.
    pub subscribe_within: Duration,
    /// `ping_every_secs`: interval between pings to a stream client.
    pub ping_every: Duration,
    /// `pong_within_secs`: deadline for the pong, else close code 3012. At most `ping_every_secs`.
    pub pong_within: Duration,
    /// `write_within_secs`: longest time that a write may block, else close code 3008; other connections are just
    /// closed.
    pub write_within: Duration,
    /// `close_within_secs`: how long to wait for the peer to close its side.
    pub close_within: Duration,
    /// `return_spread_secs`: clients that are asked to reconnect are spread over this time.
    pub return_spread: Duration,
    /// `head_within_secs`: deadline for the head of a request. It applies to the next request too, so it is also
    /// the idle timeout of a connection.
    pub head_within: Duration,
    /// `head_bytes`: longest head of a request; longer ones are answered with 431.
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

/// Reads the table `[limits]`; missing settings keep their defaults.
pub(super) fn read(mut section: Section<'_>) -> Limits {
    let mut limits = Limits::default();
    let mut set_count = |key: &'static str, allowed: RangeInclusive<u64>, field: &mut usize| {
        if let Some(number) = section.integer(key, allowed) {
            *field = usize::try_from(number).unwrap_or(*field);
        }
    };
    set_count("connections", 1..=1_000_000, &mut limits.connections_max);
    set_count("connections_per_ipv4", 1..=1_000_000, &mut limits.per_ipv4_max);
    set_count("connections_per_ipv6_64", 1..=1_000_000, &mut limits.per_ipv6_64_max);
    set_count("connections_per_ipv6_48", 1..=1_000_000, &mut limits.per_ipv6_48_max);
    set_count("streams", 1..=1_000_000, &mut limits.streams_max);
    set_count("subscriptions", 1..=1024, &mut limits.subscriptions_max);
    set_count("groups", 1..=1_000_000, &mut limits.groups_max);
    set_count("groups_per_address", 1..=1_000_000, &mut limits.groups_per_address_max);
    set_count("markets", 1..=1024, &mut limits.markets_max);
    set_count("message_bytes", 256..=65_536, &mut limits.message_bytes_max);
    // hyper needs a buffer of at least 8 KiB.
    set_count("head_bytes", 8192..=65_536, &mut limits.head_bytes_max);
    if let Some(number) = section.integer("messages_per_second", 1..=1000) {
        limits.messages_per_second_max = u32::try_from(number).unwrap_or(limits.messages_per_second_max);
    }
    let mut set_duration = |key: &'static str, allowed: RangeInclusive<u64>, field: &mut Duration| {
        if let Some(secs) = section.integer(key, allowed) {
            *field = Duration::from_secs(secs);
        }
    };
    set_duration("subscribe_within_secs", TIMEOUT_SECS, &mut limits.subscribe_within);
    set_duration("ping_every_secs", TIMEOUT_SECS, &mut limits.ping_every);
    let pong_secs_max = limits.ping_every.as_secs();
    limits.pong_within = limits.pong_within.min(limits.ping_every);
    set_duration("pong_within_secs", 1..=pong_secs_max, &mut limits.pong_within);
    set_duration("write_within_secs", TIMEOUT_SECS, &mut limits.write_within);
    set_duration("close_within_secs", 1..=5, &mut limits.close_within);
    set_duration("return_spread_secs", 0..=3600, &mut limits.return_spread);
    set_duration("head_within_secs", TIMEOUT_SECS, &mut limits.head_within);
    section.finish();
    limits
}
