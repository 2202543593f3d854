//! permessage-deflate over a real socket.

use sisepan::websocket::{self, Opcode};

use super::frames::inflate;
use super::raw::{End, FIN, RSV1, Raw, frame};
use crate::api::setup::*;

const OFFER: &str = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
const TEXT: u8 = FIN | Opcode::Text as u8;

/// Reads a message, compressed or not; says which.
async fn read(raw: &mut Raw) -> (bool, serde_json::Value) {
    let heard = raw.message().await;
    let packed = heard.first == TEXT | RSV1;
    assert!(packed || heard.first == TEXT, "{heard:?}");
    let text = if packed { inflate(&heard.payload) } else { heard.payload };
    (packed, serde_json::from_slice(&text).unwrap())
}

#[tokio::test]
async fn what_gains_is_compressed_and_says_the_same() {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("ETH-KRW", "1"), quote("XRP-KRW", "1")]));
    let address = serve(&state(&hub)).await;
    let (mut packed, head) = Raw::upgraded(&address, "?board=krw&interval_ms=0&lang=ko", OFFER).await;
    let agreed =
        "sec-websocket-extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
    assert!(head.contains(agreed), "{head}");
    let mut plain = Client::connect(&address, "?board=krw&interval_ms=0&lang=ko").await;
    assert_eq!(read(&mut packed).await.1["type"], plain.json().await["type"]);
    let (is_packed, snapshot) = read(&mut packed).await;
    assert!(is_packed);
    assert_eq!(snapshot, plain.json().await);
    let mut gained = 0;
    for price in 2..20 {
        let rows = ["BTC-KRW", "ETH-KRW", "XRP-KRW"].map(|name| quote(name, &price.to_string()));
        hub.publish(changed(rows));
        let (is_packed, delta) = read(&mut packed).await;
        gained += usize::from(is_packed);
        assert_eq!(delta, plain.json().await);
    }
    assert!(gained > 0, "three rows are worth it");
}

#[tokio::test]
async fn what_a_client_compresses_is_understood_with_and_without_a_name() {
    let hub = hub();
    hub.publish(changed([bitcoin()]));
    let address = serve(&state(&hub)).await;
    let (mut raw, _) = Raw::upgraded(&address, "", OFFER).await;
    read(&mut raw).await;
    let request =
        format!(r#"{{"type":"subscribe","id":"{}","board":"krw","lang":"en","interval_ms":0}}"#, "n".repeat(64));
    raw.write(&frame(TEXT | RSV1, &websocket::pack(request.as_bytes()).unwrap())).await;
    let (_, snapshot) = read(&mut raw).await;
    assert_eq!((&snapshot["type"], snapshot["id"].as_str().unwrap().len()), (&"snapshot".into(), 64));
    assert_eq!(snapshot["rows"][0]["last"], "142187000");
    raw.write(&frame(TEXT, br#"{"type":"ping","id":1}"#)).await;
    assert_eq!(read(&mut raw).await.1["type"], "pong", "it may leave a message as it is");
}

#[tokio::test]
async fn out_11_a_bomb_ends_its_own_connection() {
    let address = serve(&state(&hub())).await;
    let bomb = websocket::pack(&vec![b' '; 2 << 20]).unwrap();
    let (mut raw, _) = Raw::upgraded(&address, "", OFFER).await;
    raw.write(&frame(TEXT | RSV1, &bomb)).await;
    assert_eq!(raw.end().await, End::Close(Some(1009)));
    // Who has not agreed on it may not compress at all.
    let (mut raw, _) = Raw::upgraded(&address, "", "").await;
    raw.write(&frame(TEXT | RSV1, &bomb)).await;
    assert_eq!(raw.end().await, End::Close(Some(1002)));
    // A continuation is never marked.
    let (mut raw, _) = Raw::upgraded(&address, "", OFFER).await;
    raw.write(&[frame(Opcode::Text as u8 | RSV1, b"\0"), frame(FIN | RSV1, b"\0")].concat()).await;
    assert_eq!(raw.end().await, End::Close(Some(1002)));
}
