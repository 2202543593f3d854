//! Queries for the market list, and for the tick sizes and prices of markets that the list does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rust_decimal::Decimal;

use super::rest_query::{self, BatchResult, PartialResponse, QueryError};
use crate::feed::{Event, Listing, Reason, ReasonCode};
use crate::ingest::context::VenueContext;
use crate::ingest::limits::Priority;
use crate::ingest::wanted::WantedMarkets;
use crate::market::{Market, Now, Ticker};
use crate::venue::{RejectedListing, Rejection, Response, RestQuery, TickerRecord};

/// A market list, and the markets with rows that could not be parsed.
pub struct CheckedList {
    /// The rows that could be parsed.
    pub listings: Vec<Listing>,
    /// The wanted markets that the list has, or may have, in a row that could not be parsed.
    pub unreadable: Vec<Market>,
    /// The symbols that stand for other assets.
    pub other_symbols: BTreeSet<String>,
    /// Number of rows, parsed or not.
    pub rows: usize,
    /// The markets that were wanted when it was read.
    pub markets: Arc<WantedMarkets>,
}

/// Requests the list and checks its rows; `None` if the venue has none.
///
/// # Errors
/// Why there is no usable list.
pub async fn fetch_list(context: &VenueContext) -> Option<Result<CheckedList, Reason>> {
    let request = context.venue.request(&RestQuery::Markets)?;
    let parse = |body: &str| context.venue.response(&RestQuery::Markets, body);
    // Unlike a price, a list may have been in a cache for a while.
    let fetched = match context.http.call(&request, Priority::Price).await {
        Ok(body) => {
            parse(&body.text).map(|response| (response, body)).map_err(|error| rest_query::parse_reason(&error))
        }
        Err(error) => Err(rest_query::failure_reason(error, parse)),
    };
    let (records, ignored_fields, body) = match fetched {
        Ok((Response::Markets { listings, ignored_fields }, body)) => (listings, ignored_fields, body),
        Ok(_) => return Some(Err(Reason::new(ReasonCode::Payload, "unexpected response; expected a list of markets"))),
        Err(reason) => {
            context.http.record_rate_limit(&reason);
            return Some(Err(reason));
        }
    };
    let (rows, markets) = (records.len(), context.markets());
    let (mut listings, mut unreadable, mut has_nameless) = (Vec::with_capacity(rows), BTreeSet::new(), false);
    let (mut seen, mut other_symbols) = (BTreeSet::new(), BTreeSet::new());
    for record in records {
        match record.and_then(|listing| check_listing(context, listing, &mut seen)) {
            Ok(listing) => listings.push(listing),
            Err(rejected) => {
                let market = context.reject_listing(&rejected, &markets);
                has_nameless |= rejected.symbol.is_none();
                if rejected.is_other_asset {
                    other_symbols.extend(rejected.symbol);
                } else {
                    unreadable.extend(market);
                }
            }
        }
    }
    if listings.is_empty() && other_symbols.is_empty() {
        return Some(Err(Reason::new(ReasonCode::Payload, "the list of markets is empty; keeping the previous one")));
    }
    context.rest_succeeded(body.clock_sample);
    for (market, rejection) in ignored_fields.iter().filter(|(market, _)| markets.wanted.contains(market)) {
        context.ignore_field(market, rejection);
    }
    let parsed: BTreeSet<&Market> = listings.iter().map(|listing| &listing.market).collect();
    // A row that can't be parsed still lists its market: look for the symbol in the text.
    let named = |market: &&Market| body.text.contains(&format!("\"{}\"", context.venue.symbol(market)));
    let unparsed = markets.wanted.iter().filter(|market| !parsed.contains(market));
    let is_listed = |market: &&Market| unreadable.contains(*market) || (has_nameless && named(market));
    let is_other = |market: &Market| other_symbols.contains(&context.venue.symbol(market));
    let unreadable = unparsed.filter(is_listed).filter(|market| !is_other(market)).cloned().collect();
    // One such row is enough, even if another row lists the market.
    listings.retain(|listing| !other_symbols.contains(&listing.symbol));
    Some(Ok(CheckedList { listings, unreadable, other_symbols, rows, markets }))
}

