//! Lists of markets that lack what the exchange goes on trading, and what they may take away.

use std::time::Duration;

use sisepan::board::{Quotes, Settings as BoardSettings, Wanted};
use sisepan::clock::Clock;
use sisepan::domain::{Basis, Event, HaltReason, Market, Price, SourceId, State, VenueHealth, VenueId};

use super::toy::*;

const SYMBOLS: [&str; 6] = ["btc", "eth", "xrp", "sol", "ada", "link"];

fn often(settings: &mut sisepan::ingest::Settings) {
    settings.list_every = Duration::from_millis(100);
}

/// A board that takes in what ingest tells of the toy venue.
struct Board {
    quotes: Quotes,
    clock: Clock,
    rows: std::collections::BTreeMap<Market, (State, Option<HaltReason>, Option<Price>)>,
}

impl Board {
    fn new() -> Self {
        let clock = Clock::system();
        let wanted = Wanted {
            source: SourceId::new(["toy"]),
            venues: vec![VenueId("toy")],
            markets: markets(&SYMBOLS),
            basis: Basis::Rolling24h,
        };
        let quotes = Quotes::new(&[wanted], BoardSettings::default(), clock.read());
        Self { quotes, clock, rows: std::collections::BTreeMap::new() }
    }

    fn take(&mut self, event: &Event) {
        self.quotes.apply(event.clone(), self.clock.read());
        for quote in self.quotes.publish(self.clock.read()).changed {
            self.rows.insert(quote.market.clone(), (quote.state, quote.reason, quote.last));
        }
    }

    fn row(&self, symbol: &str) -> (State, Option<HaltReason>, Option<Price>) {
        self.rows.get(&markets(&[symbol])[0]).copied().unwrap_or((State::Unknown, None, None))
    }

    fn all_live(&self) -> bool {
        SYMBOLS.iter().all(|symbol| self.row(symbol).0 == State::Live)
    }

    fn none_gone(&self) -> bool {
        SYMBOLS.iter().all(|symbol| !matches!(self.row(symbol).0, State::Halted | State::Unknown))
    }
}

fn list(server: &Server, symbols: &[&str]) {
    server.with(|world| world.listed = symbols.iter().map(|symbol| (*symbol).to_owned()).collect());
}

