//! `/badge/{market}.png` and `.json`: their content matches the SVG.

use crate::test_hub::TestApp;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use sisepan::config::Site;
use sisepan::feed::BoardUpdate;
use sisepan::market::{Quote, State};
use sisepan::web::router;
use tower::ServiceExt;

use super::parse::{Element, parse};
use super::{AppFixture, Response, app, board, get, get_with, now, quote, rows};

/// Pixels of the PNG per unit of the SVG.
const SCALE: usize = 2;

/// Pixels from the edge to the end of a round corner.
const CORNER: usize = 4 * SCALE;

type Pixel = [u8; 4];

struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<Pixel>,
}

impl Picture {
    /// Decodes a PNG, verifying all checksums.
    fn of(response: &Response) -> Self {
        let mut reader = png::Decoder::new(std::io::Cursor::new(&response.bytes)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgba, png::BitDepth::Eight));
        reader.finish().unwrap();
        let pixels = bytes.chunks_exact(4).map(|pixel| pixel.try_into().unwrap()).collect();
        Self { width: info.width as usize, height: info.height as usize, pixels }
    }

    /// Returns the pixels between two columns, without the border of the badge.
    fn between(&self, from: usize, to: usize) -> impl Iterator<Item = Pixel> + '_ {
        (SCALE..self.height - SCALE).flat_map(move |y| (from..to).map(move |x| self.pixels[y * self.width + x]))
    }

    fn count(&self, color: Pixel) -> usize {
        self.pixels.iter().filter(|pixel| **pixel == color).count()
    }
}

fn color(hex: &str) -> Pixel {
    let channel = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    [channel(1), channel(3), channel(5), 255]
}

fn number(element: &Element, name: &str) -> f64 {
    element.get(name).parse().unwrap()
}

/// Checks that the PNG shows every text of the SVG at its position and in its colour, and nothing elsewhere.
fn assert_agree(svg: &Response, png: &Response, what: &str) {
    assert_eq!((png.status, png.header("content-type")), (svg.status, "image/png"), "{what}");
    let (page, picture) = (parse(&svg.body).unwrap(), Picture::of(png));
    let width = number(page.all("svg").next().unwrap(), "width").ceil() as usize;
    assert_eq!((picture.width, picture.height), (width * SCALE, 26 * SCALE), "{what}");
    let background = color(page.all("rect").next().unwrap().get("fill"));
    assert_eq!(picture.pixels[0][3], 0, "{what}: round corners");
    // Starts after the round corner.
    let mut after = CORNER;
    for text in page.all("text") {
        let (x, length) = (number(text, "x"), number(text, "textLength"));
        let (from, to) = ((x * 2.0) as usize, ((x + length) * 2.0).ceil() as usize);
        let ink = picture.between(from, to).filter(|pixel| *pixel == color(text.get("fill"))).count();
        let found = format!("{what}: {ink} pixels of {} between {from} and {to}", text.get("fill"));
        assert!(ink * 40 > to - from, "{found}");
        // Strokes may extend slightly beyond their letters.
        assert!(picture.between(after, from - 3).all(|pixel| pixel == background), "{found}: pixels before it");
        after = to + 3;
    }
    assert!(picture.between(after, picture.width - CORNER).all(|pixel| pixel == background), "{what}: pixels after it");
}

fn app_in_state(state: State) -> TestApp {
    AppFixture { quotes: rows().into_iter().map(|row| Quote { state, ..row }).collect(), ..AppFixture::default() }.app()
}

const STATES: [State; 4] = [State::Live, State::Delayed, State::Stale, State::Halted];

#[tokio::test]
async fn fc_29_a_png_shows_every_text_of_the_svg_in_its_place_and_colour() {
    let mut seen = BTreeMap::new();
    for state in STATES {
        let app = app_in_state(state);
        for lang in ["ko", "en", "ja"] {
            let queries =
                ["theme=light", "theme=dark", "theme=auto", "theme=light&colors=123456-654321", "basis=utc-day"];
            for query in queries.into_iter().filter(|query| state == State::Live || *query == "theme=light") {
                for market in ["BTC-KRW", "XRP-KRW", "TRX-KRW", "ETH-KRW", "BTC-USDT", "NO-KRW"] {
                    let path = |form: &str| format!("/badge/{market}.{form}?lang={lang}&{query}");
                    let (svg, png) = (get(&app, &path("svg")).await, get(&app, &path("png")).await);
                    assert_agree(&svg, &png, &format!("{state:?} {}", path("png")));
                    let words = parse(&svg.body).unwrap().words();
                    if query == "theme=light" && market != "NO-KRW" {
                        seen.insert(words, png.bytes);
                    }
                }
            }
        }
    }
    let different: std::collections::BTreeSet<_> = seen.values().collect();
    assert_eq!(different.len(), seen.len(), "different texts give different pictures");
    assert!(seen.len() > 30);
    let demo = AppFixture { demo: true, ..AppFixture::default() }.app();
    let (svg, png) = (get(&demo, "/badge/BTC-KRW.svg").await, get(&demo, "/badge/BTC-KRW.png").await);
    assert_agree(&svg, &png, "demo");
}

