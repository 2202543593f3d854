//! A simple HTTP and WebSocket client for the tests of the fake exchanges.

use std::time::Duration;

use fake_exchanges::Clock;
use fake_exchanges::{Fake, Options, start};
use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Timeout of every wait in the tests.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// 2026-01-15 15:27 in Seoul.
pub fn start_time() -> Timestamp {
    "2026-01-15T06:27:30Z".parse().unwrap()
}

/// Starts fake exchanges whose clock only moves when the test advances it.
pub async fn start_with_manual_clock() -> (Fake, Clock) {
    let clock = Clock::manual(start_time());
    (start(Options { clock: clock.clone(), ..Options::default() }).await.unwrap(), clock)
}

pub struct Response {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub fn http_client() -> reqwest::Client {
    // Fails if a provider is already installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(DEADLINE).build().unwrap()
}

pub async fn get(url: &str) -> Response {
    try_get(url).await.unwrap()
}

pub async fn try_get(url: &str) -> reqwest::Result<Response> {
    let answer = http_client().get(url).send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Response { status, headers, text: answer.text().await? })
}

pub async fn send(method: reqwest::Method, url: &str, body: &'static str) -> Response {
    let answer = http_client().request(method, url).body(body).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Response { status, headers, text: answer.text().await.unwrap() }
}

pub struct Stream(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Stream {
    pub async fn open(url: &str) -> Self {
        Self(tokio_tungstenite::connect_async(url).await.unwrap().0)
    }

    pub async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(DEADLINE, self.0.next()).await.expect("no message within the deadline")
    }

    /// Returns the text of the next text or binary message.
    pub async fn text(&mut self) -> String {
        loop {
            match self.next().await.expect("the stream has ended").unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Binary(bytes) => return String::from_utf8(bytes.to_vec()).unwrap(),
                _ => {}
            }
        }
    }

    pub async fn json(&mut self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Waits for a close frame and returns its code and reason.
    pub async fn wait_closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await.expect("the stream ended without a close frame").unwrap() {
                Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.to_string()),
                Message::Close(None) => return (1005, String::new()),
                _ => {}
            }
        }
    }

    /// Waits for an end without a close frame and returns the error, or `end`.
    pub async fn wait_broken(&mut self) -> String {
        loop {
            match self.next().await {
                None => return "end".to_owned(),
                Some(Err(error)) => return error.to_string(),
                Some(Ok(Message::Close(frame))) => panic!("closed with a close frame: {frame:?}"),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Asserts that no message comes within 300 ms.
    pub async fn assert_silent(&mut self) {
        let got = tokio::time::timeout(Duration::from_millis(300), self.0.next()).await;
        assert!(got.is_err(), "received: {got:?}");
    }
}
