//! HTTP/1.1 by hand: small, and able to break off where a library would not.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::view::FakeResponse;
use super::wire::Wire;

/// Largest head of a request.
const HEAD_MAX: usize = 64 * 1024;

/// Largest body of a request.
const BODY_MAX: usize = 256 * 1024;

/// A request as read.
#[derive(Debug)]
pub struct Request {
    /// The method in upper case.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The body.
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Returns a header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the key of a WebSocket handshake, if this is one.
    pub fn websocket_key(&self) -> Option<&str> {
        let upgrade = self.header("upgrade")?.eq_ignore_ascii_case("websocket");
        self.header("sec-websocket-key").filter(|_| upgrade)
    }
}

/// Reads a request; `buffer` holds what came after the one before. `None` is an orderly end.
///
/// # Errors
/// If the connection breaks or what comes is not HTTP/1.
pub async fn read(wire: &mut Wire, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > HEAD_MAX {
            return Err(invalid("head of request is too long"));
        }
        if wire.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (first.next(), first.next()) else {
        return Err(invalid("request line is malformed"));
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request { method: method.to_owned(), target: target.to_owned(), body: Vec::new(), headers };
    let length: usize = match request.header("content-length") {
        Some(length) => length.parse().map_err(|_| invalid("content-length is malformed"))?,
        None => 0,
    };
    if length > BODY_MAX {
        return Err(invalid("body of request is too long"));
    }
    while buffer.len() < end + length {
        if wire.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    request.body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Ok(Some(request))
}

/// Writes a response, or only `part` bytes of its body.
///
/// # Errors
/// If the connection breaks.
pub async fn write(wire: &mut Wire, response: &FakeResponse, part: Option<usize>) -> io::Result<()> {
    let reason = match response.status {
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        418 => "I'm a teapot",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Status",
    };
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if response.status != 101 {
        head.push_str(&format!("content-length: {}\r\n", response.body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&response.body[..part.unwrap_or(usize::MAX).min(response.body.len())]);
    wire.write_all(&bytes).await?;
    wire.flush().await
}
