//! Plausibility checks of ticker times, and the reasons for rejecting a ticker.

use jiff::{SignedDuration, Timestamp};

use crate::market::{Ticker, shifted};

/// Times further ahead of the venue's clock are rejected.
pub const AHEAD_MAX: SignedDuration = SignedDuration::from_secs(5);

/// Message times further behind the venue's clock are rejected; those further ahead are ignored if the ticker has a
/// trade time.
const BEHIND_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A streamed message older than this is a repetition.
const REPEATED_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// No trade of a cryptocurrency is older than the first block of Bitcoin, 2009-01-03.
const FIRST_TRADE: Timestamp = Timestamp::constant(1_230_940_800, 0);

/// Why a ticker, or a part of it, was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Implausible {
    /// A time is in the future.
    #[error("the {what} time {time} is {} ahead of the exchange's clock", format_duration(*.by))]
    Ahead {
        /// `trade` or `message`.
        what: &'static str,
        /// The timestamp.
        time: Timestamp,
        /// The difference.
        by: SignedDuration,
    },
    /// A time is too far in the past: outdated messages keep coming, or the time is in another unit.
    #[error("the {what} time {time} is {} behind the exchange's clock", format_duration(*.by))]
    Behind {
        /// `trade` or `message`.
        what: &'static str,
        /// The timestamp.
        time: Timestamp,
        /// The difference.
        by: SignedDuration,
    },
    /// Fetched responses keep reporting an older trade than one that is already known.
    #[error("the trade time {time} is before {newest}, the time of the newest known trade")]
    Older {
        /// Time of the trade that they report.
        time: Timestamp,
        /// Time of the newest known trade.
        newest: Timestamp,
    },
    /// The trade is from before the market was listed, or listed again.
    #[error("the trade time {0} is from before the market was listed")]
    FormerListing(Timestamp),
    /// The market is listed again, and no trade shows yet whether it is the same coin.
    #[error("the market is listed again, and no trade since then shows that it is the same coin")]
    UnprovenListing,
    /// The price is in another unit than its base.
    #[error("the price has moved by a power of ten since its base, as if its unit had changed")]
    Rescaled,
}

impl Implausible {
    /// Returns the stable code under which it is counted.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ahead { .. } => "time-ahead",
            Self::Behind { .. } | Self::Older { .. } => "time-behind",
            Self::FormerListing(_) | Self::UnprovenListing => "former-listing",
            Self::Rescaled => "rescaled",
        }
    }

    /// Returns the field that was rejected, if it was a single one.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Ahead { what, .. } | Self::Behind { what, .. } if *what == MESSAGE_TIME => Some("sent_at"),
            Self::Ahead { .. } | Self::Behind { .. } | Self::Older { .. } | Self::FormerListing(_) => Some("traded_at"),
            Self::Rescaled | Self::UnprovenListing => None,
        }
    }
}

/// The label of a trade time.
const TRADE_TIME: &str = "trade";
/// The label of a message time.
pub const MESSAGE_TIME: &str = "message";

/// Checks the times of a ticker against the venue's clock; returns the problem of the message time if the
/// ticker is usable without it.
///
/// A ticker with a trade time does not need its message time: if that is more than 24 hours ahead, it is
/// garbage and only it is ignored. If it is a little ahead, it comes from a wrong clock, and the whole ticker
/// is rejected.
///
/// # Errors
/// [`Implausible`] if the ticker has to be rejected.
pub fn check_ticker_times(ticker: &Ticker, venue_now: Timestamp) -> Result<Option<Implausible>, Implausible> {
    let ahead = |what, time: Option<Timestamp>| {
        let time = time.filter(|&time| time > shifted(venue_now, AHEAD_MAX))?;
        Some(Implausible::Ahead { what, time, by: time.duration_since(venue_now) })
    };
    let behind = |what, time: Option<Timestamp>, oldest: Timestamp| {
        let time = time.filter(|&time| time < oldest)?;
        Some(Implausible::Behind { what, time, by: venue_now.duration_since(time) })
    };
    let trade = ahead(TRADE_TIME, ticker.traded_at).or_else(|| behind(TRADE_TIME, ticker.traded_at, FIRST_TRADE));
    if let Some(trade) = trade {
        return Err(trade);
    }
    // A message from yesterday repeats the state of that time, whatever its trade time is.
    if let Some(message) = behind(MESSAGE_TIME, ticker.sent_at, shifted(venue_now, -BEHIND_MAX)) {
        return Err(message);
    }
    match ahead(MESSAGE_TIME, ticker.sent_at) {
        Some(message @ Implausible::Ahead { by, .. }) if ticker.traded_at.is_some() && by > BEHIND_MAX => {
            Ok(Some(message))
        }
        Some(message) => Err(message),
        None => Ok(None),
    }
}

/// Returns whether a streamed message sent at `sent_at` repeats an old state, and so does not confirm the
/// current price.
pub fn is_repeated(sent_at: Timestamp, venue_now: Timestamp) -> bool {
    sent_at < shifted(venue_now, -REPEATED_AFTER)
}

/// Formats a duration as precisely as an operator needs it: `22.3 s`, `90 min`, `25 h`, `20663 days`.
fn format_duration(by: SignedDuration) -> String {
    match by.as_secs() {
        0..120 => format!("{}.{} s", by.as_secs(), by.subsec_millis() / 100),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
