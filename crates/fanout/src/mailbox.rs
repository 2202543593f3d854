//! Mailbox of a delivery thread: the way other threads reach it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::service::{Service, Upgraded};
use super::signal::Signal;

/// Mailbox of a thread. Its content is bounded by the guards of [`Upgraded`], if these are permits.
#[derive(Debug)]
pub(super) struct Mailbox<S: Service> {
    pub signal: Arc<Signal>,
    inbox: Mutex<Inbox<S>>,
    /// Number of clients of the thread, those in the inbox included.
    load: AtomicUsize,
}

/// Pending input of a thread.
#[derive(Debug)]
pub(super) struct Inbox<S: Service> {
    pub upgraded: Vec<Upgraded<S>>,
    pub state: RunState,
}

/// Run state requested of a thread, in the order in which states may follow each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RunState {
    /// Serve clients.
    #[default]
    Running,
    /// Close every client with 1012, then end.
    Closing,
    /// End at once.
    Stopping,
    /// The thread has ended.
    Ended,
}

impl<S: Service> Mailbox<S> {
    /// Creates the mailbox of a thread and its poller, in which `token` stands for the mailbox.
    pub fn open(token: mio::Token) -> io::Result<(mio::Poll, Arc<Self>)> {
        let (poll, signal) = Signal::new(token)?;
        let inbox = Mutex::new(Inbox { upgraded: Vec::new(), state: RunState::Running });
        Ok((poll, Arc::new(Self { signal: Arc::new(signal), inbox, load: AtomicUsize::new(0) })))
    }

    /// Hands over a client, or returns it if the thread admits no more.
    pub fn admit(&self, upgraded: Upgraded<S>) -> Result<(), Upgraded<S>> {
        let mut inbox = self.inbox();
        if inbox.state != RunState::Running {
            return Err(upgraded);
        }
        self.load.fetch_add(1, Ordering::Relaxed);
        inbox.upgraded.push(upgraded);
        drop(inbox);
        self.signal.wake();
        Ok(())
    }

    /// Requests a run state; a later state is never replaced by an earlier one.
    pub fn request(&self, state: RunState) {
        let mut inbox = self.inbox();
        inbox.state = inbox.state.max(state);
        if state == RunState::Ended {
            inbox.upgraded.clear();
        }
        drop(inbox);
        self.signal.wake();
    }

    /// Creates a new poller after a failure. `clients` is the number of clients that remain; those in the inbox
    /// are kept.
    pub fn reopen(&self, token: mio::Token, clients: usize) -> io::Result<mio::Poll> {
        self.load.store(clients + self.inbox().upgraded.len(), Ordering::Relaxed);
        self.signal.reopen(token)
    }

    /// Takes the pending input.
    pub fn take_inbox(&self) -> Inbox<S> {
        self.signal.rearm();
        let mut inbox = self.inbox();
        Inbox { upgraded: std::mem::take(&mut inbox.upgraded), state: inbox.state }
    }

    /// Records that a client is gone.
    pub fn client_left(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number of clients.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox<S>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
