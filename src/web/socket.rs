//! Socket of a client. It adds the security headers to the responses that hyper itself writes to invalid
//! request heads (`400`, `414`, `431`), since hyper has no hook for them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::layers;

/// Connection of a client.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    replacement: Option<Replacement>,
}

/// Response written instead of one of hyper's own.
#[derive(Debug)]
struct Replacement {
    bytes: Vec<u8>,
    written: usize,
    /// Length of the replaced response.
    replaced: usize,
}

impl Socket {
    /// Wraps a connection.
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, replacement: None }
    }

    /// Returns the wrapped connection.
    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// Writes the replacement if `bytes` are a response of hyper's own, else calls `write`.
    fn poll_write_first(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.replacement.is_none() {
            self.replacement = Replacement::new(bytes);
        }
        let Some(replacement) = &mut self.replacement else { return write(Pin::new(&mut self.tcp), cx) };
        while let Some(rest) = replacement.bytes.get(replacement.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.tcp).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => replacement.written += written,
            }
        }
        let replaced = replacement.replaced;
        self.replacement = None;
        Poll::Ready(Ok(replaced))
    }
}

impl Replacement {
    /// Returns the replacement of a response of hyper's own: a 4xx head without a body that lacks our headers.
    fn new(response: &[u8]) -> Option<Self> {
        let is_client_error = response.starts_with(b"HTTP/1.") && response.get(9) == Some(&b'4');
        let head = response.strip_suffix(b"\r\n").filter(|head| is_client_error && head.ends_with(b"\r\n"))?;
        let is_ours =
            head.windows(layers::OWN_RESPONSE_MARK.len()).any(|part| part == layers::OWN_RESPONSE_MARK.as_bytes());
        let bytes = [head, layers::security_lines().as_bytes(), b"\r\n"].concat();
        (!is_ours).then_some(Self { bytes, written: 0, replaced: response.len() })
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_first(cx, buf, |tcp, cx| tcp.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.first().map_or(&[][..], |buf| &**buf);
        self.get_mut().poll_write_first(cx, first, |tcp, cx| tcp.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
