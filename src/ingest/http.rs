//! REST calls: one GET at a time within the limits, and what its answer means.
//!
//! A request is never sent inside a time that the venue told us to stay away
//! (429, 418), nor while it does not serve us (403, 451 for several markets).
//! Redirects are reported and never followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AGE, CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};

use super::decode::quoted;
use super::dial::{find_tls, look_up, plain};
use super::gate::{Gate, HOLD_MAX};
use super::pace::{Pace, Priority};
use super::their_clock::Dated;
use super::{Settings, Tls};
use crate::clock::Clock;
use crate::domain::{Link, Now, Reason, ReasonCode};
use crate::venue::{Profile, Request};

/// How we name ourselves.
pub const USER_AGENT: &str = concat!("sisepan/", env!("CARGO_PKG_VERSION"));

/// A pooled connection is dropped before the usual server does, which would race with our next request.
const POOL_IDLE: Duration = Duration::from_secs(4);
const POOL_PER_HOST: usize = 2;

/// Most bytes read of an answer that is an error anyway.
const ERROR_BODY_BYTES_MAX: usize = 64 << 10;

/// Resolves names in the order in which to try their addresses: IPv6 first. The client tries the other family at once when
/// that is refused, and beside it when it takes long.
#[derive(Debug)]
struct Resolver;

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async move {
            let found = look_up(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

/// The REST side of one venue.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    settings: Settings,
    host: String,
    pace: Pace,
    clock: Clock,
    gate: Arc<Gate>,
    failed: AtomicU64,
}

/// Prices and candles that a cache kept for longer are not of now.
const CACHED_MAX: Duration = Duration::from_secs(5);

/// A 200 with a body that may be what we asked for.
#[derive(Debug)]
pub struct Body {
    pub text: String,
    /// When the request was sent; earlier by so long as the answer lay in a cache.
    pub asked: Now,
    /// The answer's date, where it bears one.
    pub dated: Option<Dated>,
    /// How long it lay in a cache on the way.
    age: Duration,
}

impl Body {
    /// Refuses what a cache kept for longer than the present lasts.
    pub fn check_age(&self) -> Result<(), Reason> {
        if self.age <= CACHED_MAX {
            return Ok(());
        }
        let message = format!("the answer lay {} s in a cache on the way: it is not of now", self.age.as_secs());
        Err(Reason::new(ReasonCode::Payload, message))
    }
}

/// Why a call gave nothing.
#[derive(Debug, Clone)]
pub struct CallError {
    pub reason: Reason,
    /// The body of a refusal that the venue may be able to read.
    pub body: Option<String>,
}

impl From<Reason> for CallError {
    fn from(reason: Reason) -> Self {
        Self { reason, body: None }
    }
}

impl Http {
    /// Sets up the client; no connection is made.
    pub fn new(
        profile: &Profile,
        settings: &Settings,
        tls: &Tls,
        clock: &Clock,
        gate: Arc<Gate>,
    ) -> Result<Self, Reason> {
        let unusable =
            |error: reqwest::Error| Reason::new(ReasonCode::Connect, format!("can't set up the HTTP client: {error}"));
        // The environment has been read already; this client is not to read it again.
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
            pace: Pace::new(profile.limits, clock.clone()),
            clock: clock.clone(),
            gate,
            failed: AtomicU64::new(0),
        })
    }

    /// Sends `request` when the limits allow it and reads its answer.
    pub async fn get(&self, request: &Request, priority: Priority) -> Result<Body, CallError> {
        self.check_gate()?;
        self.pace.take(request.group, request.weight, priority).await;
        // Another call may have been told to stay away meanwhile.
        self.check_gate()?;
        let answer = match self.send(request).await {
            Err((error, true)) => {
                tracing::debug!(host = %self.host, %error, "connection closed as it was reused; asking once more");
                self.pace.take(request.group, request.weight, priority).await;
                self.check_gate()?;
                self.send(request).await.map_err(|(error, _)| error.into())
            }
            Err((error, false)) => Err(error.into()),
            Ok(answer) => Ok(answer),
        };
        let judged = answer.and_then(|answer| self.judge(answer));
        if judged.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        judged
    }

    /// Returns how many requests were answered with an error, or not at all.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Notes that a failure is the host's. A host that does not serve this address is left alone for a while.
    pub fn host_failed(&self, reason: &Reason) {
        if reason.code == ReasonCode::Blocked && self.held().is_none() {
            self.gate.close(Link::Rest, self.settings.blocked_retry, reason);
        }
    }

    /// Returns how long no request may be sent, and why.
    pub fn held(&self) -> Option<(Duration, Reason)> {
        self.gate.held(Link::Rest)
    }

    fn check_gate(&self) -> Result<(), CallError> {
        match self.held() {
            Some((_, reason)) => Err(CallError { reason, body: None }),
            None => Ok(()),
        }
    }

    /// The error's flag says that the peer closed a kept connection before it answered.
    async fn send(&self, request: &Request) -> Result<Raw, (Reason, bool)> {
        let url = format!("{}{}", self.settings.rest, request.path);
        let asked = self.clock.read();
        let mut response = self.client.get(url).send().await.map_err(|error| {
            let again = error.is_request() && !error.is_timeout() && !error.is_connect();
            (self.failure(&error), again)
        })?;
        let arrived = self.clock.monotonic();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        // At once: while the body is on its way, or never comes, no other call may be made.
        let hold = hold_from(&self.settings, status, &headers, "", self.clock.now());
        // Whether it is the host that does not serve us, or one market that is closed to us, whoever asked finds out.
        let hold = hold.filter(|_| !matches!(status, 403 | 451));
        let held = hold.map(|hold| self.gate.close(Link::Rest, hold, &self.refused(status, &headers)));
        let max = if status == 200 { self.settings.body_max } else { ERROR_BODY_BYTES_MAX };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| (self.failure(&error), false))? {
            if body.len() + chunk.len() > max {
                if status == 200 {
                    let message = format!("the answer of {} is larger than {max} bytes", self.host);
                    return Err((Reason::new(ReasonCode::Payload, message), false));
                }
                break;
            }
            body.extend_from_slice(&chunk);
        }
        let age = age(&headers);
        // What lay in a cache on the way is of then, and so is its date.
        let dated = date(&headers).filter(|_| age.is_zero());
        let dated = dated.map(|date| Dated { date, asked: asked.monotonic, arrived });
        Ok(Raw { status, asked, dated, age, headers, body, held })
    }

    fn judge(&self, raw: Raw) -> Result<Body, CallError> {
        let host = &self.host;
        let text = String::from_utf8(raw.body);
        if raw.status != 200 {
            return Err(self.refusal(raw.status, &raw.headers, text.unwrap_or_default(), raw.held));
        }
        let payload = |problem: &str| Reason::new(ReasonCode::Payload, format!("the answer of {host} {problem}"));
        let text = text.map_err(|_| payload("is not UTF-8"))?;
        let html = raw.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        match text.trim_start().as_bytes().first() {
            Some(b'{' | b'[') => Ok(Body { text, asked: raw.asked.before(raw.age), dated: raw.dated, age: raw.age }),
            Some(b'<') => Err(payload("is a web page, not data").into()),
            Some(_) if html => Err(payload("is a web page, not data").into()),
            Some(_) => Err(payload("is not JSON").into()),
            None => Err(payload("is empty").into()),
        }
    }

    fn refusal(&self, status: u16, headers: &HeaderMap, text: String, held: Option<Duration>) -> CallError {
        let reason = self.refused(status, headers);
        let hold = hold_from(&self.settings, status, headers, &text, self.clock.now());
        if let Some((held, hold)) = held.zip(hold) {
            self.gate.amend(Link::Rest, held, hold, &reason);
        }
        let json = text.trim_start().starts_with(['{', '[']);
        CallError { reason, body: json.then_some(text) }
    }

    fn refused(&self, status: u16, headers: &HeaderMap) -> Reason {
        let host = &self.host;
        let (code, message) = match status {
            407 => (ReasonCode::Connect, format!("the proxy towards {host} asks for other credentials")),
            300..=399 => {
                let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
                (ReasonCode::Redirect, format!("{host} redirects to {}, which is not followed", quoted(to)))
            }
            403 | 451 => (ReasonCode::Blocked, format!("{host} does not serve this address (status {status})")),
            404 | 410 => (ReasonCode::Retired, format!("{host} answered {status}: nothing there")),
            418 | 429 => (ReasonCode::RateLimited, format!("{host} answered {status}: too many requests")),
            _ => (ReasonCode::Http, format!("{host} answered {status}")),
        };
        Reason::new(code, message)
    }

    fn failure(&self, error: &reqwest::Error) -> Reason {
        let way = self.settings.rest_proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}"));
        let host = format!("{}{}", self.host, way.unwrap_or_default());
        if let Some(cause) = find_tls(error) {
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

struct Raw {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    asked: Now,
    dated: Option<Dated>,
    age: Duration,
    /// Until when the gate was closed by the status and the headers alone.
    held: Option<Duration>,
}

/// Returns the causes below the library's own summary, which repeats the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        parts.push(cause.to_string());
        next = cause.source();
    }
    if parts.is_empty() { "no cause given".to_owned() } else { parts.join(": ") }
}

