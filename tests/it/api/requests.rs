//! Invalid requests of stream clients: the error names the field, and the stream stays open.

use serde_json::json;

use super::setup::*;

/// Sends each text and checks the code and field of the error.
async fn assert_errors(cases: &[(&str, &str, Option<&str>)]) {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let limits = sisepan::web::Limits { messages_per_second_max: 1000, ..Default::default() };
    let address = serve(&app_state_with(&hub, limits)).await;
    let mut client = Client::welcomed(&address, "?board=krw").await;
    client.json().await;
    for (text, code, field) in cases {
        client.send(*text).await;
        let error = client.json().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{text} -> {error}");
        assert_eq!(error.get("field").and_then(|field| field.as_str()), *field, "{text} -> {error}");
        assert_eq!(error["retryable"], false);
    }
    assert_eq!(hub.stats().members, 1, "the existing subscription stays");
    client.send(r#"{"type":"ping"}"#).await;
    assert_eq!(client.json().await["type"], "pong");
}

#[tokio::test]
async fn a_malformed_message_is_answered_with_the_field() {
    assert_errors(&[
        ("", "bad-json", None),
        ("{", "bad-json", None),
        ("[]", "bad-json", None),
        ("{}", "unknown-type", Some("type")),
        (r#"{"type":"publish"}"#, "unknown-type", Some("type")),
        (r#"{"type":7}"#, "unknown-type", Some("type")),
        (r#"{"type":"ping","id":-1}"#, "bad-field", Some("id")),
        (r#"{"type":"ping","id":{}}"#, "bad-field", Some("id")),
        (r#"{"type":"subscribe"}"#, "bad-field", Some("board")),
        (r#"{"type":"subscribe","board":7}"#, "bad-field", Some("board")),
        (r#"{"type":"subscribe","markets":"BTC-KRW"}"#, "bad-field", Some("markets")),
        (r#"{"type":"subscribe","markets":[]}"#, "bad-field", Some("markets")),
        (r#"{"type":"subscribe","markets":["BTC-KRW",7]}"#, "bad-field", Some("markets[1]")),
        (r#"{"type":"subscribe","board":"krw","interval_ms":"100"}"#, "bad-field", Some("interval_ms")),
        (r#"{"type":"subscribe","board":"krw","resume":7}"#, "bad-field", Some("resume")),
        (r#"{"type":"subscribe","board":"krw","resume":{"sequence":7}}"#, "bad-field", Some("resume.epoch")),
        (
            r#"{"type":"subscribe","board":"krw","resume":{"epoch":"a","sequence":-7}}"#,
            "bad-field",
            Some("resume.sequence"),
        ),
        (
            r#"{"type":"subscribe","board":"krw","resume":{"epoch":"a","sequence":1.5}}"#,
            "bad-field",
            Some("resume.sequence"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn out_21_unknown_values_are_named_and_make_no_subscription() {
    let many = serde_json::json!({"type":"subscribe","markets": vec!["BTC-KRW"; 129]}).to_string();
    assert_errors(&[
        (r#"{"type":"subscribe","board":"usd"}"#, "unknown-board", Some("board")),
        (r#"{"type":"subscribe","markets":["NOPE-KRW"]}"#, "unknown-market", Some("markets")),
        (r#"{"type":"subscribe","markets":["BTCKRW"]}"#, "unknown-market", Some("markets")),
        (r#"{"type":"subscribe","board":"small","markets":["BTC-KRW"]}"#, "unknown-market", Some("markets")),
        (r#"{"type":"subscribe","board":"krw","basis":"week"}"#, "unknown-basis", Some("basis")),
        (r#"{"type":"subscribe","board":"krw","lang":"fr"}"#, "unknown-lang", Some("lang")),
        (r#"{"type":"subscribe","board":"krw","interval_ms":50}"#, "bad-interval", Some("interval_ms")),
        (&many, "too-many-markets", Some("markets")),
    ])
    .await;
}

#[tokio::test]
async fn an_error_lists_allowed_values_and_the_request_id() {
    let hub = hub();
    let address = serve(&app_state(&hub)).await;
    let mut client = Client::welcomed(&address, "").await;
    client.send(r#"{"type":"subscribe","id":5,"board":"usd"}"#).await;
    let error = client.json().await;
    let expected = json!({"type":"error","id":5,"code":"unknown-board",
        "message":"unknown value \"usd\" for board: use krw, small","retryable":false,"field":"board"});
    assert_eq!(error, expected);
    client.send("{\"type\":\n\"ping\"").await;
    assert_eq!(client.json().await["message"], "message is not JSON: line 2, column 6");
}

#[tokio::test]
async fn an_invalid_url_subscription_gets_an_error_and_a_close() {
    let address = serve(&app_state(&hub())).await;
    for query in ["?board=usd", "?board=krw&interval_ms=7", "?board=krw&lang=fr", "?markets=", "?board=krw&board=krw"] {
        let mut client = Client::welcomed(&address, query).await;
        assert_eq!(client.json().await["type"], "error", "{query}");
        assert_eq!(client.wait_closed().await, 3501, "{query}");
    }
}
