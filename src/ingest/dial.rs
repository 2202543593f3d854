//! From a URL to an open WebSocket, one step at a time.
//!
//! Each step (name, TCP, TLS, upgrade) has a deadline and a [`Reason`] of its
//! own, because a peer can hang at any of them and an operator must see at
//! which. Names are resolved anew at each attempt; all addresses get a chance.

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
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, http};
use url::Url;

use super::decode::quoted;
use super::http::hold_from;
use super::{Settings, Tls};
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

    let addresses = within(settings.dns, "name look-up", &host, resolve(&host, port)).await?;
    let tcp = within(settings.tcp, "TCP connection", &host, connect(&host, addresses)).await?;
    let bytes: Box<dyn Bytes> = if secure {
        within(settings.tls, "TLS handshake", &host, handshake(&host, tls, tcp)).await?
    } else {
        Box::new(tcp)
    };
    match tokio::time::timeout(settings.upgrade, upgrade(settings, &host, bytes, clock)).await {
        Ok(done) => done,
        Err(_) => Err(timeout(settings.upgrade, "WebSocket upgrade", &host).into()),
    }
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
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let failed = |problem: &str| Reason::new(ReasonCode::Dns, format!("can't resolve {host}: {problem}"));
    let found = tokio::net::lookup_host((bare, port)).await.map_err(|error| failed(plain(&error.to_string())))?;
    let (v6, v4): (Vec<_>, Vec<_>) = found.partition(SocketAddr::is_ipv6);
    // Families take turns, so that a family without a route costs one head start and not all of them.
    let mut turns = Vec::new();
    for at in 0..v6.len().max(v4.len()) {
        turns.extend(v6.get(at).into_iter().chain(v4.get(at)).copied());
    }
    turns.truncate(ADDRESSES_MAX);
    if turns.is_empty() { Err(failed("no address")) } else { Ok(turns) }
}

/// Leaves out what the resolver says before the cause.
pub fn plain(error: &str) -> &str {
    error.trim_start_matches("failed to lookup address information: ")
}

async fn connect(host: &str, addresses: Vec<SocketAddr>) -> Result<TcpStream, Reason> {
    let mut attempts: FuturesUnordered<_> = addresses
        .into_iter()
        .zip(0u32..)
        .map(|(address, at)| async move {
            tokio::time::sleep(STAGGER * at).await;
            TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))
        })
        .collect();
    let mut problems = Vec::new();
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(tcp) => {
                // Prices are small; a failure to say so costs milliseconds only.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(problem) => problems.push(problem),
        }
    }
    Err(Reason::new(ReasonCode::Connect, format!("can't connect to {host}: {}", problems.join("; "))))
}

async fn handshake(host: &str, tls: &Tls, tcp: TcpStream) -> Result<Box<dyn Bytes>, Reason> {
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
        let code = if matches!(error, tungstenite::Error::Io(_)) { ReasonCode::Closed } else { ReasonCode::Upgrade };
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
