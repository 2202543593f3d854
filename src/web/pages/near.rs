//! What exists and is spelt most like something that does not.

use std::collections::HashSet;

use strsim::damerau_levenshtein;

use super::given::shorten;
use crate::config::Board;
use crate::domain::Market;
use crate::text::{self, Lang};

/// Most names that are offered.
const OFFERED_MAX: usize = 3;

/// Returns the words that are nearest to what was asked for, the nearest first.
pub fn words<'a>(asked: &str, words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let asked = shorten(asked).to_lowercase();
    nearest(words.map(|word| (damerau_levenshtein(&asked, &word.to_lowercase()), word)))
}

/// Returns the markets of some boards that are nearest to what was asked for, the nearest first.
///
/// A market is found by its id, by its base, and by the names of its base; the same base counts before any spelling.
pub fn markets(asked: &str, boards: &[Board]) -> Vec<String> {
    let asked = shorten(asked).to_lowercase();
    let base = asked.split('-').next().unwrap_or_default();
    let distance = |market: &Market| {
        let names = Lang::ALL.map(|lang| text::asset(market.base(), lang));
        let mut spellings = vec![market.to_string(), format!("{}{}", market.base(), market.quote())];
        spellings.push(market.base().to_owned());
        let spelt = spellings.iter().chain(&names).map(|name| damerau_levenshtein(&asked, &name.to_lowercase())).min();
        (!market.base().eq_ignore_ascii_case(base), spelt)
    };
    let markets = boards.iter().flat_map(|board| board.markets.iter());
    nearest(markets.map(|market| (distance(market), market.as_str())))
}

/// Returns the words of the least distance; of the same distance, the one that stands first.
fn nearest<'a, D: Ord>(all: impl Iterator<Item = (D, &'a str)>) -> Vec<String> {
    let mut known = HashSet::new();
    let mut all: Vec<_> = all.filter(|(_, word)| known.insert(*word)).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.into_iter().take(OFFERED_MAX).map(|(_, word)| word.to_owned()).collect()
}
