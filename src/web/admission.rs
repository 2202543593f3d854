//! Admission control: permits held for the lifetime of a connection or stream.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, StatusCode, header, request};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::error::Error;
use super::limits::{AddressPermit, client_address};
use super::query::BadRequest;
use super::state::AppState;
use crate::config::Site;
use crate::hub::GroupPermit;

/// Permit of one connection, carried by its requests. Released when its last clone is dropped.
#[derive(Debug, Clone)]
pub struct ConnectionPermit(Arc<SharedPermit>);

#[derive(Debug)]
struct SharedPermit {
    peer: SocketAddr,
    /// Counts towards the limit of connections; released early when the connection becomes a stream.
    connection: Mutex<Option<OwnedSemaphorePermit>>,
    /// Counts towards the limit of its address; `None` for a trusted proxy, which stands for many clients.
    _address: Option<AddressPermit>,
}

impl ConnectionPermit {
    /// Acquires a permit for a connection; returns `None` if the limit in total or of this address is reached.
    pub fn try_acquire(app: &AppState, peer: SocketAddr) -> Option<Self> {
        let connection = app.connection_permits().clone().try_acquire_owned().ok()?;
        let is_proxy = app.site().trusted_proxies.iter().any(|network| network.contains(peer.ip()));
        let address = if is_proxy { None } else { Some(app.address_limits().try_acquire(peer.ip())?) };
        Some(Self(Arc::new(SharedPermit { peer, connection: Mutex::new(Some(connection)), _address: address })))
    }

    /// Returns the address of the peer.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Stops counting towards the limit of connections.
    fn release_connection(&self) {
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Permit of one stream, WebSocket or events, held for the lifetime of the stream.
#[derive(Debug)]
pub struct StreamPermit {
    _stream: OwnedSemaphorePermit,
    /// The connection's permit, which counts its address.
    _connection: Option<ConnectionPermit>,
    /// Behind a trusted proxy: counts the address of the client.
    _address: Option<AddressPermit>,
    /// Address of the client: the peer, or the client of a trusted proxy.
    client: Option<IpAddr>,
    /// Makes a shutdown wait for the stream.
    _tracker: TaskTrackerToken,
}

impl FromRequestParts<AppState> for StreamPermit {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut request::Parts, app: &AppState) -> Result<Self, Error> {
        if !may_connect(app.site(), &parts.headers) {
            let detail = "this origin is not allowed to open streams";
            return Err(Error::new(StatusCode::FORBIDDEN, "origin-not-allowed", "Origin not allowed", detail));
        }
        if app.shutdown().is_cancelled() {
            return Err(too_many_streams(app, "the server is shutting down"));
        }
        let full = || too_many_streams(app, "the limit of streams is reached");
        let stream = app.stream_permits().clone().try_acquire_owned().map_err(|_| full())?;
        let connection = parts.extensions.get::<ConnectionPermit>().cloned();
        let (client, address) = match &connection {
            Some(connection) if connection.0._address.is_none() => {
                match behind_proxy(app, connection, &parts.headers)? {
                    Some((client, address)) => (Some(client), Some(address)),
                    // Groups count for the proxy itself unless it names a client.
                    None => (Some(connection.peer().ip()), None),
                }
            }
            Some(connection) => (Some(connection.peer().ip()), None),
            None => (None, None),
        };
        // From here on it counts as a stream.
        connection.iter().for_each(ConnectionPermit::release_connection);
        Ok(Self {
            _stream: stream,
            _connection: connection,
            _address: address,
            client,
            _tracker: app.streams().token(),
        })
    }
}

impl StreamPermit {
    /// Admits a new group for a list of markets; the group holds the returned permit.
    ///
    /// # Errors
    /// Returns [`BadRequest`] if the limit of groups, in total or of this address, is reached.
    pub fn admit_group(&self, app: &AppState, groups: usize) -> Result<Option<GroupPermit>, BadRequest> {
        let limit_reached = |scope| {
            let detail = format!("the limit of different subscriptions{scope} is reached");
            BadRequest::new("too-many-groups", "markets", detail)
        };
        if groups >= app.limits().groups_max {
            return Err(limit_reached(""));
        }
        let Some(client) = self.client else { return Ok(None) };
        match app.group_limits().try_acquire(client) {
            Some(permit) => Ok(Some(Box::new(permit))),
            None => Err(limit_reached(" for this address")),
        }
    }

    /// Counts a new group for a list of markets that was admitted before the boards changed. It is never refused: the
    /// group that it replaces still counts while its members move.
    pub fn readmit_group(&self, app: &AppState) -> Option<GroupPermit> {
        Some(Box::new(app.group_limits().acquire(self.client?)))
    }
}

/// Counts a stream for the client of a trusted proxy. A proxy that names no client has no limit.
fn behind_proxy(
    app: &AppState,
    connection: &ConnectionPermit,
    headers: &HeaderMap,
) -> Result<Option<(IpAddr, AddressPermit)>, Error> {
    let trusted = &app.site().trusted_proxies;
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let client = client_address(connection.peer().ip(), trusted, forwarded.collect::<Vec<_>>().into_iter());
    if trusted.iter().any(|network| network.contains(client)) {
        return Ok(None);
    }
    let address = app.address_limits().try_acquire(client);
    address
        .map(|address| Some((client, address)))
        .ok_or_else(|| too_many_streams(app, "the limit of streams for this address is reached"))
}

fn too_many_streams(app: &AppState, detail: &str) -> Error {
    let retry = 1 + app.limits().retry_delay().as_secs();
    Error::retryable(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", "Too many streams", detail, retry)
}

/// Returns whether the request's `Origin` may open a stream. This restricts only browsers, since other programs can
/// send any `Origin`, or none.
fn may_connect(site: &Site, headers: &HeaderMap) -> bool {
    let Some(allowed) = &site.origins else { return true };
    let own = site.public_url.as_deref().map(origin_of);
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.all(|origin| {
        let matches = |one: &str| origin.as_bytes() == one.as_bytes();
        allowed.iter().any(|one| matches(one)) || own.is_some_and(matches)
    })
}

/// Returns the origin of a URL: `https://example.com` for `https://example.com/prices`.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    &url[..end]
}
