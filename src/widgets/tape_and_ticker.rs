//! The tape widget, and the ticker widget for running text.

use askama::Template;

use super::context::{AsOf, RenderContext, RootAttributes, SourceView, sources_label};
use super::row_view::RowView;
use crate::locale;
use crate::locale::Lang;
use crate::options::Widget;

#[derive(Template)]
#[template(path = "tape.html")]
struct TapeView<'a> {
    root: RootAttributes<'a>,
    title: &'a str,
    as_of: AsOf,
    rows: Vec<RowView>,
    footnote: &'a str,
    sources: &'a [SourceView],
    source_word: &'a str,
    leaves_frame: bool,
    lang: Lang,
}

#[derive(Template)]
#[template(path = "ticker.html")]
struct TickerView<'a> {
    root: RootAttributes<'a>,
    rows: Vec<RowView>,
    /// The basis of the changes, in brackets.
    basis: &'static str,
    sources: &'a [SourceView],
    source_word: &'a str,
    leaves_frame: bool,
    /// Separator between two markets.
    between: &'static str,
}

/// Renders the tape.
///
/// # Errors
/// If the template can't be rendered.
pub fn tape(context: &RenderContext<'_>) -> Result<String, askama::Error> {
    let lang = context.options.lang;
    let sources: &[SourceView] = if context.shows_sources(Widget::Tape) { &context.sources } else { &[] };
    TapeView {
        root: context.root(Widget::Tape, 0),
        title: context.title(),
        as_of: context.as_of(),
        rows: context.rows(),
        footnote: locale::footnote(context.options.basis, lang),
        sources,
        source_word: sources_label(lang),
        leaves_frame: context.leaves_frame(),
        lang,
    }
    .render()
}

/// Renders the ticker: the first market of the board, or all named markets.
///
/// # Errors
/// If the template can't be rendered.
pub fn ticker(context: &RenderContext<'_>) -> Result<String, askama::Error> {
    let lang = context.options.lang;
    let sources: &[SourceView] = if context.shows_sources(Widget::Ticker) { &context.sources } else { &[] };
    TickerView {
        root: context.root(Widget::Ticker, 0),
        rows: context.rows(),
        basis: locale::basis_in_brackets(context.options.basis, lang),
        sources,
        source_word: sources_label(lang),
        leaves_frame: context.leaves_frame(),
        between: lang.pick(", ", ", ", "、"),
    }
    .render()
}
