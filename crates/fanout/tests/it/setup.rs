//! A server with one group, and a client that sends exactly the bytes that a test wants.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanout::websocket::{self, Opcode};
use fanout::{ClientMessage, CloseReason, Delivery, Member, Service, ServiceContext, Settings, Upgraded, Watcher};
use socket2::{Domain, Socket, Type};

/// Marks the last frame of a message.
pub const FIN: u8 = 0x80;

/// Marks a compressed message.
pub const RSV1: u8 = 0x40;

/// Timeout of every wait, long enough for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Group whose frames are its newest text.
#[derive(Debug, Default)]
pub struct Group {
    newest: Mutex<(u64, String)>,
    watchers: Mutex<Vec<Weak<dyn Watcher>>>,
    failed: AtomicBool,
    revision: AtomicU64,
}

impl Group {
    pub fn publish(&self, text: impl Into<String>) {
        {
            let mut newest = self.newest.lock().unwrap();
            *newest = (newest.0 + 1, text.into());
        }
        self.notify();
    }

    /// Publishes a text of the next revision.
    pub fn revise(&self, text: impl Into<String>) {
        self.revision.fetch_add(1, Ordering::SeqCst);
        self.publish(text);
    }

    pub fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.notify();
    }

    fn notify(&self) {
        let watchers = self.watchers.lock().unwrap().clone();
        watchers.iter().filter_map(Weak::upgrade).for_each(|watcher| watcher.changed());
    }
}

#[derive(Debug)]
pub struct Membership(Arc<Group>);

impl Member for Membership {
    fn group(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn update_since(&self, seen: u64, deflate: bool) -> Option<(u64, Bytes)> {
        let (sequence, text) = &*self.0.newest.lock().unwrap();
        let mut frame = Vec::new();
        websocket::write_text_frame(&mut frame, text.as_bytes(), deflate);
        (*sequence > seen).then(|| (*sequence, frame.into()))
    }

    fn has_failed(&self) -> bool {
        self.0.failed.load(Ordering::SeqCst)
    }

    fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::SeqCst)
    }

    fn add_watcher(&self, watcher: &Arc<dyn Watcher>) {
        self.0.watchers.lock().unwrap().push(Arc::downgrade(watcher));
    }
}

/// State that a test shares with its [`TestService`].
#[derive(Debug, Default)]
pub struct Shared {
    pub group: Arc<Group>,
    /// Ends a thread once.
    pub end_thread: AtomicBool,
    pub closes: Mutex<Vec<(u16, bool)>>,
}

/// Subscribes on `subscribe ID` and unsubscribes on `unsubscribe ID`, panics on `panic`, closes with 4000 on `close`,
/// and echoes everything else.
#[derive(Debug)]
pub struct TestService(Arc<Shared>, Instant);

impl Service for TestService {
    type SubscriptionId = String;
    type Member = Membership;

    fn on_message(
        &self,
        context: &mut ServiceContext<'_, Self>,
        message: ClientMessage<'_>,
    ) -> Result<(), CloseReason> {
        let text = match message {
            ClientMessage::Text(text) => text,
            ClientMessage::Binary(bytes) => {
                context.send_binary(bytes);
                return Ok(());
            }
        };
        match text.split_once(' ') {
            Some(("subscribe", id)) => {
                let member = Membership(self.0.group.clone());
                let sequence = self.0.group.newest.lock().unwrap().0;
                let mut frame = Vec::new();
                websocket::write_text_frame(&mut frame, format!("subscribed {id}").as_bytes(), false);
                context.subscribe(id.to_owned(), member, sequence, [frame.into()]);
            }
            Some(("unsubscribe", id)) => {
                context.unsubscribe(&id.to_owned());
                context.send(format!("{} left", context.subscriptions().count()).as_bytes());
            }
            _ if text == "panic" => panic!("a handler that fails"),
            _ if text == "close" => return Err(CloseReason::Service(4000, "as requested")),
            _ => context.send(text.as_bytes()),
        }
        Ok(())
    }

    fn on_revision(&self, context: &mut ServiceContext<'_, Self>) -> Result<(), CloseReason> {
        let revision = self.0.group.revision.load(Ordering::SeqCst);
        let ids: Vec<String> = context.subscriptions().map(|(id, _)| id.clone()).collect();
        context.send(format!("revision {revision} of {}", ids.join(",")).as_bytes());
        Ok(())
    }

    fn closing_message(&self) -> Vec<u8> {
        b"bye".to_vec()
    }

