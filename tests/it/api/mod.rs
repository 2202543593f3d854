//! The JSON API and the stream from a client's view.

mod changes;
mod doc_examples;
mod hub;
mod json;
mod limits;
mod listener;
mod openapi;
mod recovery;
mod requests;
pub mod setup;
mod stream;
