//! Why a stream ends: 3000 to 3499 come back, 3500 to 3999 do not.

use axum::extract::ws::{CloseCode, CloseFrame};

/// A reason to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The client closed, or its connection broke.
    Left,
    /// The client broke the WebSocket protocol.
    Protocol,
    /// A message that is not text.
    Binary,
    /// A text that is not UTF-8.
    NotUtf8,
    /// A message that is too long.
    TooLong,
    /// We restart.
    Shutdown,
    /// A write was blocked for too long.
    Slow,
    /// No answer to a ping.
    NoPong,
    /// Too many messages in a second.
    TooMany,
    /// The URL asks for something that there is not.
    BadRequest,
    /// Nothing was subscribed in time.
    NoSubscription,
}

impl Close {
    /// Returns the code and the reason, or `None` where there is nobody to tell.
    pub fn frame(self) -> Option<CloseFrame> {
        let (code, reason): (CloseCode, &'static str) = match self {
            Self::Left => return None,
            Self::Protocol => (1002, "protocol error"),
            Self::Binary => (1003, "messages are text"),
            Self::NotUtf8 => (1007, "text is not utf-8"),
            Self::TooLong => (1009, "message too long"),
            Self::Shutdown => (1012, "server restarts"),
            Self::Slow => (3008, "slow"),
            Self::NoPong => (3012, "no pong"),
            Self::TooMany => (3013, "too many requests"),
            Self::BadRequest => (3501, "bad request"),
            Self::NoSubscription => (3502, "no subscription"),
        };
        Some(CloseFrame { code, reason: reason.into() })
    }
}
