//! First and last message of a stream, for WebSocket and server-sent events.

use std::time::Duration;

use super::AppState;
use crate::api::{self, Closing, Welcome};
use crate::hub::HEARTBEAT;

/// Returns the first message of a stream whose client may have `subscriptions` subscriptions.
pub fn welcome(app: &AppState, subscriptions: usize) -> Vec<u8> {
    let limits = app.limits();
    api::json(&Welcome {
        protocol: api::PROTOCOL_VERSION,
        epoch: app.hub.epoch(),
        server_time: app.clock.now(),
        heartbeat_ms: millis(HEARTBEAT),
        demo: app.demo,
        limits: api::Limits {
            message_bytes: limits.message_bytes_max,
            messages_per_second: limits.messages_per_second_max,
            subscriptions,
            markets: limits.markets_max,
            subscribe_within_ms: millis(limits.subscribe_within),
        },
    })
}

/// Returns the last message of a stream, and the time in milliseconds after which the client may reconnect.
pub fn closing(app: Option<&AppState>, reason: &'static str) -> (Vec<u8>, u64) {
    let retry_after_ms = app.map_or(0, |app| millis(app.limits().retry_delay()));
    (api::json(&Closing { reason, retry_after_ms }), retry_after_ms)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
