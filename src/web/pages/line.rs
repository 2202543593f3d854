//! The widgets that are a line: the tape, and the words in a sentence.

use askama::Template;

use super::choice::Widget;
use super::row::RowView;
use super::stage::{AsOf, Root, SourceView, Stage, source_word};
use crate::text::{self, Lang};

#[derive(Template)]
#[template(path = "tape.html")]
struct TapeView<'a> {
    root: Root<'a>,
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
    root: Root<'a>,
    rows: Vec<RowView>,
    /// What the changes are measured against, in a word or two.
    basis: &'static str,
    sources: &'a [SourceView],
    source_word: &'a str,
    leaves_frame: bool,
    between: &'static str,
}

/// Renders the tape.
///
/// # Errors
/// When the template can't be written out.
pub fn tape(stage: &Stage<'_>) -> Result<String, askama::Error> {
    let lang = stage.options.lang;
    let sources: &[SourceView] = if stage.credit(Widget::Tape) { &stage.sources } else { &[] };
    TapeView {
        root: stage.root(Widget::Tape, 0),
        title: stage.title(),
        as_of: stage.as_of(),
        rows: stage.rows(),
        footnote: text::footnote(stage.options.basis, lang),
        sources,
        source_word: source_word(lang),
        leaves_frame: stage.leaves_frame(),
        lang,
    }
    .render()
}

/// Renders the words of a sentence: the first market, or all that were picked.
///
/// # Errors
/// When the template can't be written out.
pub fn ticker(stage: &Stage<'_>) -> Result<String, askama::Error> {
    let lang = stage.options.lang;
    let sources: &[SourceView] = if stage.credit(Widget::Ticker) { &stage.sources } else { &[] };
    TickerView {
        root: stage.root(Widget::Ticker, 0),
        rows: stage.rows(),
        basis: text::basis_in_brackets(stage.options.basis, lang),
        sources,
        source_word: source_word(lang),
        leaves_frame: stage.leaves_frame(),
        between: lang.pick(", ", ", ", "、"),
    }
    .render()
}
