//! All outgoing I/O, implemented once for every venue.
//!
//! [`run`] keeps the prices of one venue current: it connects, subscribes,
//! limits its request rate, detects silence, backs off, polls while streaming
//! is down, and fills gaps from candles. What differs between venues is in
//! `venue`; the board decides what the prices mean. Retries never end, and
//! every wait is bounded.

mod backfill;
mod backoff;
mod clock_offset;
mod connect;
mod connection;
mod context;
mod cooldown;
mod decode;
mod event_queue;
mod health;
mod http;
mod liveness;
mod manager;
mod market_list;
mod polling;
mod price_check;
mod proxy;
mod rate_limit;
mod rest_query;
mod session;
mod settings;
mod supervisor;
mod tls;

pub use backoff::Backoff;
pub use connection::{Command, Connection, ConnectionEnd, ConnectionEvents, SilenceVerdict};
pub use proxy::Proxy;
pub use rate_limit::{Priority, TokenBucket};
pub use settings::Settings;
pub use supervisor::{BoardRequests, run};
pub use tls::{Tls, TlsError};
