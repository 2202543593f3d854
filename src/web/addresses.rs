//! How many connections each address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Limits;
use crate::config::Network;

/// Most addresses and networks counted at once. There are never so many with the limits of any machine of today;
/// should it happen, one is forgotten, and its connections count no more.
const COUNTED_MAX: usize = 100_000;

/// Most addresses of `X-Forwarded-For` that are looked at, from the right: the proxies of one request.
const PROXIES_MAX: usize = 16;

/// Connections by address. IPv6 is counted by network: whoever has one address of a /64 has all of them.
#[derive(Debug)]
pub struct Addresses {
    counts: Mutex<HashMap<Whose, usize>>,
    per_ipv4_max: usize,
    per_ipv6_64_max: usize,
    per_ipv6_48_max: usize,
}

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Whose {
    Ipv4(u32),
    Ipv6By64(u64),
    Ipv6By48(u64),
}

/// One connection that is counted, until dropped.
#[derive(Debug)]
pub struct Entry {
    addresses: Arc<Addresses>,
    counted: [Option<Whose>; 2],
}

impl Addresses {
    /// Counts nothing yet.
    pub fn new(limits: &Limits) -> Self {
        let Limits { per_ipv4_max, per_ipv6_64_max, per_ipv6_48_max, .. } = *limits;
        Self { counts: Mutex::default(), per_ipv4_max, per_ipv6_64_max, per_ipv6_48_max }
    }

    /// Counts one more connection; `None` if its address has as many as it may.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entry> {
        let counted = whose(address);
        let mut counts = self.counts();
        let has_place = |whose: &Whose| counts.get(whose).is_none_or(|count| *count < self.most(*whose));
        if !counted.iter().flatten().all(has_place) {
            return None;
        }
        for whose in counted.iter().flatten() {
            if counts.len() >= COUNTED_MAX && !counts.contains_key(whose) {
                let forgotten = counts.keys().next().copied();
                forgotten.map(|whose| counts.remove(&whose));
            }
            *counts.entry(*whose).or_default() += 1;
        }
        Some(Entry { addresses: self.clone(), counted })
    }

    fn most(&self, whose: Whose) -> usize {
        match whose {
            Whose::Ipv4(_) => self.per_ipv4_max,
            Whose::Ipv6By64(_) => self.per_ipv6_64_max,
            Whose::Ipv6By48(_) => self.per_ipv6_48_max,
        }
    }

    // Held for a few lines and never across an await.
    fn counts(&self) -> MutexGuard<'_, HashMap<Whose, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts();
        for whose in self.counted.iter().flatten() {
            if let Some(count) = counts.get_mut(whose) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(whose);
                }
            }
        }
    }
}

/// An IPv4 address written as IPv6 is that IPv4 address.
fn whose(address: IpAddr) -> [Option<Whose>; 2] {
    match address.to_canonical() {
        IpAddr::V4(address) => [Some(Whose::Ipv4(address.to_bits())), None],
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments().map(u64::from);
            let site = a << 32 | b << 16 | c;
            [Some(Whose::Ipv6By64(site << 16 | d)), Some(Whose::Ipv6By48(site))]
        }
    }
}

/// Returns whose request it is: the peer, or where that is a trusted proxy, the last address of `forwarded` (the values of
/// `X-Forwarded-For`, in order) that is none. What stands to the left of it anybody may have written.
pub fn client<'a>(peer: IpAddr, trusted: &[Network], forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
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

/// Reads an address, with or without a port: `192.0.2.1:80`, `[2001:db8::1]:80`.
fn parse(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    plain.or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(v4: usize, by_64: usize, by_48: usize) -> Limits {
        Limits { per_ipv4_max: v4, per_ipv6_64_max: by_64, per_ipv6_48_max: by_48, ..Limits::default() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn out_16_an_ipv6_network_is_one_client_and_a_mapped_address_is_ipv4() {
        let addresses = Arc::new(Addresses::new(&limits(2, 3, 5)));
        let crowd: Vec<_> = (0..1000u32).filter_map(|n| addresses.enter(ip(&format!("2001:db8:1:2::{n:x}")))).collect();
        assert_eq!(crowd.len(), 3, "a thousand addresses of one /64 have the places of one");
        let neighbours: Vec<_> =
            (0..1000u32).filter_map(|n| addresses.enter(ip(&format!("2001:db8:1:{n:x}::1")))).collect();
        assert_eq!(neighbours.len(), 2, "and those of one /48 together five");
        assert!(addresses.enter(ip("2001:db8:2::1")).is_some(), "another /48 is not concerned");

        let first = addresses.enter(ip("192.0.2.1")).unwrap();
        let _second = addresses.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert!(addresses.enter(ip("192.0.2.1")).is_none());
        assert!(addresses.enter(ip("::ffff:192.0.2.1")).is_none());
        drop(first);
        assert!(addresses.enter(ip("::ffff:192.0.2.1")).is_some(), "a place is free again");
        drop((crowd, neighbours));
        assert_eq!(addresses.counts().len(), 1);
    }

    #[test]
    fn out_18_the_table_does_not_grow() {
        let addresses = Arc::new(Addresses::new(&limits(1, 1, 1)));
        for n in 0..5_000_000u32 {
            drop(addresses.enter(IpAddr::from(n.to_be_bytes())));
        }
        assert_eq!(addresses.counts().len(), 0, "who has left is not counted");
        let held: Vec<_> = (0..150_000u32).filter_map(|n| addresses.enter(IpAddr::from(n.to_be_bytes()))).collect();
        assert_eq!(
            (held.len(), addresses.counts().len()),
            (150_000, COUNTED_MAX),
            "and of those who stay no more than that"
        );
        drop(held);
        assert_eq!(addresses.counts().len(), 0);
    }

    #[test]
    fn out_17_forwarded_addresses_are_believed_from_proxies_alone_and_from_the_right() {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "2001:db8:ffff::/48".parse().unwrap()];
        for (peer, said, client_is) in [
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
            assert_eq!(client(ip(peer), &proxies, said.iter().copied()), ip(client_is), "{peer} {said:?}");
        }
        let many = vec!["10.0.0.2"; 1000].join(",");
        assert_eq!(client(ip("10.0.0.1"), &proxies, [many.as_str()].into_iter()), ip("10.0.0.2"));
    }
}
