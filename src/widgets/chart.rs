//! The chart widget: the price of one market over 24 hours or 7 days.

use askama::Template;

use super::context::{AsOf, RenderContext, RootAttributes, SourceView, sources_label};
use super::plot::Plot;
use super::row_view::RowView;
use super::series::PageHistory;
use crate::locale;
use crate::locale::Lang;
use crate::options::Widget;

/// Seconds after which the script reloads the widget.
const REFRESH_SECS: u32 = 30;

#[derive(Template)]
#[template(path = "chart.html")]
struct ChartView<'a> {
    root: RootAttributes<'a>,
    lang: Lang,
    as_of: AsOf,
    row: Option<RowView>,
    name: String,
    plots: Vec<Plot>,
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
    let (options, lang) = (context.options, context.options.lang);
    let pick = options.picks.first();
    let quote = context.quotes.first().and_then(Option::as_deref);
    let base = quote.and_then(|quote| quote.base(options.basis));
    let plots = history.plot.iter().map(|series| Plot::new(series, quote, base, lang)).collect();
    let row = pick.map(|pick| context.row(pick, quote));
    let sources: &[SourceView] = if context.shows_sources(Widget::Chart) { &context.sources } else { &[] };
    ChartView {
        root: context.root(Widget::Chart, history.refresh(REFRESH_SECS)),
        lang,
        as_of: context.as_of(),
        name: row.as_ref().map_or_else(String::new, |row| row.name.clone()),
        row,
        plots,
        footnote: locale::footnote(options.basis, lang),
        sources,
        source_word: sources_label(lang),
        leaves_frame: context.leaves_frame(),
    }
    .render()
}
