//! The price history that a page shows. It is loaded before rendering, which is synchronous.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;

use super::super::AppState;
use super::super::history::{self, HistoryQuery, Series, Span};
use super::card;
use super::option_types::{ChartSpan, Widget};
use super::options::{Options, Pick};
use crate::market::{Market, Quote, VenueId};

/// Maximum number of risers, and of fallers, whose history is checked for the minimum trading time.
const CANDIDATES_MAX: usize = 40;

/// The price history of the markets of a page; series that can't be read are missing.
#[derive(Debug, Default)]
pub struct PageHistory {
    /// The last 24 hours of each market at the resolution of a sparkline.
    pub days: Vec<Option<Arc<Series>>>,
    /// The first market at the resolution of a plot.
    pub plot: Option<Arc<Series>>,
    /// The movers that have been traded for the required time; `None` if the movers rule requires no such check.
    pub established: Option<HashSet<Market>>,
}

/// Seconds after which the script reloads a page while gaps in its history are being filled.
pub const INCOMPLETE_REFRESH_SECS: u32 = 2;

impl PageHistory {
    /// Returns whether gaps in a series are still being filled.
    pub fn is_growing(&self) -> bool {
        self.days.iter().flatten().chain(&self.plot).any(|series| series.is_growing)
    }

    /// Returns the seconds after which a widget is reloaded; `default` applies once its history is complete.
    pub fn refresh(&self, default: u32) -> u32 {
        if self.is_growing() { INCOMPLETE_REFRESH_SECS } else { default }
    }

    /// Loads the history that a widget shows.
    pub async fn load(app: &AppState, options: &Options<'_>, widget: Widget) -> Self {
        match widget {
            Widget::Board | Widget::Tape | Widget::Ticker => Self::default(),
            Widget::Card => Self { days: load_days(app, &options.picks, card::MARKETS_MAX).await, ..Self::default() },
            Widget::Chart => Self { plot: plot(app, options).await, ..Self::default() },
            Widget::Movers => Self { established: established_markets(app, options).await, ..Self::default() },
        }
    }
}

/// Loads the last 24 hours of the first `max` markets.
pub async fn load_days(app: &AppState, picks: &[Pick], max: usize) -> Vec<Option<Arc<Series>>> {
    let days = picks.iter().take(max).map(|pick| async move {
        let quote = app.hub.row(&pick.source, &pick.market);
        history::for_spark(app, history_query(app, pick, quote.as_deref(), ChartSpan::Day, true)?).await
    });
    join_all(days).await
}

async fn plot(app: &AppState, options: &Options<'_>) -> Option<Arc<Series>> {
    let pick = options.picks.first()?;
    let quote = app.hub.row(&pick.source, &pick.market);
    history::for_page(app, history_query(app, pick, quote.as_deref(), options.span, false)?).await
}

/// Returns the movers whose history begins early enough, or `None` if that is not required.
///
/// A market whose history can't be read is not included.
pub async fn established_markets(app: &AppState, options: &Options<'_>) -> Option<HashSet<Market>> {
    let since = app.movers().traded_since(app.clock.now())?;
    let quotes: Vec<_> = options.picks.iter().filter_map(|pick| app.hub.row(&pick.source, &pick.market)).collect();
    let ranked = app.movers().rank(quotes.iter().map(AsRef::as_ref), options.basis);
    let candidates = ranked.risers.iter().take(CANDIDATES_MAX).chain(ranked.fallers.iter().take(CANDIDATES_MAX));
    let found = candidates.map(|quote| async move {
        let pick = Pick { market: quote.market.clone(), source: quote.source.clone() };
        let series = history::for_spark(app, history_query(app, &pick, Some(quote), ChartSpan::Week, true)?).await?;
        let step = i64::from(series.query.step.minutes) * 60;
        let first = i64::try_from(series.bars.iter().position(Option::is_some)?).ok()?;
        (series.start.as_second() + first * step <= since.as_second()).then_some(pick.market)
    });
    Some(join_all(found).await.into_iter().flatten().collect())
}

/// Creates the query for the history of a market at the venue that its row shows.
fn history_query(
    app: &AppState,
    pick: &Pick,
    quote: Option<&Quote>,
    chart_span: ChartSpan,
    coarse: bool,
) -> Option<HistoryQuery> {
    let venues: Vec<VenueId> = app.boards.iter().find(|board| board.source == pick.source)?.venues();
    let venue = quote.map(|quote| quote.venue).or(venues.first().copied())?;
    let span = Span::from(chart_span);
    let step = if coarse { span.spark_step() } else { span.plot_step() };
    Some(HistoryQuery { market: pick.market.clone(), venue, venues, span, step })
}
