//! The faults that can be injected, and which of them apply where.
//!
//! A [`FaultSpec`] is one fault, parsed from JSON; [`Faults`] holds those in force and decides for each connection or
//! request whether one applies.

use std::time::Duration;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::fault_effects::{FaultEffects, MarketWarning, TimeUnit};
use super::simulated_market::names_same_market;
use super::venues;

/// Maximum number of faults in force; further ones are rejected.
pub const FAULTS_MAX: usize = 64;

const MINUTE: i64 = 60_000;

/// How long a one-shot fault stays in force, so that every open connection sees it.
const ONE_SHOT: Duration = Duration::from_secs(5);

/// The specification of one fault.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// The kind: one of [`KINDS`], or `none` to lift all faults.
    pub fault: String,
    /// The venue affected; `None` is all of them.
    pub venue: Option<String>,
    /// The symbol or market affected; `None` is all of them, for the kinds that allow it. A row that is an array
    /// without a name (a candle) is about the market that its request names.
    #[serde(alias = "market")]
    pub symbol: Option<String>,
    /// `stream` or `rest`; each kind has its default.
    pub on: Option<Transport>,
    /// Limits the fault to requests and streams whose path or query contains this text.
    pub path: Option<String>,
    /// Number of frames, requests or connections affected; `None` is unlimited.
    pub times: Option<u32>,
    /// Duration in seconds.
    pub seconds: Option<u64>,
    /// Close code of `close`.
    pub code: Option<u16>,
    /// Close reason of `close`.
    pub reason: Option<String>,
    /// HTTP status of `status` and `html`.
    pub status: Option<u16>,
    /// HTTP body of `status` and `html`.
    pub body: Option<String>,
    /// Value of the `Retry-After` header of `status`.
    pub retry_after: Option<String>,
    /// Factor that `spike` multiplies prices by.
    pub factor: Option<Decimal>,
    /// Offset of `skew` in milliseconds, of either sign.
    pub ms: Option<i64>,
    /// Number of trades that `replay` sends again to a new connection, or of rows that `rows` keeps.
    pub n: Option<u32>,
    /// Unit of times in place of milliseconds: `s`, `us`, `ns`.
    pub unit: Option<TimeUnit>,
    /// How many minutes before its injection a `gap` begins.
    pub ago: Option<u32>,
    /// Length of a `gap` in minutes; 1 by default.
    pub minutes: Option<u32>,
    /// The new symbol of `rename`.
    pub to: Option<String>,
    /// The caution that `warn` puts in force, one of Upbit's.
    pub caution: Option<String>,
    /// The delisting date that `warn` announces.
    pub date: Option<Date>,
    /// The member that `null-field` and `set-field` change, or several, separated by commas.
    pub field: Option<String>,
    /// The payload that `raw` sends verbatim, or the JSON value of `set-field`.
    pub payload: Option<String>,
    /// Whether `raw` sends a text frame or a binary one; by default the kind that the venue uses.
    pub text: Option<bool>,
}

/// The transport that a fault affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// WebSocket streams.
    Stream,
    /// REST over HTTP.
    Rest,
}

use Transport::{Rest, Stream};

// The kinds that change content:
// - `null-field` and `set-field` replace a member's value with `null` or with the JSON of `payload`.
// - `omit` leaves a market's rows out of a response; `rows` truncates a response after `n` rows.
// - `dup` sends each message twice, `swap` each pair in the wrong order; `replay` sends the last `n` trades again
//   to a new connection.
// - `freeze-ts` sets all times to that of the injection, `skew` shifts all times by `ms`, `unit` sends them in
//   another unit.
// - `gap` leaves out the candles of `minutes` minutes, the first of them `ago` minutes before the injection.
// - `halt` stops a market from trading, and its venue reports it as halted; `delist` removes it from the venue;
//   `rename` changes its symbol to `to`; `warn` makes its venue warn of it: on the watch list, with the caution
//   `caution`, or by announcing its delisting on `date`.

