//! HTTP listener: admission of connections, timeouts, and graceful shutdown.
//!
//! HTTP/1.1 only: browsers use nothing newer without TLS, and proxies use it towards their upstreams. So no
//! protocol is detected, and the timeout of the request head applies from the start of a connection.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::admission::ConnectionPermit;
use super::connection_service::{ConnectionService, Socket};
use super::layers;
use super::router::router;
use super::state::AppState;
use crate::config::Limits;
use crate::failpoint;

/// Delay after the first failed accept, doubled up to [`ACCEPT_WAIT_MAX`].
const ACCEPT_WAIT_MIN: Duration = Duration::from_millis(10);

/// See [`ACCEPT_WAIT_MIN`].
const ACCEPT_WAIT_MAX: Duration = Duration::from_secs(1);

/// Failures count as over after this time without one. With few file descriptors left, they come and go every
/// second.
const ACCEPT_CALM: Duration = Duration::from_secs(10);

/// Maximum number of concurrent refusals with a response; further connections are closed without one.
const REFUSALS_MAX: usize = 32;

/// Timeout of a refusal.
const REFUSAL_WITHIN: Duration = Duration::from_secs(1);

/// Time for responses in progress to complete after a shutdown was requested.
const GRACE: Duration = Duration::from_secs(5);

/// Maximum number of unsent bytes in the kernel for a client that does not read, besides those in flight.
const UNSENT_BYTES_MAX: u32 = 64 << 10;

/// Serves all routes until `shutdown`, then waits until every connection has ended.
///
/// A connection beyond the limits is refused with 503. Requests carry [`axum::extract::ConnectInfo`] with the
/// peer's address.
pub async fn listen(listener: TcpListener, app: AppState, shutdown: CancellationToken) {
    let router = router(app.clone());
    let (refusals, connections) = (Arc::new(Semaphore::new(REFUSALS_MAX)), TaskTracker::new());
    let mut wait = ACCEPT_WAIT_MIN;
    // Monotonic times of the first and the last failed accept.
    let mut failing: Option<(Duration, Duration)> = None;
    loop {
        let recovered = async {
            match failing {
                Some((since, last)) => {
                    tokio::time::sleep((last + ACCEPT_CALM).saturating_sub(app.clock.monotonic())).await;
                    last - since
                }
                None => std::future::pending().await,
            }
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
            lasted = recovered => {
                failing = None;
                info!(lasted = format!("{}s", lasted.as_secs()), "connections are accepted again");
                continue;
            }
        };
        match accepted {
            Ok((tcp, peer)) => {
                wait = ACCEPT_WAIT_MIN;
                set_options(&tcp, app.limits());
                match ConnectionPermit::try_acquire(&app, peer) {
                    Some(permit) => {
                        let serving = serve(tcp, app.clone(), router.clone(), permit, shutdown.clone());
                        connections.spawn(failpoint::run("connection", serving));
                    }
                    None => {
                        if let Ok(permit) = refusals.clone().try_acquire_owned() {
                            let refusal = refusal(app.limits());
                            connections.spawn(async move {
                                let _ = tokio::time::timeout(REFUSAL_WITHIN, refuse(tcp, refusal)).await;
                                drop(permit);
                            });
                        }
                    }
                }
            }
            Err(error) => {
                // Usually out of file descriptors, until some client disconnects.
                let now = app.clock.monotonic();
                if failing.is_none() {
                    warn!(%error, "connections can't be accepted; retrying");
                }
                failing = Some((failing.map_or(now, |(since, _)| since), now));
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(ACCEPT_WAIT_MAX);
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Sets the socket options of a connection. Where an option can't be set, slow clients cost a little more.
fn set_options(tcp: &TcpStream, limits: &Limits) {
    // Frames are small and must not be delayed.
    let _ = tcp.set_nodelay(true);
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(tcp);
        // Disconnects a client that acknowledges nothing for this long.
        let _ = socket.set_tcp_user_timeout(Some(limits.write_within));
        let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    }
}

async fn serve(tcp: TcpStream, app: AppState, router: Router, permit: ConnectionPermit, shutdown: CancellationToken) {
    let peer = permit.peer();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.limits().head_within)
        .max_buf_size(app.limits().head_bytes_max)
        .serve_connection(TokioIo::new(Socket::new(tcp)), ConnectionService::new(app, router, permit))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended with an error");
    }
}

/// Formats the response to a refused connection.
fn refusal(limits: &Limits) -> String {
    let body = concat!(
        r#"{"type":"urn:sisepan:problem:too-many-connections","title":"Too many connections","status":503,"#,
        r#""detail":"the limit of connections, in total or for this address, is reached"}"#
    );
    let (length, retry, security) = (body.len(), 1 + limits.retry_delay().as_secs(), layers::security_lines());
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         retry-after: {retry}\r\ncache-control: no-store\r\naccess-control-allow-origin: *\r\n{security}connection: close\r\n\r\n{body}"
    )
}

async fn refuse(mut tcp: TcpStream, refusal: String) -> std::io::Result<()> {
    tcp.write_all(refusal.as_bytes()).await?;
    tcp.shutdown().await?;
    // Closing a socket with unread data would discard the response.
    let mut unread = [0; 1024];
    while tcp.read(&mut unread).await? > 0 {}
    Ok(())
}
