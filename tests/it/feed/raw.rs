//! A WebSocket client that sends exactly the bytes that a test wants.

use fanout::websocket::{self, Opcode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::setup::DEADLINE;

/// Marks the last frame of a message.
pub const FIN: u8 = 0x80;

/// Marks a compressed message.
pub const RSV1: u8 = 0x40;

pub struct RawClient {
    pub tcp: TcpStream,
    read: Vec<u8>,
}

/// A frame from the server: its first byte and its payload.
#[derive(Debug, PartialEq, Eq)]
pub struct ReceivedFrame {
    pub first_byte: u8,
    pub payload: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With a close frame, and its code if there was one.
    Close(Option<u16>),
    /// Without a close frame.
    Cut,
}

impl RawClient {
    /// Sends the upgrade request with these headers and returns the response head in lower case.
    pub async fn request_upgrade(address: &str, query: &str, headers: &str) -> (Self, String) {
        let tcp = TcpStream::connect(address).await.unwrap();
        let mut raw = Self { tcp, read: Vec::new() };
        let head = format!("GET /api/v1/stream{query} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        raw.tcp.write_all(head.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(DEADLINE, raw.tcp.read_u8()).await.expect("a response in time");
            response.push(byte.unwrap());
        }
        (raw, String::from_utf8(response).unwrap().to_lowercase())
    }

    /// Upgrades a connection with additional headers.
    pub async fn upgraded(address: &str, query: &str, headers: &str) -> (Self, String) {
        let required = "connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let (raw, head) = Self::request_upgrade(address, query, &format!("{required}{headers}")).await;
        assert!(head.starts_with("http/1.1 101"), "{head}");
        (raw, head)
    }

    /// Connects and reads the `welcome` message.
    pub async fn welcomed(address: &str, query: &str) -> Self {
        let (mut raw, _) = Self::upgraded(address, query, "").await;
        assert!(raw.text().await.starts_with(r#"{"type":"welcome""#));
        raw
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        // Writing may fail if the server has closed the connection.
        let _ = self.tcp.write_all(bytes).await;
    }

    /// Reads the next frame; `None` at the end.
    pub async fn receive_frame(&mut self) -> Option<ReceivedFrame> {
        loop {
            if let Some((received, length)) = parse(&self.read) {
                self.read.drain(..length);
                return Some(received);
            }
            let read =
                tokio::time::timeout(DEADLINE, self.tcp.read_buf(&mut self.read)).await.expect("a frame in time");
            if matches!(read, Ok(0) | Err(_)) {
                return None;
            }
        }
    }

    /// Reads the next frame that is not a ping.
    pub async fn receive_message(&mut self) -> ReceivedFrame {
        loop {
            let received = self.receive_frame().await.expect("a message, not the end");
            if received.first_byte != FIN | Opcode::Ping as u8 {
                return received;
            }
        }
    }

    /// Reads the next message, which must be uncompressed text.
    pub async fn text(&mut self) -> String {
        let received = self.receive_message().await;
        assert_eq!(received.first_byte, FIN | Opcode::Text as u8, "{received:?}");
        String::from_utf8(received.payload).unwrap()
    }

    pub async fn json(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// Reads to the end of the connection without answering.
    pub async fn read_to_end(&mut self) -> End {
        let mut end = End::Cut;
        while let Some(received) = self.receive_frame().await {
            if received.first_byte == FIN | Opcode::Close as u8 {
                let code = received.payload.get(..2).map(|code| u16::from_be_bytes(code.try_into().unwrap()));
                end = End::Close(code);
            }
        }
        end
    }
}

/// Returns a masked client frame with this first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    websocket::write_header(&mut bytes, Opcode::Text, false, payload.len());
    bytes[0] = first;
    bytes[1] |= 0x80;
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Returns a text message in one frame.
pub fn text_frame(text: &str) -> Vec<u8> {
    frame(FIN | Opcode::Text as u8, text.as_bytes())
}

fn parse(bytes: &[u8]) -> Option<(ReceivedFrame, usize)> {
    let (length, start) = match *bytes.get(1)? {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(start..start + length)?.to_vec();
    Some((ReceivedFrame { first_byte: bytes[0], payload }, start + length))
}
