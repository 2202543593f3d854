//! What passes between ingest, board, store and bus: events of venues, changed rows, health, records.

mod event;
mod health;
mod implausible;

pub use event::{
    BoardUpdate, Event, FeedRecords, Gap, Jump, JumpStatus, LastRecord, Listing, ListingRecord, MISSED_LISTS_MAX,
    Relisting, StoreHealth, StoreHealthSource, Transport, Urgency, Via,
};
pub use health::{
    Example, MISSING_MAX, Missing, MissingPart, Problem, Problems, Reason, ReasonCode, UNKNOWN_NAME, VenueHealth,
    VenueState, quoted,
};
pub use implausible::{AHEAD_MAX, Implausible, MESSAGE_TIME, check_ticker_times, is_repeated};
