//! `kill -9` of the whole program at any moment, again and again, while tickers flow.
//!
//! `SISEPAN_KILLS` says how often (default 200), `SISEPAN_SEED` replays the
//! moments. Several instances live and die beside each other, each with its own
//! exchanges, whose request limits are on: a crash loop must keep to them too.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::Value;
use sisepan::domain::Minute;
use sisepan::fake::{Fake, log::Entry};

use super::serve::{MARKETS, Server, check_truth, look_into, now, program, set_up};
use super::setup::market;
use crate::laws::exact;

/// Instances at once.
const AT_ONCE: usize = 4;

/// A price is live for as long as the exchange's limit says, and a machine may be slow.
const LIVE_MAX: SignedDuration = SignedDuration::from_secs(18);

const DAY: SignedDuration = SignedDuration::from_hours(24);

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn in_60_the_whole_program_killed_at_any_moment_shows_nothing_false_and_keeps_what_it_knew() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let kills: usize = number("SISEPAN_KILLS").map_or(200, |kills| usize::try_from(kills).unwrap());
    let seed: u64 = number("SISEPAN_SEED").unwrap_or_else(rand::random);
    println!("seed {seed} (set SISEPAN_SEED to replay it, SISEPAN_KILLS for more than {kills})");
    let instances = (0..AT_ONCE).map(|at| {
        let share = kills / AT_ONCE + usize::from(at < kills % AT_ONCE);
        tokio::spawn(instance(share, Pcg64::seed_from_u64(seed.wrapping_add(at as u64))))
    });
    let mut seen = Seen::default();
    for instance in instances.collect::<Vec<_>>() {
        let one = instance.await.unwrap();
        seen.rows += one.rows;
        seen.live += one.live;
        seen.changes += one.changes;
        seen.requests += one.requests;
    }
    println!("{kills} kills: {seen:?}");
    // The test would be vain if hardly anything was shown.
    assert!(seen.rows >= kills * MARKETS.len() && seen.changes * 10 > seen.rows * 9 && seen.live > 0, "{seen:?}");
}

/// What was looked at.
#[derive(Debug, Default)]
struct Seen {
    rows: usize,
    live: usize,
    changes: usize,
    requests: usize,
}

async fn instance(kills: usize, mut dice: Pcg64) -> Seen {
    let (folder, fake, data) = set_up().await;
    let (mut seen, mut known) = (Seen::default(), BTreeMap::<&str, Vec<Minute>>::new());
    for life in 0..=kills {
        let server = tokio::task::block_in_place(|| Server::start(&folder, &mut program()));
        // The first and the last one live for long enough to have everything.
        let long = if life == 0 || life == kills {
            server.is_live().await;
            Duration::from_millis(2500)
        } else {
            look(&server, &fake, &mut seen, life);
            Duration::from_millis(dice.random_range(0..1200))
        };
        tokio::time::sleep(long).await;
        if dice.random_range(0..2) == 0 {
            look(&server, &fake, &mut seen, life);
        }
        tokio::task::block_in_place(|| server.kill());
        let died = now();
        let (store, restored) = tokio::task::block_in_place(|| look_into(&data));
        assert_eq!(restored.damaged, 0, "life {life}");
        for name in MARKETS {
            let feed = restored.feeds.iter().find(|feed| feed.market == market(name));
            let feed = feed.unwrap_or_else(|| panic!("life {life} of {long:?} knows nothing of {name}"));
            let knows = check_truth(&fake, name, &feed.hours);
            let oldest = Minute::of(now()).plus(-24 * 60);
            let before = known.get(name).into_iter().flatten();
            let lost: Vec<_> = before.filter(|minute| **minute > oldest && !knows.contains(minute)).collect();
            assert!(lost.is_empty() && !knows.is_empty(), "life {life} of {long:?} lost {lost:?} of {name}");
            if long >= Duration::from_millis(2500) {
                let confirmed_at = feed.last.as_ref().unwrap().confirmed_at;
                assert!(died.duration_since(confirmed_at) < SignedDuration::from_secs(60), "{name}: {confirmed_at}");
            }
            known.insert(name, knows);
        }
        store.close();
    }
    let log = fake.log();
    seen.requests = log.iter().filter(|entry| entry.kind == "request").count();
    keeps_to_the_limits(&log);
    fake.shutdown().await;
    seen
}

