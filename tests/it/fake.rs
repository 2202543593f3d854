//! The fake exchanges: their walk, their words, their manners and their faults.

mod client;
mod clients;
mod faults;
mod rest;
mod stream;
mod tls;
mod world;
