//! The movers widget: the markets with the largest rise and fall, among those that the movers rule admits.

use askama::Template;

use super::board::{column_heading, longest_price_digits};
use super::context::{RenderContext, RootAttributes, SourceView, sources_label};
use super::row_view::RowView;
use super::series::PageHistory;
use super::widget_options::Pick;
use crate::locale;
use crate::locale::Lang;
use crate::market::{Basis, Quote, State};
use crate::options::{Column, Count, Widget};

/// Seconds after which the script reloads the widget.
const REFRESH_SECS: u32 = 15;

/// Template data of the widget, which is also part of the start page.
#[derive(Template)]
#[template(path = "movers.html")]
pub struct MoversView<'a> {
    root: RootAttributes<'a>,
    title: &'static str,
    caption: String,
    caption_utc: String,
    name_column: &'static str,
    price_column: String,
    change_column: &'static str,
    sides: [Side; 2],
    wide: usize,
    footnote: &'static str,
    sources: &'a [SourceView],
    source_word: &'a str,
    leaves_frame: bool,
}

struct Side {
    title: &'static str,
    rows: Vec<RowView>,
    empty: &'static str,
}

impl<'a> MoversView<'a> {
    /// Ranks the rows of the widget.
    pub fn new(context: &'a RenderContext<'a>, history: &PageHistory) -> Self {
        let (options, lang) = (context.options, context.options.lang);
        let rule = &context.server.site.movers;
        let count = options.values.count.map_or(rule.count, Count::get);
        let ranked = rule.rank(context.quotes.iter().flatten().map(AsRef::as_ref), options.basis);
        let risers = first_established(context, &ranked.risers, count, history);
        let fallers = first_established(context, &ranked.fallers, count, history);
        let markets: Vec<_> = options.picks.iter().map(|pick| pick.market.clone()).collect();
        let at = context.confirmed_at();
        let wide = longest_price_digits(&risers).max(longest_price_digits(&fallers));
        Self {
            root: context.root(Widget::Movers, REFRESH_SECS),
            title: title(options.basis, lang),
            caption: locale::as_of_caption(context.best_state(), at, lang),
            caption_utc: at.map_or_else(String::new, |at| at.to_string()),
            name_column: column_heading(Column::Name, lang),
            price_column: locale::price_column(&markets, lang),
            change_column: column_heading(Column::Change, lang),
            sides: [side(risers, true, context.best_state(), lang), side(fallers, false, context.best_state(), lang)],
            wide,
            footnote: locale::footnote(options.basis, lang),
            sources: if context.shows_sources(Widget::Movers) { &context.sources } else { &[] },
            source_word: sources_label(lang),
            leaves_frame: context.leaves_frame(),
        }
    }
}

/// Renders the widget.
///
/// # Errors
/// If the template can't be rendered.
pub fn html(context: &RenderContext<'_>, history: &PageHistory) -> Result<String, askama::Error> {
    MoversView::new(context, history).render()
}

fn side(rows: Vec<RowView>, rise: bool, best: State, lang: Lang) -> Side {
    Side {
        title: if rise {
            lang.pick("상승", "Risers", "値上がり")
        } else {
            lang.pick("하락", "Fallers", "値下がり")
        },
        empty: match (rows.is_empty(), best) {
            (false, _) => "",
            (true, State::Unknown) => locale::state(State::Unknown, lang),
            (true, _) => empty_text(rise, lang),
        },
        rows,
    }
}

/// Returns the text of a table without rows.
pub fn empty_text(rise: bool, lang: Lang) -> &'static str {
    if rise {
        lang.pick("상승한 종목이 없습니다", "No market has risen", "値上がり銘柄はありません")
    } else {
        lang.pick("하락한 종목이 없습니다", "No market has fallen", "値下がり銘柄はありません")
    }
}

/// Returns the title; only a day basis is called "today".
pub fn title(basis: Basis, lang: Lang) -> &'static str {
    match basis {
        Basis::Rolling24h => {
            lang.pick("24시간 상승·하락 종목", "Movers of the last 24 hours", "24時間の値上がり・値下がり")
        }
        Basis::UtcDay | Basis::KstDay => {
            lang.pick("오늘의 상승·하락 종목", "Today's movers", "本日の値上がり・値下がり")
        }
    }
}

/// Returns the first `count` markets that have been traded for long enough.
fn first_established(
    context: &RenderContext<'_>,
    ranked: &[&Quote],
    count: usize,
    history: &PageHistory,
) -> Vec<RowView> {
    let is_established = |quote: &&&Quote| history.established.as_ref().is_none_or(|old| old.contains(&quote.market));
    let row = |quote: &&Quote| {
        let pick = Pick { market: quote.market.clone(), source: quote.source.clone() };
        context.row(&pick, Some(quote))
    };
    ranked.iter().filter(is_established).take(count).map(row).collect()
}
