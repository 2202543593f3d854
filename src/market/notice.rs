//! Why a market is halted, and the notices that its venue publishes about it.

use jiff::civil::Date;
use serde::{Serialize, Serializer};

/// Why a market is halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HaltReason {
    /// The venue has suspended trading, or has not opened it yet.
    Suspended,
    /// The venue has taken the market off its list.
    Delisted,
}

impl HaltReason {
    /// Returns the word used in JSON and CSV.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Delisted => "delisted",
        }
    }
}

/// Severity of a notice, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeKind {
    /// Something about the market is unusual (주의).
    Caution,
    /// The venue has put the market on its watch list (유의).
    Warning,
    /// The venue has announced the end of trading (거래지원 종료).
    Delisting,
}

impl NoticeKind {
    /// Returns the word used in JSON, CSV and markup.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caution => "caution",
            Self::Warning => "warning",
            Self::Delisting => "delisting",
        }
    }
}

/// A venue's warning about a market. It does not change the state of the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The most serious notice in force.
    pub kind: NoticeKind,
    /// Announced delisting date in Korean time; only for [`NoticeKind::Delisting`].
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "day")]
    pub date: Option<Date>,
    /// The cautions in force, as the venue names them, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cautions: Vec<String>,
}

impl Notice {
    /// Combines the notices in force; returns `None` if there are none.
    pub fn of(warning: bool, delisting: Option<Date>, cautions: &[String]) -> Option<Self> {
        let kind = match (delisting, warning) {
            (Some(_), _) => NoticeKind::Delisting,
            (None, true) => NoticeKind::Warning,
            (None, false) if !cautions.is_empty() => NoticeKind::Caution,
            (None, false) => return None,
        };
        Some(Self { kind, date: delisting, cautions: cautions.to_vec() })
    }
}

fn day<S: Serializer>(date: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
    match date {
        Some(date) => serializer.collect_str(date),
        None => serializer.serialize_none(),
    }
}
