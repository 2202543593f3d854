//! Places for connections and streams: who gets one, and until when.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, StatusCode, header, request};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::AppState;
use super::addresses::{self, Entry};
use super::ask::Refusal;
use super::error::Error;
use crate::config::Site;
use crate::hub::Permit;

/// The place of one connection; its requests carry it. Free again when the last holder drops it.
#[derive(Debug, Clone)]
pub struct Seat(Arc<Held>);

#[derive(Debug)]
struct Held {
    peer: SocketAddr,
    /// Among the connections; given back when a stream takes over.
    connection: Mutex<Option<OwnedSemaphorePermit>>,
    /// Among those of its address; none for a trusted proxy, which stands for many.
    _address: Option<Entry>,
}

impl Seat {
    /// Takes a place for a connection; `None` where there is none, or none for this address.
    pub fn take(app: &AppState, peer: SocketAddr) -> Option<Self> {
        let connection = app.0.connections.clone().try_acquire_owned().ok()?;
        let is_proxy = app.site().trusted_proxies.iter().any(|network| network.contains(peer.ip()));
        let address = if is_proxy { None } else { Some(app.0.addresses.enter(peer.ip())?) };
        Some(Self(Arc::new(Held { peer, connection: Mutex::new(Some(connection)), _address: address })))
    }

    /// Returns the other end of the connection.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    fn leave_connections(&self) {
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The place of one stream, WebSocket or events; to be held as long as the stream.
#[derive(Debug)]
pub struct Place {
    _stream: OwnedSemaphorePermit,
    /// The connection's own, which counts its address.
    _seat: Option<Seat>,
    /// Behind a proxy: the client's own.
    _address: Option<Entry>,
    /// Whose it is: the peer's, or that of the client of a trusted proxy.
    client: Option<IpAddr>,
    /// A shutdown waits for it.
    _tracked: TaskTrackerToken,
}

impl FromRequestParts<AppState> for Place {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut request::Parts, app: &AppState) -> Result<Self, Error> {
        if !may_connect(app.site(), &parts.headers) {
            let detail = "pages of this origin may not open streams here";
            return Err(Error::new(StatusCode::FORBIDDEN, "origin-not-allowed", "Origin not allowed", detail));
        }
        if app.shutdown().is_cancelled() {
            return Err(full(app, "the server is stopping"));
        }
        let none = || full(app, "there are as many streams as this server takes");
        let stream = app.0.slots.clone().try_acquire_owned().map_err(|_| none())?;
        let seat = parts.extensions.get::<Seat>().cloned();
        let (client, address) = match &seat {
            Some(seat) if seat.0._address.is_none() => match behind_proxy(app, seat, &parts.headers)? {
                Some((client, entry)) => (Some(client), Some(entry)),
                // Its groups are its own, as long as it says of nobody else.
                None => (Some(seat.peer().ip()), None),
            },
            Some(seat) => (Some(seat.peer().ip()), None),
            None => (None, None),
        };
        // From here on it counts as a stream.
        seat.iter().for_each(Seat::leave_connections);
        Ok(Self { _stream: stream, _seat: seat, _address: address, client, _tracked: app.streams().token() })
    }
}

impl Place {
    /// Admits another group for a list of markets; the group holds the permit.
    ///
    /// # Errors
    /// [`Refusal`] where there are as many, in all or of this address, as the server takes.
    pub fn admit_group(&self, app: &AppState, groups: usize) -> Result<Option<Permit>, Refusal> {
        let refused = |whose| {
            let detail = format!("there are as many different subscriptions{whose} as this server takes");
            Refusal::new("too-many-groups", "markets", detail)
        };
        if groups >= app.limits().groups_max {
            return Err(refused(""));
        }
        let Some(client) = self.client else { return Ok(None) };
        match app.0.groups.enter(client) {
            Some(entry) => Ok(Some(Box::new(entry))),
            None => Err(refused(" from this address")),
        }
    }
}

/// Counts the client of a trusted proxy. A proxy that says of no client speaks for itself and has no limit.
fn behind_proxy(app: &AppState, seat: &Seat, headers: &HeaderMap) -> Result<Option<(IpAddr, Entry)>, Error> {
    let trusted = &app.site().trusted_proxies;
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let client = addresses::client(seat.peer().ip(), trusted, forwarded.collect::<Vec<_>>().into_iter());
    if trusted.iter().any(|network| network.contains(client)) {
        return Ok(None);
    }
    let entry = app.0.addresses.enter(client);
    entry
        .map(|entry| Some((client, entry)))
        .ok_or_else(|| full(app, "there are as many streams from this address as this server takes"))
}

fn full(app: &AppState, detail: &str) -> Error {
    let retry = 1 + app.limits().come_back().as_secs();
    Error::passing(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", "Too many streams", detail, retry)
}

/// Whether a page may open a stream. Programs other than browsers send no `Origin`; they could send any.
fn may_connect(site: &Site, headers: &HeaderMap) -> bool {
    let Some(allowed) = &site.origins else { return true };
    let own = site.public_url.as_deref().map(origin_of);
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.all(|origin| {
        let known = |one: &str| origin.as_bytes() == one.as_bytes();
        allowed.iter().any(|one| known(one)) || own.is_some_and(known)
    })
}

/// `https://example.com/prices` is of `https://example.com`.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    &url[..end]
}
