//! `/oembed`, as WordPress and its like ask it.

use serde_json::Value;
use sisepan::config::Site;

use super::parse::parse;
use super::{PUBLIC, Set, WIDGETS, app, ask};

fn encoded(url: &str) -> String {
    url::form_urlencoded::byte_serialize(url.as_bytes()).collect()
}

async fn rich(query: &str) -> Value {
    let answer = ask(&app(), &format!("/oembed?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    assert_eq!(answer.header("content-type"), "application/json");
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn every_page_that_can_be_embedded_leads_to_an_iframe_of_it() {
    for widget in WIDGETS {
        let page = parse(&ask(&app(), &format!("/embed/{widget}?lang=en")).await.body).unwrap();
        let link = page.all("link").find(|link| link.get("type") == "application/json+oembed").unwrap();
        let query = link.get("href").strip_prefix(&format!("{PUBLIC}/oembed?")).unwrap().to_owned();
        let said = rich(&query).await;
        assert_eq!(
            (&said["version"], &said["type"], &said["provider_name"]),
            (&"1.0".into(), &"rich".into(), &"sisepan".into())
        );
        let frame = parse(said["html"].as_str().unwrap()).unwrap().elements.remove(0);
        assert_eq!(frame.tag, "iframe");
        assert!(frame.get("src").starts_with(&format!("{PUBLIC}/embed/{widget}?board=krw")), "{}", frame.get("src"));
        assert!(frame.get("src").contains("lang=en") && !frame.get("title").is_empty());
        for (name, value) in [("frameborder", "0"), ("marginwidth", "0"), ("marginheight", "0"), ("scrolling", "no")] {
            assert_eq!(frame.get(name), value, "{name}");
        }
        assert_eq!(frame.get("width"), said["width"].to_string());
        assert_eq!(frame.get("height"), said["height"].to_string());
        // What WordPress leaves of an iframe of a provider that it does not know.
        let kept = ["src", "width", "height", "frameborder", "marginwidth", "marginheight", "scrolling", "title"];
        assert!(frame.attributes.keys().all(|name| kept.contains(&name.as_str())));
        let src = frame.get("src").strip_prefix(PUBLIC).unwrap();
        assert_eq!(ask(&app(), src).await.status, 200, "{src}");
    }
}

#[tokio::test]
async fn the_page_of_a_market_becomes_its_chart_and_the_start_page_its_board() {
    let said = rich(&format!("url={}", encoded(&format!("{PUBLIC}/market/BTC-KRW?lang=ko")))).await;
    assert_eq!(said["title"], "비트코인 BTC-KRW");
    assert!(said["html"].as_str().unwrap().contains("/embed/chart?board=krw&amp;markets=BTC-KRW"), "{said}");
    let said = rich(&format!("url={}", encoded(&format!("{PUBLIC}/?board=usdt&lang=en")))).await;
    assert!(said["html"].as_str().unwrap().contains("/embed/board?board=usdt&amp;"), "{said}");
    let page = parse(&ask(&app(), "/market/BTC-KRW?lang=ko").await.body).unwrap();
    assert!(page.all("link").any(|link| link.get("type") == "application/json+oembed"));
}

#[tokio::test]
async fn it_is_no_larger_than_there_is_room() {
    let url = format!("url={}", encoded(&format!("{PUBLIC}/embed/board")));
    let full = rich(&url).await;
    let narrow = rich(&format!("{url}&maxwidth=250")).await;
    assert_eq!(narrow["width"], 250);
    assert!(narrow["height"].as_u64() > full["height"].as_u64(), "rows are higher where there is less room");
    let low = rich(&format!("{url}&maxwidth=600&maxheight=100&format=json")).await;
    assert_eq!((&low["width"], &low["height"]), (&full["width"], &100.into()));
    assert!(low["html"].as_str().unwrap().contains("scrolling=\"auto\""), "what is cut off can be reached");
}

#[tokio::test]
async fn only_our_own_addresses_are_answered_and_none_is_given_back() {
    for (url, status) in [
        ("https://evil.example/embed/board", 404),
        ("https://news.example.evil.example/prices/embed/board", 404),
        ("https://news.example@evil.example/prices/embed/board", 404),
        ("https://user@news.example/prices/embed/board", 404),
        ("http://news.example/prices/embed/board", 404),
        ("https://news.example:444/prices/embed/board", 404),
        ("https://news.example/embed/board", 404),
        ("https://news.example/pricesembed/board", 404),
        ("https://news.example/prices/embed/table", 404),
        ("https://news.example/prices/embed/board/x", 404),
        ("https://news.example/prices/api/v1/snapshot", 404),
        ("https://news.example/prices/market/DOGE-KRW", 404),
        ("https://news.example/prices/embed/board?theme=pink", 400),
        ("javascript:alert(1)", 404),
        ("", 400),
    ] {
        let answer = ask(&app(), &format!("/oembed?url={}", encoded(url))).await;
        assert_eq!(answer.status, status, "{url}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{url}");
        assert!(!answer.body.contains("evil"), "{}", answer.body);
    }
    let hostile = format!("{PUBLIC}/embed/board?lang=ko&x=%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
    let said = rich(&format!("url={}", encoded(&hostile))).await;
    assert!(!said.to_string().contains("alert"), "{said}");
}

#[tokio::test]
async fn other_formats_and_bad_sizes_are_refused() {
    let url = format!("url={}", encoded(&format!("{PUBLIC}/embed/board")));
    for (query, status) in [
        (format!("{url}&format=xml"), 501),
        (format!("{url}&maxwidth=wide"), 400),
        (format!("{url}&maxheight=0"), 400),
        (format!("{url}&{url}"), 400),
        ("format=json".to_owned(), 400),
    ] {
        assert_eq!(ask(&app(), &format!("/oembed?{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn without_a_public_address_nothing_is_offered_whatever_the_host_says() {
    let app = Set { site: Site::default(), ..Set::default() }.app();
    let query = encoded("http://127.0.0.1:8080/embed/board");
    let answer = super::ask_with(&app, &format!("/oembed?url={query}"), &[("host", "127.0.0.1:8080")]).await;
    assert!(answer.status == 404 && answer.body.contains("public_url"), "{}", answer.body);
}
