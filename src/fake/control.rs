//! The control server: look at what clients did and at the truth, set prices, break things.

use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

use super::fault::{Order, Plane};
use super::http::{self, Request};
use super::json::{Object, array, text};
use super::query::Target;
use super::shared::{Shared, lock};
use super::view::FakeResponse;
use super::wire::Wire;
use super::world::Truth;
use crate::domain::amount;

/// Accepts connections until the fake ends.
pub async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    shared.tasks.spawn(serve(Arc::clone(&shared), tcp));
                }
                Err(error) => tracing::warn!(%error, "fake: a control connection can't be accepted"),
            },
        }
    }
}

async fn serve(shared: Arc<Shared>, tcp: TcpStream) {
    let mut wire = Wire::Plain(tcp);
    let mut buffer = Vec::new();
    loop {
        let request = tokio::select! {
            () = shared.stop.cancelled() => return,
            request = http::read(&mut wire, &mut buffer) => request,
        };
        let Ok(Some(request)) = request else { return };
        let response = answer(&shared, &request);
        if http::write(&mut wire, &response, None).await.is_err() {
            return;
        }
    }
}

fn answer(shared: &Shared, request: &Request) -> FakeResponse {
    let target = Target::parse(&request.target);
    let body = || std::str::from_utf8(&request.body).map_err(|_| "body is not UTF-8".to_owned());
    let done = match (request.method.as_str(), target.path.as_str()) {
        ("GET", "/log") => serde_json::to_string(&*lock(&shared.log)).map_err(|error| error.to_string()),
        ("GET", "/truth") => Ok(truth(shared, &target)),
        ("POST", "/price") => body().and_then(|body| price(shared, body)),
        ("POST", "/fault") => body().and_then(|body| shared.order(Order::parse(body)?)).map(|()| OK.to_owned()),
        ("DELETE", "/fault") => {
            lock(&shared.faults).clear();
            Ok(OK.to_owned())
        }
        (_, "/log" | "/truth" | "/price" | "/fault") => return problem(405, "method not allowed here"),
        _ => return problem(404, "known are GET /log, GET /truth, POST /price, POST /fault, DELETE /fault"),
    };
    match done {
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

fn price(shared: &Shared, body: &str) -> Result<String, String> {
    let order: SetPrice = serde_json::from_str(body).map_err(|error| format!("price is unreadable: {error}"))?;
    let price: Decimal = amount::parse(&order.price).map_err(|error| format!("price {:?}: {error}", order.price))?;
    shared.set_price(&order.venue, &order.market, price, order.hold)?;
    Ok(OK.to_owned())
}

/// The truth of every market, or of `?venue=` and `?market=`.
fn truth(shared: &Shared, target: &Target) -> String {
    let (venue, market) = (target.get("venue"), target.get("market"));
    let (now, truths) = shared.look(&shared.site(Plane::Rest, "", ""), |view| {
        let lines = view.world.all().iter();
        let wanted = lines.filter(|line| venue.is_none_or(|venue| venue == line.venue));
        let wanted = wanted.filter(|line| market.is_none_or(|market| market == line.market));
        let truth = wanted.filter_map(|line| {
            Some((line.venue, line.market.clone(), line.symbol.clone(), line.truth(view.world.now())?))
        });
        (view.world.now(), truth.collect::<Vec<_>>())
    });
    let markets = truths.iter().map(|(venue, market, symbol, truth)| {
        let object = Object::new().text("venue", venue).text("market", market).text("symbol", symbol);
        spell(object, truth)
    });
    let as_of = Timestamp::from_millisecond(now).unwrap_or_default().to_string();
    Object::new().text("as_of", &as_of).raw("markets", array(markets)).end()
}

fn spell(object: Object, truth: &Truth) -> String {
    let minutes = truth.minutes.iter().map(|(start, close)| (start.to_string(), text(&close.to_string())));
    let minutes = minutes.fold(Object::new(), |object, (start, close)| object.raw(&start, close));
    object
        .text("last", &truth.last.to_string())
        .text("traded_at", &truth.traded_at.to_string())
        .raw("minutes", minutes.end())
        .end()
}
