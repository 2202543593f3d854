//! Requests by REST: sent within the limits of the exchange, through a proxy if configured, and not during a
//! cool-down.

pub mod http;
pub mod limits;
pub mod outgoing;
pub mod rest_query;
