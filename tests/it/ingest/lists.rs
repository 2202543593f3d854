//! Market lists that omit markets which still trade, and which markets such a list may delist.

use std::time::Duration;

use sisepan::board::{BoardSettings, BoardSpec, Quotes};
use sisepan::clock::Clock;
use sisepan::feed::{Event, VenueHealth};
use sisepan::market::{Basis, HaltReason, Market, Price, SourceId, State, VenueId};
use sisepan::venue::Profile;

use super::toy::*;

const SYMBOLS: [&str; 6] = ["btc", "eth", "xrp", "sol", "ada", "link"];

fn with_frequent_lists(settings: &mut sisepan::ingest::Settings) {
    settings.list_every = Duration::from_millis(100);
}

/// A board that applies the events of the toy venue's ingest, and its newest rows.
struct Board {
    quotes: Quotes,
    clock: Clock,
    rows: std::collections::BTreeMap<Market, (State, Option<HaltReason>, Option<Price>)>,
    health: Option<VenueHealth>,
}

impl Board {
    fn new() -> Self {
        let clock = Clock::system();
        let wanted = BoardSpec {
            source: SourceId::new(["toy"]),
            venues: vec![VenueId("toy")],
            markets: markets(&SYMBOLS),
            basis: Basis::Rolling24h,
        };
        let quotes = Quotes::new(&[wanted], BoardSettings::default(), clock.read());
        Self { quotes, clock, rows: std::collections::BTreeMap::new(), health: None }
    }

    fn apply(&mut self, event: &Event) {
        self.quotes.apply(event.clone(), self.clock.read());
        let update = self.quotes.publish(self.clock.read());
        self.health = update.venues.into_iter().next().or(self.health.take());
        for quote in update.changed {
            self.rows.insert(quote.market.clone(), (quote.state, quote.reason, quote.last));
        }
    }

    fn row(&self, symbol: &str) -> (State, Option<HaltReason>, Option<Price>) {
        self.rows.get(&markets(&[symbol])[0]).copied().unwrap_or((State::Unknown, None, None))
    }

    /// Returns the code of the reason why a market has no price.
    fn why_no_price(&self, symbol: &str) -> Option<&'static str> {
        let market = markets(&[symbol]).remove(0);
        let mut missing = self.health.iter().flat_map(|health| &health.missing);
        missing.find(|missing| missing.market == market).map(|missing| missing.code)
    }

    fn all_live(&self) -> bool {
        SYMBOLS.iter().all(|symbol| self.row(symbol).0 == State::Live)
    }

    fn none_gone(&self) -> bool {
        SYMBOLS.iter().all(|symbol| !matches!(self.row(symbol).0, State::Halted | State::Unknown))
    }
}

fn set_list(server: &Server, symbols: &[&str]) {
    server.with(|state| state.listed = symbols.iter().map(|symbol| (*symbol).to_owned()).collect());
}

/// Waits until `is` holds, trading the markets `trading` meanwhile.
async fn until_board(
    bench: &mut Bench,
    board: &mut Board,
    trading: &[&str],
    what: &str,
    mut is: impl FnMut(&Board, Option<&VenueHealth>) -> bool,
) {
    let (server, mut price, mut health) = (bench.server.clone(), 1000, None);
    // Guarantees a trade between any two lists, however slow the machine is.
    server.with(|state| state.trade_on_list = trading.iter().map(|symbol| (*symbol).to_owned()).collect());
    let found = tokio::time::timeout(WAIT_MAX, async {
        let mut timer = tokio::time::interval(Duration::from_millis(30));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = bench.events.recv() => {
                    let event = event.expect("ingest has ended");
                    board.apply(&event);
                    if let Event::Health(update) = event {
                        health = Some(update);
                    }
                }
                _ = timer.tick() => {
                    price = 1000 + (price + 1) % 10;
                    trading.iter().for_each(|symbol| server.trade(symbol, &price.to_string()));
                }
            }
            if is(board, health.as_ref()) {
                return;
            }
        }
    });
    assert!(found.await.is_ok(), "{what}: {:?}, {health:?}", board.rows);
}

