//! One fault after another, of every kind that the fake exchanges know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand_pcg::Pcg64;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sisepan::fake::fault::KINDS;
use sisepan::fake::{Fake, coins};

use super::oracle::Oracle;

/// The longest that a fault lasts: most overlap the next ones, and prices grow old.
const LASTS_MAX: u64 = 45;

/// Orders faults.
pub struct Storm {
    fake: Arc<Fake>,
    oracle: Arc<Oracle>,
    dice: Pcg64,
    /// The kinds that are left of this round, so that each comes up.
    left: Vec<&'static str>,
    struck: BTreeMap<&'static str, u64>,
}

impl Storm {
    pub fn new(fake: Arc<Fake>, oracle: Arc<Oracle>, dice: Pcg64) -> Self {
        Self { fake, oracle, dice, left: Vec::new(), struck: BTreeMap::new() }
    }

    /// Orders one fault: a random kind, at a random exchange or at all, of a random market where it is about one.
    pub fn strike(&mut self) {
        if self.left.is_empty() {
            self.left = KINDS.iter().map(|(kind, ..)| *kind).collect();
        }
        let kind = self.left.swap_remove(self.dice.random_range(0..self.left.len()));
        let venue = coins::VENUES[self.dice.random_range(0..coins::VENUES.len())];
        let coin = coins::ALL[self.dice.random_range(0..15)].id;
        let quote = if venue == "binance" { "USDT" } else { "KRW" };
        let market = format!("{coin}-{quote}");
        let lasts = self.dice.random_range(2..=LASTS_MAX);
        let mut order = json!({"fault": kind, "venue": venue, "seconds": lasts});
        let about_one = self.dice.random_range(0..2) == 0;
        for (name, value) in self.recipe(kind, &market, about_one) {
            order[name] = value;
        }
        if let Some(factor) = order["factor"].as_str() {
            self.oracle.says(venue, &market, factor.parse::<Decimal>().unwrap(), Duration::from_secs(lasts));
        }
        let text = order.to_string();
        self.fake.fault(&text).unwrap_or_else(|refused| panic!("{text}: {refused}"));
        *self.struck.entry(kind).or_default() += 1;
    }

    pub fn calm(&self) {
        self.fake.fault(r#"{"fault":"none"}"#).unwrap();
    }

    pub fn summary(&self) -> String {
        let each: Vec<String> = self.struck.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
        format!("{} of {} kinds: {}", self.struck.values().sum::<u64>(), self.struck.len(), each.join(", "))
    }

    /// What a kind needs beside its name. A kind without a recipe is a mistake of ours: the storm is to know all.
    fn recipe(&mut self, kind: &str, market: &str, about_one: bool) -> Vec<(&'static str, Value)> {
        let mut pick = |values: &[Value]| values[self.dice.random_range(0..values.len())].clone();
        let one = |more: Vec<(&'static str, Value)>| {
            let mut members = vec![("symbol", json!(market))];
            members.extend(more);
            members
        };
        match kind {
            "mute" | "ack-only" | "close" | "dup" | "swap" | "gzip-in-text" | "stall-upgrade" | "stall-accept"
            | "stall-body" | "freeze-ts" => vec![],
            "rst" | "eof" => vec![("on", pick(&[json!("stream"), json!("rest")]))],
            "drop-sym" | "halt" | "delist" | "omit" => one(vec![]),
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
                if about_one { one(members) } else { members }
            }
            "spike" => one(vec![("factor", pick(&[json!("1.5"), json!("0.01"), json!("100"), json!("0.7")]))]),
            "null-field" | "set-field" => {
                let fields =
                    ["trade_price", "trade_timestamp", "c", "C", "closePrice", "lastPrice", "acc_trade_volume_24h"];
                let field = pick(&fields.map(|field| json!(field)));
                let mut members = vec![("field", field)];
                if kind == "set-field" {
                    let odd = ["null", "-1", "0", "\"x\"", "[]", "{}", "true", "\"1e400\""];
                    members.push(("payload", pick(&odd.map(|value| json!(value)))));
                }
                if about_one { one(members) } else { members }
            }
            "rows" => vec![("n", pick(&[json!(0), json!(5), json!(12)]))],
            "skew" => vec![("ms", pick(&[json!(-30_000), json!(-1_000), json!(1_000), json!(30_000)]))],
            "unit" => vec![("unit", pick(&[json!("s"), json!("us"), json!("ns")]))],
            "replay" => vec![("n", json!(50))],
            "gap" => vec![("ago", json!(1440)), ("minutes", pick(&[json!(1), json!(30), json!(1500)]))],
            "warn" => one(match self.dice.random_range(0..3) {
                0 => vec![("caution", json!("PRICE_FLUCTUATIONS"))],
                1 => vec![("date", json!("2030-12-01"))],
                _ => vec![],
            }),
            "rename" => one(vec![("to", json!("KRW-XYZ"))]),
            other => panic!("the soak has no recipe for the fault {other:?}"),
        }
    }
}
