//! Options: the same for every widget, rejected by name, never echoed raw.

use super::parse::parse;
use super::{AppFixture, PUBLIC, WIDGETS, app, get, get_with};

#[tokio::test]
async fn an_invalid_value_is_rejected_with_the_option_and_its_allowed_values() {
    let app = app();
    for (query, status, texts) in [
        ("board=x", 404, ["“x” 시세판이", "krw"]),
        ("markets=DOGE-KRW", 404, ["“DOGE-KRW” 종목이", "BTC-KRW"]),
        ("markets=BTC-USDT&board=krw", 404, ["“BTC-USDT” 종목이", "BTC-KRW"]),
        ("basis=1h", 400, ["basis", "24h, utc-day, kst-day"]),
        ("lang=fr", 400, ["lang", "ko, en, ja"]),
        ("theme=pink", 400, ["theme", "auto, light, dark"]),
        ("colors=red", 400, ["colors", "kr, jp, cn, intl, cb, RRGGBB-RRGGBB"]),
        ("colors=c8202f-1a5fc8-1", 400, ["colors", "RRGGBB"]),
        ("size=99", 400, ["size", "xs, s, m, l, xl, inherit"]),
        ("columns=last,price", 400, ["columns", "name, last, change, amount, high, low, volume"]),
        ("density=tight", 400, ["density", "normal, compact"]),
        ("flash=yes", 400, ["flash", "on, off"]),
        ("link=//evil.example/%7Bbase%7D", 400, ["link", "off, market"]),
        ("link=javascript:alert(1)", 400, ["link", "/coins/{base}"]),
        ("credit=1", 400, ["credit", "on, off"]),
        ("transparent=yes", 400, ["transparent", "on, off"]),
        ("interval=7", 400, ["interval", "0, 100, 250, 500, 1000, 2000, 5000"]),
        ("span=1y", 400, ["span", "24h, 7d"]),
        ("count=0", 400, ["count", "1~20"]),
        ("title=no", 400, ["title", "on, off"]),
        ("lang=ko&lang=en", 400, ["lang", "한 번만"]),
    ] {
        for widget in WIDGETS {
            for frame in ["embed", "fragment"] {
                let response = get(&app, &format!("/{frame}/{widget}?{query}")).await;
                assert_eq!(response.status, status, "{frame}/{widget}?{query}");
                let page = parse(&response.body).unwrap();
                assert!(texts.iter().all(|text| page.text.contains(text)), "{query}: {}", page.words());
                assert_eq!(response.header("cache-control"), "no-store");
            }
        }
    }
    let english = get_with(&app, "/embed/tape?size=99", &[("accept-language", "en")]).await;
    assert!(english.body.contains("invalid value “99”. Allowed"), "{}", english.body);
}

#[tokio::test]
async fn fc_28_an_on_off_option_without_a_value_is_on() {
    let app = app();
    for widget in WIDGETS {
        for name in ["transparent", "flash", "credit", "title"] {
            let fragment = async |value: &str| get(&app, &format!("/fragment/{widget}?lang=ko&{name}{value}")).await;
            let (on, off) = (fragment("=on").await, fragment("=off").await);
            assert_ne!(on.body, off.body, "{widget} {name}");
            for value in ["", "=", "=true"] {
                assert_eq!(fragment(value).await.body, on.body, "{widget} {name}{value}");
            }
            assert_eq!(fragment("=false").await.body, off.body, "{widget} {name}");
        }
        // An empty value of any other option counts as absent.
        let plain = get(&app, &format!("/fragment/{widget}?lang=ko")).await;
        let empty = get(&app, &format!("/fragment/{widget}?lang=ko&theme=&size&board=&markets=&columns=&link")).await;
        assert_eq!(empty.body, plain.body, "{widget}");
    }
}

#[tokio::test]
async fn unknown_query_parameters_are_ignored() {
    let app = app();
    for widget in WIDGETS {
        let plain = get(&app, &format!("/fragment/{widget}?lang=ko")).await;
        let more = get(&app, &format!("/fragment/{widget}?utm_source=x&lang=ko&rise=1&theme=")).await;
        assert_eq!(more.body, plain.body, "{widget}");
    }
}

#[tokio::test]
async fn markets_may_span_boards_and_then_the_root_names_no_board() {
    let app = app();
    let page = parse(&get(&app, "/fragment/tape?markets=BTC-USDT,BTC-KRW").await.body).unwrap();
    let root = &page.elements[0];
    assert_eq!((root.get("data-board"), root.get("data-markets")), ("", "BTC-USDT,BTC-KRW"));
    assert!(!root.attributes.contains_key("data-board") && !root.get("data-query").contains("board="));
    let one = parse(&get(&app, "/fragment/tape?markets=TRX-KRW,BTC-KRW").await.body).unwrap();
    assert_eq!(one.elements[0].get("data-board"), "krw");
    let rows: Vec<_> = one.with("data-market").map(|row| row.get("data-market")).collect();
    assert_eq!(rows, ["TRX-KRW", "BTC-KRW"]);
}

#[tokio::test]
async fn a_link_follows_the_link_option_and_stays_on_its_host() {
    let app = app();
    for (path, href, target) in [
        ("/fragment/board?link=/coins/%7Bbase%7D?in=%7Bquote%7D", "/coins/BTC?in=KRW", ""),
        ("/embed/ticker?link=/coins/%7Bmarket%7D", "/coins/BTC-KRW", "_top"),
        ("/embed/card?link=market&lang=en", "../market/BTC-KRW?board=krw&basis=24h&lang=en", "_top"),
        (
            "/fragment/tape?link=market&lang=en",
            "https://news.example/prices/market/BTC-KRW?board=krw&basis=24h&lang=en",
            "",
        ),
    ] {
        let page = parse(&get(&app, path).await.body).unwrap();
        let link = page.all("a").next().unwrap_or_else(|| panic!("{path} has no link"));
        assert_eq!((link.get("href"), link.get("target")), (href, target), "{path}");
    }
    for widget in WIDGETS {
        let page = parse(&get(&app, &format!("/embed/{widget}")).await.body).unwrap();
        assert!(page.all("a").next().is_none(), "{widget}: no link by default");
    }
}

