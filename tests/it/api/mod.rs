//! The JSON API and the stream, as a client sees them.

mod docs;
mod document;
mod hub;
mod json;
mod limits;
mod listener;
mod recovery;
mod requests;
pub mod setup;
mod stream;
