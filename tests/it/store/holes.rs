//! What is missing is asked for when it can be had, once, and from where it was left off.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use sisepan::domain::{HourRecord, Minute};
use sisepan::fake::Fake;

use super::disk::until_saved;
use super::lives::keeps_to_the_limits;
use super::serve::{MARKETS, Server, check_truth, look_into, now, program, set_up};
use super::setup::{LONG, UPBIT, market};

const PATIENCE: Duration = Duration::from_secs(60);

/// Path and query of the requests for candles so far.
fn asked(fake: &Fake) -> Vec<String> {
    let log = fake.log().into_iter();
    log.filter(|entry| entry.kind == "request" && entry.text.contains("/candles/")).map(|entry| entry.text).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Waits until no further candles are asked for.
pub(super) async fn until_whole(fake: &Fake) {
    let mut count = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(7)).await;
        let more = asked(fake).len();
        if more == count && count > 0 {
            return;
        }
        count = more;
    }
}

/// The minutes of the last day that a store does not know, of all markets.
fn missing(fake: &Fake, data: &str) -> usize {
    let (store, restored) = look_into(data);
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
async fn a_backfill_that_was_killed_goes_on_where_it_stopped() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    until("half of it", || asked(&fake).len() >= 12).await;
    until_saved(&server, now()).await;
    server.kill();
    let (first, left) = (asked(&fake), missing(&fake, &data));
    assert!(left > 60, "nothing was left to do");
    let server = Server::start(&folder, &mut program());
    until_whole(&fake).await;
    assert!(server.terminate().success());
    let rest = asked(&fake)[first.len()..].to_vec();
    let pages = left.div_ceil(200) + 2 * MARKETS.len();
    assert!(rest.len() <= pages, "{left} minutes were missing, and {} pages asked for: {rest:#?}", rest.len());
    let missing = missing(&fake, &data);
    assert!(missing < 15 * MARKETS.len(), "{missing} minutes are missing");
    keeps_to_the_limits(&fake.log());
    fake.shutdown().await;
}

/// The store has a hole, as an outage leaves it, and the exchange is still away when the program starts.
#[tokio::test(flavor = "multi_thread")]
async fn the_hole_of_an_outage_is_filled_when_the_exchange_is_back() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    until_whole(&fake).await;
    assert!(server.terminate().success());
    let whole = missing(&fake, &data);
    let hole = Minute::of(now()).plus(-300)..Minute::of(now()).plus(-230);
    {
        let (store, restored) = look_into(&data);
        let holed = restored.feeds.into_iter().map(|mut feed| {
            feed.hours.iter_mut().for_each(|hour| cut(hour, hole.start, hole.end));
            // Else it would be joined with what is there.
            feed.anew = true;
            feed
        });
        store.keep(holed.collect());
        assert!(store.flush(LONG));
        store.close();
    }
    assert_eq!(missing(&fake, &data), whole + 70 * MARKETS.len());

    fake.fault(r#"{"fault":"status","status":503}"#).unwrap();
    fake.fault(r#"{"fault":"status","status":503,"on":"stream"}"#).unwrap();
    let before = asked(&fake).len();
    let server = Server::start(&folder, &mut program());
    server.until("/api/v1/venues", |answer| answer["venues"][0]["state"] == "down").await;
    fake.fault(r#"{"fault":"none"}"#).unwrap();
    // One page for each market fills it; the minutes of the restart itself are not due yet.
    let mut successes = BTreeMap::new();
    until("a page for each market", || {
        for entry in
            fake.log().into_iter().filter(|entry| entry.status == Some(200) && entry.text.contains("/candles/"))
        {
            successes.insert(entry.text, ());
        }
        asked(&fake).len() > before
            && MARKETS.iter().all(|name| {
                let symbol = format!("KRW-{}", name.split('-').next().unwrap());
                successes.keys().filter(|text| text.contains(&symbol)).count() > 8
            })
    })
    .await;
    until_saved(&server, now()).await;
    assert!(server.terminate().success());
    let left = missing(&fake, &data);
    assert!(left < whole + 10 * MARKETS.len(), "{left} minutes are missing, {whole} were before");
    fake.shutdown().await;
}

/// Takes what an hour knows of the minutes `from..to`.
fn cut(hour: &mut HourRecord, from: Minute, to: Minute) {
    hour.closes.retain(|(minute, ..)| *minute < from || *minute >= to);
    for minute in (from.0..to.0).map(Minute).filter(|minute| HourRecord::of(*minute) == hour.hour) {
        hour.covered &= !(1 << (minute.0 - hour.hour.0));
        hour.settled &= !(1 << (minute.0 - hour.hour.0));
    }
    if hour.hour > from && hour.hour <= to {
        hour.before = None;
    }
}

/// The oldest pages of the file are damaged, which shows only when they are to be pruned. The exchange can't help.
#[tokio::test(flavor = "multi_thread")]
async fn in_60_a_file_found_damaged_while_running_is_left_for_a_new_one_with_the_whole_window() {
    let (folder, fake, data) = set_up().await;
    let server = Server::start(&folder, &mut program());
    until_whole(&fake).await;
    assert!(server.terminate().success());
    let before = missing(&fake, &data);
    let marker = b"7777777.25";
    {
        let (store, restored) = look_into(&data);
        let feed = restored.feeds[0].clone();
        let old = HourRecord::of(Minute::of(now() - SignedDuration::from_hours(12 * 24)));
        for n in 0..40 {
            // The newest of them stay whole: a search for the present may pass by the leaf before it.
            let price = if n < 25 { std::str::from_utf8(marker).unwrap() } else { "5" }.parse().unwrap();
            let hour = old.plus(60 * n);
            let closes = (0..60).map(|at| (hour.plus(at), hour.plus(at).start(), price)).collect();
            let record = HourRecord { hour, closes, covered: (1 << 60) - 1, settled: 0, before: None };
            let market = market("OLD-KRW");
            store.keep(vec![sisepan::domain::FeedRecords { market, last: None, hours: vec![record], ..feed.clone() }]);
            assert!(store.flush(LONG));
        }
        store.close();
    }
    let file = folder.0.join("data/sisepan.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let mut spoiled = 0;
    // Leaves of nothing else: what is above them leads to the present too.
    let has = |page: &[u8], what: &[u8]| page.windows(what.len()).any(|some| some == what);
    let is_old = |page: &&mut [u8]| {
        page[0] == 0x0a && has(page, marker) && !MARKETS.iter().any(|name| has(page, format!("upbit{name}").as_bytes()))
    };
    for page in bytes.chunks_mut(8192).skip(1).filter(is_old) {
        page[..16].fill(0xee);
        spoiled += 1;
    }
    assert!(spoiled > 2, "{spoiled} pages");
    std::fs::write(&file, bytes).unwrap();

    fake.fault(r#"{"fault":"status","status":503,"path":"/candles/"}"#).unwrap();
    let server = Server::start(&folder, &mut program());
    let names = || std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    until("moved aside", || names().any(|name| name.starts_with("sisepan.db.damaged-"))).await;
    server.until("/readyz", |answer| answer["store"]["persisting"] == true).await;
    server.is_live().await;
    until_saved(&server, now()).await;
    server.kill();
    let (store, restored) = look_into(&data);
    let feeds = restored.feeds.iter().filter(|feed| feed.venue == UPBIT && feed.last.is_some()).count();
    store.close();
    assert_eq!((feeds, restored.damaged), (MARKETS.len(), 0));
    let left = missing(&fake, &data);
    assert!(left <= before + 5 * MARKETS.len(), "{left} minutes are missing, {before} were before");
    fake.shutdown().await;
}
