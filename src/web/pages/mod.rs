//! HTML pages and widgets, rendered on the server and complete without script.

use axum::Router;
use axum::routing::get;

use super::state::AppState;

mod configurator;
mod embed;
pub mod error_page;
mod home;
mod market_page;
mod page_response;
mod snippet;

/// Returns the routes of the pages, widgets, badges and the configurator.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(home::home_page))
        .route("/market/{id}", get(market_page::one_market))
        .route("/embed/{widget}", get(embed::embed_page))
        .route("/fragment/{widget}", get(embed::fragment))
        .route("/badge/{file}", get(embed::badge))
        .route("/sisepan-colors.css", get(embed::colors))
        .route("/oembed", get(embed::oembed))
        .route("/widgets", get(configurator::configurator))
}
