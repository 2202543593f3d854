//! The sample configuration: every setting with its default, commented out.

use std::fmt::Write as _;
use std::time::Duration;

use crate::locale::Lang;
use crate::options::settings;
use crate::venue;

/// A setting as the sample shows it.
struct Setting {
    key: &'static str,
    /// The value as TOML.
    value: &'static str,
    /// Whether `value` is an example, because the setting has no fixed default.
    is_example: bool,
    doc: &'static str,
}

const fn default(key: &'static str, value: &'static str, doc: &'static str) -> Setting {
    Setting { key, value, is_example: false, doc }
}

const fn example(key: &'static str, value: &'static str, doc: &'static str) -> Setting {
    Setting { key, value, is_example: true, doc }
}

const GENERAL: &[Setting] = &[
    default("listen", r#""127.0.0.1:8080""#, "Address or host name, and port. \":8080\" listens on all interfaces."),
    default("data", r#""data""#, "Directory of the store, created if missing. \"none\" keeps everything in memory."),
    default("log", r#""text""#, "Log format: text or json."),
    default("access_log", r#""off""#, "Which requests are logged: off, errors (4xx and 5xx) or all."),
    default("percent_places", "2", "Decimal places of a change, 0 to 4."),
    default(
        "jump_max_percent",
        "20",
        "A price that differs from a live one by more than this is shown only after it is confirmed, 0 to 99; 0 shows \
         every price at once.",
    ),
    default("base_path", r#""""#, "Path prefix of all routes, such as /prices."),
    example("public_url", r#""https://news.example.com""#, "Public URL of the server, base_path included."),
    default(
        "frame_ancestors",
        r#"["*"]"#,
        "Sites that may frame the widgets: *, 'self', 'none', https://example.com, https://*.example.com.",
    ),
    default("origins", r#"["*"]"#, "Origins whose pages may open streams; \"null\" stands for sandboxed frames."),
    default(
        "trusted_proxies",
        r#"["127.0.0.0/8", "::1"]"#,
        "Addresses and ranges of reverse proxies whose X-Forwarded-For is trusted.",
    ),
    example(
        "proxy",
        r#""http://proxy.example:3128""#,
        "Outgoing proxy for exchanges; \"none\" connects directly. Default: HTTPS_PROXY, HTTP_PROXY or ALL_PROXY.",
    ),
    example("no_proxy", r#"["10.0.0.0/8"]"#, "Hosts to connect to directly. Default: NO_PROXY."),
];

const STORE: &[Setting] = &[default("retention_days", "8", "How long minute closes are kept, in days, 2 to 3650.")];

const METRICS: &[Setting] =
    &[example("listen", r#""127.0.0.1:9464""#, "Address that serves GET /metrics. Default: no metrics.")];

const TLS: &[Setting] =
    &[example("ca", r#""/etc/ssl/private-ca.pem""#, "PEM file with further authorities to trust for exchanges.")];

const LIMITS: &[Setting] = &[
    default("connections", "4096", "Simultaneous connections other than streams."),
    default("connections_per_ipv4", "1024", "Connections of one IPv4 address, streams included."),
    default("connections_per_ipv6_64", "256", "Connections of one IPv6 /64, streams included."),
    default("connections_per_ipv6_48", "1024", "Connections of one IPv6 /48, streams included."),
    default("streams", "15000", "Simultaneous streams, WebSockets and events together."),
    default("subscriptions", "32", "Subscriptions of one stream client."),
    default("groups", "2048", "Different subscriptions to lists of markets."),
    default("groups_per_address", "256", "Of these, the ones created by one IPv4 address or IPv6 /64."),
    default("markets", "128", "Markets in one request, and in all subscriptions of a stream client together."),
    default("message_bytes", "4096", "Size of a message from a stream client."),
    default("messages_per_second", "5", "Messages per second from a stream client."),
    default("subscribe_within_secs", "10", "Time to the first subscription."),
    default("ping_every_secs", "25", "Interval of pings to stream clients."),
    default("pong_within_secs", "10", "Time to answer a ping, at most ping_every_secs."),
    default("write_within_secs", "10", "Time that one write to a client may be blocked."),
    default("close_within_secs", "2", "Time to wait for a client to close as well, 1 to 5."),
    default("return_spread_secs", "15", "Window over which reconnecting clients are spread."),
    default("head_within_secs", "10", "Time to receive a request head, and idle time of a connection."),
    default("head_bytes", "16384", "Size of a request head."),
];

/// `widgets.basis` is the default of all boards; the other settings of `[widgets]` are those of [`settings`].
const BASIS: &[Setting] =
    &[default("basis", r#""24h""#, "Change basis of boards without one: 24h, utc-day or kst-day.")];

const MOVERS: &[Setting] = &[
    default(
        "turnover_min",
        r#"["1000000000 KRW", "100000000 JPY", "1000000 USD", "1000000 USDT"]"#,
        "Minimum turnover of 24 hours per quote currency.",
    ),
    default("change_max_percent", "500", "Markets with a larger change are left out as implausible."),
    default("age_min_hours", "24", "How long a market must have been trading, 0 to 168."),
    default("count", "5", "Number of risers and of fallers, 1 to 20."),
];

/// Settings that have the same default for every exchange.
const VENUE: &[Setting] = &[
    default("streaming", "true", "false polls only."),
    default("confirm_after_secs", "5", "A market without an update for this long is requested over REST."),
    default("poll_every_ms", "2000", "How often prices are fetched while streaming is down."),
];

const BOARD: &[Setting] = &[
    default("id", r#""krw""#, "As in ?board=krw: letters, digits, - and _."),
    default(
        "title",
        r#"{ ko = "실시간 암호화폐 시세", en = "Live cryptocurrency prices", ja = "暗号資産リアルタイム価格" }"#,
        "One text, or one per language.",
    ),
    default(
        "markets",
        r#"["BTC-KRW", "ETH-KRW", "BCH-KRW", "XRP-KRW", "SOL-KRW", "ADA-KRW", "TRX-KRW", "XLM-KRW", "BSV-KRW", "LINK-KRW", "SAND-KRW"]"#,
        "Markets in display order, at most 128.",
    ),
    default("source", r#"["bithumb", "upbit"]"#, "One exchange or a list, the preferred one first."),
    default("basis", r#""24h""#, "Change basis: 24h, utc-day or kst-day. Default: widgets.basis."),
];

const REDENOMINATION: &[Setting] = &[
    example("venue", r#""upbit""#, "The exchange."),
    example("market", r#""BTC-KRW""#, "The market."),
    example("at", r#""2026-03-01T00:00:00Z""#, "The first minute with prices in the new unit."),
    example("factor", r#""0.01""#, "What older prices are multiplied by; \"1\" declares a real price move."),
];

const HEAD: &str = "\
# Sample configuration of sisepan. It lists every setting, commented out, with its default; a line that ends in
# \"# example\" is an example, because the setting has no fixed default.
# Except for [[boards]] and [[redenominations]], every setting can also be an environment variable:
# SISEPAN_STORE_RETENTION_DAYS=30.
";

/// Returns the sample configuration: a TOML file with every setting commented out.
pub fn sample() -> String {
    let mut text = HEAD.to_owned();
    section(&mut text, "", "", GENERAL);
    for (name, doc, settings) in [
        ("store", "The store.", STORE),
        ("metrics", "Metrics for Prometheus.", METRICS),
        ("tls", "TLS to exchanges.", TLS),
        ("limits", "Connection and request limits, and timeouts.", LIMITS),
        (
            "widgets",
            "Default look of widgets; attributes and query parameters override it. See docs/widgets.md.",
            BASIS,
        ),
        ("movers", "Which markets qualify as movers.", MOVERS),
    ] {
        section(&mut text, doc, &format!("[{name}]"), settings);
        if name == "widgets" {
            widget_options(&mut text);
        }
    }
    for venue in venue::ALL {
        let profile = venue.profile();
        section(&mut text, &format!("The exchange `{}`.", profile.id), &format!("[venues.{}]", profile.id), &[]);
        let mut own = |key, value: String, doc| {
            let _ = writeln!(text, "# {doc}\n#{key} = {value}");
        };
        own("rest", format!("\"{}\"", profile.rest), "REST API.");
        own("stream", format!("\"{}\"", profile.stream), "WebSocket.");
        let seconds = |duration: Duration| duration.as_secs().to_string();
        own("stale_after_secs", seconds(profile.stale_after), "A price not confirmed for this long is stale.");
        let doc = "A stream without data for this long is checked over REST.";
        own("silence_max_secs", seconds(profile.silence_max), doc);
        list(&mut text, VENUE);
    }
    section(&mut text, "Boards: at least one; the first is the default board.", "[[boards]]", BOARD);
    let doc = "Changes of the unit in which a market is priced.";
    section(&mut text, doc, "[[redenominations]]  # example", REDENOMINATION);
    text
}

fn section(text: &mut String, doc: &str, head: &str, settings: &[Setting]) {
    text.push('\n');
    if !head.is_empty() {
        let _ = writeln!(text, "# {doc}\n#{head}");
    }
    list(text, settings);
}

fn list(text: &mut String, settings: &[Setting]) {
    for Setting { key, value, is_example, doc } in settings {
        let _ = writeln!(text, "# {doc}\n#{key} = {value}{}", if *is_example { "  # example" } else { "" });
    }
}

/// Writes the defaults of widget options.
fn widget_options(text: &mut String) {
    for option in settings() {
        let plain = |markdown: &str| markdown.replace('`', "");
        // Details are in docs/widgets.md.
        let about = option.about.split([';', ':']).next().unwrap_or_default();
        let about = format!("{}{}", about[..1].to_uppercase(), plain(&about[1..]));
        let _ = write!(text, "# {about}. Values: {}.", option.accepted.allowed(Lang::En));
        let built_in = (option.built_in)();
        if built_in.is_none() {
            let _ = write!(text, " Default: {}.", plain(option.default));
        }
        let end = if built_in.is_none() { "  # example" } else { "" };
        let value = option.toml(built_in.as_deref().unwrap_or(option.example));
        let _ = writeln!(text, "\n#{} = {value}{end}", option.name);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use toml::de::DeTable;

    use super::super::section::Source;
    use super::super::{Config, Environment, parse, read};
    use super::*;

    /// Returns the sample with its settings in force: without the examples, unless `examples` are wanted.
    fn uncommented(examples: bool) -> String {
        let lines = sample();
        let lines = lines.lines().filter_map(|line| line.strip_prefix('#'));
        let settings = lines.filter(|line| !line.starts_with(' ') && (examples || !line.ends_with("# example")));
        settings.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_defaults_of_the_sample_are_the_default_configuration() {
        let mut config = parse("sample", &uncommented(false), &Environment::new()).unwrap();
        for (id, settings) in std::mem::take(&mut config.venues) {
            let profile = venue::find(id.as_str()).unwrap().profile();
            assert_eq!(settings.rest.as_deref(), Some(profile.rest));
            assert_eq!(settings.stream.as_deref(), Some(profile.stream));
            assert_eq!(settings.stale_after, Some(profile.stale_after));
            assert_eq!(settings.silence_max, Some(profile.silence_max));
        }
        config.site.widgets = Default::default();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn the_examples_of_the_sample_are_valid() {
        let text = uncommented(true).replace("/etc/ssl/private-ca.pem", "tests/fixtures/ca.pem");
        let errors = parse("sample", &text, &Environment::new()).err();
        let errors = errors.map_or_else(Vec::new, |errors| errors.0);
        assert!(errors.iter().all(|error| error.key == "tls.ca"), "{errors:?}");
    }

    #[test]
    fn the_sample_has_exactly_the_settings_that_are_read() {
        let environment = Environment::new();
        let source = Source {
            name: "",
            text: "",
            environment: &environment,
            problems: RefCell::default(),
            variables: RefCell::default(),
        };
        read::read_all(&source, DeTable::parse_recoverable("").0.get_ref());
        let (mut prefix, mut sampled) = (String::new(), BTreeSet::new());
        for line in uncommented(true).lines() {
            if let Some(table) = line.strip_prefix('[') {
                prefix = format!("{}.", table.split(']').next().unwrap());
            } else if !prefix.starts_with('[') {
                let key = format!("{prefix}{}", line.split(' ').next().unwrap());
                sampled.insert(format!("SISEPAN_{}", key.replace(['.', '-'], "_").to_uppercase()));
            }
        }
        assert_eq!(sampled, source.variables.into_inner());
    }

    #[test]
    fn the_sample_in_the_repository_is_current() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/sisepan.toml");
        if std::env::var("UPDATE_DOCUMENTS").as_deref() == Ok("1") {
            std::fs::write(file, sample()).unwrap();
        }
        assert!(std::fs::read_to_string(file).unwrap() == sample(), "UPDATE_DOCUMENTS=1 writes deploy/sisepan.toml");
    }
}
