//! A reproducible random number generator: splitmix64, keyed by its purpose.
//!
//! Implemented here because the trades that tests expect must not change with the version of a library.

/// A generator whose numbers depend only on its keys.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Creates a generator from keys.
    pub fn keyed(keys: &[u64]) -> Self {
        let mut rng = Self(0x5eed_0f5e_ed0f_5eed);
        for key in keys {
            rng.0 ^= *key;
            rng.0 = rng.draw();
        }
        rng
    }

    /// Returns the next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `limit`, or 0 if `limit` is 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        // The high half of a 32 × 32 bit product is below `limit`.
        let wide = (self.draw() >> 32) * u64::from(limit);
        u32::try_from(wide >> 32).unwrap_or(0)
    }

    /// Returns a number from `-size` to `size`, both included.
    pub fn around(&mut self, size: u32) -> i64 {
        i64::from(self.below(2 * size + 1)) - i64::from(size)
    }
}

/// Hashes a name to a key (FNV-1a).
pub fn key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
