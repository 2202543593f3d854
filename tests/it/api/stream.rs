//! The stream over real sockets: messages, their order, and how a stream ends.

use serde_json::json;
use sisepan::feed::VenueState;

use super::setup::*;

#[tokio::test]
async fn a_url_carries_the_subscription() {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("ETH-KRW", "4512000")]));
    let address = serve(&app_state(&hub)).await;
    let mut client = Client::welcomed(&address, "?board=krw&interval_ms=0").await;
    let snapshot = client.json().await;
    assert_eq!(snapshot["type"], "snapshot");
    assert_eq!(snapshot["sequence"], 1);
    assert_eq!(snapshot["rows"].as_array().unwrap().len(), 2);
    assert!(snapshot.get("recovered").is_none() && snapshot.get("id").is_none(), "{snapshot}");

    hub.publish(changed([quote("ETH-KRW", "4512500")]));
    let delta = client.json().await;
    let expected = json!({"type":"delta","group":snapshot["group"],"epoch":EPOCH,"sequence":2,"previous":1,
        "rows":[{"market":"ETH-KRW","last":"4512500"}]});
    assert_eq!(delta, expected);
}

#[tokio::test]
async fn a_subscription_with_a_language_gets_texts() {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let address = serve(&app_state(&hub)).await;
    let mut client = Client::welcomed(&address, "").await;
    client.send(r#"{"type":"subscribe","id":"a","markets":["btc-krw"],"lang":"en","interval_ms":0}"#).await;
    let snapshot = client.json().await;
    assert_eq!((&snapshot["id"], &snapshot["board"]), (&json!("a"), &json!(null)));
    assert!(snapshot["rows"][0]["text"]["last"].is_string());
}

#[tokio::test]
async fn a_subscription_with_the_same_id_replaces_the_previous_one() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1"), quote("XRP-KRW", "2")]));
    let address = serve(&app_state(&hub)).await;
    let mut client = Client::welcomed(&address, "?board=krw&interval_ms=0").await;
    client.json().await;
    client.send(r#"{"type":"subscribe","board":"small","interval_ms":0}"#).await;
    assert_eq!(client.json().await["board"], "small");
    hub.publish(changed([quote("BTC-KRW", "3")]));
    hub.publish(changed([quote("XRP-KRW", "4")]));
    assert_eq!(client.json().await["rows"], json!([{"market":"XRP-KRW","last":"4"}]));
    assert_eq!(hub.stats().members, 1);

    client.send(r#"{"type":"unsubscribe"}"#).await;
    assert_eq!(client.json().await, json!({"type":"unsubscribed","id":null}));
    eventually("the group ends with its last member", || hub.stats().groups == 0 && hub.stats().tasks == 0).await;
}

#[tokio::test]
async fn a_ping_is_answered() {
    let address = serve(&app_state(&hub())).await;
    let mut client = Client::welcomed(&address, "").await;
    client.send(r#"{"type":"ping","id":7}"#).await;
    let pong = client.json().await;
    assert_eq!((&pong["type"], &pong["id"]), (&json!("pong"), &json!(7)));
}

#[tokio::test]
async fn a_status_is_sent_in_order_with_the_rows() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let address = serve(&app_state(&hub)).await;
    let mut client = Client::welcomed(&address, "?board=krw&interval_ms=0").await;
    let mut known = ClientState::default();
    known.apply(&client.json().await);
    hub.publish(venue_update(VenueState::Down));
    let status = client.json().await;
    assert_eq!((&status["type"], &status["reason"]["code"]), (&json!("status"), &json!("silent")));
    known.apply(&status);
    hub.publish(changed([quote("BTC-KRW", "2")]));
    known.apply(&client.json().await);
    assert_eq!(known.last_prices()["BTC-KRW"], "2");

    let mut late = Client::welcomed(&address, "?board=krw").await;
    assert_eq!(late.json().await["type"], "snapshot");
    assert_eq!(late.json().await["state"], "down");
}

#[tokio::test]
async fn a_confirmation_makes_no_delta_but_is_in_the_next_snapshot() {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let address = serve(&app_state(&hub)).await;
    let mut client = Client::welcomed(&address, "?board=krw&interval_ms=0").await;
    client.json().await;
    let confirmed_at = time("2026-01-15T06:28:00Z");
    hub.publish(confirmed([sisepan::market::Quote { confirmed_at: Some(confirmed_at), ..bitcoin() }]));
    hub.publish(changed([quote("ETH-KRW", "1")]));
    assert_eq!(client.json().await["rows"][0]["market"], "ETH-KRW");
    let mut late = Client::welcomed(&address, "?board=krw").await;
    assert_eq!(late.json().await["rows"][0]["confirmed_at"], "2026-01-15T06:28:00.000Z");
}

#[tokio::test]
async fn out_06_a_shutdown_notifies_every_client_and_waits_for_none() {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let app = app_state(&hub);
    let address = serve(&app).await;
    let mut client = Client::welcomed(&address, "?board=krw").await;
    client.json().await;
    // This client never reads, so it never answers the close frame.
    let _mute = Client::connect(&address, "?board=krw").await;
    eventually("both clients joined", || hub.stats().members == 2).await;

    app.stop();
    app.streams().close();
    let closing = client.json().await;
    assert_eq!((&closing["type"], &closing["reason"]), (&json!("closing"), &json!("shutdown")));
    assert!(closing["retry_after_ms"].as_u64().unwrap() <= 15_000);
    assert_eq!(client.wait_closed().await, 1012);
    tokio::time::timeout(DEADLINE, app.streams().wait()).await.expect("every stream ended");
    assert_eq!(hub.stats().members, 0);
    assert_eq!(Client::connect_status(&address).await, 503);
}
