//! Parsing, writing and compression of WebSocket frames, without a socket.

use fanout::websocket::{self, Incoming, Inflater, Opcode, ReadOptions, Reassembler, Violation};
use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;

use super::setup::{FIN, RSV1, frame};

const RULES: ReadOptions = ReadOptions { message_bytes_max: 4096, deflate: true };

fn read(bytes: &[u8]) -> Result<Option<Incoming>, Violation> {
    let read = Reassembler::default().read_frame(bytes, RULES, &mut Inflater::default())?;
    Ok(read.map(|(length, incoming)| {
        assert_eq!(length, bytes.len());
        incoming
    }))
}

/// Decompresses a message like a browser.
pub fn inflate(compressed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 << 20);
    let compressed = [compressed, &[0, 0, 0xFF, 0xFF]].concat();
    Decompress::new(false).decompress_vec(&compressed, &mut bytes, FlushDecompress::Sync).unwrap();
    bytes
}

proptest! {
    #[test]
    fn compressed_bytes_inflate_to_the_original(bytes in prop::collection::vec(0u8..4, 0..3000), head in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(compressed) = websocket::compress(&bytes) {
            prop_assert!(compressed.len() < bytes.len());
            prop_assert_eq!(&inflate(&compressed), &bytes);
            let joined = [websocket::stored_block(&head).unwrap(), compressed.clone()].concat();
            prop_assert_eq!(inflate(&joined), [head, bytes.clone()].concat());
            let incoming = read(&frame(FIN | RSV1 | Opcode::Binary as u8, &compressed));
            prop_assert_eq!(incoming, Ok(Some(Incoming::Binary(bytes))));
        }
    }

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_split(
        frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)), 0..6),
        rest in prop::collection::vec(any::<u8>(), 0..20),
        part in 1usize..300,
        deflate: bool,
    ) {
        let frames: Vec<_> = frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
        super::check::check(&[frames, rest].concat(), part, deflate);
    }
}

#[test]
fn a_frame_is_parsed_only_when_complete() {
    let whole = frame(FIN | Opcode::Text as u8, &[b'x'; 300]);
    for cut in 0..whole.len() {
        assert_eq!(
            Reassembler::default().read_frame(&whole[..cut], RULES, &mut Inflater::default()),
            Ok(None),
            "{cut}"
        );
    }
    assert_eq!(read(&whole), Ok(Some(Incoming::Text("x".repeat(300)))));
}

#[test]
fn a_frame_is_written_with_the_shortest_length_field() {
    for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        let mut bytes = Vec::new();
        websocket::write_frame(&mut bytes, Opcode::Text, false, &vec![b'x'; length]);
        assert_eq!(bytes.len(), header + length);
    }
}

#[test]
fn out_11_a_decompression_bomb_is_rejected_at_the_first_byte_too_many() {
    let compressed = websocket::compress(&vec![0; 8 << 20]).unwrap();
    assert!(compressed.len() > 4096, "the frame itself would be too long");
    let compressed = websocket::compress(&vec![b' '; 2 << 20]).unwrap();
    assert!(compressed.len() < 4096, "{} bytes fit into a message", compressed.len());
    assert_eq!(read(&frame(FIN | RSV1 | Opcode::Text as u8, &compressed)), Err(Violation::TooLong));
    let fits = websocket::compress(&vec![b' '; 4096]).unwrap();
    assert!(read(&frame(FIN | RSV1 | Opcode::Text as u8, &fits)).is_ok());
    let over = websocket::compress(&vec![b' '; 4097]).unwrap();
    assert_eq!(read(&frame(FIN | RSV1 | Opcode::Text as u8, &over)), Err(Violation::TooLong));
    // A deflate block of the reserved type.
    assert_eq!(read(&frame(FIN | RSV1 | Opcode::Text as u8, &[0x07])), Err(Violation::Protocol));
}

#[test]
fn a_deflate_offer_is_accepted_if_it_can_be_honoured() {
    for (offer, accepted) in [
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
        assert_eq!(websocket::offers_deflate([offer]), accepted, "{offer}");
    }
}
