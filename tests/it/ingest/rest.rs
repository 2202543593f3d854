//! REST: how each kind of response is handled, and that cool-downs and bans are honoured.

use std::time::Duration;

use sisepan::feed::{Event, ReasonCode, VenueState};
use tokio::io::AsyncReadExt;

use super::toy::{Bench, Mode, Server, Toy, fetched, polled, streamed, until};

const NO_STREAM: fn(&mut sisepan::ingest::Settings) = |settings| settings.stream_enabled = false;

#[tokio::test]
async fn a_venue_can_be_polled_only() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), NO_STREAM);
    bench.state(VenueState::Delayed).await;
    server.trade("btc", "101");
    bench.price("btc", "101", polled).await;
    assert!(server.logged("ws").is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn in_21_after_a_429_no_request_is_sent_before_retry_after() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), NO_STREAM);
    bench.state(VenueState::Delayed).await;
    server.reply("/", "429 Too Many Requests\r\nRetry-After: 2", "slow down");
    let health = bench.reason(ReasonCode::RateLimited).await;
    assert!(health.not_before.is_some());
    let refused = *server.logged("get").last().unwrap();
    server.with(|state| state.replies.clear());
    server.trade("btc", "102");
    bench.price("btc", "102", polled).await;
    let next = server.logged("get").into_iter().find(|at| *at > refused).unwrap();
    assert!(next - refused >= Duration::from_secs(2), "requested during the cool-down: {refused:?}, {next:?}");
    bench.state(VenueState::Delayed).await;
    bench.stop().await;
}

