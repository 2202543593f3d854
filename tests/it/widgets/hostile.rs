//! Names that exchanges and askers may send, through every template.

use std::sync::Arc;

use sisepan::domain::{Publish, Quote, Reason, ReasonCode, VenueHealth, VenueId, VenueState};

use super::parse::parse;
use super::{Set, WIDGETS, ask, board, now, quote};

const NAMES: [&str; 7] = [
    "<img src=x onerror=alert(1)>",
    "\"><script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "</script><script>alert(1)//",
    "javascript:alert(1)",
    "&lt;b&gt;\u{2028}\u{2029}]]>",
    "\u{1}\u{7}\u{202e}\u{0}{{7*7}}",
];

fn hostile(name: &str) -> Set {
    let row = quote("<B>'&\"-KRW", "142187000", Some("139290000"));
    let row = Quote { korean_name: Some(name.into()), english_name: Some(name.into()), ..row };
    let mut krw = board("krw", &["<B>'&\"-KRW"], "bithumb");
    krw.titles = std::array::from_fn(|_| name.to_owned());
    Set { quotes: vec![row], boards: vec![krw], ..Set::default() }
}

fn trouble(name: &str) -> Publish {
    let health = VenueHealth {
        state: VenueState::Down,
        reason: Some(Reason::new(ReasonCode::Refused, name)),
        markets_live: 0,
        connects: 1,
        requests_failed: 1,
        ..VenueHealth::new(VenueId("bithumb"), 1, now())
    };
    Publish { at: now(), changed: Vec::<Arc<Quote>>::new(), confirmed: vec![], venues: vec![health] }
}

#[tokio::test]
async fn out_23_hostile_names_stay_text_in_every_template() {
    for name in NAMES {
        let app = hostile(name).app();
        app.hub.publish(trouble(name));
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
            let answer = ask(&app, &path).await;
            assert_eq!(answer.status, 200, "{path}");
            let page = parse(&answer.body).unwrap_or_else(|error| panic!("{path} with {name:?}: {error}"));
            for element in &page.elements {
                assert!(
                    !["img", "b onmouseover", "style", "iframe", "object"].contains(&element.tag.as_str()),
                    "{path}"
                );
                assert!(element.tag != "script" || element.get("src").ends_with(".js"), "{path}");
                let bad = |(key, value): (&String, &String)| {
                    key.starts_with("on")
                        || key == "style"
                        || (["href", "src", "action"].contains(&key.as_str()) && value.contains("script:"))
                };
                assert!(!element.attributes.iter().any(bad), "{path}: {element:?}");
                for (key, value) in element.attributes.iter().filter(|(key, _)| ["href", "src"].contains(&key.as_str()))
                {
                    assert!(!value.contains(['<', '"', '\'', ' ']), "{path}: {key}={value}");
                }
            }
        }
    }
}

#[tokio::test]
async fn out_23_hostile_names_stay_text_in_the_picture() {
    for name in NAMES {
        let app = hostile(name).app();
        let answer = ask(&app, "/badge/%3CB%3E%27%26%22-KRW.svg?lang=ko").await;
        assert_eq!(answer.status, 200);
        let page = parse(&answer.body).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let tags = ["svg", "title", "style", "rect", "text"];
        assert!(page.elements.iter().all(|element| tags.contains(&element.tag.as_str())), "{}", answer.body);
        assert!(!answer.body.chars().any(|c| c.is_control() && c != '\n'), "no XML with control characters");
    }
}

#[tokio::test]
async fn out_24_words_for_the_script_are_an_attribute_that_nothing_closes() {
    for name in NAMES {
        let app = hostile(name).app();
        for widget in WIDGETS {
            let answer = ask(&app, &format!("/embed/{widget}?lang=ko")).await;
            let page = parse(&answer.body).unwrap();
            let root = page.elements.iter().find(|it| it.get("class") == "sisepan").unwrap();
            let words: serde_json::Value = serde_json::from_str(root.get("data-words")).unwrap();
            assert_eq!(words["hours"], 9, "{widget}");
            assert!(page.all("script").count() == 1, "{widget}: our own, and no data in one");
        }
    }
}

#[tokio::test]
async fn no_page_needs_anything_inline() {
    let app = hostile("x").app();
    for path in
        ["/", "/embed/card", "/fragment/chart", "/market/%3CB%3E%27%26%22-KRW", "/embed/nothing", "/badge/X.svg"]
    {
        let answer = ask(&app, path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    }
}
