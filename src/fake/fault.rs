//! What can be broken on purpose, and for whom.
//!
//! An [`Order`] comes as JSON; [`Faults`] keeps those in force and answers, for
//! one connection or request at a time, whether one applies.

use std::time::Duration;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::coins;
use super::upbit;
use super::view::{Warned, Warp};

/// Most orders in force; one more is refused.
pub const ORDERS_MAX: usize = 64;

const MINUTE: i64 = 60_000;

/// An order for the connections that are open lasts this long, so that each has seen it.
const ONCE: Duration = Duration::from_secs(5);

/// What is to be broken.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The kind, one of [`KINDS`], or `none` to clear all.
    pub fault: String,
    /// Which venue; all if it is not said.
    pub venue: Option<String>,
    /// Which symbol or market, for those faults that concern one.
    #[serde(alias = "market")]
    pub symbol: Option<String>,
    /// `stream` or `rest`; each kind has its usual one.
    pub on: Option<Plane>,
    /// Only requests whose path holds this.
    pub path: Option<String>,
    /// For how many frames, requests or connections.
    pub times: Option<u32>,
    /// For how long.
    pub seconds: Option<u64>,
    /// Close code.
    pub code: Option<u16>,
    /// Close reason.
    pub reason: Option<String>,
    /// HTTP status.
    pub status: Option<u16>,
    /// HTTP body.
    pub body: Option<String>,
    /// Value of a `Retry-After` header.
    pub retry_after: Option<String>,
    /// Factor of a price.
    pub factor: Option<Decimal>,
    /// Milliseconds, either sign.
    pub ms: Option<i64>,
    /// How many trades a new connection is told again, or how many rows an answer keeps.
    pub n: Option<u32>,
    /// In what times are sent instead of milliseconds: `s`, `us`, `ns`.
    pub unit: Option<Unit>,
    /// How many minutes ago a stretch of candles begins.
    pub ago: Option<u32>,
    /// How many minutes it has; 1 if it is not said.
    pub minutes: Option<u32>,
    /// Another symbol.
    pub to: Option<String>,
    /// The caution that is in force.
    pub caution: Option<String>,
    /// The announced day of delisting.
    pub date: Option<Date>,
    /// Member of a message.
    pub field: Option<String>,
    /// What to send, as it is; of a member, its JSON.
    pub payload: Option<String>,
    /// Whether `payload` goes as a text frame (else as the venue's usual kind).
    pub text: Option<bool>,
}

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// The WebSocket.
    Stream,
    /// HTTP.
    Rest,
}

use Plane::{Rest, Stream};

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Seconds.
    S,
    /// Milliseconds, as the venues do.
    #[default]
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl Unit {
    /// Returns a time in Unix ms in this unit.
    pub fn of(self, ms: i64) -> i64 {
        match self {
            Self::S => ms.div_euclid(1000),
            Self::Ms => ms,
            Self::Us => ms.saturating_mul(1000),
            Self::Ns => ms.saturating_mul(1_000_000),
        }
    }
}

// What the kinds of the stream's and the figures' content do:
// `null-field` and `set-field` put `null` or the JSON `payload` in place of a member, `omit` leaves the rows of a market out of an
// answer, `rows` cuts an answer after `n` rows,
// `dup` sends each message twice, `swap` each pair in the wrong order, `replay` the last `n` trades again to a new connection,
// `freeze-ts` dates all as of the order, `skew` moves all times by `ms`, `unit` sends them in another unit,
// `gap` leaves out the candles of `minutes` minutes from `ago` minutes before the order on,
// `halt` stops a market and says so, `warn` has its venue warn of it (on its watch list, by the
// caution that `caution` names, or by announcing its delisting for `date`), `delist` takes it off the venue, `rename` gives it the symbol `to`.

