//! Many stream clients in one thread, cheap enough not to be the limit: raw sockets, no JSON.
//!
//! A client knows a tick by its price: tick `n` is the base price plus `n`
//! steps, and [`Ticks`] holds when it was set.

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

/// Most ticks of a program.
const TICKS_MAX: usize = 1 << 17;

/// What a tick adds to the price.
const STEP: u64 = 1000;

/// Clients that connect at once; the listener's backlog is longer.
const CONNECTING_MAX: usize = 64;

/// Longest wait for one client to be connected.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// Clients that come from one address: few enough for a server's limits of one address, and for its ports.
const FROM_ONE_ADDRESS: u32 = 16;

/// An empty pong, masked with zeros.
const PONG: [u8; 6] = [0x8A, 0x80, 0, 0, 0, 0];

const LAST: &[u8] = b"\"last\":\"";

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Reads, and answers pings.
    Good,
    /// Never reads.
    Mute,
    /// Reads a byte a second.
    Slow,
    /// Reads, but answers no ping.
    Rude,
}

thread_local! {
    /// What all clients read into, one after the other.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// When each tick was set.
pub struct Ticks {
    start: Instant,
    base: u64,
    set: Vec<AtomicU64>,
}

impl Ticks {
    /// No tick yet; the first has the price `base` and a step.
    pub fn new(base: u64) -> Self {
        let set = (0..TICKS_MAX).map(|_| AtomicU64::new(0)).collect();
        Self { start: Instant::now(), base, set }
    }

    /// Notes that tick `n` is set now, and returns its price.
    pub fn set(&self, n: usize) -> anyhow::Result<u64> {
        let slot = self.set.get(n).context("too many ticks")?;
        slot.store(self.now(), Ordering::Release);
        Ok(self.base + n as u64 * STEP)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the age in ns of the tick that has this price, if there was one.
    fn age(&self, price: u64) -> Option<u64> {
        let n = usize::try_from(price.checked_sub(self.base)? / STEP).ok()?;
        let set = self.set.get(n)?.load(Ordering::Acquire);
        (set > 0).then(|| self.now().saturating_sub(set))
    }
}

/// What the clients have seen since last asked.
#[derive(Default)]
pub struct Seen {
    /// The age of each tick in µs, at each client.
    pub ages_us: Vec<u32>,
    /// Messages of every kind: a venue says more than prices, and each of its words costs as much.
    pub messages: usize,
    /// The newest frame that held a tick.
    pub frame: Vec<u8>,
    /// Clients whose connection ended.
    pub ended: usize,
}

/// Clients of one server; dropping it ends them.
pub struct Crowd {
    seen: Arc<Mutex<Seen>>,
    more: Option<mpsc::Sender<(usize, Manner)>>,
    joined: std::sync::mpsc::Receiver<anyhow::Result<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Crowd {
    /// Starts the thread; there is nobody in it yet.
    pub fn new(address: SocketAddr, path: &str, ticks: &Arc<Ticks>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (more, mut wanted) = mpsc::channel::<(usize, Manner)>(1);
        let (told, joined) = std::sync::mpsc::sync_channel(1);
        let member = Member { address, path: path.into(), ticks: ticks.clone(), seen: seen.clone() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                while let Some((count, manner)) = wanted.recv().await {
                    if told.send(join(&member, count, manner).await).is_err() {
                        return;
                    }
                }
            });
        });
        Self { seen, more: Some(more), joined, thread: Some(thread) }
    }

    /// Connects so many more.
    pub fn join(&self, count: usize, manner: Manner) -> anyhow::Result<()> {
        let more = self.more.as_ref().context("the clients' thread has ended")?;
        more.blocking_send((count, manner)).context("the clients' thread has ended")?;
        self.joined.recv().context("the clients' thread has ended")?
    }

    /// Returns what they have seen, and forgets it.
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

async fn join(member: &Member, count: usize, manner: Manner) -> anyhow::Result<()> {
    let mut connecting = JoinSet::new();
    for _ in 0..count {
        if connecting.len() >= CONNECTING_MAX {
            connecting.join_next().await.context("nobody is connecting")???;
        }
        let member = member.clone();
        connecting.spawn(async move {
            let tcp =
                tokio::time::timeout(CONNECT_MAX, member.connect()).await.context("connecting took too long")??;
            tokio::spawn(member.behave(tcp, manner));
            anyhow::Ok(())
        });
    }
    while let Some(connected) = connecting.join_next().await {
        connected??;
    }
    Ok(())
}

#[derive(Clone)]
struct Member {
    address: SocketAddr,
    path: Arc<str>,
    ticks: Arc<Ticks>,
    seen: Arc<Mutex<Seen>>,
}

impl Member {
    async fn connect(&self) -> anyhow::Result<TcpStream> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let [_, _, high, low] = (NUMBER.fetch_add(1, Ordering::Relaxed) / FROM_ONE_ADDRESS).to_be_bytes();
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 1, high, low), 0).into()).context("taking an address for a client")?;
        let mut tcp = socket.connect(self.address).await.context("connecting a client")?;
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.path, self.address
        );
        tcp.write_all(request.as_bytes()).await?;
        // Byte by byte, so that nothing behind the head is taken.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await.context("reading the answer to the upgrade")?);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("the stream was refused: {}", String::from_utf8_lossy(&head));
        }
        Ok(tcp)
    }

    async fn behave(self, mut tcp: TcpStream, manner: Manner) {
        match manner {
            Manner::Good | Manner::Rude => return self.listen(tcp, manner).await,
            // Only an error or the end can be seen without reading; a mute one sees neither.
            Manner::Mute => std::future::pending::<()>().await,
            Manner::Slow => {
                while tcp.read_u8().await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        lock(&self.seen).ended += 1;
    }

    async fn listen(self, tcp: TcpStream, manner: Manner) {
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
                Ok(_) if manner == Manner::Rude => {}
                Ok((_, pings)) => (0..pings).for_each(|_| drop(tcp.try_write(&PONG))),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        lock(&self.seen).ended += 1;
    }

    /// Reads all whole frames at the beginning of `bytes`.
    fn consume(&self, bytes: &[u8]) -> Used {
        let mut used = Used { bytes: 0, pings: 0 };
        while let Some(rest) = bytes.get(used.bytes..) {
            let Some((head, length)) = frame_size(rest) else { break };
            let (Some(frame), Some(payload)) = (rest.get(..head + length), rest.get(head..head + length)) else {
                break;
            };
            match frame.first().map(|first| first & 0x0F) {
                Some(0x9) => used.pings += 1,
                Some(0x1) => self.look(frame, payload),
                _ => {}
            }
            used.bytes += head + length;
        }
        used
    }

    fn look(&self, frame: &[u8], payload: &[u8]) {
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

/// Returns the size of a frame's head and of its payload, once the head is whole.
fn frame_size(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? {
        126 => Some((4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)))),
        127 => Some((10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?)),
        short => Some((2, usize::from(*short))),
    }
}

/// Returns the place of the last price in a message.
pub fn price_place(message: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = message.windows(LAST.len()).position(|window| window == LAST)? + LAST.len();
    let digits = message.get(start..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(start..start + digits)
}

fn price(message: &[u8]) -> Option<u64> {
    std::str::from_utf8(message.get(price_place(message)?)?).ok()?.parse().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