/// Waits until the board is as wanted while the markets `trading` go on trading.
async fn until_board(
    bench: &mut Bench,
    board: &mut Board,
    trading: &[&str],
    what: &str,
    mut is: impl FnMut(&Board, Option<&VenueHealth>) -> bool,
) {
    let (server, mut price, mut health) = (bench.server.clone(), 1000, None);
    // However busy the machine is, there is a trade between two lists.
    server.with(|world| world.trading = trading.iter().map(|symbol| (*symbol).to_owned()).collect());
    let found = tokio::time::timeout(PATIENCE, async {
        let mut beat = tokio::time::interval(Duration::from_millis(30));
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = bench.events.recv() => {
                    let event = event.expect("ingest is gone");
                    board.take(&event);
                    if let Event::Health(told) = event {
                        health = Some(told);
                    }
                }
                _ = beat.tick() => {
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

/// Waits until the list has every market again, and all are live as if nothing had been.
async fn until_whole(bench: &mut Bench, board: &mut Board, trading: &[&str]) {
    list(&bench.server, &SYMBOLS);
    until_board(bench, board, trading, "whole", |board, health| {
        board.all_live() && health.is_some_and(|health| health.list_reason.is_none())
    })
    .await;
    assert_eq!(board.quotes.take_relisted(), []);
    assert!(board.quotes.take_unrecorded().iter().all(|records| !records.anew));
}

fn lists(server: &Server) -> usize {
    server.logged("get /markets").len()
}

#[tokio::test]
async fn fc_11_lists_that_lack_most_markets_take_none_away() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), often);
    let mut board = Board::new();
    // Two of them are quiet: nothing but the length of the list speaks for them.
    let trading = &SYMBOLS[..4];
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    list(&server, &SYMBOLS[..1]);
    let asked = lists(&server);
    let mut never_gone = true;
    until_board(&mut bench, &mut board, trading, "told", |board, health| {
        never_gone &= board.none_gone();
        let Some(health) = health else { return false };
        let reason = health
            .list_reason
            .as_ref()
            .is_some_and(|reason| reason.message.contains("1 rows where the one before had 6"));
        let counted = health.problems.iter().find(|problem| problem.code == "incomplete-list");
        let counted = counted.is_some_and(|problem| problem.count >= 15 && problem.example.market.is_some());
        reason && counted && lists(&server) > asked + 5
    })
    .await;
    assert!(never_gone, "{:?}", board.rows);
    until_whole(&mut bench, &mut board, trading).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_11_a_market_that_trades_on_is_not_let_go_and_one_that_does_not_is() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), often);
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    list(&server, &SYMBOLS[..5]);
    let asked = lists(&server);
    let mut never_gone = true;
    until_board(&mut bench, &mut board, &SYMBOLS, "told", |board, health| {
        never_gone &= board.none_gone();
        let told = health.and_then(|health| health.list_reason.as_ref());
        told.is_some_and(|reason| reason.message.contains("such as LINK-KRW")) && lists(&server) > asked + 5
    })
    .await;
    assert!(never_gone, "{:?}", board.rows);

    // Its price is still answered for, and is an old one.
    until_board(&mut bench, &mut board, &SYMBOLS[..5], "gone", |board, health| {
        let (state, reason, _) = board.row("link");
        let told =
            health.is_none_or(|health| health.list_reason.is_some() || !health.rejected.contains_key("unlisted"));
        (state, reason) == (State::Halted, Some(HaltReason::Delisted)) && !told
    })
    .await;

    // The list still lacks it, and it trades again: it is asked for.
    until_board(&mut bench, &mut board, &SYMBOLS, "back", |board, _| board.all_live()).await;
    until_whole(&mut bench, &mut board, &SYMBOLS).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_11_a_delisted_market_is_let_go_though_the_others_of_its_answer_are_there() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), often);
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    server.reply("/tickers?s=link", "404 Not Found", r#"{"error":"no such market"}"#);
    list(&server, &SYMBOLS[..5]);
    until_board(&mut bench, &mut board, &SYMBOLS[..5], "gone", |board, _| {
        let (state, reason, _) = board.row("link");
        (state, reason) == (State::Halted, Some(HaltReason::Delisted))
    })
    .await;
    assert!(SYMBOLS[..5].iter().all(|symbol| board.row(symbol).0 == State::Live), "{:?}", board.rows);
    bench.stop().await;
}

