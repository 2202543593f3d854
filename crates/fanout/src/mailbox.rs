//! Mailbox of a delivery thread: the way other threads reach it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Service, Upgraded, Watcher};

/// Mailbox of a thread. Its content is bounded: each new client holds an admission permit, and a group is listed at
/// most once.
#[derive(Debug)]
pub(super) struct Mailbox<S: Service> {
    waker: Mutex<mio::Waker>,
    /// Whether the thread was woken since it last took the inbox.
    is_woken: AtomicBool,
    inbox: Mutex<Inbox<S>>,
    /// Number of clients of the thread, those in the inbox included.
    load: AtomicUsize,
}

/// Pending input of a thread.
#[derive(Debug)]
pub(super) struct Inbox<S: Service> {
    pub upgraded: Vec<Upgraded<S>>,
    /// Numbers of the groups with a new frame.
    pub dirty_groups: Vec<u32>,
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

impl<S: Service> Inbox<S> {
    fn new(state: RunState) -> Self {
        Self { upgraded: Vec::new(), dirty_groups: Vec::new(), state }
    }
}

impl<S: Service> Mailbox<S> {
    pub fn new(waker: mio::Waker) -> Self {
        Self {
            waker: Mutex::new(waker),
            is_woken: AtomicBool::new(false),
            inbox: Mutex::new(Inbox::new(RunState::Running)),
            load: AtomicUsize::new(0),
        }
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
        self.wake();
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
        self.wake();
    }

    /// Creates a new poller after a failure. `clients` is the number of clients that remain; those in the inbox
    /// are kept.
    pub fn reopen(&self, token: mio::Token, clients: usize) -> io::Result<mio::Poll> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), token)?;
        *self.waker() = waker;
        let mut inbox = self.inbox();
        inbox.dirty_groups.clear();
        self.load.store(clients + inbox.upgraded.len(), Ordering::Relaxed);
        drop(inbox);
        // Wakes the new poller for input that arrived meanwhile.
        self.is_woken.store(false, Ordering::SeqCst);
        self.wake();
        Ok(poll)
    }

    /// Takes the pending input.
    pub fn take_inbox(&self) -> Inbox<S> {
        // Before the inbox is emptied, so that anything added from now on wakes the thread again.
        self.is_woken.store(false, Ordering::SeqCst);
        let mut inbox = self.inbox();
        let state = inbox.state;
        std::mem::replace(&mut *inbox, Inbox::new(state))
    }

    /// Records that a client is gone.
    pub fn client_left(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number of clients.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::SeqCst) {
            // Fails only if the poller is gone, and then there is no thread to wake.
            let _ = self.waker().wake();
        }
    }

    fn waker(&self) -> MutexGuard<'_, mio::Waker> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox<S>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dirty flag of a group: puts the group into a thread's inbox when it has a new frame, at most once until it
/// is taken.
#[derive(Debug)]
pub(super) struct DirtyFlag<S: Service> {
    mailbox: Arc<Mailbox<S>>,
    group: u32,
    is_set: AtomicBool,
}

impl<S: Service> DirtyFlag<S> {
    pub fn new(mailbox: Arc<Mailbox<S>>, group: u32) -> Self {
        Self { mailbox, group, is_set: AtomicBool::new(false) }
    }

    /// Clears the flag; returns whether it was set.
    pub fn take(&self) -> bool {
        self.is_set.swap(false, Ordering::SeqCst)
    }
}

impl<S: Service> Watcher for DirtyFlag<S> {
    fn changed(&self) {
        if !self.is_set.swap(true, Ordering::SeqCst) {
            self.mailbox.inbox().dirty_groups.push(self.group);
            self.mailbox.wake();
        }
    }
}

/// Creates a poller and the mailbox that wakes it.
pub(super) fn open<S: Service>(token: mio::Token) -> io::Result<(mio::Poll, Arc<Mailbox<S>>)> {
    let poll = mio::Poll::new()?;
    let waker = mio::Waker::new(poll.registry(), token)?;
    Ok((poll, Arc::new(Mailbox::new(waker))))
}
