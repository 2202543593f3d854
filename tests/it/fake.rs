//! The fake exchanges: their walk, their words, their manners and their faults.

mod books;
mod candles;
mod client;
pub mod clients;
mod faults;
mod limits;
mod rest;
mod stream;
mod streams;
mod tls;
mod world;
