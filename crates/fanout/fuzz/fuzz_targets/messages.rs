// `cargo +nightly fuzz run messages` in crates/fanout.
#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: (&[u8], u8, bool)| check::check(input.0, input.1.into(), input.2));
