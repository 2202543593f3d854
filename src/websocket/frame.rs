//! Frames: what stands before a payload, ours and theirs.
//!
//! Source: RFC 6455, section 5.2, <https://www.rfc-editor.org/rfc/rfc6455#section-5.2>, 2026-11-25.

use super::Violation;

/// Longest payload of a control frame.
const CONTROL_MAX: usize = 125;

/// The bit of a whole message, or of the last of its fragments.
const FIN: u8 = 0x80;

/// The bit of a compressed message.
const RSV1: u8 = 0x40;

/// The bits that mean nothing yet.
const RSV2_RSV3: u8 = 0x30;

/// The bit of a masked payload.
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation = 0x0,
    /// A message in UTF-8.
    Text = 0x1,
    /// A message of any bytes.
    Binary = 0x2,
    /// The end.
    Close = 0x8,
    /// A question whether somebody is there.
    Ping = 0x9,
    /// The answer to it.
    Pong = 0xA,
}

impl Opcode {
    fn new(bits: u8) -> Option<Self> {
        let all = [Self::Continuation, Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong];
        all.into_iter().find(|opcode| *opcode as u8 == bits)
    }

    /// Whether it may come between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// What stands before a client's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether the message ends here.
    pub fin: bool,
    /// Whether the message is compressed.
    pub packed: bool,
    pub opcode: Opcode,
    pub mask: [u8; 4],
    /// Bytes of the payload.
    pub length: usize,
    /// Bytes of the header itself.
    pub size: usize,
}

impl Header {
    /// Reads the header at the beginning of `bytes`; `None` while it is not whole.
    ///
    /// # Errors
    /// [`Violation`] if no client may send it: refused from its length alone, before any payload is there.
    pub fn read(bytes: &[u8], deflate: bool, length_max: usize) -> Result<Option<Self>, Violation> {
        let (Some(&first), Some(&second)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
        let opcode = Opcode::new(first & 0x0F).ok_or(Violation::Protocol)?;
        let (fin, packed) = (first & FIN != 0, first & RSV1 != 0);
        let packed_wrongly = packed && (!deflate || !matches!(opcode, Opcode::Text | Opcode::Binary));
        if first & RSV2_RSV3 != 0 || packed_wrongly || second & MASKED == 0 {
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
        Ok(mask.map(|mask| Self { fin, packed, opcode, mask, length, size: size + 4 }))
    }
}

/// Returns the length of a payload and the bytes up to there; the shortest form is a must.
fn length(bytes: &[u8], short: usize) -> Result<Option<(usize, usize)>, Violation> {
    let (length, size, least) = match short {
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
    if length < least || length > i64::MAX.unsigned_abs() {
        return Err(Violation::Protocol);
    }
    usize::try_from(length).map(|length| Some((length, size))).map_err(|_| Violation::TooLong)
}

/// Writes what stands before a payload of ours: a whole message, not masked.
pub fn head(into: &mut Vec<u8>, opcode: Opcode, packed: bool, length: usize) {
    into.push(FIN | if packed { RSV1 } else { 0 } | opcode as u8);
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

/// Appends a message as one frame.
pub fn frame(into: &mut Vec<u8>, opcode: Opcode, packed: bool, payload: &[u8]) {
    into.reserve(payload.len() + 10);
    head(into, opcode, packed, payload.len());
    into.extend_from_slice(payload);
}

/// Appends a text as one frame: compressed if the reader takes that and it is worth it.
pub fn text_frame(into: &mut Vec<u8>, text: &[u8], deflate: bool) {
    match deflate.then(|| super::pack(text)).flatten() {
        Some(packed) => frame(into, Opcode::Text, true, &packed),
        None => frame(into, Opcode::Text, false, text),
    }
}

/// Returns a ping or pong with this payload, cut at what a control frame may hold.
pub fn control_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + payload.len().min(CONTROL_MAX));
    frame(&mut bytes, opcode, false, payload.get(..CONTROL_MAX).unwrap_or(payload));
    bytes
}

/// Returns the frame that ends a connection; without a code it says no reason.
pub fn close_frame(code: Option<u16>, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    control_frame(Opcode::Close, &payload)
}
