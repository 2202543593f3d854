//! From a URL to an open WebSocket, one step at a time.
//!
//! Each step (name, TCP, proxy, TLS, upgrade) has a deadline and a [`Reason`] of its
//! own, because a peer can hang at any of them and an operator must see at
//! which. Names are resolved anew at each attempt; all addresses get a chance:
//! IPv6 first, the next one as soon as one fails or takes long (RFC 8305).

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, http};
use url::Url;

use super::decode::quoted;
use super::http::hold_from;
use super::{Proxy, Settings, Tls};
use crate::clock::Clock;
use crate::domain::{Reason, ReasonCode};

/// Head start of one address before the next is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Per connection; the library's own default is eight times that.
const READ_BUFFER_BYTES: usize = 16 << 10;
const WRITE_BUFFER_BYTES_MAX: usize = 1 << 20;

/// A stream of bytes, encrypted or not.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// An open WebSocket.
pub type Socket = WebSocketStream<Box<dyn Bytes>>;

/// Why there is none, and for how long not to try again, where the peer said so.
#[derive(Debug)]
pub struct DialError {
    pub reason: Reason,
    pub hold: Option<Duration>,
}

impl From<Reason> for DialError {
    fn from(reason: Reason) -> Self {
        Self { reason, hold: None }
    }
}

/// Opens a WebSocket to `settings.stream`.
pub async fn dial(settings: &Settings, tls: &Tls, clock: &Clock) -> Result<Socket, DialError> {
    let url = Url::parse(&settings.stream)
        .map_err(|error| Reason::new(ReasonCode::Connect, format!("the stream URL can't be read: {error}")))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let secure = url.scheme() == "wss";
    let port = url.port().unwrap_or(if secure { 443 } else { 80 });

    let mut bytes = match &settings.stream_proxy {
        None => open(settings, &host, port).await?,
        Some(proxy) => through(settings, tls, proxy, &host, port).await.map_err(|reason| {
            Reason::new(reason.code, format!("the proxy {proxy} does not lead to {host}: {}", reason.message))
        })?,
    };
    if secure {
        bytes = within(settings.tls, "TLS handshake", &host, handshake(&host, tls, bytes)).await?;
    }
    match tokio::time::timeout(settings.upgrade, upgrade(settings, &host, bytes, clock)).await {
        Ok(done) => done,
        Err(_) => Err(timeout(settings.upgrade, "WebSocket upgrade", &host).into()),
    }
}

async fn open(settings: &Settings, host: &str, port: u16) -> Result<Box<dyn Bytes>, Reason> {
    let addresses = within(settings.dns, "name look-up", host, resolve(host, port)).await?;
    within(settings.tcp, "TCP connection", host, connect(host, addresses)).await
}

/// Opens a tunnel to `host` through `proxy`, which resolves the name.
async fn through(
    settings: &Settings,
    tls: &Tls,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<Box<dyn Bytes>, Reason> {
    let mut bytes = open(settings, proxy.host(), proxy.port()).await?;
    if proxy.is_secure() {
        bytes = within(settings.tls, "TLS handshake", proxy.host(), handshake(proxy.host(), tls, bytes)).await?;
    }
    within(settings.tcp, "opening a tunnel", proxy.host(), proxy.tunnel(bytes, host, port)).await
}

async fn within<T>(
    limit: Duration,
    step: &str,
    host: &str,
    work: impl Future<Output = Result<T, Reason>>,
) -> Result<T, Reason> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(timeout(limit, step, host)))
}

fn timeout(limit: Duration, step: &str, host: &str) -> Reason {
    Reason::new(ReasonCode::Timeout, format!("{step} with {host} took longer than {limit:?}"))
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Reason> {
    let failed = |error: std::io::Error| {
        Reason::new(ReasonCode::Dns, format!("can't resolve {host}: {}", plain(&error.to_string())))
    };
    look_up(host, port).await.map_err(failed)
}

/// Returns the addresses of a name in the order in which to try them; at least one.
pub async fn look_up(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = in_turns(tokio::net::lookup_host((bare, port)).await?);
    if found.is_empty() { Err(std::io::Error::other("no address")) } else { Ok(found) }
}

/// IPv6 first; then families take turns, so that a family without a route costs one attempt and not all of them.
fn in_turns(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = found.partition(SocketAddr::is_ipv6);
    let mut turns = Vec::new();
    for at in 0..v6.len().max(v4.len()) {
        turns.extend(v6.get(at).into_iter().chain(v4.get(at)).copied());
    }
    turns.truncate(ADDRESSES_MAX);
    turns
}

/// Leaves out what the resolver says before the cause.
pub fn plain(error: &str) -> &str {
    error.trim_start_matches("failed to lookup address information: ")
}

async fn connect(host: &str, addresses: Vec<SocketAddr>) -> Result<Box<dyn Bytes>, Reason> {
    match race(addresses, STAGGER, TcpStream::connect).await {
        Ok(tcp) => {
            // Prices are small; a failure to say so costs milliseconds only.
            let _ = tcp.set_nodelay(true);
            Ok(Box::new(tcp))
        }
        Err(problems) => {
            Err(Reason::new(ReasonCode::Connect, format!("can't connect to {host}: {}", problems.join("; "))))
        }
    }
}

/// Tries the addresses in turn, the next one `stagger` after the last or at once when an attempt fails, and returns the
/// first success, or why each failed.
async fn race<T, F: Future<Output = std::io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    stagger: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<String>> {
    let connect = |address| {
        let attempt = connect(address);
        async move { attempt.await.map_err(|error| format!("{address}: {error}")) }
    };
    let mut problems = Vec::new();
    let mut attempts = FuturesUnordered::new();
    let mut rest = addresses.into_iter();
    loop {
        let more = rest.next();
        let last = more.is_none();
        attempts.extend(more.map(connect));
        let next = tokio::select! {
            next = attempts.next() => next,
            () = tokio::time::sleep(stagger), if !last => continue,
        };
        match next {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(problem)) => problems.push(problem),
            None => return Err(problems),
        }
    }
}

