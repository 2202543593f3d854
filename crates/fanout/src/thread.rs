//! Event loop of a delivery thread: socket events, mailbox, deadlines.

use std::io::{self, ErrorKind, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::clients::{self, Clients};
use super::close::CloseReason;
use super::context::ClientContext;
use super::groups::Groups;
use super::mailbox::{Mailbox, RunState};
use super::member::Member as _;
use super::service::{ClientMessage, Service, ServiceContext, Settings, Upgraded};
use super::timers::{Millis, Timers, align_ping, millis};
use crate::websocket::{self, Incoming, Inflater, Opcode, ReadOptions};

/// Poller token of the thread's own mailbox.
const MAILBOX: Token = Token(usize::MAX);

/// Maximum number of events per poll.
const EVENTS: usize = 1024;

/// Size of the read buffer that all clients of a thread share.
const BUFFER_BYTES: usize = 16 << 10;

/// Maximum number of consecutive reads of one client, so that a flooding client does not starve the others.
const READS_MAX: usize = 16;

/// A thread that fails more often than this within [`FAILURES_WITHIN`] is not restarted.
const FAILURES_MAX: usize = 3;

/// See [`FAILURES_MAX`].
const FAILURES_WITHIN: Duration = Duration::from_secs(60);

/// Receive buffer of a socket in the kernel.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;

/// A client of the service `S`.
pub(super) type Client<S> = clients::Client<<S as Service>::SubscriptionId>;

/// State of a delivery thread.
pub(super) struct Thread<S: Service> {
    pub(super) settings: Settings,
    service: Arc<S>,
    poll: Poll,
    mailbox: Arc<Mailbox<S>>,
    pub(super) clients: Clients<S::SubscriptionId>,
    pub(super) groups: Groups<S::Member>,
    pub(super) timers: Timers,
    buffer: Box<[u8]>,
    /// Keys of clients with more data to read, continued after the other clients' turn.
    unread: Vec<u32>,
    inflater: Inflater,
    pub(super) now: Millis,
    state: RunState,
}

/// Starts a thread within the current runtime. `failed` is cancelled if the thread fails permanently.
pub(super) fn start<S: Service>(
    number: usize,
    settings: Settings,
    service: Arc<S>,
    failed: CancellationToken,
) -> io::Result<(Arc<Mailbox<S>>, JoinHandle<()>)> {
    let (poll, mailbox) = Mailbox::open(MAILBOX)?;
    let runtime = Handle::current();
    let thread_mailbox = mailbox.clone();
    let handle = std::thread::Builder::new().name(format!("delivery-{number}")).spawn(move || {
        let _runtime = runtime.enter();
        let new = |poll| Thread::new(settings.clone(), service.clone(), poll, thread_mailbox.clone());
        if let Err(error) = supervise(number, poll, &thread_mailbox, new, || service.now()) {
            error!(thread = number, %error, "delivery thread can't be restarted; the server stops");
            failed.cancel();
        }
        thread_mailbox.request(RunState::Ended);
    })?;
    Ok((mailbox, handle))
}

/// Runs a thread until it is asked to end. After a failure its clients are closed, and it restarts with a new
/// poller.
///
/// # Errors
/// Fails if the thread failed too often, or if a new poller can't be created.
fn supervise<S: Service>(
    number: usize,
    poll: Poll,
    mailbox: &Mailbox<S>,
    new: impl Fn(Poll) -> Thread<S>,
    now: impl Fn() -> Duration,
) -> io::Result<()> {
    let mut failures = Vec::new();
    let mut thread = new(poll);
    loop {
        let ended = catch_unwind(AssertUnwindSafe(|| thread.run()));
        let reason = match ended {
            Ok(Ok(())) if thread.state >= RunState::Closing => return Ok(()),
            Ok(Ok(())) => "returned unexpectedly".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "panic".to_owned(),
        };
        let clients = thread.clients.drain();
        let count = clients.len();
        // State that a panic left inconsistent may panic again while it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(thread)));
        error!(
            thread = number,
            reason,
            clients = count,
            "delivery thread failed; its clients are closed with code 3011"
        );
        let now = now();
        failures.retain(|at| now.saturating_sub(*at) < FAILURES_WITHIN);
        failures.push(now);
        if failures.len() > FAILURES_MAX {
            return Err(io::Error::other(format!("failed {} times within a minute", failures.len())));
        }
        thread = new(mailbox.reopen(MAILBOX, count)?);
        clients.into_iter().for_each(|client| thread.close_after_failure(client));
    }
}

impl<S: Service> Thread<S> {
    fn new(settings: Settings, service: Arc<S>, poll: Poll, mailbox: Arc<Mailbox<S>>) -> Self {
        Self {
            settings,
            now: millis(service.now()),
            service,
            poll,
            groups: Groups::new(mailbox.signal.clone()),
            mailbox,
            clients: Clients::default(),
            timers: Timers::default(),
            buffer: vec![0; BUFFER_BYTES].into(),
            unread: Vec::new(),
            inflater: Inflater::default(),
            state: RunState::Running,
        }
    }

    /// Takes over a client of the failed thread in order to close it with 3011.
    fn close_after_failure(&mut self, client: Client<S>) {
        let mut client = client.without_subscriptions();
        let key = self.clients.reserve();
        if self.register(key, &mut client.stream).is_err() {
            return self.disconnect(key, client, true);
        }
        self.start_close(key, client, CloseReason::ComponentFailed);
    }

    fn register(&self, key: u32, stream: &mut mio::net::TcpStream) -> io::Result<()> {
        self.poll.registry().register(stream, self.clients.token(key), Interest::READABLE | Interest::WRITABLE)
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while self.state < RunState::Closing || (self.state == RunState::Closing && !self.clients.is_empty()) {
            let wait = match self.timers.next() {
                _ if !self.unread.is_empty() => Some(Duration::ZERO),
                next => next.map(|at| Duration::from_millis(at.saturating_sub(self.now).max(1))),
            };
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error);
            }
            if !self.service.on_wake() {
                return Ok(());
            }
            self.update_now();
            for key in std::mem::take(&mut self.unread) {
                self.resume_reading(key);
            }
            for event in &events {
                if let Some(key) = self.clients.key(event.token()) {
                    self.handle_event(key, event);
                }
            }
            if events.iter().any(|event| event.token() == MAILBOX) {
                self.handle_mailbox();
            }
            self.update_now();
            while let Some((at, key)) = self.timers.pop_due(self.now) {
                self.handle_deadline(key, at);
            }
        }
        Ok(())
    }

    pub(super) fn update_now(&mut self) {
        self.now = millis(self.service.now());
    }

    fn handle_mailbox(&mut self) {
        let inbox = self.mailbox.take_inbox();
        for upgraded in inbox.upgraded {
            self.admit(upgraded);
        }
        for group in self.mailbox.signal.take_dirty_groups() {
            self.update_now();
            self.broadcast(group);
        }
        if inbox.state > self.state {
            self.state = inbox.state;
            if self.state == RunState::Closing {
                for key in self.clients.keys() {
                    if let Some(client) = self.clients.take(key) {
                        self.put_back_or_close(key, client, Err(CloseReason::Shutdown));
                    }
                }
            }
        }
    }

    fn admit(&mut self, upgraded: Upgraded<S>) {
        let Upgraded { stream, buffered, deflate, guard, on_connect } = upgraded;
        let socket = socket2::SockRef::from(&stream);
        // Kernel buffers are part of a client's memory. Where they can't be set, the kernel's defaults apply.
        let _ = socket.set_send_buffer_size(self.settings.send_buffer_bytes);
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        // The kernel's timeout would end a stream without a close frame; our own deadline sends one.
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(None);
        let mut stream = mio::net::TcpStream::from_std(stream);
        let key = self.clients.reserve();
        if let Err(error) = self.register(key, &mut stream) {
            warn!(%error, "registering a client's socket with the poller failed; client disconnected");
            self.clients.release(key);
            self.mailbox.client_left();
            return;
        }
        let mut client = Client::<S>::new(stream, guard, deflate);
        if let Some(within) = self.settings.subscribe_within {
            client.subscribe_by = self.now + millis(within);
        }
        // Randomised, so that clients that connected together are not pinged together.
        let first = rand::random_range(1..=millis(self.settings.ping_every).max(1));
        client.ping_at = align_ping(self.now + first);
        let mut result = self.call(key, &mut client, on_connect);
        if result.is_ok() && !buffered.is_empty() {
            result = self.process(key, &mut client, &buffered);
        }
        self.put_back_or_close(key, client, result);
    }

    fn handle_event(&mut self, key: u32, event: &mio::event::Event) {
        let Some(mut client) = self.clients.take(key) else { return };
        client.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        let mut result = Ok(());
        if event.is_writable() && client.blocked_since.is_some() {
            result = self.unblock(key, &mut client);
        }
        if client.blocked_since.is_some() && event.is_read_closed() {
            // The client neither reads nor writes any more.
            result = Err(CloseReason::ConnectionLost);
        }
        let result = result.and_then(|()| self.read(key, &mut client));
        self.put_back_or_close(key, client, result);
    }

    fn resume_reading(&mut self, key: u32) {
        let Some(mut client) = self.clients.take(key) else { return };
        let result = self.read(key, &mut client);
        self.put_back_or_close(key, client, result);
    }

    /// Writes the queued bytes and then the newest state of each subscription.
    fn unblock(&mut self, key: u32, client: &mut Client<S>) -> Result<(), CloseReason> {
        if !client.flush(self.now)? {
            return Ok(());
        }
        client.unblock(self.now);
        if client.closing_by.is_some() {
            return Ok(());
        }
        if client.awaits_revision {
            self.revise(key, client)?;
        }
        for at in 0..client.subscriptions.len() {
            let Some((group, position)) = client.subscriptions.get(at).map(|one| (one.group, one.position)) else {
                continue;
            };
            let Some(subscriber) = self.groups.subscriber_mut(group, position) else { continue };
            let update = subscriber.member.update_since(subscriber.sequence, client.deflate);
            let Some((sequence, frames)) = update else { continue };
            if self.groups.get_mut(group).is_some_and(|group| group.new_revision().is_some()) {
                // The group's watchers are called for the revision; the update follows.
                continue;
            }
            let Some(subscriber) = self.groups.subscriber_mut(group, position) else { continue };
            if sequence > subscriber.sequence
                && client.offer(&frames, self.now)? == super::clients::OfferResult::Accepted
            {
                subscriber.sequence = sequence;
            }
        }
        Ok(())
    }

    /// Lets the service replace the subscriptions of a client after a revision; later, if the client is blocked, so
    /// that nothing is queued.
    pub(super) fn revise(&mut self, key: u32, client: &mut Client<S>) -> Result<(), CloseReason> {
        client.awaits_revision = client.blocked_since.is_some();
        if client.awaits_revision {
            return Ok(());
        }
        let service = self.service.clone();
        self.call(key, client, |context| service.on_revision(context))
    }

    /// Reads available data, unless the client is blocked and replies would have to be queued.
    fn read(&mut self, key: u32, client: &mut Client<S>) -> Result<(), CloseReason> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read_into(&mut buffer, key, client);
        self.buffer = buffer;
        result
    }

    fn read_into(&mut self, buffer: &mut [u8], key: u32, client: &mut Client<S>) -> Result<(), CloseReason> {
        if !client.inbound.is_empty() && client.blocked_since.is_none() {
            // Complete messages may have been held back while the client was blocked.
            self.process(key, client, &[])?;
        }
        for _ in 0..READS_MAX {
            if !client.is_readable || (client.blocked_since.is_some() && client.closing_by.is_none()) {
                return Ok(());
            }
            match client.stream.read(buffer) {
                Ok(0) => return Err(CloseReason::ConnectionLost),
                Ok(count) => {
                    // A short read drained the socket; later data raises a new event.
                    client.is_readable = count == buffer.len();
                    self.process(key, client, buffer.get(..count).unwrap_or_default())?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => client.is_readable = false,
                Err(error) => return Err(error.into()),
            }
        }
        if client.closing_by.is_some() {
            // The client keeps flooding us after our close frame.
            return Err(CloseReason::TooManyMessages);
        }
        self.unread.push(key);
        Ok(())
    }

    /// Processes received bytes frame by frame.
    fn process(&mut self, key: u32, client: &mut Client<S>, read: &[u8]) -> Result<(), CloseReason> {
        if client.ignores_input {
            return Ok(());
        }
        let bytes = client.inbound.with_held(read);
        let options = ReadOptions { message_bytes_max: self.settings.message_bytes_max, deflate: client.deflate };
        let mut at = 0;
        while client.blocked_since.is_none() || client.closing_by.is_some() {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some((length, incoming)) = client.inbound.read_frame(rest, options, &mut self.inflater)? else { break };
            at += length;
            self.handle_frame(key, client, incoming)?;
        }
        client.inbound.hold(bytes.get(at..).unwrap_or_default());
        Ok(())
    }

    fn handle_frame(&mut self, key: u32, client: &mut Client<S>, incoming: Incoming) -> Result<(), CloseReason> {
        match incoming {
            Incoming::Close(code) => {
                client.has_closed = true;
                return Err(CloseReason::ClosedByClient(code));
            }
            _ if client.closing_by.is_some() => return Ok(()),
            Incoming::Pong if client.pong_by.take().is_some() => return Ok(()),
            _ => {}
        }
        if client.exceeds_message_rate(self.now, self.settings.messages_per_second_max) {
            return Err(CloseReason::TooManyMessages);
        }
        match incoming {
            Incoming::Ping(payload) => {
                client.send([websocket::control_frame(Opcode::Pong, &payload).into()], self.now)?;
                Ok(())
            }
            Incoming::Text(text) => {
                let service = self.service.clone();
                self.call(key, client, |context| service.on_message(context, ClientMessage::Text(&text)))
            }
            Incoming::Binary(bytes) => {
                let service = self.service.clone();
                self.call(key, client, |context| service.on_message(context, ClientMessage::Binary(&bytes)))
            }
            Incoming::Fragment | Incoming::Pong | Incoming::Close(_) => Ok(()),
        }
    }

    /// Runs a callback of the service for a client and writes its messages. A panic only closes this client.
    fn call(
        &mut self,
        key: u32,
        client: &mut Client<S>,
        callback: impl FnOnce(&mut ServiceContext<'_, S>) -> Result<(), CloseReason>,
    ) -> Result<(), CloseReason> {
        let Self { clients, groups, .. } = self;
        let mut context = ClientContext { key, client, clients, groups, outgoing: Vec::new() };
        let result =
            catch_unwind(AssertUnwindSafe(|| callback(&mut context))).unwrap_or(Err(CloseReason::HandlerFailed));
        let parts = std::mem::take(&mut context.outgoing);
        client.send(parts, self.now)?;
        result
    }

    /// Puts a client back into the slab, or starts or finishes closing it, depending on `result`.
    pub(super) fn put_back_or_close(&mut self, key: u32, mut client: Client<S>, result: Result<(), CloseReason>) {
        match result {
            Ok(()) => {
                self.arm(key, &mut client);
                self.clients.put(key, client);
            }
            Err(close) if client.closing_by.is_none() => self.start_close(key, client, close),
            // Already closing: the client has closed as well, or has violated the protocol.
            Err(CloseReason::ClosedByClient(_) | CloseReason::ConnectionLost) if !client.has_unsent() => {
                self.disconnect(key, client, false)
            }
            Err(CloseReason::ConnectionLost | CloseReason::TooManyMessages) => self.disconnect(key, client, true),
            Err(_) => {
                client.ignores_input = true;
                self.clients.put(key, client);
            }
        }
    }

    fn start_close(&mut self, key: u32, mut client: Client<S>, close: CloseReason) {
        self.groups.unsubscribe_all(&mut client, &mut self.clients);
        let (code, reason) = close.code_and_reason();
        debug!(code, reason, "stream closed");
        let by_client = matches!(close, CloseReason::ClosedByClient(_) | CloseReason::ConnectionLost);
        self.service.on_close(code, by_client);
        let Some(frame) = close.frame() else { return self.disconnect(key, client, false) };
        let mut parts = Vec::new();
        if close == CloseReason::Shutdown {
            let mut message = Vec::new();
            websocket::write_text_frame(&mut message, &self.service.closing_message(), client.deflate);
            parts.push(message.into());
        }
        parts.push(frame.into());
        client.closing_by = Some(self.now + millis(self.settings.close_within));
        client.ignores_input = matches!(close, CloseReason::Protocol | CloseReason::TooLong | CloseReason::NotUtf8);
        let sent = client.send(parts, self.now);
        if sent.is_err() || (client.has_closed && !client.has_unsent()) {
            return self.disconnect(key, client, false);
        }
        if client.ignores_input && !client.has_unsent() {
            // Nothing more is sent after a protocol violation. Reading goes on, since closing a socket with unread
            // data would make the kernel discard our close frame.
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
        }
        self.arm(key, &mut client);
        self.clients.put(key, client);
    }

    /// Disconnects a client and frees its key; `abort` also discards what the kernel still holds for it.
    pub(super) fn disconnect(&mut self, key: u32, mut client: Client<S>, abort: bool) {
        self.groups.unsubscribe_all(&mut client, &mut self.clients);
        let _ = self.poll.registry().deregister(&mut client.stream);
        if abort {
            let _ = socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO));
        } else {
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
        }
        drop(client);
        self.clients.release(key);
        self.mailbox.client_left();
    }
}
