//! `kill -9` of the whole program at any moment, many times, while tickers flow.
//!
//! `KILLS` sets the number of kills (default 200), `SEED` replays their moments. Several instances
//! run at the same time, each with its own fake exchanges, which enforce their request limits: a crash loop must
//! respect them too.

use std::collections::BTreeMap;
use std::time::Duration;

use fake_exchanges::{Fake, client_log::LogEntry};
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::Value;
use sisepan::market::Minute;

use super::serve::{MARKETS, Server, check_truth, now, open_store, program, set_up};
use super::setup::market;
use crate::from_env;
use crate::laws::exact;

/// Number of instances that run at the same time.
const AT_ONCE: usize = 4;

/// Longest time that a price stays live: the exchange's limit, and some seconds for a slow machine.
const LIVE_MAX: SignedDuration = SignedDuration::from_secs(18);

const DAY: SignedDuration = SignedDuration::from_hours(24);

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
#[ignore = "slow"]
async fn in_60_the_program_killed_at_any_moment_shows_nothing_wrong_and_keeps_what_it_knew() {
    let kills = from_env::number("KILLS", 200);
    let seed = from_env::seed();
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
    // The test would prove nothing if hardly anything was shown.
    assert!(seen.rows >= kills * MARKETS.len() && seen.changes * 10 > seen.rows * 9 && seen.live > 0, "{seen:?}");
}

/// Counts of what was checked.
#[derive(Debug, Default)]
struct Seen {
    rows: usize,
    live: usize,
    changes: usize,
    requests: usize,
}

async fn instance(kills: usize, mut rng: Pcg64) -> Seen {
    let (folder, fake, data) = set_up().await;
    let (mut seen, mut known) = (Seen::default(), BTreeMap::<&str, Vec<Minute>>::new());
    for run in 0..=kills {
        let server = tokio::task::block_in_place(|| Server::start(&folder, &mut program()));
        // The first and the last run are long enough to have everything.
        let lifetime = if run == 0 || run == kills {
            server.until_live().await;
            Duration::from_millis(2500)
        } else {
            check_snapshot(&server, &fake, &mut seen, run);
            Duration::from_millis(rng.random_range(0..1200))
        };
        tokio::time::sleep(lifetime).await;
        if rng.random_range(0..2) == 0 {
            check_snapshot(&server, &fake, &mut seen, run);
        }
        tokio::task::block_in_place(|| server.kill());
        let died = now();
        let (store, restored) = tokio::task::block_in_place(|| open_store(&data));
        assert_eq!(restored.damaged, 0, "run {run}");
        for name in MARKETS {
            let feed = restored.feeds.iter().find(|feed| feed.market == market(name));
            let feed = feed.unwrap_or_else(|| panic!("run {run} of {lifetime:?} knows nothing of {name}"));
            let knows = check_truth(&fake, name, &feed.hours);
            let oldest = Minute::of(now()).plus(-24 * 60);
            let before = known.get(name).into_iter().flatten();
            let lost: Vec<_> = before.filter(|minute| **minute > oldest && !knows.contains(minute)).collect();
            assert!(lost.is_empty() && !knows.is_empty(), "run {run} of {lifetime:?} lost {lost:?} of {name}");
            if lifetime >= Duration::from_millis(2500) {
                let confirmed_at = feed.last.as_ref().unwrap().confirmed_at;
                assert!(died.duration_since(confirmed_at) < SignedDuration::from_secs(60), "{name}: {confirmed_at}");
            }
            known.insert(name, knows);
        }
        store.close();
    }
    let log = fake.log();
    seen.requests = log.iter().filter(|entry| entry.kind == "request").count();
    assert_within_limits(&log);
    fake.shutdown().await;
    seen
}

/// Reads the snapshot once and checks that every figure is the exchange's own.
fn check_snapshot(server: &Server, fake: &Fake, seen: &mut Seen, run: usize) {
    let requested = now();
    let rows = tokio::task::block_in_place(|| server.rows());
    assert_eq!(rows.len(), MARKETS.len());
    for row in rows {
        check_row(fake, &row, (requested, now())).unwrap_or_else(|wrong| panic!("run {run}: {wrong}: {row}"));
        seen.rows += 1;
        seen.live += usize::from(row["state"] == "live");
        seen.changes += usize::from(row["change"].is_object());
    }
}

