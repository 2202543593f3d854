//! The chart: one market as a plot of a day or a week.

use askama::Template;

use super::choice::Widget;
use super::past::Past;
use super::plot::Plot;
use super::row::RowView;
use super::stage::{AsOf, Root, SourceView, Stage, source_word};
use crate::text::{self, Lang};

/// Seconds between two renewals.
const REFRESH_SECS: u32 = 30;

#[derive(Template)]
#[template(path = "chart.html")]
struct ChartView<'a> {
    root: Root<'a>,
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
/// When the template can't be written out.
pub fn html(stage: &Stage<'_>, past: &Past) -> Result<String, askama::Error> {
    let (options, lang) = (stage.options, stage.options.lang);
    let pick = options.picks.first();
    let quote = stage.quotes.first().and_then(Option::as_deref);
    let base = quote.and_then(|quote| quote.base(options.basis));
    let plots = past.plot.iter().map(|series| Plot::new(series, quote, base, lang)).collect();
    let row = pick.map(|pick| stage.row(pick, quote));
    let sources: &[SourceView] = if stage.credit(Widget::Chart) { &stage.sources } else { &[] };
    ChartView {
        root: stage.root(Widget::Chart, past.refresh(REFRESH_SECS)),
        lang,
        as_of: stage.as_of(),
        name: row.as_ref().map_or_else(String::new, |row| row.name.clone()),
        row,
        plots,
        footnote: text::footnote(options.basis, lang),
        sources,
        source_word: source_word(lang),
        leaves_frame: stage.leaves_frame(),
    }
    .render()
}
