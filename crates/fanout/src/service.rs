//! What a server does with its clients, and the settings of their connections.

use std::any::Any;
use std::fmt;
use std::net::TcpStream;
use std::time::Duration;

use super::close::CloseReason;
use super::context::ClientContext;
use super::member::Member;

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
    fn on_message(&self, context: &mut ServiceContext<'_, Self>, message: ClientMessage<'_>)
    -> Result<(), CloseReason>;

    /// Called for each client of a group whose [`Member::revision`] has risen: replaces the subscriptions that now
    /// stand for another group. Called at least once; a call when nothing has changed must do nothing.
    ///
    /// # Errors
    /// Returns [`CloseReason`] if the connection must be closed.
    fn on_revision(&self, context: &mut ServiceContext<'_, Self>) -> Result<(), CloseReason> {
        let _ = context;
        Ok(())
    }

    /// Returns the last text message of a connection that is closed because the server shuts down.
    fn closing_message(&self) -> Vec<u8>;

    /// Returns the monotonic time that deadlines are measured with. It should include the time that the machine
    /// sleeps.
    fn now(&self) -> Duration;

    /// Called when the connection of an admitted client is closed with `code`, by the client or by the server. As in
    /// the browser API, 1006 stands for a lost connection and 1005 for a close frame without a code.
    fn on_close(&self, code: u16, by_client: bool) {
        let _ = (code, by_client);
    }

    /// Called each time that a thread wakes up. Returns whether the thread goes on; if not, it counts as failed and
    /// is replaced. Lets tests end a thread.
    fn on_wake(&self) -> bool {
        true
    }
}

/// Context of a client of the service `S`.
pub type ServiceContext<'a, S> = ClientContext<'a, <S as Service>::SubscriptionId, <S as Service>::Member>;

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
pub type OnConnect<S> = Box<dyn FnOnce(&mut ServiceContext<'_, S>) -> Result<(), CloseReason> + Send>;

impl<S: Service> fmt::Debug for Upgraded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("stream", &self.stream).finish_non_exhaustive()
    }
}
