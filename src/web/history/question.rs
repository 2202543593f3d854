//! What may be asked of the past.

use axum::http::StatusCode;
use jiff::Timestamp;

use super::super::AppState;
use super::super::ask::{Refusal, board_of, source_of, words};
use super::super::error::Error;
use crate::domain::{Market, Minute, VenueId};

/// How long ago the past begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    /// 24 hours.
    Day,
    /// Seven days.
    Week,
}

/// How much time is between two entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// The word in URLs.
    pub word: &'static str,
    /// In minutes.
    pub minutes: u32,
}

const M1: Step = Step { word: "1m", minutes: 1 };
const M5: Step = Step { word: "5m", minutes: 5 };
const M15: Step = Step { word: "15m", minutes: 15 };
const H1: Step = Step { word: "1h", minutes: 60 };
const H4: Step = Step { word: "4h", minutes: 240 };

impl Span {
    /// Every span.
    pub const ALL: [Self; 2] = [Self::Day, Self::Week];

    /// Returns the word in URLs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    fn minutes(self) -> i64 {
        match self {
            Self::Day => 24 * 60,
            Self::Week => 7 * 24 * 60,
        }
    }

    /// Returns the steps that it may be asked in, the usual one first: never more than 10,080 entries.
    pub fn steps(self) -> &'static [Step] {
        match self {
            Self::Day => &[M1, M5, M15, H1, H4],
            Self::Week => &[M15, M1, M5, H1, H4],
        }
    }

    /// Returns the step for a plot of a page: some hundreds of points.
    pub fn plot_step(self) -> Step {
        match self {
            Self::Day => M5,
            Self::Week => H1,
        }
    }

    /// Returns the step for a line of the size of a word.
    pub fn spark_step(self) -> Step {
        match self {
            Self::Day => M15,
            Self::Week => H4,
        }
    }
}

/// One question of the past.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The market.
    pub market: Market,
    /// The venue whose closes are wanted.
    pub venue: VenueId,
    /// The venues that the market's row may come from.
    pub venues: Vec<VenueId>,
    /// How far back.
    pub span: Span,
    /// How fine.
    pub step: Step,
}

impl Question {
    /// Reads a market and the values of `board`, `venue`, `span` and `step`.
    ///
    /// # Errors
    /// Naming the parameter that is wrong, and what it may be.
    pub fn read(app: &AppState, market: &str, asked: [Option<String>; 4]) -> Result<Self, Error> {
        let [board, venue, span, step] = asked;
        let board = board_of(app, board.as_deref())?;
        let known: Option<Market> = market.parse().ok();
        let found = known.and_then(|market| source_of(app, board, &market).map(|source| (market, source)));
        let (market, source) = found.ok_or_else(|| no_market(market))?;
        let venues = app.boards.iter().find(|board| board.source == source).map(|board| board.venues());
        let venues = venues.unwrap_or_default();
        let venue = match venue {
            Some(id) => *venues
                .iter()
                .find(|venue| venue.as_str() == id)
                .ok_or_else(|| Refusal::unknown("unknown-venue", "venue", &id, words(&venues)))?,
            None => {
                let current = app.hub.row(&source, &market).map(|row| row.venue);
                *current.as_ref().or(venues.first()).ok_or_else(|| no_market(market.as_str()))?
            }
        };
        let span = choose("bad-span", "span", span.as_deref(), &Span::ALL, |span| span.word())?;
        let step = choose("bad-step", "step", step.as_deref(), span.steps(), |step| step.word)?;
        Ok(Self { market, venue, venues, span, step })
    }

    /// Returns the minutes that are meant now: whole steps of UTC, up to the last minute that has ended.
    pub fn minutes(&self, now: Timestamp) -> std::ops::Range<Minute> {
        let (end, step) = (Minute::of(now), i64::from(self.step.minutes));
        let start = (end.0 - self.span.minutes()).div_euclid(step) * step;
        Minute(start)..end
    }
}

fn no_market(market: &str) -> Error {
    let shown: String = market.chars().take(64).collect();
    Error::new(StatusCode::NOT_FOUND, "unknown-market", "Unknown market", format!("there is no market {shown:?} here"))
}

/// Finds a value by its word; the first is the usual one.
fn choose<T: Copy>(
    code: &'static str,
    name: &str,
    value: Option<&str>,
    all: &[T],
    word: fn(&T) -> &'static str,
) -> Result<T, Refusal> {
    let found = match value {
        Some(value) => all.iter().find(|one| word(one) == value),
        None => all.first(),
    };
    let refuse = || {
        let allowed = all.iter().map(|one| word(one).to_owned()).collect();
        Refusal::unknown(code, name, value.unwrap_or_default(), allowed)
    };
    found.copied().ok_or_else(refuse)
}
