//! Tests of the fake exchanges: price walk, wire formats, connection policies and faults.

#![allow(clippy::unwrap_used, reason = "a test that can't continue should panic")]

mod bitfinex;
mod books;
mod candles;
mod client;
mod faults;
mod kucoin;
mod limits;
mod rest;
mod sessions;
mod stream;
mod tls;
mod walk;