/// Returns the cause at the end of the chain, which is the system's own word.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    plain(&cause.to_string()).to_owned()
}

/// Returns for how long a status tells us to stay away, if it does.
///
/// The time is `Retry-After` (seconds or a date), else a time in epoch
/// milliseconds in the body, as in `banned until 1767225600000`.
pub fn hold_from(
    settings: &Settings,
    status: u16,
    headers: &HeaderMap,
    body: &str,
    now: Timestamp,
) -> Option<Duration> {
    let default = match status {
        403 | 451 => return Some(settings.blocked_retry),
        429 => settings.limited_retry,
        418 => settings.banned_retry,
        _ => return None,
    };
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let said = header.and_then(|text| retry_after(text.trim(), now)).or_else(|| epoch_in(body, now));
    Some(said.unwrap_or(default).min(HOLD_MAX))
}

fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    until(http_date(text)?, now)
}

fn epoch_in(body: &str, now: Timestamp) -> Option<Duration> {
    let digits = body.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 13)?;
    until(Timestamp::from_millisecond(digits.parse().ok()?).ok()?, now)
}

fn until(at: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(at.duration_since(now)).ok()
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

/// Returns how long an answer lay in a cache.
fn age(headers: &HeaderMap) -> Duration {
    let said = headers.get(AGE).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(said.unwrap_or(0))
}

/// Returns the peer's clock as its `Date` tells it.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    // A date of whole seconds lies half a second back on average.
    const HALF_SECOND: SignedDuration = SignedDuration::from_millis(500);
    http_date(headers.get(DATE)?.to_str().ok()?)?.checked_add(HALF_SECOND).ok()
}
