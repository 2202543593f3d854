//! Configuration: parsing, and reporting all errors together with their locations.

use std::collections::BTreeMap;
use std::process::Command;

use sisepan::config::{self, Config, LogFormat};
use sisepan::market::Basis;
use sisepan::venue;

fn problems(text: &str) -> Vec<String> {
    let errors = config::parse("sisepan.toml", text, &BTreeMap::new()).unwrap_err();
    errors.0.iter().map(ToString::to_string).collect()
}

fn parsed(text: &str) -> Config {
    config::parse("sisepan.toml", text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Returns the ids of all exchanges, as messages list them.
fn exchanges() -> String {
    venue::ALL.iter().map(|venue| venue.profile().id.as_str()).collect::<Vec<_>>().join(", ")
}

/// A configuration with five different errors.
const FIVE_ERRORS: &str = r#"listen = "8080"
log = "loud"

[venues.upbt]
rest = "https://api.upbit.com"

[[boards]]
id = "krw"
markets = ["BTCKRW", "ETH-KRW"]
source = ["bithumb", "upbit"]
basis = "12h"
"#;

#[test]
fn five_errors_are_reported_together_with_line_and_key() {
    assert_eq!(
        problems(FIVE_ERRORS),
        [
            r#"sisepan.toml:1: listen: must be an address and a port such as 127.0.0.1:8080, localhost:8080 or :8080, is "8080""#,
            r#"sisepan.toml:2: log: must be text or json, is "loud""#,
            &format!("sisepan.toml:4: venues.upbt: unknown exchange; known: {}", exchanges()),
            r#"sisepan.toml:9: boards[0].markets: market "BTCKRW" is not of the form BASE-QUOTE"#,
            r#"sisepan.toml:11: boards[0].basis: unknown basis "12h": use 24h, utc-day or kst-day"#,
        ]
    );
}

#[test]
fn the_program_exits_with_2_and_reports_all_five() {
    let folder = std::env::temp_dir().join(format!("sisepan-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("five.toml");
    std::fs::write(&file, FIVE_ERRORS).unwrap();
    for command in ["serve", "check", "demo"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_sisepan")).arg(command).arg("--config").arg(&file).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}: {stderr}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{command} printed to standard output");
        for line in problems(FIVE_ERRORS) {
            let message = line.split_once(": ").unwrap().1;
            assert!(stderr.contains(message), "{command} did not print {message:?} but {stderr}");
        }
        assert!(stderr.contains("five.toml:9"), "{stderr}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn invalid_toml_is_reported_with_its_line() {
    let problems = problems("listen = \"127.0.0.1:1\"\nlog = \n[[boards]\n");
    assert!(problems.iter().any(|problem| problem.starts_with("sisepan.toml:2: ")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.starts_with("sisepan.toml:3: ")), "{problems:?}");
}

#[test]
fn a_missing_file_is_reported_by_name() {
    let errors = config::load(Some("no/such/file.toml".as_ref()), &BTreeMap::new()).unwrap_err();
    assert!(errors.to_string().contains("no/such/file.toml: can't be read"), "{errors}");
}

#[test]
fn unknown_settings_wrong_types_and_ranges_are_reported() {
    for (text, message) in [
        ("listten = 1", "sisepan.toml:1: listten: unknown setting; known here: "),
        ("listen = 1", "sisepan.toml:1: listen: must be a string, is an integer"),
        (
            "[metrics]\nlisten = \"9464\"",
            "sisepan.toml:2: metrics.listen: must be an address and a port such as 127.0.0.1:8080",
        ),
        ("[metrics]\nport = 9464", "sisepan.toml:2: metrics.port: unknown setting; known here: listen"),
        ("percent_places = 5", "sisepan.toml:1: percent_places: must be from 0 to 4, is 5"),
        ("jump_max_percent = 100", "sisepan.toml:1: jump_max_percent: must be from 0 to 99, is 100"),
        ("percent_places = 1.5", "sisepan.toml:1: percent_places: must be an integer, is a float"),
        (
            "[venues.upbit]\nstreaming = \"yes\"",
            "sisepan.toml:2: venues.upbit.streaming: must be true or false, is a string",
        ),
        (
            "[venues.upbit]\nrest = \"ftp://x\"",
            "sisepan.toml:2: venues.upbit.rest: must be a URL that begins with http:// or https://",
        ),
        (
            "[venues.upbit]\nstale_after_secs = 0",
            "sisepan.toml:2: venues.upbit.stale_after_secs: must be from 1 to 3600, is 0",
        ),
        ("venues = 3", "sisepan.toml:1: venues: must be a table, is an integer"),
        ("[boards]\nid = \"a\"", "boards: must be written as [[boards]], is a table"),
        ("[[boards]]", "sisepan.toml:1: boards[0].id: is missing"),
        ("[[boards]]\nid = \"a b\"", "sisepan.toml:2: boards[0].id: must be 1 to 32 letters"),
        ("[[boards]]\nid = \"a\"\nsource = []", "boards[0].source: must name an exchange"),
        ("[[boards]]\nid = \"a\"\nsource = \"mtgox\"", "boards[0].source: unknown exchange \"mtgox\"; known: upbit"),
        ("[[boards]]\nid = \"a\"\nmarkets = [\"A-B\", \"a-b\"]", "boards[0].markets: A-B is listed twice"),
        ("[[boards]]\nid = \"a\"\nmarkets = []", "boards[0].markets: must have 1 to 128 entries, has 0"),
        ("[[boards]]\nid = \"a\"\n[[boards]]\nid = \"a\"", "boards[1].id: board \"a\" is defined twice"),
    ] {
        let problems = problems(text);
        assert!(
            problems.iter().any(|problem| problem.contains(message)),
            "{text:?} gave {problems:#?}, not {message:?}"
        );
    }
}

#[test]
fn an_empty_configuration_gives_the_default_board() {
    let config = parsed("");
    assert_eq!(config, Config::default());
    let board = &config.boards[0];
    let markets: Vec<&str> = board.markets.iter().map(|market| market.as_str()).collect();
    assert_eq!(
        markets,
        [
            "BTC-KRW", "ETH-KRW", "BCH-KRW", "XRP-KRW", "SOL-KRW", "ADA-KRW", "TRX-KRW", "XLM-KRW", "BSV-KRW",
            "LINK-KRW", "SAND-KRW"
        ]
    );
    assert_eq!((board.id.as_str(), board.source.as_str(), board.basis), ("krw", "bithumb,upbit", Basis::Rolling24h));
    assert_eq!(config.listen, "127.0.0.1:8080");
}

#[test]
fn a_full_configuration_is_read() {
    let config = parsed(
        r#"
        listen = "0.0.0.0:80"
        log = "json"
        percent_places = 3
        [venues.upbit]
        rest = "http://127.0.0.1:9000/upbit/"
        streaming = false
        poll_every_ms = 500
        [[boards]]
        id = "usdt"
        title = { ko = "달러 시세", en = "Dollar prices" }
        markets = ["btc-usdt"]
        source = "binance"
        basis = "utc-day"
        "#,
    );
    let upbit = config.venues.values().next().unwrap();
    assert_eq!((upbit.rest.as_deref(), upbit.streaming), (Some("http://127.0.0.1:9000/upbit"), Some(false)));
    assert_eq!((config.listen.as_str(), config.log, config.percent_places), ("0.0.0.0:80", LogFormat::Json, 3));
    let board = &config.boards[0];
    assert_eq!(board.titles, ["달러 시세", "Dollar prices", "달러 시세"]);
    assert_eq!((board.markets[0].as_str(), board.basis), ("BTC-USDT", Basis::UtcDay));
}

#[test]
fn a_misspelt_variable_is_reported() {
    let variable = |name: &str| BTreeMap::from([(name.to_owned(), "x".to_owned())]);
    let errors = config::parse("defaults", "", &variable("SISEPAN_VENUES_UPBIT_RESTT")).unwrap_err();
    assert_eq!(errors.0[0].to_string(), "environment variable SISEPAN_VENUES_UPBIT_RESTT: matches no setting");
    for foreign in ["SISEPAN_CONFIG", "SISEPAN_SERVICE_HOST", "SISEPAN_PORT_8080_TCP"] {
        assert!(config::parse("defaults", "", &variable(foreign)).is_ok(), "{foreign}");
    }
}

#[test]
fn the_environment_takes_precedence_and_its_errors_name_the_variable() {
    let set = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let text = "listen = \"127.0.0.1:1\"\n[venues.upbit]\nrest = \"http://a\"";
    let config = config::parse("x", text, &set("SISEPAN_VENUES_UPBIT_REST", "http://b")).unwrap();
    assert_eq!(config.venues.values().next().unwrap().rest.as_deref(), Some("http://b"));
    let config = config::parse("x", text, &set("SISEPAN_METRICS_LISTEN", ":9464")).unwrap();
    assert_eq!((config.listen.as_str(), config.metrics.as_deref()), ("127.0.0.1:1", Some(":9464")));
    let errors = config::parse("x", text, &set("SISEPAN_PERCENT_PLACES", "nine")).unwrap_err();
    let error = errors.0[0].to_string();
    assert_eq!(error, "environment variable SISEPAN_PERCENT_PLACES: percent_places: must be from 0 to 4, is nine");
}

#[test]
fn in_53_a_redenomination_is_parsed_and_each_error_in_one_is_reported() {
    let entry = |lines: &str| format!("[[redenominations]]\n{lines}\n");
    let complete = "venue = \"upbit\"\nmarket = \"BTC-KRW\"\nat = \"2026-03-01T00:00:00Z\"\nfactor = \"0.001\"";
    let read = config::parse("sisepan.toml", &entry(complete), &BTreeMap::new()).unwrap();
    let [one] = read.redenominations.as_slice() else { panic!("{read:?}") };
    assert_eq!(
        (one.venue.as_str(), one.market.as_str(), one.factor.to_string()),
        ("upbit", "BTC-KRW", "0.001".to_owned())
    );
    assert_eq!(one.at.start().to_string(), "2026-03-01T00:00:00Z");

    let found = problems(&entry(
        "venue = \"upbt\"\nmarket = \"BTCKRW\"\nat = \"2026-03-01T00:00:30Z\"\nfactor = \"0\"\nby = 1",
    ));
    assert_eq!(
        found,
        [
            &format!(
                r#"sisepan.toml:2: redenominations[0].venue: must be an exchange; known: {}, is "upbt""#,
                exchanges()
            ),
            r#"sisepan.toml:3: redenominations[0].market: must be a market such as BTC-KRW, is "BTCKRW""#,
            r#"sisepan.toml:4: redenominations[0].at: must be the start of a minute such as "2026-03-01T00:00:00Z", is "2026-03-01T00:00:30Z""#,
            r#"sisepan.toml:5: redenominations[0].factor: must be the factor for older prices, a positive decimal in quotes such as "0.01", or "1" for a real price move, is "0""#,
            "sisepan.toml:6: redenominations[0].by: unknown setting; known here: at, factor, market, venue",
        ]
    );
    assert_eq!(problems(&entry("")).len(), 4, "all four members are missing");
    // The factor must be a string, since a TOML float would already be rounded.
    for factor in ["1", "0.01", "\"-2\"", "\"1/3\"", "\"\""] {
        let text = complete.replace("\"0.001\"", factor);
        let found = problems(&entry(&text));
        assert!(
            matches!(found.as_slice(), [one] if one.starts_with("sisepan.toml:5: redenominations[0].factor: must be")),
            "{found:?}"
        );
    }
    let twice = problems(&format!("{}{}", entry(complete), entry(&complete.replace("0.001", "5"))));
    assert_eq!(twice, ["sisepan.toml:6: redenominations[1].at: BTC-KRW at upbit has two entries for the same minute"]);
}
