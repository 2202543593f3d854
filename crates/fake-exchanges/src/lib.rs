//! The fake exchanges: faithful servers on loopback for tests, demos and other people's clients.
//!
//! From the inside out: a seeded price walk ([`walk`]) or a recorded series ([`series`]) makes the trades of each
//! market, a trade log ([`trade_log`]) keeps them, and the simulation ([`simulated_market`]) holds all markets and
//! knows the exact price at any instant. Each exchange is a [`FakeVenue`](fake_venue::FakeVenue) in [`venues`]: it turns
//! that into its wire format, declares its limits, and has pure sessions ([`session`]) for its side of a stream. Only
//! [`server`], [`listener`], [`connection`], [`stream`], [`control`], [`http`] and [`socket`] use sockets, only
//! [`series`], [`recordings`] and [`script`] read files; [`fault`] decides which faults apply.
//!
//! Programs are tested against these servers, so they share no code with any of them, and they count in whole units of
//! 10^-8, never in floats.

#![deny(clippy::float_arithmetic)]

pub mod assets;
pub mod client_log;
mod clock;
mod connection;
pub mod connection_policy;
mod control;
pub mod fake_venue;
pub mod fault;
pub mod fault_effects;
pub mod fault_view;
mod gzip;
mod http;
pub mod json;
pub mod limits;
mod listener;
pub mod listing;
mod older_candles;
pub mod query;
mod recordings;
mod response;
mod rng;
mod script;
pub mod series;
pub mod server;
pub mod session;
pub mod simulated_market;
mod socket;
mod state;
mod stream;
pub mod subscriptions;
pub mod ticker_figures;
pub mod tls;
mod token;
mod trade;
pub mod trade_log;
pub mod units;
pub mod venues;
pub mod walk;

pub use clock::Clock;
pub use fault_view::FaultView;
pub use response::FakeResponse;
pub use server::{Fake, Options, start};
pub use simulated_market::{HISTORY, MinuteCloses, Simulation, Truth};
pub use venues::rest;
