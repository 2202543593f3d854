//! The start page: search, sorting, movers, sparklines and links.

use super::parse::{Page, parse};
use super::{AppFixture, app, get};

async fn page(path: &str) -> Page {
    let response = get(&app(), path).await;
    assert_eq!(response.status, 200, "{path}");
    parse(&response.body).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the markets of the table, which precedes the movers.
fn table(page: &Page) -> Vec<&str> {
    let rows = page.elements.iter().skip_while(|it| it.get("data-widget") != "board");
    let rows = rows.take_while(|it| it.get("data-widget") != "movers");
    rows.map(|it| it.get("data-market")).filter(|market| !market.is_empty()).collect()
}

#[tokio::test]
async fn markets_are_found_by_name_initials_and_id_in_any_language() {
    for (search, found) in [
        ("비트", vec!["BTC-KRW", "BTC-USDT"]),
        ("ㅂㅌㅋㅇ", vec!["BTC-KRW", "BTC-USDT"]),
        ("bitCOIN", vec!["BTC-KRW", "BTC-USDT"]),
        ("ビット", vec!["BTC-KRW", "BTC-USDT"]),
        ("btc usdt", vec!["BTC-USDT"]),
        ("  trx  ", vec!["TRX-KRW"]),
        ("-krw", vec!["BTC-KRW", "XRP-KRW", "TRX-KRW", "ETH-KRW"]),
        ("없는코인", vec![]),
        ("%", vec![]),
    ] {
        let search: String = url::form_urlencoded::byte_serialize(search.as_bytes()).collect();
        for lang in ["ko", "en", "ja"] {
            let page = page(&format!("/?lang={lang}&q={search}")).await;
            assert_eq!(table(&page), found, "{search} {lang}");
            let none = by_lang(lang, "일치하는 종목이 없습니다", "No matching markets", "該当する銘柄はありません");
            assert_eq!(page.text.contains(none), found.is_empty(), "{search} {lang}");
        }
    }
}

fn by_lang<'a>(lang: &str, ko: &'a str, en: &'a str, ja: &'a str) -> &'a str {
    match lang {
        "ko" => ko,
        "en" => en,
        _ => ja,
    }
}

#[tokio::test]
async fn the_search_is_a_form_that_needs_no_script_and_keeps_what_was_typed() {
    let page = page("/?lang=en&board=krw&basis=utc-day&q=%22%3E%3Cb%3E").await;
    let form = page.all("form").next().unwrap();
    assert_eq!((form.get("method"), form.get("action"), form.get("role")), ("get", "./", "search"));
    let inputs: Vec<_> = page.all("input").map(|it| (it.get("name"), it.get("value"))).collect();
    assert_eq!(inputs, [("board", "krw"), ("basis", "utc-day"), ("lang", "en"), ("q", "\"><b>")]);
    assert!(page.all("label").any(|label| label.get("for") == "q"));
}

#[tokio::test]
async fn headings_sort_and_the_third_click_restores_the_order() {
    let order = |path: &'static str| async move {
        let page = page(path).await;
        table(&page).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(order("/?sort=change").await, ["BTC-KRW", "TRX-KRW", "XRP-KRW", "ETH-KRW"], "unknown values come last");
    assert_eq!(order("/?sort=change&order=asc").await, ["XRP-KRW", "TRX-KRW", "BTC-KRW", "ETH-KRW"]);
    assert_eq!(order("/?sort=last").await, ["BTC-KRW", "XRP-KRW", "TRX-KRW", "ETH-KRW"]);
    assert_eq!(order("/?sort=name&lang=en").await, ["BTC-KRW", "ETH-KRW", "TRX-KRW", "XRP-KRW"]);
    let link = |page: &Page| {
        let headings = page.elements.iter().skip_while(|it| it.get("data-col") != "change");
        headings.clone().find(|it| it.tag == "a").map(|it| it.get("href").to_owned()).unwrap()
    };
    let mut path = "/".to_owned();
    for (sorted, next) in [("", "order=desc"), ("descending", "order=asc"), ("ascending", "lang=ko")] {
        let page = page(&path).await;
        let heading = page.all("th").find(|th| th.get("data-col") == "change").unwrap();
        assert_eq!(heading.get("aria-sort"), sorted);
        let href = link(&page);
        assert!(href.ends_with(next) && (next == "lang=ko" || href.contains("sort=change")), "{href}");
        path = format!("/{href}");
    }
    for (query, allowed) in [("sort=mood", "name, last, change"), ("sort=last&order=up", "asc, desc")] {
        let response = get(&app(), &format!("/?{query}")).await;
        assert!(response.status == 400 && response.body.contains(allowed), "{query}: {}", response.body);
    }
}

