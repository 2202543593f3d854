//! The documents that programs read instead of docs/api.md: OpenAPI 3.1 of what is asked for over HTTP,
//! AsyncAPI 3.0 of the messages of a stream.
//!
//! Both are written by hand in `static/`. Only where this server is found is put
//! in here, and that comes from the configuration alone.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use url::{Position, Url};

use super::AppState;
use super::assets::{self, file};

const OPENAPI: &str = include_str!("../../static/openapi.json");

/// The address in [`OPENAPI`], for a server that stands at the root of its host.
const OPENAPI_SERVER: &str = r#""servers": [{ "url": "/" }]"#;

/// The limit in [`OPENAPI`] of the markets of one request, unless an operator sets another.
const OPENAPI_MARKETS: &str = r#""maxItems": 128"#;

const ASYNCAPI: &str = include_str!("../../static/asyncapi.json");

/// What [`ASYNCAPI`] has in its place: a host that the reader puts in.
const HOST: &str = r#""host": "{host}""#;
const PATH: &str = r#""pathname": "/""#;

/// Returns the routes of the documents.
pub fn routes(app: &AppState) -> Router<AppState> {
    let serve = |text: String| {
        let body = Arc::new(file("application/json", assets::CACHE, text.into()));
        get(move |asked: HeaderMap| async move { body.answer(&asked) })
    };
    let url = app.public_url().and_then(|url| Url::parse(url).ok());
    Router::new()
        .route("/openapi.json", serve(openapi(url.as_ref(), app.base_path(), app.limits().markets_max)))
        .route("/asyncapi.json", serve(asyncapi(url.as_ref(), app.base_path())))
}

fn openapi(public: Option<&Url>, base_path: &str, markets_max: usize) -> String {
    let server = match public {
        Some(url) => url.as_str().trim_end_matches('/'),
        None if base_path.is_empty() => "/",
        None => base_path,
    };
    let text = OPENAPI.replace(OPENAPI_SERVER, &format!(r#""servers": [{{ "url": {} }}]"#, quoted(server)));
    text.replace(OPENAPI_MARKETS, &format!(r#""maxItems": {markets_max}"#))
}

fn asyncapi(public: Option<&Url>, base_path: &str) -> String {
    let path = public.map_or(base_path, Url::path);
    let path = if path.is_empty() { "/" } else { path };
    let mut text = ASYNCAPI.replace(PATH, &format!(r#""pathname": {}"#, quoted(path)));
    if let Some(url) = public {
        // The variable stays declared where nothing names it any more: a reader has nothing to fill in then.
        let host = &url[Position::BeforeHost..Position::AfterPort];
        text = text.replace(HOST, &format!(r#""host": {}"#, quoted(host)));
        if url.scheme() == "https" {
            text = text.replace(r#""protocol": "ws""#, r#""protocol": "wss""#);
            text = text.replace(r#""protocol": "http""#, r#""protocol": "https""#);
        }
    }
    text
}

fn quoted(text: &str) -> serde_json::Value {
    serde_json::Value::from(text)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::pages::option_names;
    use super::*;

    fn documents(public: Option<&str>, base_path: &str) -> [Value; 2] {
        let url = public.map(|url| Url::parse(url).unwrap());
        [openapi(url.as_ref(), base_path, 128), asyncapi(url.as_ref(), base_path)]
            .map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn they_say_where_the_server_is() {
        let seen = |public, base_path| {
            let [open, messages] = documents(public, base_path);
            let said = |server: &str| {
                ["protocol", "host", "pathname"].map(|member| messages["servers"][server][member].clone())
            };
            (open["servers"][0]["url"].clone(), said("stream"), said("events"))
        };
        let of = |url: &str, [stream, events]: [[&str; 3]; 2]| {
            (url.into(), stream.map(Value::from), events.map(Value::from))
        };
        assert_eq!(seen(None, ""), of("/", [["ws", "{host}", "/"], ["http", "{host}", "/"]]));
        assert_eq!(seen(None, "/prices"), of("/prices", [["ws", "{host}", "/prices"], ["http", "{host}", "/prices"]]));
        let host = "news.example:8443";
        assert_eq!(
            seen(Some("https://news.example:8443/prices"), "/ignored"),
            of("https://news.example:8443/prices", [["wss", host, "/prices"], ["https", host, "/prices"]])
        );
        assert_eq!(
            seen(Some("http://news.example"), ""),
            of("http://news.example", [["ws", "news.example", "/"], ["http", "news.example", "/"]])
        );
    }

    #[test]
    fn fc_36_the_document_has_the_limit_of_markets_that_holds() {
        let document: Value = serde_json::from_str(&openapi(None, "", 40)).unwrap();
        for name in ["markets", "optionMarkets"] {
            assert_eq!(document["components"]["parameters"][name]["schema"]["maxItems"], 40, "{name}");
        }
        assert!(!openapi(None, "", 40).contains("128"), "a limit was forgotten");
    }

    #[test]
    fn every_option_of_a_widget_is_documented() {
        let [document, _] = documents(None, "");
        let of = |path: &str| -> Vec<String> {
            let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
            let resolved = parameters.iter().map(|parameter| match parameter["$ref"].as_str() {
                Some(to) => document.pointer(to.strip_prefix('#').unwrap()).unwrap(),
                None => parameter,
            });
            resolved.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
        };
        for path in [
            "/",
            "/market/{market}",
            "/embed/{widget}",
            "/embed/card",
            "/embed/ticker",
            "/embed/chart",
            "/fragment/{widget}",
            "/fragment/card",
            "/fragment/ticker",
            "/fragment/chart",
            "/badge/{market}.svg",
            "/badge/{market}.png",
            "/badge/{market}.json",
            "/widgets",
        ] {
            let documented = of(path);
            for name in option_names() {
                assert!(documented.iter().any(|known| known == name), "{path} lacks {name}");
            }
        }
    }
}
