//! Site settings: base path, frame ancestors, origins and limits; and isolation of responses from other requests.

use crate::test_hub::TestApp;
use sisepan::config;
use sisepan::web::Limits;

use super::*;

/// Returns the site settings of a configuration file.
fn site(text: &str) -> Site {
    config::parse("sisepan.toml", text, &Default::default()).unwrap_or_else(|errors| panic!("{errors}")).site
}

fn app_with_settings(text: &str) -> TestApp {
    app_state_with_site(&hub_with_rows(), Limits::default(), site(text))
}

#[tokio::test]
async fn everything_is_served_under_the_base_path() {
    let app = app_with_settings(r#"base_path = "/prices/kr/""#);
    assert_eq!(app.base_path(), "/prices/kr");
    for path in [
        "/",
        "/?board=krw",
        "/api/v1/snapshot?board=krw",
        "/api/v1/events",
        "/embed/board",
        "/fragment/board",
        "/market/BTC-KRW",
        "/sisepan.js",
        "/sisepan.css",
        "/healthz",
    ] {
        assert_eq!(get(&app, &format!("/prices/kr{path}")).await.status(), 200, "{path}");
        let outside = if path.starts_with("/?") || path == "/" { 307 } else { 404 };
        assert_eq!(get(&app, path).await.status(), outside, "{path} without it");
        assert_eq!(get(&app, &format!("/prices/krx{path}")).await.status(), 404, "{path} beside it");
    }
    for (path, location) in [("/prices/kr", "/prices/kr/"), ("/prices/kr?lang=ko", "/prices/kr/?lang=ko")] {
        let response = get(&app, path).await;
        assert_eq!((response.status().as_u16(), header(&response, "location")), (308, location));
    }
    let address = serve(&app).await;
    let url = format!("ws://{address}/prices/kr/api/v1/stream?board=krw");
    let (_socket, _) = tokio_tungstenite::connect_async(url).await.expect("the stream is served under it too");
}

#[tokio::test]
async fn no_page_links_outside_the_base_path() {
    let app = app_with_settings(r#"base_path = "/prices""#);
    for path in ["/prices/", "/prices/embed/board", "/prices/fragment/board", "/prices/market/BTC-KRW"] {
        let page = text(get(&app, path).await).await;
        for attribute in ["href=\"", "src=\"", "action=\""] {
            for link in page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(!(link.starts_with('/') || link.contains("://")), "{path} links to {link}");
            }
        }
    }
}

#[test]
fn invalid_site_settings_are_reported() {
    let problems = |text: &str| match config::parse("x", text, &Default::default()) {
        Ok(_) => panic!("{text} was accepted"),
        Err(errors) => errors.to_string(),
    };
    for (text, expected) in [
        (r#"base_path = "prices""#, "base_path: must be a path such as /prices"),
        (r#"base_path = "/a//b""#, "base_path: must be a path"),
        (r#"base_path = "/../b""#, "base_path: must be a path"),
        (r#"base_path = "/a b""#, "base_path: must be a path"),
        (r#"public_url = "example.com""#, "public_url: must be a URL"),
        (r#"public_url = "https://user:word@example.com""#, "public_url: must be a URL"),
        (r#"public_url = "https://example.com/?a=b""#, "public_url: must be a URL"),
        (r#"frame_ancestors = ["example.com"]"#, "frame_ancestors: must be *, 'self'"),
        (r#"frame_ancestors = ["https://a.example; script-src *"]"#, "frame_ancestors: must be"),
        (r#"frame_ancestors = ["null"]"#, "frame_ancestors: must be"),
        (r#"origins = ["https://a.example/path"]"#, "origins: must be *, null or https://example.com"),
        (r#"trusted_proxies = ["10.0.0.0/99"]"#, "trusted_proxies: must be an IP address or a CIDR range"),
        ("[limits]\nhead_bytes = 1", "limits.head_bytes: must be from 8192 to 65536"),
        ("[limits]\nping_every_secs = 5\npong_within_secs = 6", "limits.pong_within_secs: must be from 1 to 5"),
        ("[limits]\nconections = 1", "limits.conections: unknown setting"),
    ] {
        let problems = problems(text);
        assert!(problems.contains(expected), "{text} gave {problems}, not {expected}");
    }
    let set =
        site("public_url = \"https://News.example:443/prices/\"\norigins = [\"https://A.example:443\", \"null\"]");
    assert_eq!(set.public_url.as_deref(), Some("https://news.example/prices"));
    assert_eq!(set.origins, Some(vec!["https://a.example".to_owned(), "null".to_owned()]));
    assert_eq!(site("origins = [\"*\"]").origins, None);
    assert_eq!(site("origins = []").origins, Some(Vec::new()));
    assert_eq!(site("frame_ancestors = []").frame_ancestors, "'none'");
    assert_eq!(
        site("frame_ancestors = [\"'self'\", \"https://*.News.example\"]").frame_ancestors,
        "'self' https://*.news.example"
    );
}

#[test]
fn every_limit_is_documented_with_its_default() {
    let table = include_str!("../../../docs/settings.md");
    let source = include_str!("../../../src/config/limits.rs");
    // The doc comment of each field begins with the name of its setting.
    let names: Vec<_> = source.split("    /// `").skip(1).map(|rest| rest.split('`').next().unwrap()).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(table.contains(&format!("| `{name}` |")), "docs/settings.md lacks {name}");
    }
    let read = config::parse("x", "", &Default::default()).unwrap().limits;
    assert_eq!(read, Limits::default());
    let set = config::parse("x", "[limits]\nsubscriptions = 3\nstreams = 7\nhead_within_secs = 4", &Default::default());
    let set = set.unwrap().limits;
    assert_eq!((set.subscriptions_max, set.streams_max, set.head_within.as_secs()), (3, 7, 4));
}

#[tokio::test]
async fn out_22_a_page_may_open_a_stream_only_where_its_origin_is_listed() {
    // Origins that only resemble the listed one: suffix, prefix, scheme, port, path, case.
    const FOREIGN: [&str; 7] = [
        "https://evil.example",
        "https://good.example.evil.example",
        "https://notgood.example",
        "http://good.example",
        "https://good.example:8443",
        "https://good.example/",
        "https://GOOD.example",
    ];
    let any = app_with_settings("");
    let listed = app_with_settings("public_url = \"https://own.example/prices\"\norigins = [\"https://good.example\"]");
    let with_null = app_with_settings("origins = [\"null\"]");
    let none = app_with_settings("origins = []");
    for (app, origin, status) in [
        (&any, Some("https://evil.example"), 200),
        (&any, Some("null"), 200),
        (&any, None, 200),
        (&listed, Some("https://good.example"), 200),
        (&listed, Some("https://own.example"), 200),
        (&listed, None, 200),
        (&listed, Some("null"), 403),
        (&listed, Some(""), 403),
        (&with_null, Some("null"), 200),
        (&with_null, Some("https://good.example"), 403),
        (&none, Some("https://good.example"), 403),
        (&none, Some("null"), 403),
        (&none, None, 200),
    ]
    .into_iter()
    .chain(FOREIGN.map(|origin| (&listed, Some(origin), 403)))
    {
        let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        let response = get_with(app, "/api/v1/events?board=krw", &headers).await;
        assert_eq!(response.status(), status, "events from {origin:?}");
        if status == 403 {
            assert!(text(response).await.contains("urn:sisepan:problem:origin-not-allowed"));
        }
    }
    // The same for sockets.
    let address = serve(&listed).await;
    for (origin, allowed) in [("https://good.example", true), ("https://evil.example", false), ("null", false)] {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest;
        let mut request = format!("ws://{address}/api/v1/stream?board=krw").into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let status = match tokio_tungstenite::connect_async(request).await {
            Ok(_) => 101,
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(status, if allowed { 101 } else { 403 }, "a socket from {origin}");
    }
}

#[tokio::test]
async fn out_25_only_embeds_may_be_framed_and_a_setting_limits_the_ancestors() {
    let default = app_with_settings("");
    let set = app_with_settings("frame_ancestors = [\"'self'\", \"https://news.example\"]");
    for (app, ancestors) in [(&default, "*"), (&set, "'self' https://news.example")] {
        for path in ["/embed/board", "/embed/board?board=nope"] {
            let response = get(app, path).await;
            let policy = header(&response, "content-security-policy");
            assert!(policy.ends_with(&format!("frame-ancestors {ancestors}")), "{path}: {policy}");
            assert_eq!(policy.matches("frame-ancestors").count(), 1);
            assert_eq!(header(&response, "x-frame-options"), "", "{path}");
        }
        for path in ["/", "/market/BTC-KRW", "/fragment/board", "/?board=nope", "/api/v1/snapshot", "/nothing"] {
            let response = get(app, path).await;
            let policy = header(&response, "content-security-policy");
            assert!(policy.ends_with("frame-ancestors 'none'"), "{path}: {policy}");
            assert_eq!(header(&response, "x-frame-options"), "DENY", "{path}");
        }
    }
}

#[tokio::test]
async fn out_26_responses_are_the_same_for_every_origin() {
    let app = app_with_settings("origins = [\"https://good.example\"]");
    for path in ["/api/v1/snapshot", "/api/v1/snapshot.csv", "/api/v1/markets", "/fragment/board", "/sisepan.js"] {
        for origin in ["https://good.example", "https://evil.example", "null"] {
            let first = get_with(&app, path, &[("origin", origin)]).await;
            let tag = header(&first, "etag").to_owned();
            let again = get_with(&app, path, &[("origin", origin), ("if-none-match", &tag)]).await;
            assert_eq!(again.status(), 304);
            for response in [first, again] {
                assert_eq!(header(&response, "access-control-allow-origin"), "*", "{path} for {origin}");
                assert_eq!(header(&response, "access-control-allow-credentials"), "");
                assert!(!header(&response, "vary").contains("origin"), "responses do not depend on the origin");
            }
        }
    }
}

#[tokio::test]
async fn embeddable_resources_allow_cross_origin_embedding() {
    let app = app_with_settings("");
    for path in [
        "/embed/board",
        "/fragment/board",
        "/sisepan.js",
        "/sisepan.css",
        "/icon.svg",
        "/api/v1/snapshot",
        "/api/v1/events",
    ] {
        let response = get(&app, path).await;
        assert_eq!(header(&response, "cross-origin-resource-policy"), "cross-origin", "{path}");
    }
}

#[tokio::test]
async fn out_27_no_request_header_is_reflected_in_a_response() {
    let app = app_with_settings("public_url = \"https://own.example/prices\"\nbase_path = \"/prices\"");
    assert_eq!(app.public_url(), Some("https://own.example/prices"));
    let forged = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "evil"),
        ("forwarded", "host=evil.example"),
        ("x-original-url", "/evil"),
        ("referer", "https://evil.example/"),
        ("origin", "https://evil.example"),
    ];
    for path in
        ["", "/", "/embed/board", "/fragment/board", "/market/BTC-KRW", "/api/v1/snapshot", "/nothing", "/sisepan.js"]
    {
        let path = format!("/prices{path}");
        // The forged headers come first, so that they would end up in the cache.
        let first = get_with(&app, &path, &forged).await;
        let clean = get(&app, &path).await;
        let headers = |response: &Response<Body>| format!("{:?}", response.headers());
        assert!(!headers(&first).contains("evil"), "{path}: {}", headers(&first));
        assert_eq!(headers(&first), headers(&clean), "{path}");
        let first = text(first).await;
        assert!(!first.contains("evil"), "{path}: {first}");
        assert_eq!(first, text(clean).await, "{path}");
    }
}
