//! The widgets, the badge, oEmbed and the start page, called through the router.

#![allow(clippy::unwrap_used, reason = "a test that can't continue should panic")]

mod all_widgets;
mod any_price;
mod badge;
mod badge_forms;
mod configurator;
mod dashboard;
mod defaults;
mod hostile;
mod movers;
mod notices;
mod numbers;
mod oembed;
mod option_documents;
mod options;
mod parse;
mod style_sheet;

use std::sync::Arc;

use crate::test_hub::{TestApp, TestHub};
use axum::body::to_bytes;
use axum::http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use sisepan::clock::Clock;
use sisepan::config::{Board, Site};
use sisepan::feed::BoardUpdate;
use sisepan::market::{Base, BaseSource, Basis, HourSource, Quote, SourceId, State, VenueId};
use sisepan::web::{AppParts, AppState, Limits, router};
use tower::ServiceExt;

use crate::history::{memory_history, minute, rising};

pub const WIDGETS: [&str; 6] = ["board", "tape", "card", "ticker", "movers", "chart"];

pub const PUBLIC: &str = "https://news.example/prices";

pub const NOW: &str = "2026-01-15T06:27:15Z";

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Returns a live row with a base price of 24 hours ago.
pub fn quote(market: &str, last: &str, base: Option<&str>) -> Quote {
    let at = "2026-01-15T06:27:03Z".parse().unwrap();
    let base = base.map(|price| Base {
        price: price.parse().unwrap(),
        at: "2026-01-14T06:27:00Z".parse().unwrap(),
        source: BaseSource::Window,
    });
    Quote {
        market: market.parse().unwrap(),
        source: SourceId::new(["bithumb"]),
        venue: VenueId("bithumb"),
        fallback: false,
        korean_name: None,
        english_name: None,
        last: Some(last.parse().unwrap()),
        bases: [base; 3],
        no_base_reasons: Default::default(),
        percent_places: 2,
        digits: 0,
        high_24h: None,
        low_24h: None,
        range_source: None,
        base_volume_24h: None,
        quote_volume_24h: Some("5000000000".parse().unwrap()),
        state: State::Live,
        reason: None,
        notice: None,
        traded_at: None,
        received_at: Some(at),
        confirmed_at: Some(at),
    }
}

/// Returns one rising, one falling and one unchanged row. ETH-KRW of the board stays unknown.
pub fn rows() -> Vec<Quote> {
    let price = |text: &str| Some(text.parse().unwrap());
    let btc = Quote {
        high_24h: price("142500000"),
        low_24h: price("138900000"),
        quote_volume_24h: Some("175000000000".parse().unwrap()),
        ..quote("BTC-KRW", "142187000", Some("139290000"))
    };
    vec![btc, quote("XRP-KRW", "3104", Some("3131")), quote("TRX-KRW", "447", Some("447"))]
}

pub fn board(id: &str, markets: &[&str], source: &'static str) -> Board {
    Board {
        id: id.to_owned(),
        titles: ["암호화폐 시세", "Crypto prices", "暗号資産価格"].map(str::to_owned),
        markets: markets.iter().map(|market| market.parse().unwrap()).collect(),
        source: SourceId::new([source]),
        basis: Basis::Rolling24h,
    }
}

/// Data of an app under test.
pub struct AppFixture {
    pub quotes: Vec<Quote>,
    pub boards: Vec<Board>,
    pub history: Option<Arc<dyn HourSource>>,
    pub site: Site,
    pub demo: bool,
}

impl Default for AppFixture {
    fn default() -> Self {
        let end = minute(NOW);
        let mut closes = rising(end - 1500..end, 139_000_000);
        closes.retain(|at, _| !(end - 700..end - 640).contains(at));
        Self {
            quotes: rows(),
            boards: vec![
                board("krw", &["BTC-KRW", "XRP-KRW", "TRX-KRW", "ETH-KRW"], "bithumb"),
                board("usdt", &["BTC-USDT"], "binance"),
            ],
            history: Some(memory_history("bithumb", "BTC-KRW", &closes)),
            site: Site { public_url: Some(PUBLIC.to_owned()), ..Site::default() },
            demo: false,
        }
    }
}

impl AppFixture {
    pub fn app(self) -> TestApp {
        let Self { quotes, boards, history, site, demo } = self;
        let hub = TestHub::new("epoch");
        let changed = quotes.into_iter().map(Arc::new).collect();
        hub.publish(BoardUpdate { at: now(), changed, ..BoardUpdate::default() });
        let boards = crate::api::setup::fixed_boards(boards);
        let parts =
            AppParts { hub: hub.served(), boards, clock: Clock::manual(now()), history, store_health: None, demo };
        TestApp::new(&hub, AppState::with_site(parts, Limits::default(), site))
    }
}

pub fn app() -> TestApp {
    AppFixture::default().app()
}

pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The body as text; empty if it is binary or compressed.
    pub body: String,
    pub bytes: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns every text between `start` and `end`.
    pub fn between(&self, start: &str, end: &str) -> Vec<&str> {
        self.body.split(start).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
    }
}

pub async fn get(app: &AppState, path: &str) -> Response {
    get_with(app, path, &[]).await
}

pub async fn get_with(app: &AppState, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router(app.clone()).oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap().to_vec();
    let is_text = !bytes.starts_with(b"\x89PNG") && !parts.headers.contains_key("content-encoding");
    let text = if is_text { bytes.clone() } else { Vec::new() };
    Response { status: parts.status, headers: parts.headers, body: String::from_utf8(text).unwrap(), bytes }
}
