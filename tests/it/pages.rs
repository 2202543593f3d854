//! The pages that visitors see, called through the router.

use std::sync::Arc;
use std::time::Duration;

use crate::test_hub::TestHub;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use sisepan::clock::Clock;
use sisepan::config::Board;
use sisepan::feed::{BoardUpdate, Reason, ReasonCode, VenueHealth, VenueState};
use sisepan::market::{Base, BaseSource, Basis, Market, Quote, SourceId, State, VenueId};
use sisepan::web::{AppParts, AppState, router};
use tower::ServiceExt;

/// The reference board: market, Korean name, last price, and the texts of price and change.
const REFERENCE: [(&str, &str, &str, &str, &str); 11] = [
    ("BTC-KRW", "비트코인", "142187000", "142,187,000", "+2.08%"),
    ("ETH-KRW", "이더리움", "4949000", "4,949,000", "+2.02%"),
    ("BCH-KRW", "비트코인 캐시", "914000", "914,000", "+2.87%"),
    ("XRP-KRW", "리플", "3104", "3,104", "-0.86%"),
    ("SOL-KRW", "솔라나", "213500", "213,500", "+0.52%"),
    ("ADA-KRW", "에이다", "595", "595", "-2.94%"),
    ("TRX-KRW", "트론", "447", "447", "+0.68%"),
    ("XLM-KRW", "스텔라루멘", "340", "340", "-4.49%"),
    ("BSV-KRW", "비트코인에스브이", "29670", "29,670", "+1.75%"),
    ("LINK-KRW", "체인링크", "20590", "20,590", "+0.15%"),
    ("SAND-KRW", "샌드박스", "183", "183", "-1.61%"),
];

/// Base prices that give the changes of the reference board.
const BASES: [&str; 11] =
    ["139290000", "4851000", "888500", "3131", "212400", "613", "444", "356", "29160", "20560", "186"];

fn now() -> Timestamp {
    "2026-01-15T06:27:15Z".parse().unwrap()
}

fn source() -> SourceId {
    SourceId::new(["bithumb", "upbit"])
}

fn quote(market: &str, last: &str, base: Option<&str>) -> Quote {
    let at = "2026-01-15T06:27:03Z".parse().unwrap();
    let base = base.map(|price| Base {
        price: price.parse().unwrap(),
        at: "2026-01-14T06:27:00Z".parse().unwrap(),
        source: BaseSource::Window,
    });
    Quote {
        market: market.parse().unwrap(),
        source: source(),
        venue: VenueId("bithumb"),
        fallback: false,
        korean_name: None,
        english_name: None,
        last: Some(last.parse().unwrap()),
        bases: [base; 3],
        no_base_reasons: Default::default(),
        percent_places: 2,
        digits: 0,
        high_24h: None,
        low_24h: None,
        range_source: None,
        base_volume_24h: None,
        quote_volume_24h: None,
        state: State::Live,
        reason: None,
        notice: None,
        traded_at: None,
        received_at: Some(at),
        confirmed_at: Some(at),
    }
}

fn health(venue: &'static str, state: VenueState, reason: Option<Reason>) -> VenueHealth {
    VenueHealth {
        state,
        reason,
        markets_live: 11,
        connects: 1,
        ..VenueHealth::new(VenueId(venue), 11, "2026-01-15T06:20:00Z".parse().unwrap())
    }
}

fn reference() -> Vec<Quote> {
    REFERENCE.iter().zip(BASES).map(|(row, base)| quote(row.0, row.2, Some(base))).collect()
}

fn app_with(quotes: Vec<Quote>, venues: Vec<VenueHealth>, markets: &[&str], demo: bool) -> axum::Router {
    let hub = TestHub::new("epoch");
    hub.publish(BoardUpdate {
        at: now(),
        changed: quotes.into_iter().map(Arc::new).collect(),
        venues,
        ..BoardUpdate::default()
    });
    app_of(hub, markets, demo)
}

