//! permessage-deflate without context takeover: each message is compressed independently, so clients can share it.
//!
//! Source: RFC 7692, section 7.2, <https://www.rfc-editor.org/rfc/rfc7692#section-7.2>, 2026-11-25.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Violation;

/// End of a flushed block; removed before sending and appended again before decompression.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Shorter messages, in bytes, are not worth compressing.
const COMPRESS_MIN: usize = 96;

/// Maximum length of a stored block in bytes.
const STORED_MAX: usize = 0xFFFF;

thread_local! {
    /// The compressor's tables take 300 KiB: created once per thread, on first use.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), false));
}

/// Compresses a message, or the end of one; returns `None` if it would not shrink.
pub fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < COMPRESS_MIN {
        return None;
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let mut compressed = Vec::with_capacity(bytes.len() / 2 + 64);
        loop {
            let rest = bytes.get(usize::try_from(compressor.total_in()).ok()?..)?;
            compressor.compress_vec(rest, &mut compressed, FlushCompress::Sync).ok()?;
            // A flush is complete only if it left room in the output buffer.
            if compressed.len() < compressed.capacity() && compressor.total_in() == u64::try_from(bytes.len()).ok()? {
                break;
            }
            if compressed.len() >= bytes.len() {
                return None;
            }
            compressed.reserve(compressed.len());
        }
        compressed.truncate(compressed.strip_suffix(&TAIL)?.len());
        (compressed.len() < bytes.len()).then_some(compressed)
    })
}

/// Wraps bytes in an uncompressed block that can precede the output of [`compress`]; returns `None` for more than
/// 65,535 bytes.
pub fn stored_block(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(bytes.len()).ok().filter(|length| usize::from(*length) <= STORED_MAX)?;
    let mut block = Vec::with_capacity(bytes.len() + 5);
    block.push(0);
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(&(!length).to_le_bytes());
    block.extend_from_slice(bytes);
    Some(block)
}

/// Decompressor of messages. One instance serves a whole thread, since no state is carried between messages.
#[derive(Debug, Default)]
pub struct Inflater(Option<Decompress>);

impl Inflater {
    /// Decompresses a message of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// Returns [`Violation::TooLong`] as soon as the message exceeds `bytes_max`, [`Violation::Protocol`] if the
    /// data is invalid.
    pub(super) fn inflate(&mut self, compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Violation> {
        let inflater = self.0.get_or_insert_with(|| Decompress::new(false));
        inflater.reset(false);
        let mut bytes = Vec::new();
        for part in [compressed, &TAIL] {
            let mut rest = part;
            loop {
                // Room for one byte more than allowed, so that a longer message is detected.
                bytes.reserve((bytes_max + 1 - bytes.len()).min(rest.len() * 4 + 64));
                let (consumed, produced) = (inflater.total_in(), bytes.len());
                let status = inflater
                    .decompress_vec(rest, &mut bytes, FlushDecompress::None)
                    .map_err(|_| Violation::Protocol)?;
                if bytes.len() > bytes_max {
                    return Err(Violation::TooLong);
                }
                if status == Status::StreamEnd {
                    // The stream has its own end; anything after it is padding.
                    return Ok(bytes);
                }
                let read = usize::try_from(inflater.total_in() - consumed).unwrap_or(usize::MAX);
                rest = rest.get(read..).unwrap_or_default();
                let is_stuck = read == 0 && bytes.len() == produced;
                if is_stuck && !rest.is_empty() {
                    return Err(Violation::Protocol);
                }
                // With room left in the output buffer, the decompressor holds nothing back.
                if rest.is_empty() && (is_stuck || bytes.len() < bytes.capacity()) {
                    break;
                }
            }
        }
        Ok(bytes)
    }
}
