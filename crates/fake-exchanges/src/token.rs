//! Tokens that open a stream. They prove when they were issued, so that the fake needs no memory of them.

use super::rng::key;

/// Returns the token that is issued at an instant (Unix ms).
pub fn issue(now: i64) -> String {
    format!("{now}-{:x}", key(&now.to_string()))
}

/// Returns when a token was issued, in Unix ms, or `None` if it is not one of ours.
pub fn issued_at(token: &str) -> Option<i64> {
    let (issued, _) = token.split_once('-')?;
    let issued = issued.parse().ok()?;
    (token == issue(issued)).then_some(issued)
}
