//! The JSON API, called through the router without a socket. Expected bodies are written out by hand.

use crate::test_hub::{TestApp, TestHub};
use axum::body::Body;
use axum::http::{Request, header};
use sisepan::feed::VenueState;
use sisepan::market::{Quote, State};
use sisepan::web::{AppParts, AppState, Limits};

use super::setup::*;

const BITCOIN: &str = concat!(
    r#"{"market":"BTC-KRW","base":"BTC","quote":"KRW","venue":"bithumb","last":"142187000","#,
    r#""change":{"basis":"24h","percent":"2.08","amount":"2897000","direction":"rise","#,
    r#""base_price":"139290000","base_at":"2026-01-14T06:27:00Z","base_source":"window"},"#,
    r#""high_24h":"142500000","low_24h":"138900000","range_source":"venue","base_volume_24h":"1234.5678","quote_volume_24h":"175000000000","#,
    r#""state":"live","traded_at":"2026-01-15T06:27:01.123Z","received_at":"2026-01-15T06:27:01.180Z","#,
    r#""confirmed_at":"2026-01-15T06:27:03.000Z"}"#
);

fn filled() -> TestApp {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("XRP-KRW", "0.00001234")]));
    hub.publish(venue_update(VenueState::Up));
    app_state(&hub)
}