/// Restores the full list, waits until all markets are live, and checks that none was relisted.
async fn restore_full_list(bench: &mut Bench, board: &mut Board, trading: &[&str]) {
    set_list(&bench.server, &SYMBOLS);
    until_board(bench, board, trading, "live again", |board, health| {
        board.all_live() && health.is_some_and(|health| health.list_reason.is_none())
    })
    .await;
    assert_eq!(board.quotes.take_relistings(), []);
    assert!(board.quotes.take_unrecorded().iter().all(|records| !records.reset));
}

fn list_requests(server: &Server) -> usize {
    server.logged("get /markets").len()
}

#[tokio::test]
async fn fc_11_a_list_that_omits_most_markets_delists_none() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), with_frequent_lists);
    let mut board = Board::new();
    // Two of them are quiet: only the length of the list shows that they still exist.
    let trading = &SYMBOLS[..4];
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    set_list(&server, &SYMBOLS[..1]);
    let requests = list_requests(&server);
    let mut never_gone = true;
    until_board(&mut bench, &mut board, trading, "the list reported", |board, health| {
        never_gone &= board.none_gone();
        let Some(health) = health else { return false };
        let reason =
            health.list_reason.as_ref().is_some_and(|reason| reason.message.contains("1 rows, the previous one had 6"));
        let counted = health.problems.iter().find(|problem| problem.code == "incomplete-list");
        let counted = counted.is_some_and(|problem| problem.count >= 15 && problem.example.market.is_some());
        reason && counted && list_requests(&server) > requests + 5
    })
    .await;
    assert!(never_gone, "{:?}", board.rows);
    restore_full_list(&mut bench, &mut board, trading).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_11_an_omitted_market_is_delisted_only_once_it_stops_trading() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), with_frequent_lists);
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    set_list(&server, &SYMBOLS[..5]);
    let requests = list_requests(&server);
    let mut never_gone = true;
    until_board(&mut bench, &mut board, &SYMBOLS, "the list reported", |board, health| {
        never_gone &= board.none_gone();
        let reason = health.and_then(|health| health.list_reason.as_ref());
        reason.is_some_and(|reason| reason.message.contains("such as LINK-KRW"))
            && list_requests(&server) > requests + 5
    })
    .await;
    assert!(never_gone, "{:?}", board.rows);

    // REST still returns its price, which is old.
    until_board(&mut bench, &mut board, &SYMBOLS[..5], "gone", |board, health| {
        let (state, reason, _) = board.row("link");
        let is_pending =
            health.is_none_or(|health| health.list_reason.is_some() || !health.rejected.contains_key("unlisted"));
        (state, reason) == (State::Halted, Some(HaltReason::Delisted)) && !is_pending
    })
    .await;

    // The list still omits it, but it trades again: its price is queried.
    until_board(&mut bench, &mut board, &SYMBOLS, "back", |board, _| board.all_live()).await;
    restore_full_list(&mut bench, &mut board, &SYMBOLS).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_11_a_delisted_market_is_halted_while_the_others_of_its_response_stay_live() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), with_frequent_lists);
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    server.reply("/tickers?s=link", "404 Not Found", r#"{"error":"no such market"}"#);
    set_list(&server, &SYMBOLS[..5]);
    until_board(&mut bench, &mut board, &SYMBOLS[..5], "gone", |board, _| {
        let (state, reason, _) = board.row("link");
        (state, reason) == (State::Halted, Some(HaltReason::Delisted))
    })
    .await;
    assert!(SYMBOLS[..5].iter().all(|symbol| board.row(symbol).0 == State::Live), "{:?}", board.rows);
    bench.stop().await;
}

#[tokio::test]
async fn a_short_list_is_no_second_one_that_lacks_a_market() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), with_frequent_lists);
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    bench.stop().await;
    // After a restart a list lacks one market, the next three are short, and the one after them lacks it again.
    let listed = |count: usize| SYMBOLS[..count].iter().map(|symbol| (*symbol).to_owned()).collect::<Vec<_>>();
    server.reply("/tickers?s=link", "404 Not Found", r#"{"error":"no such market"}"#);
    server.with(|state| {
        state.next_lists = [5, 1, 1, 1].map(listed).into();
        state.listed = listed(5);
    });
    let before = list_requests(&server);
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), with_frequent_lists);
    until_board(&mut bench, &mut board, &SYMBOLS[..5], "gone", |board, _| board.row("link").0 == State::Halted).await;
    let lists = list_requests(&server) - before;
    assert!(lists >= 5, "gone after {lists} lists");
    bench.stop().await;
}

