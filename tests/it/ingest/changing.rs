//! Wanted markets that change while ingest runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sisepan::clock::Clock;
use sisepan::feed::{Event, Gap, ReasonCode, Urgency, VenueHealth, VenueState, Via};
use sisepan::ingest::{BoardRequests, Settings, Tls, run};
use sisepan::market::{Market, Minute, VenueId};
use sisepan::venue::{ParseError, Profile, Rate, Request, Response, RestQuery, Session, Venue};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::toy::*;

const SYMBOLS: [&str; 6] = ["btc", "eth", "xrp", "sol", "ada", "link"];

/// A profile that no busy machine drives into a silence deadline or a stale market.
fn patient(markets_per_connection: usize) -> Profile {
    let (silence_max, stale_after) = (WAIT_MAX, WAIT_MAX);
    Profile { silence_max, stale_after, markets_per_connection, ..Toy::profile() }
}

fn patient_settings(settings: &mut Settings) {
    settings.first_message = WAIT_MAX;
}

async fn start(symbols: &[&str], wanted: &[&str], markets_per_connection: usize) -> (Arc<Server>, Bench) {
    let server = Server::start(symbols).await;
    let mut bench = Bench::start_with(&server, wanted, patient(markets_per_connection), patient_settings);
    until_up(&mut bench).await;
    (server, bench)
}

/// Waits until the first list has been read, and the stream delivers.
async fn until_up(bench: &mut Bench) {
    bench.state(VenueState::Up).await;
    if !bench.seen.iter().any(|event| matches!(event, Event::Listings { .. })) {
        next_listings(bench).await;
    }
}

fn want(bench: &Bench, symbols: &[&str]) {
    bench.wanted.send_replace(market_set(symbols));
}

fn market(symbol: &str) -> Market {
    markets(&[symbol]).remove(0)
}

fn open_sockets(server: &Server) -> usize {
    server.open.load(Ordering::SeqCst)
}

fn requests_for(server: &Server, symbol: &str) -> usize {
    let is_for = |line: &str| {
        let symbols = line.strip_prefix("get ").and_then(|path| path.split_once("?s=")).map(|(_, rest)| rest);
        symbols.is_some_and(|rest| rest.split('&').next().unwrap_or_default().split(',').any(|s| s == symbol))
    };
    server.with(|state| state.log.iter().filter(|(_, line)| is_for(line)).count())
}

/// Trades a market, and waits until the new price is streamed, if need be when it is subscribed to; returns the
/// session.
async fn streamed_trade(bench: &mut Bench, symbol: &str) -> u64 {
    let (market, server) = (market(symbol), bench.server.clone());
    let price = server.with(|state| 1 + state.prices[symbol].1).to_string();
    server.trade(symbol, &price);
    bench
        .wait(&format!("{price} for {symbol} from the stream"), |event| match event {
            Event::Ticker { market: of, ticker, via: Via::Stream { session }, .. }
                if *of == market && ticker.last.to_string() == price =>
            {
                Some(*session)
            }
            _ => None,
        })
        .await
}

async fn streamed_trades(bench: &mut Bench, symbols: &[&str]) {
    for symbol in symbols {
        streamed_trade(bench, symbol).await;
    }
}

/// Returns the health of each event from `seen` on.
fn healths(bench: &Bench, seen: usize) -> Vec<&VenueHealth> {
    let events = bench.seen[seen..].iter();
    events.filter_map(|event| if let Event::Health(health) = event { Some(health) } else { None }).collect()
}

