//! A publisher's own colours as a generated style sheet, since the content security policy forbids inline styles.

use axum::extract::RawQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::super::response_cache::{CachedBody, Effort};
use super::option_types::Colors;
use super::page_query::PageQuery;
use crate::locale::Lang;

/// The content depends on the URL alone and never changes.
const CACHE: &str = "public, max-age=31536000, immutable";

/// `GET /sisepan-colors.css?colors=`: the CSS rule for these colours; status 400 if the value is invalid or built-in.
pub async fn style(headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = PageQuery::parse_query(query.as_deref().unwrap_or_default(), ["colors"].into_iter());
    let colors = query.ok().and_then(|query| query.get("colors").and_then(|text| text.parse::<Colors>().ok()));
    let Some(colors) = colors.filter(|colors| colors.is_custom()) else {
        let detail = format!("/* colors: {} */", Colors::allowed(Lang::En));
        return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "text/css; charset=utf-8")], detail).into_response();
    };
    let mut head = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, CACHE),
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
