//! Access log: one line per request, if enabled.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{Method, Request, StatusCode};
use tracing::info;

use super::AppState;
use crate::config::AccessLog;

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
