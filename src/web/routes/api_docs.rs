//! Machine-readable API documents: OpenAPI 3.1 of the HTTP API, AsyncAPI 3.0 of the stream messages.
//!
//! Both are written by hand in `static/`. Only the server's address and the limit of markets are inserted here,
//! from the configuration.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use url::{Position, Url};

use super::assets;
use super::assets::file;
use crate::web::state::AppState;

const OPENAPI: &str = include_str!("../../../static/openapi.json");

/// The server in [`OPENAPI`], replaced unless the server is at the root of its host.
const OPENAPI_SERVER: &str = r#""servers": [{ "url": "/" }]"#;

/// The default limit of markets per request in [`OPENAPI`].
const OPENAPI_MARKETS: &str = r#""maxItems": 128"#;

const ASYNCAPI: &str = include_str!("../../../static/asyncapi.json");

/// Placeholder of the host in [`ASYNCAPI`], which users fill in.
const HOST: &str = r#""host": "{host}""#;
const PATH: &str = r#""pathname": "/""#;

/// Returns the routes of the API documents.
pub fn routes(app: &AppState) -> Router<AppState> {
    let serve = |text: String| {
        let body = Arc::new(file("application/json", assets::CACHE, text.into()));
        get(move |headers: HeaderMap| async move { body.respond(&headers) })
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
        // The declaration of the variable stays, unused.
        let host = &url[Position::BeforeHost..Position::AfterPort];
        text = text.replace(HOST, &format!(r#""host": {}"#, quoted(host)));
        if url.scheme() == "https" {
            text = text.replace(r#""protocol": "ws""#, r#""protocol": "wss""#);
            text = text.replace(r#""protocol": "http""#, r#""protocol": "https""#);
        }
    }
    text
}

/// Encodes a string as JSON.
fn quoted(text: &str) -> serde_json::Value {
    serde_json::Value::from(text)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::widgets::widget_options;

    fn documents(public: Option<&str>, base_path: &str) -> [Value; 2] {
        let url = public.map(|url| Url::parse(url).unwrap());
        [openapi(url.as_ref(), base_path, 128), asyncapi(url.as_ref(), base_path)]
            .map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn the_documents_contain_the_address_of_the_server() {
        let addresses = |public, base_path| {
            let [open, messages] = documents(public, base_path);
            let server = |server: &str| {
                ["protocol", "host", "pathname"].map(|member| messages["servers"][server][member].clone())
            };
            (open["servers"][0]["url"].clone(), server("stream"), server("events"))
        };
        let expected = |url: &str, [stream, events]: [[&str; 3]; 2]| {
            (url.into(), stream.map(Value::from), events.map(Value::from))
        };
        assert_eq!(addresses(None, ""), expected("/", [["ws", "{host}", "/"], ["http", "{host}", "/"]]));
        assert_eq!(
            addresses(None, "/prices"),
            expected("/prices", [["ws", "{host}", "/prices"], ["http", "{host}", "/prices"]])
        );
        let host = "news.example:8443";
        assert_eq!(
            addresses(Some("https://news.example:8443/prices"), "/ignored"),
            expected("https://news.example:8443/prices", [["wss", host, "/prices"], ["https", host, "/prices"]])
        );
        assert_eq!(
            addresses(Some("http://news.example"), ""),
            expected("http://news.example", [["ws", "news.example", "/"], ["http", "news.example", "/"]])
        );
    }

    #[test]
    fn fc_36_the_document_has_the_limit_of_markets_that_holds() {
        let document: Value = serde_json::from_str(&openapi(None, "", 40)).unwrap();
        for name in ["markets", "optionMarkets"] {
            assert_eq!(document["components"]["parameters"][name]["schema"]["maxItems"], 40, "{name}");
        }
        assert!(!openapi(None, "", 40).contains("128"), "a limit was not replaced");
    }

    #[test]
    fn every_option_of_a_widget_is_documented() {
        let [document, _] = documents(None, "");
        let parameters = |path: &str| -> Vec<String> {
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
            let documented = parameters(path);
            for name in widget_options::names() {
                assert!(documented.iter().any(|known| known == name), "{path} lacks {name}");
            }
        }
    }
}
