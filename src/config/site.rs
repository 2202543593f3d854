//! Where the publisher puts it: path, public address, who may frame it, connect to it, and stand in front of it.

use url::Url;

use super::section::{Found, Section, Source};
use super::{Network, Widgets, movers};
use crate::domain::MoversRule;

/// Longest `base_path`, in bytes.
const BASE_PATH_MAX: usize = 128;

/// Most entries of a list.
const LIST_MAX: usize = 64;

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// Those answered with 4xx or 5xx.
    Errors,
    /// All.
    All,
}

/// The settings of the publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `base_path`: the path that everything stands under, such as `/prices`; empty is the root. Default empty.
    pub base_path: String,
    /// `public_url`: where readers find us, `base_path` included, without a slash at the end. Default none: nothing that
    /// needs a whole address is offered. It is never taken from a request, but for the snippets of the configurator, which
    /// nobody but the asker is given.
    pub public_url: Option<String>,
    /// `frame_ancestors`: who may frame the widgets, as the value of the directive of a Content-Security-Policy. Default `*`.
    pub frame_ancestors: String,
    /// `origins`: whose pages may open streams, beside `public_url`'s own; `null` stands for sandboxed frames. `None` is
    /// any. Default any.
    pub origins: Option<Vec<String>>,
    /// `trusted_proxies`: whose `X-Forwarded-For` is believed. Default: this machine.
    pub trusted_proxies: Vec<Network>,
    /// `access_log`: which requests are logged: `off`, `errors` or `all`. Default `off`.
    pub access_log: AccessLog,
    /// `[movers]`: which markets may be called movers.
    pub movers: MoversRule,
    /// `[widgets]`: what a widget looks like unless its page asks for something else.
    pub widgets: Widgets,
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
            widgets: Widgets::default(),
        }
    }
}

/// Reads the settings of the publisher, which stand at the top of the file.
pub(super) fn read(source: &Source<'_>, root: &mut Section<'_>) -> Site {
    let mut site = Site::default();
    if let Some(found) = root.string("base_path") {
        match base_path(&found.value) {
            Some(path) => site.base_path = path,
            None => {
                let message = format!("must be a path such as /prices, is {:?}", found.value);
                source.report(found.place, "base_path", message);
            }
        }
    }
    let mut url_place = None;
    if let Some(found) = root.string("public_url") {
        url_place = Some(found.place.clone());
        site.public_url = public_url(&found.value);
        if site.public_url.is_none() {
            let message = format!("must be a URL such as https://example.com/prices, is {:?}", found.value);
            source.report(found.place, "public_url", message);
        }
    }
    if let (Some(place), Some(url)) = (url_place, site.public_url.as_deref().and_then(|url| Url::parse(url).ok())) {
        // A proxy may put more before the path, and pass on the rest: all our links are relative.
        if !format!("/{}", url.path().trim_matches('/')).ends_with(&site.base_path) {
            let (path, base) = (url.path(), &site.base_path);
            source.report(place, "public_url", format!("must end with base_path ({base}), ends with {path}"));
        }
    }
    if let Some(list) = list(source, root, "frame_ancestors", "*, 'self', 'none' or https://example.com", ancestor) {
        site.frame_ancestors = if list.is_empty() { "'none'".to_owned() } else { list.join(" ") };
    }
    if let Some(list) = list(source, root, "origins", "*, null or https://example.com", origin) {
        site.origins = (!list.iter().any(|one| one == "*")).then_some(list);
    }
    let network = |text: &str| text.parse::<Network>().ok();
    if let Some(list) = list(source, root, "trusted_proxies", "an address or a range such as 10.0.0.0/8", network) {
        site.trusted_proxies = list;
    }
    if let Some(found) = root.string("access_log") {
        match found.value.as_str() {
            "off" => site.access_log = AccessLog::Off,
            "errors" => site.access_log = AccessLog::Errors,
            "all" => site.access_log = AccessLog::All,
            other => source.report(found.place, "access_log", format!("must be off, errors or all, is {other:?}")),
        }
    }
    site.movers = movers::read(source, root.table("movers"));
    site
}

/// Reads a list, and tells each entry that is not as it `must be`.
fn list<T>(
    source: &Source<'_>,
    root: &mut Section<'_>,
    key: &'static str,
    must_be: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<Vec<T>> {
    let Found { value: entries, place } = root.strings(key)?;
    if entries.len() > LIST_MAX {
        source.report(place, key, format!("must be at most {LIST_MAX}, are {}", entries.len()));
        return None;
    }
    let mut list = Vec::new();
    // A variable that is set to nothing is an empty list.
    for entry in entries.into_iter().filter(|entry| !entry.value.is_empty()) {
        match read(&entry.value) {
            Some(one) => list.push(one),
            None => source.report(entry.place, key, format!("must be {must_be}, is {:?}", entry.value)),
        }
    }
    Some(list)
}

/// `/`, `/prices` and `/prices/` are paths; nothing that a URL would have to escape is.
fn base_path(text: &str) -> Option<String> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    if bare.is_empty() {
        return Some(String::new());
    }
    let name = |name: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
        !name.is_empty() && name != "." && name != ".." && name.bytes().all(plain)
    };
    let right = bare.len() <= BASE_PATH_MAX && bare.strip_prefix('/')?.split('/').all(name);
    right.then(|| bare.to_owned())
}

fn public_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    let bare =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    bare.then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// Returns an origin as browsers write it: scheme, host, and the port where it is not the usual one.
fn origin(text: &str) -> Option<String> {
    if matches!(text, "*" | "null") {
        return Some(text.to_owned());
    }
    let url = public_url(text).and_then(|url| Url::parse(&url).ok()).filter(|url| url.path() == "/")?;
    Some(url.origin().ascii_serialization())
}

/// As [`origin`], or all hosts below one: `https://*.example.com`.
fn ancestor(text: &str) -> Option<String> {
    if matches!(text, "*" | "'self'" | "'none'") {
        return Some(text.to_owned());
    }
    match text.split_once("://*.") {
        Some((scheme, host)) => {
            let whole = origin(&format!("{scheme}://{host}"))?;
            whole.split_once("://").map(|(scheme, host)| format!("{scheme}://*.{host}"))
        }
        None => origin(text).filter(|origin| origin != "null"),
    }
}
