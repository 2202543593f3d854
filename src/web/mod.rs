//! HTTP server: pages, widgets, the JSON API, and streams.

mod admission;
mod cache;
mod connection_service;
mod error;
mod layers;
mod limits;
mod listen;
mod query;
mod router;
mod rows_query;
mod state;

mod pages {
    //! HTML pages, widgets to be embedded, badges and oEmbed: complete without script.

    pub mod configurator;
    pub mod embed;
    pub mod home;
    pub mod market_page;
    pub mod page_response;
    mod snippet;
}

mod routes {
    //! What programs request: rows, history, streams, documents and files.

    pub mod api_docs;
    pub mod assets;
    pub mod events;
    pub mod market_data;
    pub mod price_history;
    pub mod stream;
}

pub use crate::config::Limits;
pub use listen::listen;
pub use router::router;
pub use state::{AppParts, AppState};
