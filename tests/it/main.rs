//! The one integration test program: a module a subject.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails where it stands")]

mod api;
mod architecture;
mod bases;
mod config;
mod end_to_end;
mod fake;
mod feed;
mod history;
mod http;
mod ingest;
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
mod under_faults;
mod venues;
mod widgets;
