//! Decodes frames to text, by their content and not by their declared type.
//!
//! Exchanges have switched compression on without notice, sent plain JSON in
//! binary frames and compressed bytes in text frames.

use std::io::Read;

use flate2::read::MultiGzDecoder;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why a frame can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("frame is not UTF-8")]
    Utf8,
    #[error("frame inflates to more than {max} bytes")]
    TooLarge { max: usize },
    #[error("compressed frame is truncated or corrupt")]
    Inflate,
}

impl DecodeError {
    /// Returns the stable code under which the frame is counted.
    pub fn code(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::TooLarge { .. } => "too-large",
            Self::Inflate => "inflate",
        }
    }
}

/// Returns the text of a binary frame, inflated if it is gzip; at most `max` bytes when inflated.
pub fn decode_binary(bytes: &[u8], max: usize) -> Result<String, DecodeError> {
    if !bytes.starts_with(&GZIP_MAGIC) {
        return std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Utf8);
    }
    let mut text = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut text).map_err(|_| DecodeError::Inflate)?;
    if text.len() > max {
        return Err(DecodeError::TooLarge { max });
    }
    String::from_utf8(text).map_err(|_| DecodeError::Utf8)
}
