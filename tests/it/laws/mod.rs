//! Laws of the domain, held by generated cases and by another road to the same answer.

mod change;
mod coverage;
pub mod exact;
mod names;
mod numbers;
mod records;
mod time;
mod window;
