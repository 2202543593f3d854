//! The floor, a lower bound for any server: one write of prepared bytes to each socket, and nothing else.
//!
//! It runs as a separate process, so that its CPU time is measured in the same
//! way. It accepts each connection as a WebSocket, reads frames from standard
//! input and writes each one to all sockets. Sockets are non-blocking; full
//! ones are skipped.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

/// The response to every request.
const SWITCHING_PROTOCOLS: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

type Sockets = Arc<Mutex<Vec<TcpStream>>>;

/// Serves until standard input ends.
pub fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("listening")?;
    println!("floor/{}", listener.local_addr()?);
    let sockets = Sockets::default();
    let joining = Arc::clone(&sockets);
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            if let Err(error) = admit(tcp, &joining) {
                eprintln!("floor: {error}");
            }
        }
    });
    let mut input = std::io::stdin().lock();
    let (mut length, mut frame) = ([0; 2], Vec::new());
    while input.read_exact(&mut length).is_ok() {
        frame.resize(usize::from(u16::from_be_bytes(length)), 0);
        input.read_exact(&mut frame).context("reading a frame")?;
        // Only a failed write shows that a client has disconnected.
        sockets.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|socket| match socket.write(&frame) {
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            Ok(_) => true,
        });
    }
    Ok(())
}

fn admit(tcp: TcpStream, sockets: &Sockets) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut lines = BufReader::new(&tcp).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    (&tcp).write_all(SWITCHING_PROTOCOLS)?;
    tcp.set_nonblocking(true)?;
    sockets.lock().unwrap_or_else(PoisonError::into_inner).push(tcp);
    Ok(())
}
