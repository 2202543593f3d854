//! WebSocket fan-out to many clients that subscribe to few streams of updates.
//!
//! A few threads own the sockets of all clients. Each update of a group is encoded once, WebSocket header included,
//! and every member gets it in one write of the shared bytes.
//!
//! ```text
//!  upgraded socket ────▶ mailbox ─┐      one poller per thread, no task and no buffer per client
//!  group has a frame ──▶ mailbox ─┴▶ thread ──one write of shared bytes──▶ each member
//!                                      ▲──client messages──▶ Service ──replies──┘
//! ```
//!
//! An idle client is a struct of about 200 bytes. When a socket is full, the rest of the started frame is kept,
//! and the client gets the newest state once the socket is writable again: there is no queue. A thread that fails
//! is replaced, and its clients are closed with a code that makes them reconnect.
//!
//! This crate handles WebSocket framing ([`websocket`]), deadlines and groups. The content of messages is up to a
//! [`Service`], the content of updates to a [`Member`]; the HTTP upgrade is the caller's. `examples/echo.rs` is a
//! complete server.

pub mod websocket;

mod broadcast;
mod clients;
mod close;
mod context;
mod delivery;
mod groups;
mod mailbox;
mod member;
mod service;
mod signal;
mod thread;
mod timers;

pub use close::CloseReason;
pub use context::ClientContext;
pub use delivery::Delivery;
pub use member::{Member, Watcher};
pub use service::{ClientMessage, OnConnect, Service, ServiceContext, Settings, Upgraded};
