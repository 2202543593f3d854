//! Which tickers are believed by their times, and why others are not.

use jiff::{SignedDuration, Timestamp};

use super::{Ticker, shifted};

/// A venue time further ahead of ours than this is not believed.
pub const AHEAD_MAX: SignedDuration = SignedDuration::from_secs(5);

/// A message time further behind ours than this is not believed; further ahead, it is none.
const BEHIND_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A streamed message dated longer ago than this is a repetition.
const REPEATED_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// No trade of a cryptocurrency is older than the first block of Bitcoin, 2009-01-03.
const FIRST_TRADE: Timestamp = Timestamp::constant(1_230_940_800, 0);

/// Why something of a ticker was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Implausible {
    /// A time lies ahead of the present.
    #[error("the {what} time {time} is {} ahead of the exchange's clock", rough(*.by))]
    Ahead {
        /// `trade` or `message`.
        what: &'static str,
        /// The time.
        time: Timestamp,
        /// How far.
        by: SignedDuration,
    },
    /// A time is of another age: another unit or another zone.
    #[error("the {what} time {time} is {} behind the exchange's clock", rough(*.by))]
    Behind {
        /// `trade` or `message`.
        what: &'static str,
        /// The time.
        time: Timestamp,
        /// How far.
        by: SignedDuration,
    },
    /// Answers go on to tell of an older trade than was told of before.
    #[error("the trade time {time} is before {newest}, that of the newest trade told of so far")]
    Older {
        /// When their trade was.
        time: Timestamp,
        /// When the newest one was said to be.
        newest: Timestamp,
    },
    /// Its trade is from before the market was listed, or listed again.
    #[error("the trade time {0} is from before the market was listed")]
    Former(Timestamp),
    /// The market is listed again, and nothing shows yet whether its price is that of the same coin.
    #[error("the market is listed again, and no trade since then shows that it is the same coin")]
    Unproven,
    /// The unit of the price is another one than that of its base.
    #[error("the price has moved by a power of ten since its base, as if its unit had changed")]
    Rescaled,
}

impl Implausible {
    /// The stable word that counts it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ahead { .. } => "time-ahead",
            Self::Behind { .. } | Self::Older { .. } => "time-behind",
            Self::Former(_) | Self::Unproven => "former-listing",
            Self::Rescaled => "rescaled",
        }
    }

    /// What it is that was not believed.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Ahead { what, .. } | Self::Behind { what, .. } if *what == MESSAGE => Some("sent_at"),
            Self::Ahead { .. } | Self::Behind { .. } | Self::Older { .. } | Self::Former(_) => Some("traded_at"),
            Self::Rescaled | Self::Unproven => None,
        }
    }
}

/// The time of a trade.
const TRADE: &str = "trade";
/// The time of a message.
pub const MESSAGE: &str = "message";

/// Checks the times of a ticker against the venue's clock; returns the message's if it can be done without.
///
/// What dates its trades needs no other date: one of the message that is of another age altogether is garbage and costs
/// nothing but itself. One that is a little ahead is that of a wrong clock, and nothing dated by it is believed.
///
/// # Errors
/// [`Implausible`] if the ticker is not to be believed.
pub fn plausible(ticker: &Ticker, venue_now: Timestamp) -> Result<Option<Implausible>, Implausible> {
    let ahead = |what, time: Option<Timestamp>| {
        let time = time.filter(|&time| time > shifted(venue_now, AHEAD_MAX))?;
        Some(Implausible::Ahead { what, time, by: time.duration_since(venue_now) })
    };
    let behind = |what, time: Option<Timestamp>, oldest: Timestamp| {
        let time = time.filter(|&time| time < oldest)?;
        Some(Implausible::Behind { what, time, by: venue_now.duration_since(time) })
    };
    let trade = ahead(TRADE, ticker.traded_at).or_else(|| behind(TRADE, ticker.traded_at, FIRST_TRADE));
    if let Some(trade) = trade {
        return Err(trade);
    }
    // A message of yesterday repeats what was so then, whatever it says of its trade.
    if let Some(message) = behind(MESSAGE, ticker.sent_at, shifted(venue_now, -BEHIND_MAX)) {
        return Err(message);
    }
    match ahead(MESSAGE, ticker.sent_at) {
        Some(message @ Implausible::Ahead { by, .. }) if ticker.traded_at.is_some() && by > BEHIND_MAX => {
            Ok(Some(message))
        }
        Some(message) => Err(message),
        None => Ok(None),
    }
}

/// Whether a streamed message sent at `sent_at` repeats what was said before: it confirms no price of now.
pub fn is_repeated(sent_at: Timestamp, venue_now: Timestamp) -> bool {
    sent_at < shifted(venue_now, -REPEATED_AFTER)
}

/// `22.3 s`, `90 min`, `25 h`, `20663 days`: as exact as an operator wants it.
fn rough(by: SignedDuration) -> String {
    match by.as_secs() {
        0..120 => format!("{}.{} s", by.as_secs(), by.subsec_millis() / 100),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
