//! The opening handshake of a WebSocket.

use super::raw::RawClient;
use crate::api::setup::*;

const REQUIRED: [&str; 4] = [
    "connection: Upgrade\r\n",
    "upgrade: websocket\r\n",
    "sec-websocket-version: 13\r\n",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
];

#[tokio::test]
async fn the_accept_header_matches_the_example_of_the_rfc() {
    let address = serve(&app_state(&hub())).await;
    let (mut raw, head) = RawClient::request_upgrade(&address, "", &REQUIRED.concat()).await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(!head.contains("sec-websocket-protocol") && !head.contains("sec-websocket-extensions"), "{head}");
    assert!(raw.text().await.starts_with(r#"{"type":"welcome""#));
}

#[tokio::test]
async fn an_invalid_upgrade_gets_426() {
    let address = serve(&app_state(&hub())).await;
    let mut invalid_headers: Vec<String> = (0..4)
        .map(|omitted| REQUIRED.iter().enumerate().filter(|(at, _)| *at != omitted).map(|(_, line)| *line).collect())
        .collect();
    for (valid, invalid) in [
        ("13", "8"),
        ("13", "13, 8"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="),
        ("dGhlIHNhbXBsZSBub25jZQ==", ""),
        ("Upgrade\r", "close\r"),
        ("websocket\r", "h2c\r"),
    ] {
        invalid_headers.push(REQUIRED.concat().replace(valid, invalid));
    }
    invalid_headers.push(REQUIRED.concat() + REQUIRED[3]);
    for headers in invalid_headers {
        let (_, head) = RawClient::request_upgrade(&address, "", &headers).await;
        assert!(head.starts_with("http/1.1 426"), "{headers}\n{head}");
        assert!(head.contains("sec-websocket-version: 13\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
    }
}

#[tokio::test]
async fn the_subprotocol_is_chosen_if_it_is_offered() {
    let address = serve(&app_state(&hub())).await;
    for (offer, chosen) in [("sisepan.v1", true), ("graphql-ws, sisepan.v1", true), ("sisepan.v2", false), ("", false)]
    {
        let (_, head) = RawClient::upgraded(&address, "", &format!("sec-websocket-protocol: {offer}\r\n")).await;
        assert_eq!(head.contains("sec-websocket-protocol: sisepan.v1\r\n"), chosen, "{offer}: {head}");
        assert_eq!(head.matches("sec-websocket-protocol").count(), usize::from(chosen), "{head}");
    }
}

#[tokio::test]
async fn frames_sent_together_with_the_upgrade_request_are_not_lost() {
    let address = serve(&app_state(&hub())).await;
    let mut tcp = tokio::net::TcpStream::connect(&address).await.unwrap();
    let mut bytes = format!("GET /api/v1/stream HTTP/1.1\r\nhost: x\r\n{}\r\n", REQUIRED.concat()).into_bytes();
    bytes.extend(super::raw::text_frame(r#"{"type":"ping","id":1}"#));
    tokio::io::AsyncWriteExt::write_all(&mut tcp, &bytes).await.unwrap();
    let mut received = Vec::new();
    let pong = async {
        while !String::from_utf8_lossy(&received).contains(r#"{"type":"pong","id":1"#) {
            tokio::io::AsyncReadExt::read_buf(&mut tcp, &mut received).await.unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, pong).await.expect("a pong");
}