#[tokio::test]
async fn fc_29_only_a_current_price_has_a_colour() {
    let red = color("#c8202f");
    for state in STATES {
        let app = app_in_state(state);
        let current = matches!(state, State::Live | State::Delayed);
        let png = get(&app, "/badge/BTC-KRW.png?lang=ko&theme=light").await;
        assert_eq!(Picture::of(&png).count(red) > 20, current, "{state:?}");
        let json: Value = serde_json::from_str(&get(&app, "/badge/BTC-KRW.json?lang=ko").await.body).unwrap();
        // With `isError`, shields.io ignores a colour in its own URL.
        assert_eq!((&json["isError"], json["color"] == "#c8202f"), (&Value::Bool(!current), current), "{state:?}");
    }
    let unknown = Picture::of(&get(&app(), "/badge/ETH-KRW.png?lang=ko&theme=light").await);
    let colored = unknown.pixels.iter().filter(|[r, g, b, _]| r.abs_diff(*g).max(g.abs_diff(*b)) > 40).count();
    assert_eq!(colored, 0, "a market without a price is grey");
}

#[tokio::test]
async fn fc_29_every_format_has_the_headers_of_the_svg_and_is_rendered_once_per_change() {
    let site = Site { base_path: "/prices".to_owned(), ..Site::default() };
    for (app, base) in [(app(), ""), (AppFixture { site, ..AppFixture::default() }.app(), "/prices")] {
        for (form, mime) in [("png", "image/png"), ("json", "application/json")] {
            for (market, status) in [("BTC-KRW", 200), ("ETH-KRW", 200), ("NO-KRW", 404), ("BTC-KRW.png", 404)] {
                let path = |form: &str| format!("{base}/badge/{market}.{form}?lang=ko");
                let encodings = [("accept-encoding", "br, zstd, gzip")];
                let (svg, other) = (get(&app, &path("svg")).await, get_with(&app, &path(form), &encodings).await);
                assert_eq!((other.status.as_u16(), other.header("content-type")), (status, mime), "{}", path(form));
                let common = |response: &Response| -> BTreeMap<String, String> {
                    let own = ["content-type", "content-length", "content-encoding", "etag"];
                    let names = response.headers.keys().map(|name| name.as_str()).filter(|name| !own.contains(name));
                    names.map(|name| (name.to_owned(), response.header(name).to_owned())).collect()
                };
                assert_eq!(common(&other), common(&svg), "{}", path(form));
                assert_eq!(other.header("etag").is_empty(), svg.header("etag").is_empty());
                assert!(form != "png" || other.header("content-encoding").is_empty(), "a PNG is compressed already");
                let head = Request::head(path(form)).body(Body::empty()).unwrap();
                let head = router(app.served()).oneshot(head).await.unwrap();
                assert_eq!((head.status().as_u16(), &head.headers()["content-type"]), (status, &mime.parse().unwrap()));
                if status == 200 {
                    let tag = other.header("etag").to_owned();
                    assert_eq!(get_with(&app, &path(form), &[("if-none-match", &tag)]).await.status, 304);
                }
            }
            let path = format!("{base}/badge/BTC-KRW.{form}?lang=ko");
            let render_count = || app.response_cache().render_count();
            let (before, first) = (render_count(), get(&app, &path).await.bytes);
            for extra in ["", "&utm_source=mail", "&theme=auto", "&basis=24h"] {
                assert_eq!(get(&app, &format!("{path}{extra}")).await.bytes, first, "{extra}");
            }
            assert_eq!(render_count(), before, "{path}: one rendering for all of them");
            let changed = quote("BTC-KRW", &format!("1{}000000", form.len()), Some("139290000"));
            app.hub.publish(BoardUpdate { at: now(), changed: vec![changed.into()], ..BoardUpdate::default() });
            assert_ne!(get(&app, &path).await.bytes, first, "{path}: a new price gives a new picture");
            assert_eq!(render_count(), before + 1);
        }
    }
}

#[tokio::test]
async fn fc_29_an_error_is_a_picture_or_a_shields_error() {
    let app = app();
    for (query, market, status, message) in [
        ("", "DOGE-KRW", 404, "없는 종목"),
        ("", "%3Cscript%3E", 404, "없는 종목"),
        ("?theme=pink", "BTC-KRW", 400, "잘못된 주소"),
    ] {
        let path = |form: &str| format!("/badge/{market}.{form}{query}");
        let (svg, png) = (get(&app, &path("svg")).await, get(&app, &path("png")).await);
        assert_agree(&svg, &png, &path("png"));
        assert_eq!((png.status.as_u16(), png.header("cache-control")), (status, "no-store"));
        let json = get(&app, &path("json")).await;
        assert_eq!((json.status.as_u16(), json.header("cache-control")), (status, "no-store"));
        let json: Value = serde_json::from_str(&json.body).unwrap();
        assert_shields(&json);
        assert_eq!((json["message"].as_str().unwrap(), &json["isError"]), (message, &Value::Bool(true)));
    }
}

