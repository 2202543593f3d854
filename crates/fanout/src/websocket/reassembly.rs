//! Reassembly of a client's messages, frame by frame, within limits. Allocates only while a message is incomplete.

use std::borrow::Cow;

use super::Violation;
use super::deflate::Inflater;
use super::frame::{Header, Opcode};

/// Limits and options of a client's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOptions {
    /// Maximum length of a message in bytes, after decompression.
    pub message_bytes_max: usize,
    /// Whether permessage-deflate was negotiated.
    pub deflate: bool,
}

/// One received frame, or the message that it completes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A complete text message.
    Text(String),
    /// A complete binary message.
    Binary(Vec<u8>),
    /// A fragment of a message that is still incomplete.
    Fragment,
    /// A ping, with its payload.
    Ping(Vec<u8>),
    /// A pong; its payload is ignored.
    Pong,
    /// A close frame, with its code if it has one.
    Close(Option<u16>),
}

/// Buffer of unread bytes and an incomplete message; empty most of the time.
#[derive(Debug, Default)]
pub struct Reassembler(Option<Box<Partial>>);

#[derive(Debug, Default)]
struct Partial {
    /// Received bytes that have not been read as frames yet.
    held: Vec<u8>,
    /// The message whose last fragment is still missing.
    message: Option<Message>,
}

#[derive(Debug)]
struct Message {
    opcode: Opcode,
    compressed: bool,
    bytes: Vec<u8>,
}

impl Reassembler {
    /// Prepends the held bytes to new ones.
    pub fn with_held<'a>(&mut self, new: &'a [u8]) -> Cow<'a, [u8]> {
        match self.0.as_mut().map(|partial| std::mem::take(&mut partial.held)).filter(|held| !held.is_empty()) {
            Some(mut held) => {
                held.extend_from_slice(new);
                Cow::Owned(held)
            }
            None => Cow::Borrowed(new),
        }
    }

    /// Holds bytes for the next [`Reassembler::with_held`].
    pub fn hold(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.0.get_or_insert_default().held.extend_from_slice(rest);
        } else if self.0.as_ref().is_some_and(|partial| partial.message.is_none()) {
            self.0 = None;
        }
    }

    /// Returns whether no bytes are held and no message is incomplete.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Reads the frame at the start of `bytes`; returns its length and content, or `None` while it is incomplete.
    ///
    /// # Errors
    /// Returns [`Violation`] if the connection must be closed.
    pub fn read_frame(
        &mut self,
        bytes: &[u8],
        options: ReadOptions,
        inflater: &mut Inflater,
    ) -> Result<Option<(usize, Incoming)>, Violation> {
        let Some(header) = Header::parse(bytes, options.deflate, options.message_bytes_max)? else { return Ok(None) };
        let end = header.size + header.length;
        let Some(payload) = bytes.get(header.size..end) else { return Ok(None) };
        let incoming = match header.opcode {
            Opcode::Ping => Incoming::Ping(unmask(payload, header.mask)),
            Opcode::Pong => Incoming::Pong,
            Opcode::Close => Incoming::Close(close_code(&unmask(payload, header.mask))?),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                match self.assemble(&header, payload, options.message_bytes_max)? {
                    None => Incoming::Fragment,
                    Some(message) => complete(message, options.message_bytes_max, inflater)?,
                }
            }
        };
        Ok(Some((end, incoming)))
    }

    /// Appends a fragment to its message; returns the message once it is complete.
    fn assemble(&mut self, header: &Header, payload: &[u8], bytes_max: usize) -> Result<Option<Message>, Violation> {
        let started = self.0.as_mut().and_then(|partial| partial.message.take());
        let mut message = match (header.opcode, started) {
            (Opcode::Continuation, Some(message)) => message,
            (Opcode::Text | Opcode::Binary, None) => {
                Message { opcode: header.opcode, compressed: header.compressed, bytes: Vec::new() }
            }
            _ => return Err(Violation::Protocol),
        };
        if message.bytes.len() + payload.len() > bytes_max {
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

fn complete(message: Message, bytes_max: usize, inflater: &mut Inflater) -> Result<Incoming, Violation> {
    let bytes = if message.compressed { inflater.inflate(&message.bytes, bytes_max)? } else { message.bytes };
    match message.opcode {
        Opcode::Text => String::from_utf8(bytes).map(Incoming::Text).map_err(|_| Violation::NotUtf8),
        _ => Ok(Incoming::Binary(bytes)),
    }
}

fn unmask(payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

/// Returns the code of a close frame's payload, if it has one.
///
/// Source: RFC 6455, section 7.4, and its registry of close codes, 2026-11-25.
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
