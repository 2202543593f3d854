//! `/market/{id}`, called through the router.

use axum::body::Body;
use axum::http::Request;
use sisepan::clock::Clock;
use sisepan::market::{Base, BaseSource, Quote};
use sisepan::web::{AppParts, AppState};

use super::{MinuteCloses, memory_history, minute, price, rising};
use crate::api::setup::{bitcoin, board, changed, get, hub, quote, send_request, text, time};

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

fn app(row: Quote, closes: &MinuteCloses, demo: bool) -> AppState {
    let hub = hub();
    let name = row.market.as_str().to_owned();
    let history = memory_history("bithumb", &name, closes);
    hub.publish(changed([row]));
    let boards = vec![board("krw", &[&name, "ETH-KRW"]), board("other", &["ADA-KRW"])];
    AppState::new(AppParts {
        hub: hub.served(),
        boards: crate::api::setup::fixed_boards(boards),
        clock: Clock::manual(time(NOW)),
        demo,
        history: Some(history),
        store_health: None,
    })
}

async fn page(app: &AppState, path: &str) -> String {
    let response = get(app, path).await;
    assert_eq!(response.status(), 200, "{path}");
    text(response).await
}

/// A day in won, with a gap of an hour.
fn day() -> MinuteCloses {
    let end = minute(NOW);
    let mut closes = rising(end - 1441..end, 139_000_000);
    closes.retain(|&at, _| !(end - 700..end - 640).contains(&at));
    closes
}

