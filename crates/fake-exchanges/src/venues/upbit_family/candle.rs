//! The Upbit family: candles, over REST and on Upbit's stream.
//!
//! Newest first; a span without trades has no candle. Assumed: that Bithumb's weeks begin on Monday. Source:
//! docs.upbit.com/kr/reference (list-candles-*, websocket-candle), apidocs.bithumb.com (캔들), payloads of 2025-08
//! and 2026-08.

use super::UpbitFamily;
use super::request::UpbitError;
use crate::candle::{Grid, newest_first};
use crate::fault_view::FaultView;
use crate::json::{Object, array};
use crate::query::{KST_OFFSET_HOURS, RequestTarget, format_time, parse_time};
use crate::simulated_market::SimulatedMarket;
use crate::trade_log::Ohlcv;
use crate::units::{plain, plain8, ratio};

/// Maximum number of candles of a response.
pub const CANDLES_MAX: usize = 200;

/// Lengths of minute candles, in minutes.
pub const UNITS: [i64; 8] = [1, 3, 5, 10, 15, 30, 60, 240];

const SECOND: i64 = 1000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// A kind of candles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only at Upbit.
    Seconds,
    Minutes(i64),
    Days,
    Weeks,
    Months,
    Years,
}

impl Kind {
    /// Parses the path after `/v1/candles/`.
    fn parse(venue: &UpbitFamily, path: &str) -> Result<Self, UpbitError> {
        match path {
            "seconds" if venue.has_more_candles => Ok(Self::Seconds),
            "days" => Ok(Self::Days),
            "weeks" => Ok(Self::Weeks),
            "months" => Ok(Self::Months),
            "years" if venue.has_more_candles => Ok(Self::Years),
            _ => {
                let unit = path.strip_prefix("minutes/").ok_or(UpbitError::UnknownPath)?;
                let unit = unit.parse().ok().filter(|unit| UNITS.contains(unit));
                unit.map(Self::Minutes).ok_or(UpbitError::InvalidParameter)
            }
        }
    }

    fn grid(self, hours: i8) -> Grid {
        match self {
            Self::Seconds => Grid::every(SECOND, hours),
            Self::Minutes(unit) => Grid::every(unit * MINUTE, hours),
            Self::Days => Grid::every(DAY, hours),
            Self::Weeks => Grid::weeks(hours),
            Self::Months => Grid::Months { count: 1, hours },
            Self::Years => Grid::Months { count: 12, hours },
        }
    }
}

/// Returns the response to `/v1/candles/<path>`.
///
/// # Errors
/// If the path or the market is unknown, or the unit, count or time is invalid.
pub fn candles(
    view: &FaultView<'_>,
    venue: &UpbitFamily,
    target: &RequestTarget,
    path: &str,
) -> Result<String, UpbitError> {
    let kind = Kind::parse(venue, path)?;
    let code = target.get("market").ok_or(UpbitError::MissingParameter)?.to_ascii_uppercase();
    let market = view.simulation.by_symbol(venue.id, &code).ok_or(UpbitError::UnknownMarket)?;
    let count =
        target.get("count").map_or(Ok(1), |count| count.parse::<usize>().map_err(|_| UpbitError::InvalidParameter))?;
    if !(1..=CANDLES_MAX).contains(&count) {
        return Err(UpbitError::InvalidParameter);
    }
    // Exclusive; a time without an offset is in the venue's own.
    let to = target
        .get("to")
        .map(|to| parse_time(to, venue.utc_offset_hours).ok_or(UpbitError::InvalidParameter))
        .transpose()?;
    let to = to.unwrap_or(i64::MAX);
    let converted = target.get("converting_price_unit").or(target.get("convertingPriceUnit")).is_some();
    let grid = kind.grid(venue.utc_offset_hours);
    let is_reported = |candle: &Ohlcv| !view.omits_candle(market, candle.start, grid.next(candle.start));
    let candles = newest_first(&market.trade_log, grid).filter(|candle| candle.start < to && is_reported(candle));
    Ok(array(candles.take(count).map(|candle| row(venue, market, kind, &candle, converted))))
}

