//! What other sites embed: widgets as pages and fragments, with their colours; badges; and oEmbed.
//!
//! A publisher's own colours are a generated style sheet, since the content security policy forbids inline styles.
//!
//! oEmbed returns the iframe for a URL of this server, so that an editor can embed it. Source: oembed.com, and the
//! attributes that WordPress keeps on the iframe of an unknown provider.

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use url::Url;

use super::page_response::{PageRequest, market_options, preferred_lang, read_options, rendered_page, status_of};
use crate::api;
use crate::config::Board;
use crate::locale::Lang;
use crate::options::{Choice, Colors, OptionValue as _, Parameters, Widget, find_keyword};
use crate::web::cache::{CachedBody, Freshness};
use crate::web::error::{Error, invalid_query_response};
use crate::web::layers;
use crate::web::layers::Effort;
use crate::web::routes::price_history;
use crate::web::state::AppState;
use crate::widgets::bad_option::{self, BadOption};
use crate::widgets::badge::Badge;
use crate::widgets::context::{Placement, RenderContext, custom_colors_url, widget_title};
use crate::widgets::height::height;
use crate::widgets::series::PageHistory;
use crate::widgets::widget_options::{self, Options};
use crate::widgets::{self, badge_png};

/// `GET /embed/{widget}`: a widget as a page of its own, for an iframe.
pub async fn embed_page(
    State(app): State<AppState>,
    Path(widget): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    widget_response(&app, &headers, query.as_deref(), &widget, Placement::Embed).await
}

/// `GET /fragment/{widget}`: a widget as an HTML fragment, for server-side includes and for the script.
pub async fn fragment(
    State(app): State<AppState>,
    Path(widget): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    widget_response(&app, &headers, query.as_deref(), &widget, Placement::Fragment).await
}

async fn widget_response(
    app: &AppState,
    headers: &HeaderMap,
    query: Option<&str>,
    widget: &str,
    placement: Placement,
) -> Response {
    let query = query.unwrap_or_default();
    let boards = app.boards();
    let request = PageRequest { app, boards: &boards, headers, query, placement };
    let read = || {
        let found = find_keyword::<Widget>(widget);
        let widget = found.ok_or_else(|| {
            BadOption::not_found("widget", widget, Widget::EVERY.iter().map(|it| it.keyword().to_owned()).collect())
        })?;
        Ok((widget_options::adapt_options(read_options(app, &boards, headers, query)?, widget)?, widget))
    };
    match read() {
        Ok((options, widget)) => {
            let history = price_history::load(app, &options, widget).await;
            let key = format!("{placement:?} {widget:?} {}", options.query());
            rendered_page(request, &key, || html(app, &options, widget, placement, &history))
        }
        Err(bad) => invalid_query_response(request, &bad),
    }
}

#[derive(Template)]
#[template(path = "embed.html")]
struct EmbedPage<'a> {
    lang: Lang,
    widget: &'static str,
    theme: &'a str,
    size: &'a str,
    transparent: bool,
    title: String,
    style: Option<String>,
    /// URL of the oEmbed response for this widget, if `public_url` is set.
    discovery: Option<String>,
    content: String,
}

/// Renders a widget as a fragment or as a page, depending on `placement`.
///
/// # Errors
/// If a template can't be rendered.
fn html(
    app: &AppState,
    options: &Options<'_>,
    widget: Widget,
    placement: Placement,
    history: &PageHistory,
) -> Result<String, askama::Error> {
    let context = RenderContext::new(app.server(), options, placement);
    let content = widgets::html(&context, widget, history)?;
    if placement == Placement::Fragment {
        return Ok(content);
    }
    EmbedPage {
        lang: options.lang,
        widget: widget.keyword(),
        theme: options.values.theme().keyword(),
        size: options.size_of(widget).keyword(),
        transparent: options.values.transparent(),
        title: widget_title(&context, widget),
        style: custom_colors_url(options.colors(), &context.home()),
        discovery: discovery(app, options, widget),
        content,
    }
    .render()
}

/// Caching of the colours, whose content depends on the URL alone and never changes.
const COLORS_CACHE: &str = "public, max-age=31536000, immutable";

/// `GET /sisepan-colors.css?colors=`: the CSS rule for these colours; status 400 if the value is invalid or built-in.
pub async fn colors(headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = Parameters::parse(query.as_deref().unwrap_or_default(), ["colors"].into_iter());
    let colors = query.ok().and_then(|query| query.get("colors").and_then(|text| Colors::parse(text).ok()));
    let Some(colors) = colors.filter(|colors| colors.is_custom()) else {
        let detail = format!("/* colors: {} */", Colors::ACCEPTED.allowed(Lang::En));
        return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "text/css; charset=utf-8")], detail).into_response();
    };
    let mut head = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, COLORS_CACHE),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        head.insert(name, HeaderValue::from_static(value));
    }
    CachedBody::new(head, rule(colors).into(), Effort::Quick).respond(&headers)
}

/// Returns the CSS rule. The colours are parsed numbers, so no text of the query can reach the style sheet.
fn rule(colors: Colors) -> String {
    let [rise, fall, dark_rise, dark_fall] = colors.tones();
    format!(
        ".sisepan[data-colors=\"{colors}\"]{{--up:#{rise};--down:#{fall}}}\n\
         @supports(color:light-dark(#000,#fff)){{.sisepan[data-colors=\"{colors}\"]{{\
         --up:light-dark(#{rise},#{dark_rise});--down:light-dark(#{fall},#{dark_fall})}}}}\n"
    )
}

