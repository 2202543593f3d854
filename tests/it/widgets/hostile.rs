//! Hostile names from exchanges and requests, through every template.

use sisepan::feed::{BoardUpdate, Reason, ReasonCode, VenueHealth, VenueState};
use sisepan::market::{Quote, VenueId};

use super::parse::parse;
use super::{AppFixture, WIDGETS, board, get, now, quote};

const NAMES: [&str; 7] = [
    "<img src=x onerror=alert(1)>",
    "\"><script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "</script><script>alert(1)//",
    "javascript:alert(1)",
    "&lt;b&gt;\u{2028}\u{2029}]]>",
    "\u{1}\u{7}\u{202e}\u{0}{{7*7}}",
];

/// Returns a fixture whose market and board have a hostile name.
fn hostile(name: &str) -> AppFixture {
    let row = quote("<B>'&\"-KRW", "142187000", Some("139290000"));
    let row = Quote { korean_name: Some(name.into()), english_name: Some(name.into()), ..row };
    let mut krw = board("krw", &["<B>'&\"-KRW"], "bithumb");
    krw.titles = std::array::from_fn(|_| name.to_owned());
    AppFixture { quotes: vec![row], boards: vec![krw], ..AppFixture::default() }
}

/// Returns an update of a venue that is down with a hostile message.
fn venue_down(message: &str) -> BoardUpdate {
    let health = VenueHealth {
        state: VenueState::Down,
        reason: Some(Reason::new(ReasonCode::Refused, message)),
        markets_live: 0,
        connects: 1,
        requests_failed: 1,
        ..VenueHealth::new(VenueId("bithumb"), 1, now())
    };
    BoardUpdate { at: now(), venues: vec![health], ..BoardUpdate::default() }
}

#[tokio::test]
async fn out_23_hostile_names_stay_text_in_every_template() {
    for name in NAMES {
        let app = hostile(name).app();
        app.hub.publish(venue_down(name));
        let mut paths = vec!["/?lang=ko".to_owned(), "/?lang=en&q=%3Cscript%3E".to_owned()];
        paths.push("/market/%3CB%3E%27%26%22-KRW?lang=ko".to_owned());
        for widget in WIDGETS {
            for lang in ["ko", "en", "ja"] {
                paths.push(format!("/embed/{widget}?lang={lang}"));
                paths.push(format!("/embed/{widget}?lang={lang}&link=market"));
                paths.push(format!("/fragment/{widget}?lang={lang}&credit=on&link=/x/%7Bmarket%7D"));
            }
        }
        for path in paths {
            let response = get(&app, &path).await;
            assert_eq!(response.status, 200, "{path}");
            let page = parse(&response.body).unwrap_or_else(|error| panic!("{path} with {name:?}: {error}"));
            for element in &page.elements {
                assert!(
                    !["img", "b onmouseover", "style", "iframe", "object"].contains(&element.tag.as_str()),
                    "{path}"
                );
                assert!(element.tag != "script" || element.get("src").ends_with(".js"), "{path}");
                let is_dangerous = |(key, value): (&String, &String)| {
                    key.starts_with("on")
                        || key == "style"
                        || (["href", "src", "action"].contains(&key.as_str()) && value.contains("script:"))
                };
                assert!(!element.attributes.iter().any(is_dangerous), "{path}: {element:?}");
                for (key, value) in element.attributes.iter().filter(|(key, _)| ["href", "src"].contains(&key.as_str()))
                {
                    assert!(!value.contains(['<', '"', '\'', ' ']), "{path}: {key}={value}");
                }
            }
        }
    }
}

#[tokio::test]
async fn out_23_hostile_names_stay_text_in_the_badge() {
    for name in NAMES {
        let app = hostile(name).app();
        let response = get(&app, "/badge/%3CB%3E%27%26%22-KRW.svg?lang=ko").await;
        assert_eq!(response.status, 200);
        let page = parse(&response.body).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let tags = ["svg", "title", "style", "rect", "text"];
        assert!(page.elements.iter().all(|element| tags.contains(&element.tag.as_str())), "{}", response.body);
        assert!(!response.body.chars().any(|c| c.is_control() && c != '\n'), "XML does not allow control characters");
        assert_eq!(get(&app, "/badge/%3CB%3E%27%26%22-KRW.png?lang=ko").await.status, 200);
    }
}

#[tokio::test]
async fn out_24_strings_for_the_script_are_a_safely_escaped_attribute() {
    for name in NAMES {
        let app = hostile(name).app();
        for widget in WIDGETS {
            let response = get(&app, &format!("/embed/{widget}?lang=ko")).await;
            let page = parse(&response.body).unwrap();
            let root = page.elements.iter().find(|it| it.get("class") == "sisepan").unwrap();
            let words: serde_json::Value = serde_json::from_str(root.get("data-words")).unwrap();
            assert_eq!(words["hours"], 9, "{widget}");
            assert!(page.all("script").count() == 1, "{widget}: only the script of the server, and no inline data");
        }
    }
}

#[tokio::test]
async fn no_page_needs_inline_script_or_style() {
    let app = hostile("x").app();
    for path in
        ["/", "/embed/card", "/fragment/chart", "/market/%3CB%3E%27%26%22-KRW", "/embed/nothing", "/badge/X.svg"]
    {
        let response = get(&app, path).await;
        let policy = response.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    }
}

