//! HTTP: admission, proxies, site settings, server-sent events and the response cache.

mod connections;
mod events;
mod proxy;
mod response_cache;
mod responses;
mod site;

use crate::test_hub::{TestApp, TestHub};
use axum::body::Body;
use axum::http::{Request, Response};
use sisepan::clock::Clock;
use sisepan::config::Site;
use sisepan::web::{AppParts, AppState, Limits};

use crate::api::setup::*;

/// Returns the state with limits and site settings.
fn app_state_with_site(hub: &TestHub, limits: Limits, site: Site) -> TestApp {
    let boards = vec![board("krw", &["BTC-KRW", "ETH-KRW", "XRP-KRW"]), board("small", &["XRP-KRW"])];
    let clock = Clock::tokio(time("2026-01-15T06:27:04Z"));
    let boards = crate::api::setup::fixed_boards(boards);
    let parts = AppParts { hub: hub.served(), boards, clock, history: None, store_health: None, demo: false };
    TestApp::new(hub, AppState::with_site(parts, limits, site))
}

/// Returns a hub with three rows.
fn hub_with_rows() -> TestHub {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("ETH-KRW", "4512000"), quote("XRP-KRW", "3104")]));
    hub
}

/// Sends a GET request with headers to the router, without a socket.
async fn get_with(app: &AppState, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send_request(app, request.body(Body::empty()).unwrap()).await
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}
