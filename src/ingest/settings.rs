//! Every limit and deadline of [`run`](super::run), with its default.

use std::time::Duration;

use jiff::Timestamp;

use super::outgoing::Proxy;
use crate::venue::Profile;

/// Default average interval between connections; twice the interval that the venue's profile allows is used instead
/// if it is longer.
const CONNECT_EVERY: Duration = Duration::from_secs(1);

/// Time that a trade may be in transit.
const LAG_GRACE: Duration = Duration::from_secs(2);

/// Settings for reading one venue. The operator can set all of them; the defaults are in [`Settings::defaults`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// Base of the REST API, without a slash at the end.
    pub rest: String,
    /// The WebSocket URL.
    pub stream: String,
    /// The proxy for `rest`.
    pub rest_proxy: Option<Proxy>,
    /// The proxy for `stream`.
    pub stream_proxy: Option<Proxy>,
    /// Whether to stream at all; otherwise the venue is only polled.
    pub stream_enabled: bool,
    /// A connection without usable tickers for this long is checked by REST, and closed if it missed a trade or the
    /// check fails.
    pub silence_max: Duration,
    /// A market not confirmed for this long is stale.
    pub stale_after: Duration,
    /// A market without a price for this long is checked by REST.
    pub confirm_after: Duration,
    /// Polling interval while streaming is down.
    pub poll_every: Duration,
    /// A market's stream may lag behind REST by this much before it counts as dead.
    pub lag_grace: Duration,
    /// A subscription without data for this long is checked and sent again.
    pub first_message: Duration,
    /// Interval between fetches of the market list.
    pub list_every: Duration,
    /// Interval between fetches of the market list while a market is missing or halted, if shorter.
    pub list_again: Duration,
    /// Deadline of a DNS look-up.
    pub dns: Duration,
    /// Deadline of a TCP connection, all addresses together.
    pub tcp: Duration,
    /// Deadline of a TLS handshake.
    pub tls: Duration,
    /// Deadline of a WebSocket upgrade.
    pub upgrade: Duration,
    /// Deadline of a whole HTTP request.
    pub request: Duration,
    /// Deadline of one write to a stream.
    pub write: Duration,
    /// First wait after a failure, before jitter.
    pub backoff_min: Duration,
    /// Longest wait after a failure, before jitter.
    pub backoff_max: Duration,
    /// The back-off is reset only after data has been received for this long.
    pub good_after: Duration,
    /// A market that the venue refused to stream is subscribed to again after this long.
    pub refused_retry: Duration,
    /// Wait after 403 or 451.
    pub blocked_retry: Duration,
    /// Wait after a 429 that states no time.
    pub limited_retry: Duration,
    /// Wait after a 418 that states no time.
    pub banned_retry: Duration,
    /// Longest wait before candles are requested again for a time in which a market had none.
    pub empty_retry_max: Duration,
    /// Average interval between connections to the stream's host.
    pub connect_every: Duration,
    /// Connections to the stream's host that may be opened at once.
    pub connect_burst: u32,
    /// Largest stream message, also after inflating, in bytes.
    pub message_max: usize,
    /// Largest HTTP body, after inflating, in bytes.
    pub body_max: usize,
    /// No request before this time: a ban that was imposed on the previous process.
    pub not_before: Option<Timestamp>,
    /// No connection to the stream before this time: likewise.
    pub stream_not_before: Option<Timestamp>,
}

impl Settings {
    /// Returns the venue's own hosts and limits, and our defaults for the rest.
    pub fn defaults(profile: &Profile) -> Self {
        Self {
            rest: profile.rest.to_owned(),
            stream: profile.stream.to_owned(),
            rest_proxy: None,
            stream_proxy: None,
            stream_enabled: true,
            silence_max: profile.silence_max,
            stale_after: profile.stale_after,
            confirm_after: Duration::from_secs(5),
            poll_every: Duration::from_secs(2),
            lag_grace: LAG_GRACE + profile.lag,
            first_message: Duration::from_secs(10),
            list_every: Duration::from_secs(600),
            list_again: Duration::from_secs(60),
            dns: Duration::from_secs(5),
            tcp: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            upgrade: Duration::from_secs(5),
            request: Duration::from_secs(10),
            write: Duration::from_secs(5),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            good_after: Duration::from_secs(60),
            refused_retry: Duration::from_secs(600),
            blocked_retry: Duration::from_secs(600),
            limited_retry: Duration::from_secs(60),
            banned_retry: Duration::from_secs(300),
            empty_retry_max: Duration::from_secs(600),
            connect_every: profile
                .connects
                .iter()
                .fold(CONNECT_EVERY, |every, rate| every.max(2 * rate.window / rate.units.max(1))),
            connect_burst: 3,
            message_max: 4 << 20,
            body_max: 32 << 20,
            not_before: None,
            stream_not_before: None,
        }
    }
}
