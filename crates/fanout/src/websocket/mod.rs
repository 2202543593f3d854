//! Server side of the WebSocket protocol (RFC 6455) with compression (RFC 7692). Pure: bytes in, bytes out.
//!
//! A stream's frames are encoded once for all clients and written to raw sockets, and WebSocket libraries don't
//! expose the bytes of a frame. Has no I/O and no clock, and does not interpret
//! messages.

mod deflate;
mod frame;
mod handshake;
mod reassembly;

pub use deflate::{Inflater, compress, stored_block};
pub use frame::{Opcode, close_frame, control_frame, write_frame, write_header, write_text_frame};
pub use handshake::{DEFLATE, has_token, is_valid_key, offers_deflate};
pub use reassembly::{Incoming, ReadOptions, Reassembler};

/// How a client violated the protocol or a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// An invalid frame.
    Protocol,
    /// A message that exceeds the maximum length.
    TooLong,
    /// A text that is not valid UTF-8.
    NotUtf8,
}