async fn handshake(host: &str, tls: &Tls, tcp: Box<dyn Bytes>) -> Result<Box<dyn Bytes>, Reason> {
    let refused =
        |cause: &str| Reason::new(ReasonCode::TlsRefused, format!("TLS handshake with {host} failed: {cause}"));
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|error| refused(&error.to_string()))?;
    let stream = TlsConnector::from(tls.config().clone()).connect(name, tcp).await;
    Ok(Box::new(stream.map_err(|error| refused(&tls_cause(&error)))?))
}

async fn upgrade(settings: &Settings, host: &str, bytes: Box<dyn Bytes>, clock: &Clock) -> Result<Socket, DialError> {
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(settings.message_max);
    config.max_frame_size = Some(settings.message_max);
    config.read_buffer_size = READ_BUFFER_BYTES;
    config.write_buffer_size = 0;
    config.max_write_buffer_size = WRITE_BUFFER_BYTES_MAX;
    let request = settings.stream.as_str().into_client_request();
    let mut request = request
        .map_err(|error| Reason::new(ReasonCode::Upgrade, format!("can't ask {host} for an upgrade: {error}")))?;
    request.headers_mut().insert(http::header::USER_AGENT, http::HeaderValue::from_static(super::http::USER_AGENT));
    let opened = tokio_tungstenite::client_async_with_config(request, bytes, Some(config)).await;
    opened.map(|(socket, _)| socket).map_err(|error| refusal(settings, host, clock, &error))
}

fn refusal(settings: &Settings, host: &str, clock: &Clock, error: &tungstenite::Error) -> DialError {
    let tungstenite::Error::Http(response) = error else {
        let code = match error {
            tungstenite::Error::Io(_) | tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => {
                ReasonCode::Closed
            }
            _ => ReasonCode::Upgrade,
        };
        let message = format!("WebSocket upgrade with {host} failed: {}", quoted(&error.to_string()));
        return Reason::new(code, message).into();
    };
    let status = response.status().as_u16();
    let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let hold = hold_from(settings, status, response.headers(), &body, clock.now());
    let code = match status {
        403 | 451 => ReasonCode::Blocked,
        404 | 410 => ReasonCode::Retired,
        418 | 429 => ReasonCode::RateLimited,
        300..=399 => ReasonCode::Redirect,
        _ => ReasonCode::Upgrade,
    };
    DialError { reason: Reason::new(code, format!("{host} answered the WebSocket upgrade with {status}")), hold }
}

/// Returns what TLS says went wrong, in an operator's words, wherever in the chain of causes it is.
pub fn tls_cause(error: &(dyn std::error::Error + 'static)) -> String {
    find_tls(error).unwrap_or_else(|| quoted(&error.to_string()))
}

/// Returns the TLS problem within `error`, if that is what it is.
pub fn find_tls(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(words(tls));
        }
        // An I/O error hides its cause from `source` where it merely wraps one.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| cause.source());
    }
    None
}

fn words(error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    let rustls::Error::InvalidCertificate(certificate) = error else { return quoted(&error.to_string()) };
    match certificate {
        Bad::Expired | Bad::ExpiredContext { .. } => "the certificate has expired".to_owned(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => "the certificate is not valid yet".to_owned(),
        Bad::UnknownIssuer => "the certificate's issuer is unknown".to_owned(),
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            "the certificate is not valid for this name".to_owned()
        }
        other => quoted(&format!("the certificate was refused: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn fc_05_ipv6_comes_first_and_families_take_turns() {
        let found = addresses(&["192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.3:1"]);
        let turns = ["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1", "192.0.2.3:1"];
        assert_eq!(in_turns(found.into_iter()), addresses(&turns));
    }

    #[expect(clippy::disallowed_methods, reason = "the paused time of the timers is measured")]
    #[tokio::test(start_paused = true)]
    async fn fc_05_the_next_address_is_tried_at_once_when_one_is_refused_and_soon_when_one_hangs() {
        let turns = addresses(&["[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]);
        let begun = tokio::time::Instant::now();
        let tried = RefCell::new(Vec::new());
        let connect = |address: SocketAddr| {
            tried.borrow_mut().push((begun.elapsed(), address));
            async move {
                match address.to_string().as_str() {
                    "[2001:db8::1]:1" | "192.0.2.2:1" => Err(std::io::ErrorKind::ConnectionRefused.into()),
                    "192.0.2.1:1" => std::future::pending().await,
                    _ => Ok(address),
                }
            }
        };
        assert_eq!(race(turns.clone(), STAGGER, connect).await.unwrap(), turns[3]);
        let staggers: Vec<u128> = tried.borrow().iter().map(|(at, _)| at.as_millis() / STAGGER.as_millis()).collect();
        assert_eq!(staggers, [0, 0, 1, 1], "{tried:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn fc_05_every_refusal_is_named_when_no_address_answers() {
        let turns = addresses(&["[2001:db8::1]:1", "192.0.2.1:1"]);
        let refuse = |_| async { Err::<(), _>(std::io::ErrorKind::ConnectionRefused.into()) };
        let problems = race(turns, STAGGER, refuse).await.unwrap_err();
        assert!(
            problems[0].starts_with("[2001:db8::1]:1: ") && problems[1].starts_with("192.0.2.1:1: "),
            "{problems:?}"
        );
        assert_eq!(problems.len(), 2);
    }
}