#[tokio::test]
async fn a_snapshot_has_the_rows_in_the_order_of_the_board() {
    let app = filled();
    let response = get(&app, "/api/v1/snapshot?board=krw").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let xrp = concat!(
        r#"{"market":"XRP-KRW","base":"XRP","quote":"KRW","venue":"bithumb","last":"0.00001234","change":null,"#,
        r#""high_24h":null,"low_24h":null,"range_source":null,"base_volume_24h":null,"quote_volume_24h":null,"#,
        r#""state":"live","traded_at":null,"received_at":null,"confirmed_at":null}"#
    );
    let head = r#"{"epoch":"01JH2M8Q","sequence":2,"as_of":"2026-01-15T06:27:03.500Z","board":"krw","basis":"24h""#;
    assert_eq!(text(response).await, format!(r#"{head},"rows":[{BITCOIN},{xrp}]}}"#));
    // Without `board`, the first board is used.
    assert!(text(get(&app, "/api/v1/snapshot").await).await.starts_with(head));
}

#[tokio::test]
async fn a_demo_snapshot_is_marked() {
    let hub = hub();
    let parts = AppParts {
        hub: hub.served(),
        boards: fixed_boards(vec![board("krw", &["BTC-KRW"])]),
        clock: sisepan::clock::Clock::system(),
        history: None,
        store_health: None,
        demo: true,
    };
    let body = text(get(&AppState::new(parts), "/api/v1/snapshot").await).await;
    assert_eq!(
        body,
        r#"{"epoch":"01JH2M8Q","sequence":0,"as_of":null,"board":"krw","basis":"24h","demo":true,"rows":[]}"#
    );
}

#[tokio::test]
async fn markets_come_in_the_requested_order_without_duplicates() {
    let app = filled();
    let body = text(get(&app, "/api/v1/snapshot?markets=xrp-krw,BTC-KRW,XRP-KRW&utm_source=x").await).await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let names: Vec<_> = body["rows"].as_array().unwrap().iter().map(|row| row["market"].as_str().unwrap()).collect();
    assert_eq!(names, ["XRP-KRW", "BTC-KRW"]);
    assert!(body["board"].is_null());
    let other = text(get(&app, "/api/v1/snapshot?markets=BTC-KRW&basis=utc-day&lang=ko").await).await;
    let other: serde_json::Value = serde_json::from_str(&other).unwrap();
    assert!(other["rows"][0]["change"].is_null(), "the base of utc-day is unknown; that of 24h is no substitute");
    assert_eq!(other["rows"][0]["text"]["change"], "–");
    assert_eq!(other["rows"][0]["text"]["no_change"], "변동률 표시 불가: 기준 가격 확인 중");
    let known = text(get(&app, "/api/v1/snapshot?markets=BTC-KRW&lang=ko").await).await;
    assert!(!known.contains("no_change"), "{known}");
}

#[tokio::test]
async fn a_market_on_no_board_is_served_if_it_is_published() {
    let hub = hub();
    hub.publish(changed([quote("DOGE-KRW", "3")]));
    let body = text(get(&app_state(&hub), "/api/v1/snapshot?markets=DOGE-KRW").await).await;
    assert!(body.contains(r#""last":"3""#), "{body}");
}

#[tokio::test]
async fn out_28_a_bad_query_names_the_parameter_and_what_is_allowed() {
    let app = filled();
    let response = get(&app, "/api/v1/snapshot?board=usd").await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(
        text(response).await,
        concat!(
            r#"{"type":"urn:sisepan:problem:unknown-board","title":"Unknown board","status":404,"#,
            r#""detail":"unknown value \"usd\" for board: use krw, small","parameter":"board","value":"usd","allowed":["krw","small"]}"#
        )
    );
    let many = format!("markets={}", ["BTC-KRW"; 129].join(","));
    let long = format!("x={}", "y".repeat(12 << 10));
    let pairs = ["a=1"; 21].join("&");
    for (query, code) in [
        ("markets=NOPE-KRW", "unknown-market"),
        ("markets=%3Cscript%3E", "unknown-market"),
        ("board=small&markets=BTC-KRW", "unknown-market"),
        ("basis=week", "unknown-basis"),
        ("lang=", "unknown-lang"),
        ("board=krw&board=krw", "bad-field"),
        (&many, "too-many-markets"),
        (&long, "query-too-long"),
        (&pairs, "query-too-long"),
    ] {
        let response = get(&app, &format!("/api/v1/snapshot?{query}")).await;
        assert_eq!(response.status(), if code == "unknown-market" { 404 } else { 400 }, "{query}");
        let body = text(response).await;
        assert!(body.contains(&format!(r#""type":"urn:sisepan:problem:{code}""#)), "{query}: {body}");
    }
    let few = app_state_with(&app.hub, Limits { markets_max: 1, ..Limits::default() });
    assert!(text(get(&few, "/api/v1/snapshot?markets=BTC-KRW,XRP-KRW").await).await.contains("too-many-markets"));
}

#[tokio::test]
async fn out_31_a_client_that_has_the_rows_gets_304_with_the_same_headers() {
    let app = filled();
    let first = get(&app, "/api/v1/snapshot?board=krw").await;
    let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    let strong = etag.trim_start_matches("W/").to_owned();
    for value in [etag.clone(), strong, "*".to_owned(), format!("\"a\", {etag}")] {
        let request = Request::get("/api/v1/snapshot?board=krw").header(header::IF_NONE_MATCH, &value);
        let response = send_request(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 304, "{value}");
        for name in [header::ETAG, header::CACHE_CONTROL, header::VARY, header::ACCESS_CONTROL_ALLOW_ORIGIN] {
            assert_eq!(
                response.headers().get_all(&name).iter().collect::<Vec<_>>(),
                [&first.headers()[&name]],
                "{name}"
            );
        }
        assert_eq!(text(response).await, "");
    }
    app.hub.publish(changed([quote("XRP-KRW", "9")]));
    let request = Request::get("/api/v1/snapshot?board=krw").header(header::IF_NONE_MATCH, &etag);
    assert_eq!(send_request(&app, request.body(Body::empty()).unwrap()).await.status(), 200);
}

#[tokio::test]
async fn out_31_compressed_and_plain_responses_have_the_same_headers() {
    let app = filled();
    let plain = get(&app, "/api/v1/snapshot").await;
    for coding in ["br", "gzip"] {
        let request = Request::get("/api/v1/snapshot").header(header::ACCEPT_ENCODING, coding);
        let response = send_request(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()[header::CONTENT_ENCODING], coding);
        assert_eq!(response.headers()[header::ETAG], plain.headers()[header::ETAG]);
        assert_eq!(response.headers().get_all(header::VARY).iter().count(), 1);
        assert_eq!(response.headers()[header::VARY], "accept-encoding");
    }
}

#[tokio::test]
async fn out_26_every_response_is_readable_from_any_origin_and_executable_from_none() {
    let app = filled();
    for path in [
        "/api/v1/snapshot",
        "/api/v1/snapshot?board=x",
        "/api/v1/markets",
        "/api/v1/venues",
        "/healthz",
        "/api/v1/stream",
        "/api/v2",
    ] {
        let request = Request::get(path).header(header::ORIGIN, "https://news.example");
        let response = send_request(&app, request.body(Body::empty()).unwrap()).await;
        let headers = response.headers();
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
        assert!(headers.get(header::ACCESS_CONTROL_ALLOW_CREDENTIALS).is_none());
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "default-src 'none'; frame-ancestors 'none'");
    }
    let request = Request::options("/api/v1/snapshot").body(Body::empty()).unwrap();
    let response = send_request(&app, request).await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS], "*");
}

#[tokio::test]
async fn unknown_paths_and_methods_get_problem_details() {
    let app = filled();
    let response = get(&app, "/api/v2").await;
    assert_eq!(
        (response.status(), text(response).await),
        (
            404.try_into().unwrap(),
            concat!(
                r#"{"type":"urn:sisepan:problem:no-route","title":"Not found","status":404,"#,
                r#""detail":"path \"/api/v2\" not found"}"#
            )
            .to_owned()
        )
    );
    let response = send_request(&app, Request::post("/api/v1/snapshot").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()[header::ALLOW], "GET, HEAD, OPTIONS");
    assert!(text(response).await.contains("urn:sisepan:problem:wrong-method"));
    let response = get(&app, "/api/v1/stream").await;
    assert_eq!(response.status(), 426);
    assert_eq!(response.headers()[header::UPGRADE], "websocket");
}

#[tokio::test]
async fn the_service_is_ready_once_a_board_has_a_price() {
    let hub = hub();
    let app = app_state(&hub);
    assert_eq!(text(get(&app, "/healthz").await).await, r#"{"status":"ok"}"#);
    let response = get(&app, "/readyz").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert!(text(response).await.starts_with(r#"{"ready":false,"missing":["krw","small"],"boards":"#));
    hub.publish(changed([Quote { state: State::Unknown, last: None, ..quote("BTC-KRW", "1") }]));
    assert_eq!(get(&app, "/readyz").await.status(), 503);
    hub.publish(changed([bitcoin()]));
    let response = get(&app, "/readyz").await;
    assert_eq!(response.status(), 200);
    assert!(text(response).await.starts_with(r#"{"ready":true,"missing":["small"],"boards":"#));
}

#[tokio::test]
async fn fc_41_readyz_counts_live_rows_and_a_probe_may_require_one() {
    let hub = hub();
    let app = app_state(&hub);
    let counts = |body: &serde_json::Value, board: &str| -> Vec<u64> {
        let entry = body["boards"].as_array().unwrap().iter().find(|entry| entry["board"] == board).unwrap();
        let names = ["rows", "live", "delayed", "stale", "halted", "unknown"];
        names.map(|name| entry[name].as_u64().unwrap()).to_vec()
    };
    let live_status = async |query: &str| get(&app, &format!("/readyz?require=live{query}")).await.status().as_u16();
    let body = async || serde_json::from_str::<serde_json::Value>(&text(get(&app, "/readyz").await).await).unwrap();
    assert_eq!(live_status("").await, 503);
    let all = counts(&body().await, "krw")[0];
    for (state, name, expected) in [
        (State::Live, "live", 200),
        (State::Delayed, "delayed", 200),
        (State::Stale, "stale", 503),
        (State::Halted, "halted", 503),
    ] {
        hub.publish(changed([Quote { state, ..bitcoin() }]));
        assert_eq!(get(&app, "/readyz").await.status(), 200, "{name}: any price counts, however old");
        let body = body().await;
        let [total, in_state, unknown] = [
            counts(&body, "krw")[0],
            body["boards"][0][name].as_u64().unwrap(),
            body["boards"][0]["unknown"].as_u64().unwrap(),
        ];
        assert_eq!((total, in_state, unknown), (all, 1, all - 1), "{name}: {body}");
        assert_eq!(counts(&body, "krw")[1..].iter().sum::<u64>(), all, "{name}: each row is counted once");
        assert_eq!((live_status("").await, live_status("&board=krw").await), (expected, expected), "{name}");
        assert_eq!(live_status("&board=small").await, 503, "{name}");
    }
    for (query, status) in [("?require=fresh", 400), ("?board=nope", 404), ("?require=live&require=live", 400)] {
        let response = get(&app, &format!("/readyz{query}")).await;
        assert_eq!(response.status(), status, "{query}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json", "{query}");
    }
}

/// Unknown or malformed names in the list do not affect the other markets.
#[tokio::test]
async fn fc_30_unknown_markets_are_listed_and_the_others_served() {
    let app = filled();
    let list = "BTC-KRW,NOPE-KRW,BTCKRW,%3Cscript%3E,,XRP-KRW,nope-krw,NOPE-KRW";
    let body = text(get(&app, &format!("/api/v1/snapshot?markets={list}")).await).await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let names: Vec<_> = body["rows"].as_array().unwrap().iter().map(|row| row["market"].as_str().unwrap()).collect();
    assert_eq!(names, ["BTC-KRW", "XRP-KRW"]);
    assert_eq!(body["missing"], serde_json::json!(["NOPE-KRW", "BTCKRW", "<script>", "", "nope-krw"]));
    // With `board`, a market of another board is missing.
    let body = text(get(&app, "/api/v1/snapshot?board=small&markets=BTC-KRW,XRP-KRW").await).await;
    assert!(body.contains(r#""missing":["BTC-KRW"],"rows":[{"market":"XRP-KRW""#), "{body}");
    let long = "y".repeat(1000);
    let body = text(get(&app, &format!("/api/v1/snapshot?markets=BTC-KRW,{long}")).await).await;
    assert!(body.contains(&format!(r#""missing":["{}"]"#, "y".repeat(64))), "{body}");

    let csv = get(&app, &format!("/api/v1/snapshot.csv?markets={list}")).await;
    assert_eq!(csv.headers()["x-missing-markets"], "NOPE-KRW,BTCKRW,%3Cscript%3E,,nope-krw");
    assert_eq!(text(csv).await.lines().count(), 3);
    // The header is percent-encoded, and a space is not written as a plus sign.
    for name in ["A%20B%2BC", "A+B%2BC"] {
        let csv = get(&app, &format!("/api/v1/snapshot.csv?markets=BTC-KRW,{name},%C3%A9")).await;
        assert_eq!(csv.headers()["x-missing-markets"], "A%20B%2BC,%C3%A9");
    }
    assert!(!get(&app, "/api/v1/snapshot.csv").await.headers().contains_key("x-missing-markets"));

    for page in ["/fragment/board", "/embed/board", "/fragment/tape", "/embed/movers"] {
        let page = get(&app, &format!("{page}?markets=BTC-KRW,NOPE-KRW&lang=en")).await;
        assert_eq!(page.status(), 200);
        let page = text(page).await;
        assert!(page.contains("BTC") && !page.contains("NOPE"), "{page}");
    }
    for (path, status) in [
        ("/api/v1/snapshot?markets=NOPE-KRW,BTCKRW", 404),
        ("/api/v1/snapshot.csv?markets=NOPE-KRW", 404),
        ("/api/v1/events?markets=NOPE-KRW", 404),
        ("/fragment/board?markets=NOPE-KRW", 404),
    ] {
        assert_eq!(get(&app, path).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn fc_30_the_snapshot_of_a_stream_lists_unknown_markets() {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("XRP-KRW", "1")]));
    let address = serve(&app_state(&hub)).await;
    let missing = serde_json::json!(["NOPE-KRW"]);
    let mut by_url = Client::welcomed(&address, "?markets=NOPE-KRW,BTC-KRW").await;
    let snapshot = by_url.json().await;
    assert_eq!((&snapshot["type"], &snapshot["missing"]), (&"snapshot".into(), &missing));
    assert_eq!(snapshot["rows"].as_array().unwrap().len(), 1);

    let mut client = Client::welcomed(&address, "").await;
    let request = r#"{"type":"subscribe","id":1,"markets":["NOPE-KRW","BTC-KRW"],"interval_ms":0"#;
    client.send(format!("{request}}}")).await;
    let snapshot = client.json().await;
    assert_eq!((&snapshot["type"], &snapshot["missing"]), (&"snapshot".into(), &missing));
    hub.publish(changed([quote("BTC-KRW", "2")]));
    let delta = client.json().await;
    assert_eq!((&delta["type"], delta.get("missing")), (&"delta".into(), None), "missing markets are listed only once");
    client.send(format!(r#"{request},"resume":{{"epoch":"{EPOCH}","sequence":1}}}}"#)).await;
    let recovered = client.json().await;
    assert_eq!((&recovered["recovered"], &recovered["missing"]), (&true.into(), &missing), "{recovered}");

    let app = app_state(&hub);
    let events = get(&app, "/api/v1/events?markets=BTC-KRW,NOPE-KRW").await;
    let first = futures_util::StreamExt::next(&mut events.into_body().into_data_stream()).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains(r#""missing":["NOPE-KRW"]"#), "{first:?}");
}

/// The documented maximum of markets fits on every route, with names of several scripts, whether percent-encoded
/// where necessary or byte for byte.
#[tokio::test]
async fn fc_31_as_many_markets_as_documented_fit_into_a_query() {
    let names: Vec<String> = (0..128)
        .map(|number| match number % 3 {
            0 => format!("C{number}-KRW"),
            1 => format!("1000000LONG{number}-USDT"),
            _ => format!("币安人生{number}-USDT"),
        })
        .collect();
    let hub = hub();
    hub.publish(changed(names.iter().map(|name| quote(name, "1"))));
    let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
    let parts = AppParts {
        hub: hub.served(),
        boards: fixed_boards(vec![board("all", &borrowed)]),
        clock: sisepan::clock::Clock::system(),
        history: None,
        store_health: None,
        demo: false,
    };
    let app = AppState::new(parts);
    let address = serve(&app).await;
    let list = names.join(",");
    let encoded: String = url::form_urlencoded::byte_serialize(list.as_bytes()).collect();
    let fully_encoded: String = list.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let _ = rustls::crypto::ring::default_provider().install_default();
    for markets in [&encoded, &fully_encoded] {
        for path in ["/api/v1/snapshot", "/api/v1/snapshot.csv", "/fragment/board", "/embed/board", "/"] {
            let response = reqwest::get(format!("http://{address}{path}?markets={markets}")).await.unwrap();
            assert_eq!(response.status(), 200, "{path} with {} bytes", markets.len());
            let body = response.text().await.unwrap();
            if path == "/api/v1/snapshot" {
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_eq!(body["rows"].as_array().unwrap().len(), 128);
            }
        }
        let mut client = Client::welcomed(&address, &format!("?markets={markets}")).await;
        assert_eq!(client.json().await["rows"].as_array().unwrap().len(), 128);
        let events = get(&app, &format!("/api/v1/events?markets={markets}")).await;
        assert_eq!(events.status(), 200);
    }
    let one_more = format!("{encoded}%2CMORE-KRW");
    let rejected = text(get(&app, &format!("/api/v1/snapshot?markets={one_more}")).await).await;
    assert!(rejected.contains("too-many-markets"), "{rejected}");
}

#[tokio::test]
async fn fc_56_the_etag_of_a_snapshot_stays_while_no_row_changes() {
    for path in ["/api/v1/snapshot?lang=ko", "/api/v1/snapshot?markets=XRP-KRW,BTC-KRW", "/api/v1/snapshot.csv"] {
        let app = filled();
        let tag_and_body = async |app: &AppState| {
            let response = get(app, path).await;
            assert_eq!(response.status(), 200);
            (response.headers()[header::ETAG].clone(), text(response).await)
        };
        let (tag, first) = tag_and_body(&app).await;
        // The row is only confirmed, while other rows and the health figures of the venue change.
        for second in 4..9 {
            let at = time(&format!("2026-01-15T06:27:0{second}Z"));
            let confirmed_at = Some(at);
            let confirmed = vec![Quote { confirmed_at, ..bitcoin() }.into()];
            let figures = sisepan::feed::VenueHealth { data_at: Some(at), ..health(VenueState::Up) };
            let (changed, venues) = (vec![quote("SOL-KRW", &second.to_string()).into()], vec![figures]);
            app.hub.publish(sisepan::feed::BoardUpdate { at, changed, confirmed, venues, ..Default::default() });
            let (new_tag, body) = tag_and_body(&app).await;
            assert_eq!(new_tag, tag, "{path}");
            assert_ne!(body, first, "the body has the newest times");
            let conditional = Request::get(path).header(header::IF_NONE_MATCH, &tag).body(Body::empty()).unwrap();
            let unchanged = send_request(&app, conditional).await;
            assert_eq!((unchanged.status().as_u16(), &unchanged.headers()[header::ETAG]), (304, &tag), "{path}");
            assert!(unchanged.headers().contains_key(header::CACHE_CONTROL) && text(unchanged).await.is_empty());
        }
        // Another node with the same rows has the same tag.
        let other = TestHub::new("another");
        other.publish(changed([bitcoin(), quote("XRP-KRW", "0.00001234")]));
        assert_eq!(tag_and_body(&app_state(&other)).await.0, tag, "{path}");
        // Any change of a row changes the tag.
        let before = bitcoin();
        let traded_at = Some(time("2026-01-15T06:27:09Z"));
        for quote in [
            Quote { last: Some("142187001".parse().unwrap()), ..before.clone() },
            Quote { state: State::Stale, ..before.clone() },
            Quote { bases: [None; 3], ..before.clone() },
            Quote { traded_at, ..before.clone() },
        ] {
            app.hub.publish(changed([quote]));
            assert_ne!(tag_and_body(&app).await.0, tag, "{path}");
            app.hub.publish(changed([before.clone()]));
            assert_eq!(tag_and_body(&app).await.0, tag, "{path}");
        }
    }
}
