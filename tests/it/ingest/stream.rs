//! Lifecycle of the stream: silence, dead markets, hand-over, reconnects.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sisepan::feed::{Event, ReasonCode, VenueState, Via};
use sisepan::venue::{Keepalive, Profile};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;

use super::toy::{Bench, Mode, Server, StreamAction, Toy, WAIT_MAX, fetched, polled, streamed, until};

#[tokio::test]
async fn the_first_prices_come_by_rest_and_then_by_stream() {
    let server = Server::start(&["btc", "eth"]).await;
    let mut bench = Bench::start(&server, &["btc", "eth"]);
    bench.price("btc", "100", fetched).await;
    bench.state(VenueState::Up).await;
    server.trade("btc", "101");
    bench.price("btc", "101", streamed).await;
    bench.stop().await;
}

#[tokio::test]
async fn in_01_a_silent_stream_is_dropped_when_rest_has_newer_trades() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc"]);
    bench.state(VenueState::Up).await;
    server.with(|state| state.mode = Mode::AckOnly);
    server.trade("btc", "102");
    let health = bench.reason(ReasonCode::Silent).await;
    assert!(health.reason.unwrap().message.contains("BTC-KRW"));
    bench.price("btc", "102", fetched).await;
    server.with(|state| state.mode = Mode::Good);
    until("a new connection", || server.logged("ws").len() >= 2).await;
    let ticker = server.clone();
    let ticking = tokio::spawn(async move {
        for price in 200.. {
            ticker.trade("btc", &price.to_string());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    bench
        .wait("a streamed price", |event| {
            matches!(event, sisepan::feed::Event::Ticker { via: Via::Stream { .. }, .. }).then_some(())
        })
        .await;
    ticking.abort();
    bench.state(VenueState::Up).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_quiet_market_keeps_its_stream_and_is_confirmed() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc"]);
    bench.state(VenueState::Up).await;
    for _ in 0..4 {
        bench.price("btc", "100", |via| via == Via::Check).await;
    }
    until("three checks of silence", || server.logged("get /tickers").len() > 5).await;
    assert_eq!(server.logged("ws").len(), 1, "a quiet connection was dropped");
    bench.stop().await;
}

/// Trades "btc" every 50 ms until the handle is dropped.
fn trading(server: &Arc<Server>) -> AbortOnDropHandle<()> {
    let server = server.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        for price in 200.. {
            server.trade("btc", &price.to_string());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }))
}

