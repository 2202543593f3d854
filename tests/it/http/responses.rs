//! What all responses have in common: methods, `Host` validation, security headers, and error pages.

use crate::test_hub::TestApp;
use axum::http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Paths of all kinds: pages, widgets, API, files, and some that do not exist.
const PATHS: [&str; 24] = [
    "/",
    "/market/BTC-KRW",
    "/market/NOPE",
    "/embed/board",
    "/embed/nope",
    "/fragment/board",
    "/fragment/board?theme=x",
    "/badge/BTC-KRW.svg",
    "/badge/NOPE.svg",
    "/badge/BTC-KRW.png",
    "/badge/NOPE.png",
    "/badge/BTC-KRW.json",
    "/badge/NOPE.json",
    "/sisepan-colors.css?colors=1",
    "/sisepan.js",
    "/sisepan.css",
    "/icon.svg",
    "/openapi.json",
    "/oembed?url=x",
    "/widgets",
    "/api/v1/snapshot",
    "/api/v1/script",
    "/healthz",
    "/no/such/page",
];

fn under(base_path: &str) -> TestApp {
    app_state_with_site(
        &hub_with_rows(),
        Limits::default(),
        Site { base_path: base_path.to_owned(), ..Site::default() },
    )
}

/// Sends bytes and returns everything received until the server closes the connection.
async fn raw(address: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    tokio::time::timeout(DEADLINE, socket.read_to_end(&mut response)).await.expect("closed in time").unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

async fn options(app: &AppState, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(Method::OPTIONS).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send_request(app, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn fc_25_options_is_answered_on_every_path() {
    for (app, base) in [(under(""), ""), (under("/prices"), "/prices")] {
        for path in PATHS {
            let response = options(&app, &format!("{base}{path}"), &[]).await;
            assert_eq!((response.status().as_u16(), header(&response, "allow")), (204, "GET, HEAD, OPTIONS"), "{path}");
            assert_eq!(text(response).await, "");
        }
        let address = serve(&app).await;
        for target in ["*", "/", "/prices/", "/healthz", "/no/such/page"] {
            for version in ["1.0", "1.1"] {
                let host = if version == "1.1" { "host: x\r\nconnection: close\r\n" } else { "" };
                let response = raw(&address, &format!("OPTIONS {target} HTTP/{version}\r\n{host}\r\n")).await;
                assert!(response.starts_with(&format!("HTTP/{version} 204 ")), "{target} {version}: {response}");
                assert!(response.contains("allow: GET, HEAD, OPTIONS\r\n"), "{target}: {response}");
            }
        }
    }
}

#[tokio::test]
async fn fc_27_a_preflight_allows_any_request_header() {
    let app = under("");
    for path in PATHS {
        for requested in ["cache-control", "hx-request, hx-target, hx-current-url", "x-whatever,Authorization"] {
            let headers = [
                ("origin", "https://news.example"),
                ("access-control-request-method", "GET"),
                ("access-control-request-headers", requested),
            ];
            let response = options(&app, path, &headers).await;
            assert_eq!(response.status(), 204, "{path}");
            assert_eq!(header(&response, "access-control-allow-headers"), requested, "{path}");
            assert_eq!(header(&response, "access-control-allow-origin"), "*", "{path}");
            assert_eq!(header(&response, "access-control-allow-credentials"), "", "{path}");
            assert!(header(&response, "access-control-allow-methods").contains("GET"), "{path}");
            assert!(header(&response, "vary").contains("access-control-request-headers"), "{path}");
        }
    }
}

#[tokio::test]
async fn fc_36_every_response_carries_the_security_headers() {
    for (app, base) in [(under(""), ""), (under("/prices"), "/prices")] {
        for path in PATHS.map(|path| format!("{base}{path}")).into_iter().chain(["/".to_owned(), base.to_owned()]) {
            for method in ["GET", "HEAD", "OPTIONS", "POST", "DELETE"] {
                let request = Request::builder().method(method).uri(if path.is_empty() { "/" } else { &path });
                let response = send_request(&app, request.body(Body::empty()).unwrap()).await;
                assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{method} {path}");
                assert_eq!(header(&response, "referrer-policy"), "no-referrer", "{method} {path}");
                let policy = header(&response, "content-security-policy");
                assert!(
                    policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors"),
                    "{method} {path}"
                );
                if response.status() == 405 {
                    assert_eq!(header(&response, "allow"), "GET, HEAD, OPTIONS", "{method} {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn fc_36_responses_to_malformed_requests_carry_the_security_headers() {
    let address = serve(&under("")).await;
    let good = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let (long, large) = ("x".repeat(70_000), format!("x: {}\r\n", "y".repeat(4000)).repeat(8));
    for (request, status) in [
        ("NONSENSE\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/3.7\r\nhost: x\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nhost: x\r\n{large}\r\n"), "431"),
        (format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"), "4"),
        (format!("{good}NONSENSE\r\n\r\n"), "400"),
    ] {
        let received = raw(&address, &request).await;
        let last = received.rfind("HTTP/1.1 ").map_or("", |at| &received[at..]);
        let start = &request[..request.len().min(80)];
        assert!(last.starts_with(&format!("HTTP/1.1 {status}")), "{start}: {received}");
        for line in
            ["x-content-type-options: nosniff", "referrer-policy: no-referrer", "content-security-policy: default-"]
        {
            assert_eq!(last.matches(line).count(), 1, "{start}: {received}");
        }
        assert!(last.contains("content-length: 0\r\n") && last.ends_with("\r\n\r\n"), "{start}: {received}");
    }
    let app =
        app_state_with_site(&hub_with_rows(), Limits { connections_max: 1, ..Limits::default() }, Site::default());
    let address = serve(&app).await;
    let mut first = TcpStream::connect(&address).await.unwrap();
    first.write_all(good.as_bytes()).await.unwrap();
    assert!(first.read(&mut [0; 64]).await.unwrap() > 0, "the first connection holds the permit");
    let response = raw(&address, "").await;
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("too-many-connections"), "{response}");
    for line in ["x-content-type-options: nosniff\r\n", "referrer-policy: no-referrer\r\n", "content-security-policy: "]
    {
        assert_eq!(response.matches(line).count(), 1, "{response}");
    }
}

#[tokio::test]
async fn fc_36_a_request_has_exactly_one_valid_host() {
    let address = serve(&under("")).await;
    // The first request fills the response cache, which must not answer the invalid ones.
    for (version, hosts, status) in [
        ("1.1", &["x"] as &[_], 200),
        ("1.1", &["News.Example:8443"], 200),
        ("1.1", &["[::1]:80"], 200),
        ("1.1", &["127.0.0.1:"], 200),
        ("1.1", &[], 400),
        ("1.1", &["x", "x"], 400),
        ("1.1", &["x", "y"], 400),
        ("1.1", &[""], 400),
        ("1.1", &["x y"], 400),
        ("1.1", &["x/y"], 400),
        ("1.1", &["user@x"], 400),
        ("1.1", &["x:99999"], 400),
        ("1.1", &["x:a"], 400),
        ("1.1", &["x,y"], 400),
        ("1.1", &[".."], 400),
        ("1.1", &["x..y"], 400),
        ("1.1", &["[::g]"], 400),
        ("1.1", &["[::1"], 400),
        ("1.1", &["news.example."], 200),
        ("1.0", &[], 200),
        ("1.0", &["x"], 200),
        ("1.0", &["x", "x"], 400),
    ] {
        let lines: String = hosts.iter().map(|host| format!("host: {host}\r\n")).collect();
        let request = format!("GET /api/v1/snapshot HTTP/{version}\r\n{lines}connection: close\r\n\r\n");
        let response = raw(&address, &request).await;
        assert!(response.starts_with(&format!("HTTP/{version} {status} ")), "{hosts:?}: {response}");
        assert!(response.contains("x-content-type-options: nosniff\r\n"), "{hosts:?}: {response}");
        assert_eq!(response.contains("urn:sisepan:problem:bad-host"), status == 400, "{hosts:?}: {response}");
    }
}

/// The `Accept` header of a browser.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

#[tokio::test]
async fn fc_48_an_unknown_page_is_html_for_a_browser_and_json_for_a_program() {
    for (base, path, root) in [
        ("", "/nope", ""),
        ("", "/no/such/page", "../../"),
        ("", "/market/", "../"),
        ("", "/api/v1/nope", "../../"),
        ("/prices", "/prices/nope", ""),
        ("/prices", "/prices/market/a/b", "../../"),
        ("/prices", "/elsewhere/page", "/prices/"),
        ("/prices", "/pricesx", "/prices/"),
    ] {
        let app = under(base);
        for (lang, title) in [("ko", "찾을 수 없습니다"), ("en-GB", "Page not found"), ("ja", "見つかりません")]
        {
            let response = get_with(&app, path, &[("accept", BROWSER), ("accept-language", lang)]).await;
            assert_eq!(response.status(), 404, "{path}");
            assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8", "{path}");
            assert_eq!(header(&response, "cache-control"), "no-store");
            assert_eq!(header(&response, "vary"), "accept, accept-language");
            let page = text(response).await;
            assert!(page.contains(&format!("<html lang=\"{}\"", &lang[..2])), "{page}");
            assert!(page.contains(title), "{path} in {lang}: {page}");
            assert!(page.contains(&format!("href=\"{root}page.css\"")), "{path}: {page}");
            assert!(page.contains(&format!("href=\"{root}./?lang={}\"", &lang[..2])), "{path}: {page}");
        }
        let response =
            get_with(&app, &format!("{path}?lang=ja"), &[("accept", BROWSER), ("accept-language", "en")]).await;
        assert!(text(response).await.contains("<html lang=\"ja\""), "{path}");
        for accept in ["", "*/*", "application/json", "application/problem+json, text/html;q=0.5", "image/webp,*/*"] {
            let response = get_with(&app, path, &[("accept", accept)]).await;
            assert_eq!(response.status(), 404, "{path}");
            assert_eq!(header(&response, "content-type"), "application/problem+json", "{path} for {accept:?}");
            assert!(text(response).await.contains("urn:sisepan:problem:no-route"));
        }
    }
    // Unknown markets and widgets are JSON for a program too.
    let app = under("");
    for path in ["/market/NOPE-KRW", "/embed/nope", "/fragment/nope", "/?board=nope"] {
        let response = get_with(&app, path, &[("accept", "application/json")]).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(header(&response, "content-type"), "application/problem+json", "{path}");
        let response = get_with(&app, path, &[("accept", BROWSER)]).await;
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (404, "text/html; charset=utf-8"));
    }
}

#[tokio::test]
async fn fc_50_an_error_page_uses_the_requested_language_and_suggests_similar_names() {
    let app = under("");
    let page = async |path: &str| {
        let response = get_with(&app, path, &[("accept", BROWSER), ("accept-language", "ko")]).await;
        (response.status().as_u16(), text(response).await)
    };
    for (path, message, nearest) in [
        ("/market/BTC-KWR?lang=en", "No market named “BTC-KWR”", "BTC-KRW"),
        ("/market/ETH?lang=en", "No market named “ETH”", "ETH-KRW"),
        ("/market/eth-usd?lang=en", "No market named “eth-usd”", "ETH-KRW"),
        ("/market/bitcoin?lang=en", "No market named “bitcoin”", "BTC-KRW"),
        ("/market/리플?lang=ja", "「리플」という銘柄はありません", "XRP-KRW"),
        ("/market/BTCKRW", "“BTCKRW” 종목이 없습니다", "BTC-KRW"),
    ] {
        let path = path.replace("리플", "%EB%A6%AC%ED%94%8C");
        let (status, page) = page(&path).await;
        assert_eq!(status, 404);
        assert!(page.contains(message), "{path}: {page}");
        let lang = path.split("lang=").nth(1).unwrap_or("ko");
        let first = page.split("<li><a href=\"").nth(1).unwrap_or_default();
        assert!(first.starts_with(&format!("../market/{nearest}?lang={lang}\"")), "{path}: {page}");
        assert!(!page.contains("Invalid request") && !page.contains("잘못된 요청"), "{page}");
    }
    // With `board`, only markets of that board are suggested.
    let (_, page_of_small) = page("/market/BTC-KRW?board=small&lang=en").await;
    assert!(page_of_small.contains("market/XRP-KRW") && !page_of_small.contains("market/ETH-KRW"), "{page_of_small}");
    for (path, message) in [
        ("/?board=krv&lang=en", "No board named “krv”"),
        ("/embed/bord?lang=en", "No widget named “bord”"),
        ("/embed/board?markets=BTC-KWR&lang=en", "No market named “BTC-KWR”"),
        ("/fragment/board?markets=BTC-KWR&lang=ja", "「BTC-KWR」という銘柄はありません"),
    ] {
        let (status, page) = page(path).await;
        assert!(status == 404 && page.contains(message), "{path}: {page}");
        let nearest = if path.contains("KWR") {
            "BTC-KRW"
        } else if path.contains("krv") {
            "krw"
        } else {
            "board"
        };
        assert!(page.contains(nearest), "{path}: {page}");
    }
    // With an unknown `lang`, the error page uses the preferred language.
    let (status, error) = page("/?lang=xx").await;
    assert!(status == 400 && error.contains("<html lang=\"ko\""), "{error}");
    // The number of suggestions is limited.
    let many: Vec<String> = (0..60).map(|n| format!("C{n}-KRW")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let parts = AppParts {
        hub: hub().served(),
        boards: crate::api::setup::fixed_boards(vec![board("krw", &many)]),
        clock: Clock::tokio(time("2026-01-15T06:27:04Z")),
        history: None,
        store_health: None,
        demo: false,
    };
    let page = text(get_with(&AppState::new(parts), "/market/C5-KRV", &[("accept", BROWSER)]).await).await;
    let suggested = page.matches("/market/").count();
    assert!(page.contains("market/C5-KRW") && suggested <= 3, "{suggested}: {page}");
}

/// Returns whether a word is the same in every language: an option, a value, or a part of a value's syntax.
fn is_literal(word: &str, options: &[&str]) -> bool {
    let values = "auto light dark kr jp cn intl cb RRGGBB xs s m l xl inherit name last change amount high low volume \
                  normal compact on off market base quote coins 24h 7d utc day kst h d board tape card ticker movers chart \
                  ko en ja krw small XRP ETH English asc desc q sort order ui widget json DEMO zzz KRW BTC";
    options.contains(&word) || values.split_whitespace().any(|value| value == word)
}

#[tokio::test]
async fn fc_50_every_sentence_of_an_error_page_is_in_its_language() {
    let table = include_str!("../../../docs/widgets.md").split("## Options").nth(1).unwrap();
    let table = table.split("###").next().unwrap();
    let options: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(options.len() > 15, "{options:?}");
    let many = vec!["BTC-KRW"; 200].join(",");
    let long = "zzz+".repeat(40);
    let mut paths: Vec<String> = options.iter().map(|name| format!("/embed/board?{name}=zzz")).collect();
    paths.extend(["/fragment/chart", "/", "/market/BTC-KRW"].map(|path| format!("{path}?colors=zzz&link=zzz")));
    paths.push(format!("/embed/board?markets={many}"));
    paths.push("/embed/chart?markets=BTC-KRW,ETH-KRW".to_owned());
    paths.push(format!("/fragment/card?markets={}", vec!["BTC-KRW"; 13].join(",")));
    paths.extend(
        ["/?sort=zzz", "/?order=zzz", "/embed/zzz", "/market/zzz", "/zzz", "/?theme=on&theme=on"].map(str::to_owned),
    );
    paths.push(format!("/?q={long}"));
    paths.push(format!("/embed/board?x={}", "zzz".repeat(7000)));
    paths.extend(options.iter().map(|name| format!("/widgets?{name}=zzz")));
    paths.extend(["/widgets?widget=zzz".to_owned(), format!("/widgets?q={long}")]);
    let app = under("");
    for path in &paths {
        for lang in ["ko", "ja"] {
            // An unknown language is requested on its own, without a valid `lang`.
            let path = if path.contains("lang=zzz") || path.starts_with("/zzz") {
                path.clone()
            } else {
                format!("{path}&lang={lang}&ui={lang}")
            };
            let path = if path.contains('?') { path } else { path.replacen('&', "?", 1) };
            let response = get_with(&app, &path, &[("accept", BROWSER), ("accept-language", lang)]).await;
            let status = response.status().as_u16();
            let page = text(response).await;
            if path.starts_with("/widgets") && status == 200 {
                continue;
            }
            assert!(status == 400 || status == 404, "{path}: {status}");
            // The configurator shows the error above its form.
            let message = match page.split_once("<p class=\"notice\">") {
                Some((_, rest)) => rest.split_once("</").unwrap().0.to_owned(),
                None => page.split_once("<title>").map_or(page.as_str(), |(_, rest)| rest).to_owned(),
            };
            let mut words = String::new();
            let mut is_tag = false;
            for c in message.chars() {
                is_tag = (is_tag || c == '<') && c != '>';
                words.push(if is_tag || c == '>' { ' ' } else { c });
            }
            let foreign: Vec<_> = words
                .replace("&#38;", " ")
                .split(|c: char| !c.is_ascii_alphanumeric())
                .filter(|word| word.chars().any(|c| c.is_ascii_alphabetic()) && !is_literal(word, &options))
                .filter(|word| !word.contains("zzz"))
                .map(str::to_owned)
                .collect();
            assert!(foreign.is_empty(), "{path} in {lang}: {foreign:?} in {words}");
        }
    }
}

#[tokio::test]
async fn fc_58_the_root_of_a_host_redirects_to_the_base_path() {
    let app = under("/prices/kr");
    for (path, location) in [("/", "/prices/kr/"), ("/?lang=en&board=krw", "/prices/kr/?lang=en&board=krw")] {
        for accept in ["*/*", BROWSER] {
            let response = get_with(&app, path, &[("accept", accept)]).await;
            assert_eq!((response.status().as_u16(), header(&response, "location")), (307, location));
        }
        assert_eq!(get(&app, location).await.status(), 200, "{location}");
    }
}
