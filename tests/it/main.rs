//! The integration test program, with one module per subject.

#![allow(clippy::unwrap_used, reason = "a test that can't continue should panic")]

mod api;
mod architecture;
mod bases;
mod board;
mod changing_boards;
mod config;
mod contract;
mod end_to_end;
mod feed;
mod from_env;
mod history;
mod http;
mod imports;
mod ingest;
mod joined;
mod laws;
mod notices;
mod pages;
mod pause;
mod preload;
mod programs;
mod series;
mod simulation;
mod store;
mod supervision;
mod test_hub;
mod third_party_clients;
mod venues;
mod widgets;