/// Names with characters that the fonts lack, and names that are too wide for the picture.
const ODD: [&str; 9] = [
    "币安人生",
    "😀🚀",
    "\u{301}\u{301}\u{301}\u{302}",
    "ﷺ﷽",
    "ביטקוין",
    "𓀀𓀁𓀂𓀃𓀄𓀅",
    "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
    "iiiiiiiiiiiiiiiiiiiiiiii",
    "뷁쀍똠방각하",
];

#[tokio::test]
async fn fc_29_any_name_can_be_drawn() {
    for name in ODD {
        let row = quote("ZZZ-KRW", "142187000", Some("139290000"));
        let row = Quote { korean_name: Some(name.into()), english_name: Some(name.into()), ..row };
        let boards = vec![board("krw", &["ZZZ-KRW", "币安人生-币"], "bithumb")];
        let app =
            AppFixture {
                quotes: vec![row, quote("币安人生-币", "3", Some("2"))], boards, ..AppFixture::default()
            }
            .app();
        for market in ["ZZZ-KRW", "币安人生-币"] {
            let path =
                |form: &str| format!("/badge/{market}.{form}?lang=en&theme=light").replace(market, &encode(market));
            let (svg, png) = (get(&app, &path("svg")).await, get(&app, &path("png")).await);
            assert_agree(&svg, &png, name);
            assert_shields(&serde_json::from_str(&get(&app, &path("json")).await.body).unwrap());
        }
    }
}

fn encode(market: &str) -> String {
    market.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Checks the schema that shields.io enforces for a badge without a logo; other members are rejected there.
///
/// Source: <https://shields.io/badges/endpoint-badge>, and `services/endpoint-common.js` of badges/shields (2026-11-28).
fn assert_shields(json: &Value) {
    let object = json.as_object().unwrap();
    for (member, value) in object {
        let is_valid = match member.as_str() {
            "schemaVersion" => value == 1,
            "label" => value.is_string(),
            // Must not be empty.
            "message" => value.as_str().is_some_and(|text| !text.is_empty()),
            // May be a named colour, hexadecimal, rgb or hsl; the server sends only #rrggbb.
            "color" | "labelColor" => value.as_str().is_some_and(|text| {
                text.len() == 7 && text.starts_with('#') && text[1..].bytes().all(|b| b.is_ascii_hexdigit())
            }),
            "isError" => value.is_boolean(),
            // Values below 300 are ignored.
            "cacheSeconds" => value.as_u64().is_some_and(|seconds| seconds >= 300),
            "style" => value.is_string(),
            _ => false,
        };
        assert!(is_valid, "{member}: {value}");
    }
    for required in ["schemaVersion", "label", "message"] {
        assert!(object.contains_key(required), "{required} is missing: {json}");
    }
}

#[tokio::test]
async fn fc_29_the_json_follows_the_shields_schema_and_matches_the_picture() {
    let app = app();
    for (market, lang, label, message, color) in [
        ("BTC-KRW", "ko", "비트코인", "142,187,000원 ▲ +2.08% 01.15 15:27", "#c8202f"),
        ("BTC-KRW", "en", "Bitcoin", "142,187,000 KRW ▲ +2.08% 15 Jan 06:27 UTC", "#117a48"),
        ("XRP-KRW", "ja", "リップル", "3,104ウォン ▼ -0.86% 01.15 15:27", "#117a48"),
        ("TRX-KRW", "ko", "트론", "447원 0.00% 01.15 15:27", "#1a1c1f"),
        ("ETH-KRW", "ko", "이더리움", "시세 없음", "#5f656d"),
    ] {
        let response = get(&app, &format!("/badge/{market}.json?lang={lang}")).await;
        let json: Value = serde_json::from_str(&response.body).unwrap();
        assert_shields(&json);
        let actual = ["label", "message", "color"].map(|member| json[member].as_str().unwrap());
        assert_eq!(actual, [label, message, color], "{market} {lang}");
    }
    for (state, state_label) in [(State::Stale, "갱신 중단"), (State::Halted, "거래 중단"), (State::Delayed, "지연")]
    {
        let response = get(&app_in_state(state), "/badge/BTC-KRW.json?lang=ko").await;
        let json: Value = serde_json::from_str(&response.body).unwrap();
        assert_shields(&json);
        assert_eq!(json["message"], format!("142,187,000원 {}+2.08% {state_label} 01.15 15:27", "▲ "));
    }
    let custom = get(&app, "/badge/BTC-KRW.json?colors=123456-654321").await;
    assert!(custom.body.contains("\"#123456\""), "{}", custom.body);
    let demo = AppFixture { demo: true, ..AppFixture::default() }.app();
    let json: Value = serde_json::from_str(&get(&demo, "/badge/BTC-KRW.json?lang=ko").await.body).unwrap();
    // DEMO is in the message, since a URL parameter of shields.io can replace the label.
    assert!(json["message"].as_str().unwrap().starts_with("DEMO "), "{json}");
}
