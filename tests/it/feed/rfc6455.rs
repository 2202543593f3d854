//! Requirements of RFC 6455 for a server, as a table of sent bytes and the expected close code or reply. Each case
//! has its own connection, while another client must keep receiving.

use fanout::websocket::Opcode;

use super::raw::{End, FIN, RawClient, frame, text_frame};
use crate::api::setup::*;

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = FIN | 0x8;
const PING: u8 = FIN | 0x9;
const PONG: u8 = FIN | 0xA;
/// An application-level `ping`, whose id has a multi-byte character.
const PING_TEXT: &str = r#"{"type":"ping","id":"가"}"#;

/// Expected outcome of a case.
enum Expected {
    /// The server closes the connection with this code.
    Closes(Option<u16>),
    /// The server replies to [`PING_TEXT`].
    Replies,
}
use Expected::{Closes, Replies};

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// Returns a header with this payload length in its 64-bit form.
fn long_header(length: u64) -> Vec<u8> {
    [&[FIN | TEXT, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat()
}

fn cases() -> Vec<(String, Vec<u8>, Expected)> {
    let text = PING_TEXT.as_bytes();
    let mut cases: Vec<(String, Vec<u8>, Expected)> = Vec::new();
    let mut case = |name: &str, bytes: Vec<u8>, expected: Expected| cases.push((name.to_owned(), bytes, expected));
    for bits in [0x10, 0x20, 0x40, 0x70] {
        case(&format!("reserved bits {bits:#x}"), frame(FIN | bits | TEXT, text), Closes(Some(1002)));
        case(&format!("reserved bits {bits:#x} in a ping"), frame(PING | bits, b""), Closes(Some(1002)));
    }
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        case(&format!("opcode {opcode:#x}"), frame(FIN | opcode, b""), Closes(Some(1002)));
    }
    case("an unmasked frame", [&[FIN | TEXT, 2][..], b"{}"].concat(), Closes(Some(1002)));
    case("a ping of 126 bytes", frame(PING, &[b'x'; 126]), Closes(Some(1002)));
    case("a fragmented ping", frame(0x9, b""), Closes(Some(1002)));
    case("a fragmented close", frame(0x8, b""), Closes(Some(1002)));
    case("a continuation without a message", frame(FIN, text), Closes(Some(1002)));
    case("an empty continuation without a message", frame(0, b""), Closes(Some(1002)));
    case("a message within a message", [frame(TEXT, b"{"), text_frame(PING_TEXT)].concat(), Closes(Some(1002)));
    case(
        "a 16-bit length that fits in 7 bits",
        [&[FIN | TEXT, 0xFE, 0, 2, 0, 0, 0, 0][..], b"{}"].concat(),
        Closes(Some(1002)),
    );
    case("a 64-bit length that fits in 16 bits", long_header(0xFFFF), Closes(Some(1002)));
    case("a negative length", long_header(1 << 63), Closes(Some(1002)));
    case(
        "a text that is not UTF-8",
        frame(FIN | TEXT, &[0xCE, 0xBA, 0xE1, 0xBD, 0xB9, 0xED, 0xA0, 0x80]),
        Closes(Some(1007)),
    );
    case("a text that ends within a character", frame(FIN | TEXT, &text[..text.len() - 4]), Closes(Some(1007)));
    let fragments = [frame(TEXT, b"\xF4"), frame(0, b"\x90\x80"), frame(FIN, b"\x80")].concat();
    case("fragments that are not UTF-8 together", fragments, Closes(Some(1007)));
    case(
        "a header that announces 4097 bytes",
        [&[FIN | TEXT, 0xFE][..], &4097u16.to_be_bytes(), &[0; 4]].concat(),
        Closes(Some(1009)),
    );
    case("a header that announces 2^62 bytes", long_header(1 << 62), Closes(Some(1009)));
    let fragments = [frame(TEXT, &[b' '; 4000]), frame(0, &[b' '; 96]), frame(FIN, b" ")].concat();
    case("fragments of 4097 bytes together", fragments, Closes(Some(1009)));
    case("a binary message", frame(FIN | BINARY, text), Closes(Some(1003)));
    case("an empty binary message", frame(FIN | BINARY, b""), Closes(Some(1003)));
    case("a close of one byte", frame(CLOSE, &[3]), Closes(Some(1002)));
    case("a close of 126 bytes", close(1000, &[b'x'; 124]), Closes(Some(1002)));
    case("a close whose reason is not UTF-8", close(1000, b"\xFF"), Closes(Some(1007)));
    case("a close without a code", frame(CLOSE, b""), Closes(None));
    case("a close with a long reason", close(1000, &[b'x'; 123]), Closes(Some(1000)));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
        case(&format!("close code {code}"), close(code, b""), Closes(Some(1002)));
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999] {
        case(&format!("close code {code}"), close(code, b"bye"), Closes(Some(code)));
    }
    case(
        "frames after the close",
        [close(1000, b""), text_frame(PING_TEXT), frame(FIN | 0x70, b"")].concat(),
        Closes(Some(1000)),
    );
    case("one frame", text_frame(PING_TEXT), Replies);
    case(
        "a message of maximum length",
        text_frame(&format!("{PING_TEXT}{}", " ".repeat(4096 - PING_TEXT.len()))),
        Replies,
    );
    let frames = [frame(TEXT, &text[..21]), frame(PING, b"between"), frame(0, b""), frame(FIN, &text[21..])].concat();
    case("fragments that split a character, with a ping between them", frames, Replies);
    case("an unsolicited pong", [frame(PONG, b"?"), text_frame(PING_TEXT)].concat(), Replies);
    case("empty fragments", [frame(TEXT, b""), frame(0, b""), frame(0, text), frame(FIN, b"")].concat(), Replies);
    cases
}

