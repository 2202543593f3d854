//! What the limits mean for those who serve.

use std::time::Duration;

pub use crate::config::Limits;
use crate::delivery;

/// Files that the process opens for itself: store, exchanges, listener, logs, and clients that are being refused.
const FILES_RESERVED: u64 = 256;

/// What the kernel may hold for a stream client on its way out; it takes twice as much memory at most.
const SEND_BUFFER_BYTES: usize = 64 << 10;

impl Limits {
    /// Lowers the number of connections and streams, alike, to what a process with so many open files can serve.
    pub fn fit(self, open_files: u64) -> Self {
        let places = open_files - FILES_RESERVED.min(open_files / 2);
        let places = usize::try_from(places).unwrap_or(usize::MAX);
        let wanted = self.connections_max.saturating_add(self.streams_max);
        if wanted <= places {
            return self;
        }
        let share = |most: usize| {
            let share = u128::try_from(most).unwrap_or(0) * u128::try_from(places).unwrap_or(0);
            usize::try_from(share / u128::try_from(wanted).unwrap_or(1).max(1)).unwrap_or(most).max(1)
        };
        let (connections_max, streams_max) = (share(self.connections_max), share(self.streams_max));
        tracing::warn!(
            open_files,
            connections_max,
            streams_max,
            "fewer clients than set: the system allows few open files"
        );
        Self { connections_max, streams_max, ..self }
    }

    /// Returns the limits of groups by address, as if they were connections.
    pub(super) fn of_groups(&self) -> Self {
        let most = self.groups_per_address_max;
        Self { per_ipv4_max: most, per_ipv6_64_max: most, per_ipv6_48_max: most.saturating_mul(4), ..self.clone() }
    }

    /// Returns what of them holds for streams.
    pub(super) fn delivery(&self) -> delivery::Settings {
        delivery::Settings {
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

    /// Returns when one client, chosen at random, is to come back.
    pub fn come_back(&self) -> Duration {
        let most = u64::try_from(self.return_spread.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(rand::random_range(0..=most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_13_descriptors_are_kept_back() {
        for (open_files, connections, streams) in
            [(20_000, 4096, 15_000), (1_048_576, 4096, 15_000), (1024, 164, 603), (256, 27, 100), (2, 1, 1)]
        {
            let limits = Limits::default().fit(open_files);
            assert_eq!((limits.connections_max, limits.streams_max), (connections, streams), "{open_files}");
        }
    }
}
