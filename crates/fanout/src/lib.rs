//! WebSocket fan-out to many clients that subscribe to few streams of updates.
//!
//! A few threads own the sockets of all clients. Each update of a group is encoded once, WebSocket header included,
//! and every member gets it in one write of the shared bytes.
//!
//! ```text
//!  upgraded socket ────▶ mailbox ─┐      one poller per thread, no task and no buffer per client
//!  group has a frame ──▶ mailbox ─┴▶ thread ──one write of shared bytes──▶ each member
//!                                      ▲──client messages──▶ Service ──replies──┘
//! ```
//!
//! An idle client is a struct of about 200 bytes. When a socket is full, the rest of the started frame is kept,
//! and the client gets the newest state once the socket is writable again: there is no queue. A thread that fails
//! is replaced, and its clients are closed with a code that makes them reconnect.
//!
//! This crate handles WebSocket framing ([`websocket`]), deadlines and groups. The content of messages is up to a
//! [`Service`], the content of updates to a [`Member`]; the HTTP upgrade is the caller's. `examples/echo.rs` is a
//! complete server.

pub mod websocket;

mod broadcast;
mod client;
mod clients;
mod close;
mod context;
mod groups;
mod mailbox;
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

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use mailbox::{Mailbox, RunState};

pub use close::CloseReason;
pub use context::ClientContext;

/// Limits and timeouts of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Number of threads; 0 means one per core.
    pub threads: usize,
    /// Maximum length of a client's message in bytes; beyond it the client is closed with 1009.
    pub message_bytes_max: usize,
    /// Maximum number of frames per client and second, not counting replies to our pings; beyond it 3013.
    pub messages_per_second_max: u32,
    /// Time within which a client must subscribe, else 3502; `None` requires no subscription.
    pub subscribe_within: Option<Duration>,
    /// Interval between pings of a client.
    pub ping_every: Duration,
    /// Time within which a pong must arrive, else 3012.
    pub pong_within: Duration,
    /// Time for which a write may be blocked, else 3008.
    pub write_within: Duration,
    /// Time to wait for the client's close frame after ours.
    pub close_within: Duration,
    /// Send buffer of a socket in the kernel, in bytes; the kernel uses at most twice as much memory.
    pub send_buffer_bytes: usize,
}

/// What a server does with its clients. Called on the delivery threads, so nothing here may block.
pub trait Service: fmt::Debug + Send + Sync + Sized + 'static {
    /// Identifies a subscription of one client.
    type SubscriptionId: fmt::Debug + PartialEq + Send;

    /// Membership of a client in a group.
    type Member: Member;

    /// Handles a message of a client.
    ///
    /// # Errors
    /// Returns [`CloseReason`] if the connection must be closed.
    fn on_message(&self, context: &mut ClientContext<'_, Self>, message: ClientMessage<'_>) -> Result<(), CloseReason>;

    /// Returns the last text message of a connection that is closed because the server shuts down.
    fn closing_message(&self) -> Vec<u8>;

    /// Returns the monotonic time that deadlines are measured with. It should include the time that the machine
    /// sleeps.
    fn now(&self) -> Duration;

    /// Called when a connection is closed with `code`, by the client or by the server. As in the browser API, 1006
    /// stands for a lost connection and 1005 for a close frame without a code.
    fn on_close(&self, code: u16, by_client: bool) {
        let _ = (code, by_client);
    }

    /// Called each time that a thread wakes up. Returns whether the thread goes on; if not, it counts as failed and
    /// is replaced. Lets tests end a thread.
    fn on_wake(&self) -> bool {
        true
    }
}

