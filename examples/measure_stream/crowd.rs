//! Many stream clients in one thread, on raw sockets and without JSON parsing, so that they are not the
//! bottleneck.
//!
//! A client recognises a tick by its price: tick `n` has the base price plus
//! `n` steps, and [`Ticks`] holds the time at which it was set.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Most ticks per run of this program.
const TICKS_MAX: usize = 1 << 17;

/// Price step of a tick.
const STEP: u64 = 1000;

/// Most clients connecting at the same time; fewer than the listener's backlog.
const CONNECTING_MAX: usize = 64;

/// Timeout for connecting one client.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// Clients per source address: few enough for the server's limits per address, and for the available ports.
const CLIENTS_PER_ADDRESS: u32 = 16;

/// An empty pong, masked with zeros.
const PONG: [u8; 6] = [0x8A, 0x80, 0, 0, 0, 0];

const LAST: &[u8] = b"\"last\":\"";

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    /// Reads, and answers pings.
    Good,
    /// Never reads.
    NeverReads,
    /// Reads one byte per second.
    Slow,
    /// Reads, but does not answer pings.
    NoPong,
}

thread_local! {
    /// Read buffer shared by all clients.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// When each tick was set.
pub struct Ticks {
    start: Instant,
    base: u64,
    set: Vec<AtomicU64>,
}

impl Ticks {
    /// Creates the list without ticks; the first one will have the price `base` plus one step.
    pub fn new(base: u64) -> Self {
        let set = (0..TICKS_MAX).map(|_| AtomicU64::new(0)).collect();
        Self { start: Instant::now(), base, set }
    }

    /// Records that tick `n` is set now, and returns its price.
    pub fn set(&self, n: usize) -> anyhow::Result<u64> {
        let time = self.set.get(n).context("too many ticks")?;
        time.store(self.now(), Ordering::Release);
        Ok(self.base + n as u64 * STEP)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the age in ns of the tick with this price, if there is one.
    fn age(&self, price: u64) -> Option<u64> {
        let n = usize::try_from(price.checked_sub(self.base)? / STEP).ok()?;
        let set = self.set.get(n)?.load(Ordering::Acquire);
        (set > 0).then(|| self.now().saturating_sub(set))
    }
}

/// What the clients have received since the last call of [`Crowd::take`].
#[derive(Default)]
pub struct Seen {
    /// Age of each tick in µs when it was received, for each client.
    pub ages_us: Vec<u32>,
    /// Messages of all kinds, since messages without a tick cost as much as those with one.
    pub messages: usize,
    /// A received frame that contains a tick.
    pub frame: Vec<u8>,
    /// Clients whose connection has ended.
    pub ended: usize,
}

/// The clients of one server. Dropping it disconnects them.
pub struct Crowd {
    seen: Arc<Mutex<Seen>>,
    more: Option<mpsc::Sender<(usize, Behavior)>>,
    joined: std::sync::mpsc::Receiver<anyhow::Result<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Crowd {
    /// Starts the thread, without clients.
    pub fn new(address: SocketAddr, path: &str, ticks: &Arc<Ticks>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (more, mut requests) = mpsc::channel::<(usize, Behavior)>(1);
        let (results, joined) = std::sync::mpsc::sync_channel(1);
        let client = Client { address, path: path.into(), ticks: ticks.clone(), seen: seen.clone() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                while let Some((count, behavior)) = requests.recv().await {
                    if results.send(join(&client, count, behavior).await).is_err() {
                        return;
                    }
                }
            });
        });
        Self { seen, more: Some(more), joined, thread: Some(thread) }
    }

    /// Connects `count` more clients.
    pub fn join(&self, count: usize, behavior: Behavior) -> anyhow::Result<()> {
        let more = self.more.as_ref().context("the clients' thread has ended")?;
        more.blocking_send((count, behavior)).context("the clients' thread has ended")?;
        self.joined.recv().context("the clients' thread has ended")?
    }

    /// Returns what the clients have received since the last call, and resets it.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *lock(&self.seen))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.more = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn join(client: &Client, count: usize, behavior: Behavior) -> anyhow::Result<()> {
    let mut connecting = JoinSet::new();
    for _ in 0..count {
        if connecting.len() >= CONNECTING_MAX {
            connecting.join_next().await.context("no client is connecting")???;
        }
        let client = client.clone();
        connecting.spawn(async move {
            let tcp = tokio::time::timeout(CONNECT_MAX, client.connect()).await.context("connecting timed out")??;
            tokio::spawn(client.behave(tcp, behavior));
            anyhow::Ok(())
        });
    }
    while let Some(connected) = connecting.join_next().await {
        connected??;
    }
    Ok(())
}