/// Looks at the page once: every figure on it must be the exchange's own.
fn look(server: &Server, fake: &Fake, seen: &mut Seen, life: usize) {
    let asked = now();
    let rows = tokio::task::block_in_place(|| server.rows());
    assert_eq!(rows.len(), MARKETS.len());
    for row in rows {
        is_true(fake, &row, (asked, now())).unwrap_or_else(|wrong| panic!("life {life}: {wrong}: {row}"));
        seen.rows += 1;
        seen.live += usize::from(row["state"] == "live");
        seen.changes += usize::from(row["change"].is_object());
    }
}

fn is_true(fake: &Fake, row: &Value, (asked, answered): (Timestamp, Timestamp)) -> Result<(), String> {
    let name = row["market"].as_str().ok_or("no market")?;
    let text = |value: &Value, member: &str| value[member].as_str().map(str::to_owned).ok_or(format!("no {member}"));
    let time = |value: &Value, member: &str| text(value, member)?.parse::<Timestamp>().map_err(|e| e.to_string());
    let last = text(row, "last")?;
    let (traded_at, confirmed_at) = (time(row, "traded_at")?, time(row, "confirmed_at")?);
    let traded = fake.prices_at("upbit", name, traded_at);
    if !traded.iter().any(|price| Ok(*price) == last.parse()) {
        return Err(format!("{last} was never traded at {traded_at}, but {traded:?}"));
    }
    // What was confirmed was still the last trade a moment before.
    let (newest, _) = fake.trade_before("upbit", name, confirmed_at - LIVE_MAX).ok_or("it never traded")?;
    if newest > traded_at || confirmed_at > answered {
        return Err(format!("confirmed at {confirmed_at}, though there was a trade at {newest}"));
    }
    let of_now = match row["state"].as_str() {
        Some("live" | "delayed") => true,
        Some("stale") => false,
        other => return Err(format!("it is {other:?}")),
    };
    if of_now && answered.duration_since(confirmed_at) > LIVE_MAX + answered.duration_since(asked) {
        return Err(format!("of {confirmed_at} and shown as if it were of now"));
    }
    let change = &row["change"];
    if change.is_null() {
        return Ok(());
    }
    let base_at = time(change, "base_at")?;
    // The row may have been worked out a moment before it was asked for.
    let as_of = if of_now { (asked - SignedDuration::from_secs(5), answered) } else { (confirmed_at, confirmed_at) };
    let minute = |at: Timestamp| Minute::of(at - DAY).start();
    if base_at < minute(as_of.0) || base_at > minute(as_of.1) {
        return Err(format!("a base of {base_at} for a price of {as_of:?}"));
    }
    let base = text(change, "base_price")?;
    let (_, is) = fake.trade_before("upbit", name, base_at).ok_or("it never traded")?;
    if base.parse() != Ok(is) {
        return Err(format!("the base is {base}, true is {is}"));
    }
    let fraction = |text: &str| exact::value(text).ok_or(format!("{text} is no number"));
    let percent = exact::percent(&fraction(&last)?, &fraction(&base)?, 2);
    let shown = text(change, "percent")?;
    let hundredths = fraction(&shown)? * exact::power(2);
    if hundredths != percent.clone().into() {
        return Err(format!("{shown} % is shown, {percent} hundredths are true"));
    }
    Ok(())
}

/// Upbit's documented figures, in whatever second one begins to count.
pub(super) fn keeps_to_the_limits(log: &[Entry]) {
    let refused: Vec<_> = log.iter().filter(|entry| matches!(entry.status, Some(418 | 429))).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    for (kind, part, most) in
        [("request", "/candles/", 10), ("request", "/ticker", 10), ("request", "/market/", 10), ("upgrade", "", 5)]
    {
        let of_group = log.iter().filter(|entry| entry.kind == kind && entry.text.contains(part));
        let times: Vec<Timestamp> = of_group.map(|entry| entry.at).collect();
        for (at, first) in times.iter().enumerate() {
            let inside =
                times[at..].iter().take_while(|time| time.duration_since(*first) < SignedDuration::from_secs(1));
            let count = inside.count();
            assert!(count <= most, "{count} of {kind} {part} in the second after {first}");
        }
    }
}
