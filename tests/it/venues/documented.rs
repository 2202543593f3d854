//! `docs/exchanges.md`: its table is that of the profiles.

use std::time::Duration;

use sisepan::api::Lang;
use sisepan::locale;
use sisepan::venue::{self, Endpoint, Keepalive, Profile, Rate, Venue};

const DOCUMENT: &str = "docs/exchanges.md";

#[test]
fn the_documented_exchanges_are_those_of_the_program() {
    let rows: Vec<String> = venue::ALL.iter().map(|venue| row(*venue)).collect();
    let document = std::fs::read_to_string(format!("{}/{DOCUMENT}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let found: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(found, rows, "the rows of {DOCUMENT} should be:\n{}", rows.join("\n"));
}

fn row(venue: &dyn Venue) -> String {
    let Profile { id, markets_per_connection, limits, keepalive, candles_per_request, .. } = venue.profile();
    let stream = match venue.endpoint() {
        Endpoint::Fixed => "fixed".to_owned(),
        Endpoint::Negotiated { request, .. } => format!("given out by `{}`", request.path),
    };
    let keepalive = match keepalive {
        Keepalive::Ping(every) => format!("we ping every {}", time(*every)),
        Keepalive::Text(text, every) => format!("we send `{text}` every {}", time(*every)),
        Keepalive::ServerPings(_) => "the exchange pings".to_owned(),
    };
    let limits: Vec<String> = limits.iter().map(|limit| format!("`{}` {}", limit.group, rates(limit.rates))).collect();
    format!(
        "| `{id}` | {} | {stream} | {markets_per_connection} | {keepalive} | {} | {candles_per_request} |",
        locale::venue(*id, Lang::En),
        limits.join(", "),
    )
}

fn rates(rates: &[Rate]) -> String {
    let rate = |rate: &Rate| match rate.window.as_secs() {
        1 => format!("{} a second", rate.units),
        60 => format!("{} a minute", rate.units),
        seconds => format!("{} in {seconds} s", rate.units),
    };
    rates.iter().map(rate).collect::<Vec<_>>().join(" and ")
}

fn time(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}
