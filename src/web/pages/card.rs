//! The card: one market or several, each with the line of its last day.

use askama::Template;

use super::board;
use super::choice::{Column, Widget};
use super::past::Past;
use super::row::RowView;
use super::spark::{self, Spark};
use super::stage::{AsOf, Root, SourceView, Stage, source_word};
use crate::text::{self, Lang};

/// Most markets of one card.
pub const MARKETS_MAX: usize = 12;

/// Seconds between two renewals: the line has a point each quarter of an hour, high and low move at any time.
const REFRESH_SECS: u32 = 30;

#[derive(Template)]
#[template(path = "card.html")]
struct CardView<'a> {
    root: Root<'a>,
    lang: Lang,
    as_of: AsOf,
    cards: Vec<(RowView, Option<Spark>)>,
    /// Of high and low.
    when_unknown: &'static str,
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
    let mut sparks = spark::draw_all(stage, past);
    sparks.resize_with(stage.quotes.len(), || None);
    let sources: &[SourceView] = if stage.credit(Widget::Card) { &stage.sources } else { &[] };
    CardView {
        root: stage.root(Widget::Card, past.refresh(REFRESH_SECS)),
        lang: stage.options.lang,
        as_of: stage.as_of(),
        cards: stage.rows().into_iter().zip(sparks).collect(),
        when_unknown: board::when_unknown(Column::High, stage.options.lang),
        footnote: text::footnote(stage.options.basis, stage.options.lang),
        sources,
        source_word: source_word(stage.options.lang),
        leaves_frame: stage.leaves_frame(),
    }
    .render()
}
