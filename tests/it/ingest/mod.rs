//! All outgoing I/O, against a toy venue and its server.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod backfill;
mod bench;
mod changing;
mod connection;
mod isolation;
mod lists;
mod negotiated;
mod pacing;
mod rest;
mod server;
mod sessions;
mod stream;
mod tls;
mod toy;
