//! Frames and their compression, without a socket.

use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;
use sisepan::websocket::{self, Inbound, Incoming, Inflater, Opcode, Rules, Violation};

use super::raw::{FIN, RSV1, frame};

const RULES: Rules = Rules { message_bytes_max: 4096, deflate: true };

fn read(bytes: &[u8]) -> Result<Option<Incoming>, Violation> {
    let read = Inbound::default().read(bytes, RULES, &mut Inflater::default())?;
    Ok(read.map(|(length, incoming)| {
        assert_eq!(length, bytes.len());
        incoming
    }))
}

/// Inflates as a browser does.
pub fn inflate(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 << 20);
    let packed = [packed, &[0, 0, 0xFF, 0xFF]].concat();
    Decompress::new(false).decompress_vec(&packed, &mut bytes, FlushDecompress::Sync).unwrap();
    bytes
}

proptest! {
    #[test]
    fn what_is_packed_comes_back(bytes in prop::collection::vec(0u8..4, 0..3000), head in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(packed) = websocket::pack(&bytes) {
            prop_assert!(packed.len() < bytes.len());
            prop_assert_eq!(&inflate(&packed), &bytes);
            let joined = [websocket::stored(&head).unwrap(), packed.clone()].concat();
            prop_assert_eq!(inflate(&joined), [head, bytes.clone()].concat());
            let said = read(&frame(FIN | RSV1 | Opcode::Binary as u8, &packed));
            prop_assert_eq!(said, Ok(Some(Incoming::Binary(bytes))));
        }
    }

    #[test]
    fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0usize..64) {
        let mut inbound = Inbound::default();
        let mut inflater = Inflater::default();
        for part in [&bytes[..cut.min(bytes.len())], &bytes[cut.min(bytes.len())..]] {
            let whole = inbound.join(part).into_owned();
            let mut at = 0;
            while let Ok(Some((length, _))) = inbound.read(&whole[at..], RULES, &mut inflater) {
                at += length;
            }
            inbound.hold(&whole[at..]);
        }
    }
}

#[test]
fn a_frame_is_whole_or_not_at_all() {
    let whole = frame(FIN | Opcode::Text as u8, &[b'x'; 300]);
    for cut in 0..whole.len() {
        assert_eq!(Inbound::default().read(&whole[..cut], RULES, &mut Inflater::default()), Ok(None), "{cut}");
    }
    assert_eq!(read(&whole), Ok(Some(Incoming::Text("x".repeat(300)))));
}

#[test]
fn a_frame_of_ours_has_the_shortest_length() {
    for (length, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        let mut bytes = Vec::new();
        websocket::frame(&mut bytes, Opcode::Text, false, &vec![b'x'; length]);
        assert_eq!(bytes.len(), head + length);
    }
}

#[test]
fn out_11_a_bomb_is_refused_at_the_first_byte_too_many() {
    let packed = websocket::pack(&vec![0; 8 << 20]).unwrap();
    assert!(packed.len() > 4096, "the frame itself would be too long");
    let packed = websocket::pack(&vec![b' '; 2 << 20]).unwrap();
    assert!(packed.len() < 4096, "{} bytes fit into a message", packed.len());
    assert_eq!(read(&frame(FIN | RSV1 | Opcode::Text as u8, &packed)), Err(Violation::TooLong));
    let fits = websocket::pack(&vec![b' '; 4096]).unwrap();
    assert!(read(&frame(FIN | RSV1 | Opcode::Text as u8, &fits)).is_ok());
    let over = websocket::pack(&vec![b' '; 4097]).unwrap();
    assert_eq!(read(&frame(FIN | RSV1 | Opcode::Text as u8, &over)), Err(Violation::TooLong));
    // A block of a kind that there is not.
    assert_eq!(read(&frame(FIN | RSV1 | Opcode::Text as u8, &[0x07])), Err(Violation::Protocol));
}

#[test]
fn an_offer_of_compression_is_taken_if_it_can_be_kept() {
    for (offer, taken) in [
        ("permessage-deflate", true),
        ("permessage-deflate; client_max_window_bits", true),
        ("permessage-deflate; client_max_window_bits=9; server_no_context_takeover", true),
        ("permessage-deflate; server_max_window_bits=15", true),
        ("permessage-deflate; server_max_window_bits=\"15\"; client_no_context_takeover", true),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", true),
        ("x-other, Permessage-Deflate; client_max_window_bits", true),
        ("permessage-deflate; server_max_window_bits=10", false),
        ("permessage-deflate; server_max_window_bits", false),
        ("permessage-deflate; client_max_window_bits=16", false),
        ("permessage-deflate; server_no_context_takeover=1", false),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", false),
        ("permessage-deflate; unknown", false),
        ("x-webkit-deflate-frame", false),
        ("", false),
    ] {
        assert_eq!(websocket::takes_deflate([offer]), taken, "{offer}");
    }
}
