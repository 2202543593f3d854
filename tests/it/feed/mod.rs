//! The stream as sockets see it: frames, deadlines, crowds, and clients that come back.

mod comeback;
mod crowd;
mod deflate;
mod frames;
mod raw;
mod resume;
mod rfc6455;
mod subscriptions;
mod upgrade;
