//! An edge: serves the rows that it gets from the bus.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::bus::{Archive, Replica};
use crate::clock::Clock;
use crate::config::{Board, Config};
use crate::hub::Hub;
use crate::{failpoint, web};

/// Open-file limit to assume if it can't be read: the usual default of systems.
const OPEN_FILES_ASSUMED: u64 = 1024;

/// How long tasks and clients have to finish after a shutdown before they are abandoned.
pub(super) const GRACE: Duration = Duration::from_secs(9);

/// How often an edge checks whether it still gets updates.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Creates an edge that serves the rows of a replica.
pub(super) fn create(
    config: Config,
    boards: watch::Receiver<Arc<[Board]>>,
    (replica, archive): (Replica, Archive),
    clock: Clock,
) -> web::AppState {
    let Archive { history, store_health } = archive;
    let (hub, demo) = (Hub::new(replica), config.demo);
    let parts = web::AppParts { hub, boards, clock, history: Some(history), store_health, demo };
    web::AppState::with_site(parts, config.limits.fit_open_files(raise_open_file_limit()), config.site)
}

/// Raises the open-file limit as far as the system allows, and returns it.
fn raise_open_file_limit() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        warn!(%error, "can't read or raise the open-file limit; assuming the default");
        OPEN_FILES_ASSUMED
    })
}

/// Serves until `shutdown`, and then until the clients are gone, at most [`GRACE`].
pub(super) async fn serve(listener: TcpListener, state: web::AppState, shutdown: CancellationToken) {
    let served = async {
        failpoint::run("listener", web::listen(listener, state.clone(), shutdown.clone())).await;
        if !shutdown.is_cancelled() {
            return;
        }
        state.streams().wait().await;
        let state = state.clone();
        // The delivery threads have no clients left, so this does not block for long.
        let _ = tokio::task::spawn_blocking(move || state.join_delivery()).await;
    };
    let stopped = async {
        shutdown.cancelled().await;
        info!("shutting down");
        state.stop();
        state.streams().close();
        // Clients that keep their connections open must not delay the shutdown any further.
        tokio::time::sleep(GRACE).await;
    };
    let silence_checks = async {
        loop {
            tokio::time::sleep(CHECK_EVERY).await;
            state.hub.check_silence();
        }
    };
    tokio::select! {
        () = served => {}
        () = silence_checks => {}
        () = stopped => warn!("some clients did not disconnect in time and are cut off"),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::bus::Local;
    use crate::feed::BoardUpdate;
    use crate::locale::tests_support::quote;
    use crate::store::MemoryHistory;

    #[tokio::test]
    async fn a_client_that_only_listens_learns_that_the_market_is_silent() {
        let clock = Clock::manual("2026-01-15T06:27:04Z".parse::<Timestamp>().unwrap());
        let mut bus = Local::new(clock.clone());
        let (config, archive) =
            (Config::default(), Archive { history: Arc::new(MemoryHistory::default()), store_health: None });
        let boards = watch::channel(Arc::from(config.boards.clone())).1;
        let state = create(config, boards, (bus.edge(), archive), clock.clone());
        let source = state.boards()[0].source.clone();
        let row = Arc::new(crate::market::Quote { source, ..quote("BTC-KRW", "1", None) });
        let update = BoardUpdate { changed: vec![row], is_complete: true, ..BoardUpdate::default() };
        bus.publish(update, clock.monotonic());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/api/v1/stream?markets=BTC-KRW", listener.local_addr().unwrap());
        let listening = async {
            let (mut client, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
            let mut next_state = async || loop {
                let message = client.next().await.unwrap().unwrap();
                let message: Value = serde_json::from_str(message.to_text().unwrap_or_default()).unwrap_or_default();
                if message["type"] == "snapshot" {
                    return message["rows"][0]["state"].as_str().unwrap().to_owned();
                }
            };
            let mut next_state = async || tokio::time::timeout(Duration::from_secs(30), next_state()).await.unwrap();
            assert_eq!(next_state().await, "live");
            clock.advance(Duration::from_secs(6));
            assert_eq!(next_state().await, "stale");
        };
        tokio::select! {
            () = serve(listener, state, CancellationToken::new()) => unreachable!("it serves until the shutdown"),
            () = listening => {}
        }
    }
}
