//! Limits derived from the configured ones, and the limits of connections and groups by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::{Limits, Network};

/// Open files reserved for store, exchanges, listener, logs, and connections that are being refused.
const FILES_RESERVED: u64 = 256;

/// Send buffer of a stream client in the kernel, in bytes; the kernel uses at most twice as much memory.
const SEND_BUFFER_BYTES: usize = 64 << 10;

impl Limits {
    /// Lowers the limits of connections and streams in proportion if `open_files` open files do not suffice for both.
    pub fn fit_open_files(self, open_files: u64) -> Self {
        let available = open_files - FILES_RESERVED.min(open_files / 2);
        let available = usize::try_from(available).unwrap_or(usize::MAX);
        let wanted = self.connections_max.saturating_add(self.streams_max);
        if wanted <= available {
            return self;
        }
        let share = |max: usize| {
            let share = u128::try_from(max).unwrap_or(0) * u128::try_from(available).unwrap_or(0);
            usize::try_from(share / u128::try_from(wanted).unwrap_or(1).max(1)).unwrap_or(max).max(1)
        };
        let (connections_max, streams_max) = (share(self.connections_max), share(self.streams_max));
        tracing::warn!(
            open_files,
            connections_max,
            streams_max,
            "limits of connections and streams lowered: the system allows too few open files"
        );
        Self { connections_max, streams_max, ..self }
    }

    /// Returns limits that count groups instead of connections: every per-address limit is that of groups, and four
    /// times as high for an IPv6 /48.
    pub(super) fn for_groups(&self) -> Self {
        let max = self.groups_per_address_max;
        Self { per_ipv4_max: max, per_ipv6_64_max: max, per_ipv6_48_max: max.saturating_mul(4), ..self.clone() }
    }

    /// Returns the settings of the delivery threads.
    pub(super) fn delivery_settings(&self) -> fanout::Settings {
        fanout::Settings {
            threads: 0,
            message_bytes_max: self.message_bytes_max,
            messages_per_second_max: self.messages_per_second_max,
            subscribe_within: Some(self.subscribe_within),
            ping_every: self.ping_every,
            pong_within: self.pong_within,
            write_within: self.write_within,
            close_within: self.close_within,
            send_buffer_bytes: SEND_BUFFER_BYTES,
        }
    }

    /// Returns a random time after which a refused or closed client should reconnect.
    pub fn retry_delay(&self) -> Duration {
        let max = u64::try_from(self.return_spread.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(rand::random_range(0..=max))
    }
}

/// Maximum number of addresses and networks counted at once. The other limits keep a server of today far below it;
/// beyond it, an arbitrary entry is removed and its connections no longer count.
const KEYS_MAX: usize = 100_000;

/// Maximum number of addresses of `X-Forwarded-For` considered, from the right: the proxies of one request.
const PROXIES_MAX: usize = 16;

/// Number of connections by address. IPv6 is counted by network, since a client with one address of a /64 has
/// them all.
#[derive(Debug)]
pub struct AddressLimits {
    counts: Mutex<HashMap<CountKey, usize>>,
    per_ipv4_max: usize,
    per_ipv6_64_max: usize,
    per_ipv6_48_max: usize,
}

/// Address or network that is counted as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum CountKey {
    Ipv4(u32),
    Ipv6By64(u64),
    Ipv6By48(u64),
}

/// Permit of one connection or group; counts until dropped.
#[derive(Debug)]
pub struct AddressPermit {
    addresses: Arc<AddressLimits>,
    keys: [Option<CountKey>; 2],
}

impl AddressLimits {
    /// Creates limits with nothing counted yet.
    pub fn new(limits: &Limits) -> Self {
        let Limits { per_ipv4_max, per_ipv6_64_max, per_ipv6_48_max, .. } = *limits;
        Self { counts: Mutex::default(), per_ipv4_max, per_ipv6_64_max, per_ipv6_48_max }
    }

    /// Counts one more connection; returns `None` if the limit of the address or its network is reached.
    pub fn try_acquire(self: &Arc<Self>, address: IpAddr) -> Option<AddressPermit> {
        let mut counts = self.counts();
        let is_below_max = |key: &CountKey| counts.get(key).is_none_or(|count| *count < self.max_of(*key));
        let is_admitted = keys_of(address).iter().flatten().all(is_below_max);
        is_admitted.then(|| self.count(&mut counts, address))
    }

    /// Counts one more connection, also beyond the limits.
    pub fn acquire(self: &Arc<Self>, address: IpAddr) -> AddressPermit {
        self.count(&mut self.counts(), address)
    }

    fn count(self: &Arc<Self>, counts: &mut HashMap<CountKey, usize>, address: IpAddr) -> AddressPermit {
        let keys = keys_of(address);
        for key in keys.iter().flatten() {
            if counts.len() >= KEYS_MAX && !counts.contains_key(key) {
                let evicted = counts.keys().next().copied();
                evicted.map(|key| counts.remove(&key));
            }
            *counts.entry(*key).or_default() += 1;
        }
        AddressPermit { addresses: self.clone(), keys }
    }

    fn max_of(&self, key: CountKey) -> usize {
        match key {
            CountKey::Ipv4(_) => self.per_ipv4_max,
            CountKey::Ipv6By64(_) => self.per_ipv6_64_max,
            CountKey::Ipv6By48(_) => self.per_ipv6_48_max,
        }
    }

