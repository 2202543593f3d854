//! A venue whose connections have a memory: ids that are valid once, pings with a payload, and refused markets.

use std::time::Duration;

use serde_json::{Value, json};
use sisepan::feed::{Event, ReasonCode, VenueHealth, VenueState};
use sisepan::ingest::{Settings, Tls};
use sisepan::market::Market;
use sisepan::venue::{
    Endpoint, Incoming, Keepalive, Method, Opening, ParseError, Profile, Request, Response, RestQuery, Session, Venue,
};

use super::toy::{
    Bench, Mode, Server, ServerState, StreamAction, Toy, fetched, markets, parse, payload, settings, streamed, symbol,
    until,
};

/// The toy with a session that remembers, and with the URL of its streams given out by REST if `is_negotiated`.
pub struct Talker {
    pub toy: Toy,
    pub is_negotiated: bool,
}

impl Talker {
    pub fn leak(profile: Profile, is_negotiated: bool) -> &'static dyn Venue {
        Box::leak(Box::new(Self { toy: Toy(profile), is_negotiated }))
    }
}

impl Venue for Talker {
    fn profile(&self) -> &Profile {
        self.toy.profile()
    }

    fn symbol(&self, market: &Market) -> String {
        self.toy.symbol(market)
    }

    fn endpoint(&self) -> Endpoint {
        if !self.is_negotiated {
            return Endpoint::Fixed;
        }
        let request =
            Request { method: Method::Post, path: "/token".to_owned(), costs: vec![("token", 10), ("all", 1)] };
        Endpoint::Negotiated { request, read: opening }
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(TalkerSession::default())
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        self.toy.request(query)
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        self.toy.response(query, body)
    }
}

/// Parses `{"url": "ws://…", "ping_ms": 1000}` or `{"error": "code"}`.
fn opening(body: &str) -> Result<Opening, ParseError> {
    let value = payload(body)?;
    if let Some(code) = value["error"].as_str() {
        return Err(ParseError::Refused { code: code.to_owned(), message: "no stream for you".to_owned() });
    }
    let url = value["url"].as_str().ok_or_else(|| ParseError::Payload("it has no url".to_owned()))?.to_owned();
    let every = value["ping_ms"].as_u64().map(Duration::from_millis);
    Ok(Opening { url, keepalive: every.map(Keepalive::Ping) })
}

/// Until the greeting, frames are held back; after it, each has the id that the greeting gave.
#[derive(Default)]
struct TalkerSession {
    id: Option<String>,
    waiting: Vec<Value>,
}

impl Session for TalkerSession {
    fn subscribe(&mut self, wanted: &[Market], current: &[Market]) -> Vec<String> {
        let changes = [("unsub", current, wanted), ("sub", wanted, current)];
        for (verb, all, but) in changes {
            let changed = all.iter().filter(|market| !but.contains(market));
            self.waiting.extend(changed.map(|market| json!({verb: [symbol(market)]})));
        }
        self.release()
    }

    fn parse(&mut self, text: &str) -> Result<Incoming, ParseError> {
        let value = payload(text)?;
        if let Some(id) = value["hello"].as_str() {
            self.id = Some(id.to_owned());
            return Ok(Incoming::Send(self.release()));
        }
        if let Some(symbol) = value["refused"].as_str() {
            return Ok(Incoming::RefusedMarket { symbol: symbol.to_owned(), message: "members only".to_owned() });
        }
        if !value["ping"].is_null() {
            return Ok(Incoming::Send(vec![json!({"pong": value["ping"], "id": self.id}).to_string()]));
        }
        parse(text)
    }
}

impl TalkerSession {
    fn release(&mut self) -> Vec<String> {
        let Some(id) = &self.id else { return Vec::new() };
        let with_id = |mut frame: Value| {
            frame["id"] = json!(id);
            frame.to_string()
        };
        self.waiting.drain(..).map(with_id).collect()
    }
}

async fn bench(symbols: &[&str], change: impl FnOnce(&mut ServerState)) -> Bench {
    bench_with(symbols, Duration::from_secs(600), change).await
}

async fn bench_with(symbols: &[&str], refused_retry: Duration, change: impl FnOnce(&mut ServerState)) -> Bench {
    let server = Server::start(symbols).await;
    server.with(|state| {
        state.mode = Mode::Greeting;
        change(state);
    });
    let profile = Toy::profile();
    let settings = Settings { lag_grace: Duration::from_secs(1), refused_retry, ..settings(&server, &profile) };
    Bench::start_venue(&server, symbols, Talker::leak(profile, false), settings, Tls::new(None).unwrap())
}

#[tokio::test]
async fn a_session_starts_anew_with_each_connection() {
    let mut bench = bench(&["btc", "eth"], |_| {}).await;
    for price in ["101", "102", "103"] {
        bench.state(VenueState::Up).await;
        bench.server.trade("btc", price);
        bench.price("btc", price, streamed).await;
        let _ = bench.server.streams.send(StreamAction::Cut);
        bench.health("a failure", |health| health.state != VenueState::Up).await;
    }
    bench.state(VenueState::Up).await;
    assert!(bench.server.logged("greeting").len() >= 4);
    assert_eq!(bench.server.logged("bad").len(), 0, "{:?}", bench.server.with(|state| state.log.clone()));
    bench.stop().await;
}

