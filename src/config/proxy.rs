//! Outgoing proxies: the settings `proxy` and `no_proxy`, or the common environment variables; and IP networks in
//! CIDR notation, such as `10.0.0.0/8`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use super::section::{Found, Section, Source};

/// Supported proxy schemes.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

/// Description of a valid entry of `no_proxy`, for error messages.
const MUST_BE: &str =
    "must be a host name, an IP address or a CIDR range such as 10.0.0.0/8, each with an optional :port, or *";

/// Environment variables for proxies and exceptions, as other programs read them. The lower-case spelling takes
/// precedence, as with curl.
pub const VARIABLES: [&str; 8] =
    ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];

/// Proxies for connections to exchanges. The URLs may contain credentials, so `Debug` shows only the hosts.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// For `http://` and `ws://` targets.
    http: Option<Url>,
    /// For `https://` and `wss://` targets.
    https: Option<Url>,
    exceptions: Vec<Exception>,
}

impl Proxies {
    /// Returns the proxy to use for the URL `target`, or `None` for a direct connection.
    pub fn proxy_for(&self, target: &str) -> Option<&Url> {
        let target = Url::parse(target).ok()?;
        if self.exceptions.iter().any(|exception| exception.matches(&target)) {
            return None;
        }
        if matches!(target.scheme(), "https" | "wss") { self.https.as_ref() } else { self.http.as_ref() }
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = [&self.http, &self.https].map(|url| url.as_ref().and_then(Url::host_str));
        f.debug_struct("Proxies").field("hosts", &hosts).field("direct", &self.exceptions).finish()
    }
}

/// An IP network. IPv4-mapped IPv6 addresses count as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// Error of parsing a [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IP address or a CIDR range such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct ParseNetworkError(String);

impl Network {
    /// The loopback networks.
    pub const LOOPBACK: [Self; 2] = [
        Self(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8))),
        Self(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128))),
    ];

    /// Returns whether the network contains an address.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    /// Parses an address, or an address and the length of a prefix.
    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let parse = || {
            let (address, prefix) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
            let address = address.parse::<IpAddr>().ok()?.to_canonical();
            match prefix {
                None => Some(Self(address.into())),
                Some(prefix) => IpNet::new(address, prefix.parse().ok()?).ok().map(Self),
            }
        };
        parse().ok_or_else(|| ParseNetworkError(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry of `no_proxy`: targets that are connected to directly.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    Network(Network),
    /// A host name and all its subdomains.
    Subdomains(String),
}

impl Exception {
    /// Parses one entry; `None` if no target could match it.
    fn new(entry: &str) -> Option<Self> {
        let any_port = |hosts| Some(Self { hosts, port: None });
        if entry == "*" {
            return any_port(Hosts::All);
        }
        if let Ok(network) = entry.trim_matches(['[', ']']).parse() {
            return any_port(Hosts::Network(network));
        }
        let (host, port) = match entry.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, Some(port)),
            _ => (entry, None),
        };
        if let Ok(network) = host.trim_matches(['[', ']']).parse() {
            return Some(Self { hosts: Hosts::Network(network), port });
        }
        let name = host.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.').to_lowercase();
        // `10.0.0.0/99`, `10.0.0.256`, `192.168.*`, `https://host` and `host:x` are not host names.
        let is_name = !name.contains('*') && matches!(Host::parse(&name), Ok(Host::Domain(_)));
        is_name.then_some(Self { hosts: Hosts::Subdomains(name), port })
    }

    fn matches(&self, target: &Url) -> bool {
        if self.port.is_some() && self.port != target.port_or_known_default() {
            return false;
        }
        let address = match target.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => target.host_str().and_then(|host| host.parse().ok()),
        };
        match &self.hosts {
            Hosts::All => true,
            Hosts::Network(network) => address.is_some_and(|address| network.contains(address)),
            Hosts::Subdomains(name) => target.host_str().is_some_and(|host| {
                let host = host.trim_end_matches('.').to_lowercase();
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }),
        }
    }
}