#[tokio::test]
async fn fc_04_one_bad_list_at_the_start_costs_no_more_than_the_next_one() {
    let server = Server::start(&SYMBOLS).await;
    list(&server, &SYMBOLS[..1]);
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), |settings| {
        settings.list_again = Duration::from_millis(300);
    });
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "unlisted", |_, health| {
        health.is_some_and(|health| health.rejected.contains_key("unlisted"))
    })
    .await;
    // The list stays bad: the exchange is asked for the prices, and tells of new trades.
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    until_whole(&mut bench, &mut board, &SYMBOLS).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_04_wrong_names_do_not_keep_a_market_that_the_first_list_lacks_from_being_asked_for() {
    let wrong: Vec<String> = ('a'..='l').map(|letter| format!("no{letter}")).collect();
    let wanted: Vec<&str> = wrong.iter().map(String::as_str).chain(SYMBOLS).collect();
    // Which ones are asked for alone first is drawn by lot.
    for _ in 0..3 {
        let server = Server::start(&SYMBOLS).await;
        list(&server, &SYMBOLS[..3]);
        let mut bench = Bench::start_with(&server, &wanted, Toy::profile(), |settings| {
            settings.list_again = PATIENCE * 2;
        });
        until("each is asked for apart from the wrong names", || {
            let log = server.with(|world| world.log.clone());
            let questions: Vec<_> = log.iter().filter_map(|(_, line)| line.strip_prefix("get /tickers?s=")).collect();
            let good = questions.iter().filter(|asked| asked.split(',').all(|symbol| SYMBOLS.contains(&symbol)));
            let asked: Vec<_> = good.flat_map(|asked| asked.split(',')).collect();
            SYMBOLS[3..].iter().all(|symbol| asked.contains(symbol))
        })
        .await;
        assert_eq!(lists(&server), 1);
        let health = bench.health("told", |health| health.rejected.contains_key("unlisted")).await;
        assert!(health.rejected["unlisted"] >= 12, "{health:?}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn fc_04_a_market_that_does_not_exist_is_told_at_once_and_asked_for_ever_less_often() {
    let server = Server::start(&["btc", "eth"]).await;
    server.reply("/tickers?s=ghost", "404 Not Found", r#"{"error":"no such market"}"#);
    let again = Duration::from_millis(50);
    let mut bench = Bench::start_with(&server, &["btc", "eth", "ghost"], Toy::profile(), |settings| {
        settings.list_again = again;
    });
    let health = bench.health("unlisted", |health| health.rejected.contains_key("unlisted")).await;
    assert_eq!(health.rejected["unlisted"], 1);
    until("lists", || lists(&server) >= 6).await;
    let asked = server.logged("get /markets");
    for (at, pair) in asked.windows(2).enumerate() {
        assert!(pair[1] - pair[0] >= again * (1 << at), "{asked:?}");
    }
    let ghosts = server.with(|world| world.log.iter().filter(|(_, line)| line.contains("ghost")).count());
    assert!(ghosts <= asked.len() + 2, "{ghosts} questions in {} lists", asked.len());
    bench.stop().await;
}

#[tokio::test]
async fn fc_11_a_market_that_lists_lack_and_that_has_a_price_is_looked_for_as_often_as_one_that_they_had() {
    let server = Server::start(&["btc", "eth", "link"]).await;
    list(&server, &["btc", "eth"]);
    let again = Duration::from_millis(50);
    let bench = Bench::start_with(&server, &["btc", "eth", "link"], Toy::profile(), |settings| {
        settings.list_again = again;
        settings.list_every = PATIENCE * 10;
    });
    // Ever longer pauses would be of more than ten minutes by then.
    until("lists", || lists(&server) >= 15).await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_04_a_row_that_names_another_market_than_its_symbol_spoils_neither() {
    let server = Server::start(&SYMBOLS).await;
    let mut bench = Bench::start_with(&server, &SYMBOLS, Toy::profile(), often);
    let mut board = Board::new();
    until_board(&mut bench, &mut board, &SYMBOLS, "live", |board, _| board.all_live()).await;
    // "eth" says that it is BTC and halted, and "xrp" is there twice, with two states.
    let rows = [r#"{"s":"eth","of":"btc","halted":true}"#, r#""xrp""#, r#"{"s":"xrp","halted":true}"#];
    let others = [r#""btc""#, r#""sol""#, r#""ada""#, r#""link""#];
    let body = format!(r#"{{"markets":[{},{}]}}"#, others.join(","), rows.join(","));
    server.reply("/markets", "200 OK", body);
    let seen = lists(&server);
    until_board(&mut bench, &mut board, &SYMBOLS, "three more lists", |board, health| {
        assert!(board.none_gone(), "{:?}", board.rows);
        let counted = |code: &str| health.is_some_and(|health| health.rejected.contains_key(code));
        lists(&server) >= seen + 3 && counted("contradiction") && counted("repeated") && board.all_live()
    })
    .await;
    bench.stop().await;
}

#[tokio::test]
async fn fc_14_a_list_that_can_not_be_had_is_told_with_its_reason() {
    for later in [false, true] {
        let server = Server::start(&SYMBOLS).await;
        if !later {
            server.reply("/markets", "503 Service Unavailable", "");
        }
        let again = |settings: &mut sisepan::ingest::Settings| {
            often(settings);
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
        server.with(|world| world.replies.clear());
        until_board(&mut bench, &mut board, &SYMBOLS, "no reason", |_, health| {
            health.is_some_and(|health| health.list_reason.is_none())
        })
        .await;
        bench.stop().await;
    }
}
