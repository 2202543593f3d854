//! Limits derived from the configured ones.

use std::time::Duration;

pub use crate::config::Limits;

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
}
