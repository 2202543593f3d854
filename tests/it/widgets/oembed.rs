//! `/oembed`, as WordPress and other consumers request it.

use serde_json::Value;
use sisepan::config::Site;

use super::parse::parse;
use super::{AppFixture, PUBLIC, WIDGETS, app, get};

fn encode(url: &str) -> String {
    url::form_urlencoded::byte_serialize(url.as_bytes()).collect()
}

/// Returns the oEmbed response to a query.
async fn get_oembed(query: &str) -> Value {
    let response = get(&app(), &format!("/oembed?{query}")).await;
    assert_eq!(response.status, 200, "{query}: {}", response.body);
    assert_eq!(response.header("content-type"), "application/json");
    serde_json::from_str(&response.body).unwrap()
}

#[tokio::test]
async fn every_embeddable_page_links_to_an_oembed_iframe() {
    for widget in WIDGETS {
        let page = parse(&get(&app(), &format!("/embed/{widget}?lang=en")).await.body).unwrap();
        let link = page.all("link").find(|link| link.get("type") == "application/json+oembed").unwrap();
        let query = link.get("href").strip_prefix(&format!("{PUBLIC}/oembed?")).unwrap().to_owned();
        let response = get_oembed(&query).await;
        assert_eq!(
            (&response["version"], &response["type"], &response["provider_name"]),
            (&"1.0".into(), &"rich".into(), &"sisepan".into())
        );
        let frame = parse(response["html"].as_str().unwrap()).unwrap().elements.remove(0);
        assert_eq!(frame.tag, "iframe");
        assert!(frame.get("src").starts_with(&format!("{PUBLIC}/embed/{widget}?board=krw")), "{}", frame.get("src"));
        assert!(frame.get("src").contains("lang=en") && !frame.get("title").is_empty());
        for (name, value) in [("frameborder", "0"), ("marginwidth", "0"), ("marginheight", "0"), ("scrolling", "no")] {
            assert_eq!(frame.get(name), value, "{name}");
        }
        assert_eq!(frame.get("width"), response["width"].to_string());
        assert_eq!(frame.get("height"), response["height"].to_string());
        // Attributes that WordPress keeps on an iframe of an unknown provider.
        let allowed = ["src", "width", "height", "frameborder", "marginwidth", "marginheight", "scrolling", "title"];
        assert!(frame.attributes.keys().all(|name| allowed.contains(&name.as_str())));
        let src = frame.get("src").strip_prefix(PUBLIC).unwrap();
        assert_eq!(get(&app(), src).await.status, 200, "{src}");
    }
}

#[tokio::test]
async fn the_page_of_a_market_becomes_its_chart_and_the_start_page_its_board() {
    let response = get_oembed(&format!("url={}", encode(&format!("{PUBLIC}/market/BTC-KRW?lang=ko")))).await;
    assert_eq!(response["title"], "비트코인 BTC-KRW");
    assert!(response["html"].as_str().unwrap().contains("/embed/chart?board=krw&amp;markets=BTC-KRW"), "{response}");
    let response = get_oembed(&format!("url={}", encode(&format!("{PUBLIC}/?board=usdt&lang=en")))).await;
    assert!(response["html"].as_str().unwrap().contains("/embed/board?board=usdt&amp;"), "{response}");
    let page = parse(&get(&app(), "/market/BTC-KRW?lang=ko").await.body).unwrap();
    assert!(page.all("link").any(|link| link.get("type") == "application/json+oembed"));
}

#[tokio::test]
async fn the_iframe_respects_maxwidth_and_maxheight() {
    let url = format!("url={}", encode(&format!("{PUBLIC}/embed/board")));
    let full = get_oembed(&url).await;
    let narrow = get_oembed(&format!("{url}&maxwidth=250")).await;
    assert_eq!(narrow["width"], 250);
    assert!(narrow["height"].as_u64() > full["height"].as_u64(), "rows are higher in a narrow frame");
    let low = get_oembed(&format!("{url}&maxwidth=600&maxheight=100&format=json")).await;
    assert_eq!((&low["width"], &low["height"]), (&full["width"], &100.into()));
    assert!(low["html"].as_str().unwrap().contains("scrolling=\"auto\""), "cut-off content can be scrolled");
}

#[tokio::test]
async fn only_own_urls_are_answered_and_none_is_echoed() {
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
        let response = get(&app(), &format!("/oembed?url={}", encode(url))).await;
        assert_eq!(response.status, status, "{url}: {}", response.body);
        assert_eq!(response.header("content-type"), "application/problem+json", "{url}");
        assert!(!response.body.contains("evil"), "{}", response.body);
    }
    let hostile = format!("{PUBLIC}/embed/board?lang=ko&x=%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
    let response = get_oembed(&format!("url={}", encode(&hostile))).await;
    assert!(!response.to_string().contains("alert"), "{response}");
}

#[tokio::test]
async fn other_formats_and_bad_sizes_are_refused() {
    let url = format!("url={}", encode(&format!("{PUBLIC}/embed/board")));
    for (query, status) in [
        (format!("{url}&format=xml"), 501),
        (format!("{url}&maxwidth=wide"), 400),
        (format!("{url}&maxheight=0"), 400),
        (format!("{url}&{url}"), 400),
        ("format=json".to_owned(), 400),
    ] {
        assert_eq!(get(&app(), &format!("/oembed?{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn without_a_public_url_oembed_is_off_whatever_the_host_header() {
    let app = AppFixture { site: Site::default(), ..AppFixture::default() }.app();
    let query = encode("http://127.0.0.1:8080/embed/board");
    let response = super::get_with(&app, &format!("/oembed?url={query}"), &[("host", "127.0.0.1:8080")]).await;
    assert!(response.status == 404 && response.body.contains("public_url"), "{}", response.body);
}