#[tokio::test]
async fn the_start_page_shows_sparklines_movers_and_health_and_links_on() {
    let page = page("/?lang=ko").await;
    assert_eq!(page.all("svg").count(), 1, "only the market with a history has a sparkline");
    assert!(page.with("data-widget").any(|it| it.get("data-widget") == "movers"));
    assert!(page.text.contains("거래소 연결 상태") && page.text.contains("아직 연결된 거래소가 없습니다"));
    let links: Vec<_> = page.all("a").map(|it| it.get("href")).collect();
    for wanted in [
        "?board=usdt&basis=24h&lang=ko",
        "?board=krw&basis=kst-day&lang=ko",
        "?board=krw&basis=24h&lang=ja",
        "widgets?ui=ko",
        "market/XRP-KRW?board=krw&basis=24h&lang=ko",
    ] {
        assert!(links.contains(&wanted), "{wanted} in {links:?}");
    }
    assert_eq!(page.all("h1").count(), 1);
}

#[tokio::test]
async fn a_server_without_a_price_says_so_in_every_language() {
    let app = AppFixture { quotes: vec![], history: None, ..AppFixture::default() }.app();
    for (lang, label) in [("ko", "시세 없음"), ("en", "no price yet"), ("ja", "価格なし")] {
        let page = parse(&get(&app, &format!("/?lang={lang}")).await.body).unwrap();
        assert!(page.words().matches(label).count() > 4, "{}", page.words());
    }
}

#[tokio::test]
async fn fc_43_a_table_sorted_by_price_or_change_says_as_of_when() {
    for column in ["last", "change"] {
        for order in ["asc", "desc"] {
            for (lang, note) in [
                ("ko", "15:27:15 KST 기준 정렬"),
                ("en", "sorted as of 06:27:15 UTC"),
                ("ja", "15:27:15 JST 時点の並び順"),
            ] {
                let page = page(&format!("/?lang={lang}&sort={column}&order={order}")).await;
                assert!(page.text.contains(note), "{column} {order} {lang}: {}", page.text);
                let time = page.elements.iter().find(|it| it.get("datetime") == super::NOW);
                assert!(time.is_some(), "the time is machine-readable");
            }
        }
    }
    // No note for names, which do not change, or for the order of the board.
    for path in ["/?lang=ko&sort=name&order=asc", "/?lang=ko"] {
        assert!(!page(path).await.text.contains("기준 정렬"), "{path}");
    }
}

#[tokio::test]
async fn fc_45_visitors_read_the_reason_in_their_language_and_operators_the_detail() {
    use sisepan::feed::{BoardUpdate, Reason, ReasonCode, VenueHealth, VenueState};
    use sisepan::locale::{Lang, reason_text};
    use sisepan::market::VenueId;

    const DETAIL: &str = "tcp connect error: Connection refused (os error 111), api.upstream.internal:443";
    let app = app();
    for code in ReasonCode::ALL {
        for state in [VenueState::Connecting, VenueState::Delayed, VenueState::Down] {
            let health = VenueHealth {
                state,
                reason: Some(Reason::new(code, DETAIL)),
                ..VenueHealth::new(VenueId("bithumb"), 4, super::now())
            };
            app.hub.publish(BoardUpdate { at: super::now(), venues: vec![health], ..BoardUpdate::default() });
            for lang in Lang::ALL {
                for path in ["/", "/embed/board", "/embed/chart", "/fragment/card", "/market/BTC-KRW", "/widgets"] {
                    let response = get(&app, &format!("{path}?lang={lang}&ui={lang}")).await;
                    for raw in ["os error", "upstream.internal", "Connection refused"] {
                        assert!(!response.body.contains(raw), "{path}: {raw}");
                    }
                    if path == "/" {
                        let text = parse(&response.body).unwrap().text;
                        assert!(text.contains(reason_text(code, lang)), "{code:?} in {lang}: {text}");
                    }
                }
            }
        }
    }
    assert!(get(&app, "/api/v1/venues").await.body.contains(DETAIL));
}
