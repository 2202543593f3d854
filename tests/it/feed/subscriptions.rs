//! Several subscriptions on one connection.

use std::time::Duration;

use serde_json::{Value, json};
use sisepan::clock::Clock;
use sisepan::feed::BoardUpdate;

use crate::api::setup::*;
use crate::test_hub::TestHub;

/// Returns a hub with three markets, and a client of a server with a high message rate limit.
async fn client() -> (TestHub, Client) {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1"), quote("ETH-KRW", "1"), quote("XRP-KRW", "1")]));
    let limits = sisepan::web::Limits { messages_per_second_max: 10_000, ..Default::default() };
    let address = serve(&app_state_with(&hub, limits)).await;
    let client = Client::welcomed(&address, "").await;
    (hub, client)
}

/// Sends a message and returns the next one from the server.
async fn request(client: &mut Client, message: Value) -> Value {
    client.send(message.to_string()).await;
    client.json().await
}

fn subscribe(id: impl Into<Value>, board: &str) -> Value {
    json!({"type":"subscribe","id":id.into(),"board":board,"interval_ms":0})
}

#[tokio::test]
async fn two_subscriptions_coexist_on_one_connection() {
    let (hub, mut client) = client().await;
    let all = request(&mut client, subscribe(1, "krw")).await;
    let small = request(&mut client, subscribe("b", "small")).await;
    assert_eq!((&all["id"], &small["id"]), (&json!(1), &json!("b")));
    assert_eq!(all["group"].as_str().unwrap().len(), 16);
    assert_ne!(all["group"], small["group"]);
    assert_eq!(hub.stats().members, 2);

    hub.publish(changed([quote("XRP-KRW", "2")]));
    let both = [client.json().await, client.json().await];
    for one in [&all, &small] {
        let delta = both.iter().find(|delta| delta["group"] == one["group"]).expect("a delta of each group");
        assert_eq!(delta["rows"], json!([{"market":"XRP-KRW","last":"2"}]));
        assert_eq!((&delta["previous"], delta.get("id")), (&one["sequence"], None));
    }
    assert_eq!(request(&mut client, json!({"type":"unsubscribe","id":1})).await, json!({"type":"unsubscribed","id":1}));
    assert_eq!(hub.stats().members, 1);
    hub.publish(changed([quote("BTC-KRW", "2")]));
    hub.publish(changed([quote("XRP-KRW", "3")]));
    assert_eq!(client.json().await["group"], small["group"], "the other subscription continues");
}

#[tokio::test]
async fn two_subscriptions_of_one_group_get_each_delta_once() {
    let (hub, mut client) = client().await;
    let one = request(&mut client, subscribe(1, "krw")).await;
    let two = request(&mut client, subscribe(2, "krw")).await;
    let slow = request(&mut client, json!({"type":"subscribe","id":3,"board":"krw","interval_ms":5000})).await;
    assert_eq!((&one["group"], &two["id"]), (&two["group"], &json!(2)));
    assert_ne!(one["group"], slow["group"], "another interval is another group");
    assert_eq!(hub.stats().members, 2);
    request(&mut client, json!({"type":"unsubscribe","id":3})).await;
    for price in 2..5 {
        hub.publish(changed([quote("BTC-KRW", &price.to_string())]));
        let delta = client.json().await;
        assert_eq!((&delta["previous"], &delta["sequence"]), (&json!(price - 1), &json!(price)));
    }
    request(&mut client, json!({"type":"unsubscribe","id":1})).await;
    assert_eq!(hub.stats().members, 1, "the second subscription stays");
    hub.publish(changed([quote("BTC-KRW", "5")]));
    assert_eq!(client.json().await["rows"][0]["last"], "5");
    request(&mut client, json!({"type":"unsubscribe","id":2})).await;
    assert_eq!(hub.stats().members, 0);
}

#[tokio::test]
async fn a_resuming_second_subscription_of_a_group_skips_nothing_of_the_first() {
    let (hub, mut client) = client().await;
    let first = request(&mut client, subscribe(1, "krw")).await;
    hub.publish(changed([quote("BTC-KRW", "2")]));
    let mut known = ClientState::default();
    known.apply(&first);
    let resume = json!({"epoch":EPOCH,"sequence":2});
    client.send(json!({"type":"subscribe","id":2,"board":"krw","interval_ms":0,"resume":resume}).to_string()).await;
    // No price is missing, whichever of the delta and the reply arrives first.
    while known.sequence < 2 || known.recoveries == 0 {
        known.apply(&client.json().await);
    }
    assert_eq!(known.last_prices()["BTC-KRW"], "2");
}

