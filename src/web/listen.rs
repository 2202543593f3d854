//! The listener: who may connect, how long a request's head may take, and how it all ends.
//!
//! HTTP/1.1 only: browsers speak nothing newer without TLS, and proxies speak it
//! to what is behind them. So no protocol is guessed, and the deadline of the
//! head holds from a connection's first moment.

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

use super::front::Front;
use super::place::Seat;
use super::socket::Socket;
use super::{AppState, Limits, layers};
use crate::failpoint;

/// Wait after the first failure to accept, doubled up to [`ACCEPT_WAIT_MAX`].
const ACCEPT_WAIT_MIN: Duration = Duration::from_millis(10);

/// See [`ACCEPT_WAIT_MIN`].
const ACCEPT_WAIT_MAX: Duration = Duration::from_secs(1);

/// Without a failure to accept for so long, the failures are over. With few file descriptors left they come and go by the second.
const ACCEPT_CALM: Duration = Duration::from_secs(10);

/// Most refused connections at once that are still told why; any more are closed without a word.
const REFUSALS_MAX: usize = 32;

/// How long a refused client has to read why.
const REFUSAL_WITHIN: Duration = Duration::from_secs(1);

/// How long an answer that has begun may take after the end was ordered.
const GRACE: Duration = Duration::from_secs(5);

/// Most bytes that wait in the kernel for a client that does not read, beside those on their way.
const UNSENT_BYTES_MAX: u32 = 64 << 10;

/// Serves all routes to whom it lets in, until `shutdown`; then waits until every connection has ended.
///
/// A connection beyond the limits is told to come back later. Requests carry
/// [`axum::extract::ConnectInfo`] with the peer's address.
pub async fn listen(listener: TcpListener, app: AppState, shutdown: CancellationToken) {
    let router = super::router(app.clone());
    let (refusals, connections) = (Arc::new(Semaphore::new(REFUSALS_MAX)), TaskTracker::new());
    let mut wait = ACCEPT_WAIT_MIN;
    // When connections began to fail, and when one last did.
    let mut failing: Option<(Duration, Duration)> = None;
    loop {
        let calm = async {
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
            lasted = calm => {
                failing = None;
                info!(lasted = format!("{}s", lasted.as_secs()), "connections are accepted again");
                continue;
            }
        };
        match accepted {
            Ok((tcp, peer)) => {
                wait = ACCEPT_WAIT_MIN;
                prepare(&tcp, app.limits());
                match Seat::take(&app, peer) {
                    Some(seat) => {
                        let serving = serve(tcp, app.clone(), router.clone(), seat, shutdown.clone());
                        connections.spawn(failpoint::part("connection", serving));
                    }
                    None => {
                        if let Ok(turn) = refusals.clone().try_acquire_owned() {
                            let refusal = refusal(app.limits());
                            connections.spawn(async move {
                                let _ = tokio::time::timeout(REFUSAL_WITHIN, refuse(tcp, refusal)).await;
                                drop(turn);
                            });
                        }
                    }
                }
            }
            Err(error) => {
                // Out of file descriptors, mostly: it passes when some client leaves.
                let now = app.clock.monotonic();
                if failing.is_none() {
                    warn!(%error, "connections can't be accepted; trying again until they can");
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

/// Tells the kernel what we expect of a connection. Where it can't, slow clients cost a little more.
fn prepare(tcp: &TcpStream, limits: &Limits) {
    // Frames are small and must not wait for each other.
    let _ = tcp.set_nodelay(true);
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(tcp);
        // Who takes nothing for so long is cut off, whatever is being sent.
        let _ = socket.set_tcp_user_timeout(Some(limits.write_within));
        let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    }
}

async fn serve(tcp: TcpStream, app: AppState, router: Router, seat: Seat, shutdown: CancellationToken) {
    let peer = seat.peer();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.limits().head_within)
        .max_buf_size(app.limits().head_bytes_max)
        .serve_connection(TokioIo::new(Socket::new(tcp)), Front::new(app, router, seat))
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
        tracing::debug!(%peer, %error, "a connection broke off");
    }
}

/// Writes the answer to whatever would have been asked.
fn refusal(limits: &Limits) -> String {
    let body = concat!(
        r#"{"type":"urn:sisepan:problem:too-many-connections","title":"Too many connections","status":503,"#,
        r#""detail":"there are as many connections, in all or from this address, as this server takes"}"#
    );
    let (length, retry, security) = (body.len(), 1 + limits.come_back().as_secs(), layers::security_lines());
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         retry-after: {retry}\r\ncache-control: no-store\r\naccess-control-allow-origin: *\r\n{security}connection: close\r\n\r\n{body}"
    )
}

async fn refuse(mut tcp: TcpStream, refusal: String) -> std::io::Result<()> {
    tcp.write_all(refusal.as_bytes()).await?;
    tcp.shutdown().await?;
    // To close with something unread would take the answer back.
    let mut unread = [0; 1024];
    while tcp.read(&mut unread).await? > 0 {}
    Ok(())
}
