//! Delivery threads: they own the sockets of all WebSocket streams and write each group's shared frames to its
//! members.
//!
//! ```text
//!  web ──upgraded socket────▶ mailbox ─┐      one poller per thread, no task and no buffer per client
//!  hub ──group has a frame──▶ mailbox ─┴▶ thread ──one write of shared bytes──▶ each member
//!                                            ▲──client messages──▶ Service (web) ──replies──┘
//! ```
//!
//! An idle client is a struct of about 200 bytes. When a socket is full, the rest of the started frame is kept,
//! and the client gets the newest rows once the socket is writable again: there is no queue. This module
//! handles WebSocket framing, deadlines and groups; the content of messages is up to [`Service`] and the hub.

mod broadcast;
mod client;
mod client_context;
mod clients;
mod close;
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

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use mailbox::{Mailbox, RunState};

pub use client_context::ClientContext;
pub use close::CloseReason;

/// Limits and timeouts of stream clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySettings {
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

/// Handler of client messages. Called on the delivery threads, so it must not block.
pub trait Service: fmt::Debug + Send + Sync + 'static {
    /// Handles a message of a client.
    ///
    /// # Errors
    /// Returns [`CloseReason`] if the connection must be closed.
    fn on_message(&self, context: &mut ClientContext<'_>, message: ClientMessage<'_>) -> Result<(), CloseReason>;

    /// Returns the last text message of a connection that is closed because the server shuts down.
    fn closing_message(&self) -> Vec<u8>;
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
pub struct Upgraded {
    /// The socket, in non-blocking mode.
    pub stream: TcpStream,
    /// Bytes already read from the socket.
    pub buffered: Vec<u8>,
    /// Whether permessage-deflate was negotiated.
    pub deflate: bool,
    /// Admission permit, dropped when the client is gone.
    pub guard: Box<dyn Any + Send>,
    /// Called once on the delivery thread before any input is handled.
    pub on_connect: OnConnect,
}

/// Callback that greets a new client.
pub type OnConnect = Box<dyn FnOnce(&mut ClientContext<'_>) -> Result<(), CloseReason> + Send>;

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Handle of the delivery threads. Dropping it ends the threads and closes their connections.
#[derive(Debug)]
pub struct Delivery {
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    next_thread: AtomicUsize,
    failed: CancellationToken,
}

impl Delivery {
    /// Starts the threads. Must be called within a tokio runtime, on which the groups' tasks are spawned.
    ///
    /// # Errors
    /// Fails if a poller or a thread can't be created.
    pub fn start(settings: &DeliverySettings, clock: &Clock, service: &Arc<dyn Service>) -> io::Result<Self> {
        let count = match settings.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            count => count,
        };
        let started = Self {
            mailboxes: Vec::new(),
            threads: Mutex::default(),
            next_thread: AtomicUsize::new(0),
            failed: CancellationToken::new(),
        };
        (0..count).try_fold(started, |mut started, number| {
            let (mailbox, thread) =
                thread::start(number, settings.clone(), clock.clone(), service.clone(), started.failed.clone())?;
            started.mailboxes.push(mailbox);
            started.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
            Ok(started)
        })
    }

    /// Hands a client to the thread with the fewest clients. If all threads are closing, the client is closed
    /// with 1012.
    pub fn admit(&self, upgraded: Upgraded) {
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

impl Drop for Delivery {
    fn drop(&mut self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.request(RunState::Stopping));
    }
}
