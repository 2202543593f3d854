//! What RFC 6455 demands of a server, as a table: bytes in, the end or the answer out. Each case has a connection of
//! its own, and a client on the side that must not notice.

use sisepan::websocket::Opcode;

use super::raw::{End, FIN, Raw, frame, said};
use crate::api::setup::*;

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = FIN | 0x8;
const PING: u8 = FIN | 0x9;
const PONG: u8 = FIN | 0xA;
const ASK: &str = r#"{"type":"ping","id":"가"}"#;

/// What comes of a case.
enum Then {
    /// The connection ends, with this code.
    Ends(Option<u16>),
    /// The question of [`ASK`] is answered.
    Answers,
}
use Then::{Answers, Ends};

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A header that announces a payload of this length in its longest form.
fn announced(length: u64) -> Vec<u8> {
    [&[FIN | TEXT, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat()
}

fn cases() -> Vec<(String, Vec<u8>, Then)> {
    let ask = ASK.as_bytes();
    let mut cases: Vec<(String, Vec<u8>, Then)> = Vec::new();
    let mut case = |name: &str, bytes: Vec<u8>, then: Then| cases.push((name.to_owned(), bytes, then));
    for bits in [0x10, 0x20, 0x40, 0x70] {
        case(&format!("reserved bits {bits:#x}"), frame(FIN | bits | TEXT, ask), Ends(Some(1002)));
        case(&format!("reserved bits {bits:#x} of a ping"), frame(PING | bits, b""), Ends(Some(1002)));
    }
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        case(&format!("opcode {opcode:#x}"), frame(FIN | opcode, b""), Ends(Some(1002)));
    }
    case("not masked", [&[FIN | TEXT, 2][..], b"{}"].concat(), Ends(Some(1002)));
    case("a ping of 126 bytes", frame(PING, &[b'x'; 126]), Ends(Some(1002)));
    case("a ping in parts", frame(0x9, b""), Ends(Some(1002)));
    case("a close in parts", frame(0x8, b""), Ends(Some(1002)));
    case("a continuation of nothing", frame(FIN, ask), Ends(Some(1002)));
    case("an empty continuation of nothing", frame(0, b""), Ends(Some(1002)));
    case("a message within a message", [frame(TEXT, b"{"), said(ASK)].concat(), Ends(Some(1002)));
    case(
        "a length not in its shortest form",
        [&[FIN | TEXT, 0xFE, 0, 2, 0, 0, 0, 0][..], b"{}"].concat(),
        Ends(Some(1002)),
    );
    case("a length of 64 bits not in its shortest form", announced(0xFFFF), Ends(Some(1002)));
    case("a negative length", announced(1 << 63), Ends(Some(1002)));
    case(
        "a text that is no utf-8",
        frame(FIN | TEXT, &[0xCE, 0xBA, 0xE1, 0xBD, 0xB9, 0xED, 0xA0, 0x80]),
        Ends(Some(1007)),
    );
    case("a text that ends within a character", frame(FIN | TEXT, &ask[..ask.len() - 4]), Ends(Some(1007)));
    let parts = [frame(TEXT, b"\xF4"), frame(0, b"\x90\x80"), frame(FIN, b"\x80")].concat();
    case("parts that are no utf-8 together", parts, Ends(Some(1007)));
    case(
        "a length of 4097, from its header alone",
        [&[FIN | TEXT, 0xFE][..], &4097u16.to_be_bytes(), &[0; 4]].concat(),
        Ends(Some(1009)),
    );
    case("a length of 2^62, from its header alone", announced(1 << 62), Ends(Some(1009)));
    let parts = [frame(TEXT, &[b' '; 4000]), frame(0, &[b' '; 96]), frame(FIN, b" ")].concat();
    case("parts of 4097 bytes together", parts, Ends(Some(1009)));
    case("bytes", frame(FIN | BINARY, ask), Ends(Some(1003)));
    case("no bytes", frame(FIN | BINARY, b""), Ends(Some(1003)));
    case("a close of one byte", frame(CLOSE, &[3]), Ends(Some(1002)));
    case("a close of 126 bytes", close(1000, &[b'x'; 124]), Ends(Some(1002)));
    case("a close whose reason is no utf-8", close(1000, b"\xFF"), Ends(Some(1007)));
    case("a close without a code", frame(CLOSE, b""), Ends(None));
    case("a close with a long reason", close(1000, &[b'x'; 123]), Ends(Some(1000)));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
        case(&format!("the close code {code}"), close(code, b""), Ends(Some(1002)));
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999] {
        case(&format!("the close code {code}"), close(code, b"bye"), Ends(Some(code)));
    }
    case("words after the close", [close(1000, b""), said(ASK), frame(FIN | 0x70, b"")].concat(), Ends(Some(1000)));
    case("one frame", said(ASK), Answers);
    case("two lengths of a message", said(&format!("{ASK}{}", " ".repeat(4096 - ASK.len()))), Answers);
    let parts = [frame(TEXT, &ask[..21]), frame(PING, b"between"), frame(0, b""), frame(FIN, &ask[21..])].concat();
    case("parts that cut a character, a ping between", parts, Answers);
    case("a pong that nobody asked for", [frame(PONG, b"?"), said(ASK)].concat(), Answers);
    case("empty parts", [frame(TEXT, b""), frame(0, b""), frame(0, ask), frame(FIN, b"")].concat(), Answers);
    cases
}

