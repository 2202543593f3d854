//! sisepan (시세판, "price board"): one binary that reads the public market
//! data of crypto exchanges, computes the exact 24-hour change with decimal
//! arithmetic, and serves live price widgets for any web page.
//!
//! ```text
//!  exchanges                                                                          browsers, clients
//!    │ REST, WebSocket                                                                      ▲ frames
//!    ▼                                                                                      │
//!  ingest ──text──▶ venue ──tickers──▶ board ──changed rows──▶ bus ──▶ hub ──bytes──▶ fanout (streams)
//!    ▲ connect, limit, watch, back off  │  window, change,      │ newest rows
//!    └───────────── gaps ◀──────────────┘  sources              └──────▶ web (pages, JSON)
//! ```
//!
//! Three guarantees, in order of priority: never show a wrong price as live;
//! never show a change without a known base; never show an empty board.
//!
//! Start reading at [`market`] for the terms, [`venue`] for what differs
//! between exchanges, [`board`] for how tickers become rows, and [`run()`] for
//! how the components are connected. `ARCHITECTURE.md` has an overview.

#![deny(clippy::float_arithmetic)]

pub mod api;
mod app;
pub mod board;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
mod failpoint;
pub mod feed;
pub mod hub;
pub mod ingest;
pub mod locale;
pub mod market;
pub mod metrics;
pub mod options;
pub mod store;
pub mod telemetry;
pub mod venue;
pub mod web;
mod widgets;

pub use app::{run, run_with_boards};
