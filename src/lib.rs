//! sisepan (시세판, "price board"): one binary that watches the public market
//! data of crypto exchanges, works out the true 24-hour change with exact
//! decimals, and puts live prices on other people's web pages.
//!
//! ```text
//!  exchanges                                                                  browsers, clients
//!    │ REST, WebSocket                                                              ▲ frames
//!    ▼                                                                              │
//!  ingest ──text──▶ venue ──tickers──▶ board ──changed rows──▶ hub ──bytes──▶ web (stream)
//!    ▲ connect, pace, watch, back off   │  window, change,      │ newest rows
//!    └───────────── gaps ◀──────────────┘  sources              └──────▶ web (pages, JSON)
//! ```
//!
//! Three promises, in order: never show a wrong price as live; never show a
//! change whose base is not known; never be blank.
//!
//! Start reading at [`domain`] for the words, [`venue`] for what differs
//! between exchanges, [`board`] for what becomes of a ticker, and [`run()`] for
//! how the parts are joined. `ARCHITECTURE.md` has the map.

#![deny(clippy::float_arithmetic)]

pub mod board;
pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod domain;
mod failpoint;
pub mod fake;
pub mod hub;
pub mod ingest;
pub mod metrics;
pub mod past;
mod run;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod venue;
pub mod web;
pub mod websocket;
pub mod wire;

pub use run::run;