#[tokio::test]
async fn a_new_market_joins_a_connection_with_room_and_the_others_notice_nothing() {
    let (server, mut bench) = start(&SYMBOLS, &["btc", "eth"], 3).await;
    let first = [streamed_trade(&mut bench, "btc").await, streamed_trade(&mut bench, "eth").await];
    let seen = bench.seen.len();
    want(&bench, &["btc", "eth", "xrp"]);
    assert_eq!(streamed_trade(&mut bench, "xrp").await, first[0]);
    bench.health("three markets", |health| (health.markets_wanted, health.markets_live) == (3, 3)).await;
    assert_eq!([streamed_trade(&mut bench, "btc").await, streamed_trade(&mut bench, "eth").await], first);
    let frames = server.with(|state| state.log.iter().filter(|(_, line)| line.starts_with("frame")).count());
    assert_eq!((server.logged("ws").len(), frames), (1, 3), "a connection or a subscription was made again");
    let disturbed = healths(&bench, seen).into_iter().find(|h| h.state != VenueState::Up || h.markets_live < 2);
    assert!(disturbed.is_none(), "{disturbed:?}");
    bench.stop().await;
}

#[tokio::test]
async fn markets_beyond_the_maximum_get_connections_of_their_own_which_end_with_their_last_market() {
    let (server, mut bench) = start(&SYMBOLS, &["btc", "eth"], 2).await;
    let first = streamed_trade(&mut bench, "btc").await;
    let seen = bench.seen.len();
    for (new, round) in [("xrp", 1), ("sol", 2), ("xrp", 3)] {
        want(&bench, &["btc", "eth", new]);
        assert!(streamed_trade(&mut bench, new).await > first);
        assert_eq!(server.logged("ws").len(), 1 + round);
        want(&bench, &["btc", "eth"]);
        until("its connection is closed", || server.logged("close").len() == round).await;
    }
    // What one connection has room for again needs no other.
    want(&bench, &["btc", "link"]);
    assert_eq!(streamed_trade(&mut bench, "link").await, first);
    assert_eq!(streamed_trade(&mut bench, "btc").await, first);
    assert_eq!(server.logged("ws").len(), 4);
    let disturbed = healths(&bench, seen).into_iter().find(|health| health.state != VenueState::Up);
    assert!(disturbed.is_none(), "{disturbed:?}");
    bench.stop().await;
}

#[tokio::test]
async fn new_connections_obey_the_connect_limit() {
    let server = Server::start(&SYMBOLS).await;
    let every = Duration::from_millis(200);
    let mut bench = Bench::start_with(&server, &["btc"], patient(1), |settings| {
        patient_settings(settings);
        (settings.connect_every, settings.connect_burst) = (every, 1);
    });
    bench.state(VenueState::Up).await;
    let changed_at = server.elapsed();
    want(&bench, &SYMBOLS);
    until("six connections", || server.logged("ws").len() == 6).await;
    assert!(server.logged("ws")[5] - changed_at >= every * 4, "{:?}", server.logged("ws"));
    bench.stop().await;
}

#[tokio::test]
async fn subscriptions_to_new_markets_obey_the_frame_limit_and_changes_in_quick_succession_are_combined() {
    let server = Server::start(&SYMBOLS).await;
    server.with(|state| state.mode = Mode::FramesMax(4));
    let profile = Profile { frames: const { &[Rate::per_second(4)] }, ..patient(100) };
    let mut bench = Bench::start_with(&server, &["btc"], profile, patient_settings);
    bench.state(VenueState::Up).await;
    // One after the other, the frames of all these changes would take a minute and a half.
    for _ in 0..30 {
        for symbols in [&["btc", "sol"][..], &["btc", "eth", "xrp"]] {
            want(&bench, symbols);
            bench.health("the change", |health| health.markets_wanted == symbols.len()).await;
        }
    }
    want(&bench, &["btc", "link"]);
    streamed_trade(&mut bench, "link").await;
    assert_eq!(server.logged("ws").len(), 1, "the venue closed for too many frames");
    bench.stop().await;
}

