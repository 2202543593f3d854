//! `/market/{id}`, asked of the router.

use axum::body::Body;
use axum::http::Request;
use sisepan::clock::Clock;
use sisepan::domain::{Base, BaseSource, Quote};
use sisepan::web::{AppState, Shared};

use super::{Told, kept, minute, price, rising};
use crate::api::setup::{ask, bitcoin, board, changed, get, hub, quote, text, time};

const NOW: &str = "2026-01-15T06:27:04Z";

fn three_bases() -> Quote {
    let base = |text: &str, at: &str, source| Some(Base { price: price(text), at: time(at), source });
    Quote {
        bases: [
            base("139290000", "2026-01-14T06:27:00Z", BaseSource::Window),
            base("142187000", "2026-01-15T00:00:00Z", BaseSource::Window),
            base("143000000", "2026-01-14T15:00:00Z", BaseSource::Venue),
        ],
        ..bitcoin()
    }
}

fn app(row: Quote, told: &Told, demo: bool) -> AppState {
    let hub = hub();
    let name = row.market.as_str().to_owned();
    let history = kept("bithumb", &name, told);
    hub.publish(changed([row]));
    let boards = vec![board("krw", &[&name, "ETH-KRW"]), board("other", &["ADA-KRW"])];
    AppState::new(Shared { hub, boards, clock: Clock::manual(time(NOW)), demo, history: Some(history), keeper: None })
}

async fn page(app: &AppState, path: &str) -> String {
    let response = get(app, path).await;
    assert_eq!(response.status(), 200, "{path}");
    text(response).await
}

/// A day in won, with a hole of an hour.
fn day() -> Told {
    let end = minute(NOW);
    let mut told = rising(end - 1441..end, 139_000_000);
    told.retain(|&at, _| !(end - 700..end - 640).contains(&at));
    told
}

#[tokio::test]
async fn the_change_stands_on_every_basis_with_its_base_in_words() {
    let app = app(three_bases(), &day(), false);
    for (lang, texts) in [
        (
            "ko",
            [
                "비트코인",
                "142,187,000",
                "1월 14일 15:27 KST",
                "24시간 전 대비",
                "오전 9시(한국시간) 대비",
                "0시(한국시간) 대비",
                "거래소 값",
            ],
        ),
        (
            "en",
            [
                "Bitcoin",
                "142,187,000",
                "14 Jan 06:27 UTC",
                "Since 24 hours ago",
                "Since 00:00 UTC",
                "Since 00:00 KST",
                "the exchange&#39;s figure",
            ],
        ),
        (
            "ja",
            [
                "ビットコイン",
                "142,187,000",
                "1月14日 15:27 JST",
                "24時間前から",
                "午前9時(日本時間)から",
                "午前0時(日本時間)から",
                "取引所の値",
            ],
        ),
    ] {
        let body = page(&app, &format!("/market/btc-krw?lang={lang}")).await;
        for text in texts {
            assert!(body.contains(text), "{lang}: {text}");
        }
        for text in [
            "+2.08%",
            "+2,897,000",
            "139,290,000",
            ">0.00%",
            "-0.57%",
            "-813,000",
            "143,000,000",
            "142,500,000",
            "138,900,000",
            "1,235",
            "175,000,000,000",
        ] {
            assert!(body.contains(text), "{lang}: {text}");
        }
    }
}

