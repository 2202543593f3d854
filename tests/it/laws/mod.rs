//! Laws of the domain, checked with generated cases and against independent computations.

mod change;
mod coverage;
pub mod exact;
mod names;
mod numbers;
mod records;
mod time;
mod window;
