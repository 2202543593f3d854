//! Requests by REST: sent within the limits of the exchange, through a proxy if configured, and not during a
//! cool-down.

pub mod cooldown;
pub mod http;
pub mod proxy;
pub mod rate_limit;
pub mod rest_query;
pub mod tls;
