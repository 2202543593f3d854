//! Encodes records as table rows and decodes them, with a checksum over all columns.
//!
//! A row whose checksum or values are wrong is damaged and is ignored as a whole.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use rust_decimal::Decimal;

use crate::feed::{LastRecord, ListingRecord, Transport};
use crate::market::{HourRecord, Market, Minute, Price, SECONDS_PER_MINUTE, amount};

/// Separator between columns in the checksummed text; no column contains it.
const SEPARATOR: char = '\u{1f}';

pub const HOUR_COLUMNS: &str = "hour, venue, market, closes, covered, settled, before_at, before_price, checksum";
pub const LAST_COLUMNS: &str = "venue, market, last, venue_time, trade_id, received_at, confirmed_at, sent_places, \
                                high_24h, low_24h, base_volume_24h, quote_volume_24h, checksum, confirmed_there";
pub const LISTING_COLUMNS: &str = "venue, market, since, gone_since, halted_since, checksum";
pub const BAN_COLUMNS: &str = "venue, not_before, checksum";

/// The error for a row that is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedRow;

/// A decoded row, or the error that it is damaged.
pub type DecodeResult<T> = Result<T, DamagedRow>;

/// Writes an hour record, merged with the stored one, since an earlier process may have known more of the hour.
pub fn put_hour(to: &Connection, venue: &str, market: &str, record: &HourRecord) -> rusqlite::Result<()> {
    let hour = record.hour.0.saturating_mul(SECONDS_PER_MINUTE);
    let record = match get_hour(to, venue, market, record.hour)? {
        Some(stored) => &record.clone().merged(&stored),
        None => record,
    };
    let closes = encode_closes(record);
    let (covered, settled) = (record.covered.cast_signed(), record.settled.cast_signed());
    let before_at = record.close_before.map(|(minute, _)| minute.0.saturating_mul(SECONDS_PER_MINUTE));
    let before_price = record.close_before.map(|(_, price)| price.to_string());
    let mut sum = Checksum::of("hours");
    sum.add(hour).add(venue).add(market).add(&closes).add(covered).add(settled);
    sum.add_optional(before_at).add_optional(before_price.as_deref());
    let mut statement = to.prepare_cached(
        "INSERT OR REPLACE INTO hours (hour, venue, market, closes, covered, settled, before_at, before_price, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    statement
        .execute(params![hour, venue, market, closes, covered, settled, before_at, before_price, sum.end()])
        .map(drop)
}

/// Reads one hour record; `None` if there is none or it is damaged.
pub fn get_hour(from: &Connection, venue: &str, market: &str, hour: Minute) -> rusqlite::Result<Option<HourRecord>> {
    let sql = format!("SELECT {HOUR_COLUMNS} FROM hours WHERE hour = ?1 AND venue = ?2 AND market = ?3");
    let mut statement = from.prepare_cached(&sql)?;
    let mut rows = statement.query(params![hour.0.saturating_mul(SECONDS_PER_MINUTE), venue, market])?;
    let read = rows.next()?.map(self::decode_hour);
    Ok(read.and_then(Result::ok).map(|(_, _, record)| record))
}

/// Decodes the columns [`HOUR_COLUMNS`] into venue, market and record.
pub fn decode_hour(row: &Row<'_>) -> DecodeResult<(String, Market, HourRecord)> {
    let (hour, venue, market, closes) = (integer(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?);
    let (covered, settled) = (integer(row, 4)?, integer(row, 5)?);
    let (before_at, before_price) = (optional(row, 6, integer)?, optional(row, 7, text)?);
    let mut sum = Checksum::of("hours");
    sum.add(hour).add(venue).add(market).add(closes).add(covered).add(settled);
    sum.add_optional(before_at).add_optional(before_price);
    sum.check(integer(row, 8)?)?;

    let before = match (before_at, before_price) {
        (Some(at), Some(price)) => {
            Some((Minute(at.div_euclid(SECONDS_PER_MINUTE)), price.parse().map_err(|_| DamagedRow)?))
        }
        _ => None,
    };
    let hour = Minute(hour.div_euclid(SECONDS_PER_MINUTE));
    let record = HourRecord {
        hour,
        closes: decode_closes(hour, closes)?,
        covered: covered.cast_unsigned(),
        settled: settled.cast_unsigned(),
        close_before: before,
    };
    Ok((venue.to_owned(), market.parse().map_err(|_| DamagedRow)?, record))
}

/// Encodes closes as `[[minute of the hour, "seconds after its start", "price"], …]`.
fn encode_closes(record: &HourRecord) -> String {
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

fn decode_closes(hour: Minute, json: &str) -> DecodeResult<Vec<(Minute, Timestamp, Price)>> {
    let closes: Vec<(i64, &str, &str)> = serde_json::from_str(json).map_err(|_| DamagedRow)?;
    let decode = |(minute, seconds, price): (i64, &str, &str)| {
        let minute = hour.plus(minute);
        let mut seconds = amount::parse(seconds).map_err(|_| DamagedRow)?;
        seconds.rescale(9);
        let after = i64::try_from(seconds.mantissa()).map(SignedDuration::from_nanos).map_err(|_| DamagedRow)?;
        let at = minute.start().checked_add(after).map_err(|_| DamagedRow)?;
        Ok((minute, at, price.parse().map_err(|_| DamagedRow)?))
    };
    closes.into_iter().map(decode).collect()
}

/// Writes the last row of a feed, replacing the stored one.
pub fn put_last(to: &Connection, venue: &str, market: &str, record: &LastRecord) -> rusqlite::Result<()> {
    let to_text = |amount: Option<Decimal>| amount.map(|amount| amount.to_string());
    let last = record.last.to_string();
    let venue_time = record.venue_time.map(|time| time.to_string());
    let trade_id = record.trade_id.map(|id| id.to_string());
    let (received_at, confirmed_at) = (record.received_at.to_string(), record.confirmed_at.to_string());
    let (high, low) = (to_text(record.high_24h.map(Price::get)), to_text(record.low_24h.map(Price::get)));
    let (base, quote) = (to_text(record.base_volume_24h), to_text(record.quote_volume_24h));
    let mut sum = Checksum::of("last_rows");
    sum.add(venue).add(market).add(&last).add_optional(venue_time.as_ref()).add_optional(trade_id.as_ref());
    sum.add(&received_at).add(&confirmed_at).add(record.sent_places);
    sum.add_optional(high.as_ref()).add_optional(low.as_ref()).add_optional(base.as_ref()).add_optional(quote.as_ref());
    let confirmed_venue_time = record.confirmed_venue_time.map(|time| time.to_string());
    sum.add_if_present(confirmed_venue_time.as_ref());
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
            confirmed_venue_time
        ])
        .map(drop)
}

/// Decodes the columns [`LAST_COLUMNS`] into venue, market and record.
pub fn decode_last(row: &Row<'_>) -> DecodeResult<(String, Market, LastRecord)> {
    let optional_text = |column| optional(row, column, text);
    let (venue, market, last) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
    let (venue_time, trade_id) = (optional_text(3)?, optional_text(4)?);
    let (received_at, confirmed_at, places) = (text(row, 5)?, text(row, 6)?, integer(row, 7)?);
    let [high, low, base, quote] = [optional_text(8)?, optional_text(9)?, optional_text(10)?, optional_text(11)?];
    let mut sum = Checksum::of("last_rows");
    sum.add(venue).add(market).add(last).add_optional(venue_time).add_optional(trade_id);
    sum.add(received_at)
        .add(confirmed_at)
        .add(places)
        .add_optional(high)
        .add_optional(low)
        .add_optional(base)
        .add_optional(quote);
    let confirmed_venue_time = optional_text(13)?;
    sum.add_if_present(confirmed_venue_time);
    sum.check(integer(row, 12)?)?;

    let price = |text: Option<&str>| text.map(|text| text.parse::<Price>().map_err(|_| DamagedRow)).transpose();
    let volume = |text: Option<&str>| text.map(|text| amount::parse(text).map_err(|_| DamagedRow)).transpose();
    let record = LastRecord {
        last: last.parse().map_err(|_| DamagedRow)?,
        venue_time: venue_time.map(time).transpose()?,
        trade_id: trade_id.map(|id| id.parse().map_err(|_| DamagedRow)).transpose()?,
        received_at: time(received_at)?,
        confirmed_at: time(confirmed_at)?,
        confirmed_venue_time: confirmed_venue_time.map(time).transpose()?,
        sent_places: u32::try_from(places).map_err(|_| DamagedRow)?,
        high_24h: price(high)?,
        low_24h: price(low)?,
        base_volume_24h: volume(base)?,
        quote_volume_24h: volume(quote)?,
    };
    Ok((venue.to_owned(), market.parse().map_err(|_| DamagedRow)?, record))
}

/// Writes a listing record, replacing the stored one; of the two starts of the listing, the later one is kept.
pub fn put_listing(to: &Connection, venue: &str, market: &str, record: ListingRecord) -> rusqlite::Result<()> {
    let stored = {
        let sql = format!("SELECT {LISTING_COLUMNS} FROM listings WHERE venue = ?1 AND market = ?2");
        let mut statement = to.prepare_cached(&sql)?;
        let mut rows = statement.query([venue, market])?;
        rows.next()?.map(decode_listing).and_then(Result::ok).map(|(_, _, stored)| stored)
    };
    let record = record.merged(stored);
    let [since, gone, halted] =
        [record.since, record.gone_since, record.halted_since].map(|time| time.map(|time| time.to_string()));
    let mut sum = Checksum::of("listings");
    sum.add(venue).add(market).add_optional(since.as_ref()).add_optional(gone.as_ref()).add_optional(halted.as_ref());
    let mut statement = to.prepare_cached(
        "INSERT OR REPLACE INTO listings (venue, market, since, gone_since, halted_since, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    statement.execute(params![venue, market, since, gone, halted, sum.end()]).map(drop)
}

/// Decodes the columns [`LISTING_COLUMNS`] into venue, market and record.
pub fn decode_listing(row: &Row<'_>) -> DecodeResult<(String, Market, ListingRecord)> {
    let (venue, market) = (text(row, 0)?, text(row, 1)?);
    let [since, gone, halted] = [optional(row, 2, text)?, optional(row, 3, text)?, optional(row, 4, text)?];
    let mut sum = Checksum::of("listings");
    sum.add(venue).add(market).add_optional(since).add_optional(gone).add_optional(halted);
    sum.check(integer(row, 5)?)?;
    let read = |text: Option<&str>| text.map(time).transpose();
    let record = ListingRecord { since: read(since)?, gone_since: read(gone)?, halted_since: read(halted)? };
    Ok((venue.to_owned(), market.parse().map_err(|_| DamagedRow)?, record))
}

/// Suffix of the venue id in the row of a stream ban. Older versions ignore the row as one of an unknown venue.
const STREAM_SUFFIX: &str = " stream";

/// Writes the end of a ban on a venue's REST API or stream; `None` deletes the ban.
pub fn put_ban(
    to: &Connection,
    venue: &str,
    transport: Transport,
    not_before: Option<Timestamp>,
) -> rusqlite::Result<()> {
    let key = match transport {
        Transport::Rest => venue.to_owned(),
        Transport::Stream => format!("{venue}{STREAM_SUFFIX}"),
    };
    let venue = key.as_str();
    let Some(not_before) = not_before.map(|time| time.to_string()) else {
        return to.execute("DELETE FROM bans WHERE venue = ?1", [venue]).map(drop);
    };
    let sum = Checksum::of("bans").add(venue).add(&not_before).end();
    let sql = "INSERT OR REPLACE INTO bans (venue, not_before, checksum) VALUES (?1, ?2, ?3)";
    to.execute(sql, params![venue, not_before, sum]).map(drop)
}

/// Decodes the columns [`BAN_COLUMNS`] into venue, transport and end of the ban.
pub fn decode_ban(row: &Row<'_>) -> DecodeResult<(String, Transport, Timestamp)> {
    let (venue, not_before) = (text(row, 0)?, text(row, 1)?);
    Checksum::of("bans").add(venue).add(not_before).check(integer(row, 2)?)?;
    let (venue, transport) =
        venue.strip_suffix(STREAM_SUFFIX).map_or((venue, Transport::Rest), |venue| (venue, Transport::Stream));
    Ok((venue.to_owned(), transport, time(not_before)?))
}

/// CRC-32 over the table name and the columns of a row, in order.
struct Checksum(String);

impl Checksum {
    fn of(table: &str) -> Self {
        Self(table.to_owned())
    }

    fn add(&mut self, column: impl std::fmt::Display) -> &mut Self {
        let _ = write!(self.0, "{SEPARATOR}={column}");
        self
    }

    fn add_optional(&mut self, column: Option<impl std::fmt::Display>) -> &mut Self {
        match column {
            Some(column) => self.add(column),
            None => {
                self.0.push(SEPARATOR);
                self
            }
        }
    }

    /// Adds a column that older files do not have. If it is absent, the checksum is the same as in those files.
    fn add_if_present(&mut self, column: Option<impl std::fmt::Display>) -> &mut Self {
        if let Some(column) = column {
            self.add(column);
        }
        self
    }

    fn end(&self) -> u32 {
        crc32fast::hash(self.0.as_bytes())
    }

    fn check(&self, stored: i64) -> DecodeResult<()> {
        if i64::from(self.end()) == stored { Ok(()) } else { Err(DamagedRow) }
    }
}

fn integer(row: &Row<'_>, column: usize) -> DecodeResult<i64> {
    match row.get_ref(column) {
        Ok(ValueRef::Integer(value)) => Ok(value),
        _ => Err(DamagedRow),
    }
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> DecodeResult<&'r str> {
    match row.get_ref(column) {
        Ok(ValueRef::Text(value)) => std::str::from_utf8(value).map_err(|_| DamagedRow),
        _ => Err(DamagedRow),
    }
}

fn optional<'r, 's, T>(
    row: &'r Row<'s>,
    column: usize,
    read: fn(&'r Row<'s>, usize) -> DecodeResult<T>,
) -> DecodeResult<Option<T>> {
    match row.get_ref(column) {
        Ok(ValueRef::Null) => Ok(None),
        _ => read(row, column).map(Some),
    }
}

fn time(text: &str) -> DecodeResult<Timestamp> {
    text.parse().map_err(|_| DamagedRow)
}