#[tokio::test]
async fn in_21_a_rate_limit_that_only_the_body_reports_stops_all_requests_like_a_429() {
    for status in ["200 OK", "500 Internal Server Error"] {
        let server = Server::start(&["btc", "eth"]).await;
        let mut bench = Bench::start_with(&server, &["btc", "eth"], Toy::profile(), |settings| {
            (settings.stream_enabled, settings.limited_retry) = (false, Duration::from_secs(2));
        });
        bench.state(VenueState::Delayed).await;
        server.reply("/tickers", status, r#"{"error":"too many"}"#);
        let health = bench.reason(ReasonCode::RateLimited).await;
        assert!(health.not_before.is_some(), "{health:?}");
        let refused = *server.logged("get /tickers").last().unwrap();
        server.with(|state| state.replies.clear());
        server.trade("btc", "102");
        bench.price("btc", "102", polled).await;
        let next = server.logged("get").into_iter().find(|at| *at > refused).unwrap();
        assert!(next - refused >= Duration::from_secs(2), "{status}: {refused:?}, {next:?}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn in_21_a_rate_limit_in_the_body_of_the_market_list_stops_all_requests_too() {
    for status in ["200 OK", "500 Internal Server Error"] {
        let server = Server::start(&["btc"]).await;
        server.reply("/markets", status, r#"{"error":"too many"}"#);
        let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| {
            (settings.stream_enabled, settings.limited_retry) = (false, Duration::from_secs(2));
        });
        let health = bench.health("a cool-down", |health| health.not_before.is_some()).await;
        let reason = health.reason.as_ref().unwrap();
        assert_eq!(reason.code, ReasonCode::RateLimited, "{status}: {reason:?}");
        let (refused, reported) = (server.logged("get /markets")[0], server.elapsed());
        server.with(|state| state.replies.clear());
        server.trade("btc", "102");
        bench.price("btc", "102", polled).await;
        let next = server.logged("get").into_iter().find(|at| *at > reported).unwrap();
        assert!(next - refused >= Duration::from_secs(2), "{status}: {refused:?}, {next:?}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn in_21_a_418_bans_rest_until_the_time_in_its_body_and_the_stream_stays() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start(&server, &["btc"]);
    bench.state(VenueState::Up).await;
    let until_ms = sisepan::clock::Clock::system().now().as_millisecond() + 3000;
    server.reply("/", "418 I'm a teapot", format!(r#"{{"code":-1003,"msg":"IP banned until {until_ms}."}}"#));
    let health = bench.health("a ban", |health| health.not_before.is_some()).await;
    let not_before = health.not_before.unwrap().as_millisecond();
    assert!((not_before - until_ms).abs() < 1000, "{not_before} is not {until_ms}");
    let reported_at = server.elapsed();
    server.with(|state| state.replies.clear());
    server.trade("btc", "103");
    bench.price("btc", "103", streamed).await;
    until("REST is back", || server.logged("get").iter().any(|at| *at > reported_at + Duration::from_secs(1))).await;
    let now_ms = sisepan::clock::Clock::system().now().as_millisecond();
    assert!(now_ms >= until_ms, "requested {} ms too early", until_ms - now_ms);
    bench.stop().await;
}

#[tokio::test]
async fn in_22_a_ban_from_the_previous_run_is_honoured() {
    let server = Server::start(&["btc"]).await;
    let ban = sisepan::clock::Clock::system().now() + jiff::SignedDuration::from_millis(1500);
    let bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| settings.not_before = Some(ban));
    until("the first request", || !server.logged("get").is_empty()).await;
    assert!(server.logged("get")[0] > Duration::from_millis(1300), "{:?}", server.logged("get")[0]);
    bench.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn in_23_a_venue_that_blocks_us_is_retried_slowly() {
    for status in ["451 Unavailable", "403 Forbidden\r\nContent-Type: text/html"] {
        let server = Server::start(&["btc"]).await;
        server.reply("/", status, "<html>no</html>");
        let refusal = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        server.with(|state| state.mode = Mode::RawResponse(refusal));
        let retry = |settings: &mut sisepan::ingest::Settings| settings.blocked_retry = Duration::from_secs(3);
        let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), retry);
        let health = bench.reason(ReasonCode::Blocked).await;
        assert!(health.reason.unwrap().message.contains("127.0.0.1"));
        bench.state(VenueState::Down).await;
        until("prices were requested", || !server.logged("get /tickers").is_empty()).await;
        // The response is on its way.
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.with(|state| (state.replies.clear(), state.mode = Mode::Good));
        bench.price("btc", "100", fetched).await;
        bench.state(VenueState::Up).await;
        for (what, first) in [("get", server.logged("get /tickers")[0]), ("ws", server.logged("ws")[0])] {
            let all = server.logged(what);
            let early = all.iter().filter(|at| **at > first + Duration::from_secs(1)).min().unwrap();
            assert!(*early > first + Duration::from_millis(2950), "{what} retried too early: {all:?}");
        }
        bench.stop().await;
    }
}

#[tokio::test]
async fn in_27_redirects_are_reported_and_never_followed() {
    let server = Server::start(&["btc"]).await;
    let elsewhere = Server::start(&["btc"]).await;
    server.reply("/", &format!("301 Moved\r\nLocation: http://{}/x", elsewhere.address), "");
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), NO_STREAM);
    let health = bench.reason(ReasonCode::Redirect).await;
    assert!(health.reason.unwrap().message.contains(&elsewhere.address.to_string()));
    assert!(elsewhere.with(|state| state.log.is_empty()));
    bench.stop().await;
}

#[tokio::test]
async fn in_27_a_410_is_reported_as_retired_without_a_retry_storm() {
    let server = Server::start(&["btc"]).await;
    server.reply("/", "410 Gone", "gone");
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| {
        settings.stream_enabled = false;
        settings.backoff_max = Duration::from_secs(5);
    });
    bench.reason(ReasonCode::Retired).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(server.logged("get").len() < 40, "{} requests in two seconds", server.logged("get").len());
    bench.stop().await;
}

#[tokio::test]
async fn in_28_a_web_page_an_empty_body_and_an_empty_list_change_nothing() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| {
        settings.stream_enabled = false;
        settings.list_every = Duration::from_millis(100);
    });
    bench.state(VenueState::Delayed).await;
    for (status, body, code, words) in [
        ("200 OK\r\nContent-Type: text/html", "<!doctype html><p>maintenance", ReasonCode::Payload, "a web page"),
        ("503 Busy\r\nContent-Type: text/html", "<!doctype html><p>maintenance", ReasonCode::Http, "503"),
        ("200 OK", "", ReasonCode::Payload, "empty"),
        ("200 OK", "[]", ReasonCode::Payload, "unreadable"),
        ("200 OK", "plain words", ReasonCode::Payload, "not JSON"),
    ] {
        server.reply("/", status, body);
        let health = bench.reason(code).await;
        let message = health.reason.unwrap().message;
        assert!(message.contains(words), "{message}");
        server.with(|state| state.replies.clear());
        bench.price("btc", "100", polled).await;
    }
    server.reply("/markets", "200 OK", r#"{"markets":[]}"#);
    let requests = server.logged("get /markets").len();
    until("the empty list", || server.logged("get /markets").len() > requests + 2).await;
    bench.price("btc", "100", polled).await;
    let empty = |event: &Event| matches!(event, Event::Listings { listings, .. } if listings.is_empty());
    assert!(!bench.seen.iter().any(empty), "an empty list was accepted");
    bench.stop().await;
}

#[tokio::test]
async fn in_06_a_response_from_a_cache_is_not_a_current_price() {
    let server = Server::start(&["btc"]).await;
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), NO_STREAM);
    bench.state(VenueState::Delayed).await;
    let cached = r#"{"tickers":[{"s":"btc","p":"99","n":9}]}"#;
    server.reply("/tickers", "200 OK\r\nAge: 30", cached);
    let health = bench.reason(ReasonCode::Payload).await;
    assert!(health.reason.unwrap().message.contains("cached for 30 s"));
    // A younger response counts as requested when the cache stored it.
    server.reply("/tickers", "200 OK\r\nAge: 3", cached.replace("99", "98"));
    let response_age = bench.wait("98", |event| match event {
        Event::Ticker { ticker, requested, received, .. } if ticker.last.to_string() == "98" => {
            Some(received.wall.duration_since(requested.wall))
        }
        _ => None,
    });
    assert!(response_age.await >= jiff::SignedDuration::from_secs(3));
    bench.stop().await;
}

