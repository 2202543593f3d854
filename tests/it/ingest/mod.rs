//! All outgoing I/O, against a small venue and a small server of its own.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

mod backfill;
mod bench;
mod connection;
mod isolation;
mod lists;
mod pacing;
mod rest;
mod server;
mod stream;
mod tls;
mod toy;
