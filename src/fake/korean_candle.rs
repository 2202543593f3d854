//! Candles as Upbit and Bithumb write them, over REST and on Upbit's stream.
//!
//! Newest first; a stretch without a trade has no candle. Source:
//! docs.upbit.com/kr/reference (list-candles-*, websocket-candle),
//! apidocs.bithumb.com (캔들), payloads of 2025-08 and 2026-08. Not known and so
//! assumed: that Bithumb's weeks begin on Monday.

use super::candle::{Grid, newest_first};
use super::json::{Object, array};
use super::korean::Korean;
use super::query::{KOREA, Target, instant, spell};
use super::tape::Bar;
use super::units::{plain, plain8, ratio};
use super::upbit::Refusal;
use super::view::View;
use super::world::Line;

/// Most candles of one answer.
pub const CANDLES_MAX: usize = 200;

/// Lengths of minute candles, in minutes.
pub const UNITS: [i64; 8] = [1, 3, 5, 10, 15, 30, 60, 240];

const SECOND: i64 = 1000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// The kinds of candles that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Upbit alone has them.
    Seconds,
    Minutes(i64),
    Days,
    Weeks,
    Months,
    Years,
}

impl Kind {
    /// Reads what follows `/v1/candles/`.
    fn parse(korean: Korean, path: &str) -> Result<Self, Refusal> {
        let upbit = korean == Korean::Upbit;
        match path {
            "seconds" if upbit => Ok(Self::Seconds),
            "days" => Ok(Self::Days),
            "weeks" => Ok(Self::Weeks),
            "months" => Ok(Self::Months),
            "years" if upbit => Ok(Self::Years),
            _ => {
                let unit = path.strip_prefix("minutes/").ok_or(Refusal::Path)?;
                let unit = unit.parse().ok().filter(|unit| UNITS.contains(unit));
                unit.map(Self::Minutes).ok_or(Refusal::Parameter)
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

/// Answers `/v1/candles/<path>`.
///
/// # Errors
/// For a market, unit, count or time that is not there or makes no sense.
pub fn candles(view: &View<'_>, korean: Korean, target: &Target, path: &str) -> Result<String, Refusal> {
    let kind = Kind::parse(korean, path)?;
    let code = target.get("market").ok_or(Refusal::Missing)?.to_ascii_uppercase();
    let line = view.world.by_symbol(korean.venue(), &code).ok_or(Refusal::Code)?;
    let count = target.get("count").map_or(Ok(1), |count| count.parse::<usize>().map_err(|_| Refusal::Parameter))?;
    if !(1..=CANDLES_MAX).contains(&count) {
        return Err(Refusal::Parameter);
    }
    // Exclusive; without an offset on the venue's own clock.
    let to = target.get("to").map(|to| instant(to, korean.hours()).ok_or(Refusal::Parameter)).transpose()?;
    let to = to.unwrap_or(i64::MAX);
    let converted = target.get("converting_price_unit").or(target.get("convertingPriceUnit")).is_some();
    let grid = kind.grid(korean.hours());
    let there = |candle: &Bar| !view.leaves_out(line, candle.start, grid.next(candle.start));
    let candles = newest_first(&line.tape, grid).filter(|candle| candle.start < to && there(candle));
    Ok(array(candles.take(count).map(|candle| row(korean, line, kind, &candle, converted))))
}

fn row(korean: Korean, line: &Line, kind: Kind, candle: &Bar, converted: bool) -> String {
    let object = Object::new()
        .text("market", &line.symbol)
        .text("candle_date_time_utc", &spell(candle.start, 0, "%Y-%m-%dT%H:%M:%S"))
        .text("candle_date_time_kst", &spell(candle.start, KOREA, "%Y-%m-%dT%H:%M:%S"))
        .raw("opening_price", korean.price(candle.open))
        .raw("high_price", korean.price(candle.high))
        .raw("low_price", korean.price(candle.low))
        .raw("trade_price", korean.price(candle.close))
        .raw("timestamp", candle.last_at)
        .raw("candle_acc_trade_price", plain(candle.value / 100_000_000, 8))
        .raw("candle_acc_trade_volume", plain(candle.volume, 8));
    match kind {
        Kind::Seconds => object.end(),
        Kind::Minutes(unit) => object.raw("unit", unit).end(),
        Kind::Days => day(korean, line, object, candle, converted).end(),
        Kind::Weeks | Kind::Months | Kind::Years => {
            object.text("first_day_of_period", &spell(candle.start, korean.hours(), "%Y-%m-%d")).end()
        }
    }
}

/// What a candle of a day has beside: the close before it and the change from there, with its sign.
fn day(korean: Korean, line: &Line, object: Object, candle: &Bar, converted: bool) -> Object {
    let before = line.tape.before(candle.start).map_or(candle.open, |trade| trade.price);
    let change = candle.close - before;
    let object = object
        .raw("prev_closing_price", korean.price(before))
        .raw("change_price", korean.price(change))
        .raw("change_rate", plain(ratio(change.into(), before.into(), 10), 10));
    if converted { object.raw("converted_trade_price", korean.price(candle.close)) } else { object }
}

/// Returns where the candles of a stream type such as `candle.1s` or `candle.240m` begin, or `None` if there is none.
pub fn streamed(kind: &str) -> Option<Grid> {
    let length = kind.strip_prefix("candle.")?;
    if length == "1s" {
        return Some(Grid::every(SECOND, 0));
    }
    let unit = length.strip_suffix('m')?.parse().ok()?;
    UNITS.contains(&unit).then(|| Grid::every(unit * MINUTE, 0))
}

/// Spells a frame of Upbit's stream, in long or short words.
pub fn frame(view: &View<'_>, line: &Line, kind: &str, candle: &Bar, simple: bool, stream: &str) -> String {
    let times = [0, KOREA].map(|hours| spell(candle.start, hours, "%Y-%m-%dT%H:%M:%S"));
    let price = |units| if simple { plain8(units) } else { Korean::Upbit.streamed(units) };
    let name = |long: &'static str, short: &'static str| if simple { short } else { long };
    Object::new()
        .text(name("type", "ty"), kind)
        .text(name("code", "cd"), &line.symbol)
        .text(name("candle_date_time_utc", "cdttmu"), &times[0])
        .text(name("candle_date_time_kst", "cdttmk"), &times[1])
        .raw(name("opening_price", "op"), price(candle.open))
        .raw(name("high_price", "hp"), price(candle.high))
        .raw(name("low_price", "lp"), price(candle.low))
        .raw(name("trade_price", "tp"), price(candle.close))
        .raw(name("candle_acc_trade_volume", "catv"), plain(candle.volume, 8))
        .raw(name("candle_acc_trade_price", "catp"), plain(candle.value / 100_000_000, 8))
        .raw(name("timestamp", "tms"), view.time(candle.last_at))
        .text(name("stream_type", "st"), stream)
        .end()
}
