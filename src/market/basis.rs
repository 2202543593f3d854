//! The earlier point in time that a change is measured from.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The moment a change is measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Basis {
    /// Twenty-four hours ago, at minute resolution.
    #[default]
    #[serde(rename = "24h")]
    Rolling24h,
    /// The last midnight in UTC (09:00 in Seoul).
    #[serde(rename = "utc-day")]
    UtcDay,
    /// The last midnight in Seoul.
    #[serde(rename = "kst-day")]
    KstDay,
}

impl Basis {
    /// Every basis, in the order in which a [`Quote`](super::Quote) holds its bases.
    pub const ALL: [Self; 3] = [Self::Rolling24h, Self::UtcDay, Self::KstDay];

    /// Returns the word used in URLs, JSON and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rolling24h => "24h",
            Self::UtcDay => "utc-day",
            Self::KstDay => "kst-day",
        }
    }

    /// Returns the base time: the base price is the last trade before this instant.
    ///
    /// It is the start of a minute, the resolution of the window. Day boundaries come from the time-zone
    /// database, not from a fixed offset.
    pub fn base_time(self, now: Timestamp) -> Timestamp {
        let zone = match self {
            Self::Rolling24h => {
                let day_ago = now.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
                return super::Minute::of(day_ago).start();
            }
            Self::UtcDay => TimeZone::UTC,
            Self::KstDay => seoul(),
        };
        let local = zone.to_datetime(now);
        zone.to_timestamp(local.date().to_datetime(Time::midnight())).unwrap_or(Timestamp::MIN)
    }
}

fn seoul() -> TimeZone {
    // The database is bundled with the program, so the lookup succeeds. The fallback is Korea's offset since
    // 1988.
    TimeZone::get("Asia/Seoul").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(9)))
}

/// A text that is not the name of a basis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown basis {0:?}: use 24h, utc-day or kst-day")]
pub struct UnknownBasis(pub String);

impl FromStr for Basis {
    type Err = UnknownBasis;

    fn from_str(text: &str) -> Result<Self, UnknownBasis> {
        let known = Self::ALL.into_iter().find(|basis| basis.as_str() == text);
        known.ok_or_else(|| UnknownBasis(text.chars().take(32).collect()))
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
