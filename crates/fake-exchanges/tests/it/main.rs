//! Tests of the fake exchanges: price walk, wire formats, connection policies and faults.

#![allow(clippy::unwrap_used, reason = "a test that can't continue should panic")]

mod binance;
mod bitfinex;
mod candles;
mod client;
mod faults;
mod history;
mod kraken;
mod kucoin;
mod limits;
mod rest;
mod stream;
mod tls;
mod upbit_family;
mod walk;
