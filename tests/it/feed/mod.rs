//! The stream at socket level: frames, deadlines, many clients, and reconnects.

mod crowd;
mod deflate;
mod raw;
mod reconnect;
mod resume;
mod rfc6455;
mod subscriptions;
mod upgrade;
