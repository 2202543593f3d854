//! Checks that openapi.json and asyncapi.json match the code, in both directions: routes, parameters, codes and
//! enum values.
//!
//! `tests/browser/documents.test.js` checks real responses and messages against their schemas.

use crate::test_hub::TestApp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fmt, fs};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use sisepan::api::Lang;
use sisepan::feed::{ReasonCode, VenueState};
use sisepan::market::{BaseSource, Basis, Direction, State};
use sisepan::web::AppState;

use super::setup::*;

fn read_static(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("static").join(name);
    fs::read_to_string(path).unwrap()
}

fn document(name: &str) -> Value {
    serde_json::from_str(&read_static(name)).unwrap()
}

/// JSON in which no object has a duplicate key; [`Value`] would silently keep the last.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some((key, Self)) = map.next_entry::<String, Self>()? {
            if !keys.insert(key.clone()) {
                return Err(Error::custom(format!("duplicate key {key:?}")));
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

#[test]
fn fc_36_no_object_of_the_api_documents_has_a_duplicate_key() {
    for name in ["openapi.json", "asyncapi.json"] {
        let read = serde_json::from_str::<UniqueKeys>(&read_static(name));
        assert!(read.is_ok(), "{name}: {}", read.err().map_or_else(String::new, |error| error.to_string()));
    }
    for duplicate in [r#"{"a":1,"a":1}"#, r#"[{"b":{"c":null,"d":[],"c":true}}]"#] {
        assert!(serde_json::from_str::<UniqueKeys>(duplicate).is_err(), "{duplicate}");
    }
}

/// Returns the sources of `src/web` without comments and tests.
fn sources() -> String {
    fn walk(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, text);
            } else {
                let code = fs::read_to_string(&path).unwrap();
                let code = code.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
                let plain = code.lines().map(|line| line.split("//").next().unwrap());
                text.extend(plain.flat_map(|line| [line, "\n"]));
            }
        }
    }
    let mut text = String::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web"), &mut text);
    text
}

/// Removes the parameter names of a path, so that `/market/{id}` equals `/market/{market}`.
fn without_names(path: &str) -> String {
    let mut parts = path.split(['{', '}']);
    let first = parts.next().unwrap().to_owned();
    parts.collect::<Vec<_>>().chunks(2).fold(first, |path, part| path + "{}" + part.get(1).unwrap_or(&""))
}

fn paths(document: &Value) -> &serde_json::Map<String, Value> {
    document["paths"].as_object().unwrap()
}

/// Returns the parameters of a path with references resolved.
fn parameters<'a>(document: &'a Value, path: &str) -> Vec<&'a Value> {
    let resolve = |parameter: &'a Value| match parameter["$ref"].as_str() {
        Some(to) => document.pointer(to.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("no value at {to}")),
        None => parameter,
    };
    document["paths"][path]["get"]["parameters"].as_array().into_iter().flatten().map(resolve).collect()
}

/// Replaces the parameters of a path by their examples.
async fn example(app: &AppState, document: &Value, path: &str) -> String {
    let pinned: Value = serde_json::from_str(&text(get(app, "/api/v1/script").await).await).unwrap();
    let hash = pinned["file"].as_str().unwrap().trim_start_matches("sisepan-").trim_end_matches(".js").to_owned();
    parameters(document, path).iter().filter(|parameter| parameter["in"] == "path").fold(
        path.to_owned(),
        |path, parameter| {
            let name = parameter["name"].as_str().unwrap();
            let value = if name == "hash" { &hash } else { parameter["example"].as_str().unwrap() };
            path.replace(&format!("{{{name}}}"), value)
        },
    )
}

fn app() -> TestApp {
    let hub = hub();
    hub.publish(changed([bitcoin(), quote("ETH-KRW", "4512000"), quote("XRP-KRW", "3104")]));
    app_state_with(&hub, Default::default())
}

