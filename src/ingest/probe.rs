//! One look at a venue: does its list, do its tickers, does its stream answer?

use std::collections::BTreeSet;
use std::time::Duration;

use super::gate::Gate;
use super::http::Http;
use super::pace::Priority;
use super::{Settings, Tls, dial};
use crate::clock::Clock;
use crate::domain::{Market, Price, Reason, ReasonCode};
use crate::venue::{Answer, Ask, Venue};

/// What one look saw.
#[derive(Debug)]
pub struct Probe {
    /// How many markets are listed, and those of `wanted` that are not.
    pub markets: Result<(usize, Vec<Market>), Reason>,
    /// The last prices of the wanted markets that are listed.
    pub tickers: Result<Vec<(Market, Price)>, Reason>,
    /// Whether the stream's handshake succeeds.
    pub stream: Result<(), Reason>,
    /// How long it all took.
    pub took: Duration,
}

/// Asks `venue` for its list, for the tickers of `wanted`, and for a stream connection, once each.
pub async fn probe(
    venue: &'static dyn Venue,
    settings: &Settings,
    wanted: &[Market],
    tls: &Tls,
    clock: &Clock,
) -> Probe {
    let began = clock.monotonic();
    let gate = std::sync::Arc::new(Gate::new(settings, clock.clone()));
    let http = Http::new(venue.profile(), settings, tls, clock, gate);
    let rest = async {
        match &http {
            Ok(http) => {
                let markets = markets(venue, http, wanted).await;
                let tickers = match &markets {
                    Ok((_, missing)) => tickers(venue, http, wanted, missing).await,
                    Err(reason) => Err(reason.clone()),
                };
                (markets, tickers)
            }
            Err(reason) => (Err(reason.clone()), Err(reason.clone())),
        }
    };
    let stream = async { dial::dial(settings, tls, clock).await.map(drop).map_err(|error| error.reason) };
    let ((markets, tickers), stream) = tokio::join!(rest, stream);
    Probe { markets, tickers, stream, took: clock.monotonic().saturating_sub(began) }
}

async fn markets(venue: &dyn Venue, http: &Http, wanted: &[Market]) -> Result<(usize, Vec<Market>), Reason> {
    let Answer::Markets(listings) = ask(venue, http, &Ask::Markets).await? else {
        return Err(Reason::new(ReasonCode::Payload, "the list of markets was answered with something else"));
    };
    let listed: BTreeSet<Market> = listings.into_iter().flatten().map(|listing| listing.market).collect();
    let missing = wanted.iter().filter(|market| !listed.contains(*market)).cloned().collect();
    Ok((listed.len(), missing))
}

async fn tickers(
    venue: &dyn Venue,
    http: &Http,
    wanted: &[Market],
    missing: &[Market],
) -> Result<Vec<(Market, Price)>, Reason> {
    let listed: Vec<Market> = wanted.iter().filter(|market| !missing.contains(market)).cloned().collect();
    let mut prices = Vec::new();
    for some in listed.chunks(venue.profile().markets_per_request.max(1)) {
        let Answer::Tickers(records) = ask(venue, http, &Ask::Tickers(some)).await? else {
            return Err(Reason::new(ReasonCode::Payload, "tickers were answered with something else"));
        };
        for record in records {
            let market = some.iter().find(|market| venue.symbol(market) == record.symbol);
            if let (Some(market), Ok(ticker)) = (market, record.ticker) {
                prices.push((market.clone(), ticker.last));
            }
        }
    }
    Ok(prices)
}

async fn ask(venue: &dyn Venue, http: &Http, question: &Ask<'_>) -> Result<Answer, Reason> {
    let unasked = || Reason::new(ReasonCode::Refused, "this exchange can't be asked that");
    let request = venue.ask(question).ok_or_else(unasked)?;
    let body = http.get(&request, Priority::Price).await.map_err(|error| error.reason)?;
    body.check_age()?;
    venue.answer(question, &body.text).map_err(|error| Reason::new(ReasonCode::Payload, error.to_string()))
}
