//! Delivery threads: the sockets of all streams, and the writing of each group's bytes to its members.
//!
//! ```text
//!  web ──a socket, after its upgrade──▶ port ─┐            one poller a thread, no task and no buffer a client
//!  hub ──"this group has a new frame"──▶ port ─┴▶ thread ──one write of shared bytes──▶ each member
//!                                                  ▲──what clients say──▶ Service (web) ──answers──┘
//! ```
//!
//! A client at rest is a struct of some two hundred bytes. One whose socket
//! takes no more keeps the rest of the frame that was begun, and is told the
//! newest rows when it can take them: there is no queue. Knows WebSocket
//! framing, deadlines and groups; what is said, and about which prices, is the
//! matter of [`Service`] and of the hub.

mod beat;
mod client;
mod clients;
mod close;
mod exchange;
mod groups;
mod port;
mod thread;
mod timers;

use std::any::Any;
use std::fmt;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use port::{Order, Port};

pub use close::Close;
pub use exchange::Exchange;

/// How clients are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Number of threads; 0 is one for each core.
    pub threads: usize,
    /// Longest message of a client, in bytes, else 1009.
    pub message_bytes_max: usize,
    /// Most frames of a client in a second, pongs that were asked for aside, else 3013.
    pub messages_per_second_max: u32,
    /// How soon the first subscription must come, else 3502; `None` does not ask for one.
    pub subscribe_within: Option<Duration>,
    /// How often a client is pinged.
    pub ping_every: Duration,
    /// How soon the answer must come, else 3012.
    pub pong_within: Duration,
    /// How long one write may be blocked, else 3008.
    pub write_within: Duration,
    /// How long we wait for the other side to close as well.
    pub close_within: Duration,
    /// What the kernel may hold for a client on its way out, in bytes; it takes twice as much memory at most.
    pub send_buffer_bytes: usize,
}

/// What is said to clients. Called on the delivery threads, so it never waits.
pub trait Service: fmt::Debug + Send + Sync + 'static {
    /// Answers a message.
    ///
    /// # Errors
    /// [`Close`] if the connection must end.
    fn message(&self, exchange: &mut Exchange<'_>, said: Said<'_>) -> Result<(), Close>;

    /// Returns the text before a connection is closed because we end.
    fn farewell(&self) -> Vec<u8>;
}

/// A message of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// A text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// A connection that was upgraded.
pub struct Newcomer {
    /// Its socket, not blocking.
    pub stream: TcpStream,
    /// What was read of it already.
    pub read: Vec<u8>,
    /// Whether its messages may be compressed.
    pub deflate: bool,
    /// Dropped when the client is gone.
    pub guard: Box<dyn Any + Send>,
    /// What it is told first.
    pub begin: Begin,
}

/// Says the first words to a client.
pub type Begin = Box<dyn FnOnce(&mut Exchange<'_>) -> Result<(), Close> + Send>;

impl fmt::Debug for Newcomer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newcomer").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The threads. They end, and every connection with them, when this is dropped.
#[derive(Debug)]
pub struct Delivery {
    ports: Vec<Arc<Port>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    turn: AtomicUsize,
    failed: CancellationToken,
}

impl Delivery {
    /// Starts the threads. Must be called within a tokio runtime: the tasks of groups run there.
    ///
    /// # Errors
    /// If the system gives no poller or no thread.
    pub fn start(settings: &Settings, clock: &Clock, service: &Arc<dyn Service>) -> io::Result<Self> {
        let count = match settings.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            count => count,
        };
        let started = Self {
            ports: Vec::new(),
            threads: Mutex::default(),
            turn: AtomicUsize::new(0),
            failed: CancellationToken::new(),
        };
        (0..count).try_fold(started, |mut started, number| {
            let (port, thread) =
                thread::start(number, settings.clone(), clock.clone(), service.clone(), started.failed.clone())?;
            started.ports.push(port);
            started.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
            Ok(started)
        })
    }

    /// Hands over a client, to the thread with the fewest; if none takes any more, it is told to come back.
    pub fn admit(&self, newcomer: Newcomer) {
        // Equal ones take turns.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.ports.len().max(1);
        let (before, after) = self.ports.split_at(turn.min(self.ports.len()));
        let mut ports: Vec<_> = after.iter().chain(before).collect();
        ports.sort_by_key(|port| port.load());
        let left = ports.into_iter().try_fold(newcomer, |newcomer, port| match port.admit(newcomer) {
            Ok(()) => Err(()),
            Err(newcomer) => Ok(newcomer),
        });
        if let (Ok(newcomer), Some(frame)) = (left, Close::Shutdown.frame()) {
            let _ = (&newcomer.stream).write(&frame);
        }
    }

    /// Waits until a thread has failed for good, which is reason enough to end the process.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Has every client told that we end, and closed; takes no more.
    pub fn close(&self) {
        self.ports.iter().for_each(|port| port.order(Order::Close));
    }

    /// Waits until all threads have ended: after [`Delivery::close`], within its deadlines. Blocks.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.ports.iter().for_each(|port| port.order(Order::Drop));
    }
}