/// Checks a row that was requested and answered at these times; the error says what is wrong.
fn check_row(fake: &Fake, row: &Value, (requested, answered): (Timestamp, Timestamp)) -> Result<(), String> {
    let name = row["market"].as_str().ok_or("no market")?;
    let text = |value: &Value, member: &str| value[member].as_str().map(str::to_owned).ok_or(format!("no {member}"));
    let time = |value: &Value, member: &str| text(value, member)?.parse::<Timestamp>().map_err(|e| e.to_string());
    let last = text(row, "last")?;
    let (traded_at, confirmed_at) = (time(row, "traded_at")?, time(row, "confirmed_at")?);
    let traded = fake.prices_at("upbit", name, traded_at);
    if !traded.iter().any(|price| Ok(*price) == last.parse()) {
        return Err(format!("{last} was not traded at {traded_at}, but {traded:?}"));
    }
    // A confirmed price was still the last trade shortly before.
    let (newest, _) = fake.trade_before("upbit", name, confirmed_at - LIVE_MAX).ok_or("it never traded")?;
    if newest > traded_at || confirmed_at > answered {
        return Err(format!("confirmed at {confirmed_at}, though there was a trade at {newest}"));
    }
    let is_current = match row["state"].as_str() {
        Some("live" | "delayed") => true,
        Some("stale") => false,
        other => return Err(format!("it is {other:?}")),
    };
    if is_current && answered.duration_since(confirmed_at) > LIVE_MAX + answered.duration_since(requested) {
        return Err(format!("confirmed at {confirmed_at}, and shown as current"));
    }
    let change = &row["change"];
    if change.is_null() {
        return Ok(());
    }
    let base_at = time(change, "base_at")?;
    // The row may have been computed shortly before the request.
    let as_of =
        if is_current { (requested - SignedDuration::from_secs(5), answered) } else { (confirmed_at, confirmed_at) };
    let minute = |at: Timestamp| Minute::of(at - DAY).start();
    if base_at < minute(as_of.0) || base_at > minute(as_of.1) {
        return Err(format!("a base of {base_at} for a price of {as_of:?}"));
    }
    let base = text(change, "base_price")?;
    let (_, expected) = fake.trade_before("upbit", name, base_at).ok_or("it never traded")?;
    if base.parse() != Ok(expected) {
        return Err(format!("the base is {base}, true is {expected}"));
    }
    let fraction = |text: &str| exact::parse_fraction(text).ok_or(format!("{text} is no number"));
    let percent = exact::percent(&fraction(&last)?, &fraction(&base)?, 2);
    let shown = text(change, "percent")?;
    let hundredths = fraction(&shown)? * exact::power_of_ten(2);
    if hundredths != percent.clone().into() {
        return Err(format!("{shown} % is shown, {percent} hundredths are true"));
    }
    Ok(())
}

/// Asserts that no request was refused, and that Upbit's documented limits hold in every second.
pub(super) fn assert_within_limits(log: &[LogEntry]) {
    let refused: Vec<_> = log.iter().filter(|entry| entry.kind == "refused").collect();
    assert!(refused.is_empty(), "{refused:#?}");
    for (kind, part, max) in
        [("request", "/candles/", 10), ("request", "/ticker", 10), ("request", "/market/", 10), ("upgrade", "", 5)]
    {
        let of_group = log.iter().filter(|entry| entry.kind == kind && entry.text.contains(part));
        let times: Vec<Timestamp> = of_group.map(|entry| entry.at).collect();
        for (at, first) in times.iter().enumerate() {
            let inside =
                times[at..].iter().take_while(|time| time.duration_since(*first) < SignedDuration::from_secs(1));
            let count = inside.count();
            assert!(count <= max, "{count} of {kind} {part} in the second after {first}");
        }
    }
}