/// Reads `proxy` and `no_proxy`; where they are not set, the common environment variables apply.
pub(super) fn read(source: &Source<'_>, root: &mut Section<'_>) -> Proxies {
    let variable = |names: [&str; 2]| {
        let set = |name: &&str| source.environment.get(*name).filter(|value| !value.trim().is_empty());
        let (name, value) = names.iter().find_map(|name| Some((name, set(name)?)))?;
        Some(Found { value: value.trim().to_owned(), location: format!("environment variable {name}") })
    };
    let url = |found: Found<String>, key: &str| {
        let url = parse_proxy_url(&found.value);
        if url.is_none() {
            // The value may contain a password, so the message does not repeat it.
            let schemes = SCHEMES.join("://, ");
            source.report(
                found.location,
                key,
                format!("must be a proxy URL such as http://proxy.example:3128 ({schemes}://)"),
            );
        }
        url
    };
    let [http, https] = match root.string("proxy") {
        Some(found) if matches!(found.value.as_str(), "" | "none") => [None, None],
        Some(found) => {
            let all = url(found, "proxy");
            [all.clone(), all]
        }
        None => {
            let all = variable(["all_proxy", "ALL_PROXY"]).and_then(|found| url(found, ""));
            [["http_proxy", "HTTP_PROXY"], ["https_proxy", "HTTPS_PROXY"]]
                .map(|names| variable(names).and_then(|found| url(found, "")).or_else(|| all.clone()))
        }
    };
    let set = root.strings("no_proxy").map(|found| found.value);
    // Other programs read the variable too, each with its own syntax, so entries that we can't parse are ignored
    // there.
    let is_setting = set.is_some();
    let lists = set.unwrap_or_else(|| variable(["no_proxy", "NO_PROXY"]).into_iter().collect());
    let mut exceptions = Vec::new();
    for list in &lists {
        for entry in list.value.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()) {
            match Exception::new(entry) {
                Some(exception) => exceptions.push(exception),
                None if is_setting => {
                    source.report(list.location.clone(), "no_proxy", format!("{MUST_BE}, is {entry:?}"))
                }
                None => {}
            }
        }
    }
    Proxies { http, https, exceptions }
}

