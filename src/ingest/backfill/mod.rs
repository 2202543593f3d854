//! Backfill: fetches minute closes by REST for the spans that the board lacks.
//!
//! One request at a time, the most urgent first, and always with less priority
//! than prices: bases, then the newest minutes and older gaps in turns, then
//! minutes that were seen live. Among equals the oldest minute comes first, and
//! a span is filled from its oldest minute on: that is the one that the next
//! base needs, so a page fetched for a base serves the bases of the next hours
//! too. If spans were filled from their newest end, the base of each minute
//! would use up all requests of a venue with many markets.
//!
//! A failed request affects its market alone: the market is retried with growing
//! waits, in parallel with the others. A slow request does not delay the next one. So
//! neither failures nor silence hold up other markets. All of them wait only if
//! the host fails, or if several markets in a row fail that had not failed
//! before. A request that finds no candle is not repeated for a while.

mod jobs;
pub mod task;