/// Every kind: its name, where it strikes if nothing is said, and where it may.
pub const KINDS: &[(&str, &[Plane], &[Plane])] = &[
    ("mute", &[Stream], &[Stream]),
    ("ack-only", &[Stream], &[Stream]),
    ("drop-sym", &[Stream], &[Stream]),
    ("close", &[Stream], &[Stream]),
    ("dup", &[Stream], &[Stream]),
    ("swap", &[Stream], &[Stream]),
    ("gzip-in-text", &[Stream], &[Stream]),
    ("stall-upgrade", &[Stream], &[Stream]),
    ("stall-accept", &[Stream, Rest], &[Stream, Rest]),
    ("stall-body", &[Rest], &[Rest]),
    ("rst", &[Stream], &[Stream, Rest]),
    ("eof", &[Stream], &[Stream, Rest]),
    ("raw", &[Stream], &[Stream, Rest]),
    ("status", &[Rest], &[Stream, Rest]),
    ("html", &[Rest], &[Stream, Rest]),
    ("spike", &[Stream, Rest], &[Stream, Rest]),
    ("null-field", &[Stream, Rest], &[Stream, Rest]),
    ("set-field", &[Stream, Rest], &[Stream, Rest]),
    ("omit", &[Rest], &[Rest]),
    ("rows", &[Rest], &[Rest]),
    ("freeze-ts", &[Stream, Rest], &[Stream, Rest]),
    ("skew", &[Stream, Rest], &[Stream, Rest]),
    ("unit", &[Stream, Rest], &[Stream, Rest]),
    ("replay", &[Stream], &[Stream]),
    ("gap", &[Rest], &[Rest]),
    ("halt", &[Stream, Rest], &[Stream, Rest]),
    ("warn", &[Stream, Rest], &[Stream, Rest]),
    ("delist", &[Stream, Rest], &[Stream, Rest]),
    ("rename", &[Stream, Rest], &[Stream, Rest]),
];

/// The kinds that strike an answer as a whole: with a symbol, only those to requests that name it.
const WHOLE: [&str; 6] = ["status", "html", "raw", "stall-body", "rst", "eof"];

impl Order {
    /// Reads and checks an order.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(json: &str) -> Result<Self, String> {
        let order: Self = serde_json::from_str(json).map_err(|error| format!("fault is unreadable: {error}"))?;
        order.check()?;
        Ok(order)
    }

    /// Checks that the kind is known and has what it needs.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.fault == "none" {
            return Ok(());
        }
        let kind = KINDS.iter().find(|(name, ..)| *name == self.fault);
        let Some((name, _, may)) = kind else {
            let names: Vec<&str> = KINDS.iter().map(|(name, ..)| *name).collect();
            return Err(format!("unknown fault {:?}, known are {}", self.fault, names.join(", ")));
        };
        if let Some(on) = self.on.filter(|on| !may.contains(on)) {
            return Err(format!("fault {name:?} can't strike {on:?}").to_lowercase());
        }
        if let Some(venue) = self.venue.as_deref().filter(|venue| !coins::VENUES.contains(venue)) {
            return Err(format!("unknown venue {venue:?}, known are {}", coins::VENUES.join(", ")));
        }
        let needs = match *name {
            "drop-sym" if self.symbol.is_none() => "symbol",
            "spike" if self.factor.is_none() => "factor",
            "null-field" | "set-field" if self.field.is_none() => "field",
            "set-field" if self.payload.is_none() => "payload",
            "omit" if self.symbol.is_none() => "symbol",
            "rows" if self.n.is_none() => "n",
            "skew" if self.ms.is_none() => "ms",
            "unit" if self.unit.is_none() => "unit",
            "replay" if self.n.is_none() => "n",
            "gap" if self.ago.is_none() => "ago",
            "halt" | "warn" | "delist" | "rename" if self.symbol.is_none() => "symbol",
            "warn" if !self.is_warning() => "caution (a name of Upbit's), or date as 2026-12-01, or neither",
            "rename" if self.to.is_none() => "to",
            "raw" if self.payload.is_none() => "payload",
            "status" if !self.status.is_some_and(|status| (200..600).contains(&status)) => "status from 200 to 599",
            _ => return Ok(()),
        };
        Err(format!("fault {name:?} needs {needs}"))
    }

    /// Returns whether it is about this symbol, or about all.
    pub fn concerns(&self, symbol: &str) -> bool {
        self.symbol.as_deref().is_none_or(|name| is_same(name, symbol))
    }

    fn is_warning(&self) -> bool {
        let caution = self.caution.as_deref().is_none_or(|name| upbit::CAUTIONS.contains(&name));
        caution && (self.caution.is_none() || self.date.is_none())
    }

    /// Puts a warning into force: the announced delisting, the named caution, or the watch list.
    fn warn(&self, warp: &mut Warp) {
        let Some(symbol) = self.symbol.clone() else { return };
        match (self.date, &self.caution) {
            (Some(date), _) => warp.leaving.push((symbol, date.to_string())),
            (None, Some(name)) => warp.warned.push((symbol, Warned::Caution(name.clone()))),
            (None, None) => warp.warned.push((symbol, Warned::Warning)),
        }
    }

    fn strikes(&self, plane: Plane, venue: &str) -> bool {
        let usual = KINDS.iter().find(|(name, ..)| *name == self.fault).map_or(&[][..], |(_, usual, _)| usual);
        let here = self.on.map_or(usual.contains(&plane), |on| on == plane);
        here && (venue.is_empty() || self.venue.as_deref().is_none_or(|name| name == venue))
    }
}

