//! HTTP server: pages, widgets, the JSON API, and streams.

mod admission;
mod compression;
mod connection_service;
mod error;
mod history_cache;
mod layers;
mod limits;
mod listen;
mod pages;
mod query;
mod response_cache;
mod router;
mod routes;
mod state;

pub use crate::config::Limits;
pub use listen::listen;
pub use router::router;
pub use state::{AppParts, AppState};