#[tokio::test]
async fn custom_colours_are_a_style_sheet_that_rejects_anything_else() {
    let app = app();
    let colors = "c8202f-1a5fc8-ff7078-74aaff";
    let sheet = get(&app, &format!("/sisepan-colors.css?colors={colors}")).await;
    assert_eq!((sheet.status.as_u16(), sheet.header("content-type")), (200, "text/css; charset=utf-8"));
    assert!(sheet.header("cache-control").contains("immutable") && sheet.header("access-control-allow-origin") == "*");
    assert!(sheet.body.contains(&format!("[data-colors=\"{colors}\"]")), "{}", sheet.body);
    for color in colors.split('-') {
        assert!(sheet.body.contains(&format!("#{color}")), "{}", sheet.body);
    }
    for query in
        ["", "colors=kr", "colors=c8202f-1a5fc8%7D*%7Bdisplay:none", "colors=%23c8202f-%231a5fc8", "colors=a-b"]
    {
        let rejected = get(&app, &format!("/sisepan-colors.css?{query}")).await;
        assert!(rejected.status == 400 && !rejected.body.contains("display"), "{query}: {}", rejected.body);
    }
    for (path, home) in [("/embed/board", ".."), ("/fragment/ticker", PUBLIC), ("/market/BTC-KRW", "..")] {
        let page = parse(&get(&app, &format!("{path}?colors={colors}")).await.body).unwrap();
        let href = format!("{home}/sisepan-colors.css?colors={colors}");
        assert!(page.all("link").any(|link| link.get("href") == href), "{path}");
        assert!(page.with("data-colors").any(|it| it.get("data-colors") == colors), "{path}");
    }
}

#[tokio::test]
async fn columns_follow_the_requested_order_after_the_name() {
    let app = app();
    let response = get(&app, "/fragment/board?lang=ko&columns=change,last,amount,high,low,volume,change").await;
    let page = parse(&response.body).unwrap();
    let columns: Vec<_> = page.all("th").map(|th| th.get("data-col")).filter(|col| !col.is_empty()).collect();
    assert_eq!(columns, ["name", "change", "last", "amount", "high", "low", "volume"]);
    for (cell, texts) in [
        ("amount", ["+2,897,000", "-27", "0", "–"]),
        ("high", ["142,500,000", "–", "–", "–"]),
        ("low", ["138,900,000", "–", "–", "–"]),
        ("volume", ["1,750억", "50억", "50억", "–"]),
    ] {
        assert_eq!(response.between(&format!("data-cell=\"{cell}\">"), "<"), texts, "{cell}");
    }
    let english = get(&app, "/fragment/board?lang=en&columns=volume").await;
    assert_eq!(english.between("data-cell=\"volume\">", "<")[..2], ["175B", "5B"]);
}

#[tokio::test]
async fn appearance_options_are_attributes_of_the_root_element() {
    let app = app();
    let query = "theme=dark&size=l&density=compact&flash=off&transparent=on&interval=1000&colors=cb&title=off";
    for widget in WIDGETS {
        let page = parse(&get(&app, &format!("/fragment/{widget}?{query}")).await.body).unwrap();
        let root = &page.elements[0];
        for (name, value) in [
            ("data-theme", "dark"),
            ("data-size", "l"),
            ("data-density", "compact"),
            ("data-flash", "off"),
            ("data-interval", "1000"),
            ("data-colors", "cb"),
            ("data-title", "off"),
        ] {
            assert_eq!(root.get(name), value, "{widget} {name}");
        }
        assert!(root.attributes.contains_key("data-transparent"));
        let plain = parse(&get(&app, &format!("/fragment/{widget}")).await.body).unwrap();
        let size = if widget == "ticker" { "inherit" } else { "m" };
        assert_eq!((plain.elements[0].get("data-size"), plain.elements[0].get("data-flash")), (size, "on"));
    }
}

#[tokio::test]
async fn the_sources_are_named_unless_credit_is_off() {
    let app = app();
    for (widget, default) in WIDGETS.into_iter().zip([true, false, true, false, true, true]) {
        for (query, named) in [("lang=ko", default), ("lang=ko&credit=on", true), ("lang=ko&credit=off", false)] {
            let page = parse(&get(&app, &format!("/fragment/{widget}?{query}")).await.body).unwrap();
            assert_eq!(page.with("data-venue").count() == 1, named, "{widget}?{query}");
            assert_eq!(page.text.contains("빗썸"), named, "{widget}?{query}");
        }
    }
}

#[tokio::test]
async fn without_a_public_url_a_fragment_links_from_the_base_path() {
    let site = sisepan::config::Site { base_path: "/prices".to_owned(), ..Default::default() };
    let app = AppFixture { site, ..AppFixture::default() }.app();
    let page = parse(&get(&app, "/prices/fragment/board?link=market").await.body).unwrap();
    assert!(page.all("a").next().unwrap().get("href").starts_with("/prices/market/BTC-KRW?"));
    let page = parse(&get(&app, "/prices/embed/board").await.body).unwrap();
    assert!(page.all("link").all(|link| link.get("rel") != "alternate"), "no oEmbed discovery link");
}
