//! All outgoing I/O, implemented once for every venue.
//!
//! [`run`] keeps the prices of one venue current: it connects, subscribes,
//! limits its request rate, detects silence, backs off, polls while streaming
//! is down, and fills gaps from candles. What differs between venues is in
//! `venue`; the board decides what the prices mean. Retries never end, and
//! every wait is bounded.

mod backfill;
mod clock_offset;
mod context;
mod event_queue;
mod health;
mod market_list;
mod polling;
mod rest;
mod settings;
mod silence;
mod stream;
mod supervisor;

pub use rest::limits::{Backoff, Priority, TokenBucket};
pub use rest::outgoing::{Proxy, Tls, TlsError};
pub use settings::Settings;
pub use stream::connection::{Command, Connection, ConnectionEnd, ConnectionEvents, SilenceVerdict};
pub use supervisor::{BoardRequests, run};
