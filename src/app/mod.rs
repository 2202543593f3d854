//! Connects the components and runs them.

mod serve;

pub use serve::run;
pub(crate) use serve::{Listeners, board_settings, ingest_settings, markets_of, open_store, run_with, venues_of};
