//! Tests of the crate: frames without a socket, and a server with real sockets.

#![allow(clippy::unwrap_used, reason = "a test that can't continue should panic")]

#[path = "../../fuzz/check.rs"]
mod check;
mod frames;
mod server;
mod setup;