fn app_of(hub: TestHub, markets: &[&str], demo: bool) -> axum::Router {
    let markets: Vec<Market> = markets.iter().map(|market| market.parse().unwrap()).collect();
    let board = |id: &str, titles: [&str; 3], markets: Vec<Market>| Board {
        id: id.to_owned(),
        titles: titles.map(str::to_owned),
        markets: markets.into(),
        source: source(),
        basis: Basis::Rolling24h,
    };
    let boards = vec![
        board("krw", ["실시간 암호화폐 시세", "Live crypto prices", "暗号資産リアルタイム価格"], markets),
        board("usdt", ["USDT 시세", "USDT prices", "USDT建て価格"], vec!["BTC-USDT".parse().unwrap()]),
    ];
    router(AppState::new(AppParts {
        hub: hub.served(),
        boards: crate::api::setup::fixed_boards(boards),
        clock: Clock::manual(now()),
        history: None,
        store_health: None,
        demo,
    }))
}

fn app() -> axum::Router {
    let markets = REFERENCE.map(|row| row.0);
    app_with(reference(), vec![health("bithumb", VenueState::Up, None)], &markets, false)
}

struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Response {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns every text between `start` and `end`.
    fn between(&self, start: &str, end: &str) -> Vec<&str> {
        self.body.split(start).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
    }
}

async fn get_with(app: axum::Router, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = tokio::time::timeout(Duration::from_secs(10), app.oneshot(request.body(Body::empty()).unwrap()));
    let (parts, body) = response.await.unwrap().unwrap().into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let body = String::from_utf8_lossy(&body).into_owned();
    Response { status: parts.status, headers: parts.headers, body }
}

async fn get(path: &str) -> Response {
    get_with(app(), path, &[]).await
}