/// Every kind: its name, the transports affected by default, and those that may be affected.
pub const KINDS: &[(&str, &[Transport], &[Transport])] = &[
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

/// The kinds that affect a REST response as a whole; with a symbol, only responses to requests that name it.
const WHOLE_RESPONSE: [&str; 6] = ["status", "html", "raw", "stall-body", "rst", "eof"];

impl FaultSpec {
    /// Parses and validates a fault.
    ///
    /// # Errors
    /// A message that says what is wrong with it.
    pub fn parse(json: &str) -> Result<Self, String> {
        let spec: Self = serde_json::from_str(json).map_err(|error| format!("invalid fault: {error}"))?;
        spec.validate()?;
        Ok(spec)
    }

    /// Checks that the kind is known and that it has the members that it needs.
    ///
    /// # Errors
    /// A message that says what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        if self.fault == "none" {
            return Ok(());
        }
        let kind = KINDS.iter().find(|(name, ..)| *name == self.fault);
        let Some((name, _, allowed)) = kind else {
            let names: Vec<&str> = KINDS.iter().map(|(name, ..)| *name).collect();
            return Err(format!("unknown fault {:?}; known faults: {}", self.fault, names.join(", ")));
        };
        if let Some(on) = self.on.filter(|on| !allowed.contains(on)) {
            return Err(format!("fault {name:?} does not apply to {on:?}").to_lowercase());
        }
        if let Some(venue) = self.venue.as_deref().filter(|venue| venues::find(venue).is_none()) {
            let known: Vec<&str> = venues::ids().collect();
            return Err(format!("unknown venue {venue:?}; known venues: {}", known.join(", ")));
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
            "warn" if !self.is_warning() => "at most one of caution (one of Upbit's) and date (as 2026-12-01)",
            "rename" if self.to.is_none() => "to",
            "raw" if self.payload.is_none() => "payload",
            "status" if !self.status.is_some_and(|status| (200..600).contains(&status)) => "status (200 to 599)",
            _ => return Ok(()),
        };
        Err(format!("fault {name:?} needs {needs}"))
    }

    /// Returns whether the fault affects this symbol: it names it, or names none.
    pub fn affects_symbol(&self, symbol: &str) -> bool {
        self.symbol.as_deref().is_none_or(|name| names_same_market(name, symbol))
    }

    fn is_warning(&self) -> bool {
        let caution = self.caution.as_deref().is_none_or(venues::has_caution);
        caution && (self.caution.is_none() || self.date.is_none())
    }

    /// Adds the effect of `warn`: an announced delisting, the named caution, or the watch list.
    fn add_warning(&self, effects: &mut FaultEffects) {
        let Some(symbol) = self.symbol.clone() else { return };
        match (self.date, &self.caution) {
            (Some(date), _) => effects.delistings.push((symbol, date.to_string())),
            (None, Some(name)) => effects.warnings.push((symbol, MarketWarning::Caution(name.clone()))),
            (None, None) => effects.warnings.push((symbol, MarketWarning::WatchList)),
        }
    }

    fn affects(&self, transport: Transport, venue: &str) -> bool {
        let default = KINDS.iter().find(|(name, ..)| *name == self.fault).map_or(&[][..], |(_, default, _)| default);
        let is_affected = self.on.map_or(default.contains(&transport), |on| on == transport);
        is_affected && (venue.is_empty() || self.venue.as_deref().is_none_or(|name| name == venue))
    }
}

#[derive(Debug)]
struct Active {
    spec: FaultSpec,
    serial: u64,
    /// Wall-clock time of the injection, in Unix ms.
    injected_at: i64,
    /// Monotonic time at which it expires.
    until: Option<Duration>,
    /// How many more times it applies.
    times_left: Option<u32>,
}

/// The faults in force.
#[derive(Debug, Default)]
pub struct Faults {
    active: Vec<Active>,
    serial: u64,
}

impl Faults {
    /// Puts a fault in force; `now` is monotonic, `wall` in Unix ms.
    ///
    /// # Errors
    /// A message, if the fault is invalid or [`FAULTS_MAX`] are already in force.
    pub fn add(&mut self, spec: FaultSpec, now: Duration, wall: i64) -> Result<(), String> {
        spec.validate()?;
        if spec.fault == "none" {
            self.clear();
            return Ok(());
        }
        self.expire(now);
        if self.active.len() >= FAULTS_MAX {
            return Err(format!("{FAULTS_MAX} faults are already in force"));
        }
        self.serial += 1;
        let bounded = spec.times.is_some() || spec.seconds.is_some();
        let one_shot = (is_one_shot(&spec.fault) && !bounded).then_some(ONE_SHOT);
        let until = spec.seconds.map(Duration::from_secs).or(one_shot).map(|length| now + length);
        let times_left = spec.times;
        self.active.push(Active { spec, serial: self.serial, injected_at: wall, until, times_left });
        Ok(())
    }

    /// Lifts every fault.
    pub fn clear(&mut self) {
        self.active.clear();
    }

    /// Returns the serial number of the newest fault; a connection records it when it opens.
    pub fn newest_serial(&self) -> u64 {
        self.serial
    }

    /// Returns the first fault of `kind` that applies at `at`, and uses up one of its times.
    pub fn take(&mut self, kind: &str, at: &InjectionPoint<'_>) -> Option<FaultSpec> {
        self.expire(at.now);
        let found =
            self.active.iter_mut().find(|active| active.spec.fault == kind && at.is_affected_by(&active.spec))?;
        if let Some(left) = &mut found.times_left {
            *left -= 1;
        }
        Some(found.spec.clone())
    }

