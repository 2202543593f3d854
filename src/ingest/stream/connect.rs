//! Opens a WebSocket to a URL, step by step.
//!
//! Each step (DNS, TCP, proxy, TLS, upgrade) has its own deadline and
//! [`Reason`], because a peer can hang at any of them and an operator must see
//! at which. Host names are resolved again for each attempt. All addresses are
//! tried, IPv6 first, the next one as soon as one fails or is slow (RFC 8305).

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, http};
use url::Url;

use crate::clock::Clock;
use crate::feed::{Reason, ReasonCode, quoted};
use crate::ingest::limits::cooldown_from;
use crate::ingest::outgoing::{ByteStream, Proxy, Tls, tls_cause};
use crate::ingest::rest::http::{USER_AGENT, resolve_host, strip_resolver_prefix};
use crate::ingest::settings::Settings;

/// Head start of an address before the next one is tried in parallel (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// Read buffer of a connection; the library's default is eight times as large.
const READ_BUFFER_BYTES: usize = 16 << 10;
const WRITE_BUFFER_BYTES_MAX: usize = 1 << 20;

/// An open WebSocket.
pub type Socket = WebSocketStream<Box<dyn ByteStream>>;

/// Why connecting failed and, if the response imposes one, the cool-down before the next attempt.
#[derive(Debug)]
pub struct ConnectError {
    pub reason: Reason,
    pub cooldown: Option<Duration>,
}

impl From<Reason> for ConnectError {
    fn from(reason: Reason) -> Self {
        Self { reason, cooldown: None }
    }
}

/// Opens a WebSocket to `url`.
pub async fn connect(url: &str, settings: &Settings, tls: &Tls, clock: &Clock) -> Result<Socket, ConnectError> {
    let url =
        Url::parse(url).map_err(|error| Reason::new(ReasonCode::Connect, format!("invalid stream URL: {error}")))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let secure = url.scheme() == "wss";
    let port = url.port().unwrap_or(if secure { 443 } else { 80 });

    let mut bytes = match &settings.stream_proxy {
        None => open_tcp(settings, &host, port).await?,
        Some(proxy) => open_tunnel(settings, tls, proxy, &host, port).await.map_err(|reason| {
            Reason::new(reason.code, format!("can't reach {host} through the proxy {proxy}: {}", reason.message))
        })?,
    };
    if secure {
        bytes = with_timeout(settings.tls, "TLS handshake", &host, handshake(&host, tls, bytes)).await?;
    }
    match tokio::time::timeout(settings.upgrade, upgrade(&url, settings, &host, bytes, clock)).await {
        Ok(done) => done,
        Err(_) => Err(timeout(settings.upgrade, "WebSocket upgrade", &host).into()),
    }
}

async fn open_tcp(settings: &Settings, host: &str, port: u16) -> Result<Box<dyn ByteStream>, Reason> {
    let addresses = with_timeout(settings.dns, "name look-up", host, resolve(host, port)).await?;
    with_timeout(settings.tcp, "TCP connection", host, connect_tcp(host, addresses)).await
}

/// Opens a tunnel to `host` through `proxy`, which resolves the host name.
async fn open_tunnel(
    settings: &Settings,
    tls: &Tls,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<Box<dyn ByteStream>, Reason> {
    let mut bytes = open_tcp(settings, proxy.host(), proxy.port()).await?;
    if proxy.is_secure() {
        bytes = with_timeout(settings.tls, "TLS handshake", proxy.host(), handshake(proxy.host(), tls, bytes)).await?;
    }
    with_timeout(settings.tcp, "opening a tunnel", proxy.host(), proxy.tunnel(bytes, host, port)).await
}

async fn with_timeout<T>(
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
        Reason::new(ReasonCode::Dns, format!("can't resolve {host}: {}", strip_resolver_prefix(&error.to_string())))
    };
    resolve_host(host, port).await.map_err(failed)
}

