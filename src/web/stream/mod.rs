//! `/api/v1/stream`: rows over a WebSocket.
//!
//! The upgrade is answered here; the socket then goes to a delivery thread,
//! which asks [`Feed`] what to say.

mod feed;
mod request;
mod upgrade;

pub use feed::Feed;
pub use upgrade::upgrade;