    /// Like [`take`](Self::take) for one-shot faults, which affect each connection open at their injection once.
    ///
    /// `done` is a serial number: faults up to it were in force before the connection opened, or were already applied
    /// to it.
    pub fn take_once(&mut self, kind: &str, at: &InjectionPoint<'_>, done: &mut u64) -> Option<FaultSpec> {
        self.expire(at.now);
        let found = self.active.iter_mut().find(|active| {
            let bounded = active.spec.times.is_some() || active.spec.seconds.is_some();
            active.spec.fault == kind && at.is_affected_by(&active.spec) && (bounded || active.serial > *done)
        })?;
        match &mut found.times_left {
            Some(left) => *left -= 1,
            None => *done = found.serial.max(*done),
        }
        Some(found.spec.clone())
    }

    /// Like [`take`](Self::take) for data of one symbol: a fault that names another symbol does not apply.
    pub fn take_for_symbol(&mut self, kind: &str, symbol: &str, at: &InjectionPoint<'_>) -> Option<FaultSpec> {
        self.expire(at.now);
        let applies = |spec: &FaultSpec| spec.fault == kind && at.is_affected_by(spec) && spec.affects_symbol(symbol);
        let found = self.active.iter_mut().find(|active| applies(&active.spec))?;
        if let Some(left) = &mut found.times_left {
            *left -= 1;
        }
        Some(found.spec.clone())
    }

    /// Returns the combined effects of the faults that apply at `at`.
    pub fn effects(&mut self, at: &InjectionPoint<'_>) -> FaultEffects {
        self.expire(at.now);
        let mut effects = FaultEffects::default();
        for active in self.active.iter().filter(|active| at.is_affected_by(&active.spec)) {
            match active.spec.fault.as_str() {
                "spike" => {
                    effects.spikes.push((active.spec.symbol.clone(), active.spec.factor.unwrap_or(Decimal::ONE)));
                }
                "freeze-ts" => effects.frozen_at = Some(active.injected_at),
                "skew" => effects.skew += active.spec.ms.unwrap_or(0),
                "unit" => effects.unit = active.spec.unit.unwrap_or_default(),
                "replay" => effects.replay = active.spec.n.unwrap_or(0),
                "gap" => {
                    let injected_at = active.injected_at - active.injected_at.rem_euclid(MINUTE);
                    let from = injected_at - i64::from(active.spec.ago.unwrap_or(0)) * MINUTE;
                    let to = from + i64::from(active.spec.minutes.unwrap_or(1)) * MINUTE;
                    effects.gaps.push((active.spec.symbol.clone(), from..to));
                }
                "halt" => effects.halted.extend(active.spec.symbol.clone()),
                "warn" => active.spec.add_warning(&mut effects),
                "delist" => effects.delisted.extend(active.spec.symbol.clone()),
                "rename" => effects.renamed.extend(active.spec.symbol.clone().zip(active.spec.to.clone())),
                _ => {}
            }
        }
        effects
    }

    fn expire(&mut self, now: Duration) {
        self.active.retain(|active| active.times_left != Some(0) && active.until.is_none_or(|until| now < until));
    }
}

fn is_one_shot(kind: &str) -> bool {
    matches!(kind, "close" | "rst" | "eof" | "raw")
}

/// A point at which faults may be injected: a request or stream of a venue, at one time.
#[derive(Debug, Clone, Copy)]
pub struct InjectionPoint<'a> {
    /// Stream or REST.
    pub transport: Transport,
    /// The venue's id; empty where it is not known yet.
    pub venue: &'a str,
    /// Path and query of the request or stream.
    pub path: &'a str,
    /// Monotonic time.
    pub now: Duration,
}

impl InjectionPoint<'_> {
    fn is_affected_by(&self, spec: &FaultSpec) -> bool {
        let path = spec.path.as_deref().is_none_or(|part| self.path.contains(part));
        let whole = self.transport == Rest && WHOLE_RESPONSE.contains(&spec.fault.as_str());
        path && spec.affects(self.transport, self.venue) && (!whole || self.names_market(spec.symbol.as_deref()))
    }

    /// Returns whether the request names a market: in its query, or at the end of a segment of its path, alone or after
    /// a colon. True for `None`.
    pub fn names_market(&self, symbol: Option<&str>) -> bool {
        let Some(symbol) = symbol else { return true };
        let (path, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        let names = venues::find(self.venue).and_then(|venue| venue.payloads().rows.names);
        let is_named = |name: &str| {
            names_same_market(symbol, name) || names.is_some_and(|own| names_same_market(symbol, &own(name)))
        };
        let in_query = |value: &str| value.split([',', '"', '[', ']']).any(is_named);
        let in_segment = |segment: &str| {
            let after_colons = segment.match_indices(':').map(|(at, colon)| &segment[at + colon.len()..]);
            after_colons.chain([segment]).any(|name| names_same_market(symbol, name))
        };
        url::form_urlencoded::parse(query.as_bytes()).any(|(_, value)| in_query(&value))
            || path.split('/').any(in_segment)
    }
}
