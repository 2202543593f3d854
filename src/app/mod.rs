//! Connects the components and runs them: the market, which ends in a bus, and an edge, which begins there.

mod edge;
mod market;
mod serve;
mod settings;

pub(crate) use serve::{Listeners, fixed_boards, open_store, run_with};
pub use serve::{run, run_with_boards};
pub(crate) use settings::{board_settings, ingest_settings, markets_of, venues_of};
