//! What a venue says of its own last 24 hours, for as long as it is true.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use crate::domain::{Price, Ticker};

/// A figure that was not said again for so long is of another day than the price beside it.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(5);

/// A base moves with each trade of a day ago: it is none for the next minute's price.
const BASE_GOOD_FOR: SignedDuration = SignedDuration::from_mins(1);

/// The newest of each figure, and when it was said by the venue's clock.
///
/// A ticker need not say all of them (IN-33): what it leaves out stands as it was said
/// before, but not for ever, since the 24 hours that it speaks of move on.
#[derive(Debug, Clone, Copy, Default)]
pub struct SaidDay {
    high: Said<Price>,
    low: Said<Price>,
    base_volume: Said<Decimal>,
    quote_volume: Said<Decimal>,
    base: Said<Price>,
}

type Said<T> = Option<(T, Timestamp)>;

impl SaidDay {
    /// Takes in what a ticker says `at` by the venue's clock.
    pub fn take(&mut self, ticker: &Ticker, at: Timestamp) {
        let said = |new: Option<Price>, old| new.map(|new| (new, at)).or(old);
        self.high = said(ticker.high_24h, self.high);
        self.low = said(ticker.low_24h, self.low);
        self.base = said(ticker.base_24h, self.base);
        self.base_volume = ticker.base_volume_24h.map(|new| (new, at)).or(self.base_volume);
        self.quote_volume = ticker.quote_volume_24h.map(|new| (new, at)).or(self.quote_volume);
    }

    /// Has nothing said later than `at`.
    pub fn set_back(&mut self, at: Timestamp) {
        fn earlier<T>(said: Said<T>, at: Timestamp) -> Said<T> {
            said.map(|(value, then)| (value, then.min(at)))
        }
        (self.high, self.low, self.base) = (earlier(self.high, at), earlier(self.low, at), earlier(self.base, at));
        (self.base_volume, self.quote_volume) = (earlier(self.base_volume, at), earlier(self.quote_volume, at));
    }

    /// Returns the highest price of the day before `at`.
    pub fn high(&self, at: Timestamp) -> Option<Price> {
        good(self.high, at, GOOD_FOR)
    }

    /// Returns the lowest price of the day before `at`.
    pub fn low(&self, at: Timestamp) -> Option<Price> {
        good(self.low, at, GOOD_FOR)
    }

    /// Returns what was traded in the day before `at`, in the base asset.
    pub fn base_volume(&self, at: Timestamp) -> Option<Decimal> {
        good(self.base_volume, at, GOOD_FOR)
    }

    /// Returns what was traded in the day before `at`, in the quote asset.
    pub fn quote_volume(&self, at: Timestamp) -> Option<Decimal> {
        good(self.quote_volume, at, GOOD_FOR)
    }

    /// Returns the price of 24 hours before `at`.
    pub fn base(&self, at: Timestamp) -> Option<Price> {
        good(self.base, at, BASE_GOOD_FOR)
    }
}

fn good<T: Copy>(said: Said<T>, at: Timestamp, for_long: SignedDuration) -> Option<T> {
    said.filter(|&(_, then)| at.duration_since(then) <= for_long).map(|(value, _)| value)
}
