//! From a record to the columns of a row and back, with the checksum over all of them.
//!
//! A row that does not read back exactly is damaged: it says nothing, and
//! what it said is not known any more.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use rust_decimal::Decimal;

use crate::domain::{HourRecord, LastRecord, Link, ListingRecord, Market, Minute, Price, amount};

const SECONDS: i64 = 60;

/// Stands between the columns under the checksum; no column holds it.
const BETWEEN: char = '\u{1f}';

pub const HOUR_COLUMNS: &str = "hour, venue, market, closes, covered, settled, before_at, before_price, checksum";
pub const LAST_COLUMNS: &str = "venue, market, last, venue_time, trade_id, received_at, confirmed_at, sent_places, \
                                high_24h, low_24h, base_volume_24h, quote_volume_24h, checksum, confirmed_there";
pub const LISTING_COLUMNS: &str = "venue, market, since, gone_since, halted_since, checksum";
pub const BAN_COLUMNS: &str = "venue, not_before, checksum";

/// A row that is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// A row as far as it could be trusted.
pub type Read<T> = Result<T, Damaged>;

/// Writes the record of an hour, joined with what is stored: the writer may know less than an earlier process did.
pub fn put_hour(to: &Connection, venue: &str, market: &str, record: &HourRecord) -> rusqlite::Result<()> {
    let hour = record.hour.0.saturating_mul(SECONDS);
    let record = match get_hour(to, venue, market, record.hour)? {
        Some(stored) => &record.clone().merged(&stored),
        None => record,
    };
    let closes = spell_closes(record);
    let (covered, settled) = (record.covered.cast_signed(), record.settled.cast_signed());
    let before_at = record.before.map(|(minute, _)| minute.0.saturating_mul(SECONDS));
    let before_price = record.before.map(|(_, price)| price.to_string());
    let mut sum = Sum::of("hours");
    sum.add(hour).add(venue).add(market).add(&closes).add(covered).add(settled);
    sum.maybe(before_at).maybe(before_price.as_deref());
    let mut statement = to.prepare_cached(
        "INSERT OR REPLACE INTO hours (hour, venue, market, closes, covered, settled, before_at, before_price, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    statement
        .execute(params![hour, venue, market, closes, covered, settled, before_at, before_price, sum.end()])
        .map(drop)
}

/// Reads the record of one hour, if there is one that is not damaged.
pub fn get_hour(from: &Connection, venue: &str, market: &str, hour: Minute) -> rusqlite::Result<Option<HourRecord>> {
    let sql = format!("SELECT {HOUR_COLUMNS} FROM hours WHERE hour = ?1 AND venue = ?2 AND market = ?3");
    let mut statement = from.prepare_cached(&sql)?;
    let mut rows = statement.query(params![hour.0.saturating_mul(SECONDS), venue, market])?;
    let read = rows.next()?.map(self::hour);
    Ok(read.and_then(Result::ok).map(|(_, _, record)| record))
}

/// Reads the columns [`HOUR_COLUMNS`]: venue, market, record.
pub fn hour(row: &Row<'_>) -> Read<(String, Market, HourRecord)> {
    let (hour, venue, market, closes) = (integer(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?);
    let (covered, settled) = (integer(row, 4)?, integer(row, 5)?);
    let (before_at, before_price) = (optional(row, 6, integer)?, optional(row, 7, text)?);
    let mut sum = Sum::of("hours");
    sum.add(hour).add(venue).add(market).add(closes).add(covered).add(settled);
    sum.maybe(before_at).maybe(before_price);
    sum.check(integer(row, 8)?)?;

    let before = match (before_at, before_price) {
        (Some(at), Some(price)) => Some((Minute(at.div_euclid(SECONDS)), price.parse().map_err(|_| Damaged)?)),
        _ => None,
    };
    let hour = Minute(hour.div_euclid(SECONDS));
    let record = HourRecord {
        hour,
        closes: read_closes(hour, closes)?,
        covered: covered.cast_unsigned(),
        settled: settled.cast_unsigned(),
        before,
    };
    Ok((venue.to_owned(), market.parse().map_err(|_| Damaged)?, record))
}

/// `[[minute of the hour, "seconds after its start", "price"], …]`
fn spell_closes(record: &HourRecord) -> String {
    let mut json = String::from("[");
    for (minute, at, price) in &record.closes {
        let nanos = at.duration_since(minute.start()).as_nanos();
        let seconds = Decimal::try_from_i128_with_scale(nanos, 9).unwrap_or_default().normalize();
        let comma = if json.len() > 1 { "," } else { "" };
        let _ = write!(json, "{comma}[{},\"{seconds}\",\"{price}\"]", minute.0 - record.hour.0);
    }
    json.push(']');
    json
}

fn read_closes(hour: Minute, json: &str) -> Read<Vec<(Minute, Timestamp, Price)>> {
    let closes: Vec<(i64, &str, &str)> = serde_json::from_str(json).map_err(|_| Damaged)?;
    let read = |(minute, seconds, price): (i64, &str, &str)| {
        let minute = hour.plus(minute);
        let mut seconds = amount::parse(seconds).map_err(|_| Damaged)?;
        seconds.rescale(9);
        let after = i64::try_from(seconds.mantissa()).map(SignedDuration::from_nanos).map_err(|_| Damaged)?;
        let at = minute.start().checked_add(after).map_err(|_| Damaged)?;
        Ok((minute, at, price.parse().map_err(|_| Damaged)?))
    };
    closes.into_iter().map(read).collect()
}

/// Writes the last word of a feed in the place of what was there.
pub fn put_last(to: &Connection, venue: &str, market: &str, record: &LastRecord) -> rusqlite::Result<()> {
    let spelled = |amount: Option<Decimal>| amount.map(|amount| amount.to_string());
    let last = record.last.to_string();
    let venue_time = record.venue_time.map(|time| time.to_string());
    let trade_id = record.trade_id.map(|id| id.to_string());
    let (received_at, confirmed_at) = (record.received_at.to_string(), record.confirmed_at.to_string());
    let (high, low) = (spelled(record.high_24h.map(Price::get)), spelled(record.low_24h.map(Price::get)));
    let (base, quote) = (spelled(record.base_volume_24h), spelled(record.quote_volume_24h));
    let mut sum = Sum::of("last_rows");
    sum.add(venue).add(market).add(&last).maybe(venue_time.as_ref()).maybe(trade_id.as_ref());
    sum.add(&received_at).add(&confirmed_at).add(record.sent_places);
    sum.maybe(high.as_ref()).maybe(low.as_ref()).maybe(base.as_ref()).maybe(quote.as_ref());
    let there = record.confirmed_there.map(|time| time.to_string());
    sum.later(there.as_ref());
    let mut statement = to.prepare_cached(
        "INSERT OR REPLACE INTO last_rows (venue, market, last, venue_time, trade_id, received_at, confirmed_at,
         sent_places, high_24h, low_24h, base_volume_24h, quote_volume_24h, checksum, confirmed_there)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    let places = record.sent_places;
    statement
        .execute(params![
            venue,
            market,
            last,
            venue_time,
            trade_id,
            received_at,
            confirmed_at,
            places,
            high,
            low,
            base,
            quote,
            sum.end(),
            there
        ])
        .map(drop)
}

/// Reads the columns [`LAST_COLUMNS`]: venue, market, record.
pub fn last(row: &Row<'_>) -> Read<(String, Market, LastRecord)> {
    let maybe = |column| optional(row, column, text);
    let (venue, market, last) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
    let (venue_time, trade_id) = (maybe(3)?, maybe(4)?);
    let (received_at, confirmed_at, places) = (text(row, 5)?, text(row, 6)?, integer(row, 7)?);
    let [high, low, base, quote] = [maybe(8)?, maybe(9)?, maybe(10)?, maybe(11)?];
    let mut sum = Sum::of("last_rows");
    sum.add(venue).add(market).add(last).maybe(venue_time).maybe(trade_id);
    sum.add(received_at).add(confirmed_at).add(places).maybe(high).maybe(low).maybe(base).maybe(quote);
    let there = maybe(13)?;
    sum.later(there);
    sum.check(integer(row, 12)?)?;

    let price = |text: Option<&str>| text.map(|text| text.parse::<Price>().map_err(|_| Damaged)).transpose();
    let volume = |text: Option<&str>| text.map(|text| amount::parse(text).map_err(|_| Damaged)).transpose();
    let record = LastRecord {
        last: last.parse().map_err(|_| Damaged)?,
        venue_time: venue_time.map(time).transpose()?,
        trade_id: trade_id.map(|id| id.parse().map_err(|_| Damaged)).transpose()?,
        received_at: time(received_at)?,
        confirmed_at: time(confirmed_at)?,
        confirmed_there: there.map(time).transpose()?,
        sent_places: u32::try_from(places).map_err(|_| Damaged)?,
        high_24h: price(high)?,
        low_24h: price(low)?,
        base_volume_24h: volume(base)?,
        quote_volume_24h: volume(quote)?,
    };
    Ok((venue.to_owned(), market.parse().map_err(|_| Damaged)?, record))
}

/// Writes what is known of a listing in the place of what was there, but for when it began, if only that record knew it.
pub fn put_listing(to: &Connection, venue: &str, market: &str, record: ListingRecord) -> rusqlite::Result<()> {
    let stored = {
        let sql = format!("SELECT {LISTING_COLUMNS} FROM listings WHERE venue = ?1 AND market = ?2");
        let mut statement = to.prepare_cached(&sql)?;
        let mut rows = statement.query([venue, market])?;
        rows.next()?.map(listing).and_then(Result::ok).map(|(_, _, stored)| stored)
    };
    let record = record.merged(stored);
    let [since, gone, halted] =
        [record.since, record.gone_since, record.halted_since].map(|time| time.map(|time| time.to_string()));
    let mut sum = Sum::of("listings");
    sum.add(venue).add(market).maybe(since.as_ref()).maybe(gone.as_ref()).maybe(halted.as_ref());
    let mut statement = to.prepare_cached(
        "INSERT OR REPLACE INTO listings (venue, market, since, gone_since, halted_since, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    statement.execute(params![venue, market, since, gone, halted, sum.end()]).map(drop)
}

/// Reads the columns [`LISTING_COLUMNS`]: venue, market, record.
pub fn listing(row: &Row<'_>) -> Read<(String, Market, ListingRecord)> {
    let (venue, market) = (text(row, 0)?, text(row, 1)?);
    let [since, gone, halted] = [optional(row, 2, text)?, optional(row, 3, text)?, optional(row, 4, text)?];
    let mut sum = Sum::of("listings");
    sum.add(venue).add(market).maybe(since).maybe(gone).maybe(halted);
    sum.check(integer(row, 5)?)?;
    let read = |text: Option<&str>| text.map(time).transpose();
    let record = ListingRecord { since: read(since)?, gone_since: read(gone)?, halted_since: read(halted)? };
    Ok((venue.to_owned(), market.parse().map_err(|_| Damaged)?, record))
}

/// Behind a venue's name where a ban is on its stream. An older program takes it for a venue that it does not know.
const OF_STREAM: &str = " stream";

/// Writes until when a venue is not to be asked, or its stream not dialled.
pub fn put_ban(to: &Connection, venue: &str, link: Link, not_before: Option<Timestamp>) -> rusqlite::Result<()> {
    let whose = match link {
        Link::Rest => venue.to_owned(),
        Link::Stream => format!("{venue}{OF_STREAM}"),
    };
    let venue = whose.as_str();
    let Some(not_before) = not_before.map(|time| time.to_string()) else {
        return to.execute("DELETE FROM bans WHERE venue = ?1", [venue]).map(drop);
    };
    let sum = Sum::of("bans").add(venue).add(&not_before).end();
    let sql = "INSERT OR REPLACE INTO bans (venue, not_before, checksum) VALUES (?1, ?2, ?3)";
    to.execute(sql, params![venue, not_before, sum]).map(drop)
}

/// Reads the columns [`BAN_COLUMNS`]: venue, way, time.
pub fn ban(row: &Row<'_>) -> Read<(String, Link, Timestamp)> {
    let (venue, not_before) = (text(row, 0)?, text(row, 1)?);
    Sum::of("bans").add(venue).add(not_before).check(integer(row, 2)?)?;
    let (venue, link) = venue.strip_suffix(OF_STREAM).map_or((venue, Link::Rest), |venue| (venue, Link::Stream));
    Ok((venue.to_owned(), link, time(not_before)?))
}

/// A checksum over the columns of a row, in their order, and the name of its table.
struct Sum(String);

impl Sum {
    fn of(table: &str) -> Self {
        Self(table.to_owned())
    }

    fn add(&mut self, column: impl std::fmt::Display) -> &mut Self {
        let _ = write!(self.0, "{BETWEEN}={column}");
        self
    }

    fn maybe(&mut self, column: Option<impl std::fmt::Display>) -> &mut Self {
        match column {
            Some(column) => self.add(column),
            None => {
                self.0.push(BETWEEN);
                self
            }
        }
    }

    /// A column that older files do not have: without it the sum is what it was before there was one.
    fn later(&mut self, column: Option<impl std::fmt::Display>) -> &mut Self {
        if let Some(column) = column {
            self.add(column);
        }
        self
    }

    fn end(&self) -> u32 {
        crc32fast::hash(self.0.as_bytes())
    }

    fn check(&self, stored: i64) -> Read<()> {
        if i64::from(self.end()) == stored { Ok(()) } else { Err(Damaged) }
    }
}

fn integer(row: &Row<'_>, column: usize) -> Read<i64> {
    match row.get_ref(column) {
        Ok(ValueRef::Integer(value)) => Ok(value),
        _ => Err(Damaged),
    }
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Read<&'r str> {
    match row.get_ref(column) {
        Ok(ValueRef::Text(value)) => std::str::from_utf8(value).map_err(|_| Damaged),
        _ => Err(Damaged),
    }
}

fn optional<'r, 's, T>(row: &'r Row<'s>, column: usize, read: fn(&'r Row<'s>, usize) -> Read<T>) -> Read<Option<T>> {
    match row.get_ref(column) {
        Ok(ValueRef::Null) => Ok(None),
        _ => read(row, column).map(Some),
    }
}

fn time(text: &str) -> Read<Timestamp> {
    text.parse().map_err(|_| Damaged)
}