#[tokio::test]
async fn an_id_is_a_number_or_a_string_and_the_two_differ() {
    let (hub, mut client) = client().await;
    request(&mut client, subscribe(1, "krw")).await;
    request(&mut client, subscribe("1", "small")).await;
    assert_eq!(hub.stats().members, 2);
    request(&mut client, json!({"type":"unsubscribe","id":"1"})).await;
    request(&mut client, json!({"type":"unsubscribe","id":"never was"})).await;
    assert_eq!(hub.stats().members, 1);
    let long = "x".repeat(65);
    assert_eq!(request(&mut client, subscribe(long, "krw")).await["field"], "id");
}

#[tokio::test]
async fn out_21_subscriptions_and_markets_of_a_connection_are_limited() {
    let (hub, mut client) = client().await;
    for id in 0..32 {
        assert_eq!(request(&mut client, subscribe(id, "krw")).await["type"], "snapshot");
    }
    let error = request(&mut client, subscribe("more", "krw")).await;
    assert_eq!((&error["code"], &error["retryable"]), (&json!("too-many-subscriptions"), &json!(true)));
    assert_eq!(request(&mut client, subscribe(7, "small")).await["board"], "small", "a replacement is not limited");
    assert_eq!(hub.stats().members, 2);

    let hub = super::super::api::setup::hub();
    let names: Vec<String> = (0..200).map(|number| format!("A{number}-KRW")).collect();
    hub.publish(changed(names.iter().map(|name| quote(name, "1"))));
    let limits = sisepan::web::Limits { messages_per_second_max: 1000, ..Default::default() };
    let address = serve(&app_state_with(&hub, limits)).await;
    let mut client = Client::welcomed(&address, "").await;
    let list = |id: u32, names: &[String]| json!({"type":"subscribe","id":id,"markets":names,"interval_ms":0});
    assert_eq!(request(&mut client, list(1, &names[..100])).await["type"], "snapshot");
    assert_eq!(request(&mut client, list(2, &names[..128])).await["type"], "snapshot", "the same markets count once");
    assert_eq!(request(&mut client, list(3, &names[128..129])).await["code"], "too-many-markets");
    assert_eq!(request(&mut client, list(2, &names[100..128])).await["type"], "snapshot");
    assert_eq!(request(&mut client, list(2, &names[90..130])).await["code"], "too-many-markets");
    assert_eq!(hub.stats().members, 2, "rejected requests changed nothing");
}

#[tokio::test]
async fn out_21_a_thousand_subscribes_and_unsubscribes_leave_nothing_behind() {
    let (hub, mut client) = client().await;
    for round in 0..1000u32 {
        let id = round % 5;
        let board = if round % 2 == 0 { "krw" } else { "small" };
        request(&mut client, subscribe(id, board)).await;
        if round % 3 == 0 {
            request(&mut client, json!({"type":"unsubscribe","id":id})).await;
        }
    }
    for id in 0..5 {
        request(&mut client, json!({"type":"unsubscribe","id":id})).await;
    }
    assert_eq!((hub.stats().members, hub.stats().groups), (0, 0));
    eventually("every task ended", || hub.stats().tasks == 0).await;
    request(&mut client, subscribe(1, "krw")).await;
    hub.publish(changed([quote("ETH-KRW", "9")]));
    assert_eq!(client.json().await["rows"], json!([{"market":"ETH-KRW","last":"9"}]));
}

#[tokio::test]
async fn out_10_the_message_rate_limit_covers_subscribe_messages() {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let address = serve(&app_state(&hub)).await;
    let mut client = Client::welcomed(&address, "").await;
    for id in 0..40 {
        client.send(subscribe(id, "krw").to_string()).await;
    }
    assert_eq!(client.wait_closed().await, 3013);
    eventually("its subscriptions are removed", || hub.stats().members == 0).await;
}