/// Rejects a listing whose symbol is not that of its market, and any but the first one of a market, which would
/// overwrite the market's own row.
fn check_listing(
    context: &VenueContext,
    listing: Listing,
    seen: &mut BTreeSet<Market>,
) -> Result<Listing, RejectedListing> {
    let problem = if context.venue.symbol(&listing.market) != listing.symbol {
        "contradiction"
    } else if !seen.insert(listing.market.clone()) {
        "repeated"
    } else {
        return Ok(listing);
    };
    let rejection = Rejection { field: "symbol", problem, excerpt: format!("belongs to {}", listing.market) };
    Err(RejectedListing::new(listing.symbol, rejection))
}

/// Fetches the tick sizes of listed markets, if the list lacks them; if that fails, the known ones are kept.
pub async fn update_tick_sizes(context: &VenueContext, markets: &BTreeSet<Market>) {
    let markets: Vec<Market> = markets.iter().cloned().collect();
    let record_failure = |market: &Market, reason: &Reason| {
        let rejection = Rejection { field: "tick_size", problem: "refused-market", excerpt: reason.message.clone() };
        context.ignore_field(market, &rejection);
    };
    for batch in markets.chunks(context.venue.profile().markets_per_request.max(1)) {
        match rest_query::query_batch(batch, true, |part| fetch_tick_sizes(context, part)).await {
            Ok(BatchResult { values, failed, undetermined: _ }) => {
                let sizes = values.into_iter().flatten().collect();
                context.event_queue.push(Event::TickSizes { venue: context.id(), sizes });
                failed.iter().for_each(|(market, reason)| record_failure(market, reason));
            }
            Err(reason) => {
                context.log_failure("tick sizes", &reason);
                batch.iter().for_each(|market| record_failure(market, &reason));
            }
        }
    }
}

/// Requests the tick sizes of some markets.
async fn fetch_tick_sizes(
    context: &VenueContext,
    markets: Vec<Market>,
) -> Result<PartialResponse<Vec<(Market, Decimal)>>, QueryError> {
    let Some(answer) = rest_query::send(context, &RestQuery::TickSizes(&markets), Priority::Price).await else {
        return Ok(PartialResponse { value: Vec::new(), missing: Vec::new() });
    };
    let Response::TickSizes(records) = answer?.0 else {
        return Err(QueryError::Query(Reason::new(ReasonCode::Payload, "unexpected response; expected tick sizes")));
    };
    let symbols: BTreeMap<String, &Market> =
        markets.iter().map(|market| (context.venue.symbol(market), market)).collect();
    let missing = rest_query::missing_markets(context, &markets, records.iter().map(|(symbol, _)| symbol.as_str()));
    let mut sizes = Vec::with_capacity(records.len());
    for (symbol, size) in records {
        match (symbols.get(&symbol), size) {
            (Some(&market), Ok(size)) => sizes.push((market.clone(), size)),
            (Some(&market), Err(rejection)) => context.reject_record(market, &rejection),
            (None, _) => context.reject("unknown-symbol", &symbol),
        }
    }
    Ok(PartialResponse { value: sizes, missing })
}

/// Responses to price queries for markets that a list lacks.
#[derive(Default)]
pub struct MissingPrices {
    /// The records, and when they were requested.
    pub answers: Vec<(Vec<TickerRecord>, Now)>,
    /// Markets for which it could not be determined whether they have a price.
    pub undetermined: BTreeSet<Market>,
}

impl MissingPrices {
    /// Requests the prices of some markets.
    pub async fn fetch(context: &VenueContext, markets: &[Market]) -> Self {
        let mut prices = Self::default();
        let fetch_part = async |part| match rest_query::query_tickers(context, part).await {
            Some(answer) => answer,
            None => Ok(PartialResponse { value: (Vec::new(), context.clock.read()), missing: Vec::new() }),
        };
        for batch in markets.chunks(context.venue.profile().markets_per_request.max(1)) {
            // Any number of them may be wrong names, which is no evidence about the others.
            match rest_query::query_batch(batch, false, fetch_part).await {
                Ok(BatchResult { values, failed, undetermined }) => {
                    prices.answers.extend(values);
                    let failed = failed.into_iter().filter(|(_, reason)| !rest_query::is_refusal(reason));
                    prices.undetermined.extend(failed.map(|(market, _)| market).chain(undetermined));
                }
                Err(_) => prices.undetermined.extend(batch.iter().cloned()),
            }
        }
        prices
    }

    /// Returns the ticker of a symbol, if its record could be parsed.
    pub fn of(&self, symbol: &str) -> Option<&Ticker> {
        let mut records = self.answers.iter().flat_map(|(records, _)| records);
        records.find(|record| record.symbol == symbol)?.ticker.as_ref().ok()
    }
}
