//! Streams over sockets: subscriptions, pushed messages, keep-alive.

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Stream, start_with_manual_clock};

const BITCOIN: &str = r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC","KRW-NOPE","krw-eth"]}]"#;

#[tokio::test]
async fn upbit_sends_a_snapshot_and_then_every_trade_in_binary_frames() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    fake.set_price("upbit", "BTC-KRW", "142187000".parse().unwrap(), true).unwrap();
    stream.send(BITCOIN).await;
    let Message::Binary(first) = stream.next().await.unwrap().unwrap() else { panic!("not a binary frame") };
    let first = String::from_utf8(first.to_vec()).unwrap();
    assert!(first.contains(r#""trade_price":1.42187E8,"#), "{first}");
    assert!(first.contains(r#""trade_volume":0.01000000,"#), "{first}");
    assert!(first.ends_with(r#""stream_type":"SNAPSHOT"}"#), "{first}");
    fake.set_price("upbit", "BTC-KRW", "142188000".parse().unwrap(), true).unwrap();
    let second = stream.text().await;
    assert!(second.contains(r#""trade_price":1.42188E8,"#) && second.contains("REALTIME"), "{second}");
    stream.assert_silent().await;
    fake.shutdown().await;
}

#[tokio::test]
async fn a_second_request_replaces_the_first_at_upbit_and_bithumb() {
    let (fake, _clock) = start_with_manual_clock().await;
    for venue in ["upbit", "bithumb"] {
        let mut stream = Stream::open(&fake.stream_url(venue)).await;
        stream.send(BITCOIN).await;
        assert_eq!(stream.json().await["code"], "KRW-BTC");
        stream.send(r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-XRP"]}]"#).await;
        assert_eq!(stream.json().await["code"], "KRW-XRP");
        fake.set_price(venue, "BTC-KRW", "1000".parse().unwrap(), true).unwrap();
        stream.assert_silent().await;
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn an_error_is_sent_once_and_then_the_stream_closes() {
    let (fake, _clock) = start_with_manual_clock().await;
    for (frame, name) in [
        ("nonsense", "WRONG_FORMAT"),
        (r#"[{"type":"ticker","codes":["KRW-BTC"]}]"#, "NO_TICKET"),
        (r#"[{"ticket":"t"}]"#, "NO_TYPE"),
        (r#"[{"ticket":"t"},{"type":"ticker"}]"#, "NO_CODES"),
        (r#"[{"ticket":"t"},{"type":"nope","codes":["KRW-BTC"]}]"#, "INVALID_PARAM"),
    ] {
        let mut stream = Stream::open(&fake.stream_url("upbit")).await;
        stream.send(frame).await;
        assert_eq!(stream.json().await["error"]["name"], name, "{frame}");
        assert_eq!(stream.wait_closed().await.0, 1000, "{frame}");
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn a_text_ping_is_answered_every_ten_seconds_and_silence_ends_the_stream_after_sixty() {
    let (fake, clock) = start_with_manual_clock().await;
    let mut stream = Stream::open(&fake.stream_url("upbit")).await;
    stream.send("PING").await;
    assert_eq!(stream.text().await, r#"{"status":"UP"}"#);
    clock.advance(Duration::from_secs(10));
    assert_eq!(stream.text().await, r#"{"status":"UP"}"#);
    stream.assert_silent().await;
    clock.advance(Duration::from_secs(50));
    stream.wait_broken().await;
    fake.shutdown().await;
}

#[tokio::test]
async fn binance_acknowledges_adds_lists_and_removes() {
    let (fake, _clock) = start_with_manual_clock().await;
    let mut stream = Stream::open(&fake.stream_url("binance")).await;
    stream.send(r#"{"method":"SUBSCRIBE","params":["btcusdt@ticker"],"id":1}"#).await;
    let Message::Text(ack) = stream.next().await.unwrap().unwrap() else { panic!("not a text frame") };
    assert_eq!(ack.as_str(), r#"{"result":null,"id":1}"#);
    let event = stream.json().await;
    assert_eq!((&event["e"], &event["s"]), (&json!("24hrTicker"), &json!("BTCUSDT")));
    let last = fake.truth("binance", "BTC-USDT").unwrap().last;
    assert_eq!(event["c"], format!("{last:.8}"));
    stream.send(r#"{"method":"SUBSCRIBE","params":["ethusdt@miniTicker"],"id":2}"#).await;
    assert_eq!(stream.json().await["id"], 2);
    stream.send(r#"{"method":"UNSUBSCRIBE","params":["btcusdt@ticker"],"id":3}"#).await;
    assert_eq!(stream.json().await["id"], 3);
    stream.send(r#"{"method":"LIST_SUBSCRIPTIONS","id":4}"#).await;
    assert_eq!(stream.json().await, json!({"result": ["ethusdt@miniTicker"], "id": 4}));
    stream.send(r#"{"method":"DANCE","id":5}"#).await;
    assert_eq!(stream.json().await["code"], 2);
    fake.shutdown().await;
}

#[tokio::test]
async fn binance_serves_raw_and_combined_paths_and_sends_what_has_changed() {
    let (fake, clock) = start_with_manual_clock().await;
    let mut raw = Stream::open(&format!("{}/btcusdt@ticker", fake.stream_url("binance"))).await;
    assert_eq!(raw.json().await["s"], "BTCUSDT");
    let base = fake.stream_url("binance").replace("/ws", "/stream");
    let mut both = Stream::open(&format!("{base}?streams=btcusdt@miniTicker/ethusdt@ticker")).await;
    let mut names = vec![both.json().await["stream"].clone(), both.json().await["stream"].clone()];
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, [json!("btcusdt@miniTicker"), json!("ethusdt@ticker")]);
    raw.assert_silent().await;
    fake.set_price("binance", "BTC-USDT", "96397.12".parse().unwrap(), true).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(raw.json().await["c"], "96397.12000000");
    fake.shutdown().await;
}

#[tokio::test]
async fn binance_pings_requires_the_payload_back_and_limits_frames() {
    let (fake, clock) = start_with_manual_clock().await;
    let mut stream = Stream::open(&fake.stream_url("binance")).await;
    clock.advance(Duration::from_secs(20));
    let Message::Ping(payload) = stream.next().await.unwrap().unwrap() else { panic!("not a ping") };
    stream.0.flush().await.unwrap();
    let payload = String::from_utf8(payload.to_vec()).unwrap();
    let deadline = std::time::Duration::from_secs(10);
    tokio::time::timeout(deadline, async {
        while !fake.log().iter().any(|entry| entry.kind == "pong" && entry.text == payload) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the pong was not seen");
    clock.advance(Duration::from_secs(59));
    stream.assert_only_pings().await;
    for id in 0..6 {
        stream.send(&format!(r#"{{"method":"LIST_SUBSCRIPTIONS","id":{id}}}"#)).await;
    }
    assert_eq!(stream.wait_closed().await.0, 1008);
    let mut mute = tokio::net::TcpStream::connect(fake.addr()).await.unwrap();
    handshake(&mut mute).await;
    clock.advance(Duration::from_secs(60));
    let mut rest = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut mute, &mut rest);
    assert!(tokio::time::timeout(deadline, ended).await.is_ok(), "still open without a pong");
    fake.shutdown().await;
}

impl Stream {
    async fn assert_only_pings(&mut self) {
        let wait = tokio::time::timeout(Duration::from_millis(300), async {
            loop {
                match self.next().await {
                    Some(Ok(Message::Ping(_))) => {}
                    other => return other,
                }
            }
        });
        assert!(wait.await.is_err(), "the stream ended despite the pong");
    }
}

async fn handshake(tcp: &mut tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let head = "GET /binance/ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tcp.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}
