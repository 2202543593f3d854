//! permessage-deflate over a real socket.

use fanout::websocket::{self, Opcode};
use flate2::{Decompress, FlushDecompress};

use super::raw::{End, FIN, RSV1, RawClient, frame};
use crate::api::setup::*;

const OFFER: &str = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
const TEXT: u8 = FIN | Opcode::Text as u8;

/// Decompresses a message like a browser.
fn inflate(compressed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 << 20);
    let compressed = [compressed, &[0, 0, 0xFF, 0xFF]].concat();
    Decompress::new(false).decompress_vec(&compressed, &mut bytes, FlushDecompress::Sync).unwrap();
    bytes
}

/// Reads a message and returns whether it was compressed.
async fn read(raw: &mut RawClient) -> (bool, serde_json::Value) {
    let received = raw.receive_message().await;
    let is_compressed = received.first_byte == TEXT | RSV1;
    assert!(is_compressed || received.first_byte == TEXT, "{received:?}");
    let text = if is_compressed { inflate(&received.payload) } else { received.payload };
    (is_compressed, serde_json::from_slice(&text).unwrap())
}

#[tokio::test]
async fn messages_worth_compressing_are_compressed_and_equal_the_plain_ones() {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("ETH-KRW", "1"), quote("XRP-KRW", "1")]));
    let address = serve(&app_state(&hub)).await;
    let (mut compressed, head) = RawClient::upgraded(&address, "?board=krw&interval_ms=0&lang=ko", OFFER).await;
    let agreed =
        "sec-websocket-extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
    assert!(head.contains(agreed), "{head}");
    let mut plain = Client::connect(&address, "?board=krw&interval_ms=0&lang=ko").await;
    assert_eq!(read(&mut compressed).await.1["type"], plain.json().await["type"]);
    let (is_compressed, snapshot) = read(&mut compressed).await;
    assert!(is_compressed);
    assert_eq!(snapshot, plain.json().await);
    let mut compressed_count = 0;
    for price in 2..20 {
        let rows = ["BTC-KRW", "ETH-KRW", "XRP-KRW"].map(|name| quote(name, &price.to_string()));
        hub.publish(changed(rows));
        let (is_compressed, delta) = read(&mut compressed).await;
        compressed_count += usize::from(is_compressed);
        assert_eq!(delta, plain.json().await);
    }
    assert!(compressed_count > 0, "deltas of three rows are worth compressing");
}

#[tokio::test]
async fn compressed_and_plain_messages_of_a_client_are_read() {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let address = serve(&app_state(&hub)).await;
    let (mut raw, _) = RawClient::upgraded(&address, "", OFFER).await;
    read(&mut raw).await;
    let request =
        format!(r#"{{"type":"subscribe","id":"{}","board":"krw","lang":"en","interval_ms":0}}"#, "n".repeat(64));
    raw.write(&frame(TEXT | RSV1, &websocket::compress(request.as_bytes()).unwrap())).await;
    let (_, snapshot) = read(&mut raw).await;
    assert_eq!((&snapshot["type"], snapshot["id"].as_str().unwrap().len()), (&"snapshot".into(), 64));
    assert_eq!(snapshot["rows"][0]["last"], "142187000");
    raw.write(&frame(TEXT, br#"{"type":"ping","id":1}"#)).await;
    assert_eq!(read(&mut raw).await.1["type"], "pong", "a client may also send uncompressed messages");
}

#[tokio::test]
async fn out_11_a_decompression_bomb_closes_its_own_connection() {
    let address = serve(&app_state(&hub())).await;
    let bomb = websocket::compress(&vec![b' '; 2 << 20]).unwrap();
    let (mut raw, _) = RawClient::upgraded(&address, "", OFFER).await;
    raw.write(&frame(TEXT | RSV1, &bomb)).await;
    assert_eq!(raw.read_to_end().await, End::Close(Some(1009)));
    // Without the extension, a compressed frame is a protocol error.
    let (mut raw, _) = RawClient::upgraded(&address, "", "").await;
    raw.write(&frame(TEXT | RSV1, &bomb)).await;
    assert_eq!(raw.read_to_end().await, End::Close(Some(1002)));
    // A continuation frame must not have RSV1.
    let (mut raw, _) = RawClient::upgraded(&address, "", OFFER).await;
    raw.write(&[frame(Opcode::Text as u8 | RSV1, b"\0"), frame(FIN | RSV1, b"\0")].concat()).await;
    assert_eq!(raw.read_to_end().await, End::Close(Some(1002)));
}