/// Sends the bytes of a case, cut into writes of `step`, and checks what comes of it.
async fn check(address: &str, name: &str, bytes: &[u8], then: &Then, step: usize) {
    let mut raw = Raw::welcomed(address, "").await;
    raw.tcp.set_nodelay(true).unwrap();
    for part in bytes.chunks(step) {
        raw.write(part).await;
        if step < bytes.len() {
            tokio::task::yield_now().await;
        }
    }
    match then {
        Ends(code) => assert_eq!(raw.end().await, End::Close(*code), "{name}, {step} bytes at once"),
        Answers => loop {
            let heard = raw.message().await;
            if heard.first == PONG {
                assert_eq!(heard.payload, b"between", "{name}");
                continue;
            }
            assert_eq!(heard.first, FIN | Opcode::Text as u8, "{name}: {heard:?}");
            let answer: serde_json::Value = serde_json::from_slice(&heard.payload).unwrap();
            assert_eq!((&answer["type"], &answer["id"]), (&"pong".into(), &"가".into()), "{name}");
            break;
        },
    }
}

#[tokio::test]
async fn out_19_a_table_of_what_a_client_may_not_send() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let limits = sisepan::web::Limits {
        messages_per_second_max: 1000,
        close_within: std::time::Duration::from_millis(20),
        ..Default::default()
    };
    let address = serve(&state_with(&hub, limits)).await;
    let mut bystander = Raw::welcomed(&address, "?markets=BTC-KRW&interval_ms=0").await;
    assert_eq!(bystander.json().await["type"], "snapshot");
    for (number, (name, bytes, then)) in cases().iter().enumerate() {
        for step in [bytes.len(), 7] {
            check(&address, name, bytes, then, step).await;
        }
        let price = (number + 2).to_string();
        hub.publish(changed([quote("BTC-KRW", &price)]));
        assert_eq!(bystander.json().await["rows"][0]["last"], price.as_str(), "after {name}");
    }
}

#[tokio::test]
async fn a_ping_gets_its_own_payload_back() {
    let address = serve(&state(&hub())).await;
    let mut raw = Raw::welcomed(&address, "").await;
    for payload in [&b""[..], b"x", &[0xFF; 125]] {
        raw.write(&frame(PING, payload)).await;
        let heard = raw.message().await;
        assert_eq!((heard.first, heard.payload.as_slice()), (PONG, payload));
    }
}

#[tokio::test]
async fn out_10_a_thousand_empty_fragments_end_the_stream() {
    let address = serve(&state(&hub())).await;
    let mut raw = Raw::welcomed(&address, "").await;
    let mut bytes = frame(TEXT, b"");
    (0..1000).for_each(|_| bytes.extend(frame(0, b"")));
    raw.write(&bytes).await;
    assert_eq!(raw.end().await, End::Close(Some(3013)));
}

#[tokio::test]
async fn out_10_a_flood_of_pongs_ends_the_stream() {
    let address = serve(&state(&hub())).await;
    let mut raw = Raw::welcomed(&address, "").await;
    raw.write(&frame(PONG, b"").repeat(100_000)).await;
    assert!(matches!(raw.end().await, End::Close(Some(3013)) | End::Cut));
}
