//! Environment variables that repeat or lengthen a random test. They have no prefix, since the program rejects a
//! variable that begins with `SISEPAN_` and is no setting of it.

use std::str::FromStr;
use std::sync::OnceLock;

use rand::SeedableRng as _;
use rand_pcg::Pcg64;

/// Returns the number in a variable, if it is set.
pub fn set<N: FromStr>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}

/// Returns the number in a variable, or `default` if it is not set.
pub fn number<N: FromStr>(name: &str, default: N) -> N {
    set(name).unwrap_or(default)
}

/// Returns `SEED`, or else a random seed, the same for the whole run. Prints it, so that a failing test shows it.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = *SEED.get_or_init(|| set("SEED").unwrap_or_else(rand::random));
    println!("seed {seed} (SEED={seed} repeats its random choices)");
    seed
}

/// Returns a generator with [`seed`].
pub fn rng() -> Pcg64 {
    Pcg64::seed_from_u64(seed())
}
