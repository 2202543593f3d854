//! A client that says exactly what a test wants, byte by byte.

use sisepan::websocket::{self, Opcode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::setup::DEADLINE;

/// Says that a message is whole.
pub const FIN: u8 = 0x80;

/// Says that it is compressed.
pub const RSV1: u8 = 0x40;

pub struct Raw {
    pub tcp: TcpStream,
    read: Vec<u8>,
}

/// A frame of the server: its first byte and its payload.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    pub first: u8,
    pub payload: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With a close frame, and its code if there was one.
    Close(Option<u16>),
    /// Without.
    Cut,
}

impl Raw {
    /// Asks for the stream; returns the answer's head as well.
    pub async fn ask(address: &str, query: &str, headers: &str) -> (Self, String) {
        let tcp = TcpStream::connect(address).await.unwrap();
        let mut raw = Self { tcp, read: Vec::new() };
        let head = format!("GET /api/v1/stream{query} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        raw.tcp.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(DEADLINE, raw.tcp.read_u8()).await.expect("an answer in time");
            answer.push(byte.unwrap());
        }
        (raw, String::from_utf8(answer).unwrap().to_lowercase())
    }

    /// Connects with further headers.
    pub async fn upgraded(address: &str, query: &str, headers: &str) -> (Self, String) {
        let usual = "connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let (raw, head) = Self::ask(address, query, &format!("{usual}{headers}")).await;
        assert!(head.starts_with("http/1.1 101"), "{head}");
        (raw, head)
    }

    /// Connects and reads the welcome.
    pub async fn welcomed(address: &str, query: &str) -> Self {
        let (mut raw, _) = Self::upgraded(address, query, "").await;
        assert!(raw.text().await.starts_with(r#"{"type":"welcome""#));
        raw
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        // Who has been closed may find that out while it writes.
        let _ = self.tcp.write_all(bytes).await;
    }

    /// Reads the next frame; `None` at the end.
    pub async fn heard(&mut self) -> Option<Heard> {
        loop {
            if let Some((heard, length)) = parse(&self.read) {
                self.read.drain(..length);
                return Some(heard);
            }
            let read =
                tokio::time::timeout(DEADLINE, self.tcp.read_buf(&mut self.read)).await.expect("a frame in time");
            if matches!(read, Ok(0) | Err(_)) {
                return None;
            }
        }
    }

    /// Reads the next message, pings aside.
    pub async fn message(&mut self) -> Heard {
        loop {
            let heard = self.heard().await.expect("a message, not the end");
            if heard.first != FIN | Opcode::Ping as u8 {
                return heard;
            }
        }
    }

    /// Reads the next message as a text that is not compressed.
    pub async fn text(&mut self) -> String {
        let heard = self.message().await;
        assert_eq!(heard.first, FIN | Opcode::Text as u8, "{heard:?}");
        String::from_utf8(heard.payload).unwrap()
    }

    pub async fn json(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// Reads up to the end, answers nothing.
    pub async fn end(&mut self) -> End {
        let mut end = End::Cut;
        while let Some(heard) = self.heard().await {
            if heard.first == FIN | Opcode::Close as u8 {
                let code = heard.payload.get(..2).map(|code| u16::from_be_bytes(code.try_into().unwrap()));
                end = End::Close(code);
            }
        }
        end
    }
}

/// A client's frame: first byte, then the payload, masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    websocket::head(&mut bytes, Opcode::Text, false, payload.len());
    bytes[0] = first;
    bytes[1] |= 0x80;
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A whole text.
pub fn said(text: &str) -> Vec<u8> {
    frame(FIN | Opcode::Text as u8, text.as_bytes())
}

fn parse(bytes: &[u8]) -> Option<(Heard, usize)> {
    let (length, start) = match *bytes.get(1)? {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(start..start + length)?.to_vec();
    Some((Heard { first: bytes[0], payload }, start + length))
}