#[tokio::test]
async fn the_page_shows_the_change_on_every_basis_with_its_base_price_and_time() {
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
                "거래소 제공",
            ],
        ),
        (
            "en",
            [
                "Bitcoin",
                "142,187,000",
                "14 Jan 06:27 UTC",
                "Over 24 hours",
                "Since 00:00 UTC",
                "Since 00:00 KST",
                "from the exchange",
            ],
        ),
        (
            "ja",
            [
                "ビットコイン",
                "142,187,000",
                "1月14日 15:27 JST",
                "24時間前比",
                "午前9時（日本時間）から",
                "午前0時（日本時間）から",
                "取引所提供",
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
async fn the_plots_need_no_script_and_a_gap_interrupts_the_line() {
    let body = page(&app(three_bases(), &day(), false), "/market/BTC-KRW?lang=ko").await;
    let plots: Vec<_> = body.split("<svg class=\"plot\"").skip(1).collect();
    assert_eq!(plots.len(), 2);
    for plot in &plots {
        assert!(plot.contains("role=\"img\"") && plot.contains("aria-label=\"비트코인 "), "it has a description");
        let closes: Vec<_> =
            plot.split("data-close=\"").nth(1).unwrap().split('"').next().unwrap().split(' ').collect();
        assert!(
            closes.len() > 160 && closes.contains(&"-") && closes.iter().any(|close| close.starts_with("13900")),
            "its closes are readable by the script"
        );
        let line = plot.split("class=\"line\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(line.matches('M').count(), 2, "one line before the gap and one after it: {line}");
        assert!(line.chars().all(|c| c.is_ascii_digit() || " MLH-".contains(c)), "{line}");
        assert!(plot.contains("data-direction=\"rise\"") && plot.contains("class=\"last\" cx=\"100.00%\""));
    }
    assert!(plots[0].contains("class=\"base\"") && plots[0].contains(">142,187,000<") && plots[0].contains(">00:00<"));
    assert!(!plots[1].contains("class=\"base\"") && plots[1].contains(">1/14<"));
    assert!(!body.contains("style=") && !body.contains("<style"));
}

#[tokio::test]
async fn a_plot_with_a_shorter_history_says_since_when() {
    let end = minute(NOW);
    for (minutes, since_day, since_week) in [
        // Six hours: both plots are incomplete. A day: the week is. Seven days: neither.
        (360, Some("00:28"), Some("00:28")),
        (1441, None, Some("06:27")),
        (7 * 1441, None, None),
    ] {
        let app = app(three_bases(), &rising(end - minutes..end, 139_000_000), false);
        let body = page(&app, "/market/BTC-KRW?lang=en").await;
        let week = page(&app, "/embed/chart?markets=BTC-KRW&span=7d&lang=en").await;
        let plots: Vec<_> = body.split("<svg class=\"plot\"").skip(1).collect();
        for (plot, since) in [(plots[0], since_day), (plots[1], since_week), (&week, since_week)] {
            let note = plot.split(">data since ").nth(1).map(|rest| rest.split('<').next().unwrap());
            assert!(note.unwrap_or_default().contains(since.unwrap_or_default()), "{minutes}: {note:?}, not {since:?}");
            assert_eq!(note.is_some(), since.is_some(), "{minutes}: {note:?}");
            assert_eq!(
                plot.matches("data since").count(),
                if since.is_some() { 2 } else { 0 },
                "drawn, and for screen readers"
            );
        }
    }
    let app = app(three_bases(), &rising(end - 360..end, 139_000_000), false);
    for (lang, words) in [("ko", "01.15 09:28 이후 데이터"), ("ja", "01.15 09:28以降のデータ")] {
        let body = page(&app, &format!("/market/BTC-KRW?lang={lang}")).await;
        assert!(body.contains(&format!(">{words}</text>")), "{body}");
    }
}

#[tokio::test]
async fn a_quiet_day_is_a_flat_line_and_a_missing_history_is_stated() {
    let end = minute(NOW);
    let mut closes: MinuteCloses = (end - 1441..end).map(|at| (at, None)).collect();
    closes.insert(end - 1441, Some(price("142187000")));
    let row = Quote { bases: [None; 3], ..bitcoin() };
    let body = page(&app(row.clone(), &closes, false), "/market/BTC-KRW?lang=ko").await;
    let line = body.split("class=\"line\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    let heights: Vec<_> = line.split(['M', 'L']).skip(1).map(|point| point.split(' ').nth(1).unwrap()).collect();
    assert!(heights.iter().all(|y| *y == "7250") && line.len() < 40, "{line}");
    let body = page(&app(row, &MinuteCloses::new(), false), "/market/BTC-KRW?lang=ko").await;
    assert!(body.contains("아직 데이터가 없습니다") && body.contains("142,187,000"));
}

#[tokio::test]
async fn an_unknown_market_is_not_found_and_the_page_lists_known_ones() {
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
    let app = app(row, &MinuteCloses::new(), true);
    for lang in ["ko", "en", "ja"] {
        let body = page(&app, &format!("/market/%3CB%3E%27-KRW?lang={lang}")).await;
        assert!(!body.contains("<script>") && !body.contains("<B>"), "{lang}");
        assert!(body.contains("DEMO"));
    }
    let home = page(&app, "/?lang=ko").await;
    assert!(home.contains("href=\"market/%3CB%3E%27-KRW?board=krw"), "the row links to its page");
}

#[tokio::test]
async fn the_page_may_not_be_framed_and_is_not_sent_twice() {
    let app = app(three_bases(), &day(), false);
    let first = get(&app, "/market/BTC-KRW").await;
    let headers = first.headers();
    let csp = headers["content-security-policy"].to_str().unwrap();
    assert!(csp.contains("script-src 'self'") && csp.ends_with("frame-ancestors 'none'") && !csp.contains("unsafe"));
    let again = Request::get("/market/BTC-KRW").header("if-none-match", &headers["etag"]).body(Body::empty()).unwrap();
    assert_eq!(send_request(&app, again).await.status(), 304);
}

#[tokio::test]
async fn only_the_start_page_links_to_the_pages_of_its_markets() {
    let app = app(three_bases(), &day(), false);
    assert!(page(&app, "/?lang=ko").await.contains("<a href=\"market/BTC-KRW?board=krw"));
    for path in ["/embed/board", "/fragment/board"] {
        assert!(!page(&app, path).await.contains("market/BTC-KRW"), "{path}");
    }
}

/// Returns every text between `start` and `end`.
fn between<'a>(page: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    page.split(start).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

fn parse_figure(text: &str) -> i64 {
    text.replace(',', "").parse().unwrap()
}

/// Returns the labels of a plot: its highest and its lowest price.
fn extremes(plot: &str) -> [i64; 2] {
    let labels: Vec<i64> = plot
        .split("<text class=\"extreme\"")
        .skip(1)
        .map(|rest| parse_figure(rest.split('>').nth(1).unwrap().split('<').next().unwrap()))
        .collect();
    labels.try_into().unwrap()
}

#[tokio::test]
async fn fc_49_extremes_come_from_minute_closes_and_the_line_reaches_the_newest_price() {
    let end = minute(NOW);
    let at = |price: i64| sisepan::market::Price::new(price.into());
    // The peaks and lows are beside gaps, so that no complete bar contains them.
    let mut week: MinuteCloses = (end - 9000..end).map(|minute| (minute, at(3000 + minute % 5))).collect();
    for (minute, close) in [(end - 30, 3076), (end - 200, 2950), (end - 4000, 3090), (end - 4500, 2900)] {
        week.insert(minute, at(close));
        week.remove(&(minute + 7));
        week.remove(&(minute - 9));
    }
    // The line resumes two minutes before its end, after a gap.
    week.retain(|&minute, _| !(end - 13..end - 2).contains(&minute));
    let row = |last: &str| Quote { last: Some(price(last)), ..bitcoin() };
    for (last, day, seven) in [
        ("3002", [3076, 2950], [3090, 2900]),
        ("3083", [3083, 2950], [3090, 2900]),
        ("3099", [3099, 2950], [3099, 2900]),
        ("2890", [3076, 2890], [3090, 2890]),
    ] {
        let page = page(&app(row(last), &week, false), "/market/BTC-KRW?lang=ko").await;
        let plots: Vec<&str> = page.split("<svg class=\"plot\"").skip(1).collect();
        assert_eq!([extremes(plots[0]), extremes(plots[1])], [day, seven], "{last}");
        for plot in plots {
            let line = between(plot, "class=\"line\" d=\"", "\"")[0];
            let end = line.rsplit('L').next().unwrap();
            let (x, y) = end.split_once(' ').unwrap();
            let dot = between(plot, "class=\"last\" cx=\"100.00%\" cy=\"", "em\"")[0].replace('.', "");
            assert_eq!((x, y.parse::<i64>().unwrap() + 2200), ("10000", dot.parse().unwrap()), "{last}: {line}");
        }
    }
    // A stale price is drawn at its confirmation time, not at the right edge.
    let stale =
        Quote { state: sisepan::market::State::Stale, confirmed_at: Some(time("2026-01-15T05:27:30Z")), ..row("3002") };
    week.retain(|&minute, _| minute < end - 60);
    for path in ["/market/BTC-KRW?lang=ko", "/embed/chart?markets=BTC-KRW&lang=ko"] {
        let page = page(&app(stale.clone(), &week, false), path).await;
        let x = between(&page, "class=\"last\" cx=\"", "%\"")[0];
        assert!(x.starts_with("95.8"), "{path}: {x}");
        let line = between(&page, "class=\"line\" d=\"", "\"")[0];
        assert!(line.rsplit('L').next().unwrap().starts_with("958"), "{path}: {line}");
    }
    // So does the sparkline.
    let page = page(&app(stale, &week, false), "/?lang=ko").await;
    assert!(between(&page, "<path class=\"last\" d=\"M", " ")[0].starts_with("92"), "{page}");
}

#[tokio::test]
async fn fc_40_a_plot_carries_the_state_of_its_price() {
    use sisepan::market::State;
    for state in [State::Live, State::Delayed, State::Stale, State::Halted] {
        let app = app(Quote { state, ..three_bases() }, &day(), false);
        for (path, plots) in
            [("/market/BTC-KRW", 2), ("/embed/chart?markets=BTC-KRW", 1), ("/fragment/chart?markets=BTC-KRW", 1)]
        {
            let page = page(&app, path).await;
            let svg = between(&page, "<svg class=\"plot\"", ">");
            assert_eq!(svg.len(), plots, "{path}");
            for plot in svg {
                assert!(plot.contains(&format!("data-state=\"{}\"", state.as_str())), "{path}: {plot}");
            }
        }
        let page = page(&app, "/market/BTC-KRW").await;
        for part in ["<div class=\"quote\"", "<div class=\"from\"", "<div class=\"told\""] {
            assert!(between(&page, part, ">")[0].contains(&format!("data-state=\"{}\"", state.as_str())), "{part}");
        }
    }
}