/// Membership of a client in a group, whose members get the same bytes. Dropping it leaves the group.
pub trait Member: fmt::Debug + Send + 'static {
    /// Returns a number that identifies the group as long as it has members.
    fn group(&self) -> usize;

    /// Returns the frames for a member at sequence `seen` and its new sequence; `None` if there are none.
    ///
    /// The frames are complete WebSocket frames, with compressed messages if `deflate`. A member that fell behind
    /// gets the newest state, however far behind it is.
    fn update_since(&self, seen: u64, deflate: bool) -> Option<(u64, Bytes)>;

    /// Returns whether the group has failed: no more updates follow, and its members are closed with 3011.
    fn has_failed(&self) -> bool;

    /// Registers a callback for new frames of the group until `watcher` is dropped.
    fn add_watcher(&self, watcher: &Arc<dyn Watcher>);
}

/// Callback for new frames of a group. Called without holding any lock that a [`Member`] needs.
pub trait Watcher: fmt::Debug + Send + Sync {
    /// Called when the group has a new frame or has failed.
    fn changed(&self);
}

/// A message from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientMessage<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

/// A connection upgraded to WebSocket.
pub struct Upgraded<S: Service> {
    /// The socket, in non-blocking mode.
    pub stream: TcpStream,
    /// Bytes already read from the socket.
    pub buffered: Vec<u8>,
    /// Whether permessage-deflate was negotiated.
    pub deflate: bool,
    /// Admission permit, dropped when the client is gone.
    pub guard: Box<dyn Any + Send>,
    /// Called once on the delivery thread before any input is handled.
    pub on_connect: OnConnect<S>,
}

/// Callback that greets a new client.
pub type OnConnect<S> = Box<dyn FnOnce(&mut ClientContext<'_, S>) -> Result<(), CloseReason> + Send>;

impl<S: Service> fmt::Debug for Upgraded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Handle of the delivery threads. Dropping it ends the threads and closes their connections.
#[derive(Debug)]
pub struct Delivery<S: Service> {
    mailboxes: Vec<Arc<Mailbox<S>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    next_thread: AtomicUsize,
    failed: CancellationToken,
}

impl<S: Service> Delivery<S> {
    /// Starts the threads. Must be called within a tokio runtime, in whose context the service is called.
    ///
    /// # Errors
    /// Fails if a poller or a thread can't be created.
    pub fn start(settings: &Settings, service: S) -> io::Result<Self> {
        let count = match settings.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            count => count,
        };
        let service = Arc::new(service);
        let started = Self {
            mailboxes: Vec::new(),
            threads: Mutex::default(),
            next_thread: AtomicUsize::new(0),
            failed: CancellationToken::new(),
        };
        (0..count).try_fold(started, |mut started, number| {
            let (mailbox, thread) = thread::start(number, settings.clone(), service.clone(), started.failed.clone())?;
            started.mailboxes.push(mailbox);
            started.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
            Ok(started)
        })
    }

    /// Hands a client to the thread with the fewest clients. If all threads are closing, the client is closed
    /// with 1012.
    pub fn admit(&self, upgraded: Upgraded<S>) {
        // Round-robin between threads with equally many clients.
        let first = self.next_thread.fetch_add(1, Ordering::Relaxed) % self.mailboxes.len().max(1);
        let (before, after) = self.mailboxes.split_at(first.min(self.mailboxes.len()));
        let mut mailboxes: Vec<_> = after.iter().chain(before).collect();
        mailboxes.sort_by_key(|mailbox| mailbox.load());
        let unplaced = mailboxes.into_iter().try_fold(upgraded, |upgraded, mailbox| match mailbox.admit(upgraded) {
            Ok(()) => Err(()),
            Err(upgraded) => Ok(upgraded),
        });
        if let (Ok(upgraded), Some(frame)) = (unplaced, CloseReason::Shutdown.frame()) {
            let _ = (&upgraded.stream).write(&frame);
        }
    }

    /// Waits until a thread has failed permanently; the process should exit then.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Closes every client with 1012 and admits no more.
    pub fn close(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.request(RunState::Closing));
    }

    /// Blocks until all threads have ended: after [`Delivery::close`], within the deadlines for closing.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl<S: Service> Drop for Delivery<S> {
    fn drop(&mut self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.request(RunState::Stopping));
    }
}
