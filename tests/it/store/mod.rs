//! The store: saved data survives the process, however it ends, and is never restored as anything else.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod backup;
mod crash_loop;
mod damage;
#[cfg(target_os = "linux")]
mod disk;
mod files;
mod gaps;
mod kills;
#[cfg(target_os = "linux")]
mod mounts;
mod serve;
pub mod setup;
mod trip;
mod units;
mod view;
