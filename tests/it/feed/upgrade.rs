//! The opening handshake.

use super::raw::Raw;
use crate::api::setup::*;

const USUAL: [&str; 4] = [
    "connection: Upgrade\r\n",
    "upgrade: websocket\r\n",
    "sec-websocket-version: 13\r\n",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
];

#[tokio::test]
async fn the_key_is_answered_as_the_rfc_has_it() {
    let address = serve(&state(&hub())).await;
    let (mut raw, head) = Raw::ask(&address, "", &USUAL.concat()).await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(!head.contains("sec-websocket-protocol") && !head.contains("sec-websocket-extensions"), "{head}");
    assert!(raw.text().await.starts_with(r#"{"type":"welcome""#));
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_so() {
    let address = serve(&state(&hub())).await;
    let mut wrong: Vec<String> = (0..4)
        .map(|left_out| USUAL.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line).collect())
        .collect();
    for (right, other) in [
        ("13", "8"),
        ("13", "13, 8"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="),
        ("dGhlIHNhbXBsZSBub25jZQ==", ""),
        ("Upgrade\r", "close\r"),
        ("websocket\r", "h2c\r"),
    ] {
        wrong.push(USUAL.concat().replace(right, other));
    }
    wrong.push(USUAL.concat() + USUAL[3]);
    for headers in wrong {
        let (_, head) = Raw::ask(&address, "", &headers).await;
        assert!(head.starts_with("http/1.1 426"), "{headers}\n{head}");
        assert!(head.contains("sec-websocket-version: 13\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
    }
}

#[tokio::test]
async fn the_subprotocol_is_chosen_if_it_is_offered() {
    let address = serve(&state(&hub())).await;
    for (offer, chosen) in [("sisepan.v1", true), ("graphql-ws, sisepan.v1", true), ("sisepan.v2", false), ("", false)]
    {
        let (_, head) = Raw::upgraded(&address, "", &format!("sec-websocket-protocol: {offer}\r\n")).await;
        assert_eq!(head.contains("sec-websocket-protocol: sisepan.v1\r\n"), chosen, "{offer}: {head}");
        assert_eq!(head.matches("sec-websocket-protocol").count(), usize::from(chosen), "{head}");
    }
}

#[tokio::test]
async fn words_that_come_with_the_request_are_not_lost() {
    let address = serve(&state(&hub())).await;
    let mut tcp = tokio::net::TcpStream::connect(&address).await.unwrap();
    let mut bytes = format!("GET /api/v1/stream HTTP/1.1\r\nhost: x\r\n{}\r\n", USUAL.concat()).into_bytes();
    bytes.extend(super::raw::said(r#"{"type":"ping","id":1}"#));
    tokio::io::AsyncWriteExt::write_all(&mut tcp, &bytes).await.unwrap();
    let mut heard = Vec::new();
    let pong = async {
        while !String::from_utf8_lossy(&heard).contains(r#"{"type":"pong","id":1"#) {
            tokio::io::AsyncReadExt::read_buf(&mut tcp, &mut heard).await.unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, pong).await.expect("an answer");
}
