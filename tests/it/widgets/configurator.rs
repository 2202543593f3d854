//! `/widgets` as a form without script, and the script under the address of its content.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA384, digest};
use serde_json::Value;
use sisepan::config::Site;

use super::parse::parse;
use super::{Answer, PUBLIC, Set, WIDGETS, app, ask, ask_with};

/// The text of a snippet, as a reader copies it.
fn code(page: &Answer, id: &str) -> String {
    let code = page.between(&format!("<code id=\"code-{id}\">"), "</code>");
    let entities = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    entities.iter().fold((*code.first().expect(id)).to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

#[tokio::test]
async fn the_form_makes_the_snippet_without_script() {
    let app = app();
    let page =
        ask(&app, "/widgets?ui=en&q=&widget=board&m=XRP-KRW&m=BTC-KRW&theme=dark&lang=&columns=last&columns=amount")
            .await;
    assert_eq!(page.status, 200);
    let element = code(&page, "element");
    assert!(
        element.starts_with(&format!("<script type=\"module\" src=\"{PUBLIC}/sisepan.js\"></script>\n")),
        "{element}"
    );
    assert!(element.contains("<sisepan-board markets=\"XRP-KRW,BTC-KRW\" theme=\"dark\" columns="), "{element}");
    assert!(!element.contains("lang=") && !element.contains("basis="), "what nobody chose is left out: {element}");
    let frame = code(&page, "iframe");
    let frame = parse(&frame).unwrap().elements.remove(0);
    assert_eq!((frame.tag.as_str(), frame.get("sandbox")), ("iframe", "allow-scripts"));
    assert!(frame.get("src").starts_with(&format!("{PUBLIC}/embed/board?markets=XRP-KRW,BTC-KRW&theme=dark")));
    assert!(frame.get("height").parse::<u32>().unwrap() > 50 && !frame.get("title").is_empty());
    // The boxes that were ticked stand first and are still ticked.
    let boxes = page.between("name=\"m\" value=\"", ">");
    assert_eq!(&boxes[..2], ["XRP-KRW\" checked", "BTC-KRW\" checked"]);
}

#[tokio::test]
async fn every_widget_can_be_made_in_every_language() {
    let app = app();
    for widget in WIDGETS {
        for ui in ["ko", "en", "ja"] {
            let page = ask(&app, &format!("/widgets?widget={widget}&ui={ui}")).await;
            let parsed = parse(&page.body).unwrap();
            let frames: Vec<_> = parsed.all("iframe").map(|frame| frame.get("src").to_owned()).collect();
            assert_eq!(frames.len(), 2, "{widget} {ui}");
            for src in frames {
                assert_eq!(ask(&app, &format!("/{src}")).await.status, 200, "{src}");
            }
            assert!(code(&page, "element").contains(&format!("<sisepan-{widget}")));
            assert!(page.header("content-security-policy").contains("frame-src 'self'"));
        }
    }
}

#[tokio::test]
async fn a_market_too_many_is_left_out_where_one_is_shown() {
    let page = ask(&app(), "/widgets?ui=en&widget=chart&m=XRP-KRW&m=BTC-KRW").await;
    assert!(code(&page, "element").contains("<sisepan-chart markets=\"XRP-KRW\" style="), "{}", code(&page, "element"));
}

#[tokio::test]
async fn markets_are_found_by_any_of_their_names() {
    for (search, found) in [("xrp", "XRP-KRW"), ("%EB%A6%AC%ED%94%8C", "XRP-KRW"), ("%E3%84%B9%E3%85%8D", "XRP-KRW")] {
        let page = ask(&app(), &format!("/widgets?ui=ko&q={search}")).await;
        let shown: Vec<&str> = page
            .between("<label data-found-by=\"", "</label>")
            .into_iter()
            .filter(|label| !label.contains("\" hidden>"))
            .collect();
        let all_named = shown.iter().all(|label| label.contains(found));
        assert!(!shown.is_empty() && all_named, "{search}: {shown:?}");
    }
}

#[tokio::test]
async fn what_is_asked_for_is_escaped_for_the_place_where_it_is_copied_to() {
    let app = app();
    let page = ask(&app, "/widgets?ui=en&link=/coins/%7Bbase%7D?a=1%26b=2&lang=ko").await;
    assert!(code(&page, "element").contains(" link=\"/coins/{base}?a=1&amp;b=2\""), "{}", code(&page, "element"));
    assert!(code(&page, "react").contains(" link={\"/coins/{base}?a=1&b=2\"}"), "{}", code(&page, "react"));
    assert!(code(&page, "iframe").contains("allow-top-navigation-by-user-activation"));
    let bad =
        ask(&app, "/widgets?ui=en&link=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&q=%22%3E%3Cscript%3Ealert(2)").await;
    assert_eq!(bad.status, 400);
    assert!(!bad.body.contains("<script>") && bad.body.contains("class=\"notice\""), "{}", bad.body);
    assert_eq!(ask(&app, &format!("/widgets?x={}", "x".repeat(9000))).await.status, 400);
}

#[tokio::test]
async fn fc_29_the_form_has_snippets_for_mail_and_for_shields() {
    let app = app();
    for (query, look) in [("", "lang=en"), ("&theme=dark&lang=ja&size=l", "lang=ja&theme=dark")] {
        let page = ask(&app, &format!("/widgets?ui=en&widget=card&m=BTC-KRW{query}")).await;
        let (image, mail) = (parse(&code(&page, "image")).unwrap(), parse(&code(&page, "mail")).unwrap());
        let (image, mail) = (image.all("img").next().unwrap().clone(), mail.all("img").next().unwrap().clone());
        assert_eq!(mail.get("src"), format!("{PUBLIC}/badge/BTC-KRW.png?{look}"));
        for attribute in ["alt", "width", "height"] {
            assert_eq!(mail.get(attribute), image.get(attribute));
        }
        assert_eq!((mail.get("alt"), mail.get("height")), ("BTC-KRW", "26"));
        let drawn = ask(&app, &mail.get("src")[PUBLIC.len()..]).await;
        let wide = u32::from_be_bytes(drawn.bytes[16..20].try_into().unwrap());
        assert_eq!(wide.to_string(), (2 * mail.get("width").parse::<u32>().unwrap()).to_string());
        let shields = code(&page, "shields");
        let asked = shields.split("url=").nth(1).unwrap().split(')').next().unwrap();
        let asked: Vec<_> = url::form_urlencoded::parse(format!("url={asked}").as_bytes()).into_owned().collect();
        assert_eq!(asked, [("url".to_owned(), format!("{PUBLIC}/badge/BTC-KRW.json?{look}"))]);
        assert!(shields.starts_with("[![BTC-KRW](https://img.shields.io/endpoint?url=https%3A%2F%2F"), "{shields}");
        assert!(shields.ends_with(&format!("]({PUBLIC}/market/BTC-KRW)")), "{shields}");
    }
    // It could not be reached, or not over HTTPS.
    for public_url in [None, Some("http://news.example".to_owned())] {
        let site = Site { public_url, ..Site::default() };
        let page = ask_with(&Set { site, ..Set::default() }.app(), "/widgets?ui=en", &[("host", "news.example")]).await;
        assert!(page.body.contains("code-mail") && !page.body.contains("code-shields"));
    }
}

#[tokio::test]
async fn without_a_public_address_the_snippet_names_the_one_that_was_asked_and_nobody_else_is_told() {
    let site = Site { public_url: None, base_path: "/prices".to_owned(), ..Site::default() };
    let app = Set { site, ..Set::default() }.app();
    let path = "/prices/widgets?ui=en";
    for (headers, home) in [
        (&[("host", "news.example:8080")][..], "http://news.example:8080/prices"),
        (&[("host", "other.example"), ("x-forwarded-proto", "https")], "https://other.example/prices"),
        (&[("host", "[::1]:8080")], "http://[::1]:8080/prices"),
        // What is no host is not given back, in whatever way it would end the text that it stands in.
        (&[("host", "evil.example\"><script>")], "/prices"),
        (&[("host", "evil.example/?x=")], "/prices"),
        (&[("host", "evil.example' + x")], "/prices"),
        (&[("host", "user@evil.example")], "/prices"),
        (&[], "/prices"),
    ] {
        let page = ask_with(&app, path, headers).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("cache-control"), "no-store");
        assert!(page.header("etag").is_empty(), "it is kept nowhere");
        assert!(page.body.contains(&format!("data-home=\"{home}\"")), "{headers:?}");
        for id in ["element", "iframe", "include", "react", "pinned", "image", "mail"] {
            let code = code(&page, id);
            assert!(code.contains(&format!("\"{home}/")), "{headers:?} {id}: {code}");
            assert!(!code.contains("HOST") && (home.contains("evil") || !code.contains("evil")), "{id}: {code}");
        }
    }
    let known = ask_with(&super::app(), "/widgets?ui=en", &[("host", "evil.example")]).await;
    assert!(
        !known.body.contains("evil") && code(&known, "element").contains(PUBLIC),
        "the operator's word is the only one"
    );
}

#[tokio::test]
async fn a_version_of_the_script_is_for_ever_and_brings_its_own_modules() {
    let app = app();
    let pinned: Value = serde_json::from_str(&ask(&app, "/api/v1/script").await.body).unwrap();
    let modules = pinned["modules"].as_array().unwrap();
    let mut bodies = String::new();
    for file in modules.iter().chain([&pinned]) {
        let name = file["file"].as_str().unwrap();
        let answer = ask(&app, &format!("/{name}")).await;
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let hash = BASE64_STANDARD.encode(digest(&SHA384, answer.body.as_bytes()));
        assert_eq!(file["integrity"], format!("sha384-{hash}"), "{name}");
        let stem = name.rsplit_once('-').unwrap().0;
        let newest = ask(&app, &format!("/{stem}.js")).await;
        assert_eq!(
            (newest.status.as_u16(), newest.header("cache-control").contains("immutable")),
            (200, false),
            "{stem}"
        );
        bodies.push_str(&answer.body);
    }
    for module in modules {
        let import = format!("import('./{}')", module["file"].as_str().unwrap());
        assert!(bodies.contains(&import), "{import}");
    }
    assert!(!bodies.contains("import('./sisepan-tape.js')"), "no version brings the newest of another");
    assert!(ask(&app, "/sisepan.d.ts").await.body.contains("interface Row"));
}