#[tokio::test]
async fn in_29_an_error_object_in_a_200_fails_that_call_only() {
    let server = Server::start(&["btc"]).await;
    server.reply("/tickers", "200 OK", r#"{"error":"busy"}"#);
    let mut bench = Bench::start(&server, &["btc"]);
    bench.state(VenueState::Up).await;
    server.trade("btc", "104");
    bench.price("btc", "104", streamed).await;
    bench.stop().await;
}

#[tokio::test]
async fn in_31_a_body_over_the_limit_is_refused() {
    let server = Server::start(&["btc"]).await;
    server.reply("/tickers", "200 OK", vec![b'['; 100_000]);
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| {
        settings.stream_enabled = false;
        settings.body_max = 50_000;
    });
    let health = bench.reason(ReasonCode::Payload).await;
    assert!(health.reason.unwrap().message.contains("50000"));
    bench.stop().await;
}

#[tokio::test]
async fn in_35_one_bad_listing_and_one_refused_symbol_affect_only_themselves() {
    let server = Server::start(&["btc", "eth", "ada"]).await;
    server.with(|state| {
        state.listed.extend(["币安人生usdt".to_owned(), String::new(), "x".repeat(10_000), "ghost".to_owned()]);
    });
    let mut bench = Bench::start_with(&server, &["btc", "ghost", "eth", "ada"], Toy::profile(), NO_STREAM);
    for symbol in ["btc", "eth", "ada"] {
        bench.price(symbol, "100", polled).await;
    }
    let health = bench.health("counts", |health| health.rejected.contains_key("refused-market")).await;
    assert_eq!(health.rejected.get("symbol"), Some(&2), "{:?}", health.rejected);
    let before = server.logged("get /tickers").len();
    until("more polls", || server.logged("get /tickers").len() > before + 3).await;
    let ghosts = server.with(|state| state.log.iter().filter(|(_, line)| line.contains("ghost")).count());
    assert!(ghosts < 10, "the refused symbol was queried {ghosts} times");
    bench.stop().await;
}

#[tokio::test]
async fn the_venues_clock_is_compared_with_ours() {
    let server = Server::start(&["btc"]).await;
    let ahead = sisepan::clock::Clock::system().now() + jiff::SignedDuration::from_secs(90);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&ahead).unwrap();
    let body = r#"{"tickers":[{"s":"btc","p":"5","n":9}]}"#;
    server.reply("/tickers", &format!("200 OK\r\nDate: {date}"), body);
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), NO_STREAM);
    let health = bench.health("a skew", |health| health.clock_skew_ms.is_some()).await;
    let skew = health.clock_skew_ms.unwrap();
    assert!((85_000..95_000).contains(&skew), "{skew}");
    bench.stop().await;
}

#[tokio::test]
async fn in_15_a_peer_that_accepts_and_stays_silent_times_out_at_each_step() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let hold = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((tcp, _)) = silent.accept().await {
            kept.push(tcp);
        }
    });
    let server = Server::start(&["btc"]).await;
    for (stream, step) in
        [(format!("wss://{address}/"), "TLS handshake with"), (format!("ws://{address}/"), "WebSocket upgrade with")]
    {
        // REST works, so the reported reason is the stream's, with the step that hung.
        let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| settings.stream = stream);
        let health = bench.reason(ReasonCode::Timeout).await;
        let message = health.reason.unwrap().message;
        assert!(message.starts_with(step) && message.ends_with("took longer than 500ms"), "{message}");
        bench.state(VenueState::Delayed).await;
        bench.stop().await;
    }
    // If REST hangs as well, the venue is reported as down, and nothing waits forever.
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| {
        settings.stream = format!("ws://{address}/");
        settings.rest = format!("http://{address}");
        settings.request = Duration::from_millis(400);
    });
    bench.state(VenueState::Down).await;
    bench.stop().await;
    hold.abort();
}

