//! A venue's side of a stream as a pure state machine: text in, steps out.
//!
//! A session has no socket and no clock. The server calls [`Session::poll`] after the simulation has advanced, and
//! the session returns what the venue would send. What a connection remembers is in the session. A body is JSON,
//! however it is encoded into frames, so that faults can edit it.

use super::fault_view::FaultView;

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

/// Returns `session()` if `path` is `served`, the only path of the stream.
pub fn open_at<S: Session + 'static>(
    served: &str,
    path: &str,
    session: impl FnOnce() -> S,
) -> Option<Box<dyn Session>> {
    (path == served).then(|| Box::new(session()) as Box<dyn Session>)
}

/// How a venue sends the bodies of a session's steps.
#[derive(Debug, Clone, Copy)]
pub enum FrameEncoding {
    /// As text frames.
    Text,
    /// As they are, in binary frames.
    Binary,
    /// Converted by a function, in binary frames: compressed, or in a format other than JSON.
    Converted(fn(&str) -> Vec<u8>),
}

impl FrameEncoding {
    /// Returns whether the frames are binary.
    pub fn is_binary(self) -> bool {
        !matches!(self, Self::Text)
    }

    /// Returns the payload of a frame.
    pub fn payload(self, body: String) -> Vec<u8> {
        match self {
            Self::Text | Self::Binary => body.into_bytes(),
            Self::Converted(convert) => convert(&body),
        }
    }
}

/// A venue's side of one connection.
pub trait Session: Send + Sync {
    /// Returns how the venue sends bodies.
    fn encoding(&self) -> FrameEncoding {
        FrameEncoding::Text
    }

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
