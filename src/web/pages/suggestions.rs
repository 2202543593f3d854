//! Suggestions for a misspelt name: similar names that exist.

use std::collections::HashSet;

use strsim::damerau_levenshtein;

use super::page_query::shorten;
use crate::config::Board;
use crate::locale::{self, Lang};
use crate::market::Market;

/// Maximum number of suggestions.
const SUGGESTIONS_MAX: usize = 3;

/// Returns the words most similar to `name`, the closest first.
pub fn similar_words<'a>(name: &str, words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = shorten(name).to_lowercase();
    nearest(words.map(|word| (damerau_levenshtein(&name, &word.to_lowercase()), word)))
}

/// Returns the markets of the boards most similar to `name`, the closest first.
///
/// Compares with the id of a market, its base, and the names of its base. An equal base ranks before any similarity.
pub fn similar_markets(name: &str, boards: &[Board]) -> Vec<String> {
    let name = shorten(name).to_lowercase();
    let base = name.split('-').next().unwrap_or_default();
    let distance = |market: &Market| {
        let names = Lang::ALL.map(|lang| locale::asset(market.base(), lang));
        let mut spellings = vec![market.to_string(), format!("{}{}", market.base(), market.quote())];
        spellings.push(market.base().to_owned());
        let spelt = spellings.iter().chain(&names).map(|known| damerau_levenshtein(&name, &known.to_lowercase())).min();
        (!market.base().eq_ignore_ascii_case(base), spelt)
    };
    let markets = boards.iter().flat_map(|board| board.markets.iter());
    nearest(markets.map(|market| (distance(market), market.as_str())))
}

/// Returns the words with the smallest distance; equal distances keep their order.
fn nearest<'a, D: Ord>(all: impl Iterator<Item = (D, &'a str)>) -> Vec<String> {
    let mut known = HashSet::new();
    let mut all: Vec<_> = all.filter(|(_, word)| known.insert(*word)).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.into_iter().take(SUGGESTIONS_MAX).map(|(_, word)| word.to_owned()).collect()
}
