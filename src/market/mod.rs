//! Market data types: prices, markets, minutes, windows, changes and quote rows.
//!
//! Everything here is pure: no I/O, no async, no JSON, no floats, and no clock (time is an argument). Values
//! are validated when they are created: a [`Price`] is above zero, a [`Market`] has two non-empty sides, a
//! [`Candle`] has its low below its high. Numbers stay [`rust_decimal::Decimal`] from the exchange's text to
//! the reader's screen; the only rounding happens in [`change`].

pub mod amount;
pub mod asset;
pub mod change;
pub mod history;
mod ids;
mod minute;
mod movers;
mod quote;
mod redenomination;
pub mod tick_size;
mod ticker;
pub mod window;

pub use amount::{AmountError, Price};
pub use change::{Basis, Change, Direction, UnknownBasis};
pub use ids::{ASSET_BYTES_MAX, Market, MarketError, VenueId, escape_unprintable, is_unprintable};
pub use minute::{
    HourRecord, HourSource, MINUTES_PER_HOUR, Minute, MinuteSet, Now, SECONDS_PER_MINUTE, VenueClock, shifted,
};
pub use movers::{Movers, MoversRule};
pub use quote::{Base, BaseSource, HaltReason, NoChange, Notice, NoticeKind, Quote, SourceId, State};
pub use redenomination::{Redenomination, UnitChanges, power_of_ten};
pub use ticker::{Candle, CandleError, Ticker};
pub use window::Window;
