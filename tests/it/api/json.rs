//! The JSON API, asked without a socket. Bodies are written out by hand.

use axum::body::Body;
use axum::http::{Request, header};
use sisepan::domain::{Quote, State, VenueState};
use sisepan::web::{AppState, Limits, Shared};

use super::setup::*;

const BITCOIN: &str = concat!(
    r#"{"market":"BTC-KRW","base":"BTC","quote":"KRW","venue":"bithumb","last":"142187000","#,
    r#""change":{"basis":"24h","percent":"2.08","amount":"2897000","direction":"rise","#,
    r#""base_price":"139290000","base_at":"2026-01-14T06:27:00Z","base_source":"window"},"#,
    r#""high_24h":"142500000","low_24h":"138900000","range_source":"venue","base_volume_24h":"1234.5678","quote_volume_24h":"175000000000","#,
    r#""state":"live","traded_at":"2026-01-15T06:27:01.123Z","received_at":"2026-01-15T06:27:01.180Z","#,
    r#""confirmed_at":"2026-01-15T06:27:03.000Z"}"#
);

fn filled() -> AppState {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("XRP-KRW", "0.00001234")]));
    hub.publish(venue(VenueState::Up));
    state(&hub)
}

#[tokio::test]
async fn a_snapshot_has_the_rows_in_the_order_of_the_board() {
    let app = filled();
    let response = get(&app, "/api/v1/snapshot?board=krw").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let ripple = concat!(
        r#"{"market":"XRP-KRW","base":"XRP","quote":"KRW","venue":"bithumb","last":"0.00001234","change":null,"#,
        r#""high_24h":null,"low_24h":null,"range_source":null,"base_volume_24h":null,"quote_volume_24h":null,"#,
        r#""state":"live","traded_at":null,"received_at":null,"confirmed_at":null}"#
    );
    let head = r#"{"epoch":"01JH2M8Q","sequence":2,"as_of":"2026-01-15T06:27:03.500Z","board":"krw","basis":"24h""#;
    assert_eq!(text(response).await, format!(r#"{head},"rows":[{BITCOIN},{ripple}]}}"#));
    // The first board is what is meant where none is named.
    assert!(text(get(&app, "/api/v1/snapshot").await).await.starts_with(head));
}

#[tokio::test]
async fn an_invented_price_is_marked_in_the_snapshot() {
    let hub = hub();
    let shared = Shared {
        hub,
        boards: vec![board("krw", &["BTC-KRW"])],
        clock: sisepan::clock::Clock::system(),
        history: None,
        keeper: None,
        demo: true,
    };
    let body = text(get(&AppState::new(shared), "/api/v1/snapshot").await).await;
    assert_eq!(
        body,
        r#"{"epoch":"01JH2M8Q","sequence":0,"as_of":null,"board":"krw","basis":"24h","demo":true,"rows":[]}"#
    );
}

#[tokio::test]
async fn markets_come_in_the_order_asked_for_and_each_once() {
    let app = filled();
    let body = text(get(&app, "/api/v1/snapshot?markets=xrp-krw,BTC-KRW,XRP-KRW&utm_source=x").await).await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let names: Vec<_> = body["rows"].as_array().unwrap().iter().map(|row| row["market"].as_str().unwrap()).collect();
    assert_eq!(names, ["XRP-KRW", "BTC-KRW"]);
    assert!(body["board"].is_null());
    let other = text(get(&app, "/api/v1/snapshot?markets=BTC-KRW&basis=utc-day&lang=ko").await).await;
    let other: serde_json::Value = serde_json::from_str(&other).unwrap();
    assert!(other["rows"][0]["change"].is_null(), "the base of another day is not known, and 24 h does not stand in");
    assert_eq!(other["rows"][0]["text"]["change"], "–");
}

#[tokio::test]
async fn a_market_off_every_board_comes_from_whoever_publishes_it() {
    let hub = hub();
    hub.publish(changed([quote("DOGE-KRW", "3")]));
    let body = text(get(&state(&hub), "/api/v1/snapshot?markets=DOGE-KRW").await).await;
    assert!(body.contains(r#""last":"3""#), "{body}");
}

#[tokio::test]
async fn out_28_a_bad_query_names_the_parameter_and_what_is_allowed() {
    let app = filled();
    let response = get(&app, "/api/v1/snapshot?board=usd").await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(
        text(response).await,
        concat!(
            r#"{"type":"urn:sisepan:problem:unknown-board","title":"Unknown board","status":400,"#,
            r#""detail":"board has no \"usd\": use krw, small","parameter":"board","value":"usd","allowed":["krw","small"]}"#
        )
    );
    let many = format!("markets={}", ["BTC-KRW"; 129].join(","));
    let long = format!("x={}", "y".repeat(1023));
    let crowd = ["a=1"; 21].join("&");
    for (query, code) in [
        ("markets=NOPE-KRW", "unknown-market"),
        ("markets=%3Cscript%3E", "unknown-market"),
        ("board=small&markets=BTC-KRW", "unknown-market"),
        ("basis=week", "unknown-basis"),
        ("lang=", "unknown-lang"),
        ("board=krw&board=krw", "bad-field"),
        (&many, "query-too-long"),
        (&long, "query-too-long"),
        (&crowd, "query-too-long"),
    ] {
        let response = get(&app, &format!("/api/v1/snapshot?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        let body = text(response).await;
        assert!(body.contains(&format!(r#""type":"urn:sisepan:problem:{code}""#)), "{query}: {body}");
    }
    let few = state_with(&app.hub, Limits { markets_max: 1, ..Limits::default() });
    assert!(text(get(&few, "/api/v1/snapshot?markets=BTC-KRW,XRP-KRW").await).await.contains("too-many-markets"));
}

#[tokio::test]
async fn out_31_a_client_that_has_the_rows_gets_304_with_the_same_headers() {
    let app = filled();
    let first = get(&app, "/api/v1/snapshot?board=krw").await;
    let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    let strong = etag.trim_start_matches("W/").to_owned();
    for asked in [etag.clone(), strong, "*".to_owned(), format!("\"a\", {etag}")] {
        let request = Request::get("/api/v1/snapshot?board=krw").header(header::IF_NONE_MATCH, &asked);
        let response = ask(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 304, "{asked}");
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
    assert_eq!(ask(&app, request.body(Body::empty()).unwrap()).await.status(), 200);
}

#[tokio::test]
async fn out_31_compressed_and_plain_agree_in_their_headers() {
    let app = filled();
    let plain = get(&app, "/api/v1/snapshot").await;
    for coding in ["br", "gzip"] {
        let request = Request::get("/api/v1/snapshot").header(header::ACCEPT_ENCODING, coding);
        let response = ask(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()[header::CONTENT_ENCODING], coding);
        assert_eq!(response.headers()[header::ETAG], plain.headers()[header::ETAG]);
        assert_eq!(response.headers().get_all(header::VARY).iter().count(), 1);
        assert_eq!(response.headers()[header::VARY], "accept-encoding");
    }
}

#[tokio::test]
async fn out_26_every_answer_may_be_read_from_any_origin_and_run_by_none() {
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
        let response = ask(&app, request.body(Body::empty()).unwrap()).await;
        let headers = response.headers();
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
        assert!(headers.get(header::ACCESS_CONTROL_ALLOW_CREDENTIALS).is_none());
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "default-src 'none'; frame-ancestors 'none'");
    }
    let request = Request::options("/api/v1/snapshot").body(Body::empty()).unwrap();
    let response = ask(&app, request).await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS], "*");
}

#[tokio::test]
async fn what_there_is_not_is_a_problem_too() {
    let app = filled();
    let response = get(&app, "/api/v2").await;
    assert_eq!(
        (response.status(), text(response).await),
        (
            404.try_into().unwrap(),
            concat!(
                r#"{"type":"urn:sisepan:problem:no-route","title":"Not found","status":404,"#,
                r#""detail":"there is nothing at \"/api/v2\""}"#
            )
            .to_owned()
        )
    );
    let response = ask(&app, Request::post("/api/v1/snapshot").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()[header::ALLOW], "GET, HEAD, OPTIONS");
    assert!(text(response).await.contains("urn:sisepan:problem:wrong-method"));
    let response = get(&app, "/api/v1/stream").await;
    assert_eq!(response.status(), 426);
    assert_eq!(response.headers()[header::UPGRADE], "websocket");
}

#[tokio::test]
async fn ready_once_a_board_has_a_price() {
    let hub = hub();
    let app = state(&hub);
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
async fn fc_41_ready_says_how_many_rows_are_live_and_a_probe_may_require_one() {
    let hub = hub();
    let app = state(&hub);
    let counts = |body: &serde_json::Value, board: &str| -> Vec<u64> {
        let of = body["boards"].as_array().unwrap().iter().find(|entry| entry["board"] == board).unwrap();
        let names = ["rows", "live", "delayed", "stale", "halted", "unknown"];
        names.map(|name| of[name].as_u64().unwrap()).to_vec()
    };
    let live_for = async |query: &str| get(&app, &format!("/readyz?require=live{query}")).await.status().as_u16();
    let body = async || serde_json::from_str::<serde_json::Value>(&text(get(&app, "/readyz").await).await).unwrap();
    assert_eq!(live_for("").await, 503);
    let all = counts(&body().await, "krw")[0];
    for (state, name, expected) in [
        (State::Live, "live", 200),
        (State::Delayed, "delayed", 200),
        (State::Stale, "stale", 503),
        (State::Halted, "halted", 503),
    ] {
        hub.publish(changed([Quote { state, ..bitcoin() }]));
        assert_eq!(get(&app, "/readyz").await.status(), 200, "{name}: a price, however old");
        let body = body().await;
        let [total, one, unknown] = [
            counts(&body, "krw")[0],
            body["boards"][0][name].as_u64().unwrap(),
            body["boards"][0]["unknown"].as_u64().unwrap(),
        ];
        assert_eq!((total, one, unknown), (all, 1, all - 1), "{name}: {body}");
        assert_eq!(counts(&body, "krw")[1..].iter().sum::<u64>(), all, "{name}: each row once");
        assert_eq!((live_for("").await, live_for("&board=krw").await), (expected, expected), "{name}");
        assert_eq!(live_for("&board=small").await, 503, "{name}");
    }
    for query in ["?require=fresh", "?board=nope", "?require=live&require=live"] {
        let response = get(&app, &format!("/readyz{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json", "{query}");
    }
}
