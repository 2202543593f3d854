//! REST calls: sends requests within the rate limits, and classifies the responses.
//!
//! No request is sent during a cool-down that the venue imposed (429, 418), nor
//! while it does not serve us (403 or 451 for several markets). Redirects are
//! reported and never followed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AGE, CONTENT_TYPE, DATE, HeaderMap, LOCATION};

use crate::clock::Clock;
use crate::feed::{Reason, ReasonCode, Transport, quoted};
use crate::ingest::clock_offset::ClockSample;
use crate::ingest::limits::{Cooldowns, Priority, RateLimiter, cooldown_from, http_date};
use crate::ingest::outgoing::{Tls, find_tls_error};
use crate::ingest::settings::Settings;
use crate::market::Now;
use crate::venue::{Method, Profile, Request};

/// The `User-Agent` of our requests.
pub const USER_AGENT: &str = concat!("sisepan/", env!("CARGO_PKG_VERSION"));

/// Idle time of a pooled connection: shorter than a typical server's, which would close it under our next request.
const POOL_IDLE: Duration = Duration::from_secs(4);
const POOL_PER_HOST: usize = 2;

/// Maximum number of bytes read of an error response.
const ERROR_BODY_BYTES_MAX: usize = 64 << 10;

/// Maximum number of addresses tried per host name.
const ADDRESSES_MAX: usize = 8;