    // The lock is held briefly and never across an await.
    fn counts(&self) -> MutexGuard<'_, HashMap<CountKey, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts();
        for key in self.keys.iter().flatten() {
            if let Some(count) = counts.get_mut(key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(key);
                }
            }
        }
    }
}

/// Returns the keys under which an address is counted. An IPv4-mapped IPv6 address counts as IPv4.
fn keys_of(address: IpAddr) -> [Option<CountKey>; 2] {
    match address.to_canonical() {
        IpAddr::V4(address) => [Some(CountKey::Ipv4(address.to_bits())), None],
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments().map(u64::from);
            let site = a << 32 | b << 16 | c;
            [Some(CountKey::Ipv6By64(site << 16 | d)), Some(CountKey::Ipv6By48(site))]
        }
    }
}

/// Returns the client's address: the peer, or if that is a trusted proxy, the last address of `forwarded` (the
/// values of `X-Forwarded-For`, in order) that is not one. Addresses further left can be forged.
pub fn client_address<'a>(
    peer: IpAddr,
    trusted: &[Network],
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
) -> IpAddr {
    let is_proxy = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    for text in forwarded.rev().flat_map(|list| list.rsplit(',')).take(PROXIES_MAX) {
        if !is_proxy(client) {
            break;
        }
        match parse(text.trim()) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// Parses an address, with or without a port: `192.0.2.1:80`, `[2001:db8::1]:80`.
fn parse(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    plain.or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_13_open_files_are_reserved() {
        for (open_files, connections, streams) in
            [(20_000, 4096, 15_000), (1_048_576, 4096, 15_000), (1024, 164, 603), (256, 27, 100), (2, 1, 1)]
        {
            let limits = Limits::default().fit_open_files(open_files);
            assert_eq!((limits.connections_max, limits.streams_max), (connections, streams), "{open_files}");
        }
    }

    fn limits(v4: usize, by_64: usize, by_48: usize) -> Limits {
        Limits { per_ipv4_max: v4, per_ipv6_64_max: by_64, per_ipv6_48_max: by_48, ..Limits::default() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn out_16_an_ipv6_network_is_one_client_and_a_mapped_address_is_ipv4() {
        let addresses = Arc::new(AddressLimits::new(&limits(2, 3, 5)));
        let crowd: Vec<_> =
            (0..1000u32).filter_map(|n| addresses.try_acquire(ip(&format!("2001:db8:1:2::{n:x}")))).collect();
        assert_eq!(crowd.len(), 3, "a thousand addresses of one /64 count as one client");
        let neighbours: Vec<_> =
            (0..1000u32).filter_map(|n| addresses.try_acquire(ip(&format!("2001:db8:1:{n:x}::1")))).collect();
        assert_eq!(neighbours.len(), 2, "all of one /48 together have five");
        assert!(addresses.try_acquire(ip("2001:db8:2::1")).is_some(), "another /48 is not affected");

        let first = addresses.try_acquire(ip("192.0.2.1")).unwrap();
        let _second = addresses.try_acquire(ip("::ffff:192.0.2.1")).unwrap();
        assert!(addresses.try_acquire(ip("192.0.2.1")).is_none());
        assert!(addresses.try_acquire(ip("::ffff:192.0.2.1")).is_none());
        drop(first);
        assert!(addresses.try_acquire(ip("::ffff:192.0.2.1")).is_some(), "the permit was released");
        drop((crowd, neighbours));
        assert_eq!(addresses.counts().len(), 1);
    }

    #[test]
    fn out_18_the_table_is_bounded() {
        let addresses = Arc::new(AddressLimits::new(&limits(1, 1, 1)));
        for n in 0..5_000_000u32 {
            drop(addresses.try_acquire(IpAddr::from(n.to_be_bytes())));
        }
        assert_eq!(addresses.counts().len(), 0, "dropped permits do not count");
        let held: Vec<_> =
            (0..150_000u32).filter_map(|n| addresses.try_acquire(IpAddr::from(n.to_be_bytes()))).collect();
        assert_eq!(
            (held.len(), addresses.counts().len()),
            (150_000, KEYS_MAX),
            "held permits are counted up to the maximum"
        );
        drop(held);
        assert_eq!(addresses.counts().len(), 0);
    }

    #[test]
    fn out_17_forwarded_addresses_are_believed_from_proxies_alone_and_from_the_right() {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "2001:db8:ffff::/48".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("198.51.100.7", &["203.0.113.1"][..], "198.51.100.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
            ("::ffff:10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", &["192.0.2.66, 203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", &["192.0.2.66, 203.0.113.1, 10.0.0.2"], "203.0.113.1"),
            ("10.0.0.1", &["192.0.2.66", "203.0.113.1", "10.0.0.2"], "203.0.113.1"),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.1:4711"], "203.0.113.1"),
            ("2001:db8:ffff::1", &["[2001:db8::9]:443"], "2001:db8::9"),
            ("10.0.0.1", &["203.0.113.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ] {
            assert_eq!(
                client_address(ip(peer), &proxies, forwarded.iter().copied()),
                ip(expected),
                "{peer} {forwarded:?}"
            );
        }
        let many = vec!["10.0.0.2"; 1000].join(",");
        assert_eq!(client_address(ip("10.0.0.1"), &proxies, [many.as_str()].into_iter()), ip("10.0.0.2"));
    }
}
