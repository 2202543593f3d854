//! Prices by stream: opens WebSockets, keeps them subscribed, and replaces those that fail.

pub mod connect;
pub mod connection;
pub mod manager;
pub mod session;
