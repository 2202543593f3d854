//! Why a stream ends: 3000 to 3499 come back, 3500 to 3999 do not.

use crate::websocket::{self, Violation};

/// A reason to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The connection broke.
    Broken,
    /// The client closed, with this code.
    Left(Option<u16>),
    /// The client broke the WebSocket protocol.
    Protocol,
    /// A message that is not text.
    Binary,
    /// A text that is not UTF-8.
    NotUtf8,
    /// A message that is too long.
    TooLong,
    /// We made a mistake.
    Failed,
    /// A part of us failed and is replaced.
    Failure,
    /// We restart.
    Shutdown,
    /// A write was blocked for too long.
    Slow,
    /// No answer to a ping.
    NoPong,
    /// Too many messages in a second.
    TooMany,
    /// There are as many groups as we take.
    TooManyGroups,
    /// The URL asks for something that there is not.
    BadRequest,
    /// Nothing was subscribed in time.
    NoSubscription,
}

impl Close {
    /// Returns the last frame, or `None` where there is nobody to tell.
    pub(super) fn frame(self) -> Option<Vec<u8>> {
        match self {
            Self::Broken => None,
            Self::Left(code) => Some(websocket::close_frame(code, "")),
            ours => {
                let (code, reason) = ours.code();
                Some(websocket::close_frame(Some(code), reason))
            }
        }
    }

    /// Returns the close code, and what it stands for. As in every API of WebSocket, 1006 is a connection that broke, and
    /// 1005 a close without a code.
    pub(super) fn code(self) -> (u16, &'static str) {
        match self {
            Self::Broken => (1006, "connection broke"),
            Self::Left(code) => (code.unwrap_or(1005), "closed by the client"),
            Self::Protocol => (1002, "protocol error"),
            Self::Binary => (1003, "messages are text"),
            Self::NotUtf8 => (1007, "text is not utf-8"),
            Self::TooLong => (1009, "message too long"),
            Self::Failed => (1011, "server error"),
            Self::Shutdown => (1012, "server restarts"),
            Self::Slow => (3008, "slow"),
            Self::Failure => (3011, "server error"),
            Self::NoPong => (3012, "no pong"),
            Self::TooMany => (3013, "too many requests"),
            Self::TooManyGroups => (3014, "too many groups"),
            Self::BadRequest => (3501, "bad request"),
            Self::NoSubscription => (3502, "no subscription"),
        }
    }
}

impl From<Violation> for Close {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::Protocol => Self::Protocol,
            Violation::TooLong => Self::TooLong,
            Violation::NotUtf8 => Self::NotUtf8,
        }
    }
}

impl From<std::io::Error> for Close {
    fn from(_: std::io::Error) -> Self {
        Self::Broken
    }
}