#[tokio::test]
async fn a_ping_with_a_payload_is_answered_by_the_session() {
    let mut bench = bench(&["btc"], |_| {}).await;
    bench.state(VenueState::Up).await;
    let ping = json!({"ping": 42}).to_string();
    let _ = bench.server.streams.send(StreamAction::Send(tokio_tungstenite::tungstenite::Message::text(ping)));
    let server = bench.server.clone();
    let is_answered = |(_, line): &(Duration, String)| line.contains(r#""pong":42"#);
    until("the ping is answered", || server.with(|state| state.log.iter().any(is_answered))).await;
    bench.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_market_that_the_stream_refuses_is_polled_and_affects_no_other() {
    let mut bench = bench(&["btc", "eth"], |state| state.refused = ["eth".to_owned()].into()).await;
    bench.state(VenueState::Up).await;
    let refused = markets(&["eth"]).remove(0);
    // The other market is quiet meanwhile, so that its silence is checked several times.
    for price in 201..209 {
        let requests = bench.server.logged("get /tickers").len();
        bench.server.trade("eth", &price.to_string());
        bench.price("eth", &price.to_string(), fetched).await;
        let server = bench.server.clone();
        until("another request", || server.logged("get /tickers").len() > requests).await;
    }
    let begun = bench.server.elapsed();
    let server = bench.server.clone();
    until("silence is checked again", || server.elapsed() > begun + Duration::from_secs(3)).await;
    bench.server.trade("btc", "101");
    bench.price("btc", "101", streamed).await;
    bench.server.trade("eth", "300");
    bench.price("eth", "300", fetched).await;

    let is_refusal = |health: &VenueHealth| health.rejected.contains_key("refused-market");
    let known = bench.seen.iter().rev().find_map(|event| match event {
        Event::Health(health) if is_refusal(health) => Some(health.clone()),
        _ => None,
    });
    let health = match known {
        Some(health) => health,
        None => bench.health("the refusal", is_refusal).await,
    };
    assert_eq!(health.state, VenueState::Up, "{health:?}");
    let problem = health.problems.iter().find(|problem| problem.example.market.as_ref() == Some(&refused)).unwrap();
    assert!(problem.example.text.contains("members only"), "{problem:?}");
    assert_eq!(bench.server.logged("ws").len(), 1, "the connection is kept");
    assert_eq!(bench.server.logged(r#"frame {"unsub""#).len(), 0, "no market is subscribed to again");
    let is_streamed =
        |event: &&Event| matches!(event, Event::Ticker { market, via, .. } if *market == refused && streamed(*via));
    assert!(!bench.seen.iter().any(|event| is_streamed(&event)), "a price came by the stream");

    // A new connection asks again.
    bench.server.with(|state| state.refused.clear());
    let _ = bench.server.streams.send(StreamAction::Cut);
    bench.health("the end", |health| health.state != VenueState::Up).await;
    bench.state(VenueState::Up).await;
    bench.server.trade("eth", "301");
    bench.price("eth", "301", streamed).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_refused_market_is_subscribed_to_again_from_time_to_time() {
    let refused = |state: &mut ServerState| state.refused = ["eth".to_owned()].into();
    let mut bench = bench_with(&["btc", "eth"], Duration::from_millis(300), refused).await;
    bench.state(VenueState::Up).await;
    let server = bench.server.clone();
    let asked = || server.with(|state| state.log.iter().filter(|(_, line)| line.contains(r#""sub":["eth"]"#)).count());
    until("it is asked for four times", || asked() >= 4).await;
    bench.server.trade("eth", "201");
    bench.price("eth", "201", fetched).await;
    bench.server.with(|state| state.refused.clear());
    let before = asked();
    until("it is asked for once more", || asked() > before).await;
    bench.server.trade("eth", "202");
    bench.price("eth", "202", streamed).await;
    bench.server.trade("btc", "101");
    bench.price("btc", "101", streamed).await;
    assert_eq!(bench.server.logged("ws").len(), 1, "the connection is kept");
    bench.stop().await;
}

#[tokio::test]
async fn a_connection_whose_markets_are_all_refused_has_failed() {
    let mut bench = bench(&["btc"], |state| state.refused = ["btc".to_owned()].into()).await;
    let health = bench.reason(ReasonCode::Refused).await;
    assert_eq!(health.state, VenueState::Delayed, "{health:?}");
    let reason = health.reason.unwrap();
    assert!(reason.message.contains("refused to stream every market"), "{reason}");
    bench.server.trade("btc", "101");
    bench.price("btc", "101", fetched).await;
    bench.server.with(|state| state.refused.clear());
    bench.state(VenueState::Up).await;
    bench.server.trade("btc", "102");
    bench.price("btc", "102", streamed).await;
    bench.stop().await;
}