/// Resolves host names to addresses in the order in which to try them, IPv6 first. The client tries the other
/// family at once if that is refused, and in parallel if it is slow.
#[derive(Debug)]
struct Resolver;

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async move {
            let found = resolve_host(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

/// Resolves a host name to its addresses, in the order in which to try them; at least one.
pub async fn resolve_host(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = interleave_families(tokio::net::lookup_host((bare, port)).await?);
    if found.is_empty() { Err(std::io::Error::other("no address")) } else { Ok(found) }
}

/// Alternates between the families, IPv6 first, so that a family without a route costs one attempt and not all.
fn interleave_families(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = found.partition(SocketAddr::is_ipv6);
    let mut ordered = Vec::new();
    for at in 0..v6.len().max(v4.len()) {
        ordered.extend(v6.get(at).into_iter().chain(v4.get(at)).copied());
    }
    ordered.truncate(ADDRESSES_MAX);
    ordered
}

/// Strips the resolver's prefix from its error message.
pub fn strip_resolver_prefix(error: &str) -> &str {
    error.trim_start_matches("failed to lookup address information: ")
}

/// REST client of one venue.
#[derive(Debug)]
pub struct RestClient {
    client: reqwest::Client,
    settings: Settings,
    host: String,
    rate_limiter: RateLimiter,
    clock: Clock,
    cooldowns: Arc<Cooldowns>,
    failed: AtomicU64,
}

/// Prices and candles that a cache has kept for longer are not current.
const CACHED_MAX: Duration = Duration::from_secs(5);

/// Body of a 200 response that looks like JSON.
#[derive(Debug)]
pub struct Body {
    pub text: String,
    /// When the request was sent, minus the time that the response spent in a cache.
    pub requested_at: Now,
    /// The date of the response, if it has one.
    pub clock_sample: Option<ClockSample>,
    /// How long the response was in a cache on the way.
    age: Duration,
}

impl Body {
    /// Rejects a response that was in a cache for too long to be current.
    pub fn check_age(&self) -> Result<(), Reason> {
        if self.age <= CACHED_MAX {
            return Ok(());
        }
        let message = format!("the response was cached for {} s on the way; too old to use", self.age.as_secs());
        Err(Reason::new(ReasonCode::Payload, message))
    }
}

/// Why a call failed.
#[derive(Debug, Clone)]
pub struct CallError {
    pub reason: Reason,
    /// The body of an error response, if it may be JSON that the venue can parse.
    pub body: Option<String>,
}

impl From<Reason> for CallError {
    fn from(reason: Reason) -> Self {
        Self { reason, body: None }
    }
}

impl RestClient {
    /// Sets up the client, without connecting.
    pub fn new(
        profile: &Profile,
        settings: &Settings,
        tls: &Tls,
        clock: &Clock,
        cooldowns: Arc<Cooldowns>,
    ) -> Result<Self, Reason> {
        let unusable =
            |error: reqwest::Error| Reason::new(ReasonCode::Connect, format!("can't set up the HTTP client: {error}"));
        // The configuration has already read the proxies from the environment; the client must not read them again.
        let mut client = reqwest::Client::builder().no_proxy();
        if let Some(proxy) = &settings.rest_proxy {
            client = client.proxy(reqwest::Proxy::all(proxy.url().clone()).map_err(unusable)?);
        }
        let client = client
            .tls_backend_preconfigured(tls.config().as_ref().clone())
            .dns_resolver(Resolver)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(USER_AGENT)
            .timeout(settings.request)
            .read_timeout(settings.request)
            .connect_timeout(settings.dns + settings.tcp + settings.tls)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_PER_HOST)
            .tcp_nodelay(true)
            .build()
            .map_err(unusable)?;
        let host = url::Url::parse(&settings.rest).ok().and_then(|url| url.host_str().map(str::to_owned));
        Ok(Self {
            client,
            settings: settings.clone(),
            host: host.unwrap_or_else(|| quoted(&settings.rest)),
            rate_limiter: RateLimiter::new(profile.limits, clock.clone()),
            clock: clock.clone(),
            cooldowns,
            failed: AtomicU64::new(0),
        })
    }

    /// Sends `request` as soon as the rate limits allow it, and reads the response.
    pub async fn call(&self, request: &Request, priority: Priority) -> Result<Body, CallError> {
        self.check_cooldown()?;
        self.rate_limiter.acquire(&request.costs, priority).await;
        // Another call may have started a cool-down meanwhile.
        self.check_cooldown()?;
        let response = match self.send(request).await {
            Err((error, true)) => {
                tracing::debug!(host = %self.host, %error, "reused connection was closed; retrying once");
                self.rate_limiter.acquire(&request.costs, priority).await;
                self.check_cooldown()?;
                self.send(request).await.map_err(|(error, _)| error.into())
            }
            Err((error, false)) => Err(error.into()),
            Ok(response) => Ok(response),
        };
        let checked = response.and_then(|response| self.check_response(response));
        if checked.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        checked
    }

    /// Returns how many requests failed, with an error response or without any.
    pub fn failed_requests(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Records that a failure concerns the whole host. If it does not serve this address, a cool-down starts.
    pub fn record_host_failure(&self, reason: &Reason) {
        if reason.code == ReasonCode::Blocked && self.remaining_cooldown().is_none() {
            self.cooldowns.start(Transport::Rest, self.settings.blocked_retry, reason);
        }
    }

    /// Starts the cool-down for a rate limit that the venue reports in the body of a response.
    pub fn record_rate_limit(&self, reason: &Reason) {
        if reason.code == ReasonCode::RateLimited && self.remaining_cooldown().is_none() {
            self.cooldowns.start(Transport::Rest, self.settings.limited_retry, reason);
        }
    }

    /// Returns the time left of the cool-down in effect, and its reason.
    pub fn remaining_cooldown(&self) -> Option<(Duration, Reason)> {
        self.cooldowns.remaining(Transport::Rest)
    }

    fn check_cooldown(&self) -> Result<(), CallError> {
        match self.remaining_cooldown() {
            Some((_, reason)) => Err(CallError { reason, body: None }),
            None => Ok(()),
        }
    }

    /// The flag beside an error is whether the request may be repeated: the peer has most likely closed a reused
    /// connection before it responded.
    async fn send(&self, request: &Request) -> Result<RawResponse, (Reason, bool)> {
        let url = format!("{}{}", self.settings.rest, request.path);
        let requested = self.clock.read();
        let call = match request.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url),
        };
        let mut response = call.send().await.map_err(|error| {
            let may_repeat = error.is_request() && !error.is_timeout() && !error.is_connect();
            (self.transport_reason(&error), may_repeat)
        })?;
        let arrived = self.clock.monotonic();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        // At once: no other call may be sent while the body is in transit, or if it never arrives.
        let cooldown = cooldown_from(&self.settings, status, &headers, "", self.clock.now());
        // The caller finds out whether the host does not serve us, or only one market is closed to us.
        let cooldown = cooldown.filter(|_| !matches!(status, 403 | 451));
        let cooldown_end = cooldown
            .map(|cooldown| self.cooldowns.start(Transport::Rest, cooldown, &self.status_reason(status, &headers)));
        let max = if status == 200 { self.settings.body_max } else { ERROR_BODY_BYTES_MAX };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| (self.transport_reason(&error), false))? {
            if body.len() + chunk.len() > max {
                if status == 200 {
                    let message = format!("the response from {} is larger than {max} bytes", self.host);
                    return Err((Reason::new(ReasonCode::Payload, message), false));
                }
                break;
            }
            body.extend_from_slice(&chunk);
        }
        let age = age(&headers);
        // The date of a cached response is old, like its content.
        let date = date(&headers).filter(|_| age.is_zero());
        let clock_sample =
            date.map(|date| ClockSample { date, requested_at: requested.monotonic, received_at: arrived });
        Ok(RawResponse { status, requested, clock_sample, age, headers, body, cooldown_end })
    }

    fn check_response(&self, raw: RawResponse) -> Result<Body, CallError> {
        let host = &self.host;
        let text = String::from_utf8(raw.body);
        if raw.status != 200 {
            return Err(self.error_response(raw.status, &raw.headers, text.unwrap_or_default(), raw.cooldown_end));
        }
        let payload = |problem: &str| Reason::new(ReasonCode::Payload, format!("the response from {host} {problem}"));
        let text = text.map_err(|_| payload("is not UTF-8"))?;
        let html = raw.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        match text.trim_start().as_bytes().first() {
            Some(b'{' | b'[') => Ok(Body {
                text,
                requested_at: raw.requested.earlier_by(raw.age),
                clock_sample: raw.clock_sample,
                age: raw.age,
            }),
            Some(b'<') => Err(payload("is a web page, not data").into()),
            Some(_) if html => Err(payload("is a web page, not data").into()),
            Some(_) => Err(payload("is not JSON").into()),
            None => Err(payload("is empty").into()),
        }
    }

    fn error_response(
        &self,
        status: u16,
        headers: &HeaderMap,
        text: String,
        cooldown_end: Option<Duration>,
    ) -> CallError {
        let reason = self.status_reason(status, headers);
        let cooldown = cooldown_from(&self.settings, status, headers, &text, self.clock.now());
        if let Some((cooldown_end, cooldown)) = cooldown_end.zip(cooldown) {
            self.cooldowns.replace(Transport::Rest, cooldown_end, cooldown, &reason);
        }
        let json = text.trim_start().starts_with(['{', '[']);
        CallError { reason, body: json.then_some(text) }
    }

    fn status_reason(&self, status: u16, headers: &HeaderMap) -> Reason {
        let host = &self.host;
        let (code, message) = match status {
            407 => (ReasonCode::Connect, format!("the proxy for {host} requires other credentials")),
            300..=399 => {
                let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
                (ReasonCode::Redirect, format!("{host} redirects to {}; redirects are not followed", quoted(to)))
            }
            403 | 451 => (ReasonCode::Blocked, format!("{host} does not serve this address (status {status})")),
            404 | 410 => (ReasonCode::Retired, format!("{host} answered {status}: not found")),
            418 | 429 => (ReasonCode::RateLimited, format!("{host} answered {status}: too many requests")),
            _ => (ReasonCode::Http, format!("{host} answered {status}")),
        };
        Reason::new(code, message)
    }

    fn transport_reason(&self, error: &reqwest::Error) -> Reason {
        let via = self.settings.rest_proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}"));
        let host = format!("{}{}", self.host, via.unwrap_or_default());
        if let Some(cause) = find_tls_error(error) {
            return Reason::new(ReasonCode::TlsRefused, format!("TLS handshake with {host} failed: {cause}"));
        }
        if error.is_timeout() {
            return Reason::new(ReasonCode::Timeout, format!("a request to {host} took too long"));
        }
        let chain = causes(error);
        let code = match () {
            () if chain.contains("dns error") => ReasonCode::Dns,
            () if error.is_connect() => ReasonCode::Connect,
            () if error.is_decode() || error.is_body() => ReasonCode::Payload,
            () => ReasonCode::Closed,
        };
        let cause = match code {
            ReasonCode::Dns => {
                return Reason::new(code, format!("can't resolve {host}: {}", quoted(&innermost(error))));
            }
            ReasonCode::Connect => {
                return Reason::new(code, format!("can't connect to {host}: {}", quoted(&innermost(error))));
            }
            _ => quoted(&chain),
        };
        Reason::new(code, format!("a request to {host} failed: {cause}"))
    }
}