#[derive(Debug)]
struct Active {
    order: Order,
    serial: u64,
    /// Wall time when it was given, in ms.
    given: i64,
    until: Option<Duration>,
    left: Option<u32>,
}

/// The orders in force.
#[derive(Debug, Default)]
pub struct Faults {
    active: Vec<Active>,
    serial: u64,
}

impl Faults {
    /// Puts an order in force; `now` is monotonic, `wall` in Unix ms.
    ///
    /// # Errors
    /// A sentence, if the order is wrong or there are [`ORDERS_MAX`] already.
    pub fn add(&mut self, order: Order, now: Duration, wall: i64) -> Result<(), String> {
        order.check()?;
        if order.fault == "none" {
            self.clear();
            return Ok(());
        }
        self.expire(now);
        if self.active.len() >= ORDERS_MAX {
            return Err(format!("there are {ORDERS_MAX} faults in force already"));
        }
        self.serial += 1;
        let bounded = order.times.is_some() || order.seconds.is_some();
        let once = (is_single(&order.fault) && !bounded).then_some(ONCE);
        let until = order.seconds.map(Duration::from_secs).or(once).map(|length| now + length);
        let left = order.times;
        self.active.push(Active { order, serial: self.serial, given: wall, until, left });
        Ok(())
    }

    /// Lifts every order.
    pub fn clear(&mut self) {
        self.active.clear();
    }

    /// Returns the serial number of the newest order; a connection notes it when it opens.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Returns the first order of `kind` that strikes, and counts it.
    pub fn take(&mut self, kind: &str, at: &Site<'_>) -> Option<Order> {
        self.expire(at.now);
        let found = self.active.iter_mut().find(|active| active.order.fault == kind && at.is_hit(&active.order))?;
        if let Some(left) = &mut found.left {
            *left -= 1;
        }
        Some(found.order.clone())
    }

    /// Like [`take`](Self::take) for what strikes a connection once: those open when it was ordered, each one time.
    ///
    /// `done` is the newest serial that the connection has had or need not have.
    pub fn take_single(&mut self, kind: &str, at: &Site<'_>, done: &mut u64) -> Option<Order> {
        self.expire(at.now);
        let found = self.active.iter_mut().find(|active| {
            let bounded = active.order.times.is_some() || active.order.seconds.is_some();
            active.order.fault == kind && at.is_hit(&active.order) && (bounded || active.serial > *done)
        })?;
        match &mut found.left {
            Some(left) => *left -= 1,
            None => *done = found.serial.max(*done),
        }
        Some(found.order.clone())
    }