/// Groups of distinct market lists are limited per client address and in total; boards are always accepted.
#[tokio::test]
async fn fc_32_groups_of_market_lists_are_limited() {
    let hub = hub();
    hub.publish(changed(["BTC-KRW", "ETH-KRW", "XRP-KRW"].map(|name| quote(name, "1"))));
    let limits = sisepan::web::Limits {
        messages_per_second_max: 10_000,
        groups_per_address_max: 3,
        groups_max: 6,
        ..Default::default()
    };
    let address = serve(&app_state_with(&hub, limits)).await;
    let list = |id: &str, names: &[&str]| json!({"type":"subscribe","id":id,"markets":names,"interval_ms":0});
    let mut one = Client::welcomed(&address, "").await;
    for (id, names) in [("a", &["BTC-KRW"][..]), ("b", &["ETH-KRW"]), ("c", &["BTC-KRW", "ETH-KRW"])] {
        assert_eq!(request(&mut one, list(id, names)).await["type"], "snapshot");
    }
    // A fourth list exceeds the limit, on another connection of the address as well.
    let rejected = request(&mut one, list("d", &["XRP-KRW"])).await;
    assert_eq!((&rejected["code"], &rejected["retryable"]), (&json!("too-many-groups"), &json!(true)), "{rejected}");
    let mut two = Client::welcomed(&address, "").await;
    assert_eq!(request(&mut two, list("d", &["XRP-KRW"])).await["code"], "too-many-groups");
    assert_eq!(Client::welcomed(&address, "?markets=XRP-KRW").await.wait_closed().await, 3014);
    let events = get_status(&format!("http://{address}/api/v1/events?markets=XRP-KRW")).await;
    assert_eq!(events, (503, true));
    // Existing groups and boards do not count against the limit.
    assert_eq!(request(&mut two, list("e", &["ETH-KRW", "BTC-KRW"])).await["type"], "snapshot");
    for interval in [0, 100, 250, 500, 1000] {
        let board = json!({"type":"subscribe","id":interval,"board":"krw","interval_ms":interval});
        assert_eq!(request(&mut two, board).await["type"], "snapshot");
    }
    assert_eq!(hub.stats().groups, 8, "boards are accepted beyond the limit");
    // Another address has its own limit, but the total limit applies to it too.
    let from_other_address = |query: &str| {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
        let mut request = format!("ws://{address}/api/v1/stream?{query}").into_client_request().unwrap();
        request.headers_mut().insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
        async move { Client(tokio_tungstenite::connect_async(request).await.unwrap().0) }
    };
    assert_eq!(from_other_address("markets=XRP-KRW").await.wait_closed().await, 3014, "the total limit is reached");
    for interval in [0, 100, 250, 500, 1000] {
        request(&mut two, json!({"type":"unsubscribe","id":interval})).await;
    }
    let mut other = from_other_address("markets=XRP-KRW").await;
    assert_eq!(
        (other.json().await["type"].clone(), other.json().await["type"].clone()),
        ("welcome".into(), "snapshot".into())
    );
    // A group that has ended makes room.
    request(&mut one, json!({"type":"unsubscribe","id":"a"})).await;
    eventually("its task ended", || hub.stats().tasks == hub.stats().groups).await;
    assert_eq!(request(&mut two, list("f", &["BTC-KRW", "XRP-KRW"])).await["type"], "snapshot");
}

/// Returns the status of a GET request, and whether the response has `retry-after`.
async fn get_status(url: &str) -> (u16, bool) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.headers().contains_key("retry-after"))
}

#[tokio::test]
async fn every_subscription_gets_a_snapshot_when_the_market_is_silent_and_when_it_is_back() {
    let clock = Clock::manual(time("2026-01-15T06:27:04Z"));
    let hub = TestHub::with_clock(EPOCH, clock.clone());
    let rows = || {
        let all = changed(["BTC-KRW", "ETH-KRW", "XRP-KRW"].map(|name| quote(name, "1")));
        BoardUpdate { is_complete: true, ..all }
    };
    hub.publish(rows());
    let address = serve(&app_state(&hub)).await;
    let mut client = Client::welcomed(&address, "").await;
    // The first two are of one group.
    let subscriptions = [(json!(1), "krw"), (json!(2), "krw"), (json!("b"), "small")];
    for (id, board) in &subscriptions {
        request(&mut client, subscribe(id.clone(), board)).await;
    }
    for (state, sequence) in [("stale", 1), ("live", 2)] {
        if state == "stale" {
            clock.advance(Duration::from_secs(6));
            hub.check_silence();
        } else {
            hub.publish(rows());
        }
        let mut snapshots = Vec::new();
        for _ in &subscriptions {
            let snapshot = client.json().await;
            assert_eq!((&snapshot["type"], &snapshot["sequence"]), (&json!("snapshot"), &json!(sequence)));
            let rows = snapshot["rows"].as_array().unwrap();
            assert!(!rows.is_empty() && rows.iter().all(|row| row["state"] == state), "{snapshot}");
            snapshots.push(snapshot["id"].clone());
        }
        for (id, _) in &subscriptions {
            assert!(snapshots.contains(id), "{id} got no snapshot: {snapshots:?}");
        }
    }
    hub.publish(changed([quote("BTC-KRW", "2")]));
    let delta = client.json().await;
    assert_eq!((&delta["type"], &delta["sequence"]), (&json!("delta"), &json!(3)), "{delta}");
    assert_eq!((&delta["previous"], &delta["rows"][0]["last"]), (&json!(2), &json!("2")), "{delta}");
    assert_eq!(hub.stats().members, 2);
}