#[tokio::test]
async fn every_route_is_documented_and_every_documented_path_is_a_route() {
    let (document, app) = (document("openapi.json"), app());
    let sources = sources();
    let literals = sources.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let mut routes: BTreeSet<String> = literals.map(without_names).collect();
    // Routes whose paths are built from names, and files that one route serves under several extensions.
    routes.extend(["/sisepan.js", "/{}.js", "/{}-{}.js", "/api/v1/history/{}.csv"].map(str::to_owned));
    routes.extend(["svg", "png", "json"].map(|form| format!("/badge/{{}}.{form}")));
    assert!(routes.remove("/badge/{}"), "the badge route has moved");
    // Widgets with a lower limit of markets are documented apart from the others of their route.
    let widget_route = |path: &str| {
        ["/card", "/ticker", "/chart"].iter().find_map(|widget| Some(path.strip_suffix(widget)?.to_owned() + "/{}"))
    };
    let documented: BTreeSet<String> =
        paths(&document).keys().map(|path| widget_route(path).unwrap_or_else(|| without_names(path))).collect();
    assert!(routes.len() > 20, "{routes:?}");
    assert_eq!(documented, routes);
    for path in paths(&document).keys() {
        let at = example(&app, &document, path).await;
        let response = get(&app, &at).await;
        // Reads the body of a 404 only: that of an event stream never ends.
        let exists = response.status() != 404 || !text(response).await.contains("problem:no-route");
        assert!(exists, "{path}: no route serves {at}");
    }
    let modules: BTreeSet<&str> =
        sources.split("(\"sisepan").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let listed = parameters(&document, "/{module}-{hash}.js")[0]["schema"]["enum"].as_array().unwrap().clone();
    let listed: BTreeSet<&str> =
        listed.iter().map(|name| name.as_str().unwrap().strip_prefix("sisepan").unwrap()).collect();
    assert_eq!(listed, modules, "modules of the script");
}

#[tokio::test]
async fn a_parameter_is_known_exactly_where_it_is_documented() {
    let (document, app) = (document("openapi.json"), app());
    let queries = |path: &str| -> BTreeSet<String> {
        let all = parameters(&document, path);
        let query = all.iter().filter(|parameter| parameter["in"] == "query");
        query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
    };
    let all_names: BTreeSet<String> = paths(&document).keys().flat_map(|path| queries(path)).collect();
    assert!(all_names.len() > 25, "{all_names:?}");
    for path in paths(&document).keys() {
        // A socket is rejected only after its upgrade: `tests/it/api/requests.rs`. Fields of the form may repeat.
        let repeatable: &[&str] = match path.as_str() {
            "/api/v1/stream" => continue,
            "/widgets" => &["widget", "ui", "q", "m", "markets", "columns"],
            // Answers 400 without its only parameter.
            "/sisepan-colors.css" => continue,
            _ => &[],
        };
        let at = example(&app, &document, path).await;
        let base = if path == "/oembed" { "?url=x&" } else { "?" };
        let before = get(&app, &format!("{at}{base}")).await.status();
        for name in all_names.iter().filter(|name| !repeatable.contains(&name.as_str()) && **name != "url") {
            let status = get(&app, &format!("{at}{base}{name}=x&{name}=x")).await.status();
            let is_known = status == 400;
            assert_eq!(
                is_known,
                queries(path).contains(name),
                "{path}: {name} twice gives {status}, without it {before}"
            );
        }
    }
}

/// Returns the string literals at argument `position` of every call of a constructor.
fn codes(sources: &str, constructor: &str, position: usize) -> BTreeSet<String> {
    let calls = sources.split(constructor).skip(1);
    let code = |call: &str| {
        let argument = call.splitn(position + 2, ',').nth(position)?.trim();
        Some(argument.strip_prefix('"')?.split('"').next()?.to_owned())
    };
    calls.filter_map(code).collect()
}

