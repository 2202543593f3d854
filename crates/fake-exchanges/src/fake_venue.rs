//! What an exchange is to the server: one implementation of [`FakeVenue`] for each, in `venues`.

use std::time::Duration;

use super::connection_policy::ConnectionPolicy;
use super::fault_view::FaultView;
use super::json::RowShape;
use super::limits::{Charge, CountedRequest, Refusal, Usage};
use super::listing::Listing;
use super::query::RequestTarget;
use super::response::FakeResponse;
use super::session::Session;

/// A request to a venue's REST API.
#[derive(Debug)]
pub struct RestRequest<'a> {
    /// The method in upper case.
    pub method: &'a str,
    /// Path and query, without the venue prefix.
    pub target: RequestTarget,
    /// URL of the venue's streams, for a venue that tells clients where to connect.
    pub stream_url: &'a str,
}

/// Facts about a venue's payloads that faults, recordings and tests need.
#[derive(Debug, Clone, Copy)]
pub struct Payloads {
    /// Where the rows of its responses are.
    pub rows: RowShape,
    /// The members that hold the last price: the first in responses, the last in frames; in a row that is an array,
    /// the index.
    pub price_members: &'static [&'static str],
    /// The member that holds the close of a candle; in a row that is an array, the index.
    pub close_member: &'static str,
    /// The members of a row of the market list that hold its market's name and something optional; `None` if the list
    /// has names only.
    pub list_members: Option<[&'static str; 2]>,
    /// The members that hold the times of a frame of the stream, if it has any.
    pub time_members: &'static [&'static str],
    /// The prefixes of the paths whose responses may be recorded, and the names of those recordings. Other paths are
    /// answered as usual.
    pub recordings: &'static [(&'static str, &'static str)],
    /// The frame that announces maintenance, if the venue documents one.
    pub maintenance: Option<&'static str>,
}

/// A fake exchange. It has no state: markets are in the simulation, and what a connection remembers is in its session.
pub trait FakeVenue: std::fmt::Debug + Sync {
    /// Returns which markets it lists.
    fn listing(&self) -> Listing;

    /// Returns the path of its stream, without the venue prefix.
    fn stream_path(&self) -> &'static str;

    /// Returns whether it serves a method; the server refuses any other.
    fn accepts(&self, method: &str, _target: &RequestTarget) -> bool {
        method == "GET"
    }

    /// Returns the response to a REST request. Does not count or enforce rate limits.
    fn rest(&self, view: &FaultView<'_>, request: &RestRequest<'_>) -> FakeResponse;

    /// Returns the session of a stream, or `None` if nothing is served at its path.
    fn open(&self, path: &str, query: &str) -> Option<Box<dyn Session>>;

    /// Returns the policy of a stream's connection; `lifetime` is that of a venue which limits the age of connections.
    fn connection_policy(&self, _lifetime: Duration) -> ConnectionPolicy {
        ConnectionPolicy::default()
    }

    /// Returns the limits that count a request.
    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge>;

    /// Returns the headers that report the usage of limits.
    fn limit_headers(&self, _usages: &[Usage]) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Returns the response to a request beyond a limit.
    fn refuse(&self, refusal: &Refusal) -> FakeResponse;

    /// Returns what faults, recordings and tests must know of its payloads.
    fn payloads(&self) -> Payloads;

    /// Returns the names of the cautions that it can put in force on a market.
    fn cautions(&self) -> &'static [&'static str] {
        &[]
    }
}