/// Sends the bytes of a case in writes of `step` bytes and checks the outcome.
async fn check(address: &str, name: &str, bytes: &[u8], expected: &Expected, step: usize) {
    let mut raw = RawClient::welcomed(address, "").await;
    raw.tcp.set_nodelay(true).unwrap();
    for part in bytes.chunks(step) {
        raw.write(part).await;
        if step < bytes.len() {
            tokio::task::yield_now().await;
        }
    }
    match expected {
        Closes(code) => assert_eq!(raw.read_to_end().await, End::Close(*code), "{name}, {step} bytes per write"),
        Replies => loop {
            let received = raw.receive_message().await;
            if received.first_byte == PONG {
                assert_eq!(received.payload, b"between", "{name}");
                continue;
            }
            assert_eq!(received.first_byte, FIN | Opcode::Text as u8, "{name}: {received:?}");
            let reply: serde_json::Value = serde_json::from_slice(&received.payload).unwrap();
            assert_eq!((&reply["type"], &reply["id"]), (&"pong".into(), &"가".into()), "{name}");
            break;
        },
    }
}

#[tokio::test]
async fn out_19_every_protocol_violation_closes_with_its_code() {
    let hub = hub();
    hub.publish(changed([quote("BTC-KRW", "1")]));
    let limits = sisepan::web::Limits {
        messages_per_second_max: 1000,
        close_within: std::time::Duration::from_millis(20),
        ..Default::default()
    };
    let address = serve(&app_state_with(&hub, limits)).await;
    let mut bystander = RawClient::welcomed(&address, "?markets=BTC-KRW&interval_ms=0").await;
    assert_eq!(bystander.json().await["type"], "snapshot");
    for (number, (name, bytes, expected)) in cases().iter().enumerate() {
        for step in [bytes.len(), 7] {
            check(&address, name, bytes, expected, step).await;
        }
        let price = (number + 2).to_string();
        hub.publish(changed([quote("BTC-KRW", &price)]));
        assert_eq!(bystander.json().await["rows"][0]["last"], price.as_str(), "after {name}");
    }
}

#[tokio::test]
async fn a_ping_gets_its_own_payload_back() {
    let address = serve(&app_state(&hub())).await;
    let mut raw = RawClient::welcomed(&address, "").await;
    for payload in [&b""[..], b"x", &[0xFF; 125]] {
        raw.write(&frame(PING, payload)).await;
        let received = raw.receive_message().await;
        assert_eq!((received.first_byte, received.payload.as_slice()), (PONG, payload));
    }
}

#[tokio::test]
async fn out_10_a_thousand_empty_fragments_end_the_stream() {
    let address = serve(&app_state(&hub())).await;
    let mut raw = RawClient::welcomed(&address, "").await;
    let mut bytes = frame(TEXT, b"");
    (0..1000).for_each(|_| bytes.extend(frame(0, b"")));
    raw.write(&bytes).await;
    assert_eq!(raw.read_to_end().await, End::Close(Some(3013)));
}

#[tokio::test]
async fn out_10_a_flood_of_pongs_ends_the_stream() {
    let address = serve(&app_state(&hub())).await;
    let mut raw = RawClient::welcomed(&address, "").await;
    raw.write(&frame(PONG, b"").repeat(100_000)).await;
    assert!(matches!(raw.read_to_end().await, End::Close(Some(3013)) | End::Cut));
}
