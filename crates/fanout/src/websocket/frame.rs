//! Frame headers: parsing those of clients, writing ours.
//!
//! Source: RFC 6455, section 5.2, <https://www.rfc-editor.org/rfc/rfc6455#section-5.2>, 2026-11-25.

use super::Violation;

/// Maximum payload of a control frame in bytes.
const CONTROL_MAX: usize = 125;

/// Bit of the final fragment of a message, or of an unfragmented one.
const FIN: u8 = 0x80;

/// Bit of a compressed message (RFC 7692).
const RSV1: u8 = 0x40;

/// Reserved bits; must be zero.
const RSV2_RSV3: u8 = 0x30;

/// Bit of a masked payload.
const MASKED: u8 = 0x80;

/// Type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0x0,
    /// A text message in UTF-8.
    Text = 0x1,
    /// A binary message.
    Binary = 0x2,
    /// Closes the connection.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping.
    Pong = 0xA,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        let all = [Self::Continuation, Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong];
        all.into_iter().find(|opcode| *opcode as u8 == bits)
    }

    /// Returns whether this is a control frame, which may come between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// Header of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether this is the last frame of the message.
    pub fin: bool,
    /// Whether the message is compressed.
    pub compressed: bool,
    pub opcode: Opcode,
    pub mask: [u8; 4],
    /// Length of the payload in bytes.
    pub length: usize,
    /// Length of the header in bytes.
    pub size: usize,
}

impl Header {
    /// Parses the header at the start of `bytes`; returns `None` while it is incomplete.
    ///
    /// # Errors
    /// Returns [`Violation`] if a client may not send this frame. A frame that is too long is rejected by its
    /// header, before any payload arrives.
    pub fn parse(bytes: &[u8], deflate: bool, length_max: usize) -> Result<Option<Self>, Violation> {
        let (Some(&first), Some(&second)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
        let opcode = Opcode::from_bits(first & 0x0F).ok_or(Violation::Protocol)?;
        let (fin, compressed) = (first & FIN != 0, first & RSV1 != 0);
        let is_wrongly_compressed = compressed && (!deflate || !matches!(opcode, Opcode::Text | Opcode::Binary));
        if first & RSV2_RSV3 != 0 || is_wrongly_compressed || second & MASKED == 0 {
            return Err(Violation::Protocol);
        }
        let short = usize::from(second & !MASKED);
        if opcode.is_control() && (!fin || short > CONTROL_MAX) {
            return Err(Violation::Protocol);
        }
        let Some((length, size)) = length(bytes, short)? else { return Ok(None) };
        if length > length_max && !opcode.is_control() {
            return Err(Violation::TooLong);
        }
        let mask = bytes.get(size..size + 4).and_then(|mask| mask.try_into().ok());
        Ok(mask.map(|mask| Self { fin, compressed, opcode, mask, length, size: size + 4 }))
    }
}

/// Returns the length of the payload and the size of the header up to its mask. The length must have its
/// shortest form.
fn length(bytes: &[u8], short: usize) -> Result<Option<(usize, usize)>, Violation> {
    let (length, size, length_min) = match short {
        126 => {
            let Some(Ok(more)) = bytes.get(2..4).map(<[u8; 2]>::try_from) else { return Ok(None) };
            (u64::from(u16::from_be_bytes(more)), 4, 126)
        }
        127 => {
            let Some(Ok(more)) = bytes.get(2..10).map(<[u8; 8]>::try_from) else { return Ok(None) };
            (u64::from_be_bytes(more), 10, 1 << 16)
        }
        _ => return Ok(Some((short, 2))),
    };
    if length < length_min || length > i64::MAX.unsigned_abs() {
        return Err(Violation::Protocol);
    }
    usize::try_from(length).map(|length| Some((length, size))).map_err(|_| Violation::TooLong)
}

/// Appends the header of an unmasked, unfragmented frame.
pub fn write_header(into: &mut Vec<u8>, opcode: Opcode, compressed: bool, length: usize) {
    into.push(FIN | if compressed { RSV1 } else { 0 } | opcode as u8);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if usize::from(short) <= CONTROL_MAX => into.push(short),
        (_, Ok(medium)) => {
            into.push(126);
            into.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            into.push(127);
            into.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
}

/// Appends a message as a single frame.
pub fn write_frame(into: &mut Vec<u8>, opcode: Opcode, compressed: bool, payload: &[u8]) {
    into.reserve(payload.len() + 10);
    write_header(into, opcode, compressed, payload.len());
    into.extend_from_slice(payload);
}

/// Appends a text message as a single frame, compressed if `deflate` was negotiated and it saves bytes.
pub fn write_text_frame(into: &mut Vec<u8>, text: &[u8], deflate: bool) {
    match deflate.then(|| super::compress(text)).flatten() {
        Some(compressed) => write_frame(into, Opcode::Text, true, &compressed),
        None => write_frame(into, Opcode::Text, false, text),
    }
}

/// Returns a control frame; the payload is truncated to 125 bytes.
pub fn control_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + payload.len().min(CONTROL_MAX));
    write_frame(&mut bytes, opcode, false, payload.get(..CONTROL_MAX).unwrap_or(payload));
    bytes
}

/// Returns a close frame; without a code the reason is omitted.
pub fn close_frame(code: Option<u16>, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    control_frame(Opcode::Close, &payload)
}