fn row(venue: &UpbitFamily, market: &SimulatedMarket, kind: Kind, candle: &Ohlcv, converted: bool) -> String {
    let object = Object::new()
        .text("market", &market.symbol)
        .text("candle_date_time_utc", &format_time(candle.start, 0, "%Y-%m-%dT%H:%M:%S"))
        .text("candle_date_time_kst", &format_time(candle.start, KST_OFFSET_HOURS, "%Y-%m-%dT%H:%M:%S"))
        .raw("opening_price", (venue.format_price)(candle.open))
        .raw("high_price", (venue.format_price)(candle.high))
        .raw("low_price", (venue.format_price)(candle.low))
        .raw("trade_price", (venue.format_price)(candle.close))
        .raw("timestamp", candle.last_at)
        .raw("candle_acc_trade_price", plain(candle.quote_volume / 100_000_000, 8))
        .raw("candle_acc_trade_volume", plain(candle.base_volume, 8));
    match kind {
        Kind::Seconds => object.end(),
        Kind::Minutes(unit) => object.raw("unit", unit).end(),
        Kind::Days => add_day_members(venue, market, object, candle, converted).end(),
        Kind::Weeks | Kind::Months | Kind::Years => {
            object.text("first_day_of_period", &format_time(candle.start, venue.utc_offset_hours, "%Y-%m-%d")).end()
        }
    }
}

/// Adds the members that only daily candles have: the previous close and the signed change from it.
fn add_day_members(
    venue: &UpbitFamily,
    market: &SimulatedMarket,
    object: Object,
    candle: &Ohlcv,
    converted: bool,
) -> Object {
    let before = market.trade_log.before(candle.start).map_or(candle.open, |trade| trade.price);
    let change = candle.close - before;
    let object = object
        .raw("prev_closing_price", (venue.format_price)(before))
        .raw("change_price", (venue.format_price)(change))
        .raw("change_rate", plain(ratio(change.into(), before.into(), 10), 10));
    if converted { object.raw("converted_trade_price", (venue.format_price)(candle.close)) } else { object }
}

/// Returns the grid of a stream type such as `candle.1s` or `candle.240m`, or `None` if there is no such type.
pub fn stream_grid(kind: &str) -> Option<Grid> {
    let length = kind.strip_prefix("candle.")?;
    if length == "1s" {
        return Some(Grid::every(SECOND, 0));
    }
    let unit = length.strip_suffix('m')?.parse().ok()?;
    UNITS.contains(&unit).then(|| Grid::every(unit * MINUTE, 0))
}

/// Encodes a frame of the stream, with short names if `simple`.
pub fn frame(
    view: &FaultView<'_>,
    venue: &UpbitFamily,
    market: &SimulatedMarket,
    kind: &str,
    candle: &Ohlcv,
    simple: bool,
    stream: &str,
) -> String {
    let times = [0, KST_OFFSET_HOURS].map(|hours| format_time(candle.start, hours, "%Y-%m-%dT%H:%M:%S"));
    let price = |units| if simple { plain8(units) } else { (venue.format_stream_price)(units) };
    let name = |long: &'static str, short: &'static str| if simple { short } else { long };
    Object::new()
        .text(name("type", "ty"), kind)
        .text(name("code", "cd"), &market.symbol)
        .text(name("candle_date_time_utc", "cdttmu"), &times[0])
        .text(name("candle_date_time_kst", "cdttmk"), &times[1])
        .raw(name("opening_price", "op"), price(candle.open))
        .raw(name("high_price", "hp"), price(candle.high))
        .raw(name("low_price", "lp"), price(candle.low))
        .raw(name("trade_price", "tp"), price(candle.close))
        .raw(name("candle_acc_trade_volume", "catv"), plain(candle.base_volume, 8))
        .raw(name("candle_acc_trade_price", "catp"), plain(candle.quote_volume / 100_000_000, 8))
        .raw(name("timestamp", "tms"), view.reported_time(candle.last_at))
        .text(name("stream_type", "st"), stream)
        .end()
}
