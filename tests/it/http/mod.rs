//! What HTTP itself is asked for: who may connect, from where, through what, and what is kept in memory.

mod answers;
mod bodies;
mod connections;
mod events;
mod proxy;
mod site;

use axum::body::Body;
use axum::http::{Request, Response};
use sisepan::clock::Clock;
use sisepan::config::Site;
use sisepan::hub::Hub;
use sisepan::web::{AppState, Limits, Shared};

use crate::api::setup::*;

/// The state of a publisher.
fn state_at(hub: &Hub, limits: Limits, site: Site) -> AppState {
    let boards = vec![board("krw", &["BTC-KRW", "ETH-KRW", "XRP-KRW"]), board("small", &["XRP-KRW"])];
    let clock = Clock::tokio(time("2026-01-15T06:27:04Z"));
    AppState::with(Shared { hub: hub.clone(), boards, clock, history: None, keeper: None, demo: false }, limits, site)
}

fn filled() -> Hub {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("ETH-KRW", "4512000"), quote("XRP-KRW", "3104")]));
    hub
}

/// Asks with headers, without a socket.
async fn with(app: &AppState, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    ask(app, request.body(Body::empty()).unwrap()).await
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}
