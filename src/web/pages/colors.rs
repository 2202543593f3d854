//! A publisher's own colours as a style sheet of one rule: an inline style would need a hole in the policy.

use axum::extract::RawQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::super::bodies::{Body, Effort};
use super::choice::Colors;
use super::given::Given;
use crate::text::Lang;

/// The address says all that is in it: it never changes.
const CACHE: &str = "public, max-age=31536000, immutable";

/// `GET /sisepan-colors.css?colors=`: the rule for exactly these colours.
pub async fn style(headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let given = Given::read(query.as_deref().unwrap_or_default(), ["colors"].into_iter());
    let colors = given.ok().and_then(|given| given.get("colors").and_then(|text| text.parse::<Colors>().ok()));
    let Some(colors) = colors.filter(|colors| colors.is_own()) else {
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
    Body::new(head, rule(colors).into(), Effort::Quick).answer(&headers)
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
