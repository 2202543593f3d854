//! oEmbed: an editor that is given one of our addresses gets the iframe for it.
//!
//! Source: oembed.com, and what WordPress keeps of an iframe of a provider that it does not know.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use url::Url;

use super::super::AppState;
use super::super::error::Error;
use super::choice::{Choice, Widget, find};
use super::embed;
use super::given::{BadOption, Given};
use super::height::height;
use super::options::Options;
use super::reply::Frame;
use super::stage::Stage;
use crate::wire;

/// An answer depends on the configuration alone.
const CACHE: &str = "public, max-age=3600";

/// Seconds that the asker may keep it.
const CACHE_AGE_SECS: u32 = 86_400;

#[derive(Serialize)]
struct Rich<'a> {
    version: &'static str,
    r#type: &'static str,
    provider_name: &'static str,
    provider_url: &'a str,
    title: &'a str,
    width: u32,
    height: u32,
    html: &'a str,
    cache_age: u32,
}

/// `GET /oembed?url=`.
pub async fn oembed(State(app): State<AppState>, RawQuery(query): RawQuery) -> Result<Response, Error> {
    let given =
        Given::read(query.as_deref().unwrap_or_default(), ["url", "maxwidth", "maxheight", "format"].into_iter());
    let given = given.map_err(|bad| refuse(&bad))?;
    match given.get("format") {
        None | Some("json") => {}
        // The other format of the specification, and the status that it gives this answer.
        Some("xml") => {
            let detail = "format must be json: there is no other here";
            return Err(Error::new(StatusCode::NOT_IMPLEMENTED, "unknown-format", "Format not offered", detail));
        }
        Some(format) => return Err(refuse(&BadOption::value("format", format, |_| "json".to_owned()))),
    }
    let size = |name| {
        // However large: a widget is never larger than it needs to be.
        let read = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().unwrap_or(u32::MAX)).filter(|size: &u32| *size > 0)
        };
        given.parse(name, read, |_| "a whole number of pixels".to_owned()).map_err(|bad| refuse(&bad))
    };
    let (width_max, height_max) = (size("maxwidth")?, size("maxheight")?);
    let url = given
        .get("url")
        .ok_or_else(|| Error::new(StatusCode::BAD_REQUEST, "bad-field", "Bad parameter", "url is missing"))?;
    let ours = app.public_url().ok_or_else(|| {
        let detail = "this server does not know its own address: its operator has not set public_url";
        Error::new(StatusCode::NOT_FOUND, "no-embed", "Nothing to embed", detail)
    })?;
    let (widget, options) = read(&app, ours, url)?;

    let stage = Stage::new(&app, &options, Frame::Embed);
    let title = embed::title(&stage, widget);
    let width = usual_width(widget).min(width_max.unwrap_or(u32::MAX));
    let full = height(&stage, widget, width);
    let height = full.min(height_max.unwrap_or(u32::MAX));
    // Cut off only where the page around it leaves no room.
    let scrolling = if height < full { "auto" } else { "no" };
    let html = format!(
        "<iframe src=\"{}\" width=\"{width}\" height=\"{height}\" title=\"{}\" frameborder=\"0\" marginwidth=\"0\" \
         marginheight=\"0\" scrolling=\"{scrolling}\"></iframe>",
        escape(&embed_url(ours, &options, widget)),
        escape(&title),
    );
    let body = wire::json(&Rich {
        version: "1.0",
        r#type: "rich",
        provider_name: "sisepan",
        provider_url: ours,
        title: &title,
        width,
        height,
        html: &html,
        cache_age: CACHE_AGE_SECS,
    });
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    super::super::layers::mark(response.headers_mut());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    Ok(response)
}

/// Returns the address of a widget's page, in its one spelling.
fn embed_url(ours: &str, options: &Options<'_>, widget: Widget) -> String {
    format!("{ours}/embed/{}?{}", widget.word(), options.query())
}

/// Returns where an editor may ask how to embed a widget; nothing where our own address is not set.
pub fn discovery(app: &AppState, options: &Options<'_>, widget: Widget) -> Option<String> {
    let ours = app.public_url()?;
    let url = embed_url(ours, options, widget);
    let url: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
    Some(format!("{ours}/oembed?url={url}&format=json"))
}

/// Finds the widget that one of our addresses stands for. Nothing of the address is given back as it was.
fn read<'a>(app: &'a AppState, ours: &str, url: &str) -> Result<(Widget, Options<'a>), Error> {
    let nothing = || {
        let detail = format!("url must be a page of {} that can be embedded: /embed/…, /market/… or /", ours);
        Error::new(StatusCode::NOT_FOUND, "no-embed", "Nothing to embed", detail)
    };
    let (asked, ours) = Url::parse(url).ok().zip(Url::parse(ours).ok()).ok_or_else(nothing)?;
    if asked.origin() != ours.origin() || !asked.username().is_empty() || asked.password().is_some() {
        return Err(nothing());
    }
    let path = asked.path().strip_prefix(ours.path().trim_end_matches('/')).ok_or_else(nothing)?;
    let (query, headers) = (asked.query().unwrap_or_default(), HeaderMap::new());
    let read = || match path.strip_prefix('/')?.split_once('/') {
        None if path == "/" => Some(Options::read(app, &headers, query).map(|options| (Widget::Board, options))),
        Some(("embed", widget)) => {
            let widget = find::<Widget>(widget)?;
            Some(Options::read(app, &headers, query).and_then(|it| embed::fit(it, widget)).map(|it| (widget, it)))
        }
        Some(("market", id)) => {
            let id = url::form_urlencoded::parse(id.replace('+', "%2B").as_bytes()).next()?.0.into_owned();
            Some(Options::of_market(app, &headers, query, &id).map(|options| (Widget::Chart, options)))
        }
        _ => None,
    };
    read().ok_or_else(nothing)?.map_err(|bad| refuse(&bad))
}

fn refuse(bad: &BadOption) -> Error {
    let code = if bad.status() == StatusCode::NOT_FOUND { "no-embed" } else { "bad-field" };
    let title = if bad.status() == StatusCode::NOT_FOUND { "Nothing to embed" } else { "Bad parameter" };
    Error::new(bad.status(), code, title, bad.to_string())
}

fn usual_width(widget: Widget) -> u32 {
    match widget {
        Widget::Card | Widget::Ticker => 320,
        Widget::Board => 480,
        Widget::Tape | Widget::Movers | Widget::Chart => 640,
    }
}

/// Writes a text into an attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
