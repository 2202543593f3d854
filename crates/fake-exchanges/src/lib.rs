//! The fake exchanges: faithful servers on loopback for tests, demos and other people's clients.
//!
//! From the inside out: a seeded price walk ([`walk`]) or a recorded series ([`series`]) makes the trades of each
//! market, a trade log ([`trade_log`]) keeps them, and the simulation ([`simulated_market`]) holds all markets and
//! knows the exact price at any instant. Pure encoders ([`upbit`], [`bithumb`], [`bithumb_legacy`], [`binance`]) turn
//! that into each venue's wire format, and pure sessions ([`session`]) implement a venue's side of a stream. Only
//! [`server`], [`connection`], [`stream`], [`control`], [`http`] and [`socket`] do I/O; [`fault`] decides which faults
//! apply.
//!
//! Programs are tested against these servers, so they share no code with any of them, and they count in whole units of
//! 10^-8, never in floats.

#![deny(clippy::float_arithmetic)]

pub mod assets;
pub mod binance;
mod binance_depth;
mod binance_kline;
mod binance_stream;
mod binance_trade;
mod binance_window;
pub mod bithumb;
pub mod bithumb_legacy;
pub mod book;
pub mod candle;
pub mod client_log;
mod clock;
mod connection;
mod connection_policy;
mod control;
pub mod fault;
pub mod fault_view;
mod gzip;
mod http;
mod json;
mod limits;
pub mod query;
mod recordings;
mod rng;
mod script;
pub mod series;
pub mod server;
pub mod session;
mod session_binance;
mod session_bithumb_legacy;
mod session_upbit_family;
pub mod simulated_market;
mod socket;
mod state;
mod stream;
pub mod ticker_figures;
pub mod tls;
pub mod trade_log;
pub mod units;
pub mod upbit;
pub mod upbit_family;
mod upbit_family_book;
mod upbit_family_candle;
mod upbit_family_trade;
pub mod walk;

pub use clock::Clock;
pub use fault_view::{FakeResponse, FaultView, rest};
pub use server::{Fake, Options, start};
pub use simulated_market::{Simulation, Truth};
