//! A small HTTP/1.1 reader and writer that, unlike a library, can stop in the middle of a response.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::response::FakeResponse;
use super::socket::Socket;

/// Largest request head, in bytes.
const HEAD_MAX: usize = 64 * 1024;

/// Largest request body, in bytes.
const BODY_MAX: usize = 256 * 1024;

/// A parsed request.
#[derive(Debug)]
pub struct Request {
    /// The method in upper case.
    pub method: String,
    /// The request target: path and query.
    pub target: String,
    /// The body.
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Returns the value of a header; `name` must be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the `Sec-WebSocket-Key`, or `None` if this is no WebSocket handshake.
    pub fn websocket_key(&self) -> Option<&str> {
        let upgrade = self.header("upgrade")?.eq_ignore_ascii_case("websocket");
        self.header("sec-websocket-key").filter(|_| upgrade)
    }
}

/// Reads a request; `buffer` keeps bytes received after the previous one. Returns `None` at an orderly end.
///
/// # Errors
/// If the connection breaks, or the request is malformed or too long.
pub async fn read(socket: &mut Socket, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > HEAD_MAX {
            return Err(invalid("head of request is too long"));
        }
        if socket.read_buf(buffer).await? == 0 {
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
        if socket.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    request.body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Ok(Some(request))
}

/// Writes a response; with `part`, the head and only that many bytes of the body.
///
/// # Errors
/// If the connection breaks.
pub async fn write(socket: &mut Socket, response: &FakeResponse, part: Option<usize>) -> io::Result<()> {
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
    socket.write_all(&bytes).await?;
    socket.flush().await
}
