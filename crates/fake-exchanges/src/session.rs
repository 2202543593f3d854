//! A venue's side of a stream as a pure state machine: text in, steps out.
//!
//! A session has no socket and no clock. The server calls [`Session::poll`] after the simulation has advanced, and
//! the session returns what the venue would send.

use super::fault_view::FaultView;
use super::session_binance::BinanceSession;
use super::session_bithumb_legacy::BithumbLegacySession;
use super::session_upbit_family::UpbitFamilySession;
use super::upbit_family::UpbitFamily;

/// What the server does next on the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send market data about a symbol.
    Data {
        /// The venue's symbol; empty for data about several.
        symbol: String,
        /// The frame's payload.
        body: String,
    },
    /// Send an acknowledgement, a status or an error.
    Reply(String),
    /// Close with a code and a reason.
    Close(u16, String),
}

/// A venue's side of one connection.
pub trait Session: Send + Sync {
    /// Returns whether the venue sends JSON in binary frames instead of text frames.
    fn sends_binary(&self) -> bool;

    /// Returns the steps right after the handshake.
    fn open(&mut self, _view: &FaultView<'_>) -> Vec<Step> {
        Vec::new()
    }

    /// Handles a frame from the client.
    fn receive(&mut self, text: &str, view: &FaultView<'_>) -> Vec<Step>;

    /// Returns the steps that are due.
    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step>;

    /// Returns the announcement that the venue will soon close the connection, if it sends one.
    fn end_announcement(&self, _view: &FaultView<'_>) -> Option<Step> {
        None
    }
}

/// Returns a session for a stream path of a venue, without the venue prefix; `None` if nothing is served there.
pub fn open(venue: &str, path_and_query: &str) -> Option<Box<dyn Session>> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    match (venue, path.trim_end_matches('/')) {
        ("upbit", "/websocket/v1") => Some(Box::new(UpbitFamilySession::new(UpbitFamily::Upbit))),
        ("bithumb", "/websocket/v1") => Some(Box::new(UpbitFamilySession::new(UpbitFamily::Bithumb))),
        ("bithumb", "/pub/ws") => Some(Box::new(BithumbLegacySession::default())),
        ("binance", path) => BinanceSession::for_path(path, query).map(|session| Box::new(session) as Box<dyn Session>),
        _ => None,
    }
}
