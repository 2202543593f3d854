//! oEmbed: returns the iframe for a URL of this server, so that an editor can embed it.
//!
//! Source: oembed.com, and the attributes that WordPress keeps on the iframe of an unknown provider.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use url::Url;

use super::super::AppState;
use super::super::error::Error;
use super::embed;
use super::height::height;
use super::option_types::{Choice, Widget, find};
use super::options::Options;
use super::page_query::{BadOption, PageQuery};
use super::page_response::Placement;
use super::render_context::RenderContext;
use crate::api;

/// A response changes with the configuration, and rarely otherwise.
const CACHE: &str = "public, max-age=3600";

/// Seconds for which the client may cache the embedded HTML.
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

/// `GET /oembed?url=`: returns the iframe for a URL of this server.
pub async fn oembed(State(app): State<AppState>, RawQuery(query): RawQuery) -> Result<Response, Error> {
    let query = PageQuery::parse_query(
        query.as_deref().unwrap_or_default(),
        ["url", "maxwidth", "maxheight", "format"].into_iter(),
    );
    let query = query.map_err(|bad| to_error(&bad))?;
    match query.get("format") {
        None | Some("json") => {}
        // The specification defines XML as well, and this status for a provider that does not offer it.
        Some("xml") => {
            let detail = "format must be json, no other format is offered";
            return Err(Error::new(StatusCode::NOT_IMPLEMENTED, "unknown-format", "Format not offered", detail));
        }
        Some(format) => return Err(to_error(&BadOption::invalid_value("format", format, |_| "json".to_owned()))),
    }
    let size = |name| {
        // A number too large for the type counts as no limit.
        let read = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().unwrap_or(u32::MAX)).filter(|size: &u32| *size > 0)
        };
        query.parse(name, read, |_| "a whole number of pixels".to_owned()).map_err(|bad| to_error(&bad))
    };
    let (width_max, height_max) = (size("maxwidth")?, size("maxheight")?);
    let url = query
        .get("url")
        .ok_or_else(|| Error::new(StatusCode::BAD_REQUEST, "bad-field", "Bad parameter", "url is missing"))?;
    let base_url = app.public_url().ok_or_else(|| {
        let detail = "the URL of this server is not known, since public_url is not set";
        Error::new(StatusCode::NOT_FOUND, "no-embed", "Nothing to embed", detail)
    })?;
    let (widget, options) = read(&app, base_url, url)?;

    let context = RenderContext::new(&app, &options, Placement::Embed);
    let title = embed::title(&context, widget);
    let width = default_width(widget).min(width_max.unwrap_or(u32::MAX));
    let full = height(&context, widget, width);
    let height = full.min(height_max.unwrap_or(u32::MAX));
    // A scroll bar is needed only if maxheight is too small.
    let scrolling = if height < full { "auto" } else { "no" };
    let html = format!(
        "<iframe src=\"{}\" width=\"{width}\" height=\"{height}\" title=\"{}\" frameborder=\"0\" marginwidth=\"0\" \
         marginheight=\"0\" scrolling=\"{scrolling}\"></iframe>",
        escape(&embed_url(base_url, &options, widget)),
        escape(&title),
    );
    let body = api::json(&Rich {
        version: "1.0",
        r#type: "rich",
        provider_name: "sisepan",
        provider_url: base_url,
        title: &title,
        width,
        height,
        html: &html,
        cache_age: CACHE_AGE_SECS,
    });
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    super::super::layers::add_api_headers(response.headers_mut());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    Ok(response)
}

/// Returns the canonical URL of a widget's embed page.
fn embed_url(base_url: &str, options: &Options<'_>, widget: Widget) -> String {
    format!("{base_url}/embed/{}?{}", widget.keyword(), options.query())
}

/// Returns the oEmbed URL for a widget, or `None` if `public_url` is not set.
pub fn discovery(app: &AppState, options: &Options<'_>, widget: Widget) -> Option<String> {
    let base_url = app.public_url()?;
    let url = embed_url(base_url, options, widget);
    let url: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
    Some(format!("{base_url}/oembed?url={url}&format=json"))
}

/// Parses a URL of this server into the widget and its options. The URL of
/// the iframe is built from these, never copied.
fn read<'a>(app: &'a AppState, base_url: &str, url: &str) -> Result<(Widget, Options<'a>), Error> {
    let not_embeddable = || {
        let detail = format!("url must be a page of {} that can be embedded: /embed/…, /market/… or /", base_url);
        Error::new(StatusCode::NOT_FOUND, "no-embed", "Nothing to embed", detail)
    };
    let (target, base) = Url::parse(url).ok().zip(Url::parse(base_url).ok()).ok_or_else(not_embeddable)?;
    if target.origin() != base.origin() || !target.username().is_empty() || target.password().is_some() {
        return Err(not_embeddable());
    }
    let path = target.path().strip_prefix(base.path().trim_end_matches('/')).ok_or_else(not_embeddable)?;
    let (query, headers) = (target.query().unwrap_or_default(), HeaderMap::new());
    let read = || match path.strip_prefix('/')?.split_once('/') {
        None if path == "/" => Some(Options::read(app, &headers, query).map(|options| (Widget::Board, options))),
        Some(("embed", widget)) => {
            let widget = find::<Widget>(widget)?;
            Some(
                Options::read(app, &headers, query)
                    .and_then(|it| embed::adapt_options(it, widget))
                    .map(|it| (widget, it)),
            )
        }
        Some(("market", id)) => {
            let id = url::form_urlencoded::parse(id.replace('+', "%2B").as_bytes()).next()?.0.into_owned();
            Some(Options::for_market(app, &headers, query, &id).map(|options| (Widget::Chart, options)))
        }
        _ => None,
    };
    read().ok_or_else(not_embeddable)?.map_err(|bad| to_error(&bad))
}

fn to_error(bad: &BadOption) -> Error {
    let code = if bad.status() == StatusCode::NOT_FOUND { "no-embed" } else { "bad-field" };
    let title = if bad.status() == StatusCode::NOT_FOUND { "Nothing to embed" } else { "Bad parameter" };
    Error::new(bad.status(), code, title, bad.to_string())
}

/// Returns the width of the iframe in pixels, unless `maxwidth` is smaller.
fn default_width(widget: Widget) -> u32 {
    match widget {
        Widget::Card | Widget::Ticker => 320,
        Widget::Board => 480,
        Widget::Tape | Widget::Movers | Widget::Chart => 640,
    }
}

/// Escapes a text for an HTML attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
