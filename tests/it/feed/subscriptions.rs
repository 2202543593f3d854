//! Several subscriptions on one connection.

use serde_json::{Value, json};

use crate::api::setup::*;

/// A client of a hub with three markets, and of a server that takes many messages.
async fn client() -> (sisepan::hub::Hub, Client) {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1"), quote("ETH-KRW", "1"), quote("XRP-KRW", "1")]));
    let limits = sisepan::web::Limits { messages_per_second_max: 10_000, ..Default::default() };
    let address = serve(&state_with(&hub, limits)).await;
    let client = Client::welcomed(&address, "").await;
    (hub, client)
}

async fn ask(client: &mut Client, request: Value) -> Value {
    client.send(request.to_string()).await;
    client.json().await
}

fn subscribe(id: impl Into<Value>, board: &str) -> Value {
    json!({"type":"subscribe","id":id.into(),"board":board,"interval_ms":0})
}

#[tokio::test]
async fn two_subscriptions_stand_beside_each_other() {
    let (hub, mut client) = client().await;
    let all = ask(&mut client, subscribe(1, "krw")).await;
    let small = ask(&mut client, subscribe("b", "small")).await;
    assert_eq!((&all["id"], &small["id"]), (&json!(1), &json!("b")));
    assert_eq!(all["group"].as_str().unwrap().len(), 16);
    assert_ne!(all["group"], small["group"]);
    assert_eq!(hub.load().members, 2);

    hub.publish(changed([quote("XRP-KRW", "2")]));
    let both = [client.json().await, client.json().await];
    for one in [&all, &small] {
        let delta = both.iter().find(|delta| delta["group"] == one["group"]).expect("a delta of each group");
        assert_eq!(delta["rows"], json!([{"market":"XRP-KRW","last":"2"}]));
        assert_eq!((&delta["previous"], delta.get("id")), (&one["sequence"], None));
    }
    assert_eq!(ask(&mut client, json!({"type":"unsubscribe","id":1})).await, json!({"type":"unsubscribed","id":1}));
    assert_eq!(hub.load().members, 1);
    hub.publish(changed([quote("BTC-KRW", "2")]));
    hub.publish(changed([quote("XRP-KRW", "3")]));
    assert_eq!(client.json().await["group"], small["group"], "the other one goes on alone");
}

#[tokio::test]
async fn two_of_one_group_are_told_once() {
    let (hub, mut client) = client().await;
    let one = ask(&mut client, subscribe(1, "krw")).await;
    let two = ask(&mut client, subscribe(2, "krw")).await;
    let slow = ask(&mut client, json!({"type":"subscribe","id":3,"board":"krw","interval_ms":5000})).await;
    assert_eq!((&one["group"], &two["id"]), (&two["group"], &json!(2)));
    assert_ne!(one["group"], slow["group"], "another interval is another group");
    assert_eq!(hub.load().members, 2);
    ask(&mut client, json!({"type":"unsubscribe","id":3})).await;
    for price in 2..5 {
        hub.publish(changed([quote("BTC-KRW", &price.to_string())]));
        let delta = client.json().await;
        assert_eq!((&delta["previous"], &delta["sequence"]), (&json!(price - 1), &json!(price)));
    }
    ask(&mut client, json!({"type":"unsubscribe","id":1})).await;
    assert_eq!(hub.load().members, 1, "the second one is still there");
    hub.publish(changed([quote("BTC-KRW", "5")]));
    assert_eq!(client.json().await["rows"][0]["last"], "5");
    ask(&mut client, json!({"type":"unsubscribe","id":2})).await;
    assert_eq!(hub.load().members, 0);
}

#[tokio::test]
async fn a_second_of_a_group_that_resumes_skips_nothing_of_the_first() {
    let (hub, mut client) = client().await;
    let first = ask(&mut client, subscribe(1, "krw")).await;
    hub.publish(changed([quote("BTC-KRW", "2")]));
    let mut known = Known::default();
    known.apply(&first);
    let resume = json!({"epoch":EPOCH,"sequence":2});
    client.send(json!({"type":"subscribe","id":2,"board":"krw","interval_ms":0,"resume":resume}).to_string()).await;
    // In whichever order the delta and the answer come, no price is missing.
    while known.sequence < 2 || known.recoveries == 0 {
        known.apply(&client.json().await);
    }
    assert_eq!(known.lasts()["BTC-KRW"], "2");
}

#[tokio::test]
async fn a_name_is_a_number_or_a_text_and_they_are_not_the_same() {
    let (hub, mut client) = client().await;
    ask(&mut client, subscribe(1, "krw")).await;
    ask(&mut client, subscribe("1", "small")).await;
    assert_eq!(hub.load().members, 2);
    ask(&mut client, json!({"type":"unsubscribe","id":"1"})).await;
    ask(&mut client, json!({"type":"unsubscribe","id":"never was"})).await;
    assert_eq!(hub.load().members, 1);
    let long = "x".repeat(65);
    assert_eq!(ask(&mut client, subscribe(long, "krw")).await["field"], "id");
}

