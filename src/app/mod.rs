//! Connects the components and runs them.

mod serve;

pub(crate) use serve::{
    Listeners, board_settings, fixed_boards, ingest_settings, markets_of, open_store, run_with, venues_of,
};
pub use serve::{run, run_with_boards};
