//! The WebSocket protocol (RFC 6455) as a server speaks it, and compressed messages (RFC 7692). Pure: bytes in, bytes out.
//!
//! It exists beside the client library because a stream's frames are encoded
//! once for all its readers and written to raw sockets: no library gives out a
//! frame's bytes. Knows no socket, no clock, and nothing of what is said.

mod deflate;
mod frame;
mod handshake;
mod inbound;

pub use deflate::{Inflater, pack, stored};
pub use frame::{Opcode, close_frame, control_frame, frame, head, text_frame};
pub use handshake::{DEFLATE, has_token, is_key, takes_deflate};
pub use inbound::{Inbound, Incoming, Rules, Violation};
