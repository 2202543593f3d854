//! Reasons for closing a stream. After 3000 to 3499 clients should reconnect, after 3500 to 3999 they should not.

use crate::websocket::{self, Violation};

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The connection was lost.
    ConnectionLost,
    /// The client closed the connection, with this code.
    ClosedByClient(Option<u16>),
    /// The client violated the WebSocket protocol.
    Protocol,
    /// A text message is not valid UTF-8.
    NotUtf8,
    /// A message exceeds the maximum length.
    TooLong,
    /// Handling a message of this client panicked.
    HandlerFailed,
    /// The delivery thread or the group of the client failed; reconnecting helps.
    ComponentFailed,
    /// The server shuts down.
    Shutdown,
    /// A write was blocked past its deadline.
    Slow,
    /// No pong arrived in time.
    NoPong,
    /// The client exceeded the message rate limit.
    TooManyMessages,
    /// The client did not subscribe in time.
    NoSubscription,
    /// The service closes the connection with this code and reason.
    Service(u16, &'static str),
}

impl CloseReason {
    /// Returns the close frame to send, or `None` if the connection is lost.
    pub(super) fn frame(self) -> Option<Vec<u8>> {
        match self {
            Self::ConnectionLost => None,
            Self::ClosedByClient(code) => Some(websocket::close_frame(code, "")),
            reason => {
                let (code, reason) = reason.code_and_reason();
                Some(websocket::close_frame(Some(code), reason))
            }
        }
    }

    /// Returns the close code and its reason text. As in the browser API, 1006 stands for a lost connection and
    /// 1005 for a close frame without a code; neither is sent.
    pub(super) fn code_and_reason(self) -> (u16, &'static str) {
        match self {
            Self::ConnectionLost => (1006, "connection lost"),
            Self::ClosedByClient(code) => (code.unwrap_or(1005), "closed by the client"),
            Self::Protocol => (1002, "protocol error"),
            Self::NotUtf8 => (1007, "text is not utf-8"),
            Self::TooLong => (1009, "message too long"),
            Self::HandlerFailed => (1011, "server error"),
            Self::Shutdown => (1012, "server restarts"),
            Self::Slow => (3008, "slow"),
            Self::ComponentFailed => (3011, "server error"),
            Self::NoPong => (3012, "no pong"),
            Self::TooManyMessages => (3013, "too many requests"),
            Self::NoSubscription => (3502, "no subscription"),
            Self::Service(code, reason) => (code, reason),
        }
    }
}

impl From<Violation> for CloseReason {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::Protocol => Self::Protocol,
            Violation::TooLong => Self::TooLong,
            Violation::NotUtf8 => Self::NotUtf8,
        }
    }
}

impl From<std::io::Error> for CloseReason {
    fn from(_: std::io::Error) -> Self {
        Self::ConnectionLost
    }
}
