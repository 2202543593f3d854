//! Limits for stream clients: what closes a stream, and after how long.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sisepan::web::Limits;
use tokio_tungstenite::tungstenite::Message;

use super::setup::*;

const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn out_10_a_message_over_4_kib_ends_the_stream() {
    let address = serve(&app_state(&hub())).await;
    let mut client = Client::welcomed(&address, "").await;
    let fits = format!(r#"{{"type":"ping","pad":"{}"}}"#, "x".repeat(4096 - 24));
    assert_eq!(fits.len(), 4096);
    client.send(&fits).await;
    assert_eq!(client.json().await["type"], "pong");
    client.send(format!("{fits} ")).await;
    assert_eq!(client.wait_closed().await, 1009);
}

#[tokio::test]
async fn out_10_a_sixth_message_within_a_second_ends_the_stream() {
    // The clock is stopped, so the second never ends.
    let hub = hub();
    let parts = sisepan::web::AppParts {
        hub: hub.served(),
        boards: fixed_boards(vec![board("krw", &["BTC-KRW"])]),
        clock: sisepan::clock::Clock::manual(time("2026-01-15T06:27:04Z")),
        history: None,
        store_health: None,
        demo: true,
    };
    let address = serve(&sisepan::web::AppState::new(parts)).await;
    let mut client = Client::welcomed(&address, "").await;
    for _ in 0..5 {
        client.send(r#"{"type":"ping"}"#).await;
        assert_eq!(client.json().await["type"], "pong");
    }
    client.send(r#"{"type":"ping"}"#).await;
    assert_eq!(client.wait_closed().await, 3013);
}

#[tokio::test]
async fn a_binary_message_ends_the_stream() {
    let address = serve(&app_state(&hub())).await;
    let mut client = Client::welcomed(&address, "").await;
    client.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(client.wait_closed().await, 1003);
}

#[tokio::test]
async fn out_19_a_broken_frame_harms_only_its_sender() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let address = serve(&app_state(&hub)).await;
    let mut bystander = Client::welcomed(&address, "?board=krw&interval_ms=0").await;
    bystander.json().await;

    // A reserved bit is set.
    let mut broken = Client::welcomed(&address, "").await;
    let raw = broken.0.get_mut();
    raw.write_all(&[0xc1, 0x80, 1, 2, 3, 4]).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, raw.read_to_end(&mut rest)).await.unwrap().ok();
    assert_eq!(&rest[..4], [0x88, 16, 0x03, 0xea], "closed with 1002");

    hub.publish(changed([quote("BTC-KRW", "9")]));
    assert_eq!(bystander.json().await["rows"][0]["last"], "9");
}

#[tokio::test]
async fn a_client_that_subscribes_to_nothing_is_closed() {
    let limits = Limits { subscribe_within: SOON, ..Limits::default() };
    let address = serve(&app_state_with(&hub(), limits)).await;
    let mut client = Client::welcomed(&address, "").await;
    assert_eq!(client.wait_closed().await, 3502);
}

#[tokio::test]
async fn out_20_a_client_that_answers_no_ping_is_closed() {
    let limits = Limits { subscribe_within: SOON, ping_every: SOON, pong_within: 40 * SOON, ..Limits::default() };
    let hub = hub();
    let address = serve(&app_state_with(&hub, limits)).await;
    // The client library answers pings while reading, so this client survives several pings.
    let mut healthy = Client::welcomed(&address, "?board=krw").await;
    healthy.json().await;
    let pings = async {
        let mut pings = 0;
        while pings < 4 {
            if let Message::Ping(_) = healthy.0.next().await.unwrap().unwrap() {
                pings += 1;
            }
        }
    };
    tokio::time::timeout(DEADLINE, pings).await.unwrap();
    drop(healthy);
    eventually("the healthy client left", || hub.stats().members == 0).await;
    // A client that does not read answers no ping.
    let mut mute = Client::connect(&address, "?board=krw").await;
    eventually("the mute client joined", || hub.stats().members == 1).await;
    eventually("the mute client was closed", || hub.stats().members == 0).await;
    assert_eq!(mute.wait_closed().await, 3012);
}

#[tokio::test]
async fn one_stream_too_many_is_rejected_with_503() {
    let app = app_state_with(&hub(), Limits { streams_max: 1, ..Limits::default() });
    let address = serve(&app).await;
    let first = Client::welcomed(&address, "").await;
    assert_eq!(Client::connect_status(&address).await, 503);
    drop(first);
    let readmitted = async { while Client::connect_status(&address).await == 503 {} };
    tokio::time::timeout(DEADLINE, readmitted).await.expect("the permit is free again");
}

#[tokio::test]
async fn out_01_a_client_that_reads_nothing_delays_no_one_and_is_closed() {
    let hub = hub();
    let limits = Limits { write_within: Duration::from_millis(200), close_within: SOON, ..Limits::default() };
    let address = serve(&app_state_with(&hub, limits)).await;
    hub.publish(changed([bitcoin()]));
    let _mute = Client::connect(&address, "?board=krw&interval_ms=0&lang=ko").await;
    let mut healthy = Client::welcomed(&address, "?board=krw&interval_ms=0&lang=ko").await;
    healthy.json().await;
    eventually("both clients joined", || hub.stats().members == 2).await;
    // Sends large frames until the kernel's buffers for the mute client are full.
    let closed = async {
        let mut price = 1u64;
        while hub.stats().members == 2 {
            price += 1;
            hub.publish(changed([quote("BTC-KRW", &price.to_string())]));
            hub.publish(large_status(price, &"가".repeat(20_000)));
            while healthy.json().await["type"] != "status" {}
        }
    };
    tokio::time::timeout(DEADLINE, closed).await.expect("the mute client is closed as too slow");
    assert_eq!(hub.stats().members, 1, "the healthy client stays");
}

/// A status update of a venue that goes down again each turn; `message` makes the frame large.
fn large_status(turn: u64, message: &str) -> sisepan::feed::BoardUpdate {
    let mut publish = venue_update(sisepan::feed::VenueState::Down);
    for health in &mut publish.venues {
        health.since += Duration::from_secs(turn);
        health.reason = Some(sisepan::feed::Reason::new(sisepan::feed::ReasonCode::Silent, message));
    }
    publish
}

#[tokio::test]
async fn out_06_a_shutdown_does_not_wait_for_a_blocked_write() {
    let hub = hub();
    let limits = Limits { write_within: Duration::from_secs(3600), close_within: SOON, ..Limits::default() };
    let app = app_state_with(&hub, limits);
    let address = serve(&app).await;
    let _mute = Client::connect(&address, "?board=krw&interval_ms=0").await;
    eventually("the mute client joined", || hub.stats().members == 1).await;
    // Far more than two socket buffers hold.
    for turn in 0..200 {
        hub.publish(large_status(turn, &"가".repeat(40_000)));
        hub.publish(changed([quote("BTC-KRW", "1")]));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    app.stop();
    app.streams().close();
    tokio::time::timeout(DEADLINE, app.streams().wait()).await.expect("the blocked stream ended");
}