    fn now(&self) -> Duration {
        self.1.elapsed()
    }

    fn on_close(&self, code: u16, by_client: bool) {
        self.0.closes.lock().unwrap().push((code, by_client));
    }

    fn on_wake(&self) -> bool {
        !self.0.end_thread.swap(false, Ordering::SeqCst)
    }
}

/// A server that accepts connections until the test ends.
pub struct Server {
    pub address: std::net::SocketAddr,
    pub shared: Arc<Shared>,
    pub delivery: Arc<Delivery<TestService>>,
    _runtime: tokio::runtime::Runtime,
}

/// Settings whose deadlines no test reaches by accident.
pub fn settings() -> Settings {
    Settings {
        threads: 1,
        message_bytes_max: 4096,
        messages_per_second_max: 1000,
        subscribe_within: None,
        ping_every: Duration::from_secs(3600),
        pong_within: DEADLINE,
        write_within: DEADLINE,
        close_within: DEADLINE,
        send_buffer_bytes: 16 << 10,
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of the test's server")]
pub fn serve(settings: Settings) -> Server {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let shared = Arc::new(Shared::default());
    let delivery = {
        let _context = runtime.enter();
        Arc::new(Delivery::start(&settings, TestService(shared.clone(), Instant::now())).unwrap())
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = delivery.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = upgrade(&accepting, stream);
        }
    });
    Server { address, shared, delivery, _runtime: runtime }
}

/// Answers an upgrade request, which the tests send without the headers that this server does not need.
fn upgrade(delivery: &Delivery<TestService>, stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let buffered = reader.buffer().to_vec();
    (&stream).write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let deflate = head.contains("permessage-deflate");
    delivery.admit(Upgraded { stream, buffered, deflate, guard: Box::new(()), on_connect: Box::new(|_| Ok(())) });
    Ok(())
}

pub struct Client {
    pub tcp: TcpStream,
    read: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With a close frame, and its code if there was one.
    Close(Option<u16>),
    /// Without a close frame.
    Cut,
}

impl Client {
    pub fn connect(server: &Server) -> Self {
        Self::connect_with(server, "")
    }

    /// Connects with additional headers.
    pub fn connect_with(server: &Server, headers: &str) -> Self {
        Self::upgrade(TcpStream::connect(server.address).unwrap(), headers)
    }

    /// Connects with a small receive buffer. One whose size is not set grows while the client does not read, so that it
    /// is not blocked for a moment.
    pub fn connect_with_small_buffer(server: &Server) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        socket.connect(&server.address.into()).unwrap();
        Self::upgrade(socket.into(), "")
    }

    fn upgrade(tcp: TcpStream, headers: &str) -> Self {
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Self { tcp, read: Vec::new() };
        client.write(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes());
        while !client.read.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.tcp.read_exact(&mut byte).unwrap();
            client.read.extend(byte);
        }
        client.read.clear();
        client
    }

    pub fn write(&mut self, bytes: &[u8]) {
        // Writing may fail if the server has closed the connection.
        let _ = self.tcp.write_all(bytes);
    }

    pub fn send(&mut self, text: &str) {
        self.write(&frame(FIN | Opcode::Text as u8, text.as_bytes()));
    }

    /// Reads the next frame: its first byte and its payload; `None` at the end.
    pub fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((first, payload, length)) = parse(&self.read) {
                self.read.drain(..length);
                return Some((first, payload));
            }
            let mut buffer = [0; 16 << 10];
            match self.tcp.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.read.extend(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no frame in time: {error}"),
            }
        }
    }

    /// Reads the next message, which must be uncompressed text.
    pub fn text(&mut self) -> String {
        let (first, payload) = self.frame().expect("a message, not the end");
        assert_eq!(first, FIN | Opcode::Text as u8, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// Reads to the end of the connection, and answers a close frame.
    pub fn end(&mut self) -> End {
        let mut end = End::Cut;
        while let Some((first, payload)) = self.frame() {
            if first == FIN | Opcode::Close as u8 {
                end = End::Close(payload.get(..2).map(|code| u16::from_be_bytes(code.try_into().unwrap())));
                self.write(&frame(first, &payload));
            }
        }
        end
    }
}

/// Returns a masked client frame with this first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    websocket::write_header(&mut bytes, Opcode::Text, false, payload.len());
    bytes[0] = first;
    bytes[1] |= 0x80;
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn parse(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (length, start) = match *bytes.get(1)? {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    Some((bytes[0], bytes.get(start..start + length)?.to_vec(), start + length))
}
