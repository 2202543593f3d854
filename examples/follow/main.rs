//! Prints the rows of a board as they change: `follow [BOARD SERVER]`.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{self, Message};

/// A heartbeat comes every 15 s.
const SILENCE: Duration = Duration::from_secs(30);

/// Close codes that mean: do not reconnect.
fn is_refusal(code: u16) -> bool {
    matches!(code, 1002 | 1003 | 1007 | 1009 | 3500..=3999)
}

fn show(row: &Value) {
    let [market, state, last] = ["market", "state", "last"].map(|name| row[name].as_str().unwrap_or("null"));
    let percent = row["change"]["percent"].as_str().map_or("–".into(), |percent| format!("{percent}%"));
    match state {
        "live" | "delayed" => println!("{market} {last} {percent} {state}"),
        _ => println!("{market} not current: {state} last price {last}"),
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let board = arguments.next().unwrap_or("krw".into());
    let url = arguments.next().unwrap_or("ws://127.0.0.1:8080".into()) + "/api/v1/stream";
    let (mut rows, mut resume, mut wait_ms) = (HashMap::<String, Value>::new(), Value::Null, 1000);
    loop {
        // Returns why the server refuses us, or an error after which we try again.
        let ended: Result<String, Box<dyn Error>> = async {
            let mut socket = match timeout(SILENCE, connect_async(&url)).await? {
                Err(tungstenite::Error::Http(http)) if http.status().is_client_error() => {
                    return Ok(http.status().to_string());
                }
                connected => connected?.0,
            };
            let subscribe = json!({"type": "subscribe", "board": board, "resume": resume});
            socket.send(Message::text(subscribe.to_string())).await?;
            loop {
                let message: Value = match timeout(SILENCE, socket.next()).await?.ok_or("closed")?? {
                    Message::Text(text) => serde_json::from_str(&text)?,
                    Message::Close(Some(frame)) if is_refusal(frame.code.into()) => return Ok(frame.to_string()),
                    _ => continue,
                };
                let text = message["message"].as_str().unwrap_or_default();
                match message["type"].as_str() {
                    Some("error") if message["retryable"] == false => return Ok(text.into()),
                    Some("error") => return Err(text.into()),
                    Some("snapshot") => rows.clear(),
                    _ => {}
                }
                for changed in message["rows"].as_array().into_iter().flatten() {
                    let row = rows.entry(changed["market"].to_string()).or_insert(json!({}));
                    for (name, value) in changed.as_object().into_iter().flatten() {
                        row[name] = value.clone();
                    }
                    show(row);
                }
                if message["sequence"].is_u64() {
                    resume = json!({"epoch": message["epoch"], "sequence": message["sequence"]});
                    wait_ms = 1000;
                }
                wait_ms = message["retry_after_ms"].as_u64().unwrap_or(wait_ms);
            }
        }
        .await;
        match ended {
            Ok(refusal) => {
                eprintln!("refused: {refusal}");
                std::process::exit(1);
            }
            Err(error) => eprintln!("not connected: {error}"),
        }
        sleep(Duration::from_millis(rand::random_range(wait_ms..=2 * wait_ms))).await;
        wait_ms = (2 * wait_ms).clamp(1000, 60_000);
    }
}
