//! permessage-deflate without context takeover: each message is compressed by itself, so that many readers can share one.
//!
//! Source: RFC 7692, section 7.2, <https://www.rfc-editor.org/rfc/rfc7692#section-7.2>, 2026-11-25.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Violation;

/// What ends each block that was flushed: left out on the wire, put back to read it.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Shorter messages do not shrink by enough to be worth it to anybody.
const PACKED_MIN: usize = 96;

/// Longest run that one stored block can hold.
const STORED_MAX: usize = 0xFFFF;

thread_local! {
    /// The compressor's tables take 300 KiB: made once a thread, by those threads that compress.
    static PACKER: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), false));
}

/// Compresses a message, or the end of one; `None` where it would not shrink.
pub fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < PACKED_MIN {
        return None;
    }
    PACKER.with_borrow_mut(|packer| {
        packer.reset();
        let mut packed = Vec::with_capacity(bytes.len() / 2 + 64);
        loop {
            let rest = bytes.get(usize::try_from(packer.total_in()).ok()?..)?;
            packer.compress_vec(rest, &mut packed, FlushCompress::Sync).ok()?;
            // A flush is whole only if there was room left behind it.
            if packed.len() < packed.capacity() && packer.total_in() == u64::try_from(bytes.len()).ok()? {
                break;
            }
            if packed.len() >= bytes.len() {
                return None;
            }
            packed.reserve(packed.len());
        }
        packed.truncate(packed.strip_suffix(&TAIL)?.len());
        (packed.len() < bytes.len()).then_some(packed)
    })
}

/// Wraps bytes as they are, so that they can stand before what [`pack`] made; `None` if they are too many.
pub fn stored(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(bytes.len()).ok().filter(|length| usize::from(*length) <= STORED_MAX)?;
    let mut block = Vec::with_capacity(bytes.len() + 5);
    block.push(0);
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(&(!length).to_le_bytes());
    block.extend_from_slice(bytes);
    Some(block)
}

/// Reads compressed messages. One serves a whole thread: nothing is carried from message to message.
#[derive(Debug, Default)]
pub struct Inflater(Option<Decompress>);

impl Inflater {
    /// Returns the message, of at most `most` bytes.
    ///
    /// # Errors
    /// [`Violation::TooLong`] as soon as it is longer; [`Violation::Protocol`] if it can't be read.
    pub(super) fn inflate(&mut self, packed: &[u8], most: usize) -> Result<Vec<u8>, Violation> {
        let inflater = self.0.get_or_insert_with(|| Decompress::new(false));
        inflater.reset(false);
        let mut bytes = Vec::new();
        for part in [packed, &TAIL] {
            let mut rest = part;
            loop {
                // One byte more than allowed, so that being longer can be seen.
                bytes.reserve((most + 1 - bytes.len()).min(rest.len() * 4 + 64));
                let (taken, made) = (inflater.total_in(), bytes.len());
                let status = inflater
                    .decompress_vec(rest, &mut bytes, FlushDecompress::None)
                    .map_err(|_| Violation::Protocol)?;
                if bytes.len() > most {
                    return Err(Violation::TooLong);
                }
                if status == Status::StreamEnd {
                    // It ended itself; what stands behind the end is padding.
                    return Ok(bytes);
                }
                let took = usize::try_from(inflater.total_in() - taken).unwrap_or(usize::MAX);
                rest = rest.get(took..).unwrap_or_default();
                let is_stuck = took == 0 && bytes.len() == made;
                if is_stuck && !rest.is_empty() {
                    return Err(Violation::Protocol);
                }
                // With room left nothing is held back.
                if rest.is_empty() && (is_stuck || bytes.len() < bytes.capacity()) {
                    break;
                }
            }
        }
        Ok(bytes)
    }
}
