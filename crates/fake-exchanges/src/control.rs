//! The control server: serves the client log and the exact prices, sets prices, injects faults.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

use super::fault::{FaultSpec, Transport};
use super::http::{self, Request};
use super::json::{Object, array, json_string};
use super::listener::next_connection;
use super::query::RequestTarget;
use super::response::FakeResponse;
use super::simulated_market::Truth;
use super::socket::Socket;
use super::state::{FakeState, lock};
use super::units;

/// Accepts control connections until shutdown.
pub async fn accept(state: Arc<FakeState>, listener: TcpListener) {
    let mut failing = false;
    while let Some(tcp) = next_connection(&state, &listener, &mut failing).await {
        state.tasks.spawn(serve(Arc::clone(&state), tcp));
    }
}

async fn serve(state: Arc<FakeState>, tcp: TcpStream) {
    let mut socket = Socket::Plain(tcp);
    let mut buffer = Vec::new();
    loop {
        let request = tokio::select! {
            () = state.stop.cancelled() => return,
            request = http::read(&mut socket, &mut buffer) => request,
        };
        let Ok(Some(request)) = request else { return };
        let response = answer(&state, &request);
        if http::write(&mut socket, &response, None).await.is_err() {
            return;
        }
    }
}

fn answer(state: &FakeState, request: &Request) -> FakeResponse {
    let target = RequestTarget::parse(&request.target);
    let body = || std::str::from_utf8(&request.body).map_err(|_| "body is not UTF-8".to_owned());
    let result = match (request.method.as_str(), target.path.as_str()) {
        ("GET", "/log") => serde_json::to_string(&*lock(&state.log)).map_err(|error| error.to_string()),
        ("GET", "/truth") => Ok(truth(state, &target)),
        ("POST", "/price") => body().and_then(|body| price(state, body)),
        ("POST", "/fault") => {
            body().and_then(|body| state.inject_fault(FaultSpec::parse(body)?)).map(|()| OK.to_owned())
        }
        ("DELETE", "/fault") => {
            lock(&state.faults).clear();
            Ok(OK.to_owned())
        }
        (_, "/log" | "/truth" | "/price" | "/fault") => return problem(405, "method not allowed here"),
        _ => {
            return problem(404, "not found; available: GET /log, GET /truth, POST /price, POST /fault, DELETE /fault");
        }
    };
    match result {
        Ok(body) => FakeResponse::json(200, body),
        Err(error) => problem(400, &error),
    }
}

const OK: &str = r#"{"ok":true}"#;

fn problem(status: u16, error: &str) -> FakeResponse {
    FakeResponse::json(status, Object::new().text("error", error).end())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPrice {
    venue: String,
    market: String,
    price: String,
    #[serde(default)]
    hold: bool,
}

fn price(state: &FakeState, body: &str) -> Result<String, String> {
    let request: SetPrice = serde_json::from_str(body).map_err(|error| format!("invalid request: {error}"))?;
    let price = units::parse(&request.price).map_err(|error| format!("price {:?}: {error}", request.price))?;
    state.set_price(&request.venue, &request.market, price, request.hold)?;
    Ok(OK.to_owned())
}

/// Returns the exact prices of every market, or of those that `?venue=` and `?market=` select.
fn truth(state: &FakeState, target: &RequestTarget) -> String {
    let (venue, name) = (target.get("venue"), target.get("market"));
    let (now, truths) = state.with_view(&state.injection_point(Transport::Rest, "", ""), |view| {
        let markets = view.simulation.all_markets().iter();
        let markets = markets.filter(|market| venue.is_none_or(|venue| venue == market.venue));
        let markets = markets.filter(|market| name.is_none_or(|name| name == market.name));
        let truths = markets.filter_map(|market| {
            Some((market.venue, market.name.clone(), market.symbol.clone(), market.truth(view.simulation.now())?))
        });
        (view.simulation.now(), truths.collect::<Vec<_>>())
    });
    let markets = truths.iter().map(|(venue, market, symbol, truth)| {
        let object = Object::new().text("venue", venue).text("market", market).text("symbol", symbol);
        add_truth(object, truth)
    });
    let as_of = Timestamp::from_millisecond(now).unwrap_or_default().to_string();
    Object::new().text("as_of", &as_of).raw("markets", array(markets)).end()
}

fn add_truth(object: Object, truth: &Truth) -> String {
    let minutes = truth.minutes.iter().map(|(start, close)| (start.to_string(), json_string(&close.to_string())));
    let minutes = minutes.fold(Object::new(), |object, (start, close)| object.raw(&start, close));
    object
        .text("last", &truth.last.to_string())
        .text("traded_at", &truth.traded_at.to_string())
        .raw("minutes", minutes.end())
        .end()
}
