//! The start page: search, sort, movers, lines, and where it leads.

use super::parse::{Page, parse};
use super::{Set, app, ask};

async fn page(path: &str) -> Page {
    let answer = ask(&app(), path).await;
    assert_eq!(answer.status, 200, "{path}");
    parse(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The markets of the table, which stands before the movers.
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
            let none = lang_pick(lang, "맞는 종목이 없습니다", "No market has that name", "該当する銘柄はありません");
            assert_eq!(page.text.contains(none), found.is_empty(), "{search} {lang}");
        }
    }
}

fn lang_pick<'a>(lang: &str, ko: &'a str, en: &'a str, ja: &'a str) -> &'a str {
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
async fn headings_sort_and_the_third_time_lead_back() {
    let order = |path: &'static str| async move {
        let page = page(path).await;
        table(&page).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(order("/?sort=change").await, ["BTC-KRW", "TRX-KRW", "XRP-KRW", "ETH-KRW"], "unknown stands last");
    assert_eq!(order("/?sort=change&order=asc").await, ["XRP-KRW", "TRX-KRW", "BTC-KRW", "ETH-KRW"]);
    assert_eq!(order("/?sort=last").await, ["BTC-KRW", "XRP-KRW", "TRX-KRW", "ETH-KRW"]);
    assert_eq!(order("/?sort=name&lang=en").await, ["BTC-KRW", "ETH-KRW", "TRX-KRW", "XRP-KRW"]);
    let link = |page: &Page| {
        let heads = page.elements.iter().skip_while(|it| it.get("data-col") != "change");
        heads.clone().find(|it| it.tag == "a").map(|it| it.get("href").to_owned()).unwrap()
    };
    let mut path = "/".to_owned();
    for (sorted, next) in [("", "order=desc"), ("descending", "order=asc"), ("ascending", "lang=ko")] {
        let page = page(&path).await;
        let head = page.all("th").find(|th| th.get("data-col") == "change").unwrap();
        assert_eq!(head.get("aria-sort"), sorted);
        let href = link(&page);
        assert!(href.ends_with(next) && (next == "lang=ko" || href.contains("sort=change")), "{href}");
        path = format!("/{href}");
    }
    for (query, said) in [("sort=mood", "name, last, change"), ("sort=last&order=up", "asc, desc")] {
        let answer = ask(&app(), &format!("/?{query}")).await;
        assert!(answer.status == 400 && answer.body.contains(said), "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn it_shows_boards_lines_movers_health_and_leads_on() {
    let page = page("/?lang=ko").await;
    assert_eq!(page.all("svg").count(), 1, "the one market that has a past has a line");
    assert!(page.with("data-widget").any(|it| it.get("data-widget") == "movers"));
    assert!(page.text.contains("거래소 연결 상태") && page.text.contains("아직 연결한 거래소가 없습니다"));
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
    let app = Set { quotes: vec![], history: None, ..Set::default() }.app();
    for (lang, said) in [("ko", "시세 없음"), ("en", "no price yet"), ("ja", "価格なし")] {
        let page = parse(&ask(&app, &format!("/?lang={lang}")).await.body).unwrap();
        assert!(page.words().matches(said).count() > 4, "{}", page.words());
    }
}

#[tokio::test]
async fn fc_43_a_table_sorted_by_what_moves_says_as_of_when() {
    for column in ["last", "change"] {
        for order in ["asc", "desc"] {
            for (lang, said) in [
                ("ko", "15:27:15 KST 시세 순서"),
                ("en", "sorted by prices of 06:27:15 UTC"),
                ("ja", "15:27:15 JST 時点の価格順"),
            ] {
                let page = page(&format!("/?lang={lang}&sort={column}&order={order}")).await;
                assert!(page.text.contains(said), "{column} {order} {lang}: {}", page.text);
                let time = page.elements.iter().find(|it| it.get("datetime") == super::NOW);
                assert!(time.is_some(), "the moment can be read by a program");
            }
        }
    }
    // Names do not move, and the board's own order is no sorting.
    for path in ["/?lang=ko&sort=name&order=asc", "/?lang=ko"] {
        assert!(!page(path).await.text.contains("시세 순서"), "{path}");
    }
}

#[tokio::test]
async fn fc_45_visitors_read_the_reason_in_their_language_and_operators_the_detail() {
    use sisepan::domain::{Publish, Reason, ReasonCode, VenueHealth, VenueId, VenueState};
    use sisepan::text::{Lang, reason};

    const DETAIL: &str = "tcp connect error: Connection refused (os error 111), api.upstream.internal:443";
    let app = app();
    for code in ReasonCode::ALL {
        for state in [VenueState::Connecting, VenueState::Delayed, VenueState::Down] {
            let health = VenueHealth {
                state,
                reason: Some(Reason::new(code, DETAIL)),
                ..VenueHealth::new(VenueId("bithumb"), 4, super::now())
            };
            app.hub.publish(Publish { at: super::now(), changed: vec![], confirmed: vec![], venues: vec![health] });
            for lang in Lang::ALL {
                for path in ["/", "/embed/board", "/embed/chart", "/fragment/card", "/market/BTC-KRW", "/widgets"] {
                    let answer = ask(&app, &format!("{path}?lang={lang}&ui={lang}")).await;
                    for raw in ["os error", "upstream.internal", "Connection refused"] {
                        assert!(!answer.body.contains(raw), "{path}: {raw}");
                    }
                    if path == "/" {
                        let words = parse(&answer.body).unwrap().text;
                        assert!(words.contains(reason(code, lang)), "{code:?} in {lang}: {words}");
                    }
                }
            }
        }
    }
    assert!(ask(&app, "/api/v1/venues").await.body.contains(DETAIL));
}
