//! All outgoing I/O, implemented once for every venue.
//!
//! [`run`] keeps the prices of one venue current: it connects, subscribes,
//! limits its request rate, detects silence, backs off, polls while streaming
//! is down, and fills gaps from candles. What differs between venues is in
//! `venue`; the board decides what the prices mean. Retries never end, and
//! every wait is bounded.

mod assignment;
mod clock_offset;
mod context;
mod event_queue;
mod health;
mod limits;
mod liveness;
mod market_list;
mod outgoing;
mod polling;
mod settings;
mod supervisor;
mod wanted;

mod backfill {
    //! Backfill: fetches minute closes by REST for the spans that the board lacks.
    //!
    //! One request at a time, the most urgent first, and always with less priority
    //! than prices: bases, then the newest minutes and older gaps in turns, then
    //! minutes that were seen live. Among equals the oldest minute comes first, and
    //! a span is filled from its oldest minute on: that is the one that the next
    //! base needs, so a page fetched for a base serves the bases of the next hours
    //! too. If spans were filled from their newest end, the base of each minute
    //! would use up all requests of a venue with many markets.
    //!
    //! A failed request affects its market alone: the market is retried with growing
    //! waits, in parallel with the others. A slow request does not delay the next one. So
    //! neither failures nor silence hold up other markets. All of them wait only if
    //! the host fails, or if several markets in a row fail that had not failed
    //! before. A request that finds no candle is not repeated for a while.

    mod jobs;
    pub mod task;
}

mod rest {
    //! Requests by REST: sent within the limits of the exchange, and not during a cool-down.

    pub mod http;
    pub mod list_query;
    pub mod rest_query;
}

mod stream {
    //! Prices by stream: opens WebSockets, keeps them subscribed, and replaces those that fail.

    pub mod connect;
    pub mod connection;
    pub mod manager;
    pub mod session;
}

pub use limits::{Backoff, Priority, TokenBucket};
pub use outgoing::{Proxy, Tls, TlsError};
pub use settings::Settings;
pub use stream::connection::{Command, Connection, ConnectionEnd, ConnectionEvents, SilenceVerdict};
pub use supervisor::{BoardRequests, run};
