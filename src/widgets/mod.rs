//! The widgets, rendered from rows and options.

use context::RenderContext;
use series::PageHistory;

use crate::options::Widget;

pub mod bad_option;
pub mod badge;
pub mod badge_png;
pub mod board;
mod card;
mod chart;
pub mod context;
pub mod height;
pub mod movers;
pub mod plot;
pub mod row_view;
pub mod series;
pub mod spark;
mod tape_and_ticker;
pub mod widget_options;

/// Renders a widget.
///
/// # Errors
/// If its template can't be rendered.
pub fn html(context: &RenderContext<'_>, widget: Widget, history: &PageHistory) -> Result<String, askama::Error> {
    match widget {
        Widget::Board => board::html(context),
        Widget::Tape => tape_and_ticker::tape(context),
        Widget::Card => card::html(context, history),
        Widget::Ticker => tape_and_ticker::ticker(context),
        Widget::Movers => movers::html(context, history),
        Widget::Chart => chart::html(context, history),
    }
}
