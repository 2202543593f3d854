//! The first and the last message of a stream, by whichever way it goes.

use std::time::Duration;

use super::AppState;
use crate::hub::HEARTBEAT;
use crate::wire::{self, Closing, Welcome};

/// Returns the message that a stream begins with, where a client may have so many `subscriptions`.
pub fn welcome(app: &AppState, subscriptions: usize) -> Vec<u8> {
    let limits = app.limits();
    wire::json(&Welcome {
        protocol: wire::PROTOCOL,
        epoch: app.hub.epoch(),
        server_time: app.clock.now(),
        heartbeat_ms: millis(HEARTBEAT),
        demo: app.demo,
        limits: wire::Limits {
            message_bytes: limits.message_bytes_max,
            messages_per_second: limits.messages_per_second_max,
            subscriptions,
            markets: limits.markets_max,
            subscribe_within_ms: millis(limits.subscribe_within),
        },
    })
}

/// Returns the message that a stream ends with, and in how many ms its reader may come back.
pub fn closing(app: Option<&AppState>, reason: &'static str) -> (Vec<u8>, u64) {
    let retry_after_ms = app.map_or(0, |app| millis(app.limits().come_back()));
    (wire::json(&Closing { reason, retry_after_ms }), retry_after_ms)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