#[test]
fn every_code_is_documented_and_every_documented_code_is_used() {
    let sources = sources();
    let refusals: BTreeSet<String> = [
        codes(&sources, "BadRequest::new(", 0),
        codes(&sources, "BadRequest::unknown(", 0),
        codes(&sources, "= choose(", 0),
    ]
    .into_iter()
    .flatten()
    .collect();
    let errors: BTreeSet<String> =
        [codes(&sources, "Error::new(", 1), codes(&sources, "Error::retryable(", 1), codes(&sources, "later(", 0)]
            .into_iter()
            .flatten()
            .chain(sources.split("urn:sisepan:problem:").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()))
            .collect();
    assert!(refusals.len() > 8 && errors.len() > 6, "{refusals:?} {errors:?}");
    let strings = |list: &Value| -> BTreeSet<String> {
        list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    // Codes that only stream messages can have, and codes that only HTTP requests can have.
    let stream_only = ["bad-json", "unknown-type", "too-many-subscriptions"].map(str::to_owned);
    let http_only = ["unknown-venue", "bad-span", "bad-step"].map(str::to_owned);
    let http = document("openapi.json");
    let listed: BTreeSet<String> = strings(&http["components"]["schemas"]["Problem"]["properties"]["type"]["enum"])
        .iter()
        .map(|urn| urn.strip_prefix("urn:sisepan:problem:").unwrap().to_owned())
        .collect();
    let problems: BTreeSet<String> =
        refusals.iter().filter(|code| !stream_only.contains(code)).chain(&errors).cloned().collect();
    assert_eq!(listed, problems, "problem types in openapi.json");
    let stream = document("asyncapi.json");
    let listed = strings(&stream["components"]["schemas"]["Error"]["properties"]["code"]["enum"]);
    let stream_codes: BTreeSet<String> = refusals.iter().filter(|code| !http_only.contains(code)).cloned().collect();
    assert_eq!(listed, stream_codes, "error codes in asyncapi.json");
    let page = include_str!("../../../docs/api.md");
    for code in problems.iter().chain(&stream_codes) {
        assert!(page.contains(&format!("`{code}`")), "docs/api.md lacks {code}");
    }
}

#[test]
fn every_enum_value_is_in_the_documents() {
    let states = [State::Live, State::Delayed, State::Stale, State::Halted, State::Unknown];
    let venue_states = [VenueState::Connecting, VenueState::Up, VenueState::Delayed, VenueState::Down];
    let expected: BTreeMap<&str, Vec<&str>> = BTreeMap::from([
        ("/Basis/enum", Basis::ALL.map(Basis::as_str).to_vec()),
        ("/Lang/enum", Lang::ALL.map(Lang::as_str).to_vec()),
        ("/Reason/properties/code/enum", ReasonCode::ALL.map(ReasonCode::as_str).to_vec()),
        ("/RowState/enum", states.map(State::as_str).to_vec()),
        ("/VenueState/enum", venue_states.map(VenueState::as_str).to_vec()),
        ("/FigureSource/enum", [BaseSource::Window, BaseSource::Venue].map(BaseSource::as_str).to_vec()),
        (
            "/Change/properties/direction/enum",
            [Direction::Rise, Direction::Even, Direction::Fall].map(Direction::as_str).to_vec(),
        ),
    ]);
    let page = include_str!("../../../docs/api.md");
    for name in ["openapi.json", "asyncapi.json"] {
        let document = document(name);
        for (pointer, values) in &expected {
            let listed = document["components"]["schemas"].pointer(pointer);
            assert_eq!(listed, Some(&Value::from(values.clone())), "{name}{pointer}");
        }
    }
    for value in expected.values().flatten() {
        assert!(page.contains(&format!("`{value}`")), "docs/api.md lacks {value}");
    }
}

#[test]
fn both_documents_describe_shared_schemas_identically() {
    let [http, stream] = ["openapi.json", "asyncapi.json"].map(document);
    let schemas = |document: &Value| document["components"]["schemas"].as_object().unwrap().clone();
    let (http, stream) = (schemas(&http), schemas(&stream));
    let mut shared = 0;
    for (name, schema) in http.iter().filter(|(name, _)| stream.contains_key(*name)) {
        assert_eq!(Some(schema), stream.get(name), "{name}");
        shared += 1;
    }
    assert!(shared > 10, "{shared}");
    let mut row = http["Row"]["properties"].clone();
    for optional in ["reason", "notice"] {
        row[optional] = serde_json::json!({"oneOf": [row[optional], {"type": "null"}]});
    }
    assert_eq!(stream["RowDelta"]["properties"], row, "a delta has the members of a row, and null for what has ended");
}

#[tokio::test]
async fn the_api_documents_are_served_like_static_files() {
    let app = app();
    for path in ["/openapi.json", "/asyncapi.json"] {
        let response = get(&app, path).await;
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(header("access-control-allow-origin"), "*");
        let request = axum::http::Request::get(path).header("if-none-match", header("etag"));
        assert_eq!(send_request(&app, request.body(axum::body::Body::empty()).unwrap()).await.status(), 304, "{path}");
    }
}
