//! Saved records are there after reopening, and records beyond the retention are not.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::clock::Clock;
use sisepan::feed::{FeedRecords, LastRecord, ListingRecord, Transport};
use sisepan::market::{HourRecord, MINUTES_PER_HOUR, Market, Minute, Price, VenueId};
use sisepan::store::{Store, StoreSettings};

use super::setup::{
    self, FIRST, FLUSH_MAX, Folder, UPBIT, VENUES, all_hours, market, markets, true_hour, true_records,
};

const HOURS: i64 = 20;

fn price() -> impl Strategy<Value = Price> {
    (1i128..=(1 << 95), 0u32..=28)
        .prop_map(|(mantissa, scale)| Price::new(Decimal::from_i128_with_scale(mantissa, scale)).unwrap())
}

fn amount() -> impl Strategy<Value = Option<Decimal>> {
    proptest::option::of((0i128..=(1 << 95), 0u32..=28).prop_map(|(m, scale)| Decimal::from_i128_with_scale(m, scale)))
}

fn time() -> impl Strategy<Value = Timestamp> {
    (1_230_940_800i64..4_000_000_000, 0i32..1_000_000_000).prop_map(|(s, n)| Timestamp::new(s, n).unwrap())
}

fn hour() -> impl Strategy<Value = HourRecord> {
    let close = (0i64..MINUTES_PER_HOUR, 0i64..60_000_000_000, price());
    let before = proptest::option::of((1i64..2000, price()));
    let closes = proptest::collection::vec(close, 0..60);
    (0i64..HOURS, closes, any::<u64>(), any::<u64>(), before).prop_map(|(hour, closes, covered, settled, before)| {
        let hour = FIRST.plus(hour * MINUTES_PER_HOUR);
        let covered = covered & ((1 << MINUTES_PER_HOUR) - 1);
        let settled = settled & covered;
        let closes: BTreeMap<i64, _> =
            closes.into_iter().map(|(minute, nanos, price)| (minute, (nanos, price))).collect();
        let closes = closes.into_iter().filter(|(minute, _)| covered >> minute & 1 == 1);
        let close = |(minute, (nanos, price))| {
            let minute = hour.plus(minute);
            (minute, minute.start() + SignedDuration::from_nanos(nanos), price)
        };
        let before = before.map(|(ago, price)| (hour.plus(-ago), price));
        HourRecord { hour, closes: closes.map(close).collect(), covered, settled, close_before: before }
    })
}

fn last() -> impl Strategy<Value = LastRecord> {
    let first = (price(), proptest::option::of(time()), proptest::option::of(any::<u64>()), time(), time(), 0u32..=28);
    let second = (
        proptest::option::of(price()),
        proptest::option::of(price()),
        amount(),
        amount(),
        proptest::option::of(time()),
    );
    (first, second).prop_map(|((last, venue_time, trade_id, received_at, confirmed_at, sent_places), rest)| {
        let (high_24h, low_24h, base_volume_24h, quote_volume_24h, confirmed_venue_time) = rest;
        LastRecord {
            last,
            venue_time,
            trade_id,
            received_at,
            confirmed_at,
            confirmed_venue_time,
            sent_places,
            high_24h,
            low_24h,
            base_volume_24h,
            quote_volume_24h,
        }
    })
}

fn listing() -> impl Strategy<Value = ListingRecord> {
    let maybe = || proptest::option::of(time());
    let times = (maybe(), maybe(), maybe());
    times.prop_map(|(since, gone_since, halted_since)| ListingRecord { since, gone_since, halted_since })
}

fn records() -> impl Strategy<Value = FeedRecords> {
    let name = prop_oneof![Just("BTC-KRW"), Just("币安人生-USDT"), Just("A'B\"%-KRW"), Just("1000SATS-USDT")];
    let hours = proptest::collection::vec(hour(), 0..6);
    let rows = (proptest::option::of(last()), proptest::option::of(listing()));
    let parts = (0usize..2, name, rows, hours, proptest::bool::weighted(0.1));
    parts.prop_map(|(venue, name, (last, listing), hours, reset)| {
        let hours = hours.into_iter().map(|record| (record.hour, record)).collect::<BTreeMap<_, _>>();
        let (venue, market, hours) = (VENUES[venue], market(name), hours.into_values().collect());
        FeedRecords { venue, market, last, listing, hours, reset }
    })
}

