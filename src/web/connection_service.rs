//! One connection: its socket, and the handling of its requests before routing: `Host` validation, cached responses,
//! and the access log.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::{Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either, Ready, ready};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower::ServiceExt as _;
use tracing::info;

use super::admission::ConnectionPermit;
use super::cache::{CacheHit, ResponseCache};
use super::state::AppState;
use super::{error, layers};
use crate::config::AccessLog;
use crate::{failpoint, metrics};

/// Service that answers the requests of one connection.
#[derive(Debug, Clone)]
pub struct ConnectionService {
    app: AppState,
    router: Router,
    permit: ConnectionPermit,
}

impl ConnectionService {
    /// Creates the service of a connection.
    pub fn new(app: AppState, router: Router, permit: ConnectionPermit) -> Self {
        Self { app, router, permit }
    }
}

impl Service<hyper::Request<Incoming>> for ConnectionService {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, BoxFuture<'static, Result<Response, Infallible>>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let access = AccessRecord::new(&self.app, &request, self.permit.peer());
        let respond = |response: Response| {
            record(&self.app, access.clone(), &response);
            Either::Left(ready(Ok(response)))
        };
        if !is_valid_host(request.version(), request.headers()) {
            return respond(error::bad_host());
        }
        // Most requests repeat an earlier one exactly, so most skip routing and middleware.
        if let Some(response) = self.app.response_cache().lookup(&request) {
            return respond(response);
        }
        let request_key = ResponseCache::request_key(&request);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.permit.peer()));
        request.extensions_mut().insert(self.permit.clone());
        let (app, router) = (self.app.clone(), self.router.clone());
        Either::Right(Box::pin(async move {
            let response = async {
                failpoint::is_hit("handler");
                router.oneshot(request).await
            };
            let response = AssertUnwindSafe(response).catch_unwind().await;
            let mut response = match response {
                Ok(response) => response?,
                Err(_) => error::handler_panicked().into_response(),
            };
            if let (Some(request_key), Some(hit)) = (request_key, response.extensions_mut().remove::<CacheHit>()) {
                app.response_cache().record(request_key, hit);
            }
            record(&app, access, &response);
            Ok(response)
        }))
    }
}

/// Counts and logs a response.
fn record(app: &AppState, access: Option<AccessRecord>, response: &Response) {
    metrics::count_response(response.status());
    if let Some(access) = access {
        access.log(app, response.status());
    }
}

/// Length to which a request target is truncated in the log, in bytes.
const TARGET_MAX: usize = 512;

/// A request to be logged with its response.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    log: AccessLog,
    method: Method,
    target: String,
    client: SocketAddr,
    started_at: Duration,
}

impl AccessRecord {
    /// Records a request; returns `None` if the access log is off.
    pub fn new<B>(app: &AppState, request: &Request<B>, client: SocketAddr) -> Option<Self> {
        let log = app.site().access_log;
        if log == AccessLog::Off {
            return None;
        }
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        // Non-ASCII characters are percent-encoded, so this does not split a character.
        let target = target.get(..TARGET_MAX).unwrap_or(target).to_owned();
        Some(Self { log, method: request.method().clone(), target, client, started_at: app.clock.monotonic() })
    }

    /// Logs the request with the status of its response.
    pub fn log(self, app: &AppState, status: StatusCode) {
        let is_error = status.is_client_error() || status.is_server_error();
        if self.log == AccessLog::All || is_error {
            let (status, took) = (status.as_u16(), app.clock.monotonic().saturating_sub(self.started_at));
            let (client, ms) = (self.client.ip(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            info!(target: "sisepan::access", %client, method = %self.method, path = self.target, status, ms, "request");
        }
    }
}

/// Returns whether a request has exactly one valid `Host`, which HTTP/1.0 may omit.
fn is_valid_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host),
        (None, _) => version < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

fn is_host(value: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(value.as_bytes()) else { return false };
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or("@");
    is_name(authority.host()) && (matches!(port, "" | ":") || authority.port_u16().is_some())
}

fn is_name(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    // The grammar allows a comma, but no host name has one: it means two headers joined by a proxy.
    let name = host.strip_suffix('.').unwrap_or(host);
    !name.contains(',') && name.split('.').all(|label| !label.is_empty())
}

/// Connection of a client.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    replacement: Option<Replacement>,
}

/// Response written instead of one of hyper's own.
#[derive(Debug)]
struct Replacement {
    bytes: Vec<u8>,
    written: usize,
    /// Length of the replaced response.
    replaced: usize,
}

impl Socket {
    /// Wraps a connection.
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, replacement: None }
    }

    /// Returns the wrapped connection.
    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// Writes the replacement if `bytes` are a response of hyper's own, else calls `write`.
    fn poll_write_first(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.replacement.is_none() {
            self.replacement = Replacement::new(bytes);
        }
        let Some(replacement) = &mut self.replacement else { return write(Pin::new(&mut self.tcp), cx) };
        while let Some(rest) = replacement.bytes.get(replacement.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.tcp).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => replacement.written += written,
            }
        }
        let replaced = replacement.replaced;
        self.replacement = None;
        Poll::Ready(Ok(replaced))
    }
}

impl Replacement {
    /// Returns the replacement of a response of hyper's own: a 4xx head without a body that lacks our headers.
    fn new(response: &[u8]) -> Option<Self> {
        let is_client_error = response.starts_with(b"HTTP/1.") && response.get(9) == Some(&b'4');
        let head = response.strip_suffix(b"\r\n").filter(|head| is_client_error && head.ends_with(b"\r\n"))?;
        let is_ours =
            head.windows(layers::OWN_RESPONSE_MARK.len()).any(|part| part == layers::OWN_RESPONSE_MARK.as_bytes());
        let bytes = [head, layers::security_lines().as_bytes(), b"\r\n"].concat();
        (!is_ours).then_some(Self { bytes, written: 0, replaced: response.len() })
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_first(cx, buf, |tcp, cx| tcp.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.first().map_or(&[][..], |buf| &**buf);
        self.get_mut().poll_write_first(cx, first, |tcp, cx| tcp.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
