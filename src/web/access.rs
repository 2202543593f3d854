//! The access log: one line a request, if the operator wants it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{Method, Request, StatusCode};
use tracing::info;

use super::AppState;
use crate::config::AccessLog;

/// Longest target of a request that is written whole, in bytes.
const TARGET_MAX: usize = 512;

/// A request that may be logged when it is answered.
#[derive(Debug, Clone)]
pub struct Access {
    log: AccessLog,
    method: Method,
    target: String,
    client: SocketAddr,
    began: Duration,
}

impl Access {
    /// Notes a request, unless none is logged.
    pub fn of<B>(app: &AppState, request: &Request<B>, client: SocketAddr) -> Option<Self> {
        let log = app.site().access_log;
        if log == AccessLog::Off {
            return None;
        }
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        // What is not ASCII is percent-encoded, so this cuts no character apart.
        let target = target.get(..TARGET_MAX).unwrap_or(target).to_owned();
        Some(Self { log, method: request.method().clone(), target, client, began: app.clock.monotonic() })
    }

    /// Logs the answer.
    pub fn answered(self, app: &AppState, status: StatusCode) {
        let wrong = status.is_client_error() || status.is_server_error();
        if self.log == AccessLog::All || wrong {
            let (status, took) = (status.as_u16(), app.clock.monotonic().saturating_sub(self.began));
            let (client, ms) = (self.client.ip(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            info!(target: "sisepan::access", %client, method = %self.method, path = self.target, status, ms, "request");
        }
    }
}
