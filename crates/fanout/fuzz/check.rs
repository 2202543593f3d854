// What must hold for any bytes from a client; used by the fuzz target and by the tests.

use fanout::websocket::{Incoming, Inflater, ReadOptions, Reassembler, Violation};

/// Reads `parts` as they would arrive from a socket.
fn read<'a>(parts: impl Iterator<Item = &'a [u8]>, options: ReadOptions) -> (Vec<Incoming>, Option<Violation>) {
    let (mut reassembler, mut inflater) = (Reassembler::default(), Inflater::default());
    let mut read = Vec::new();
    for part in parts {
        let bytes = reassembler.with_held(part).into_owned();
        let mut at = 0;
        loop {
            match reassembler.read_frame(&bytes[at..], options, &mut inflater) {
                Ok(Some((length, incoming))) => {
                    assert!(length > 0 && at + length <= bytes.len());
                    at += length;
                    read.push(incoming);
                }
                Ok(None) => break,
                Err(violation) => return (read, Some(violation)),
            }
        }
        reassembler.hold(&bytes[at..]);
    }
    (read, None)
}

/// Checks that bytes are read the same however they are split, and that no message exceeds its limit.
pub fn check(bytes: &[u8], part: usize, deflate: bool) {
    let options = ReadOptions { message_bytes_max: 4096, deflate };
    let whole = read(std::iter::once(bytes), options);
    let split = read(bytes.chunks(part.max(1)), options);
    assert_eq!(whole, split);
    for incoming in whole.0 {
        let length = match incoming {
            Incoming::Text(text) => text.len(),
            Incoming::Binary(bytes) | Incoming::Ping(bytes) => bytes.len(),
            _ => 0,
        };
        assert!(length <= options.message_bytes_max);
    }
}
