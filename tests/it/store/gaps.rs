//! Backfill over restarts and outages: what is missing is requested once, and from where it was interrupted.

use std::collections::BTreeMap;
use std::time::Duration;

use fake_exchanges::Fake;
use jiff::SignedDuration;
use sisepan::market::{HourRecord, Minute};

use super::crash_loop::assert_within_limits;
use super::disk::until_saved;
use super::serve::{MARKETS, Server, check_truth, now, open_store, program, set_up};
use super::setup::{FLUSH_MAX, UPBIT, market};

const WAIT_MAX: Duration = Duration::from_secs(60);

/// Returns path and query of the candle requests so far.
fn candle_requests(fake: &Fake) -> Vec<String> {
    let log = fake.log().into_iter();
    log.filter(|entry| entry.kind == "request" && entry.text.contains("/candles/")).map(|entry| entry.text).collect()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, wait).await.unwrap_or_else(|_| panic!("timed out waiting for: {what}"));
}

/// Waits until no more candles are requested.
pub(super) async fn until_backfilled(fake: &Fake) {
    let mut count = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(7)).await;
        let more = candle_requests(fake).len();
        if more == count && count > 0 {
            return;
        }
        count = more;
    }
}

/// Returns how many minutes of the last day a store lacks, over all markets.
fn missing(fake: &Fake, data: &str) -> usize {
    let (store, restored) = open_store(data);
    store.close();
    let day = 24 * 60;
    let known = MARKETS.iter().map(|name| {
        let feed = restored.feeds.iter().find(|feed| feed.market == market(name));
        let knows = check_truth(fake, name, &feed.map(|feed| feed.hours.clone()).unwrap_or_default());
        knows.iter().filter(|minute| **minute >= Minute::of(now()).plus(-day)).count()
    });
    usize::try_from(day).unwrap() * MARKETS.len() - known.sum::<usize>()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_backfill_that_was_killed_resumes_where_it_stopped() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    until("half of it", || candle_requests(&fake).len() >= 12).await;
    until_saved(&server, now()).await;
    server.kill();
    let (first, left) = (candle_requests(&fake), missing(&fake, &data));
    assert!(left > 60, "nothing was left to do");
    let server = Server::start(&folder, &mut program());
    until_backfilled(&fake).await;
    assert!(server.terminate().success());
    let rest = candle_requests(&fake)[first.len()..].to_vec();
    let pages = left.div_ceil(200) + 2 * MARKETS.len();
    assert!(rest.len() <= pages, "{left} minutes were missing, and {} pages requested: {rest:#?}", rest.len());
    let missing = missing(&fake, &data);
    assert!(missing < 15 * MARKETS.len(), "{missing} minutes are missing");
    assert_within_limits(&fake.log());
    fake.shutdown().await;
}

