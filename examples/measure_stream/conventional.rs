//! Two conventional servers to compare with, built on axum's WebSocket.
//!
//! Like the floor, they run as separate processes, read frames from standard
//! input and send each one to all clients. **textbook** uses a broadcast
//! channel, default buffers and two tasks per client, like axum's chat
//! example. **task** is this project's first implementation: the newest frame
//! in a watch channel, small buffers, one task per client.

use std::io::Read as _;

use anyhow::Context as _;
use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::{broadcast, watch};

/// Most messages that a slow client may be behind.
const RING: usize = 16;

/// Runs the textbook server until standard input ends.
pub fn textbook() -> anyhow::Result<()> {
    let (frames, _) = broadcast::channel::<Utf8Bytes>(RING);
    let joined = frames.clone();
    let upgrade = move |upgrade: WebSocketUpgrade| {
        let frames = joined.subscribe();
        async move { upgrade.on_upgrade(|socket| relay(socket, frames)) as Response }
    };
    run(Router::new().fallback(get(upgrade)), move |text| drop(frames.send(text)))
}

async fn relay(socket: WebSocket, mut frames: broadcast::Receiver<Utf8Bytes>) {
    let (mut sender, mut receiver) = socket.split();
    let mut sending = tokio::spawn(async move {
        loop {
            match frames.recv().await {
                Ok(text) => {
                    if sender.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    });
    let mut receiving = tokio::spawn(async move { while let Some(Ok(_)) = receiver.next().await {} });
    tokio::select! {
        _ = &mut sending => receiving.abort(),
        _ = &mut receiving => sending.abort(),
    }
}

/// Runs the server with one task per client until standard input ends.
pub fn task() -> anyhow::Result<()> {
    let newest = watch::Sender::new(Utf8Bytes::default());
    let joined = newest.clone();
    let upgrade = move |upgrade: WebSocketUpgrade| {
        let frames = joined.subscribe();
        let upgrade = upgrade.read_buffer_size(256).write_buffer_size(0).max_write_buffer_size(512 * 1024);
        async move { upgrade.on_upgrade(|socket| follow(socket, frames)) as Response }
    };
    run(Router::new().fallback(get(upgrade)), move |text| drop(newest.send_replace(text)))
}

async fn follow(mut socket: WebSocket, mut newest: watch::Receiver<Utf8Bytes>) {
    loop {
        tokio::select! {
            changed = newest.changed() => {
                let text = newest.borrow_and_update().clone();
                if changed.is_err() || socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            received = socket.recv() => if !matches!(received, Some(Ok(_))) { return },
        }
    }
}

fn run(router: Router, mut send: impl FnMut(Utf8Bytes) + Send + 'static) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
    println!("conventional/{}", listener.local_addr()?);
    use axum::serve::ListenerExt as _;
    let listener = listener.tap_io(|tcp| drop(tcp.set_nodelay(true)));
    runtime.spawn(async move { axum::serve(listener, router).await });
    let mut input = std::io::stdin().lock();
    let (mut length, mut frame) = ([0; 2], Vec::new());
    while input.read_exact(&mut length).is_ok() {
        frame.resize(usize::from(u16::from_be_bytes(length)), 0);
        input.read_exact(&mut frame).context("reading a frame")?;
        // The input frames include their WebSocket header; axum writes its own.
        let start = frame.iter().position(|byte| *byte == b'{').context("the frame holds no message")?;
        let text = String::from_utf8(frame.get(start..).unwrap_or_default().to_vec())?;
        send(text.into());
    }
    Ok(())
}
