//! The fake exchanges: faithful servers on loopback, for tests, demos and other people's clients.
//!
//! From the inside out: a seeded price walk ([`walk`]) fills one trade list a
//! market ([`tape`]), or a recorded series does ([`series`]); [`world`] holds them all and knows the exact price of
//! any instant. Pure encoders ([`upbit`], [`bithumb`], [`bithumb_old`],
//! [`binance`]) put that into each venue's own words, pure sessions
//! ([`session`]) keep up a stream's side of the talk. Only [`server`],
//! [`connection`], [`stream`] and [`control`] touch sockets; [`fault`] breaks on
//! purpose what they send.
//!
//! This is the measure for the code under test, so it shares nothing with it:
//! it never uses `domain::window`, `domain::change`, `board` or `hub`, and it
//! counts in whole units of 10^-8, never in floats.

pub mod binance;
mod binance_depth;
mod binance_kline;
mod binance_stream;
mod binance_trade;
mod binance_window;
pub mod bithumb;
pub mod bithumb_old;
pub mod book;
pub mod candle;
pub mod coins;
mod connection;
mod control;
pub mod fault;
pub mod figures;
mod gzip;
mod http;
mod json;
pub mod korean;
mod korean_book;
mod korean_candle;
mod korean_trade;
mod limits;
pub mod log;
mod manners;
pub mod query;
mod recorded;
mod rng;
mod script;
pub mod series;
pub mod server;
pub mod session;
mod session_binance;
mod session_legacy;
mod session_ticket;
mod shared;
mod stream;
pub mod tape;
pub mod tls;
pub mod units;
pub mod upbit;
pub mod view;
pub mod walk;
mod wire;
pub mod world;

pub use server::{Fake, Options, start};
pub use view::{FakeResponse, View, rest};
pub use world::{Truth, World};