#[tokio::test]
async fn a_removed_market_is_neither_subscribed_nor_requested_nor_reported_and_its_tickers_are_no_errors() {
    let server = Server::start(&["btc", "eth"]).await;
    server.with(|state| state.listed.push("bad".to_owned()));
    let mut bench = Bench::start_with(&server, &["btc", "eth", "bad"], patient(100), patient_settings);
    let bad = market("bad");
    bench.health("a missing one", |health| health.missing.iter().any(|missing| missing.market == bad)).await;
    want(&bench, &["btc"]);
    bench.health("one market", |health| health.markets_wanted == 1 && health.missing.is_empty()).await;
    until("both are unsubscribed", || {
        ["eth", "bad"].iter().all(|symbol| server.logged(&format!(r#"frame {{"unsub":["{symbol}"]}}"#)).len() == 1)
    })
    .await;
    let (seen, requests) = (bench.seen.len(), ["eth", "bad"].map(|symbol| requests_for(&server, symbol)));
    // Late tickers of removed markets, and then a symbol that was never wanted.
    for symbol in ["eth", "bad", "other"] {
        let text = format!(r#"{{"t":[{{"s":"{symbol}","p":"7","n":7}}]}}"#);
        let _ = server.streams.send(StreamAction::Send(Message::text(text)));
    }
    let health = bench.health("a rejection", |health| health.rejected.contains_key("unknown-symbol")).await;
    assert_eq!(health.rejected["unknown-symbol"], 1);
    for _ in 0..5 {
        for symbol in ["eth", "bad", "btc"] {
            bench.checks.send(market(symbol)).await.unwrap();
        }
        bench.price("btc", "100", |via| via == Via::Check).await;
    }
    let health = bench.health("the figures", |_| true).await;
    assert_eq!((health.markets_wanted, health.markets_live, health.missing), (1, 1, Vec::new()));
    let of_recent = health.problems.iter().map(|problem| problem.markets).sum::<usize>();
    assert_eq!(of_recent, 0, "{:?}", health.problems);
    let is_other = |event: &&Event| matches!(event, Event::Ticker { market, .. } if market.as_str() != "BTC-KRW");
    assert!(bench.seen[seen..].iter().find(is_other).is_none(), "{:?}", bench.seen[seen..].iter().find(is_other));
    for (symbol, before) in ["eth", "bad"].iter().zip(requests) {
        // One request may have been in flight in each of the two lanes.
        assert!(requests_for(&server, symbol) <= before + 2, "{symbol} is still requested");
    }
    // It is back as if it was new.
    want(&bench, &["btc", "eth"]);
    streamed_trade(&mut bench, "eth").await;
    assert_eq!(server.logged("ws").len(), 1);
    bench.stop().await;
}

/// Waits for a list of markets that reaches the board; returns its markets, and those that it is said to lack.
async fn next_listings(bench: &mut Bench) -> (BTreeSet<Market>, BTreeMap<Market, u32>) {
    bench
        .wait("a list", |event| match event {
            Event::Listings { listings, missing, .. } => {
                let listed = listings.iter().map(|listing| listing.market.clone()).collect();
                Some((listed, missing.iter().cloned().collect()))
            }
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_new_market_is_listed_at_once_if_the_last_list_has_it() {
    let (server, mut bench) = start(&SYMBOLS, &["btc"], 100).await;
    for count in 2..=SYMBOLS.len() {
        want(&bench, &SYMBOLS[..count]);
        let (listed, missing) = next_listings(&mut bench).await;
        assert_eq!((&listed, missing.len()), (&*market_set(&SYMBOLS), 0));
        streamed_trade(&mut bench, SYMBOLS[count - 1]).await;
    }
    let health = bench.health("all", |health| health.markets_live == SYMBOLS.len()).await;
    assert!(health.rejected.is_empty() && health.list_reason.is_none(), "{health:?}");
    assert_eq!(server.logged("get /markets").len(), 1, "the list was fetched again");
    bench.stop().await;
}

#[tokio::test]
async fn a_new_market_that_a_new_list_lacks_is_reported_at_once() {
    let (server, mut bench) = start(&SYMBOLS, &["btc"], 100).await;
    want(&bench, &["btc", "eth", "ghost"]);
    assert_eq!(next_listings(&mut bench).await.1, BTreeMap::from([(market("ghost"), 1)]));
    let health = bench.health("unlisted", |health| health.rejected.contains_key("unlisted")).await;
    assert_eq!((health.rejected["unlisted"], health.markets_wanted), (1, 3));
    streamed_trade(&mut bench, "eth").await;
    assert_eq!(server.logged("get /markets").len(), 1);
    assert_eq!((requests_for(&server, "ghost"), server.logged(r#"frame {"sub":["ghost"]}"#).len()), (0, 0));
    bench.stop().await;
}

/// `list_every` is never over here: only `list_again` is.
async fn start_with_old_list(symbols: &[&str], wanted: &[&str], list_again: Duration) -> (Arc<Server>, Bench) {
    let server = Server::start(symbols).await;
    let mut bench = Bench::start_with(&server, wanted, patient(100), |settings| {
        patient_settings(settings);
        (settings.list_again, settings.list_every) = (list_again, WAIT_MAX * 10);
    });
    until_up(&mut bench).await;
    let clock = Clock::system();
    until("the list is old", || clock.monotonic() > list_again).await;
    (server, bench)
}

#[tokio::test]
async fn the_list_is_fetched_again_for_a_new_market_that_an_old_list_lacks() {
    let list_again = Duration::from_millis(300);
    let (server, mut bench) = start_with_old_list(&SYMBOLS[..3], &["btc"], list_again).await;
    server.with(|state| {
        state.listed.push("new".to_owned());
        state.prices.insert("new".to_owned(), ("100".to_owned(), 1));
    });
    want(&bench, &["btc", "eth", "new"]);
    // The row of the other one does not wait for the list, and the new one is not reported as unlisted before it.
    assert_eq!(next_listings(&mut bench).await.1, BTreeMap::new());
    streamed_trade(&mut bench, "new").await;
    streamed_trade(&mut bench, "eth").await;
    assert_eq!(server.logged("get /markets").len(), 2);
    // One that does not exist is reported, and looked for at growing intervals.
    want(&bench, &["btc", "ghost"]);
    let health = bench.health("unlisted", |health| health.rejected.contains_key("unlisted")).await;
    assert_eq!(health.rejected["unlisted"], 1);
    until("two more lists", || server.logged("get /markets").len() >= 5).await;
    let lists = server.logged("get /markets");
    // A list may be delayed on its way, but not all of them.
    assert!(lists[4] - lists[1] >= list_again * 2, "{lists:?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_new_market_that_a_list_lacks_is_unlisted_at_once_while_its_price_request_is_unanswered() {
    let (server, mut bench) = start_with_old_list(&SYMBOLS, &["btc"], Duration::from_millis(100)).await;
    server.reply("/tickers?s=ghost", "500 Internal Server Error", "");
    want(&bench, &["btc", "ghost"]);
    for _ in 0..3 {
        assert_eq!(next_listings(&mut bench).await.1, BTreeMap::from([(market("ghost"), 1)]));
    }
    bench.health("unlisted", |health| health.rejected.contains_key("unlisted")).await;
    bench.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn new_markets_do_not_make_one_list_that_lacks_a_market_count_as_two() {
    let list_again = Duration::from_secs(3);
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &["btc", "link"], patient(100), |settings| {
        patient_settings(settings);
        (settings.list_again, settings.list_every) = (list_again, list_again);
    });
    until_up(&mut bench).await;
    server.with(|state| state.listed.retain(|symbol| symbol != "link"));
    let link = market("link");
    let lacks_it = |event: &Event| match event {
        Event::Listings { listings, .. } => listings.iter().all(|listing| listing.market != link).then_some(()),
        _ => None,
    };
    bench.wait("a list without it", lacks_it).await;
    let mut wanted = vec!["btc", "link"];
    for symbol in ["eth", "xrp", "sol"] {
        wanted.push(symbol);
        want(&bench, &wanted);
        let (_, missing) = next_listings(&mut bench).await;
        // On a slow machine, that may be the second one.
        if server.logged("get /markets").len() > 2 {
            break;
        }
        assert!(!missing.contains_key(&link), "counted again");
    }
    bench.health("it is unlisted", |health| health.rejected.contains_key("unlisted")).await;
    assert!(server.logged("get /markets").len() >= 3);
    bench.stop().await;
}

#[tokio::test]
async fn a_new_market_is_checked_against_the_last_complete_list_while_lists_are_short() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &["btc", "eth"], patient(100), |settings| {
        patient_settings(settings);
        (settings.list_again, settings.list_every) = (Duration::from_millis(100), Duration::from_millis(100));
    });
    bench.state(VenueState::Up).await;
    server.with(|state| state.listed.truncate(1));
    bench.health("a short list", |health| health.list_reason.is_some()).await;
    want(&bench, &["btc", "eth", "xrp", "ghost"]);
    streamed_trade(&mut bench, "xrp").await;
    let lists = server.logged("get /markets").len();
    until("three more lists", || server.logged("get /markets").len() >= lists + 3).await;
    streamed_trades(&mut bench, &["btc", "eth", "xrp"]).await;
    let lacks = |health: &VenueHealth| {
        let reason = health.list_reason.as_ref();
        reason.is_some_and(|reason| reason.message.contains("it lacks 2 of 4 wanted markets"))
    };
    let health = bench.health("the reason", lacks).await;
    assert_eq!(health.rejected.get("unlisted"), Some(&1), "only the one that no list has had");
    server.with(|state| state.listed = SYMBOLS.map(str::to_owned).into());
    bench.health("no reason", |health| health.list_reason.is_none()).await;
    bench.stop().await;
}

/// The toy, with a request for tick sizes, which its server answers by [`Server::reply`].
struct ToyWithTickSizes(Toy);

impl Venue for ToyWithTickSizes {
    fn profile(&self) -> &Profile {
        self.0.profile()
    }

    fn symbol(&self, market: &Market) -> String {
        self.0.symbol(market)
    }

    fn session(&self) -> Box<dyn Session> {
        self.0.session()
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        match query {
            RestQuery::TickSizes(markets) => {
                let symbols: Vec<_> = markets.iter().map(|market| self.symbol(market)).collect();
                Some(Request::get(format!("/sizes?s={}", symbols.join(",")), "all", 1))
            }
            _ => self.0.request(query),
        }
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        match query {
            RestQuery::TickSizes(markets) => {
                let sizes = markets.iter().map(|market| (self.symbol(market), Ok("0.5".parse().unwrap())));
                Ok(Response::TickSizes(sizes.collect()))
            }
            _ => self.0.response(query, body),
        }
    }
}

#[tokio::test]
async fn the_tick_size_of_a_new_market_is_fetched_at_once_and_alone() {
    let server = Server::start(&SYMBOLS).await;
    server.reply("/sizes", "200 OK", "{}");
    let venue: &'static dyn Venue = Box::leak(Box::new(ToyWithTickSizes(Toy(patient(100)))));
    let mut settings = settings(&server, venue.profile());
    patient_settings(&mut settings);
    let (sender, events) = mpsc::channel(4096);
    let ((gaps, wanted_gaps), (checks, wanted_checks)) = (mpsc::channel(64), mpsc::channel(64));
    let requests = BoardRequests { gaps: wanted_gaps, checks: wanted_checks };
    let (wanted, wanted_markets) = watch::channel(market_set(&["btc"]));
    let (shutdown, tls) = (CancellationToken::new(), Tls::new(None).unwrap());
    let running = run(venue, settings, wanted_markets, tls, Clock::system(), sender, requests, shutdown.clone());
    let task = tokio::spawn(running);
    let mut bench = Bench { server: server.clone(), events, gaps, checks, wanted, shutdown, task, seen: Vec::new() };
    until_up(&mut bench).await;
    want(&bench, &["btc", "eth"]);
    let size = Some(("ETH-KRW".to_owned(), "0.5".to_owned()));
    bench
        .wait("its tick size", |event| match event {
            Event::TickSizes { sizes, .. } => {
                (sizes.iter().map(|(market, size)| (market.to_string(), size.to_string())).next_back() == size)
                    .then_some(())
            }
            _ => None,
        })
        .await;
    let requests: Vec<String> = server.with(|state| {
        let lines = state.log.iter().map(|(_, line)| line.clone());
        lines.filter(|line| line.starts_with("get /sizes") || line.starts_with("get /markets")).collect()
    });
    assert_eq!(requests, ["get /markets", "get /sizes?s=btc", "get /sizes?s=eth"]);
    bench.stop().await;
}

fn gap(symbol: &str, end: Minute) -> Gap {
    Gap { venue: VenueId("toy"), market: market(symbol), span: end.plus(-1)..end, urgency: Urgency::Base }
}

async fn settled(bench: &mut Bench, symbol: &str) {
    let market = market(symbol);
    let is_settled = |event: &Event| matches!(event, Event::Settled { market: of, .. } if *of == market);
    bench.wait(&format!("candles of {symbol}"), |event| is_settled(event).then_some(())).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn gaps_of_removed_markets_are_dropped_and_those_of_new_ones_are_filled() {
    let server = Server::start(&["btc", "bad", "eth"]).await;
    let end = Minute::of(Clock::system().now()).plus(-10);
    for symbol in ["btc", "bad", "eth"] {
        server.with(|state| state.candles.insert(symbol.to_owned(), vec![(end.0 - 1, "5".into())]));
    }
    server.reply("/candles?s=bad", "500 Oops", "");
    let mut bench = Bench::start_with(&server, &["btc", "bad"], patient(100), patient_settings);
    bench.state(VenueState::Up).await;
    bench.gaps.send(gap("bad", end)).await.unwrap();
    until("failures", || server.logged("get /candles?s=bad").len() > 2).await;
    want(&bench, &["btc", "eth"]);
    bench.health("the change", |health| health.missing.is_empty() && health.markets_wanted == 2).await;
    let requests = server.logged("get /candles?s=bad").len();
    for symbol in ["bad", "eth", "btc"] {
        bench.gaps.send(gap(symbol, end)).await.unwrap();
        if symbol != "bad" {
            settled(&mut bench, symbol).await;
        }
    }
    // Time for many retries.
    let checks = requests_for(&server, "btc");
    until("a dozen checks", || requests_for(&server, "btc") >= checks + 12).await;
    // One request may have been in flight.
    assert!(server.logged("get /candles?s=bad").len() <= requests + 1);
    server.with(|state| state.replies.clear());
    want(&bench, &["btc", "bad"]);
    bench.health("the change", |health| health.markets_live == 2).await;
    bench.gaps.send(gap("bad", end)).await.unwrap();
    settled(&mut bench, "bad").await;
    bench.stop().await;
}

#[tokio::test]
async fn without_wanted_markets_nothing_is_connected_or_requested_until_there_are_some_again() {
    let frequent = |settings: &mut Settings| {
        patient_settings(settings);
        settings.list_every = Duration::from_millis(100);
    };
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &[], patient(1), frequent);
    // Shows how often requests are made otherwise.
    let other = Server::start(&SYMBOLS).await;
    let mut reference = Bench::start_with(&other, &["btc"], patient(1), frequent);
    until_up(&mut reference).await;
    let mut idle_tasks = None;
    for round in 0..3 {
        let health = bench.health("nothing wanted", |health| health.markets_wanted == 0).await;
        until("all sockets are closed", || open_sockets(&server) == 0).await;
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let idle_tasks = *idle_tasks.get_or_insert_with(tasks);
        // The HTTP client keeps a task or two; six connections have more.
        until("the tasks of the connections have ended", || tasks() <= idle_tasks + 3).await;
        let (log, lists) = (server.with(|state| state.log.len()), other.logged("get /markets").len());
        until("six lists elsewhere", || other.logged("get /markets").len() >= lists + 6).await;
        let later: Vec<_> = server.with(|state| state.log[log..].to_vec());
        // A request may have been about to be sent.
        assert!(later.iter().filter(|(_, line)| line != "close").count() <= 2, "{round}: {later:?}");
        assert_eq!((health.state, health.reason), (VenueState::Connecting, None), "{round}");
        want(&bench, &SYMBOLS);
        bench.health("up", |health| health.state == VenueState::Up && health.markets_live == 6).await;
        for symbol in SYMBOLS {
            streamed_trade(&mut bench, symbol).await;
        }
        assert_eq!(server.logged("ws").len(), 6 * (round + 1));
        want(&bench, &[]);
    }
    reference.stop().await;
    // Nothing fails either.
    want(&bench, &["btc"]);
    bench.health("up", |health| health.state == VenueState::Up && health.markets_wanted == 1).await;
    server.with(|state| state.mode = Mode::RawResponse("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned()));
    let _ = server.streams.send(StreamAction::Cut);
    bench.reason(ReasonCode::Upgrade).await;
    want(&bench, &[]);
    let health = bench.health("nothing wanted", |health| health.markets_wanted == 0).await;
    assert_eq!((health.state, health.reason), (VenueState::Connecting, None));
    bench.stop().await;
}

/// Subscriptions as the server sees them: the symbols of the frames from the last upgrade on.
fn subscribed_since_last_upgrade(server: &Server) -> BTreeSet<String> {
    server.with(|state| {
        let last = state.log.iter().rposition(|(_, line)| line.starts_with("ws")).unwrap_or_default();
        let symbol = |line: &str| Some(line.strip_prefix(r#"frame {"sub":[""#)?.strip_suffix(r#""]}"#)?.to_owned());
        state.log[last..].iter().filter_map(|(_, line)| symbol(line)).collect()
    })
}

#[tokio::test]
async fn markets_that_change_during_a_reconnection_are_those_of_the_next_connection() {
    let (server, mut bench) = start(&SYMBOLS, &["btc", "eth"], 100).await;
    server.with(|state| state.mode = Mode::RawResponse("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned()));
    let _ = server.streams.send(StreamAction::Cut);
    until("failures", || server.logged("ws").len() >= 3).await;
    for symbols in [&["xrp", "sol"][..], &[], &["eth"], &["eth", "ada"]] {
        let attempts = server.logged("ws").len();
        want(&bench, symbols);
        if !symbols.is_empty() {
            until("another attempt", || server.logged("ws").len() > attempts).await;
        }
    }
    // Polled meanwhile.
    bench.price("ada", "100", fetched).await;
    server.with(|state| state.mode = Mode::Good);
    bench.state(VenueState::Up).await;
    streamed_trades(&mut bench, &["eth", "ada"]).await;
    assert_eq!(subscribed_since_last_upgrade(&server), BTreeSet::from(["eth".to_owned(), "ada".to_owned()]));
    bench.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_change_during_a_cool_down_opens_no_connection_before_its_end() {
    let (server, mut bench) = start(&SYMBOLS, &["btc"], 1).await;
    let refusal = "HTTP/1.1 429 Slow down\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";
    server.with(|state| state.mode = Mode::RawResponse(refusal.to_owned()));
    let _ = server.streams.send(StreamAction::Cut);
    bench.health("a cool-down", |health| health.stream_not_before.is_some()).await;
    server.with(|state| state.mode = Mode::Good);
    let refused = server.logged("ws").len();
    for symbols in [&["btc", "eth", "xrp"][..], &[], &["sol"], &["eth", "sol"]] {
        want(&bench, symbols);
        bench.health("the change", |health| health.markets_wanted == symbols.len()).await;
    }
    streamed_trades(&mut bench, &["eth", "sol"]).await;
    let connects = server.logged("ws");
    assert!(connects[refused] - connects[refused - 1] >= Duration::from_secs(5), "{connects:?}");
    until("two connections", || server.streams.receiver_count() == 2).await;
    bench.stop().await;
}

/// A check of a silent connection whose markets have all been replaced meanwhile says nothing about it.
#[tokio::test]
#[ignore = "slow"]
async fn a_failed_check_of_removed_markets_does_not_end_their_connection() {
    let server = Server::start(&["btc", "eth"]).await;
    let profile = Profile { silence_max: Duration::from_millis(400), ..patient(100) };
    let mut bench = Bench::start_with(&server, &["btc"], profile, |settings| {
        settings.request = Duration::from_secs(3);
    });
    bench.state(VenueState::Up).await;
    let requests = requests_for(&server, "btc");
    server.with(|state| {
        state.mode = Mode::AckOnly;
        state.stalled.insert("btc".to_owned());
    });
    // The poller has one request in flight; the other one is the check.
    until("two requests without an answer", || requests_for(&server, "btc") >= requests + 2).await;
    want(&bench, &["eth"]);
    let changed_at = server.elapsed();
    let past_the_timeout = |event: &Event| {
        let is_checked = matches!(event, Event::Ticker { via: Via::Check, .. });
        (is_checked && server.elapsed() > changed_at + Duration::from_secs(4)).then_some(())
    };
    bench.wait("checks", past_the_timeout).await;
    assert_eq!(server.logged("ws").len(), 1, "the connection was replaced");
    bench.stop().await;
}

/// Changes without pause; the last set counts, and nothing is left over.
#[tokio::test]
async fn of_many_changes_in_quick_succession_the_last_one_counts() {
    let server = Server::start(&SYMBOLS).await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut bench = Bench::start_with(&server, &[], patient(2), |settings| {
        patient_settings(settings);
        settings.connect_burst = 1000;
    });
    for round in 0_usize..60 {
        for step in 0..4 {
            let chosen =
                |(at, symbol): (usize, &'static str)| ((round * 7 + step * 5) >> at & 1 == 1).then_some(symbol);
            want(&bench, &SYMBOLS.into_iter().enumerate().filter_map(chosen).collect::<Vec<_>>());
            tokio::task::yield_now().await;
        }
        // Changes hit connections in all stages of their life.
        let log = server.with(|state| state.log.len());
        if round % 3 == 0 {
            until("something happens", || server.with(|state| state.log.len()) > log).await;
        }
    }
    want(&bench, &SYMBOLS);
    bench.health("up", |health| health.state == VenueState::Up && health.markets_wanted == 6).await;
    streamed_trades(&mut bench, &SYMBOLS).await;
    // There have never been markets for more.
    until("three connections", || server.streams.receiver_count() == 3).await;
    let during = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(during < before + 30, "tasks pile up: {before} before, {during} now");
    want(&bench, &[]);
    until("no connection", || open_sockets(&server) == 0).await;
    bench.stop().await;
    until("tasks end", || tokio::runtime::Handle::current().metrics().num_alive_tasks() <= before).await;
}

#[tokio::test]
async fn a_shutdown_during_changes_ends_everything() {
    for round in 0_usize..10 {
        let server = Server::start(&SYMBOLS).await;
        let bench = Bench::start_with(&server, &SYMBOLS[..3], patient(1), patient_settings);
        let wanted = bench.wanted.clone();
        let changing = tokio::spawn(async move {
            for count in (0..=SYMBOLS.len()).cycle() {
                wanted.send_replace(market_set(&SYMBOLS[..count]));
                tokio::task::yield_now().await;
            }
        });
        until("some requests", || server.with(|state| state.log.len()) >= round * 3).await;
        bench.stop().await;
        changing.abort();
    }
}