#[tokio::test]
async fn out_21_a_connection_has_so_many_subscriptions_and_markets() {
    let (hub, mut client) = client().await;
    for id in 0..32 {
        assert_eq!(ask(&mut client, subscribe(id, "krw")).await["type"], "snapshot");
    }
    let error = ask(&mut client, subscribe("more", "krw")).await;
    assert_eq!((&error["code"], &error["retryable"]), (&json!("too-many-subscriptions"), &json!(true)));
    assert_eq!(ask(&mut client, subscribe(7, "small")).await["board"], "small", "one that is replaced needs no place");
    assert_eq!(hub.load().members, 2);

    let hub = super::super::api::setup::hub();
    let names: Vec<String> = (0..200).map(|number| format!("A{number}-KRW")).collect();
    hub.publish(changed(names.iter().map(|name| quote(name, "1"))));
    let limits = sisepan::web::Limits { messages_per_second_max: 1000, ..Default::default() };
    let address = serve(&state_with(&hub, limits)).await;
    let mut client = Client::welcomed(&address, "").await;
    let list = |id: u32, names: &[String]| json!({"type":"subscribe","id":id,"markets":names,"interval_ms":0});
    assert_eq!(ask(&mut client, list(1, &names[..100])).await["type"], "snapshot");
    assert_eq!(ask(&mut client, list(2, &names[..128])).await["type"], "snapshot", "the same markets count once");
    assert_eq!(ask(&mut client, list(3, &names[128..129])).await["code"], "too-many-markets");
    assert_eq!(ask(&mut client, list(2, &names[100..128])).await["type"], "snapshot");
    assert_eq!(ask(&mut client, list(2, &names[90..130])).await["code"], "too-many-markets");
    assert_eq!(hub.load().members, 2, "what was refused changed nothing");
}

#[tokio::test]
async fn out_21_subscribing_and_leaving_a_thousand_times_leaves_nothing_behind() {
    let (hub, mut client) = client().await;
    for round in 0..1000u32 {
        let id = round % 5;
        let board = if round % 2 == 0 { "krw" } else { "small" };
        ask(&mut client, subscribe(id, board)).await;
        if round % 3 == 0 {
            ask(&mut client, json!({"type":"unsubscribe","id":id})).await;
        }
    }
    for id in 0..5 {
        ask(&mut client, json!({"type":"unsubscribe","id":id})).await;
    }
    assert_eq!((hub.load().members, hub.load().groups), (0, 0));
    eventually("every task ended", || hub.load().tasks == 0).await;
    ask(&mut client, subscribe(1, "krw")).await;
    hub.publish(changed([quote("ETH-KRW", "9")]));
    assert_eq!(client.json().await["rows"], json!([{"market":"ETH-KRW","last":"9"}]));
}

#[tokio::test]
async fn out_10_the_limit_of_messages_holds_for_subscriptions_too() {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let address = serve(&state(&hub)).await;
    let mut client = Client::welcomed(&address, "").await;
    for id in 0..40 {
        client.send(subscribe(id, "krw").to_string()).await;
    }
    assert_eq!(client.closed().await, 3013);
    eventually("nothing of it is left", || hub.load().members == 0).await;
}

/// Different lists of markets are bounded by the address that began them and in all; boards are always taken.
#[tokio::test]
async fn fc_32_groups_of_lists_are_bounded() {
    let hub = hub();
    hub.publish(changed(["BTC-KRW", "ETH-KRW", "XRP-KRW"].map(|name| quote(name, "1"))));
    let limits = sisepan::web::Limits {
        messages_per_second_max: 10_000,
        groups_per_address_max: 3,
        groups_max: 6,
        ..Default::default()
    };
    let address = serve(&state_with(&hub, limits)).await;
    let list = |id: &str, names: &[&str]| json!({"type":"subscribe","id":id,"markets":names,"interval_ms":0});
    let mut one = Client::welcomed(&address, "").await;
    for (id, names) in [("a", &["BTC-KRW"][..]), ("b", &["ETH-KRW"]), ("c", &["BTC-KRW", "ETH-KRW"])] {
        assert_eq!(ask(&mut one, list(id, names)).await["type"], "snapshot");
    }
    // A fourth list is one too many, on another connection as well.
    let refused = ask(&mut one, list("d", &["XRP-KRW"])).await;
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("too-many-groups"), &json!(true)), "{refused}");
    let mut two = Client::welcomed(&address, "").await;
    assert_eq!(ask(&mut two, list("d", &["XRP-KRW"])).await["code"], "too-many-groups");
    assert_eq!(Client::welcomed(&address, "?markets=XRP-KRW").await.closed().await, 3014);
    let events = reqwest_status(&format!("http://{address}/api/v1/events?markets=XRP-KRW")).await;
    assert_eq!(events, (503, true));
    // What is there already costs nothing, nor does a board.
    assert_eq!(ask(&mut two, list("e", &["ETH-KRW", "BTC-KRW"])).await["type"], "snapshot");
    for interval in [0, 100, 250, 500, 1000] {
        let board = json!({"type":"subscribe","id":interval,"board":"krw","interval_ms":interval});
        assert_eq!(ask(&mut two, board).await["type"], "snapshot");
    }
    assert_eq!(hub.load().groups, 8, "boards are taken beyond the bound");
    // Another address has its own, and the bound in all holds for it too.
    let elsewhere = |query: &str| {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
        let mut request = format!("ws://{address}/api/v1/stream?{query}").into_client_request().unwrap();
        request.headers_mut().insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
        async move { Client(tokio_tungstenite::connect_async(request).await.unwrap().0) }
    };
    assert_eq!(elsewhere("markets=XRP-KRW").await.closed().await, 3014, "there are as many as the server takes");
    for interval in [0, 100, 250, 500, 1000] {
        ask(&mut two, json!({"type":"unsubscribe","id":interval})).await;
    }
    let mut other = elsewhere("markets=XRP-KRW").await;
    assert_eq!(
        (other.json().await["type"].clone(), other.json().await["type"].clone()),
        ("welcome".into(), "snapshot".into())
    );
    // One that has ended makes room.
    ask(&mut one, json!({"type":"unsubscribe","id":"a"})).await;
    eventually("its task ended", || hub.load().tasks == hub.load().groups).await;
    assert_eq!(ask(&mut two, list("f", &["BTC-KRW", "XRP-KRW"])).await["type"], "snapshot");
}

async fn reqwest_status(url: &str) -> (u16, bool) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
}