    /// Like [`take`](Self::take) for what concerns a symbol: an order that names another does not strike.
    pub fn take_about(&mut self, kind: &str, symbol: &str, at: &Site<'_>) -> Option<Order> {
        self.expire(at.now);
        let is_it = |order: &Order| order.fault == kind && at.is_hit(order) && order.concerns(symbol);
        let found = self.active.iter_mut().find(|active| is_it(&active.order))?;
        if let Some(left) = &mut found.left {
            *left -= 1;
        }
        Some(found.order.clone())
    }

    /// Returns how figures are bent at a place.
    pub fn warp(&mut self, at: &Site<'_>) -> Warp {
        self.expire(at.now);
        let mut warp = Warp::default();
        for active in self.active.iter().filter(|active| at.is_hit(&active.order)) {
            match active.order.fault.as_str() {
                "spike" => {
                    warp.spikes.push((active.order.symbol.clone(), active.order.factor.unwrap_or(Decimal::ONE)));
                }
                "freeze-ts" => warp.freeze = Some(active.given),
                "skew" => warp.skew += active.order.ms.unwrap_or(0),
                "unit" => warp.unit = active.order.unit.unwrap_or_default(),
                "replay" => warp.replay = active.order.n.unwrap_or(0),
                "gap" => {
                    let given = active.given - active.given.rem_euclid(MINUTE);
                    let from = given - i64::from(active.order.ago.unwrap_or(0)) * MINUTE;
                    let to = from + i64::from(active.order.minutes.unwrap_or(1)) * MINUTE;
                    warp.gaps.push((active.order.symbol.clone(), from..to));
                }
                "halt" => warp.halted.extend(active.order.symbol.clone()),
                "warn" => active.order.warn(&mut warp),
                "delist" => warp.gone.extend(active.order.symbol.clone()),
                "rename" => warp.renamed.extend(active.order.symbol.clone().zip(active.order.to.clone())),
                _ => {}
            }
        }
        warp
    }

    fn expire(&mut self, now: Duration) {
        self.active.retain(|active| active.left != Some(0) && active.until.is_none_or(|until| now < until));
    }
}

/// Whether `KRW-BTC`, `BTC-KRW`, `BTC_KRW` or `BTCUSDT` name the same.
pub fn is_same(name: &str, symbol: &str) -> bool {
    let sides = |text: &str| {
        let mut sides: Vec<String> = text.split(['-', '_']).map(str::to_ascii_uppercase).collect();
        sides.sort_unstable();
        sides
    };
    sides(name) == sides(symbol) || name.replace('-', "").eq_ignore_ascii_case(symbol)
}

fn is_single(kind: &str) -> bool {
    matches!(kind, "close" | "rst" | "eof" | "raw")
}

/// Where and when it is asked whether an order strikes.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// Stream or REST.
    pub plane: Plane,
    /// The venue; empty where it is not known yet.
    pub venue: &'a str,
    /// Path and query of the request or the stream.
    pub path: &'a str,
    /// Monotonic time.
    pub now: Duration,
}

impl Site<'_> {
    fn is_hit(&self, order: &Order) -> bool {
        let path = order.path.as_deref().is_none_or(|part| self.path.contains(part));
        let whole = self.plane == Rest && WHOLE.contains(&order.fault.as_str());
        path && order.strikes(self.plane, self.venue) && (!whole || self.asks_about(order.symbol.as_deref()))
    }

    /// Returns whether the request names a market; all do that name none in particular.
    fn asks_about(&self, symbol: Option<&str>) -> bool {
        let Some(symbol) = symbol else { return true };
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        url::form_urlencoded::parse(query.as_bytes())
            .any(|(_, value)| value.split([',', '"', '[', ']']).any(|name| is_same(symbol, name)))
    }
}