/// Parses a proxy URL; `proxy.example:3128` means `http://proxy.example:3128`.
fn parse_proxy_url(text: &str) -> Option<Url> {
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    url.ok().filter(|url| SCHEMES.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::parse;
    use super::Network;

    fn proxy_for(text: &str, variables: &[(&str, &str)], target: &str) -> Option<String> {
        let environment: BTreeMap<_, _> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let config = parse("test", text, &environment).unwrap();
        config.proxies.proxy_for(target).map(ToString::to_string)
    }

    #[test]
    fn fc_05_settings_and_variables_choose_the_proxy() {
        const REST: &str = "https://api.example.com";
        const STREAM: &str = "wss://stream.example.com/ws";
        const PLAIN: &str = "http://api.example.com:9000/x";
        let http = Some("http://p:1/".to_owned());
        let other = Some("http://q:2/".to_owned());
        for (text, variables, target, proxy) in [
            ("", &[][..], REST, None),
            ("", &[("HTTPS_PROXY", "http://p:1")], REST, http.clone()),
            ("", &[("HTTPS_PROXY", "http://p:1")], STREAM, http.clone()),
            ("", &[("https_proxy", "p:1")], STREAM, http.clone()),
            ("", &[("HTTPS_PROXY", "http://p:1")], PLAIN, None),
            ("", &[("http_proxy", "http://p:1")], PLAIN, http.clone()),
            ("", &[("HTTP_PROXY", "http://p:1")], "ws://stream.example.com", http.clone()),
            ("", &[("HTTP_PROXY", "http://p:1")], REST, None),
            ("", &[("all_proxy", "http://p:1")], REST, http.clone()),
            ("", &[("ALL_PROXY", "http://p:1"), ("HTTPS_PROXY", "http://q:2")], REST, other.clone()),
            ("", &[("ALL_PROXY", "http://p:1"), ("HTTPS_PROXY", "")], REST, http.clone()),
            ("", &[("https_proxy", "http://p:1"), ("HTTPS_PROXY", "http://q:2")], REST, http.clone()),
            ("proxy = \"http://p:1\"", &[("HTTPS_PROXY", "http://q:2")], REST, http.clone()),
            ("proxy = \"none\"", &[("HTTPS_PROXY", "http://q:2")], REST, None),
            ("", &[("SISEPAN_PROXY", "http://p:1")], STREAM, http.clone()),
            ("proxy = \"socks5://u:w@p\"", &[], REST, Some("socks5://u:w@p".to_owned())),
        ] {
            assert_eq!(proxy_for(text, variables, target), proxy, "{text} {variables:?} {target}");
        }
    }

    #[test]
    fn fc_05_exceptions_are_connected_to_directly() {
        for (list, target, is_direct) in [
            ("*", "https://api.example.com", true),
            ("example.com", "https://api.example.com", true),
            (".example.com", "https://api.example.com", true),
            ("*.example.com", "wss://api.example.com/ws", true),
            ("EXAMPLE.com", "https://example.com", true),
            ("ample.com", "https://example.com", false),
            ("other.org, api.example.com", "https://api.example.com", true),
            ("other.org api.example.com", "https://api.example.com", true),
            ("api.example.com:443", "https://api.example.com", true),
            ("api.example.com:8443", "https://api.example.com", false),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("127.0.0.1", "wss://127.0.0.1:9000/ws", true),
            ("127.0.0.1:9001", "wss://127.0.0.1:9000/ws", false),
            ("127.0.0.1:9000", "ws://127.0.0.1:9000/ws", true),
            ("[::1]:9000", "wss://[::1]:9000/ws", true),
            ("::1", "wss://[::1]:9000/ws", true),
            ("", "https://api.example.com", false),
        ] {
            let proxy = [("ALL_PROXY", "http://p:1"), ("NO_PROXY", list)];
            assert_eq!(proxy_for("", &proxy, target).is_none(), is_direct, "{list} {target}");
            let text = format!("proxy = \"http://p:1\"\nno_proxy = {list:?}");
            assert_eq!(proxy_for(&text, &[("NO_PROXY", "*")], target).is_none(), is_direct, "setting {list} {target}");
        }
    }

    #[test]
    fn fc_05_an_exception_that_can_match_nothing_is_an_error() {
        let invalid = [
            "10.0.0.0/99",
            "10.0.0.0/",
            "10.0.0.0/8x",
            "10.0.0.256",
            "10.0.0",
            "192.168.*",
            "::1/129",
            ":80",
            "https://api.example.com",
            "api.example.com:x",
            "api.example.com:99999",
            "api.example.com/8",
            "a b@c",
            ".",
        ];
        for entry in invalid {
            let text = format!("proxy = \"http://p:1\"\nno_proxy = [\"example.com\", {entry:?}]");
            let errors = parse("test", &text, &BTreeMap::new()).map(|_| entry).unwrap_err().to_string();
            assert!(
                errors.contains("test:2: no_proxy: must be a host name, an IP address or a CIDR range"),
                "{entry}: {errors}"
            );
            let quoted = entry.rsplit(' ').next().unwrap();
            assert!(errors.contains(&format!("is {quoted:?}")), "{entry}: {errors}");
            // In the variable the entry is ignored.
            let target = "https://api.example.com";
            assert!(proxy_for("", &[("ALL_PROXY", "http://p:1"), ("NO_PROXY", entry)], target).is_some(), "{entry}");
        }
    }

    #[test]
    fn fc_05_an_unusable_proxy_is_reported_without_its_credentials() {
        for text in ["ftp://user:secret@p", "http://user:secret@", "socks4://user:secret@p:1", "user:secret"] {
            let environment = BTreeMap::from([("HTTPS_PROXY".to_owned(), text.to_owned())]);
            let errors = parse("test", &format!("proxy = {text:?}"), &environment).unwrap_err().to_string();
            assert!(
                errors.contains("test:1: proxy: must be a proxy URL such as") && !errors.contains("secret"),
                "{errors}"
            );
            let errors = parse("test", "", &environment).unwrap_err().to_string();
            assert!(errors.contains("variable HTTPS_PROXY: must be a") && !errors.contains("secret"), "{errors}");
        }
        let config = parse("test", "proxy = \"http://user:secret@p:1\"", &BTreeMap::new()).unwrap();
        assert!(!format!("{config:?}").contains("secret"), "{config:?}");
    }

    #[test]
    fn a_range_contains_addresses_with_its_prefix() {
        for (range, address, contained) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            let network: Network = range.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), contained, "{range} {address}");
        }
        for invalid in ["", "10.0.0.0/33", "10.0.0.0/x", "10.0.0/8", "::1/129", "localhost"] {
            assert!(invalid.parse::<Network>().is_err(), "{invalid}");
        }
    }
}
