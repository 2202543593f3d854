//! Every setting with its name, unit, default and validation.
//!
//! Settings come from a TOML file and from `SISEPAN_…` environment variables
//! (`venues.upbit.rest` is `SISEPAN_VENUES_UPBIT_REST`); a variable overrides
//! the file. Boards and redenominations come from the file alone. If anything
//! is invalid, the whole configuration is rejected, and all errors are reported
//! together, each with file, line and key. Without a file, the default board
//! is served.

mod limits;
mod proxy;
mod read;
mod sample;
mod section;
mod settings;
mod site;
mod widgets;

pub use limits::Limits;
pub use proxy::{Network, ParseNetworkError, Proxies, VARIABLES as PROXY_VARIABLES};
pub use read::{load, parse};
pub use sample::sample;
pub use section::{ConfigError, ConfigErrors, Environment};
pub use settings::{Board, Config, LogFormat, VenueConfig};
pub use site::{AccessLog, Site};
