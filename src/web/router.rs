//! All routes, and the base path in front of them.

use axum::Router;
use axum::extract::Request;
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower::ServiceExt as _;

use super::pages::{configurator, embed, home, market_page};
use super::routes::{api_docs, assets, events, market_data, price_history, stream};
use super::state::AppState;
use super::{error, layers};

/// Returns all routes.
pub fn router(state: AppState) -> Router {
    let api = Router::new()
        .route("/api/v1/snapshot", get(market_data::snapshot))
        .route("/api/v1/snapshot.csv", get(market_data::snapshot_csv))
        .route("/api/v1/markets", get(market_data::markets))
        .route("/api/v1/history/{market}", get(price_history::history))
        .route("/api/v1/venues", get(market_data::venues))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/stream", get(stream::upgrade))
        .route("/api/v1/script", get(assets::pinned_json))
        .route("/healthz", get(market_data::alive))
        .route("/readyz", get(market_data::ready))
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(middleware::from_fn(layers::api_headers));
    let app = state.clone();
    let routes = Router::new()
        .merge(api)
        .merge(assets::routes())
        .merge(api_docs::routes(&state))
        .merge(pages())
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(layers::compression())
        .with_state(state);
    nest_under_base(app, routes).layer(middleware::from_fn(layers::options_and_security))
}

/// Returns the routes of the pages, widgets, badges and the configurator.
fn pages() -> Router<AppState> {
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

/// Nests all routes under the base path, such as `/prices`.
fn nest_under_base(app: AppState, routes: Router) -> Router {
    if app.base_path().is_empty() {
        return routes;
    }
    Router::new().fallback(move |request: Request| {
        let (app, routes) = (app.clone(), routes.clone());
        async move { route_below_base(&app, routes, request).await }
    })
}

async fn route_below_base(app: &AppState, routes: Router, mut request: Request) -> Response {
    let base = app.base_path();
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = match target.strip_prefix(base) {
        Some(rest) if rest.starts_with('/') => rest,
        // Links of a page are relative to its folder, so the base path needs its trailing slash.
        Some(rest) if rest.is_empty() || rest.starts_with('?') => {
            let location = format!("{base}/{rest}");
            return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response();
        }
        // Users of a host that serves only sisepan open its root first.
        _ if request.uri().path() == "/" => {
            let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("{base}/{query}"))]).into_response();
        }
        _ => return error::not_found(app, request.headers(), request.uri(), &format!("{base}/")),
    };
    match rest.parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return error::not_found(app, request.headers(), request.uri(), &format!("{base}/")),
    }
    // The router's error type is `Infallible`.
    routes.oneshot(request).await.into_response()
}
