//! All outgoing I/O, written once for every venue.
//!
//! [`run`] keeps one venue's prices coming: it connects, subscribes, paces,
//! watches, backs off, polls while streaming is down, and fills gaps from
//! candles. What differs between venues is in `venue`; what the prices mean is
//! decided by the board. Nothing here gives up, and nothing here waits without
//! a bound.

mod attempt;
mod backfill;
mod backoff;
mod connection;
mod decode;
mod dial;
mod gate;
mod health;
mod http;
mod listings;
mod liveness;
mod outbox;
mod pace;
mod poller;
mod proxy;
mod question;
mod recheck;
mod settings;
mod shared;
mod slot;
mod supervisor;
mod their_clock;
mod tls;

pub use backoff::Backoff;
pub use connection::{Command, Connection, Ended, News, Quiet};
pub use pace::{Bucket, Priority};
pub use proxy::Proxy;
pub use settings::Settings;
pub use supervisor::{Requests, run};
pub use tls::{Tls, TlsError};
