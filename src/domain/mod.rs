//! The words of the trade, as types that cannot be wrong.
//!
//! Everything here is pure: no I/O, no async, no JSON, no floats, and no clock
//! (time is an argument). A value that exists has been checked: a [`Price`] is
//! above zero, a [`Market`] has two non-empty sides, a [`Candle`] has its low
//! below its high. Numbers are [`rust_decimal::Decimal`] from the exchange's
//! text to the reader's screen and are never rounded on the way, except once,
//! in [`change`].

pub mod amount;
pub mod asset;
mod basis;
mod candle;
pub mod change;
mod event;
mod health;
pub mod history;
mod implausible;
mod market;
mod minute;
mod movers;
mod notice;
mod printable;
mod quote;
mod ranges;
mod record;
mod rescale;
pub mod tick_size;
mod ticker;
mod units;
pub mod window;

pub use amount::{AmountError, Price};
pub use basis::{Basis, UnknownBasis};
pub use candle::{Candle, CandleError};
pub use change::{Change, Direction};
pub use event::{Event, Gap, Jump, JumpStands, Link, Listing, Publish, Relisting, Urgency, Via};
pub use health::{
    Example, Lacks, MISSING_MAX, Missing, Problem, Problems, Reason, ReasonCode, VenueHealth, VenueState,
};
pub use implausible::{AHEAD_MAX, Implausible, MESSAGE, is_repeated, plausible};
pub use market::{ASSET_BYTES_MAX, Market, MarketError, VenueId};
pub use minute::{Minute, Now, VenueClock, shifted};
pub use movers::{Movers, MoversRule};
pub use notice::{HaltReason, Notice, NoticeKind};
pub use printable::{escape_unprintable, is_unprintable};
pub use quote::{Base, BaseSource, NoChange, Quote, SourceId, State};
pub use ranges::Ranges;
pub use record::{FeedRecords, HOUR, HourRecord, HourSource, Keeper, LastRecord, ListingRecord, StoreHealth};
pub use rescale::power_of_ten;
pub use ticker::Ticker;
pub use units::{Redenomination, Units};
pub use window::Window;
