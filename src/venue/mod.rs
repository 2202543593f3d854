//! Exchange adapters: pure translators between an exchange's messages and our types.
//!
//! A venue holds only what differs between exchanges: its facts ([`Profile`]),
//! how to encode requests, and how to parse responses and frames. It has no
//! socket, no clock and no task, so a recorded payload is a complete test. All
//! I/O is in `ingest`, implemented once for all venues.
//!
//! To add an exchange: one file here, one line in [`ALL`], its fixtures, and
//! the same exchange in `crates/fake-exchanges`.

mod adapter;
mod aliases;
mod binance;
mod bitfinex;
mod bithumb;
mod candles;
mod json;
mod kraken;
mod kucoin;
mod upbit;
mod upbit_like;

pub use adapter::{
    Endpoint, Incoming, Keepalive, Limit, Method, Opening, Profile, Rate, RejectedListing, Request, Response,
    RestQuery, Session, Stateless, TickerRecord, Venue,
};
pub use json::{ParseError, Rejection};

/// All supported exchanges.
pub static ALL: &[&dyn Venue] =
    &[&upbit::Upbit, &bithumb::Bithumb, &binance::Binance, &bitfinex::Bitfinex, &kucoin::KuCoin, &kraken::Kraken];

/// Returns an exchange by its id.
pub fn find(id: &str) -> Option<&'static dyn Venue> {
    ALL.iter().copied().find(|venue| venue.profile().id.as_str() == id)
}