#[tokio::test]
async fn an_unanswered_price_request_delists_no_market_for_ten_lists_after_a_restart_either() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), with_frequent_lists);
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    bench.stop().await;
    // After a restart the first list lacks a market, and the exchange refuses its price. Empty lists do not count.
    let trading = &SYMBOLS[..5];
    server.reply("/tickers?s=link", "404 Not Found", r#"{"error":"no such market"}"#);
    server.with(|state| {
        state.next_lists = [trading.iter().map(|symbol| (*symbol).to_owned()).collect()].into();
        state.listed.clear();
    });
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), with_frequent_lists);
    until_board(&mut bench, &mut board, trading, "unlisted", |_, health| {
        health.is_some_and(|health| health.rejected.contains_key("unlisted"))
    })
    .await;
    server.reply("/tickers?s=link", "500 Internal Server Error", "");
    let before = list_requests(&server);
    set_list(&server, trading);
    until_board(&mut bench, &mut board, trading, "gone", |board, _| board.row("link").0 == State::Halted).await;
    let lists = list_requests(&server) - before;
    assert!(lists >= 9, "gone after {lists} lists");
    bench.stop().await;
}

#[tokio::test]
async fn an_unreadable_row_is_no_absence_after_a_restart_either() {
    let server = Server::start(&SYMBOLS).await;
    let start = || {
        let profile = Profile { needs_list: true, ..Toy::profile() };
        Bench::start_with(&server, &SYMBOLS, profile, |settings| {
            with_frequent_lists(settings);
            settings.list_again = Duration::from_millis(100);
        })
    };
    let (mut bench, mut board) = (start(), Board::new());
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    bench.stop().await;
    server.reply("/markets", "200 OK", r#"{"markets":["btc","eth","xrp","ada","link",{"s":"sol","of":""}]}"#);
    let requests = list_requests(&server);
    let mut bench = start();
    until_board(&mut bench, &mut board, &SYMBOLS, "five lists", |board, _| {
        assert_ne!(board.row("sol").0, State::Halted);
        list_requests(&server) >= requests + 5
    })
    .await;
    server.with(|state| state.replies.clear());
    restore_full_list(&mut bench, &mut board, &SYMBOLS).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_04_markets_missing_from_a_bad_first_list_still_become_live() {
    let server = Server::start(&SYMBOLS).await;
    set_list(&server, &SYMBOLS[..1]);
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), |settings| {
        settings.list_again = Duration::from_millis(300);
    });
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "unlisted", |_, health| {
        health.is_some_and(|health| health.rejected.contains_key("unlisted"))
    })
    .await;
    // The list stays bad: the prices are queried, and the responses have new trades.
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    restore_full_list(&mut bench, &mut board, &SYMBOLS).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_04_unknown_names_do_not_keep_a_market_missing_from_the_first_list_from_being_queried() {
    let unknown: Vec<String> = ('a'..='l').map(|letter| format!("no{letter}")).collect();
    let wanted: Vec<&str> = unknown.iter().map(String::as_str).chain(SYMBOLS).collect();
    // Which ones are queried alone first is random.
    for _ in 0..3 {
        let server = Server::start(&SYMBOLS).await;
        set_list(&server, &SYMBOLS[..3]);
        let mut bench = Bench::start_with(&server, &wanted, Toy::profile(), |settings| {
            settings.list_again = WAIT_MAX * 2;
        });
        until("each is queried apart from the unknown names", || {
            let log = server.with(|state| state.log.clone());
            let queries: Vec<_> = log.iter().filter_map(|(_, line)| line.strip_prefix("get /tickers?s=")).collect();
            let good = queries.iter().filter(|query| query.split(',').all(|symbol| SYMBOLS.contains(&symbol)));
            let queried: Vec<_> = good.flat_map(|query| query.split(',')).collect();
            SYMBOLS[3..].iter().all(|symbol| queried.contains(symbol))
        })
        .await;
        assert_eq!(list_requests(&server), 1);
        let health = bench.health("unlisted", |health| health.rejected.contains_key("unlisted")).await;
        assert!(health.rejected["unlisted"] >= 12, "{health:?}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn fc_04_a_market_that_does_not_exist_is_reported_at_once_and_queried_ever_less_often() {
    let server = Server::start(&["btc", "eth"]).await;
    server.reply("/tickers?s=ghost", "404 Not Found", r#"{"error":"no such market"}"#);
    let again = Duration::from_millis(50);
    let mut bench = Bench::start_with(&server, &["btc", "eth", "ghost"], Toy::profile(), |settings| {
        settings.list_again = again;
    });
    let health = bench.health("unlisted", |health| health.rejected.contains_key("unlisted")).await;
    assert_eq!(health.rejected["unlisted"], 1);
    until("lists", || list_requests(&server) >= 6).await;
    let requests = server.logged("get /markets");
    for (at, pair) in requests.windows(2).enumerate() {
        assert!(pair[1] - pair[0] >= again * (1 << at), "{requests:?}");
    }
    let ghosts = server.with(|state| state.log.iter().filter(|(_, line)| line.contains("ghost")).count());
    assert!(ghosts <= requests.len() + 2, "{ghosts} queries during {} lists", requests.len());
    bench.stop().await;
}

#[tokio::test]
async fn fc_11_an_unlisted_market_with_a_price_does_not_make_list_requests_rarer() {
    let server = Server::start(&["btc", "eth", "link"]).await;
    set_list(&server, &["btc", "eth"]);
    let again = Duration::from_millis(50);
    let bench = Bench::start_with(&server, &["btc", "eth", "link"], Toy::profile(), |settings| {
        settings.list_again = again;
        settings.list_every = WAIT_MAX * 10;
    });
    // With growing pauses these would take more than ten minutes.
    until("lists", || list_requests(&server) >= 15).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_04_a_list_row_with_the_name_of_another_market_affects_neither() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), with_frequent_lists);
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    // The row of "eth" claims to be BTC and halted; "xrp" is listed twice, with two states.
    let rows = [r#"{"s":"eth","of":"btc","halted":true}"#, r#""xrp""#, r#"{"s":"xrp","halted":true}"#];
    let others = [r#""btc""#, r#""sol""#, r#""ada""#, r#""link""#];
    let body = format!(r#"{{"markets":[{},{}]}}"#, others.join(","), rows.join(","));
    server.reply("/markets", "200 OK", body);
    let seen = list_requests(&server);
    until_board(&mut bench, &mut board, &SYMBOLS, "three more lists", |board, health| {
        assert!(board.none_gone(), "{:?}", board.rows);
        let counted = |code: &str| health.is_some_and(|health| health.rejected.contains_key(code));
        list_requests(&server) >= seen + 3 && counted("contradiction") && counted("repeated") && board.all_live()
    })
    .await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_14_a_failed_list_request_is_reported_with_its_reason() {
    for later in [false, true] {
        let server = Server::start(&SYMBOLS).await;
        if !later {
            server.reply("/markets", "503 Service Unavailable", "");
        }
        let again = |settings: &mut sisepan::ingest::Settings| {
            with_frequent_lists(settings);
            settings.list_again = Duration::from_millis(100);
        };
        let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), again);
        let mut board = Board::new();
        until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
        server.reply("/markets", "503 Service Unavailable", "");
        until_board(&mut bench, &mut board, &SYMBOLS, "the reason", |_, health| {
            let reason = health.and_then(|health| health.list_reason.as_ref());
            reason.is_some_and(|reason| reason.message.contains("list of markets") && reason.message.contains("503"))
        })
        .await;
        assert!(board.none_gone());
        server.with(|state| state.replies.clear());
        until_board(&mut bench, &mut board, &SYMBOLS, "no reason", |_, health| {
            health.is_some_and(|health| health.list_reason.is_none())
        })
        .await;
        bench.stop().await;
    }
}

/// Sets the list to `listed` and rows that say that the symbols `others` stand for other assets.
fn set_list_with_others(server: &Server, listed: &[&str], others: &[&str]) {
    let rows = listed.iter().map(|symbol| format!(r#""{symbol}""#));
    let rows = rows.chain(others.iter().map(|symbol| format!(r#"{{"s":"{symbol}","other":true}}"#)));
    server.reply("/markets", "200 OK", format!(r#"{{"markets":[{}]}}"#, rows.collect::<Vec<_>>().join(",")));
}

#[tokio::test]
async fn a_symbol_that_stands_for_another_asset_gives_no_price_however_often_it_trades() {
    for needs_list in [false, true] {
        let server = Server::start(&SYMBOLS).await;
        set_list_with_others(&server, &SYMBOLS[..5], &["link"]);
        let profile = Profile { needs_list, ..Toy::profile() };
        // It is subscribed to before the first list, if the venue doesn't need that: its first price comes late.
        server.with(|state| state.dropped = ["link".to_owned()].into());
        server.reply("/tickers?s=btc,eth,xrp,sol,ada,link", "503 Service Unavailable", "");
        let mut bench = Bench::start_with(&server, &SYMBOLS, profile, with_frequent_lists);
        let mut board = Board::new();
        let is_off = |board: &Board| {
            SYMBOLS[..5].iter().all(|symbol| board.row(symbol).0 == State::Live)
                && board.why_no_price("link") == Some("unknown-name")
        };
        until_board(&mut bench, &mut board, &SYMBOLS, "the other asset reported", |board, _| is_off(board)).await;
        server.with(|state| state.dropped.clear());
        let requests = list_requests(&server);
        until_board(&mut bench, &mut board, &SYMBOLS, "more lists", |board, health| {
            assert_eq!(board.row("link"), (State::Unknown, None, None));
            assert!(!health.is_some_and(|health| health.rejected.contains_key("unlisted")), "{health:?}");
            list_requests(&server) > requests + 5 && is_off(board)
        })
        .await;
        // Once the list confirms it, it is read; and not any more once the list says otherwise, even a short one.
        server.with(|state| state.replies.clear());
        until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
        for listed in [&SYMBOLS[..5], &SYMBOLS[..1]] {
            set_list_with_others(&server, listed, &["link"]);
            until_board(&mut bench, &mut board, &SYMBOLS, "taken off", |board, _| {
                is_off(board) && board.row("link") == (State::Unknown, None, None)
            })
            .await;
            let requests = list_requests(&server);
            until_board(&mut bench, &mut board, &SYMBOLS, "more lists", |board, _| {
                assert_eq!(board.row("link"), (State::Unknown, None, None));
                list_requests(&server) > requests + 5 && is_off(board)
            })
            .await;
            server.with(|state| state.replies.clear());
            until_board(&mut bench, &mut board, &SYMBOLS, "live again", |board, _| board.all_live()).await;
        }
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_venue_that_needs_its_list_is_read_only_as_far_as_a_list_has_confirmed_it() {
    let server = Server::start(&SYMBOLS).await;
    server.reply("/markets", "503 Service Unavailable", "");
    let profile = Profile { needs_list: true, ..Toy::profile() };
    let mut bench = Bench::start_with(&server, &SYMBOLS, profile, |settings| {
        with_frequent_lists(settings);
        settings.list_again = Duration::from_millis(100);
    });
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "the failure reported", |_, health| {
        let reason = health.and_then(|health| health.reason.as_ref());
        list_requests(&server) > 5 && reason.is_some_and(|reason| reason.message.contains("503"))
    })
    .await;
    assert_eq!((server.logged("get /tickers").len(), server.logged("ws").len()), (0, 0));
    // Some rows can't be parsed, and one market is not listed at all: its trades alone prove nothing.
    let rows = r#"{"markets":["btc","eth","xrp",{"s":"sol","of":""},{"s":""}]}"#;
    server.reply("/markets", "200 OK", rows);
    let requests = list_requests(&server);
    until_board(&mut bench, &mut board, &SYMBOLS, "three live", |board, _| {
        SYMBOLS[..3].iter().all(|symbol| board.row(symbol).0 == State::Live) && list_requests(&server) > requests + 5
    })
    .await;
    let is_for_others = |line: &str| SYMBOLS[3..].iter().any(|symbol| line.contains(symbol));
    server.with(|state| assert!(!state.log.iter().any(|(_, line)| is_for_others(line)), "{:?}", state.log));
    server.with(|state| state.replies.clear());
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    // A row that was confirmed earlier and can't be parsed now keeps its market.
    server.reply("/markets", "200 OK", rows);
    let requests = list_requests(&server);
    until_board(&mut bench, &mut board, &SYMBOLS, "more lists", |board, _| {
        assert!(board.none_gone(), "{:?}", board.rows);
        list_requests(&server) > requests + 5
    })
    .await;
    bench.stop().await;
}
