//! The card widget: one or several markets, each with a sparkline of the last 24 hours.

use askama::Template;

use super::context::{AsOf, RenderContext, RootAttributes, SourceView, sources_label};
use super::row_view::RowView;
use super::series::PageHistory;
use super::spark::Spark;
use super::{board, spark};
use crate::locale;
use crate::locale::Lang;
use crate::options::{Column, Widget};

/// Seconds after which the script reloads the widget. The sparkline has a point every 15 minutes, but high and low can
/// change at any time.
const REFRESH_SECS: u32 = 30;

#[derive(Template)]
#[template(path = "card.html")]
struct CardView<'a> {
    root: RootAttributes<'a>,
    lang: Lang,
    as_of: AsOf,
    cards: Vec<(RowView, Option<Spark>)>,
    /// Tooltip of high and low.
    when_unknown: &'static str,
    footnote: &'a str,
    sources: &'a [SourceView],
    source_word: &'a str,
    leaves_frame: bool,
}

/// Renders the widget.
///
/// # Errors
/// If the template can't be rendered.
pub fn html(context: &RenderContext<'_>, history: &PageHistory) -> Result<String, askama::Error> {
    let mut sparks = spark::draw_all(context, history);
    sparks.resize_with(context.quotes.len(), || None);
    let sources: &[SourceView] = if context.shows_sources(Widget::Card) { &context.sources } else { &[] };
    CardView {
        root: context.root(Widget::Card, history.refresh(REFRESH_SECS)),
        lang: context.options.lang,
        as_of: context.as_of(),
        cards: context.rows().into_iter().zip(sparks).collect(),
        when_unknown: board::unknown_hint(Column::High, context.options.lang),
        footnote: locale::footnote(context.options.basis, context.options.lang),
        sources,
        source_word: sources_label(context.options.lang),
        leaves_frame: context.leaves_frame(),
    }
    .render()
}
