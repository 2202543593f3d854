//! Follows a price on the fake Upbit's stream, until a fault closes the stream.
//! `cargo run -p fake-exchanges --example ticker`

use anyhow::Context as _;
use fake_exchanges::{Options, start};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let fake = start(Options::default()).await?;
    println!("REST of Upbit: {}/v1/ticker?markets=KRW-BTC", fake.rest_url("upbit"));
    let (mut stream, _) = connect_async(fake.stream_url("upbit")).await?;
    stream.send(Message::text(r#"[{"ticket":"example"},{"type":"ticker","codes":["KRW-BTC"]}]"#)).await?;
    println!("{}", stream.next().await.context("no ticker")??);

    fake.set_price("upbit", "BTC-KRW", "150000000".parse()?, true).map_err(anyhow::Error::msg)?;
    println!("{}", stream.next().await.context("no ticker of the new price")??);
    println!("{}", fake.truth("upbit", "BTC-KRW").context("no such market")?.last);

    fake.inject_fault(r#"{"venue":"upbit","fault":"close","code":1011}"#).map_err(anyhow::Error::msg)?;
    while let Some(Ok(message)) = stream.next().await {
        println!("{message:?}");
    }
    fake.shutdown().await;
    Ok(())
}
