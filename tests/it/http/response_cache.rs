//! The response cache: how often bodies are rendered, which requests share one, and their headers.

use std::io::Read;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use sisepan::web::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::*;

/// Paths whose responses are cached.
const CACHED: [&str; 7] = [
    "/api/v1/snapshot?board=krw&lang=ko",
    "/api/v1/snapshot.csv?board=krw",
    "/api/v1/markets",
    "/api/v1/venues",
    "/embed/board?board=krw&lang=ko",
    "/fragment/board?board=krw&lang=ko",
    "/?lang=ko",
];

/// Returns the state with a stopped clock, so that no cached page expires.
fn app_with_stopped_clock(hub: &TestHub) -> AppState {
    let boards = vec![board("krw", &["BTC-KRW", "ETH-KRW", "XRP-KRW"]), board("small", &["XRP-KRW"])];
    let clock = Clock::manual(time("2026-01-15T06:27:04Z"));
    let boards = crate::api::setup::fixed_boards(boards);
    AppState::new(AppParts { hub: hub.served(), boards, clock, history: None, store_health: None, demo: false })
}

async fn bytes(response: Response<Body>) -> Vec<u8> {
    to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()
}

#[tokio::test]
async fn a_body_is_rendered_once_per_change_for_any_number_of_requests() {
    let hub = hub_with_rows();
    let app = app_with_stopped_clock(&hub);
    for path in CACHED {
        let before = app.response_cache().render_count();
        let first = bytes(get(&app, path).await).await;
        for _ in 0..20 {
            assert_eq!(bytes(get(&app, path).await).await, first, "{path}");
        }
        assert_eq!(app.response_cache().render_count() - before, 1, "{path}");
    }
    hub.publish(changed([quote("ETH-KRW", "4512999")]));
    for path in CACHED {
        let before = app.response_cache().render_count();
        let body = bytes(get(&app, path).await).await;
        get(&app, path).await;
        assert_eq!(app.response_cache().render_count() - before, 1, "{path}");
        let shows_prices = !path.contains("markets") && !path.contains("venues");
        let text = String::from_utf8(body).unwrap();
        assert_eq!(text.contains("4512999") || text.contains("4,512,999"), shows_prices, "{path}");
    }
    // Pages show ages, so they are cached for a second; the rest is cached until the next change.
    app.clock.advance(std::time::Duration::from_secs(1));
    for (path, renderings) in CACHED.into_iter().zip([0, 0, 0, 0, 1, 1, 1]) {
        let before = app.response_cache().render_count();
        get(&app, path).await;
        assert_eq!(app.response_cache().render_count() - before, renderings, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_wait_for_one_rendering() {
    let app = app_with_stopped_clock(&hub_with_rows());
    let barrier = Arc::new(tokio::sync::Barrier::new(64));
    let requests = (0..64).map(|_| {
        let (app, barrier) = (app.clone(), barrier.clone());
        tokio::spawn(async move {
            barrier.wait().await;
            get(&app, "/embed/board?board=krw&lang=ko").await.status()
        })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(app.response_cache().render_count(), 1);
}

#[tokio::test]
async fn out_28_order_case_and_unknown_parameters_make_no_second_cache_entry() {
    let app = app_with_stopped_clock(&hub_with_rows());
    for path in [
        "/api/v1/snapshot?markets=BTC-KRW,XRP-KRW&lang=ko",
        "/api/v1/snapshot?lang=ko&markets=btc-krw,xrp-krw",
        "/api/v1/snapshot?utm_source=x&lang=ko&markets=Btc-Krw%2CXRP-KRW",
        "/api/v1/snapshot?lang=ko&markets=btc-krw%2cxrp-krw&fbclid=1&interval_ms=250",
    ] {
        assert_eq!(get(&app, path).await.status(), 200, "{path}");
    }
    assert_eq!((app.response_cache().render_count(), app.response_cache().entry_counts().0), (1, 1));
    for path in [
        "/fragment/board?lang=ko&board=krw",
        "/fragment/board?board=krw&lang=ko&utm_source=x",
        "/fragment/board?x=1&board=krw&lang=ko",
    ] {
        assert_eq!(get(&app, path).await.status(), 200, "{path}");
    }
    assert_eq!((app.response_cache().render_count(), app.response_cache().entry_counts().0), (2, 2));
    // Error responses are not cached.
    for n in 0..100 {
        assert_eq!(get(&app, &format!("/api/v1/snapshot?board=no{n}")).await.status(), 404);
    }
    assert_eq!(app.response_cache().entry_counts().0, 2);
}

#[tokio::test]
async fn out_28_a_hundred_thousand_queries_do_not_grow_the_cache_or_evict_used_entries() {
    let hub = hub_with_rows();
    let app = app_with_stopped_clock(&hub);
    let address = serve(&app).await;
    let mut socket = KeepAlive::connect(&address).await;
    socket.get("/api/v1/snapshot?board=krw").await;
    let router = sisepan::web::router(app.clone());
    let status_of = async |path: String| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    };
    for n in 0..100_000 {
        let path = format!("/api/v1/snapshot?board=krw&x={n}");
        // Only requests over a socket are remembered by their exact URL.
        let status = if n % 50 == 0 { socket.get(&path).await.0 } else { status_of(path).await.as_u16() };
        assert_eq!(status, 200);
    }
    let (bodies, request_keys) = app.response_cache().entry_counts();
    assert_eq!((app.response_cache().render_count(), bodies), (1, 1));
    assert!(request_keys <= 1024, "{request_keys}");
    // The number of cached variants is limited too, and an entry in use is not evicted.
    let markets = ["BTC-KRW", "ETH-KRW", "XRP-KRW"];
    for n in 0..2000usize {
        let lang = ["ko", "en", "ja"][n % 3];
        let basis = ["24h", "utc-day", "kst-day"][n / 3 % 3];
        let list: Vec<_> = (0..8).map(|bit| markets[(n >> bit & 1) + (n >> bit & 2) / 2]).collect();
        let theme = ["auto", "light", "dark"][n / 9 % 3];
        let colors = ["kr", "jp", "cn", "intl", "cb"][n / 27 % 5];
        let size = ["xs", "s", "m", "l", "xl", "inherit"][n / 135 % 6];
        let list = list.join(",");
        let query = format!("lang={lang}&basis={basis}&markets={list}&theme={theme}&colors={colors}&size={size}");
        assert_eq!(status_of(format!("/fragment/board?{query}")).await, 200, "{query}");
        let before = app.response_cache().render_count();
        assert_eq!(status_of("/api/v1/snapshot?board=krw".to_owned()).await, 200);
        assert_eq!(app.response_cache().render_count(), before, "the entry in use was evicted");
    }
    assert_eq!(app.response_cache().entry_counts().0, 256);
}

/// A keep-alive connection for several requests.
struct KeepAlive(TcpStream);

impl KeepAlive {
    async fn connect(address: &str) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn get(&mut self, path: &str) -> (u16, String) {
        self.request("GET", path, "").await
    }

    /// Sends a request, reads and discards the body, and returns status and head.
    async fn request(&mut self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let head_end = loop {
            if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let mut buffer = [0; 4096];
            let count = self.0.read(&mut buffer).await.unwrap();
            assert!(count > 0, "closed");
            received.extend_from_slice(&buffer[..count]);
        };
        let head = String::from_utf8(received[..head_end].to_vec()).unwrap();
        let status = head[9..12].parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        let mut left = if method == "HEAD" || status == 304 { 0 } else { head_end + length - received.len() };
        while left > 0 {
            let mut buffer = vec![0; left];
            let count = self.0.read(&mut buffer).await.unwrap();
            assert!(count > 0, "closed within a body");
            left -= count;
        }
        (status, head)
    }
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_response() {
    let hub = hub_with_rows();
    let app = app_with_stopped_clock(&hub);
    let address = serve(&app).await;
    let mut socket = KeepAlive::connect(&address).await;
    let without_date = |head: &str| -> Vec<String> {
        head.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect()
    };
    for path in CACHED {
        for headers in ["", "accept-encoding: br\r\n", "accept-encoding: gzip;q=0.5, zstd\r\n", "if-none-match: *\r\n"]
        {
            let (first, first_head) = socket.request("GET", path, headers).await;
            let (again, again_head) = socket.request("GET", path, headers).await;
            assert_eq!((first, without_date(&first_head)), (again, without_date(&again_head)), "{path} {headers}");
            let (status, head) = socket.request("HEAD", path, headers).await;
            assert_eq!((status, without_date(&head)), (first, without_date(&first_head)), "HEAD {path} {headers}");
        }
        assert_eq!(socket.request("POST", path, "content-length: 0\r\n").await.0, 405, "{path}");
    }
    assert_eq!(app.response_cache().entry_counts(), (CACHED.len(), CACHED.len()));
    // Another language has another body, although the URL is the same.
    let korean = socket.request("GET", "/fragment/board", "accept-language: ko\r\n").await.1;
    let english = socket.request("GET", "/fragment/board", "accept-language: en\r\n").await.1;
    let korean_again = socket.request("GET", "/fragment/board", "accept-language: ko\r\n").await.1;
    assert_eq!(without_date(&korean), without_date(&korean_again));
    assert_ne!(without_date(&korean), without_date(&english));
    assert!(korean.contains("vary: accept-encoding, accept-language\r\n"), "{korean}");
    // A change is visible at once.
    let before = socket.request("GET", CACHED[0], "").await.1;
    hub.publish(changed([quote("ETH-KRW", "7777777")]));
    assert_ne!(without_date(&before), without_date(&socket.request("GET", CACHED[0], "").await.1));
}

#[tokio::test]
async fn out_31_compressed_plain_and_another_node_have_the_same_etag_and_bytes() {
    let (app, other) = (app_with_stopped_clock(&hub_with_rows()), app_with_stopped_clock(&hub_with_rows()));
    for path in CACHED {
        let plain = get(&app, path).await;
        let tag = header(&plain, "etag").to_owned();
        let (cache, vary) = (header(&plain, "cache-control").to_owned(), header(&plain, "vary").to_owned());
        assert!(tag.starts_with("W/\"") && vary.starts_with("accept-encoding"), "{path}: {tag} {vary}");
        assert_eq!(header(&get(&other, path).await, "etag"), tag, "{path} of another node");
        let plain = bytes(plain).await;
        for coding in ["br", "gzip", "zstd"] {
            let compressed = get_with(&app, path, &[("accept-encoding", coding)]).await;
            assert_eq!(header(&compressed, "etag"), tag);
            assert_eq!(header(&compressed, "vary"), vary);
            if plain.len() < 256 {
                continue;
            }
            assert_eq!(header(&compressed, "content-encoding"), coding, "{path}");
            let compressed = bytes(compressed).await;
            assert!(compressed.len() < plain.len());
            assert_eq!(decompress(coding, &compressed), plain, "{path} in {coding}");
        }
        let strong = tag.trim_start_matches("W/").to_owned();
        for value in [tag.clone(), strong, "*".to_owned(), format!("\"a\", {tag}"), format!("{tag},W/\"b\"")] {
            let headers = [("if-none-match", value.as_str()), ("accept-encoding", "br")];
            let response = get_with(&app, path, &headers).await;
            assert_eq!(response.status(), 304, "{path} {value}");
            for (name, value) in [("etag", &tag), ("cache-control", &cache), ("vary", &vary)] {
                assert_eq!(header(&response, name), value, "{path}");
            }
            assert_eq!((header(&response, "content-type"), header(&response, "content-encoding")), ("", ""));
        }
        assert_eq!(get_with(&app, path, &[("if-none-match", "\"other\"")]).await.status(), 200);
    }
}

fn decompress(coding: &str, compressed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "br" => brotli::BrotliDecompress(&mut &*compressed, &mut plain).unwrap(),
        "gzip" => {
            flate2::read::GzDecoder::new(compressed).read_to_end(&mut plain).unwrap();
        }
        _ => plain = zstd::decode_all(compressed).unwrap(),
    }
    plain
}

#[tokio::test]
async fn the_csv_has_the_rows_of_the_snapshot() {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("XRP-KRW", "0.00001234")]));
    let app = app_state_with(&hub, Limits::default());
    let response = get(&app, "/api/v1/snapshot.csv?markets=btc-krw,XRP-KRW").await;
    assert_eq!(header(&response, "content-type"), "text/csv; charset=utf-8");
    assert_eq!(
        text(response).await,
        concat!(
            "market,base,quote,venue,last,change_percent,change_amount,direction,basis,base_price,base_at,base_source,",
            "high_24h,low_24h,range_source,base_volume_24h,quote_volume_24h,state,traded_at,received_at,confirmed_at,",
            "reason,notice,notice_date,cautions\n",
            "BTC-KRW,BTC,KRW,bithumb,142187000,2.08,2897000,rise,24h,139290000,2026-01-14T06:27:00Z,window,",
            "142500000,138900000,venue,1234.5678,175000000000,live,",
            "2026-01-15T06:27:01.123Z,2026-01-15T06:27:01.180Z,2026-01-15T06:27:03.000Z,,,,\n",
            "XRP-KRW,XRP,KRW,bithumb,0.00001234,,,,24h,,,,,,,,,live,,,,,,,\n",
        )
    );
    assert_eq!(get(&app, "/api/v1/snapshot.csv?board=usd").await.status(), 404);
    let request = Request::head("/api/v1/snapshot.csv").body(Body::empty()).unwrap();
    let response = send_request(&app, request).await;
    assert!(header(&response, "content-length").parse::<usize>().unwrap() > 100);
    assert_eq!(text(response).await, "");
}