#[tokio::test]
async fn in_15_a_connection_that_is_never_accepted_times_out() {
    // Fills the backlog, so that the kernel does not answer further connections.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(tcp)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        waiting.push(tcp);
        assert!(waiting.len() < 100, "the backlog never fills up here, so this test proves nothing");
    }
    let server = Server::start(&["btc"]).await;
    let stream = format!("ws://{address}/");
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| settings.stream = stream);
    let message = bench.reason(ReasonCode::Timeout).await.reason.unwrap().message;
    assert_eq!(message, "TCP connection with 127.0.0.1 took longer than 500ms");
    bench.price("btc", "100", polled).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_and_a_closed_port_have_their_own_reasons() {
    let server = Server::start(&["btc"]).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (stream, code) in
        [("ws://no.such.name.invalid:9/".to_owned(), ReasonCode::Dns), (format!("ws://{closed}/"), ReasonCode::Connect)]
    {
        let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| settings.stream = stream);
        bench.reason(code).await;
        bench.price("btc", "100", polled).await;
        bench.stop().await;
    }
}

#[tokio::test]
async fn no_origin_header_is_sent_and_the_user_agent_names_the_program() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::start(&["btc"]).await;
    let bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| {
        settings.rest = format!("http://{address}");
        settings.stream = format!("ws://{address}/s");
    });
    for _ in 0..2 {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 2048];
        let read = tcp.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
        assert!(head.contains("user-agent: sisepan/"), "{head}");
        assert!(!head.contains("\norigin:"), "{head}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn fc_16_a_price_that_awaits_confirmation_is_fetched_at_once() {
    let server = Server::start(&["btc"]).await;
    // Only the board's request fetches a price.
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| {
        settings.confirm_after = Duration::from_secs(3600);
        settings.first_message = Duration::from_secs(3600);
    });
    bench.state(VenueState::Up).await;
    server.trade("btc", "103");
    bench.price("btc", "103", streamed).await;
    bench.checks.send(super::toy::markets(&["btc"]).remove(0)).await.unwrap();
    let via = bench.price("btc", "103", fetched).await;
    assert_eq!(via, sisepan::feed::Via::Check, "the stream is up, so the row must not become delayed");
    bench.stop().await;

    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), |settings| {
        NO_STREAM(settings);
        settings.poll_every = Duration::from_secs(3600);
    });
    bench.price("btc", "103", polled).await;
    server.trade("btc", "10");
    bench.checks.send(super::toy::markets(&["btc"]).remove(0)).await.unwrap();
    bench.price("btc", "10", polled).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_04_rows_missing_from_a_response_are_queried_again_in_smaller_requests() {
    let symbols: Vec<String> = (0..30).map(|at| format!("s{at}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    for rows_max in [1, 7, 20, 29] {
        let server = Server::start(&symbols).await;
        server.with(|state| state.rows_max = Some(rows_max));
        let mut bench = Bench::start_with(&server, &symbols, Toy::profile(), NO_STREAM);
        let mut left: std::collections::BTreeSet<_> = super::toy::markets(&symbols).into_iter().collect();
        bench
            .wait("a price of each", |event| match event {
                Event::Ticker { market, .. } => {
                    left.remove(market);
                    left.is_empty().then_some(())
                }
                _ => None,
            })
            .await;
        bench.health("all are live", |health| health.markets_live == symbols.len()).await;
        bench.stop().await;
    }
}

#[tokio::test]
async fn fc_04_a_market_missing_from_every_response_is_counted_and_the_others_go_on() {
    let server = Server::start(&["btc", "eth", "xrp"]).await;
    // One of the three is missing from every response.
    for (symbols, rows) in [("btc,eth,xrp", r#"{"s":"btc","p":"7","n":9},{"s":"xrp","p":"7","n":9}"#), ("eth", "")] {
        server.reply(&format!("/tickers?s={symbols}"), "200 OK", format!(r#"{{"tickers":[{rows}]}}"#));
    }
    let mut bench = Bench::start_with(&server, &["btc", "eth", "xrp"], Toy::profile(), NO_STREAM);
    let health = bench.health("the count", |health| health.rejected.contains_key("unanswered")).await;
    assert_eq!(health.reason.map(|reason| reason.code), None);
    for symbol in ["btc", "xrp"] {
        server.trade(symbol, "8");
        bench.price(symbol, "8", polled).await;
    }
    bench.health("that it is queried again", |health| health.rejected["unanswered"] > 2).await;
    server.with(|state| state.replies.clear());
    bench.price("eth", "100", polled).await;
    bench.stop().await;
}

/// Missing markets are queried one by one, but an empty response must not start a storm of requests.
#[tokio::test]
async fn fc_04_empty_responses_count_as_a_failure_of_the_host() {
    let symbols: Vec<String> = (0..30).map(|at| format!("s{at}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let server = Server::start(&symbols).await;
    server.reply("/tickers", "200 OK", r#"{"tickers":[]}"#);
    let mut bench = Bench::start_with(&server, &symbols, Toy::profile(), NO_STREAM);
    let health = bench.reason(ReasonCode::Unanswered).await;
    assert_ne!(health.state, VenueState::Up);
    let requests = server.logged("get /tickers").len();
    assert!(requests <= 6, "{requests} requests to a venue that returns no rows");
    server.with(|state| state.replies.clear());
    bench.health("all are live", |health| health.markets_live == symbols.len()).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_01_a_blocked_market_does_not_block_its_host() {
    for status in ["451 Unavailable For Legal Reasons", "403 Forbidden"] {
        let server = Server::start(&["btc", "eth", "xrp"]).await;
        server.reply("/tickers?s=btc,eth,xrp", status, "<html>no</html>");
        server.reply("/tickers?s=eth", status, "<html>no</html>");
        let mut bench = Bench::start_with(&server, &["btc", "eth", "xrp"], Toy::profile(), NO_STREAM);
        bench.price("btc", "100", fetched).await;
        bench.price("xrp", "100", fetched).await;
        let health = bench.health("that it is counted", |health| health.rejected.contains_key("refused-market")).await;
        assert_eq!(health.not_before, None, "{status}");
        server.trade("btc", "101");
        bench.price("btc", "101", fetched).await;
        bench.stop().await;
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn fc_04_a_market_without_a_response_delays_no_other() {
    let symbols = ["ada", "btc", "doge", "dot", "eth", "link", "sol", "xrp"];
    let deadline = Duration::from_secs(5);
    let server = Server::start(&symbols).await;
    let mut bench = Bench::start_with(&server, &symbols, Toy::profile(), |settings| {
        NO_STREAM(settings);
        settings.request = deadline;
    });
    bench.state(VenueState::Delayed).await;
    server.with(|state| state.stalled.insert("xrp".to_owned()));
    let alone = |symbol: &str| {
        let line = format!("get /tickers?s={symbol}");
        server.with(|state| state.log.iter().find(|(_, logged)| *logged == line).map(|(at, _)| *at))
    };
    until("each is queried alone", || symbols.iter().all(|symbol| alone(symbol).is_some())).await;
    let times: Vec<Duration> = symbols.iter().filter_map(|symbol| alone(symbol)).collect();
    let spread = *times.iter().max().unwrap() - *times.iter().min().unwrap();
    assert!(spread < deadline, "queried one after the other: {times:?}");
    for symbol in &symbols[..7] {
        server.trade(symbol, "101");
        bench.price(symbol, "101", polled).await;
    }
    bench
        .health("it is named alone", |health| {
            let mut missing = health.missing.iter();
            missing.next().is_some_and(|missing| missing.market.as_str() == "XRP-KRW") && missing.next().is_none()
        })
        .await;
    bench.stop().await;
}

#[tokio::test]
async fn in_43_the_clock_event_comes_before_any_price_that_it_dates() {
    let server = Server::start(&["btc"]).await;
    let (old, tickers) =
        ("200 OK\r\nDate: Thu, 15 Jan 2026 06:27:00 GMT", r#"{"tickers":[{"s":"btc","p":"100","n":1}]}"#);
    server.reply("/tickers", old, tickers);
    let mut bench = Bench::start_with(&server, &["btc"], Toy::profile(), NO_STREAM);
    let is_clock = bench
        .wait("the clock or a price", |event| match event {
            Event::Clock { .. } => Some(true),
            Event::Ticker { .. } => Some(false),
            _ => None,
        })
        .await;
    assert!(is_clock, "a price came before the clock that dates it");
    bench.price("btc", "100", polled).await;
    bench.stop().await;
}
