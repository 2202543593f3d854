//! A publisher's own colours as a style sheet of one rule: an inline style would need a hole in the policy.

use axum::extract::RawQuery;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::choice::Colors;
use super::given::Given;

/// The address says all that is in it: it never changes.
const CACHE: &str = "public, max-age=31536000, immutable";

/// `GET /sisepan-colors.css?colors=`: the rule for exactly these colours.
pub async fn style(headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let given = Given::read(query.as_deref().unwrap_or_default(), ["colors"].into_iter());
    let colors = given.ok().and_then(|given| given.get("colors").and_then(|text| text.parse::<Colors>().ok()));
    let Some(colors) = colors.filter(|colors| colors.is_own()) else {
        let detail = format!("/* colors: {} */", Colors::ALLOWED);
        return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "text/css; charset=utf-8")], detail).into_response();
    };
    let body = rule(colors);
    let tag = super::etag(body.as_bytes());
    let known = super::is_known(&headers, &tag);
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { body.into_response() };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    for (name, value) in [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, CACHE),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

/// Colours are digits by type: nothing of the query can leave the rule.
fn rule(colors: Colors) -> String {
    let [rise, fall, dark_rise, dark_fall] = colors.tones();
    format!(
        ".sisepan[data-colors=\"{colors}\"]{{--up:#{rise};--down:#{fall}}}\n\
         @supports(color:light-dark(#000,#fff)){{.sisepan[data-colors=\"{colors}\"]{{\
         --up:light-dark(#{rise},#{dark_rise});--down:light-dark(#{fall},#{dark_fall})}}}}\n"
    )
}