#[tokio::test]
async fn the_plots_are_complete_without_script_and_a_hole_is_a_gap() {
    let body = page(&app(three_bases(), &day(), false), "/market/BTC-KRW?lang=ko").await;
    let plots: Vec<_> = body.split("<svg class=\"plot\"").skip(1).collect();
    assert_eq!(plots.len(), 2);
    for plot in &plots {
        assert!(plot.contains("role=\"img\"") && plot.contains("aria-label=\"비트코인 "), "it says what it shows");
        let closes: Vec<_> =
            plot.split("data-close=\"").nth(1).unwrap().split('"').next().unwrap().split(' ').collect();
        assert!(
            closes.len() > 160 && closes.contains(&"-") && closes.iter().any(|close| close.starts_with("13900")),
            "it can be read out"
        );
        let line = plot.split("class=\"line\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(line.matches('M').count(), 2, "one line before the hole and one after it: {line}");
        assert!(line.chars().all(|c| c.is_ascii_digit() || " MLH-".contains(c)), "{line}");
        assert!(plot.contains("data-direction=\"rise\"") && plot.contains("class=\"last\" cx=\"100%\""));
    }
    assert!(plots[0].contains("class=\"base\"") && plots[0].contains(">139,001,440<") && plots[0].contains(">00:00<"));
    assert!(!plots[1].contains("class=\"base\"") && plots[1].contains(">1/14<"));
    assert!(!body.contains("style=") && !body.contains("<style"));
}

#[tokio::test]
async fn a_quiet_day_is_a_flat_line_and_no_past_says_so() {
    let end = minute(NOW);
    let mut told: Told = (end - 1441..end).map(|at| (at, None)).collect();
    told.insert(end - 1441, Some(price("142187000")));
    let row = Quote { bases: [None; 3], ..bitcoin() };
    let body = page(&app(row.clone(), &told, false), "/market/BTC-KRW?lang=ko").await;
    let line = body.split("class=\"line\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    let heights: Vec<_> = line.split(['M', 'L']).skip(1).map(|point| point.split(' ').nth(1).unwrap()).collect();
    assert!(heights.iter().all(|y| *y == "7250") && line.len() < 40, "{line}");
    let body = page(&app(row, &Told::new(), false), "/market/BTC-KRW?lang=ko").await;
    assert!(body.contains("아직 기록이 없습니다") && body.contains("142,187,000"));
}

#[tokio::test]
async fn an_unknown_market_is_not_found_and_is_told_which_there_are() {
    let app = app(three_bases(), &day(), false);
    for path in ["/market/DOGE-KRW", "/market/%3Cscript%3E", "/market/x", "/market/ADA-KRW?board=krw"] {
        let response = get(&app, path).await;
        assert_eq!(response.status(), 404, "{path}");
        assert!(response.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
        let body = text(response).await;
        assert!(body.contains("BTC-KRW") && body.contains("href=\"../page.css\""), "{body}");
        assert!(!body.contains("<script>"));
    }
    assert_eq!(get(&app, "/market/ADA-KRW").await.status(), 200, "a market of another board");
    assert_eq!(get(&app, "/market/BTC-KRW?basis=x").await.status(), 400);
}

#[tokio::test]
async fn a_row_that_was_never_published_has_a_page_of_dashes() {
    let body = page(&app(three_bases(), &day(), false), "/market/ETH-KRW?lang=ko").await;
    assert!(body.contains("이더리움") && body.contains("data-state=\"unknown\"") && body.contains("시세 없음"));
    assert!(body.contains("data-cell=\"last\">–<") && body.contains("data-cell=\"change\">–<"));
}

#[tokio::test]
async fn a_hostile_name_stays_text_on_the_page_of_its_market() {
    let evil = "\"><script>alert(1)</script>";
    let row = Quote { korean_name: Some(evil.into()), english_name: Some(evil.into()), ..quote("<B>'-KRW", "1") };
    let app = app(row, &Told::new(), true);
    for lang in ["ko", "en", "ja"] {
        let body = page(&app, &format!("/market/%3CB%3E%27-KRW?lang={lang}")).await;
        assert!(!body.contains("<script>") && !body.contains("<B>"), "{lang}");
        assert!(body.contains("DEMO"));
    }
    let home = page(&app, "/?lang=ko").await;
    assert!(home.contains("href=\"market/%3CB%3E%27-KRW?board=krw"), "the row links to its page");
}

#[tokio::test]
async fn the_page_is_ours_alone_and_is_not_sent_twice() {
    let app = app(three_bases(), &day(), false);
    let first = get(&app, "/market/BTC-KRW").await;
    let headers = first.headers();
    let csp = headers["content-security-policy"].to_str().unwrap();
    assert!(csp.contains("script-src 'self'") && csp.ends_with("frame-ancestors 'none'") && !csp.contains("unsafe"));
    let again = Request::get("/market/BTC-KRW").header("if-none-match", &headers["etag"]).body(Body::empty()).unwrap();
    assert_eq!(ask(&app, again).await.status(), 304);
}

#[tokio::test]
async fn only_our_own_board_links_to_the_pages_of_its_markets() {
    let app = app(three_bases(), &day(), false);
    assert!(page(&app, "/?lang=ko").await.contains("<a href=\"market/BTC-KRW?board=krw"));
    for path in ["/embed/board", "/fragment/board"] {
        assert!(!page(&app, path).await.contains("market/BTC-KRW"), "{path}");
    }
}