/// Waits for `connections` more connections, and asserts that the venue is never up meanwhile.
async fn never_up(bench: &mut Bench, connections: usize) {
    let last = bench.server.logged("ws").len() + connections;
    while bench.server.logged("ws").len() < last {
        let event = bench.wait("an event", |event| Some(event.clone())).await;
        assert!(!matches!(&event, Event::Health(health) if health.state == VenueState::Up), "{event:?}");
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn fc_14_a_stream_whose_messages_are_all_late_is_treated_as_silent() {
    for before in [false, true] {
        let server = Server::start(&["btc"]).await;
        server.with(|state| state.lag = (!before).then_some(40));
        let mut bench = Bench::start(&server, &["btc"]);
        let _trading = trading(&server);
        if before {
            bench.state(VenueState::Up).await;
        }
        server.with(|state| (state.lag, state.trade_on_query) = (Some(40), true));
        bench.reason(ReasonCode::Silent).await;
        bench.wait("a polled price", |event| matches!(event, Event::Ticker { via: Via::Poll, .. }).then_some(())).await;
        never_up(&mut bench, 4).await;
        server.with(|state| (state.lag, state.trade_on_query) = (Some(0), false));
        bench.state(VenueState::Up).await;
        bench.stop().await;
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn in_01_a_stream_that_stays_silent_is_not_reported_as_up() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc"]);
    bench.state(VenueState::Up).await;
    server.with(|state| (state.mode, state.trade_on_query) = (Mode::AckOnly, true));
    bench.reason(ReasonCode::Silent).await;
    // Long enough for one connection to take over from another that fails meanwhile.
    never_up(&mut bench, 8).await;
    server.with(|state| (state.mode, state.trade_on_query) = (Mode::Good, false));
    let _trading = trading(&server);
    bench.state(VenueState::Up).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_01_a_market_with_an_unusable_price_does_not_keep_a_quiet_connection_from_being_up() {
    let server = Server::start(&["btc", "eth"]).await;
    server.with(|state| {
        state.mode = Mode::AckOnly;
        state.prices.insert("eth".to_owned(), ("x".to_owned(), 1));
    });
    let mut bench = Bench::start(&server, &["btc", "eth"]);
    bench.state(VenueState::Up).await;
    assert_eq!(server.logged("ws").len(), 1);
    bench.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn in_05_a_dead_market_does_not_cause_polling_of_the_quiet_markets_on_its_connection() {
    let server = Server::start(&["btc", "eth"]).await;
    let mut profile = Toy::profile();
    profile.silence_max = Duration::from_millis(1500);
    let mut bench = Bench::start_with(&server, &["btc", "eth"], profile, |_| {});
    bench.state(VenueState::Up).await;
    server.trade("eth", "54");
    bench.price("eth", "54", streamed).await;
    server.with(|state| state.dropped.insert("eth".to_owned()));
    let is_dead =
        |event: &Event| matches!(event, Event::Health(health) if health.rejected.contains_key("missed-trade"));
    let found = bench.wait("a missed trade", |event| {
        server.trade("eth", "55");
        is_dead(event).then_some(())
    });
    found.await;
    // It stays dead on the next connection, although no trade is missed there.
    let opened = server.logged("ws").len();
    let _ = server.streams.send(StreamAction::Cut);
    until("a new connection", || server.logged("ws").len() > opened).await;
    bench.state(VenueState::Up).await;
    for _ in 0..2 {
        bench.price("btc", "100", |via| via == Via::Check).await;
    }
    let (requests, seen) = (server.logged("get /tickers").len(), bench.seen.len());
    bench.wait("thirty more requests", |_| (server.logged("get /tickers").len() >= requests + 30).then_some(())).await;
    let is_polled =
        |event: &&Event| matches!(event, Event::Ticker { market, via: Via::Poll, .. } if market.as_str() == "BTC-KRW");
    assert!(bench.seen[seen..].iter().find(is_polled).is_none(), "{:?}", bench.seen.iter().rfind(is_polled));
    bench.stop().await;
}

const DEAD: [&str; 5] = ["eth", "xrp", "sol", "ada", "dot"];

/// Starts with "btc" and the dead markets, and waits until these have missed trades.
async fn start_with_dead_markets(silence_max: Duration) -> (Arc<Server>, Bench) {
    let symbols = ["btc"].iter().chain(&DEAD).copied().collect::<Vec<_>>();
    let server = Server::start(&symbols).await;
    let profile = Profile { silence_max, ..Toy::profile() };
    let mut bench = Bench::start_with(&server, &symbols, profile, |_| {});
    bench.state(VenueState::Up).await;
    server.with(|state| state.dropped = DEAD.map(str::to_owned).into());
    let found = bench.wait("missed trades", |event| {
        DEAD.iter().for_each(|symbol| server.trade(symbol, "55"));
        let Event::Health(health) = event else { return None };
        health.rejected.get("missed-trade").filter(|missed| **missed >= 5).map(drop)
    });
    found.await;
    (server, bench)
}

/// Makes REST refuse the dead markets from now on.
fn refuse_dead_markets(server: &Server) {
    server.with(|state| state.prices.retain(|symbol, _| !DEAD.contains(&symbol.as_str())));
}

async fn until_thirty_more_requests(server: &Server) {
    let requests = server.logged("get /tickers?s=btc").len();
    until("thirty more requests", || server.logged("get /tickers?s=btc").len() >= requests + 30).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn in_05_dead_markets_that_rest_refuses_do_not_end_a_quiet_connection() {
    let (server, mut bench) = start_with_dead_markets(Duration::from_millis(1500)).await;
    refuse_dead_markets(&server);
    let opened = server.logged("ws").len();
    let _ = server.streams.send(StreamAction::Cut);
    until("a new connection", || server.logged("ws").len() > opened).await;
    bench.state(VenueState::Up).await;
    let opened = server.logged("ws").len();
    until_thirty_more_requests(&server).await;
    assert_eq!(server.logged("ws").len(), opened, "a quiet connection was dropped");
    bench.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn in_05_a_silent_connection_replaces_no_other_while_rest_refuses_the_dead_markets() {
    let (server, bench) = start_with_dead_markets(Duration::from_secs(60)).await;
    // The dead markets cause one hand-over.
    until("a hand-over", || {
        server.trade("btc", "101");
        !server.logged("close").is_empty()
    })
    .await;
    refuse_dead_markets(&server);
    server.with(|state| state.mode = Mode::AckOnly);
    let (opened, closed) = (server.logged("ws").len(), server.logged("close").len());
    let _ = server.streams.send(StreamAction::Send(Message::text(r#"{"bye":"maintenance"}"#)));
    until("a successor", || server.logged("ws").len() > opened).await;
    until_thirty_more_requests(&server).await;
    assert_eq!(server.logged("close").len(), closed, "a silent connection has replaced one that worked");
    server.with(|state| state.mode = Mode::Good);
    until("a hand-over to the connection that delivers", || {
        server.trade("btc", "102");
        server.logged("close").len() > closed
    })
    .await;
    bench.stop().await;
}

#[tokio::test]
async fn in_03_an_acknowledged_subscription_without_data_is_repeated_and_then_dropped() {
    let server = Server::start(&["btc"]).await;
    server.with(|state| state.mode = Mode::AckOnly);
    let mut bench = Bench::start(&server, &["btc"]);
    until("first frame", || !server.logged("frame").is_empty()).await;
    until("baseline", || server.logged("get /tickers").len() >= 2).await;
    let ticker = server.clone();
    let ticking = tokio::spawn(async move {
        for price in 200..400 {
            ticker.trade("btc", &price.to_string());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    bench.reason(ReasonCode::Silent).await;
    assert!(server.logged("frame").len() >= 2, "the subscription was not repeated");
    until("a new connection", || server.logged("ws").len() >= 2).await;
    ticking.abort();
    bench.stop().await;
}

#[tokio::test]
async fn in_04_heartbeats_do_not_keep_a_frozen_stream_alive() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc"]);
    bench.state(VenueState::Up).await;
    server.with(|state| state.mode = Mode::AckOnly);
    let beat = server.clone();
    let beating = tokio::spawn(async move {
        loop {
            let _ = beat.streams.send(StreamAction::Send(Message::text(r#"{"ok":true}"#)));
            let _ = beat.streams.send(StreamAction::Send(Message::Ping(Vec::new().into())));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    server.trade("btc", "103");
    bench.reason(ReasonCode::Silent).await;
    beating.abort();
    bench.stop().await;
}

#[tokio::test]
async fn in_05_one_dead_market_is_detected_polled_and_resubscribed_while_the_others_stream() {
    let server = Server::start(&["btc", "eth"]).await;
    // A busy machine may delay the trades of the others beyond the toy's own deadline.
    let mut profile = Toy::profile();
    profile.silence_max = Duration::from_secs(20);
    // Keeps the market from being found dead a second and third time, which would replace the connection.
    let once = |settings: &mut sisepan::ingest::Settings| settings.first_message = Duration::from_secs(60);
    let mut bench = Bench::start_with(&server, &["btc", "eth", "nope"], profile, once);
    bench.state(VenueState::Up).await;
    // Missed trades are those newer than the last one streamed.
    server.trade("eth", "54");
    bench.price("eth", "54", streamed).await;
    server.with(|state| state.dropped.insert("eth".to_owned()));
    let ticker = server.clone();
    let ticking = tokio::spawn(async move {
        for price in 200..2000 {
            ticker.trade("btc", &price.to_string());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    server.trade("eth", "55");
    bench.price("eth", "55", fetched).await;
    bench.price("eth", "55", polled).await;
    until("resubscribed", || server.logged(r#"frame {"unsub":["eth"]}"#).len() == 1).await;
    assert_eq!(server.logged("ws").len(), 1, "the connection of the others was replaced");
    server.with(|state| state.dropped.clear());
    server.trade("eth", "56");
    bench.price("eth", "56", streamed).await;
    bench.price("btc", &server.with(|state| state.prices["btc"].0.clone()), streamed).await;
    assert!(server.logged("get /tickers?s=btc,eth,nope").len() <= 1, "an unlisted market makes requests fail");
    ticking.abort();
    bench.stop().await;
}

#[tokio::test]
async fn in_05_an_unlisted_market_is_counted_and_the_others_are_live() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc", "nope"]);
    let health = bench.health("an unlisted one", |health| health.rejected.get("unlisted") == Some(&1)).await;
    assert_eq!(health.markets_wanted, 2);
    bench.state(VenueState::Up).await;
    bench.price("btc", "100", fetched).await;
    bench.stop().await;
}

#[tokio::test]
async fn in_08_in_09_a_ping_is_answered_at_once_with_its_payload() {
    let server = Server::start(&["btc"]).await;
    let mut profile = Toy::profile();
    profile.keepalive = Keepalive::ServerPings(Duration::from_secs(60));
    let mut bench = Bench::start_with(&server, &["btc"], profile, |_| {});
    bench.state(VenueState::Up).await;
    let sent = server.elapsed();
    let _ = server.streams.send(StreamAction::Send(Message::Ping("seven".into())));
    until("a pong", || !server.logged("pong seven").is_empty()).await;
    // Long before our own keepalive would be due.
    assert!(server.logged("pong seven")[0] - sent < Duration::from_secs(20));
    bench.stop().await;
}

#[tokio::test]
async fn in_07_our_own_pings_have_the_form_that_the_venue_requires() {
    let server = Server::start(&["btc"]).await;
    let mut profile = Toy::profile();
    profile.keepalive = Keepalive::Text(r#"{"ping":1}"#, Duration::from_millis(50));
    let bench = Bench::start_with(&server, &["btc"], profile, |_| {});
    until("text pings", || server.logged(r#"frame {"ping":1}"#).len() >= 3).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_connection_whose_venue_stops_pinging_is_dropped() {
    let server = Server::start(&["btc"]).await;
    let mut profile = Toy::profile();
    profile.keepalive = Keepalive::ServerPings(Duration::from_millis(200));
    let mut bench = Bench::start_with(&server, &["btc"], profile, |_| {});
    let health = bench.reason(ReasonCode::Silent).await;
    assert!(health.reason.unwrap().message.contains("pings"));
    bench.stop().await;
}

#[tokio::test]
async fn in_10_in_11_a_hand_over_opens_the_new_stream_before_it_closes_the_old_one() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc"]);
    let Via::Stream { session: first } = bench.price("btc", "100", streamed).await else { panic!() };
    let _ = server.streams.send(StreamAction::Send(Message::text(r#"{"bye":"maintenance"}"#)));
    until("two connections and one close", || server.logged("ws").len() == 2 && server.logged("close").len() == 1)
        .await;
    server.trade("btc", "105");
    let Via::Stream { session: second } = bench.price("btc", "105", streamed).await else { panic!() };
    assert!(second > first);
    let subscribed = *server.logged("frame").last().unwrap();
    assert!(server.logged("close")[0] > subscribed, "the old one was closed first");
    assert!(bench.seen.iter().all(|event| !format!("{event:?}").contains("state: Delayed")));
    bench.stop().await;
}

#[tokio::test]
async fn in_10_a_connection_is_replaced_before_its_lifetime_ends() {
    let server = Server::start(&["btc"]).await;
    let mut profile = Toy::profile();
    profile.lifetime = Some(Duration::from_millis(500));
    let bench = Bench::start_with(&server, &["btc"], profile, |_| {});
    until("three connections", || server.logged("ws").len() >= 3).await;
    until("the first is closed", || !server.logged("close").is_empty()).await;
    let (opened, closed) = (server.logged("ws"), server.logged("close"));
    assert!(opened[1] < closed[0], "the old one was closed first: {opened:?}, {closed:?}");
    bench.stop().await;
}

#[tokio::test]
async fn in_12_all_markets_are_subscribed_again_after_a_lost_connection() {
    let symbols = ["a", "b", "c", "d", "e"];
    let server = Server::start(&symbols).await;
    let mut bench = Bench::start(&server, &symbols);
    bench.state(VenueState::Up).await;
    until("all subscribed", || server.logged("frame").len() == 5).await;
    let _ = server.streams.send(StreamAction::Cut);
    until("all subscribed again", || server.logged("frame").len() == 10).await;
    for symbol in symbols {
        server.trade(symbol, "7");
        bench.price(symbol, "7", streamed).await;
    }
    bench.stop().await;
}

#[tokio::test]
async fn in_13_frames_are_paced_at_half_of_the_venues_limit() {
    let symbols: Vec<String> = (0..12).map(|at| format!("s{at}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let server = Server::start(&symbols).await;
    server.with(|state| state.mode = Mode::FramesMax(8));
    let mut profile = Toy::profile();
    profile.frames = const { &[sisepan::venue::Rate::per_second(8)] };
    let bench = Bench::start_with(&server, &symbols, profile, |_| {});
    until("all subscribed", || server.logged("frame").len() == 12).await;
    assert_eq!(server.logged("ws").len(), 1, "the venue closed for too many frames");
    bench.stop().await;
}

#[tokio::test]
async fn in_16_many_reconnects_leave_no_task_and_no_socket() {
    let server = Server::start(&["btc"]).await;
    server.with(|state| state.mode = Mode::CloseAfterFirst);
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let quick = |settings: &mut sisepan::ingest::Settings| {
        settings.connect_burst = 1000;
        (settings.backoff_min, settings.backoff_max) = (Duration::from_millis(1), Duration::from_millis(1));
    };
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), quick);
    while server.logged("ws").len() < 500 {
        bench.price("btc", "100", streamed).await;
    }
    assert!(server.open.load(Ordering::SeqCst) < 20, "sockets pile up");
    let during = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(during < before + 40, "tasks pile up: {before} before, {during} now");
    bench.stop().await;
    until("tasks end", || tokio::runtime::Handle::current().metrics().num_alive_tasks() <= before).await;
}

#[tokio::test]
async fn in_17_a_connection_that_ends_without_a_close_frame_is_reconnected() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc"]);
    bench.state(VenueState::Up).await;
    let _ = server.streams.send(StreamAction::Cut);
    bench.reason(ReasonCode::Closed).await;
    bench.state(VenueState::Up).await;
    bench.stop().await;
}

#[tokio::test]
async fn polling_takes_over_while_streaming_is_refused_and_ends_by_itself() {
    let server = Server::start(&["btc"]).await;
    server.with(|state| state.mode = Mode::RawResponse("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned()));
    let mut bench = Bench::start(&server, &["btc"]);
    let health = bench.state(VenueState::Delayed).await;
    assert_eq!(health.reason.unwrap().code, ReasonCode::Upgrade);
    server.trade("btc", "110");
    bench.price("btc", "110", polled).await;
    server.with(|state| state.mode = Mode::Good);
    bench.state(VenueState::Up).await;
    bench.price("btc", "110", |via| via == Via::Check).await;
    bench.stop().await;
}

#[tokio::test]
async fn in_30_in_31_frames_are_read_by_content_and_inflated_within_bounds() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| settings.message_max = 1 << 16);
    bench.state(VenueState::Up).await;
    let ticker = |price: &str, id| format!(r#"{{"t":[{{"s":"btc","p":"{price}","n":{id}}}]}}"#);
    let send = |bytes: Vec<u8>| server.streams.send(StreamAction::Send(Message::binary(bytes)));
    let _ = send(ticker("120", 20).into_bytes());
    bench.price("btc", "120", streamed).await;
    let _ = send(gzip(ticker("121", 21).as_bytes()));
    bench.price("btc", "121", streamed).await;
    for (bytes, word) in [(gzip(&vec![b' '; 1 << 24]), "too-large"), (gzip(&[b'x'; 99])[..30].to_vec(), "inflate")] {
        let _ = send(bytes);
        bench.health(word, |health| health.rejected.get(word) == Some(&1)).await;
        bench.state(VenueState::Up).await;
    }
    let _ = send(vec![0xff, 0xfe]);
    bench.health("utf8", |health| health.rejected.get("utf8") == Some(&1)).await;
    bench.stop().await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn in_32_a_message_at_the_limit_is_read_and_one_above_it_names_the_limit() {
    const MAX: usize = 4096;
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| settings.message_max = MAX);
    bench.state(VenueState::Up).await;
    let padded = |price: &str, size: usize| {
        let text = format!(r#"{{"t":[{{"s":"btc","p":"{price}","n":30}}]}}"#);
        Message::text(format!("{text}{}", " ".repeat(size - text.len())))
    };
    for (price, size) in [("130", MAX - 1), ("131", MAX)] {
        let _ = server.streams.send(StreamAction::Send(padded(price, size)));
        bench.price("btc", price, streamed).await;
    }
    let _ = server.streams.send(StreamAction::Send(padded("132", MAX + 1)));
    let health = bench.reason(ReasonCode::Payload).await;
    let message = health.reason.unwrap().message;
    assert!(message.contains("4097") && message.contains("4096"), "{message}");
    bench.state(VenueState::Up).await;
    bench.stop().await;
}

#[tokio::test]
async fn in_29_in_34_in_35_one_bad_record_or_message_affects_only_itself() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc"]);
    bench.state(VenueState::Up).await;
    let text = r#"{"t":[{"s":"btc"},{"s":"币安人生"},{"s":"btc","p":"140","n":40}]}"#;
    for text in ["not json", r#"{"news":1}"#, r#"{"no":"bad"}"#, text] {
        let _ = server.streams.send(StreamAction::Send(Message::text(text)));
    }
    bench.price("btc", "140", streamed).await;
    let words = ["payload", "unknown-type", "refused", "missing", "unknown-symbol"];
    bench.health("counts", |health| words.iter().all(|word| health.rejected.get(*word) == Some(&1))).await;
    assert_eq!(server.logged("ws").len(), 1);
    bench.stop().await;
}

#[tokio::test]
async fn in_15_a_stalled_upgrade_has_its_own_deadline_and_reason() {
    let server = Server::start(&["btc"]).await;
    server.with(|state| state.mode = Mode::StallUpgrade);
    let mut bench = Bench::start(&server, &["btc"]);
    let health = bench.reason(ReasonCode::Timeout).await;
    let message = health.reason.unwrap().message;
    assert!(message.contains("upgrade") && message.contains("127.0.0.1"), "{message}");
    bench.price("btc", "100", polled).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_board_that_lags_still_gets_the_newest_price() {
    let server = Server::start(&["btc"]).await;
    let profile = Toy::profile();
    let settings = super::toy::settings(&server, &profile);
    let (sender, mut events) = tokio::sync::mpsc::channel(1);
    let (_gaps, gaps) = tokio::sync::mpsc::channel(1);
    let (_checks, checks) = tokio::sync::mpsc::channel(1);
    let requests = sisepan::ingest::BoardRequests { gaps, checks };
    let shutdown = tokio_util::sync::CancellationToken::new();
    let tls = sisepan::ingest::Tls::new(None).unwrap();
    let clock = sisepan::clock::Clock::system();
    let wanted = tokio::sync::watch::channel(super::toy::market_set(&["btc"])).1;
    let venue = Toy::leak(profile);
    let task =
        tokio::spawn(sisepan::ingest::run(venue, settings, wanted, tls, clock, sender, requests, shutdown.clone()));
    until("a subscription", || !server.logged("frame").is_empty()).await;
    for price in 0..500 {
        server.trade("btc", &(1000 + price).to_string());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut received = 0;
    let newest = tokio::time::timeout(super::toy::WAIT_MAX, async {
        loop {
            if let Some(sisepan::feed::Event::Ticker { ticker, .. }) = events.recv().await {
                received += 1;
                if ticker.last.to_string() == "1499" {
                    return;
                }
            }
        }
    });
    newest.await.expect("the newest price never came");
    assert!(received < 50, "old prices were queued: {received}");
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_frame_that_makes_the_parser_panic_ends_only_its_connection() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc"]);
    bench.state(VenueState::Up).await;
    server.streams.send(StreamAction::Send(Message::text(r#"{"boom":true}"#))).unwrap();
    bench.health("the failure", |health| health.connects > 1 && health.state == VenueState::Up).await;
    server.trade("btc", "105");
    bench.price("btc", "105", streamed).await;
    bench.stop().await;
}

/// A panicked task must not look like a quiet venue: ingest ends, so that its caller notices.
#[tokio::test]
async fn a_task_that_panics_ends_the_ingest_of_its_venue() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc"]);
    bench.state(VenueState::Up).await;
    server.reply("/tickers", "200 OK", r#"{"boom":true}"#);
    server.with(|state| state.mode = Mode::StallUpgrade);
    server.streams.send(StreamAction::Cut).unwrap();
    tokio::time::timeout(WAIT_MAX, bench.task).await.expect("ingest goes on without its poller").unwrap();
    assert!(!bench.shutdown.is_cancelled());
}

/// `mode` says how the venue ends each new connection.
#[tokio::test]
#[ignore = "slow"]
async fn fc_18_a_venue_that_closes_every_connection_at_once_is_reported_as_refusing_and_retried_less_often() {
    for mode in [Mode::CloseAfterFirst, Mode::FramesMax(0), Mode::RawResponse(String::new())] {
        let server = Server::start(&["btc"]).await;
        server.with(|state| state.mode = mode.clone());
        let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| {
            settings.first_message = WAIT_MAX;
            settings.backoff_min = Duration::from_millis(10);
            settings.backoff_max = Duration::from_secs(2);
        });
        let health = bench.reason(ReasonCode::Refused).await;
        assert_eq!(health.state, VenueState::Delayed, "{mode:?}");
        let message = health.reason.unwrap().message;
        assert!(message.starts_with("5 connections in a row were closed as soon as they were open"), "{message}");
        let connects = server.logged("ws");
        assert_eq!(connects.len(), 5, "{mode:?}");
        until("two more", || server.logged("ws").len() >= 7).await;
        let connects = server.logged("ws");
        let waits: Vec<Duration> = connects.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits[4] >= Duration::from_secs(1) && waits[5] >= Duration::from_secs(2), "{mode:?}: {waits:?}");
        // A connection that stays open ends this.
        server.with(|state| state.mode = Mode::Good);
        bench.state(VenueState::Up).await;
        bench.stop().await;
    }
}
