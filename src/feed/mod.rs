//! What passes between ingest, board, store and hub: events of venues, changed rows, health, records.

mod event;
mod health;
mod implausible;
mod record;

pub use event::{BoardUpdate, Event, Gap, Jump, JumpStatus, Listing, Relisting, Transport, Urgency, Via};
pub use health::{
    Example, MISSING_MAX, Missing, MissingPart, Problem, Problems, Reason, ReasonCode, VenueHealth, VenueState,
};
pub use implausible::{AHEAD_MAX, Implausible, MESSAGE_TIME, check_ticker_times, is_repeated};
pub use record::{FeedRecords, LastRecord, ListingRecord, StoreHealth, StoreHealthSource};