/// Names with control characters that affect the text around them.
const CONTROL_NAMES: [&str; 8] = [
    "Bit\0coin",
    "Bit\ncoin\r\nlive: 1",
    "\u{1b}[2J\u{1b}]0;x\u{7}Bitcoin",
    "\u{202e}niocti B\u{202d}",
    "\u{2066}\u{2067}\u{2068}Bitcoin\u{2069}",
    "\u{200e}\u{200f}\u{61c}Bit\u{200b}coin\u{feff}",
    "Bit\u{2028}coin\u{2029}",
    "\u{e0041}\u{3164}\u{fff9}Bitcoin\u{85}",
];

/// Returns a fixture with a market whose name comes from the exchange only.
fn named(name: &str) -> AppFixture {
    let row = quote("ZZZ-KRW", "142187000", Some("139290000"));
    let row = Quote { korean_name: Some(name.into()), english_name: Some(name.into()), ..row };
    AppFixture { quotes: vec![row], boards: vec![board("krw", &["ZZZ-KRW"], "bithumb")], ..AppFixture::default() }
}

/// Checks that a text has no unprintable character except line breaks.
fn assert_printable(text: &str, what: &str) {
    let unprintable = text.chars().find(|c| *c != '\n' && sisepan::market::is_unprintable(*c));
    assert_eq!(unprintable, None, "{what}: {}", text.escape_debug());
}

#[tokio::test]
async fn fc_17_control_characters_of_a_name_reach_no_page_picture_or_json() {
    for name in CONTROL_NAMES {
        let app = named(name).app();
        app.hub.publish(venue_down(&sisepan::market::escape_unprintable(name)));
        let mut paths = ["svg", "png", "json"].map(|form| format!("/badge/ZZZ-KRW.{form}")).to_vec();
        for lang in ["ko", "en", "ja"] {
            for page in ["/", "/widgets", "/market/ZZZ-KRW", "/api/v1/snapshot", "/api/v1/markets", "/api/v1/venues"] {
                paths.push(format!("{page}?lang={lang}"));
            }
            paths.extend(WIDGETS.map(|widget| format!("/embed/{widget}?lang={lang}")));
            paths.extend(WIDGETS.map(|widget| format!("/fragment/{widget}?lang={lang}")));
        }
        for path in paths {
            let response = get(&app, &path).await;
            assert_eq!(response.status, 200, "{path}");
            assert_printable(&response.body, &path);
            // JSON may also contain control characters as escapes.
            if path.starts_with("/api/") && !path.contains("venues") || path.ends_with(".json") {
                let value: serde_json::Value = serde_json::from_str(&response.body).unwrap();
                for text in strings(&value) {
                    assert_printable(text, &path);
                    assert!(!text.contains('\n'), "{path}: {text:?}");
                }
            }
            let names = response.between("data-cell=\"name\">", "<");
            assert!(names.iter().all(|name| !name.contains('\n')), "{path}: {names:?}");
        }
    }
}

fn strings(value: &serde_json::Value) -> Vec<&str> {
    match value {
        serde_json::Value::String(text) => vec![text],
        serde_json::Value::Array(items) => items.iter().flat_map(strings).collect(),
        serde_json::Value::Object(members) => members.values().flat_map(strings).collect(),
        _ => vec![],
    }
}

#[tokio::test]
async fn fc_17_a_right_to_left_name_is_isolated() {
    let app = named("ביטקוין").app();
    for path in ["/fragment/ticker", "/fragment/board", "/fragment/card", "/fragment/tape", "/market/ZZZ-KRW", "/"] {
        let body = get(&app, &format!("{path}?lang=en")).await.body;
        let page = parse(&body).unwrap();
        let name = page.elements.iter().find(|it| it.get("data-cell") == "name").unwrap();
        assert_eq!(name.tag, "bdi", "{path}");
    }
}

#[tokio::test]
async fn fc_17_no_csv_cell_is_a_formula_or_ends_early() {
    for (base, cell) in [
        ("=HYPERLINK(\"HTTP://X\")", "\"'=HYPERLINK(\"\"HTTP://X\"\")\""),
        ("+1", "\"'+1\""),
        ("@SUM", "\"'@SUM\""),
        ("＝1", "\"'＝1\""),
        ("A,B", "\"A,B\""),
        ("币安人生", "币安人生"),
    ] {
        let row = Quote { ..quote("ZZZ-KRW", "1", None) };
        let market: sisepan::market::Market = sisepan::market::Market::new(base, "KRW").unwrap();
        let mut krw = board("krw", &["ZZZ-KRW"], "bithumb");
        krw.markets = [market.clone()].into_iter().collect();
        let app =
            AppFixture { quotes: vec![Quote { market, ..row }], boards: vec![krw], ..AppFixture::default() }.app();
        let csv = get(&app, "/api/v1/snapshot.csv?board=krw").await.body;
        let line = csv.lines().nth(1).unwrap();
        assert!(line.contains(&format!(",{cell},KRW,bithumb,1,")), "{line}");
        assert!(!line.starts_with(['=', '+', '-', '@', '＝']), "{line}");
    }
}
