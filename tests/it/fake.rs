//! The fake exchanges: price walk, wire formats, connection policies and faults.

mod books;
mod candles;
mod client;
mod faults;
mod limits;
mod rest;
mod sessions;
mod stream;
pub mod third_party_clients;
mod tls;
mod walk;