/// The store has a gap, as an outage leaves it, and the exchange is still down when the program starts.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn the_gap_of_an_outage_is_filled_once_the_exchange_is_back() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    until_backfilled(&fake).await;
    assert!(server.terminate().success());
    let missing_before = missing(&fake, &data);
    let gap = Minute::of(now()).plus(-300)..Minute::of(now()).plus(-230);
    {
        let (store, restored) = open_store(&data);
        let feeds = restored.feeds.into_iter().map(|mut feed| {
            feed.hours.iter_mut().for_each(|hour| remove_minutes(hour, gap.start, gap.end));
            // Otherwise it would be merged with the stored hours.
            feed.reset = true;
            feed
        });
        store.save(feeds.collect());
        assert!(store.flush(FLUSH_MAX));
        store.close();
    }
    assert_eq!(missing(&fake, &data), missing_before + 70 * MARKETS.len());

    fake.inject_fault(r#"{"fault":"status","status":503}"#).unwrap();
    fake.inject_fault(r#"{"fault":"status","status":503,"on":"stream"}"#).unwrap();
    let before = candle_requests(&fake).len();
    let server = Server::start(&folder, &mut program());
    server.until("/api/v1/venues", |answer| answer["venues"][0]["state"] == "down").await;
    fake.inject_fault(r#"{"fault":"none"}"#).unwrap();
    // One page for each market fills it; the minutes of the restart itself are not due yet.
    let mut successes = BTreeMap::new();
    until("a page for each market", || {
        for entry in
            fake.log().into_iter().filter(|entry| entry.status == Some(200) && entry.text.contains("/candles/"))
        {
            successes.insert(entry.text, ());
        }
        candle_requests(&fake).len() > before
            && MARKETS.iter().all(|name| {
                let symbol = format!("KRW-{}", name.split('-').next().unwrap());
                successes.keys().filter(|text| text.contains(&symbol)).count() > 8
            })
    })
    .await;
    until_saved(&server, now()).await;
    assert!(server.terminate().success());
    let left = missing(&fake, &data);
    assert!(left < missing_before + 10 * MARKETS.len(), "{left} minutes are missing, {missing_before} were before");
    fake.shutdown().await;
}

/// Removes the minutes `from..to` from an hour.
fn remove_minutes(hour: &mut HourRecord, from: Minute, to: Minute) {
    hour.closes.retain(|(minute, ..)| *minute < from || *minute >= to);
    for minute in (from.0..to.0).map(Minute).filter(|minute| HourRecord::hour_of(*minute) == hour.hour) {
        hour.covered &= !(1 << (minute.0 - hour.hour.0));
        hour.settled &= !(1 << (minute.0 - hour.hour.0));
    }
    if hour.hour > from && hour.hour <= to {
        hour.close_before = None;
    }
}

/// The oldest pages of the file are damaged, which shows only when they are pruned. The exchange serves no candles.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn in_60_a_file_found_damaged_while_running_is_replaced_by_a_new_one_with_the_whole_window() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    until_backfilled(&fake).await;
    assert!(server.terminate().success());
    let before = missing(&fake, &data);
    let marker = b"7777777.25";
    {
        let (store, restored) = open_store(&data);
        let feed = restored.feeds[0].clone();
        let old = HourRecord::hour_of(Minute::of(now() - SignedDuration::from_hours(12 * 24)));
        for n in 0..40 {
            // The newest of them stay intact: a search for current rows may read the leaf page before them.
            let price = if n < 25 { std::str::from_utf8(marker).unwrap() } else { "5" }.parse().unwrap();
            let hour = old.plus(60 * n);
            let closes = (0..60).map(|at| (hour.plus(at), hour.plus(at).start(), price)).collect();
            let record = HourRecord { hour, closes, covered: (1 << 60) - 1, settled: 0, close_before: None };
            let market = market("OLD-KRW");
            store.save(vec![sisepan::feed::FeedRecords { market, last: None, hours: vec![record], ..feed.clone() }]);
            assert!(store.flush(FLUSH_MAX));
        }
        store.close();
    }
    let file = folder.0.join("data/sisepan.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let mut spoiled = 0;
    // Only leaf pages without other rows: the pages above them lead to current rows too.
    let has = |page: &[u8], what: &[u8]| page.windows(what.len()).any(|bytes| bytes == what);
    let is_old = |page: &&mut [u8]| {
        page[0] == 0x0a && has(page, marker) && !MARKETS.iter().any(|name| has(page, format!("upbit{name}").as_bytes()))
    };
    for page in bytes.chunks_mut(8192).skip(1).filter(is_old) {
        page[..16].fill(0xee);
        spoiled += 1;
    }
    assert!(spoiled > 2, "{spoiled} pages");
    std::fs::write(&file, bytes).unwrap();

    fake.inject_fault(r#"{"fault":"status","status":503,"path":"/candles/"}"#).unwrap();
    let server = Server::start(&folder, &mut program());
    let names = || std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    until("moved aside", || names().any(|name| name.starts_with("sisepan.db.damaged-"))).await;
    server.until("/readyz", |answer| answer["store"]["persisting"] == true).await;
    server.until_live().await;
    until_saved(&server, now()).await;
    server.kill();
    let (store, restored) = open_store(&data);
    let feeds = restored.feeds.iter().filter(|feed| feed.venue == UPBIT && feed.last.is_some()).count();
    store.close();
    assert_eq!((feeds, restored.damaged), (MARKETS.len(), 0));
    let left = missing(&fake, &data);
    assert!(left <= before + 5 * MARKETS.len(), "{left} minutes are missing, {before} were before");
    fake.shutdown().await;
}
