//! `/badge/{market}.svg`.

use sisepan::market::State;

use super::parse::parse;
use super::{AppFixture, app, get, get_with, rows};

#[tokio::test]
async fn a_badge_shows_name_price_change_and_time() {
    let app = app();
    for (lang, parts, title) in [
        ("ko", "비트코인 142,187,000원 ▲ +2.08% 01.15 15:27", "비트코인 142,187,000원 2.08% 상승, 01.15 15:27"),
        (
            "en",
            "Bitcoin 142,187,000 KRW ▲ +2.08% 15 Jan 06:27 UTC",
            "Bitcoin 142,187,000 KRW up 2.08%, 15 Jan 06:27 UTC",
        ),
        (
            "ja",
            "ビットコイン 142,187,000ウォン ▲ +2.08% 01.15 15:27",
            "ビットコイン 142,187,000ウォン 2.08% 上昇, 01.15 15:27",
        ),
    ] {
        let response = get(&app, &format!("/badge/btc-krw.svg?lang={lang}&theme=light")).await;
        assert_eq!((response.status.as_u16(), response.header("content-type")), (200, "image/svg+xml"));
        let page = parse(&response.body).unwrap();
        assert_eq!(page.words(), format!("{title} {parts}"), "{lang}");
        assert!(page.all("text").all(|text| text.get("textLength").parse::<f64>().unwrap() > 10.0));
        let width: f64 = page.all("svg").next().unwrap().get("width").parse().unwrap();
        let end = page
            .all("text")
            .map(|it| it.get("x").parse::<f64>().unwrap() + it.get("textLength").parse::<f64>().unwrap());
        assert!(end.fold(0.0, f64::max) < width);
    }
    let falling = get(&app, "/badge/XRP-KRW.svg?lang=ko").await;
    assert!(falling.body.contains("▼ -0.86%") && falling.body.contains("#1a5fc8"), "{}", falling.body);
}

#[tokio::test]
async fn a_badge_is_briefly_cacheable_and_embeddable_on_any_page() {
    let app = app();
    let response = get(&app, "/badge/BTC-KRW.svg").await;
    assert!(response.header("cache-control").starts_with("public, max-age=30"), "{:?}", response.headers);
    assert_eq!(response.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(response.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(response.header("x-content-type-options"), "nosniff");
    let tag = response.header("etag").to_owned();
    assert_eq!(get_with(&app, "/badge/BTC-KRW.svg", &[("if-none-match", &tag)]).await.status, 304);
}

#[tokio::test]
async fn a_badge_follows_the_theme_option_or_the_visitor_and_the_colors_option() {
    let app = app();
    for (query, style, dark) in [("", true, true), ("theme=light", false, false), ("theme=dark", false, true)] {
        let body = get(&app, &format!("/badge/BTC-KRW.svg?lang=ko&{query}")).await.body;
        assert_eq!(body.contains("<style>"), style, "{query}");
        assert_eq!(body.contains("#15171a") && body.contains("#ff7078"), dark, "{query}");
    }
    let custom = get(&app, "/badge/BTC-KRW.svg?colors=123456-654321&theme=light").await.body;
    assert!(custom.contains("fill=\"#123456\""), "{custom}");
    assert!(get(&app, "/badge/BTC-KRW.svg?lang=en").await.body.contains("#117a48"), "green rises in English");
}

#[tokio::test]
async fn a_badge_that_is_not_live_is_grey_and_says_why() {
    for (state, label) in [(State::Stale, "갱신 중단"), (State::Halted, "거래 중단"), (State::Delayed, "지연")]
    {
        let quotes = rows().into_iter().map(|row| sisepan::market::Quote { state, ..row }).collect();
        let app = AppFixture { quotes, ..AppFixture::default() }.app();
        let body = get(&app, "/badge/BTC-KRW.svg?lang=ko&theme=light").await.body;
        let page = parse(&body).unwrap();
        assert!(page.words().contains(&format!("{label} 01.15 15:27")), "{}", page.words());
        assert_eq!(body.contains("#c8202f"), state == State::Delayed, "only a current price has a colour");
    }
    let none = get(&app(), "/badge/ETH-KRW.svg?lang=ko&theme=light").await;
    assert_eq!(parse(&none.body).unwrap().words(), "이더리움 시세 없음 이더리움 시세 없음");
    let demo = AppFixture { demo: true, ..AppFixture::default() }.app();
    assert!(parse(&get(&demo, "/badge/BTC-KRW.svg").await.body).unwrap().words().contains("DEMO"));
}

#[tokio::test]
async fn an_error_is_a_picture_too() {
    for (path, status, message) in [
        ("/badge/DOGE-KRW.svg", 404, "없는 종목"),
        ("/badge/%3Cscript%3E.svg", 404, "없는 종목"),
        ("/badge/BTC-KRW.svg?theme=pink", 400, "잘못된 주소"),
    ] {
        let response = get(&app(), path).await;
        assert_eq!((response.status.as_u16(), response.header("content-type")), (status, "image/svg+xml"), "{path}");
        let page = parse(&response.body).unwrap();
        assert!(page.text.contains(message) && page.all("script").next().is_none(), "{}", response.body);
        assert_eq!(response.header("cache-control"), "no-store");
    }
}
