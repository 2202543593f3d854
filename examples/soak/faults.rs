//! Injects one fault after another, of every kind that the fake exchanges support.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fake_exchanges::fault::KINDS;
use fake_exchanges::{Fake, assets, venues};
use rand::RngExt as _;
use rand_pcg::Pcg64;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::oracle::Oracle;

/// Longest duration of a fault in seconds: long enough that faults overlap and prices become stale.
const DURATION_MAX: u64 = 45;

/// Injects random faults.
pub struct FaultInjector {
    fake: Arc<Fake>,
    oracle: Arc<Oracle>,
    rng: Pcg64,
    /// Kinds not yet used in this round, so that each kind is used.
    remaining: Vec<&'static str>,
    injected: BTreeMap<&'static str, u64>,
}

impl FaultInjector {
    pub fn new(fake: Arc<Fake>, oracle: Arc<Oracle>, rng: Pcg64) -> Self {
        Self { fake, oracle, rng, remaining: Vec::new(), injected: BTreeMap::new() }
    }

    /// Injects one fault of a random kind at a random exchange, for a random market if the kind affects one.
    pub fn inject(&mut self) {
        if self.remaining.is_empty() {
            self.remaining = KINDS.iter().map(|(kind, ..)| *kind).collect();
        }
        let kind = self.remaining.swap_remove(self.rng.random_range(0..self.remaining.len()));
        let venues: Vec<&str> = venues::ids().collect();
        let venue = venues[self.rng.random_range(0..venues.len())];
        let coin = assets::ALL[self.rng.random_range(0..15)].id;
        let quote = if venue == "binance" { "USDT" } else { "KRW" };
        let market = format!("{coin}-{quote}");
        let seconds = self.rng.random_range(2..=DURATION_MAX);
        let mut fault = json!({"fault": kind, "venue": venue, "seconds": seconds});
        let affects_one_market = self.rng.random_range(0..2) == 0;
        for (name, value) in self.parameters(kind, &market, affects_one_market) {
            fault[name] = value;
        }
        if let Some(factor) = fault["factor"].as_str() {
            self.oracle.expect_factor(venue, &market, factor.parse::<Decimal>().unwrap(), Duration::from_secs(seconds));
        }
        let text = fault.to_string();
        self.fake.inject_fault(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        *self.injected.entry(kind).or_default() += 1;
    }

    pub fn clear(&self) {
        self.fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    }

    pub fn summary(&self) -> String {
        let each: Vec<String> = self.injected.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
        format!("{} of {} kinds: {}", self.injected.values().sum::<u64>(), self.injected.len(), each.join(", "))
    }

    /// Returns the further parameters of a kind. Panics for an unknown kind, since the soak must cover all.
    fn parameters(&mut self, kind: &str, market: &str, affects_one_market: bool) -> Vec<(&'static str, Value)> {
        let mut pick = |values: &[Value]| values[self.rng.random_range(0..values.len())].clone();
        let for_market = |more: Vec<(&'static str, Value)>| {
            let mut members = vec![("symbol", json!(market))];
            members.extend(more);
            members
        };
        match kind {
            "mute" | "ack-only" | "close" | "dup" | "swap" | "gzip-in-text" | "stall-upgrade" | "stall-accept"
            | "stall-body" | "freeze-ts" => vec![],
            "rst" | "eof" => vec![("on", pick(&[json!("stream"), json!("rest")]))],
            "drop-sym" | "halt" | "delist" | "omit" => for_market(vec![]),
            "raw" => vec![
                (
                    "payload",
                    pick(&[
                        json!("{\"type\":\"ticker\",\"code\":\"KRW-BTC\",\"trade_price\":-1}"),
                        json!("{"),
                        json!("[]"),
                    ]),
                ),
                ("text", json!(true)),
            ],
            "status" | "html" => {
                let status = pick(&[json!(503), json!(500), json!(404), json!(200)]);
                let on = pick(&[json!("stream"), json!("rest"), json!("rest")]);
                let members = vec![("status", status), ("on", on)];
                if affects_one_market { for_market(members) } else { members }
            }
            "spike" => for_market(vec![("factor", pick(&[json!("1.5"), json!("0.01"), json!("100"), json!("0.7")]))]),
            "null-field" | "set-field" => {
                let fields =
                    ["trade_price", "trade_timestamp", "c", "C", "closePrice", "lastPrice", "acc_trade_volume_24h"];
                let field = pick(&fields.map(|field| json!(field)));
                let mut members = vec![("field", field)];
                if kind == "set-field" {
                    let odd = ["null", "-1", "0", "\"x\"", "[]", "{}", "true", "\"1e400\""];
                    members.push(("payload", pick(&odd.map(|value| json!(value)))));
                }
                if affects_one_market { for_market(members) } else { members }
            }
            "rows" => vec![("n", pick(&[json!(0), json!(5), json!(12)]))],
            "skew" => vec![("ms", pick(&[json!(-30_000), json!(-1_000), json!(1_000), json!(30_000)]))],
            "unit" => vec![("unit", pick(&[json!("s"), json!("us"), json!("ns")]))],
            "replay" => vec![("n", json!(50))],
            "gap" => vec![("ago", json!(1440)), ("minutes", pick(&[json!(1), json!(30), json!(1500)]))],
            "warn" => for_market(match self.rng.random_range(0..3) {
                0 => vec![("caution", json!("PRICE_FLUCTUATIONS"))],
                1 => vec![("date", json!("2030-12-01"))],
                _ => vec![],
            }),
            "rename" => for_market(vec![("to", json!("KRW-XYZ"))]),
            other => panic!("the soak has no parameters for the fault {other:?}"),
        }
    }
}
