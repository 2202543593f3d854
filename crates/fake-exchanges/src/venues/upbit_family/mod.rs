//! The Upbit family: Upbit, and exchanges whose API is modelled on Upbit's.

pub mod book;
pub mod candle;
pub mod request;
pub mod session;
pub mod ticker;
pub mod trade;

use crate::ticker_figures::TickerFigures;

/// What an exchange of the family does in its own way.
#[derive(Debug, Clone, Copy)]
pub struct UpbitFamily {
    /// The venue's id.
    pub id: &'static str,
    /// Offset from UTC, in hours, of its days and of times without an offset.
    pub utc_offset_hours: i8,
    /// Formats a price in a REST response: `142187000.0` or `142187000`.
    pub format_price: fn(i64) -> String,
    /// Formats a price in a stream frame: `1.42187E8` or `142187000`.
    pub format_stream_price: fn(i64) -> String,
    /// Formats the volume of a trade in a stream frame with short names.
    pub format_short_volume: fn(i64) -> String,
    /// Encodes a ticker frame in the format DEFAULT, with its `stream_type`.
    pub ticker_frame: fn(&TickerFigures<'_>, &str) -> String,
    /// Whether there are candles of seconds and years, and candles on the stream.
    pub has_more_candles: bool,
    /// Whether books can be grouped by a `level`, which they then have.
    pub groups_books: bool,
    /// Whether the sizes of a streamed book have trailing zeros.
    pub pads_sizes: bool,
    /// Factor of the time of a streamed book; 1 for ms.
    pub book_time_factor: i64,
    /// Whether a streamed trade has the best prices.
    pub streams_best_prices: bool,
    /// Factor that the time of a streamed trade is multiplied by in its id.
    pub streamed_id_factor: i64,
    /// Whether flags in snake case are read, as `is_only_snapshot`.
    pub reads_snake_case: bool,
}

impl UpbitFamily {
    /// Returns the offset of its days from UTC in ms.
    pub fn utc_offset_ms(&self) -> i64 {
        i64::from(self.utc_offset_hours) * 3_600_000
    }
}