async fn connect_tcp(host: &str, addresses: Vec<SocketAddr>) -> Result<Box<dyn ByteStream>, Reason> {
    match race(addresses, STAGGER, TcpStream::connect).await {
        Ok(tcp) => {
            // Messages are small. If this fails, it costs milliseconds only.
            let _ = tcp.set_nodelay(true);
            Ok(Box::new(tcp))
        }
        Err(problems) => {
            Err(Reason::new(ReasonCode::Connect, format!("can't connect to {host}: {}", problems.join("; "))))
        }
    }
}

/// Tries the addresses in order: the next one `stagger` after the previous one, or at once when an attempt fails.
/// Returns the first success, or why each attempt failed.
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

async fn handshake(host: &str, tls: &Tls, tcp: Box<dyn ByteStream>) -> Result<Box<dyn ByteStream>, Reason> {
    let failed =
        |cause: &str| Reason::new(ReasonCode::TlsRefused, format!("TLS handshake with {host} failed: {cause}"));
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|error| failed(&error.to_string()))?;
    let stream = TlsConnector::from(tls.config().clone()).connect(name, tcp).await;
    Ok(Box::new(stream.map_err(|error| failed(&tls_cause(&error)))?))
}

async fn upgrade(
    url: &Url,
    settings: &Settings,
    host: &str,
    bytes: Box<dyn ByteStream>,
    clock: &Clock,
) -> Result<Socket, ConnectError> {
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(settings.message_max);
    config.max_frame_size = Some(settings.message_max);
    config.read_buffer_size = READ_BUFFER_BYTES;
    config.write_buffer_size = 0;
    config.max_write_buffer_size = WRITE_BUFFER_BYTES_MAX;
    let request = url.as_str().into_client_request();
    let mut request = request
        .map_err(|error| Reason::new(ReasonCode::Upgrade, format!("invalid upgrade request to {host}: {error}")))?;
    request.headers_mut().insert(http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT));
    let opened = tokio_tungstenite::client_async_with_config(request, bytes, Some(config)).await;
    opened.map(|(socket, _)| socket).map_err(|error| upgrade_error(settings, host, clock, &error))
}

fn upgrade_error(settings: &Settings, host: &str, clock: &Clock, error: &tungstenite::Error) -> ConnectError {
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
    let cooldown = cooldown_from(settings, status, response.headers(), &body, clock.now());
    let code = match status {
        403 | 451 => ReasonCode::Blocked,
        404 | 410 => ReasonCode::Retired,
        418 | 429 => ReasonCode::RateLimited,
        300..=399 => ReasonCode::Redirect,
        _ => ReasonCode::Upgrade,
    };
    ConnectError { reason: Reason::new(code, format!("{host} answered the WebSocket upgrade with {status}")), cooldown }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "the paused time of the timers is measured")]
    #[tokio::test(start_paused = true)]
    async fn fc_05_the_next_address_is_tried_at_once_when_one_is_refused_and_soon_when_one_hangs() {
        let ordered = addresses(&["[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]);
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
        assert_eq!(race(ordered.clone(), STAGGER, connect).await.unwrap(), ordered[3]);
        let staggers: Vec<u128> = tried.borrow().iter().map(|(at, _)| at.as_millis() / STAGGER.as_millis()).collect();
        assert_eq!(staggers, [0, 0, 1, 1], "{tried:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn fc_05_every_refusal_is_named_when_no_address_answers() {
        let ordered = addresses(&["[2001:db8::1]:1", "192.0.2.1:1"]);
        let refuse = |_| async { Err::<(), _>(std::io::ErrorKind::ConnectionRefused.into()) };
        let problems = race(ordered, STAGGER, refuse).await.unwrap_err();
        assert!(
            problems[0].starts_with("[2001:db8::1]:1: ") && problems[1].starts_with("192.0.2.1:1: "),
            "{problems:?}"
        );
        assert_eq!(problems.len(), 2);
    }
}
