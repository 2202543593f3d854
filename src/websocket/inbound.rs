//! What a client sends, frame by frame, within limits. Holds nothing while nothing is half said.

use std::borrow::Cow;

use super::Inflater;
use super::frame::{Header, Opcode};

/// What a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Longest message, in bytes; inflated, where it is compressed.
    pub message_bytes_max: usize,
    /// Whether messages may be compressed.
    pub deflate: bool,
}

/// How a client broke the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// The protocol.
    Protocol,
    /// The length of a message.
    TooLong,
    /// A text that is not UTF-8.
    NotUtf8,
}

/// One thing that a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A whole text.
    Text(String),
    /// A whole message of bytes.
    Binary(Vec<u8>),
    /// A part of a message, its last one not yet there.
    Fragment,
    /// A ping, with its payload.
    Ping(Vec<u8>),
    /// A pong, whatever it holds.
    Pong,
    /// The end, with its code if there is one.
    Close(Option<u16>),
}

/// What is half said: nothing at all, most of the time.
#[derive(Debug, Default)]
pub struct Inbound(Option<Box<Half>>);

#[derive(Debug, Default)]
struct Half {
    /// Bytes that no whole frame could be read from yet.
    held: Vec<u8>,
    /// The message whose last fragment is not there.
    message: Option<Message>,
}

#[derive(Debug)]
struct Message {
    opcode: Opcode,
    packed: bool,
    bytes: Vec<u8>,
}

impl Inbound {
    /// Puts what was held before new bytes.
    pub fn join<'a>(&mut self, new: &'a [u8]) -> Cow<'a, [u8]> {
        match self.0.as_mut().map(|half| std::mem::take(&mut half.held)).filter(|held| !held.is_empty()) {
            Some(mut held) => {
                held.extend_from_slice(new);
                Cow::Owned(held)
            }
            None => Cow::Borrowed(new),
        }
    }

    /// Keeps bytes for the next [`Inbound::join`].
    pub fn hold(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.0.get_or_insert_default().held.extend_from_slice(rest);
        } else if self.0.as_ref().is_some_and(|half| half.message.is_none()) {
            self.0 = None;
        }
    }

    /// Whether nothing is half said.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Reads the frame at the beginning of `bytes`: how long it is and what it says; `None` while it is not whole.
    ///
    /// # Errors
    /// [`Violation`] if the connection must end.
    pub fn read(
        &mut self,
        bytes: &[u8],
        rules: Rules,
        inflater: &mut Inflater,
    ) -> Result<Option<(usize, Incoming)>, Violation> {
        let Some(header) = Header::read(bytes, rules.deflate, rules.message_bytes_max)? else { return Ok(None) };
        let end = header.size + header.length;
        let Some(payload) = bytes.get(header.size..end) else { return Ok(None) };
        let said = match header.opcode {
            Opcode::Ping => Incoming::Ping(unmasked(payload, header.mask)),
            Opcode::Pong => Incoming::Pong,
            Opcode::Close => Incoming::Close(close_code(&unmasked(payload, header.mask))?),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                match self.assemble(&header, payload, rules.message_bytes_max)? {
                    None => Incoming::Fragment,
                    Some(message) => whole(message, rules.message_bytes_max, inflater)?,
                }
            }
        };
        Ok(Some((end, said)))
    }

    /// Adds a fragment to its message, and returns the message with the last one.
    fn assemble(&mut self, header: &Header, payload: &[u8], most: usize) -> Result<Option<Message>, Violation> {
        let begun = self.0.as_mut().and_then(|half| half.message.take());
        let mut message = match (header.opcode, begun) {
            (Opcode::Continuation, Some(message)) => message,
            (Opcode::Text | Opcode::Binary, None) => {
                Message { opcode: header.opcode, packed: header.packed, bytes: Vec::new() }
            }
            _ => return Err(Violation::Protocol),
        };
        if message.bytes.len() + payload.len() > most {
            return Err(Violation::TooLong);
        }
        message.bytes.extend(payload.iter().zip(header.mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        if header.fin {
            return Ok(Some(message));
        }
        self.0.get_or_insert_default().message = Some(message);
        Ok(None)
    }
}

fn whole(message: Message, most: usize, inflater: &mut Inflater) -> Result<Incoming, Violation> {
    let bytes = if message.packed { inflater.inflate(&message.bytes, most)? } else { message.bytes };
    match message.opcode {
        Opcode::Text => String::from_utf8(bytes).map(Incoming::Text).map_err(|_| Violation::NotUtf8),
        _ => Ok(Incoming::Binary(bytes)),
    }
}

fn unmasked(payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

/// Returns the code of a close frame, if it has one.
///
/// Source: RFC 6455, section 7.4, and the registry of codes it opened, 2026-11-25.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    if payload.is_empty() {
        return Ok(None);
    }
    let (Some(Ok(code)), Some(reason)) = (payload.get(..2).map(<[u8; 2]>::try_from), payload.get(2..)) else {
        return Err(Violation::Protocol);
    };
    let code = u16::from_be_bytes(code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol);
    }
    std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
    Ok(Some(code))
}
