//! `/api/v1/stream`: rows over a WebSocket.
//!
//! The upgrade is handled here; then the socket goes to a delivery thread, which passes messages to [`StreamService`].

mod request;
mod stream_service;
mod upgrade;

pub use stream_service::StreamService;
pub use upgrade::upgrade;
