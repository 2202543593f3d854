//! The listener: who may connect, how long a request's head may take, and how it all ends.
//!
//! HTTP/1.1 only: browsers speak nothing newer without TLS, and proxies speak it
//! to what is behind them. So no protocol is guessed, and the deadline of the
//! head holds from a connection's first moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::warn;

use super::Limits;

/// Wait after the first failure to accept, doubled up to [`ACCEPT_WAIT_MAX`].
const ACCEPT_WAIT_MIN: Duration = Duration::from_millis(10);

/// See [`ACCEPT_WAIT_MIN`].
const ACCEPT_WAIT_MAX: Duration = Duration::from_secs(1);

/// Serves `router` to whom `listener` lets in, until `shutdown`; then waits until every connection has ended.
///
/// A connection beyond [`Limits::connections_max`] waits in the kernel's queue
/// for its turn. Requests carry [`ConnectInfo`] with the peer's address.
pub async fn listen(listener: TcpListener, router: Router, limits: &Limits, shutdown: CancellationToken) {
    let (places, connections) = (Arc::new(Semaphore::new(limits.connections_max)), TaskTracker::new());
    let mut wait = ACCEPT_WAIT_MIN;
    loop {
        let accepted = async {
            // Never closed, so there is always a place in the end.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                wait = ACCEPT_WAIT_MIN;
                let connection = serve(tcp, peer, router.clone(), limits.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: it passes when some client leaves.
                if wait == ACCEPT_WAIT_MIN {
                    warn!(%error, "connections can't be accepted; trying again until they can");
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(ACCEPT_WAIT_MAX);
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn serve(tcp: TcpStream, peer: SocketAddr, router: Router, limits: Limits, shutdown: CancellationToken) {
    // Frames are small and must not wait for each other; a failure to say so costs milliseconds only.
    let _ = tcp.set_nodelay(true);
    let service = router.map_request(move |request: hyper::Request<Incoming>| -> Request {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_buf_size(limits.head_bytes_max)
        .serve_connection(TokioIo::new(tcp), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke off");
    }
}
