//! What a page shows of the past, read before anything is rendered: rendering waits for nothing.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;

use super::super::AppState;
use super::super::history::{self, Question, Series, Span};
use super::card;
use super::choice::{Reach, Widget};
use super::options::{Options, Pick};
use crate::domain::{Market, Quote, VenueId};

/// Most rows that are looked at for one that is old enough, each way.
const LOOKED_AT_MAX: usize = 40;

/// The past of the markets of a page; what can't be read is not there.
#[derive(Debug, Default)]
pub struct Past {
    /// The last day of each market, coarsely.
    pub days: Vec<Option<Arc<Series>>>,
    /// The first market, as finely as a plot needs it.
    pub plot: Option<Arc<Series>>,
    /// The movers that have been traded for long enough; `None` where a row alone proves that.
    pub old: Option<HashSet<Market>>,
}

/// Seconds between two renewals while holes are still being filled.
pub const GROWING_REFRESH_SECS: u32 = 2;

impl Past {
    /// Whether a line may soon be longer.
    pub fn is_growing(&self) -> bool {
        self.days.iter().flatten().chain(&self.plot).any(|series| series.is_growing)
    }

    /// Returns after how many seconds a widget is renewed that is usually renewed after `usual`.
    pub fn refresh(&self, usual: u32) -> u32 {
        if self.is_growing() { GROWING_REFRESH_SECS } else { usual }
    }

    /// Reads what a widget shows.
    pub async fn read(app: &AppState, options: &Options<'_>, widget: Widget) -> Self {
        match widget {
            Widget::Board | Widget::Tape | Widget::Ticker => Self::default(),
            Widget::Card => Self { days: days(app, &options.picks, card::MARKETS_MAX).await, ..Self::default() },
            Widget::Chart => Self { plot: plot(app, options).await, ..Self::default() },
            Widget::Movers => Self { old: old(app, options).await, ..Self::default() },
        }
    }
}

/// Reads the last day of the first `most` markets.
pub async fn days(app: &AppState, picks: &[Pick], most: usize) -> Vec<Option<Arc<Series>>> {
    let days = picks.iter().take(most).map(|pick| async move {
        let quote = app.hub.row(&pick.source, &pick.market);
        history::for_spark(app, question(app, pick, quote.as_deref(), Reach::Day, true)?).await
    });
    join_all(days).await
}

async fn plot(app: &AppState, options: &Options<'_>) -> Option<Arc<Series>> {
    let pick = options.picks.first()?;
    let quote = app.hub.row(&pick.source, &pick.market);
    history::for_page(app, question(app, pick, quote.as_deref(), options.span, false)?).await
}

/// Finds the movers whose past begins early enough. What can't be read proves nothing.
pub async fn old(app: &AppState, options: &Options<'_>) -> Option<HashSet<Market>> {
    let since = app.movers().traded_since(app.clock.now())?;
    let quotes: Vec<_> = options.picks.iter().filter_map(|pick| app.hub.row(&pick.source, &pick.market)).collect();
    let ranked = app.movers().rank(quotes.iter().map(AsRef::as_ref), options.basis);
    let looked_at = ranked.risers.iter().take(LOOKED_AT_MAX).chain(ranked.fallers.iter().take(LOOKED_AT_MAX));
    let found = looked_at.map(|quote| async move {
        let pick = Pick { market: quote.market.clone(), source: quote.source.clone() };
        let series = history::for_spark(app, question(app, &pick, Some(quote), Reach::Week, true)?).await?;
        let step = i64::from(series.question.step.minutes) * 60;
        let first = i64::try_from(series.bars.iter().position(Option::is_some)?).ok()?;
        (series.start.as_second() + first * step <= since.as_second()).then_some(pick.market)
    });
    Some(join_all(found).await.into_iter().flatten().collect())
}

/// Asks for the past of a market at the venue that its row shows.
fn question(app: &AppState, pick: &Pick, quote: Option<&Quote>, reach: Reach, coarse: bool) -> Option<Question> {
    let venues: Vec<VenueId> = app.boards.iter().find(|board| board.source == pick.source)?.venues();
    let venue = quote.map(|quote| quote.venue).or(venues.first().copied())?;
    let span = Span::from(reach);
    let step = if coarse { span.spark_step() } else { span.plot_step() };
    Some(Question { market: pick.market.clone(), venue, venues, span, step })
}
