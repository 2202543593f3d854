//! Query for the history of a market.

use axum::http::StatusCode;
use jiff::Timestamp;

use super::super::AppState;
use super::super::error::Error;
use super::super::rows_query::{BadRequest, find_board, find_source, to_strings};
use crate::market::{Market, Minute, VenueId};

/// Length of a history, up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    /// 24 hours.
    Day,
    /// Seven days.
    Week,
}

/// Time between two entries of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// Value in URLs.
    pub name: &'static str,
    /// The same in minutes.
    pub minutes: u32,
}

const M1: Step = Step { name: "1m", minutes: 1 };
const M5: Step = Step { name: "5m", minutes: 5 };
const M15: Step = Step { name: "15m", minutes: 15 };
const H1: Step = Step { name: "1h", minutes: 60 };
const H4: Step = Step { name: "4h", minutes: 240 };

impl Span {
    /// Every span.
    pub const ALL: [Self; 2] = [Self::Day, Self::Week];

    /// Returns the value in URLs.
    pub fn as_str(self) -> &'static str {
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

    /// Returns the allowed steps, the default first; none gives more than 10,080 entries.
    pub fn steps(self) -> &'static [Step] {
        match self {
            Self::Day => &[M1, M5, M15, H1, H4],
            Self::Week => &[M15, M1, M5, H1, H4],
        }
    }

    /// Returns the step of a page's plot, which has some hundred points.
    pub fn plot_step(self) -> Step {
        match self {
            Self::Day => M5,
            Self::Week => H1,
        }
    }

    /// Returns the step of a sparkline.
    pub fn spark_step(self) -> Step {
        match self {
            Self::Day => M15,
            Self::Week => H4,
        }
    }
}

/// Query for the history of one market.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HistoryQuery {
    /// The market.
    pub market: Market,
    /// The venue of the closes.
    pub venue: VenueId,
    /// All venues that may supply the market's row.
    pub venues: Vec<VenueId>,
    /// The span.
    pub span: Span,
    /// The step.
    pub step: Step,
}

impl HistoryQuery {
    /// Parses a market and the values of `board`, `venue`, `span` and `step`.
    ///
    /// # Errors
    /// Returns an error that names the invalid parameter and its allowed values.
    pub fn parse(app: &AppState, market: &str, values: [Option<String>; 4]) -> Result<Self, Error> {
        let [board, venue, span, step] = values;
        let board = find_board(app, board.as_deref())?;
        let parsed: Option<Market> = market.parse().ok();
        let found = parsed.and_then(|market| find_source(app, board, &market).map(|source| (market, source)));
        let (market, source) = found.ok_or_else(|| unknown_market(market))?;
        let venues = app.boards.iter().find(|board| board.source == source).map(|board| board.venues());
        let venues = venues.unwrap_or_default();
        let venue = match venue {
            Some(id) => *venues
                .iter()
                .find(|venue| venue.as_str() == id)
                .ok_or_else(|| BadRequest::unknown("unknown-venue", "venue", &id, to_strings(&venues)))?,
            None => {
                let current = app.hub.row(&source, &market).map(|row| row.venue);
                *current.as_ref().or(venues.first()).ok_or_else(|| unknown_market(market.as_str()))?
            }
        };
        let span = choose("bad-span", "span", span.as_deref(), &Span::ALL, |span| span.as_str())?;
        let step = choose("bad-step", "step", step.as_deref(), span.steps(), |step| step.name)?;
        Ok(Self { market, venue, venues, span, step })
    }

    /// Returns the range of minutes at `now`: starts at a whole step in UTC, ends with the last complete minute.
    pub fn minute_range(&self, now: Timestamp) -> std::ops::Range<Minute> {
        let (end, step) = (Minute::of(now), i64::from(self.step.minutes));
        let start = (end.0 - self.span.minutes()).div_euclid(step) * step;
        Minute(start)..end
    }
}

fn unknown_market(market: &str) -> Error {
    let name: String = market.chars().take(64).collect();
    Error::new(StatusCode::NOT_FOUND, "unknown-market", "Unknown market", format!("unknown market {name:?}"))
}

/// Parses a value; the default is the first of `all`.
fn choose<T: Copy>(
    code: &'static str,
    name: &str,
    value: Option<&str>,
    all: &[T],
    to_str: fn(&T) -> &'static str,
) -> Result<T, BadRequest> {
    let found = match value {
        Some(value) => all.iter().find(|one| to_str(one) == value),
        None => all.first(),
    };
    let invalid = || {
        let allowed = all.iter().map(|one| to_str(one).to_owned()).collect();
        BadRequest::unknown(code, name, value.unwrap_or_default(), allowed)
    };
    found.copied().ok_or_else(invalid)
}