/// What the store should hold for one market of a venue.
#[derive(Debug, Clone, Default, PartialEq)]
struct ExpectedFeed {
    last: Option<LastRecord>,
    listing: Option<ListingRecord>,
    hours: BTreeMap<Minute, HourRecord>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// The newest record of each key, with hours merged, whether it was queued, written, or read after a restart.
    #[test]
    fn any_records_are_the_same_after_reopening(
        steps in proptest::collection::vec((records(), 0u8..4), 1..25)
    ) {
        let folder = Folder::new();
        let now = FIRST.plus(HOURS * MINUTES_PER_HOUR);
        let mut model: BTreeMap<(VenueId, Market), ExpectedFeed> = BTreeMap::new();
        let mut store = setup::open(&folder.0, now).0;
        for (records, action) in steps {
            let expected = model.entry((records.venue, records.market.clone())).or_default();
            if records.reset {
                // A reset drops the prices of the former listing, but not what is known of the listing itself.
                *expected = ExpectedFeed { listing: expected.listing, ..ExpectedFeed::default() };
            }
            expected.listing = records.listing.map(|new| new.merged(expected.listing)).or(expected.listing);
            expected.last = records.last.clone().or(expected.last.take());
            for record in records.hours.clone() {
                let record = match expected.hours.get(&record.hour) {
                    Some(known) => record.merged(known),
                    None => record,
                };
                expected.hours.insert(record.hour, record);
            }
            store.save(vec![records]);
            match action {
                0 => prop_assert!(store.flush(FLUSH_MAX)),
                1 => {
                    store.close();
                    store = setup::open(&folder.0, now).0;
                }
                _ => {}
            }
        }
        store.close();
        model.retain(|_, expected| *expected != ExpectedFeed::default());

        let (store, restored) = setup::open(&folder.0, now);
        prop_assert_eq!(restored.damaged, 0);
        let found: BTreeMap<_, _> = restored.feeds.into_iter().map(|feed| {
            prop_assert!(!feed.reset);
            let hours = feed.hours.into_iter().map(|record| (record.hour, record)).collect();
            Ok(((feed.venue, feed.market), ExpectedFeed { last: feed.last, listing: feed.listing, hours }))
        }).collect::<Result<_, _>>()?;
        prop_assert_eq!(&found, &model);
        for ((venue, market), expected) in &model {
            let hours: Vec<_> = expected.hours.values().cloned().collect();
            prop_assert_eq!(&all_hours(&store, *venue, market), &hours);
            let (from, to) = (FIRST.plus(90), FIRST.plus(301));
            let partial = store.history().hours(*venue, market, from..to).unwrap();
            let overlap = |record: &&HourRecord| record.hour.plus(MINUTES_PER_HOUR) > from && record.hour < to;
            prop_assert_eq!(partial, hours.iter().filter(overlap).cloned().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_ban_is_kept_until_it_is_over_or_lifted() {
    let folder = Folder::new();
    let (end, later) = (FIRST.plus(30).start(), FIRST.plus(29).start() + SignedDuration::from_secs(7));
    let store = setup::open(&folder.0, FIRST).0;
    store.save_ban(VENUES[0], Transport::Rest, Some(end));
    store.save_ban(VENUES[0], Transport::Stream, Some(later));
    store.save_ban(VENUES[1], Transport::Rest, Some(end));
    store.save_ban(VENUES[1], Transport::Rest, None);
    store.close();
    let (store, restored) = setup::open(&folder.0, FIRST.plus(29));
    assert_eq!(restored.bans, [((VENUES[0], Transport::Rest), end), ((VENUES[0], Transport::Stream), later)].into());
    store.close();
    assert_eq!(setup::open(&folder.0, FIRST.plus(30)).1.bans, BTreeMap::new());
}

#[test]
fn an_expired_ban_is_deleted_although_no_hour_is_stored() {
    let folder = Folder::new();
    for (venue, now, end) in [(VENUES[0], 0, 30), (VENUES[1], 31, 60)] {
        let store = setup::open(&folder.0, FIRST.plus(now)).0;
        store.save_ban(venue, Transport::Rest, Some(FIRST.plus(end).start()));
        store.close();
    }
    let file = rusqlite::Connection::open(folder.file()).unwrap();
    let venues: String = file.query_row("SELECT group_concat(venue) FROM bans", [], |row| row.get(0)).unwrap();
    assert_eq!(venues, VENUES[1].as_str());
}

#[test]
fn what_is_older_than_the_retention_is_deleted_and_nothing_else() {
    let folder = Folder::new();
    let end = FIRST.plus(60 * 24 * 10);
    let clock = Clock::manual(end.start());
    let settings = StoreSettings {
        retention_days: 3,
        flush_every: std::time::Duration::from_millis(5),
        ..StoreSettings::default()
    };
    let store = Store::open(&folder.0, settings, &VENUES, clock.clone()).unwrap().0;
    // One day at a time, about as much as a window of the board.
    for day in 0..10 {
        for market in markets() {
            store.save(vec![true_records(&market, FIRST.plus(day * 1440)..FIRST.plus((day + 1) * 1440))]);
        }
        assert!(store.flush(FLUSH_MAX));
    }
    let oldest = || all_hours(&store, UPBIT, &markets()[0]).first().map(|record| record.hour);
    let deadline = clock_of_test();
    while oldest() != Some(end.plus(-3 * 1440)) {
        assert!(deadline.elapsed() < FLUSH_MAX, "the oldest hour is {:?}", oldest());
        store.flush(FLUSH_MAX);
    }
    let stored = all_hours(&store, UPBIT, &markets()[2]);
    let wanted: Vec<_> = (0..72).map(|n| true_hour(&markets()[2], end.plus(-4320 + 60 * n), end)).collect();
    let bare = |hours: &[HourRecord]| hours.iter().map(|r| (r.hour, r.closes.clone())).collect::<Vec<_>>();
    assert_eq!(bare(&stored), bare(&wanted));

    // A clock that is a year ahead deletes no more than a day of the stored data.
    clock.set_wall(end.plus(1440 * 365).start());
    store.close();
    let settings = StoreSettings { retention_days: 3, ..StoreSettings::default() };
    let store = Store::open(&folder.0, settings, &VENUES, clock).unwrap().0;
    assert!(store.flush(FLUSH_MAX));
    assert!(all_hours(&store, UPBIT, &markets()[0]).len() >= 47);
}

#[expect(clippy::disallowed_methods, reason = "a deadline of the test itself")]
fn clock_of_test() -> std::time::Instant {
    std::time::Instant::now()
}
