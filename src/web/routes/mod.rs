//! What programs request: rows, history, streams, documents and files.

pub mod api_docs;
pub mod assets;
pub mod events;
pub mod market_data;
pub mod price_history;
pub mod stream;
