//! Binds listeners and accepts their connections.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};

use super::state::FakeState;

/// Pause after a connection could not be accepted.
const RETRY: Duration = Duration::from_millis(50);

/// Binds a listener.
///
/// # Errors
/// If the address can't be bound.
pub async fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("listening on {addr}"))
}

/// Accepts the next connection; `None` once the fake stops. While connections can't be accepted (the process is out of
/// file descriptors, say), retries after a pause and logs the first failure only.
pub async fn next_connection(state: &FakeState, listener: &TcpListener, failing: &mut bool) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            () = state.stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, _)) => {
                *failing = false;
                return Some(tcp);
            }
            Err(error) => {
                if !std::mem::replace(failing, true) {
                    tracing::warn!(%error, "fake exchanges: connections can't be accepted; retrying");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
