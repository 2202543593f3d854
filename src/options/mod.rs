//! The options of widgets: one table of their names, types, defaults and texts. The configuration, queries, attributes,
//! the configurator and the documents follow it.

mod colors;
mod link;
mod parameters;
mod table;
mod values;

pub use colors::{Colors, Rgb};
pub use link::Link;
pub use parameters::{Parameters, QUERY_BYTES_MAX, QueryError, query_pairs};
pub use table::{OptionInfo, OptionValues, TABLE, settings};
pub use values::{
    Accepted, COUNT_MAX, Choice, Column, Columns, Count, Density, INTERVALS_MS, Interval, Keyword, OptionValue, Size,
    Span, Theme, Widget, find_keyword, keyword_label,
};
