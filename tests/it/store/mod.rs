//! What was learned outlives the process, whatever ends it, and is never anything else than what was learned.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod backup;
mod damage;
#[cfg(target_os = "linux")]
mod disk;
mod files;
mod holes;
mod kills;
mod lives;
#[cfg(target_os = "linux")]
mod mounts;
mod serve;
pub mod setup;
mod trip;
mod units;
mod view;