#[tokio::test]
async fn the_default_board_has_its_reference_texts() {
    for path in ["/?lang=ko", "/embed/board?lang=ko", "/fragment/board?lang=ko"] {
        let page = get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(page.between("data-cell=\"name\">", "<"), REFERENCE.map(|row| row.1), "{path}");
        assert_eq!(page.between("data-cell=\"last\">", "<"), REFERENCE.map(|row| row.3), "{path}");
        assert_eq!(page.between("data-cell=\"change\">", "<"), REFERENCE.map(|row| row.4), "{path}");
        for text in ["실시간 암호화폐 시세", ">종목<", ">현재가(원)<", ">변동률<", "* 24시간 변동률 기준", ">빗썸<"]
        {
            assert!(page.body.contains(text), "{path}: {text}");
        }
        assert!(page.body.contains(r#"title="기준 139,290,000 · 01-14 15:27 KST""#));
        assert!(page.body.contains(r#"data-cell="word">상승<"#) && page.body.contains(r#"data-cell="word">하락<"#));
    }
}

#[tokio::test]
async fn each_basis_has_its_own_footnote() {
    for (query, note) in [
        ("basis=24h&lang=ko", "* 24시간 변동률 기준"),
        ("basis=utc-day&lang=ko", "* 오전 9시(한국시간) 대비 변동률 기준"),
        ("basis=kst-day&lang=ko", "* 0시(한국시간) 대비 변동률 기준"),
        ("basis=utc-day&lang=en", "* Change since 00:00 UTC"),
        ("basis=24h&lang=ja", "* 24時間の変動率"),
    ] {
        let page = get(&format!("/embed/board?{query}")).await;
        assert!(page.body.contains(note), "{query}");
        assert_eq!(page.body.contains("24시간 변동률"), query == "basis=24h&lang=ko", "{query}");
    }
}

#[tokio::test]
async fn the_language_is_the_requested_or_the_preferred_one() {
    let english = get_with(app(), "/embed/board", &[("accept-language", "en-GB,en;q=0.9,ko;q=0.5")]).await;
    assert!(english.body.contains(r#"<html lang="en""#) && english.body.contains(">Bitcoin Cash<"));
    assert!(english.body.contains(">Price (KRW)<") && english.body.contains(r#"data-colors="intl""#));
    assert_eq!(english.header("vary").to_ascii_lowercase().matches("accept-language").count(), 1);
    let korean = get_with(app(), "/embed/board?lang=ko", &[("accept-language", "en")]).await;
    assert!(korean.body.contains(r#"<html lang="ko""#) && korean.body.contains(r#"data-colors="kr""#));
    let japanese = get("/fragment/board?lang=ja").await;
    assert!(japanese.body.contains("ビットコイン") && japanese.body.contains(r#"data-colors="jp""#));
}

#[tokio::test]
async fn a_hostile_name_stays_text() {
    let evil = "<img src=x onerror=alert(1)>";
    let mut row = quote("EVIL-KRW", "1", None);
    row.korean_name = Some(evil.into());
    row.english_name = Some("\"><script>alert(1)</script>".into());
    let reason = Reason::new(ReasonCode::Refused, evil);
    for path in ["/?lang=ko", "/embed/board?lang=en", "/fragment/board?lang=ko"] {
        let venues = vec![health("bithumb", VenueState::Down, Some(reason.clone()))];
        let page = get_with(app_with(vec![row.clone()], venues, &["EVIL-KRW"], false), path, &[]).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.body.contains("<img") && !page.body.contains("alert(1)</script>"), "{path}");
        assert!(page.body.contains("&#60;"), "{path}: the escaped name is shown");
    }
}

#[tokio::test]
async fn unknown_values_are_dashes() {
    let quotes = vec![quote("BTC-KRW", "142187000", None)];
    let page = get_with(app_with(quotes, vec![], &["BTC-KRW", "ETH-KRW"], false), "/fragment/board?lang=ko", &[]).await;
    assert_eq!(page.between("data-cell=\"last\">", "<"), ["142,187,000", "–"]);
    assert_eq!(page.between("data-cell=\"change\">", "<"), ["–", "–"]);
    assert_eq!(page.between("data-state=\"", "\"")[..2], ["live", "unknown"]);
    assert_eq!(page.between("data-direction=\"", "\""), ["even", "even"]);
    assert!(page.body.contains(">이더리움<"));
}

#[tokio::test]
async fn a_row_that_is_not_live_states_why() {
    let mut rows = reference();
    rows[0].state = State::Stale;
    rows[1].state = State::Delayed;
    rows[2].state = State::Halted;
    rows[3].fallback = true;
    rows[3].venue = VenueId("upbit");
    let reason = Reason::new(ReasonCode::Silent, "bithumb: no data for 10 s");
    let venues = vec![health("bithumb", VenueState::Down, Some(reason))];
    let app = app_with(rows, venues, &REFERENCE.map(|row| row.0), false);
    let page = get_with(app.clone(), "/fragment/board?lang=ko", &[]).await;
    assert_eq!(page.between("data-cell=\"mark\">", "<")[..5], ["12초 전", "지연", "거래 중단", "업비트", ""]);
    assert_eq!(page.between("data-cell=\"last\">", "<")[0], "142,187,000");
    assert!(page.body.contains("빗썸 연결 끊김: 데이터 수신 없음"));
    let home = get_with(app, "/?lang=ko", &[]).await;
    assert!(home.body.contains("데이터 수신 없음") && home.body.contains("15:20:00 KST"), "{}", home.body);
    assert!(!home.body.contains("no data for 10 s"), "the detail is for the API and the log");
}

#[tokio::test]
async fn a_board_has_the_state_of_its_best_row() {
    for (state, data_live, text) in [
        (State::Live, None, "15:27:03"),
        (State::Delayed, Some("delayed"), "지연 · 15:27:03"),
        (State::Stale, Some("stale"), "갱신 중단 · 15:27:03"),
        (State::Halted, Some("halted"), "거래 중단 · 15:27:03"),
        (State::Unknown, Some("unknown"), "시세 없음"),
    ] {
        let mut rows = reference();
        rows.iter_mut().for_each(|row| row.state = State::Unknown);
        rows[3].state = state;
        let page = get_with(app_with(rows, vec![], &REFERENCE.map(|row| row.0), false), "/fragment/board?lang=ko", &[]);
        let page = page.await;
        assert_eq!(page.between("data-live=\"", "\"").first().copied(), data_live, "{state:?}");
        let clock = page.between("data-cell=\"clock\"", "<")[0];
        assert!(clock.ends_with(&format!(">{text}")), "{state:?}: {clock}");
    }
}

#[tokio::test]
async fn demo_prices_are_marked() {
    for path in ["/?lang=ko", "/embed/board", "/fragment/board"] {
        let demo = app_with(reference(), vec![], &["BTC-KRW"], true);
        assert!(get_with(demo, path, &[]).await.body.contains("DEMO"), "{path}");
        assert!(!get(path).await.body.contains("DEMO"), "{path}");
    }
}

#[tokio::test]
async fn markets_can_be_selected_in_any_order() {
    let page = get("/fragment/board?markets=xrp-krw,BTC-KRW,XRP-KRW").await;
    assert_eq!(page.between("data-market=\"", "\""), ["XRP-KRW", "BTC-KRW"]);
    assert!(page.body.contains(r#"data-markets="XRP-KRW,BTC-KRW""#));
}

#[tokio::test]
async fn an_invalid_option_is_rejected_by_name_and_never_echoed_raw() {
    for (query, status, name, allowed) in [
        ("board=%3Cscript%3E", 404, "시세판", "krw"),
        ("markets=DOGE-KRW", 404, "종목", "BTC-KRW"),
        ("markets=%3Cscript%3E", 404, "종목", "BTC-KRW"),
        ("basis=%3Cscript%3E", 400, "basis", "24h, utc-day, kst-day"),
        ("lang=fr", 400, "lang", "ko, en, ja"),
        ("theme=pink", 400, "theme", "auto, light, dark"),
        ("colors=red", 400, "colors", "kr, jp, cn, intl, cb"),
        ("size=99", 400, "size", "xs, s, m, l, xl, inherit"),
        ("lang=ko&lang=en", 400, "lang", ""),
    ] {
        for path in ["/", "/embed/board", "/fragment/board"] {
            let page = get(&format!("{path}?{query}")).await;
            assert_eq!(page.status, status, "{path} {query}");
            assert!(page.body.contains(name) && page.body.contains(allowed), "{path} {query}: {}", page.body);
            assert!(!page.body.contains("<script>"), "{path} {query}");
            assert_eq!(page.header("cache-control"), "no-store");
            assert!(page.header("content-security-policy").contains("default-src 'none'"));
        }
    }
}

#[tokio::test]
async fn a_query_is_limited_and_unknown_parameters_are_ignored() {
    assert_eq!(get(&format!("/?utm={}", "x".repeat(12 << 10))).await.status, 400);
    assert_eq!(get(&format!("/?{}", "a=1&".repeat(30))).await.status, 400);
    let known = get("/fragment/board?lang=ko").await;
    assert_eq!(get("/fragment/board?utm_source=x&lang=ko").await.body, known.body);
}

#[tokio::test]
async fn only_embeds_may_be_framed_and_no_inline_script_runs() {
    for (path, ancestors, frame, cors) in [
        ("/", "frame-ancestors 'none'", "DENY", ""),
        ("/embed/board", "frame-ancestors *", "", ""),
        ("/fragment/board", "frame-ancestors 'none'", "DENY", "*"),
    ] {
        let page = get(path).await;
        let csp = page.header("content-security-policy");
        assert!(csp.ends_with(ancestors) && csp.contains("script-src 'self'") && !csp.contains("unsafe"), "{path}");
        assert_eq!(page.header("x-frame-options"), frame, "{path}");
        assert_eq!(page.header("access-control-allow-origin"), cors, "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert!(!page.body.contains("style=") && !page.body.contains("onload=") && !page.body.contains("<style"));
        let scripts = page.between("<script", ">");
        assert!(scripts.iter().all(|script| script.contains("src=")), "{path}");
    }
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again() {
    for path in ["/fragment/board", "/sisepan.js", "/sisepan.css", "/page.css", "/icon.svg"] {
        let first = get(path).await;
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{path}");
        let again = get_with(app(), path, &[("if-none-match", &format!("\"x\", {tag}"))]).await;
        assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path}");
        assert_eq!(again.header("etag"), tag);
        assert_eq!(again.header("cache-control"), first.header("cache-control"));
    }
}

#[tokio::test]
async fn assets_allow_any_origin_and_stay_small() {
    let mut bytes = 0;
    for (path, content_type) in [
        ("/sisepan.js", "text/javascript; charset=utf-8"),
        ("/sisepan.css", "text/css; charset=utf-8"),
        ("/embed/board", "text/html; charset=utf-8"),
    ] {
        let response = app().oneshot(Request::get(path).header("accept-encoding", "br").body(Body::empty()).unwrap());
        let (parts, body) = response.await.unwrap().into_parts();
        assert_eq!(parts.headers["content-encoding"], "br", "{path}");
        assert_eq!(parts.headers["content-type"], content_type);
        if !path.contains("embed") {
            assert_eq!(parts.headers["access-control-allow-origin"], "*");
        }
        let size = to_bytes(body, 1 << 20).await.unwrap().len();
        assert!(path != "/sisepan.js" || size <= 5_000, "the script has {size} bytes");
        bytes += size;
    }
    assert!(bytes <= 15_000, "a first load has {bytes} bytes");
    println!("first load: {bytes} bytes");
}

/// Returns the texts of one cell of a market, everywhere on the page.
fn cells<'a>(html: &'a str, market: &str, cell: &str) -> Vec<&'a str> {
    let row = format!("data-market=\"{market}\"");
    let start = format!("data-cell=\"{cell}\">");
    let of_row = |row: &'a str| row.split_once(start.as_str()).and_then(|(_, rest)| rest.split('<').next());
    html.split(row.as_str()).skip(1).filter_map(of_row).collect()
}

#[tokio::test]
async fn fc_39_the_table_and_the_movers_of_the_start_page_show_the_same_price() {
    let hub = TestHub::new("epoch");
    let market = "BTC-KRW";
    let publish = |hub: &TestHub, price: u64| {
        let row = quote(market, &price.to_string(), Some("139290000"));
        let row = Quote { quote_volume_24h: Some(10_000_000_000_u64.into()), ..row };
        hub.publish(BoardUpdate { at: now(), changed: vec![Arc::new(row)], ..BoardUpdate::default() });
    };
    publish(&hub, 140_000_000);
    // The more rows precede the market, the more likely a second read sees another price.
    let mut markets: Vec<String> = (0..100).map(|at| format!("C{at}-KRW")).collect();
    markets.push(market.to_owned());
    let app = app_of(hub.clone(), &markets.iter().map(String::as_str).collect::<Vec<_>>(), false);
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let publisher = std::thread::spawn({
        let done = done.clone();
        move || {
            let mut price = 140_000_000;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                price += 1000;
                publish(&hub, price);
            }
        }
    });
    let mut seen = std::collections::BTreeSet::new();
    let clock = Clock::system();
    for turn in 0.. {
        if turn >= 100 && seen.len() > 30 {
            break;
        }
        assert!(clock.monotonic() < Duration::from_secs(120), "the price did not change between pages: {seen:?}");
        // Each URL differs, so each response is rendered.
        let html = get_with(app.clone(), &format!("/?lang=ko&colors={turn:06x}-ff0000"), &[]).await.body;
        let prices = cells(&html, market, "last");
        assert!(prices.len() >= 2, "in the table and among the movers: {prices:?}");
        assert!(prices.iter().all(|price| *price == prices[0]), "{prices:?}");
        seen.insert(prices[0].to_owned());
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    publisher.join().unwrap();
}

#[tokio::test]
async fn fc_47_the_requested_theme_is_kept_in_every_link_between_pages() {
    let price_links = |html: &str| {
        let links = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned));
        let leads_to_prices = |link: &String| {
            let link = link.trim_start_matches("../");
            link.starts_with('?') || link.starts_with("market/")
        };
        links.filter(leads_to_prices).collect::<Vec<_>>()
    };
    for path in ["/?lang=ko", "/?lang=ko&q=BTC&sort=last", "/market/BTC-KRW?lang=en"] {
        let links = price_links(&get(path).await.body);
        assert!(links.len() >= 4 && links.iter().all(|link| !link.contains("theme=")), "{path}: {links:?}");
        let links = price_links(&get(&format!("{path}&theme=dark")).await.body);
        assert!(links.len() >= 4 && links.iter().all(|link| link.ends_with("theme=dark")), "{path}: {links:?}");
    }
    let form = get("/?lang=ko&theme=dark").await.body;
    assert!(form.contains(r#"<input type="hidden" name="theme" value="dark">"#), "the search form keeps it too");
}