#[derive(Clone)]
struct Client {
    address: SocketAddr,
    path: Arc<str>,
    ticks: Arc<Ticks>,
    seen: Arc<Mutex<Seen>>,
}

impl Client {
    async fn connect(&self) -> anyhow::Result<TcpStream> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let [_, _, high, low] = (NUMBER.fetch_add(1, Ordering::Relaxed) / CLIENTS_PER_ADDRESS).to_be_bytes();
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 1, high, low), 0).into()).context("binding the address of a client")?;
        let mut tcp = socket.connect(self.address).await.context("connecting a client")?;
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.path, self.address
        );
        tcp.write_all(request.as_bytes()).await?;
        // Read byte by byte, so that nothing after the head is consumed.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await.context("reading the response to the upgrade")?);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("the stream was refused: {}", String::from_utf8_lossy(&head));
        }
        Ok(tcp)
    }

    async fn behave(self, mut tcp: TcpStream, behavior: Behavior) {
        match behavior {
            Behavior::Good | Behavior::NoPong => return self.listen(tcp, behavior).await,
            // A client that does not read notices neither an error nor the end.
            Behavior::NeverReads => std::future::pending::<()>().await,
            Behavior::Slow => {
                while tcp.read_u8().await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        lock(&self.seen).ended += 1;
    }

    async fn listen(self, tcp: TcpStream, behavior: Behavior) {
        let mut rest = Vec::new();
        while tcp.readable().await.is_ok() {
            let read = BUFFER.with_borrow_mut(|buffer| {
                let count = tcp.try_read(buffer)?;
                let new = buffer.get(..count).unwrap_or_default();
                let pings = if rest.is_empty() {
                    let used = self.consume(new);
                    rest.extend_from_slice(new.get(used.bytes..).unwrap_or_default());
                    used.pings
                } else {
                    rest.extend_from_slice(new);
                    let used = self.consume(&rest);
                    rest.drain(..used.bytes);
                    used.pings
                };
                if rest.is_empty() {
                    rest = Vec::new();
                }
                Ok::<_, std::io::Error>((count, pings))
            });
            match read {
                Ok((0, _)) => break,
                Ok(_) if behavior == Behavior::NoPong => {}
                Ok((_, pings)) => (0..pings).for_each(|_| drop(tcp.try_write(&PONG))),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        lock(&self.seen).ended += 1;
    }

    /// Processes all complete frames at the start of `bytes`.
    fn consume(&self, bytes: &[u8]) -> Used {
        let mut used = Used { bytes: 0, pings: 0 };
        while let Some(rest) = bytes.get(used.bytes..) {
            let Some((head, length)) = frame_size(rest) else { break };
            let (Some(frame), Some(payload)) = (rest.get(..head + length), rest.get(head..head + length)) else {
                break;
            };
            match frame.first().map(|first| first & 0x0F) {
                Some(0x9) => used.pings += 1,
                Some(0x1) => self.record(frame, payload),
                _ => {}
            }
            used.bytes += head + length;
        }
        used
    }

    fn record(&self, frame: &[u8], payload: &[u8]) {
        let age = price(payload).and_then(|price| self.ticks.age(price));
        let mut seen = lock(&self.seen);
        seen.messages += 1;
        let Some(age) = age else { return };
        seen.ages_us.push(u32::try_from(age / 1000).unwrap_or(u32::MAX));
        if seen.frame.is_empty() {
            seen.frame.extend_from_slice(frame);
        }
    }
}

struct Used {
    bytes: usize,
    pings: usize,
}

/// Returns the lengths of a frame's header and payload, once the header is complete.
fn frame_size(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? {
        126 => Some((4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)))),
        127 => Some((10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?)),
        short => Some((2, usize::from(*short))),
    }
}

/// Returns the byte range of the last price in a message.
pub fn price_range(message: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = message.windows(LAST.len()).position(|window| window == LAST)? + LAST.len();
    let digits = message.get(start..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(start..start + digits)
}

fn price(message: &[u8]) -> Option<u64> {
    std::str::from_utf8(message.get(price_range(message)?)?).ok()?.parse().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