/// Caching of a badge. A price that is a minute old is acceptable, since its time is part of the image.
const BADGE_CACHE: &str = "public, max-age=30, stale-while-revalidate=60, stale-if-error=3600";

/// Caching of the badge of an error.
const BADGE_CACHE_ERROR: &str = "no-store";

/// The file format of a badge.
#[derive(Debug, Clone, Copy)]
enum Format {
    Svg,
    Png,
    Shields,
}

impl Format {
    /// Splits `BTC-KRW.png` into market and format; the default is SVG.
    fn of(file: &str) -> (&str, Self) {
        let formats = [(".svg", Self::Svg), (".png", Self::Png), (".json", Self::Shields)];
        let named = formats.into_iter().find_map(|(ending, format)| Some((file.strip_suffix(ending)?, format)));
        named.unwrap_or((file, Self::Svg))
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
            Self::Shields => "application/json",
        }
    }

    fn write(self, badge: &Badge) -> anyhow::Result<Bytes> {
        Ok(match self {
            Self::Svg => badge.render()?.into(),
            Self::Png => badge_png::draw(badge)?.into(),
            Self::Shields => badge.shields_json().into(),
        })
    }
}

/// `GET /badge/{market}.svg`, `.png` or `.json`: the badge of a market.
pub async fn badge(
    State(app): State<AppState>,
    Path(file): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let (id, format) = Format::of(&file);
    let boards = app.boards();
    let response = match market_options(&app, &boards, &headers, query.as_deref().unwrap_or_default(), id) {
        Ok(options) => {
            let draw =
                || Ok((badge_head(format, BADGE_CACHE), format.write(&Badge::of_options(app.server(), &options))?));
            app.response_cache().get_or_render(
                &headers,
                boards.revision,
                format!("badge {format:?} {}", options.query()),
                Freshness::UntilPublish,
                draw,
            )
        }
        Err(bad) => {
            let lang = widget_options::lang(
                app.default_options(),
                preferred_lang(&headers),
                query.as_deref().unwrap_or_default(),
            );
            let badge = Badge::of_error(&bad, lang);
            format
                .write(&badge)
                .map(|body| (status_of(&bad), badge_head(format, BADGE_CACHE_ERROR), body).into_response())
        }
    };
    response.unwrap_or_else(|error: anyhow::Error| {
        tracing::error!(%error, "rendering a badge failed; request answered with status 500");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// Returns the response headers of a badge.
fn badge_head(format: Format, cache: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CACHE_CONTROL, cache),
        (header::VARY, "accept-encoding, accept-language"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // If the SVG is opened as a document, nothing in it may load or run.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

/// Caching of an oEmbed response, which changes with the configuration, and rarely otherwise.
const OEMBED_CACHE: &str = "public, max-age=3600";

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
    let names = ["url", "maxwidth", "maxheight", "format"];
    let query = Parameters::parse(query.as_deref().unwrap_or_default(), names.into_iter());
    let query = query.map_err(|bad| to_error(&bad.into()))?;
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
        bad_option::parse(&query, name, read, |_| "a whole number of pixels".to_owned()).map_err(|bad| to_error(&bad))
    };
    let (width_max, height_max) = (size("maxwidth")?, size("maxheight")?);
    let url = query
        .get("url")
        .ok_or_else(|| Error::new(StatusCode::BAD_REQUEST, "bad-field", "Bad parameter", "url is missing"))?;
    let base_url = app.public_url().ok_or_else(|| {
        let detail = "the URL of this server is not known, since public_url is not set";
        Error::new(StatusCode::NOT_FOUND, "no-embed", "Nothing to embed", detail)
    })?;
    let boards = app.boards();
    let (widget, options) = read(&app, &boards, base_url, url)?;

    let context = RenderContext::new(app.server(), &options, Placement::Embed);
    let title = widget_title(&context, widget);
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
    layers::add_api_headers(response.headers_mut());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(OEMBED_CACHE));
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
fn read<'a>(app: &'a AppState, boards: &'a [Board], base_url: &str, url: &str) -> Result<(Widget, Options<'a>), Error> {
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
        None if path == "/" => Some(read_options(app, boards, &headers, query).map(|options| (Widget::Board, options))),
        Some(("embed", widget)) => {
            let widget = find_keyword::<Widget>(widget)?;
            Some(
                read_options(app, boards, &headers, query)
                    .and_then(|it| widget_options::adapt_options(it, widget))
                    .map(|it| (widget, it)),
            )
        }
        Some(("market", id)) => {
            let id = url::form_urlencoded::parse(id.replace('+', "%2B").as_bytes()).next()?.0.into_owned();
            Some(market_options(app, boards, &headers, query, &id).map(|options| (Widget::Chart, options)))
        }
        _ => None,
    };
    read().ok_or_else(not_embeddable)?.map_err(|bad| to_error(&bad))
}

fn to_error(bad: &BadOption) -> Error {
    let code = if status_of(bad) == StatusCode::NOT_FOUND { "no-embed" } else { "bad-field" };
    let title = if status_of(bad) == StatusCode::NOT_FOUND { "Nothing to embed" } else { "Bad parameter" };
    Error::new(status_of(bad), code, title, bad.to_string())
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