struct RawResponse {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    requested: Now,
    clock_sample: Option<ClockSample>,
    age: Duration,
    /// End of the cool-down that was started from the status and the headers alone.
    cooldown_end: Option<Duration>,
}

/// Returns the causes below the library's summary, which repeats the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        parts.push(cause.to_string());
        next = cause.source();
    }
    if parts.is_empty() { "no cause given".to_owned() } else { parts.join(": ") }
}

/// Returns the cause at the end of the chain: the message of the operating system.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    strip_resolver_prefix(&cause.to_string()).to_owned()
}

/// Returns how long a response was in a cache, from its `Age`.
fn age(headers: &HeaderMap) -> Duration {
    let stated = headers.get(AGE).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(stated.unwrap_or(0))
}

/// Returns the peer's time from the `Date` of a response, moved to the middle of its second.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    // A date in whole seconds is half a second behind on average.
    const HALF_SECOND: SignedDuration = SignedDuration::from_millis(500);
    http_date(headers.get(DATE)?.to_str().ok()?)?.checked_add(HALF_SECOND).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn fc_05_ipv6_comes_first_and_families_take_turns() {
        let found = addresses(&["192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.3:1"]);
        let ordered = ["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1", "192.0.2.3:1"];
        assert_eq!(interleave_families(found.into_iter()), addresses(&ordered));
    }
}
