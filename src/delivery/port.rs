//! How other threads reach a delivery thread.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Newcomer;
use crate::hub::Watcher;

/// The letter box of a thread. What lies in it is bounded: a newcomer has a place among those that may be there, and a
/// group lies in it once.
#[derive(Debug)]
pub(super) struct Port {
    waker: Mutex<mio::Waker>,
    /// Whether it was woken since it last looked.
    is_awake: AtomicBool,
    inbox: Mutex<Inbox>,
    /// Clients that it has or is about to have.
    load: AtomicUsize,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub newcomers: Vec<Newcomer>,
    /// Groups with a new frame.
    pub changed: Vec<u32>,
    pub order: Order,
}

/// What a thread is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    #[default]
    Deliver,
    /// Tell every client to come back later, and end.
    Close,
    /// End at once.
    Drop,
    /// It has ended.
    Ended,
}

impl Port {
    pub fn new(waker: mio::Waker) -> Self {
        Self {
            waker: Mutex::new(waker),
            is_awake: AtomicBool::new(false),
            inbox: Mutex::default(),
            load: AtomicUsize::new(0),
        }
    }

    /// Hands over a client, or gives it back if the thread takes no more.
    pub fn admit(&self, newcomer: Newcomer) -> Result<(), Newcomer> {
        let mut inbox = self.inbox();
        if inbox.order != Order::Deliver {
            return Err(newcomer);
        }
        self.load.fetch_add(1, Ordering::Relaxed);
        inbox.newcomers.push(newcomer);
        drop(inbox);
        self.wake();
        Ok(())
    }

    /// A later order stands over an earlier one.
    pub fn order(&self, order: Order) {
        let mut inbox = self.inbox();
        inbox.order = inbox.order.max(order);
        if order == Order::Ended {
            inbox.newcomers.clear();
        }
        drop(inbox);
        self.wake();
    }

    /// Gives the thread a new poller after the old one failed. `clients` are left of those that it had; those that
    /// wait are kept.
    pub fn reopen(&self, token: mio::Token, clients: usize) -> io::Result<mio::Poll> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), token)?;
        *self.waker() = waker;
        let mut inbox = self.inbox();
        inbox.changed.clear();
        self.load.store(clients + inbox.newcomers.len(), Ordering::Relaxed);
        drop(inbox);
        // Wakes the new poller for what came meanwhile.
        self.is_awake.store(false, Ordering::SeqCst);
        self.wake();
        Ok(poll)
    }

    /// Takes what lies there.
    pub fn take(&self) -> Inbox {
        // First, so that whoever adds to it from now on wakes the thread again.
        self.is_awake.store(false, Ordering::SeqCst);
        let mut inbox = self.inbox();
        let order = inbox.order;
        Inbox { order, ..std::mem::replace(&mut *inbox, Inbox { order, ..Inbox::default() }) }
    }

    pub fn left(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        if !self.is_awake.swap(true, Ordering::SeqCst) {
            // Fails only if the poller is gone, and then nobody is left to wake.
            let _ = self.waker().wake();
        }
    }

    fn waker(&self) -> MutexGuard<'_, mio::Waker> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a group into a thread's letter box when it has a new frame: once, until the thread looks.
#[derive(Debug)]
pub(super) struct Mark {
    port: Arc<Port>,
    group: u32,
    is_set: AtomicBool,
}

impl Mark {
    pub fn new(port: Arc<Port>, group: u32) -> Self {
        Self { port, group, is_set: AtomicBool::new(false) }
    }

    /// Returns whether it was set, and takes it back.
    pub fn take(&self) -> bool {
        self.is_set.swap(false, Ordering::SeqCst)
    }
}

impl Watcher for Mark {
    fn changed(&self) {
        if !self.is_set.swap(true, Ordering::SeqCst) {
            self.port.inbox().changed.push(self.group);
            self.port.wake();
        }
    }
}

/// Makes a poller and the port that wakes it.
pub(super) fn open(token: mio::Token) -> io::Result<(mio::Poll, Arc<Port>)> {
    let poll = mio::Poll::new()?;
    let waker = mio::Waker::new(poll.registry(), token)?;
    Ok((poll, Arc::new(Port::new(waker))))
}
