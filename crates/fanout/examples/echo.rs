//! WebSocket echo server, for conformance suites such as Autobahn's fuzzing client.
//! `cargo run -p fanout --example echo -- 127.0.0.1:9001`

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanout::{
    ClientMessage, CloseReason, Delivery, Member, Service, ServiceContext, Settings, Upgraded, Watcher, websocket,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

#[derive(Debug)]
struct Echo;

impl Service for Echo {
    type SubscriptionId = ();
    type Member = NoGroup;

    fn on_message(
        &self,
        context: &mut ServiceContext<'_, Self>,
        message: ClientMessage<'_>,
    ) -> Result<(), CloseReason> {
        match message {
            ClientMessage::Text(text) => context.send(text.as_bytes()),
            ClientMessage::Binary(bytes) => context.send_binary(bytes),
        }
        Ok(())
    }

    fn closing_message(&self) -> Vec<u8> {
        b"bye".to_vec()
    }

    #[expect(clippy::disallowed_methods, reason = "an example that does not sleep")]
    fn now(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// Nobody subscribes to anything here.
#[derive(Debug)]
enum NoGroup {}

impl Member for NoGroup {
    fn group(&self) -> usize {
        match *self {}
    }

    fn update_since(&self, _: u64, _: bool) -> Option<(u64, Bytes)> {
        match *self {}
    }

    fn has_failed(&self) -> bool {
        match *self {}
    }

    fn add_watcher(&self, _: &Arc<dyn Watcher>) {
        match *self {}
    }
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let _runtime = runtime.enter();
    let settings = Settings {
        threads: 0,
        message_bytes_max: 32 << 20,
        messages_per_second_max: u32::MAX,
        subscribe_within: None,
        ping_every: Duration::from_secs(3600),
        pong_within: Duration::from_secs(10),
        write_within: Duration::from_secs(10),
        close_within: Duration::from_secs(2),
        send_buffer_bytes: 64 << 10,
    };
    let delivery = Delivery::start(&settings, Echo)?;
    let listener = TcpListener::bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    for stream in listener.incoming().flatten() {
        if let Err(error) = admit(&delivery, stream) {
            eprintln!("echo: {error}");
        }
    }
    Ok(())
}

fn admit(delivery: &Delivery<Echo>, stream: TcpStream) -> anyhow::Result<()> {
    let (mut key, mut extensions) = (String::new(), String::new());
    let mut reader = BufReader::new(&stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "sec-websocket-key" => key = value.trim().to_owned(),
            "sec-websocket-extensions" => extensions = value.trim().to_owned(),
            _ => {}
        }
    }
    let buffered = reader.buffer().to_vec();
    let deflate = websocket::offers_deflate([extensions.as_str()]);
    let extension =
        if deflate { format!("sec-websocket-extensions: {}\r\n", websocket::DEFLATE) } else { String::new() };
    let accept = derive_accept_key(key.as_bytes());
    write!(
        &stream,
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n{extension}\r\n"
    )?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    delivery.admit(Upgraded { stream, buffered, deflate, guard: Box::new(()), on_connect: Box::new(|_| Ok(())) });
    Ok(())
}
