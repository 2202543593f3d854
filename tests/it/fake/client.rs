//! A plain client for the tests of the fake exchanges.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use serde_json::Value;
use sisepan::clock::Clock;
use sisepan::fake::{Fake, Options, start};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// No test waits longer than this for anything.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// 2026-01-15 15:27 in Seoul.
pub fn epoch() -> Timestamp {
    "2026-01-15T06:27:30Z".parse().unwrap()
}

/// A fake whose clock only moves when told to.
pub async fn still() -> (Fake, Clock) {
    let clock = Clock::manual(epoch());
    (start(Options { clock: clock.clone(), ..Options::default() }).await.unwrap(), clock)
}

pub struct Got {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub fn http() -> reqwest::Client {
    // The second call of a process is refused, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(DEADLINE).build().unwrap()
}

pub async fn get(url: &str) -> Got {
    try_get(url).await.unwrap()
}

pub async fn try_get(url: &str) -> reqwest::Result<Got> {
    let answer = http().get(url).send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Got { status, headers, text: answer.text().await? })
}

pub async fn send(method: reqwest::Method, url: &str, body: &'static str) -> Got {
    let answer = http().request(method, url).body(body).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Got { status, headers, text: answer.text().await.unwrap() }
}

pub struct Stream(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Stream {
    pub async fn open(url: &str) -> Self {
        Self(tokio_tungstenite::connect_async(url).await.unwrap().0)
    }

    pub async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(DEADLINE, self.0.next()).await.expect("nothing came in time")
    }

    /// The next message of text, in whatever kind of frame.
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

    /// The code and reason of the close that must come next, whatever else does.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await.expect("the stream ended without a close frame").unwrap() {
                Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.to_string()),
                Message::Close(None) => return (1005, String::new()),
                _ => {}
            }
        }
    }

    /// Waits for an end without a close frame.
    pub async fn broken(&mut self) -> String {
        loop {
            match self.next().await {
                None => return "end".to_owned(),
                Some(Err(error)) => return error.to_string(),
                Some(Ok(Message::Close(frame))) => panic!("closed properly: {frame:?}"),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Nothing comes for a while.
    pub async fn silent(&mut self) {
        let got = tokio::time::timeout(Duration::from_millis(300), self.0.next()).await;
        assert!(got.is_err(), "came: {got:?}");
    }
}
