//! Decodes frames to text, by their content and not by their declared type.
//!
//! Exchanges have switched compression on without notice, sent plain JSON in
//! binary frames and compressed bytes in text frames.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use crate::market::escape_unprintable;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Maximum length of a peer's text quoted in our messages, in characters.
const QUOTE_CHARS_MAX: usize = 160;

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

/// Returns a peer's text made safe for a log line: shortened, and without control characters.
pub fn quoted(text: &str) -> String {
    let mut out = escape_unprintable(&text.chars().take(QUOTE_CHARS_MAX).collect::<String>());
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}
