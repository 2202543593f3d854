//! One client's stream, as a pure machine: text in, steps out.
//!
//! A session has no socket and no clock. It is asked to [`Session::poll`]
//! after the world has advanced and answers with what the venue would send.

use super::korean::Korean;
use super::session_binance::BinanceSession;
use super::session_legacy::LegacySession;
use super::session_ticket::TicketSession;
use super::view::View;

/// What to do next on the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send market data about a symbol.
    Data {
        /// The venue's spelling of the market.
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
    /// Returns whether its frames are binary ones (that hold UTF-8 JSON).
    fn binary(&self) -> bool;

    /// Returns what is sent before anything was asked.
    fn open(&mut self, _view: &View<'_>) -> Vec<Step> {
        Vec::new()
    }

    /// Reads a frame of the client's.
    fn receive(&mut self, text: &str, view: &View<'_>) -> Vec<Step>;

    /// Returns what has become due.
    fn poll(&mut self, view: &View<'_>) -> Vec<Step>;

    /// Returns what is said some time before the venue ends the connection of itself, if it says so.
    fn notice(&self, _view: &View<'_>) -> Option<Step> {
        None
    }
}

/// Returns the session for a stream path of a venue (without our prefix), or `None` if nothing is served there.
pub fn open(venue: &str, path_and_query: &str) -> Option<Box<dyn Session>> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    match (venue, path.trim_end_matches('/')) {
        ("upbit", "/websocket/v1") => Some(Box::new(TicketSession::new(Korean::Upbit))),
        ("bithumb", "/websocket/v1") => Some(Box::new(TicketSession::new(Korean::Bithumb))),
        ("bithumb", "/pub/ws") => Some(Box::new(LegacySession::default())),
        ("binance", path) => BinanceSession::at(path, query).map(|session| Box::new(session) as Box<dyn Session>),
        _ => None,
    }
}
