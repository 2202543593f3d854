//! How other threads wake a delivery thread, and which groups have a new frame for it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::member::Watcher;

/// Wakes a delivery thread, and lists the groups with a new frame; a group is listed at most once.
#[derive(Debug)]
pub(super) struct Signal {
    waker: Mutex<mio::Waker>,
    /// Whether the thread was woken since it was last about to look for input.
    is_woken: AtomicBool,
    /// Numbers of the groups with a new frame.
    dirty_groups: Mutex<Vec<u32>>,
}

impl Signal {
    /// Creates the signal of a thread and its poller, in which `token` stands for the signal.
    pub fn new(token: mio::Token) -> io::Result<(mio::Poll, Self)> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), token)?;
        Ok((poll, Self { waker: Mutex::new(waker), is_woken: AtomicBool::new(false), dirty_groups: Mutex::default() }))
    }

    /// Creates a new poller for a thread that starts again without groups.
    pub fn reopen(&self, token: mio::Token) -> io::Result<mio::Poll> {
        let poll = mio::Poll::new()?;
        *lock(&self.waker) = mio::Waker::new(poll.registry(), token)?;
        lock(&self.dirty_groups).clear();
        // Wakes the new poller for input that arrived meanwhile.
        self.is_woken.store(false, Ordering::SeqCst);
        self.wake();
        Ok(poll)
    }

    /// Wakes the thread, unless it was woken already and has not looked for input since.
    pub fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::SeqCst) {
            // Fails only if the poller is gone, and then there is no thread to wake.
            let _ = lock(&self.waker).wake();
        }
    }

    /// Must be called before the thread looks for input, so that anything added from now on wakes it again.
    pub fn rearm(&self) {
        self.is_woken.store(false, Ordering::SeqCst);
    }

    /// Takes the numbers of the groups with a new frame.
    pub fn take_dirty_groups(&self) -> Vec<u32> {
        std::mem::take(&mut *lock(&self.dirty_groups))
    }
}

/// Dirty flag of a group: lists the group for its thread when it has a new frame, at most once until it is taken.
#[derive(Debug)]
pub(super) struct DirtyFlag {
    signal: Arc<Signal>,
    group: u32,
    is_set: AtomicBool,
}

impl DirtyFlag {
    pub fn new(signal: Arc<Signal>, group: u32) -> Self {
        Self { signal, group, is_set: AtomicBool::new(false) }
    }

    /// Clears the flag; returns whether it was set.
    pub fn take(&self) -> bool {
        self.is_set.swap(false, Ordering::SeqCst)
    }
}

impl Watcher for DirtyFlag {
    fn changed(&self) {
        if !self.is_set.swap(true, Ordering::SeqCst) {
            lock(&self.signal.dirty_groups).push(self.group);
            self.signal.wake();
        }
    }
}

/// Locks a mutex, also after a panic of another thread: no lock is held across code that can leave its data half
/// changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
