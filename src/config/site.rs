//! Settings of the published site: path and public URL, frame ancestors, origins, trusted proxies, access log.

use url::Url;

use super::proxy::Network;
use super::section::{Found, Section, Source};
use super::widgets::read_movers;
use crate::market::MoversRule;
use crate::options::OptionValues;

/// Longest `base_path`, in bytes.
const BASE_PATH_MAX: usize = 128;

/// Most entries in a list.
const LIST_MAX: usize = 64;

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// Requests answered with 4xx or 5xx.
    Errors,
    /// All requests.
    All,
}

/// Settings of the published site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `base_path`: path prefix of all URLs, such as `/prices`; empty means the root. Default empty.
    pub base_path: String,
    /// `public_url`: the site's public URL including `base_path`, without a trailing slash. Default none: nothing
    /// that needs an absolute URL is offered. It is never derived from a request, except for the configurator's
    /// snippets, which only the requesting client sees.
    pub public_url: Option<String>,
    /// `frame_ancestors`: sites that may frame the widgets, as the value of the Content-Security-Policy directive.
    /// Default `*`.
    pub frame_ancestors: String,
    /// `origins`: origins whose pages may open streams, in addition to that of `public_url`; `null` allows
    /// sandboxed frames. `None` allows all, which is the default.
    pub origins: Option<Vec<String>>,
    /// `trusted_proxies`: reverse proxies whose `X-Forwarded-For` is trusted. Default: loopback.
    pub trusted_proxies: Vec<Network>,
    /// `access_log`: which requests are logged: `off`, `errors` or `all`. Default `off`.
    pub access_log: AccessLog,
    /// `[movers]`: which markets qualify as movers.
    pub movers: MoversRule,
    /// `[widgets]`: default options of widgets.
    pub widgets: OptionValues,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            base_path: String::new(),
            public_url: None,
            frame_ancestors: "*".to_owned(),
            origins: None,
            trusted_proxies: Network::LOOPBACK.to_vec(),
            access_log: AccessLog::default(),
            movers: MoversRule::default(),
            widgets: OptionValues::default(),
        }
    }
}

/// Reads the site's settings, which are at the top level of the file.
pub(super) fn read(source: &Source<'_>, root: &mut Section<'_>) -> Site {
    let mut site = Site::default();
    if let Some(found) = root.string("base_path") {
        match parse_base_path(&found.value) {
            Some(path) => site.base_path = path,
            None => {
                let message = format!("must be a path such as /prices, is {:?}", found.value);
                source.report(found.location, "base_path", message);
            }
        }
    }
    let mut url_location = None;
    if let Some(found) = root.string("public_url") {
        url_location = Some(found.location.clone());
        site.public_url = parse_public_url(&found.value);
        if site.public_url.is_none() {
            let message = format!("must be a URL such as https://example.com/prices, is {:?}", found.value);
            source.report(found.location, "public_url", message);
        }
    }
    if let (Some(location), Some(url)) = (url_location, site.public_url.as_deref().and_then(|url| Url::parse(url).ok()))
    {
        // A reverse proxy may add a prefix to the path and strip it again; that works, since all our links are
        // relative.
        if !format!("/{}", url.path().trim_matches('/')).ends_with(&site.base_path) {
            let (path, base) = (url.path(), &site.base_path);
            source.report(location, "public_url", format!("must end with base_path ({base}), ends with {path}"));
        }
    }
    if let Some(list) =
        read_list(source, root, "frame_ancestors", "*, 'self', 'none' or https://example.com", parse_ancestor)
    {
        site.frame_ancestors = if list.is_empty() { "'none'".to_owned() } else { list.join(" ") };
    }
    if let Some(list) = read_list(source, root, "origins", "*, null or https://example.com", parse_origin) {
        site.origins = (!list.iter().any(|one| one == "*")).then_some(list);
    }
    let network = |text: &str| text.parse::<Network>().ok();
    if let Some(list) =
        read_list(source, root, "trusted_proxies", "an IP address or a CIDR range such as 10.0.0.0/8", network)
    {
        site.trusted_proxies = list;
    }
    if let Some(found) = root.string("access_log") {
        match found.value.as_str() {
            "off" => site.access_log = AccessLog::Off,
            "errors" => site.access_log = AccessLog::Errors,
            "all" => site.access_log = AccessLog::All,
            other => source.report(found.location, "access_log", format!("must be off, errors or all, is {other:?}")),
        }
    }
    site.movers = read_movers(source, root.table("movers"));
    site
}

/// Reads a list, and reports each entry that `read` rejects; `must_be` describes valid ones.
fn read_list<T>(
    source: &Source<'_>,
    root: &mut Section<'_>,
    key: &'static str,
    must_be: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<Vec<T>> {
    let Found { value: entries, location } = root.strings(key)?;
    if entries.len() > LIST_MAX {
        source.report(location, key, format!("must have at most {LIST_MAX} entries, has {}", entries.len()));
        return None;
    }
    let mut list = Vec::new();
    // An empty environment variable is an empty list.
    for entry in entries.into_iter().filter(|entry| !entry.value.is_empty()) {
        match read(&entry.value) {
            Some(one) => list.push(one),
            None => source.report(entry.location, key, format!("must be {must_be}, is {:?}", entry.value)),
        }
    }
    Some(list)
}

/// Parses a path such as `/`, `/prices` or `/prices/`; characters that a URL must escape are not allowed.
fn parse_base_path(text: &str) -> Option<String> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    if bare.is_empty() {
        return Some(String::new());
    }
    let name = |name: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
        !name.is_empty() && name != "." && name != ".." && name.bytes().all(plain)
    };
    let is_valid = bare.len() <= BASE_PATH_MAX && bare.strip_prefix('/')?.split('/').all(name);
    is_valid.then(|| bare.to_owned())
}

fn parse_public_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    let bare =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    bare.then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// Parses an origin and returns it as browsers write it: scheme, host, and the port unless it is the default one.
fn parse_origin(text: &str) -> Option<String> {
    if matches!(text, "*" | "null") {
        return Some(text.to_owned());
    }
    let url = parse_public_url(text).and_then(|url| Url::parse(&url).ok()).filter(|url| url.path() == "/")?;
    Some(url.origin().ascii_serialization())
}

/// Like [`parse_origin`], but also accepts a wildcard for all subdomains: `https://*.example.com`.
fn parse_ancestor(text: &str) -> Option<String> {
    if matches!(text, "*" | "'self'" | "'none'") {
        return Some(text.to_owned());
    }
    match text.split_once("://*.") {
        Some((scheme, host)) => {
            let whole = parse_origin(&format!("{scheme}://{host}"))?;
            whole.split_once("://").map(|(scheme, host)| format!("{scheme}://*.{host}"))
        }
        None => parse_origin(text).filter(|origin| origin != "null"),
    }
}
