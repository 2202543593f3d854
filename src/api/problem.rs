//! Problem details (RFC 9457).

use serde::Serialize;

/// Error response to an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemDetails {
    /// `urn:sisepan:problem:` and the stable error code.
    #[serde(rename = "type")]
    pub kind: String,
    /// Title of the error code.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Description of what is wrong with this request.
    pub detail: String,
    /// The invalid query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Its value, truncated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The allowed values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

impl ProblemDetails {
    /// Creates a problem without parameter, value and allowed values.
    pub fn new(status: u16, code: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:sisepan:problem:{code}"),
            title,
            status,
            detail: detail.into(),
            parameter: None,
            value: None,
            allowed: Vec::new(),
        }
    }
}
