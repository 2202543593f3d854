//! The delivery threads as their owner sees them.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::close::CloseReason;
use super::mailbox::{Mailbox, RunState};
use super::service::{Service, Settings, Upgraded};
use super::thread;

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
