//! `/widgets` as a form without script, and the pinned URLs of the script.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA384, digest};
use serde_json::Value;
use sisepan::config::Site;

use super::parse::parse;
use super::{AppFixture, PUBLIC, Response, WIDGETS, app, get, get_with};

/// Returns the text of a snippet, as a visitor copies it.
fn code(page: &Response, id: &str) -> String {
    let code = page.between(&format!("<code id=\"code-{id}\">"), "</code>");
    let entities = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    entities.iter().fold((*code.first().expect(id)).to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

#[tokio::test]
async fn the_form_makes_the_snippet_without_script() {
    let app = app();
    let page =
        get(&app, "/widgets?ui=en&q=&widget=board&m=XRP-KRW&m=BTC-KRW&theme=dark&lang=&columns=last&columns=amount")
            .await;
    assert_eq!(page.status, 200);
    let element = code(&page, "element");
    assert!(
        element.starts_with(&format!("<script type=\"module\" src=\"{PUBLIC}/sisepan.js\"></script>\n")),
        "{element}"
    );
    assert!(element.contains("<sisepan-board markets=\"XRP-KRW,BTC-KRW\" theme=\"dark\" columns="), "{element}");
    assert!(!element.contains("lang=") && !element.contains("basis="), "defaults are left out: {element}");
    let frame = code(&page, "iframe");
    let frame = parse(&frame).unwrap().elements.remove(0);
    assert_eq!((frame.tag.as_str(), frame.get("sandbox")), ("iframe", "allow-scripts"));
    assert!(frame.get("src").starts_with(&format!("{PUBLIC}/embed/board?markets=XRP-KRW,BTC-KRW&theme=dark")));
    assert!(frame.get("height").parse::<u32>().unwrap() > 50 && !frame.get("title").is_empty());
    // Checked boxes come first and stay checked.
    let boxes = page.between("name=\"m\" value=\"", ">");
    assert_eq!(&boxes[..2], ["XRP-KRW\" checked", "BTC-KRW\" checked"]);
}

#[tokio::test]
async fn every_widget_can_be_configured_in_every_language() {
    let app = app();
    for widget in WIDGETS {
        for ui in ["ko", "en", "ja"] {
            let page = get(&app, &format!("/widgets?widget={widget}&ui={ui}")).await;
            let parsed = parse(&page.body).unwrap();
            let frames: Vec<_> = parsed.all("iframe").map(|frame| frame.get("src").to_owned()).collect();
            assert_eq!(frames.len(), 2, "{widget} {ui}");
            for src in frames {
                assert_eq!(get(&app, &format!("/{src}")).await.status, 200, "{src}");
            }
            assert!(code(&page, "element").contains(&format!("<sisepan-{widget}")));
            assert!(page.header("content-security-policy").contains("frame-src 'self'"));
        }
    }
}

#[tokio::test]
async fn extra_markets_are_dropped_for_a_widget_of_one_market() {
    let page = get(&app(), "/widgets?ui=en&widget=chart&m=XRP-KRW&m=BTC-KRW").await;
    assert!(code(&page, "element").contains("<sisepan-chart markets=\"XRP-KRW\" style="), "{}", code(&page, "element"));
}

#[tokio::test]
async fn markets_are_found_by_any_of_their_names() {
    for (search, found) in [("xrp", "XRP-KRW"), ("%EB%A6%AC%ED%94%8C", "XRP-KRW"), ("%E3%84%B9%E3%85%8D", "XRP-KRW")] {
        let page = get(&app(), &format!("/widgets?ui=ko&q={search}")).await;
        let shown: Vec<&str> = page
            .between("<label data-found-by=\"", "</label>")
            .into_iter()
            .filter(|label| !label.contains("\" hidden>"))
            .collect();
        let all_match = shown.iter().all(|label| label.contains(found));
        assert!(!shown.is_empty() && all_match, "{search}: {shown:?}");
    }
}

#[tokio::test]
async fn option_values_are_escaped_for_the_language_of_each_snippet() {
    let app = app();
    let page = get(&app, "/widgets?ui=en&link=/coins/%7Bbase%7D?a=1%26b=2&lang=ko").await;
    assert!(code(&page, "element").contains(" link=\"/coins/{base}?a=1&amp;b=2\""), "{}", code(&page, "element"));
    assert!(code(&page, "react").contains(" link={\"/coins/{base}?a=1&b=2\"}"), "{}", code(&page, "react"));
    assert!(code(&page, "iframe").contains("allow-top-navigation-by-user-activation"));
    let hostile =
        get(&app, "/widgets?ui=en&link=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&q=%22%3E%3Cscript%3Ealert(2)").await;
    assert_eq!(hostile.status, 400);
    assert!(!hostile.body.contains("<script>") && hostile.body.contains("class=\"notice\""), "{}", hostile.body);
    assert_eq!(get(&app, &format!("/widgets?x={}", "x".repeat(9000))).await.status, 400);
}

#[tokio::test]
async fn fc_29_the_form_has_snippets_for_mail_and_for_shields() {
    let app = app();
    for (query, image_query) in [("", "lang=en"), ("&theme=dark&lang=ja&size=l", "lang=ja&theme=dark")] {
        let page = get(&app, &format!("/widgets?ui=en&widget=card&m=BTC-KRW{query}")).await;
        let (image, mail) = (parse(&code(&page, "image")).unwrap(), parse(&code(&page, "mail")).unwrap());
        let (image, mail) = (image.all("img").next().unwrap().clone(), mail.all("img").next().unwrap().clone());
        assert_eq!(mail.get("src"), format!("{PUBLIC}/badge/BTC-KRW.png?{image_query}"));
        for attribute in ["alt", "width", "height"] {
            assert_eq!(mail.get(attribute), image.get(attribute));
        }
        assert_eq!((mail.get("alt"), mail.get("height")), ("BTC-KRW", "26"));
        let png = get(&app, &mail.get("src")[PUBLIC.len()..]).await;
        let width = u32::from_be_bytes(png.bytes[16..20].try_into().unwrap());
        assert_eq!(width.to_string(), (2 * mail.get("width").parse::<u32>().unwrap()).to_string());
        let shields = code(&page, "shields");
        let query = shields.split("url=").nth(1).unwrap().split(')').next().unwrap();
        let query: Vec<_> = url::form_urlencoded::parse(format!("url={query}").as_bytes()).into_owned().collect();
        assert_eq!(query, [("url".to_owned(), format!("{PUBLIC}/badge/BTC-KRW.json?{image_query}"))]);
        assert!(shields.starts_with("[![BTC-KRW](https://img.shields.io/endpoint?url=https%3A%2F%2F"), "{shields}");
        assert!(shields.ends_with(&format!("]({PUBLIC}/market/BTC-KRW)")), "{shields}");
    }
    // shields.io needs a public URL with HTTPS.
    for public_url in [None, Some("http://news.example".to_owned())] {
        let site = Site { public_url, ..Site::default() };
        let page = get_with(
            &AppFixture { site, ..AppFixture::default() }.app(),
            "/widgets?ui=en",
            &[("host", "news.example")],
        )
        .await;
        assert!(page.body.contains("code-mail") && !page.body.contains("code-shields"));
    }
}

#[tokio::test]
async fn without_a_public_url_snippets_use_the_request_host_and_the_page_is_not_cached() {
    let site = Site { public_url: None, base_path: "/prices".to_owned(), ..Site::default() };
    let app = AppFixture { site, ..AppFixture::default() }.app();
    let path = "/prices/widgets?ui=en";
    for (headers, home) in [
        (&[("host", "news.example:8080")][..], "http://news.example:8080/prices"),
        (&[("host", "other.example"), ("x-forwarded-proto", "https")], "https://other.example/prices"),
        (&[("host", "[::1]:8080")], "http://[::1]:8080/prices"),
        // An invalid host is not echoed, however it tries to end the surrounding text.
        (&[("host", "evil.example\"><script>")], "/prices"),
        (&[("host", "evil.example/?x=")], "/prices"),
        (&[("host", "evil.example' + x")], "/prices"),
        (&[("host", "user@evil.example")], "/prices"),
        (&[], "/prices"),
    ] {
        let page = get_with(&app, path, headers).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("cache-control"), "no-store");
        assert!(page.header("etag").is_empty(), "the page is not cached");
        assert!(page.body.contains(&format!("data-home=\"{home}\"")), "{headers:?}");
        for id in ["element", "iframe", "include", "react", "pinned", "image", "mail"] {
            let code = code(&page, id);
            assert!(code.contains(&format!("\"{home}/")), "{headers:?} {id}: {code}");
            assert!(!code.contains("HOST") && (home.contains("evil") || !code.contains("evil")), "{id}: {code}");
        }
    }
    let configured = get_with(&super::app(), "/widgets?ui=en", &[("host", "evil.example")]).await;
    assert!(
        !configured.body.contains("evil") && code(&configured, "element").contains(PUBLIC),
        "a configured public URL takes precedence"
    );
}

#[tokio::test]
async fn a_pinned_script_is_immutable_and_imports_pinned_modules() {
    let app = app();
    let pinned: Value = serde_json::from_str(&get(&app, "/api/v1/script").await.body).unwrap();
    let modules = pinned["modules"].as_array().unwrap();
    let mut bodies = String::new();
    for file in modules.iter().chain([&pinned]) {
        let name = file["file"].as_str().unwrap();
        let response = get(&app, &format!("/{name}")).await;
        assert_eq!(response.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(response.header("access-control-allow-origin"), "*");
        let hash = BASE64_STANDARD.encode(digest(&SHA384, response.body.as_bytes()));
        assert_eq!(file["integrity"], format!("sha384-{hash}"), "{name}");
        let stem = name.rsplit_once('-').unwrap().0;
        let newest = get(&app, &format!("/{stem}.js")).await;
        assert_eq!(
            (newest.status.as_u16(), newest.header("cache-control").contains("immutable")),
            (200, false),
            "{stem}"
        );
        bodies.push_str(&response.body);
    }
    for module in modules {
        let import = format!("import('./{}')", module["file"].as_str().unwrap());
        assert!(bodies.contains(&import), "{import}");
    }
    assert!(!bodies.contains("import('./sisepan-tape.js')"), "a pinned script imports no unpinned module");
    assert!(get(&app, "/sisepan.d.ts").await.body.contains("interface Row"));
}
