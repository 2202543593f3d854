//! The movers: what rose and fell most, among the markets that it may be said of.

use askama::Template;

use super::board::{column_word, widest};
use super::choice::{Column, Widget};
use super::options::Pick;
use super::past::Past;
use super::row::RowView;
use super::stage::{Root, SourceView, Stage, source_word};
use crate::domain::{Basis, Quote, State};
use crate::text::{self, Lang};

/// Seconds between two renewals.
const REFRESH_SECS: u32 = 15;

/// The widget, and the part of our own page.
#[derive(Template)]
#[template(path = "movers.html")]
pub struct MoversView<'a> {
    root: Root<'a>,
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
    /// Ranks the rows of a stage.
    pub fn new(stage: &'a Stage<'a>, past: &Past) -> Self {
        let (options, lang) = (stage.options, stage.options.lang);
        let rule = stage.app.movers();
        let count = options.count.unwrap_or(rule.count);
        let ranked = rule.rank(stage.quotes.iter().flatten().map(AsRef::as_ref), options.basis);
        let risers = first(stage, &ranked.risers, count, past);
        let fallers = first(stage, &ranked.fallers, count, past);
        let markets: Vec<_> = options.picks.iter().map(|pick| pick.market.clone()).collect();
        let at = stage.confirmed();
        let wide = widest(&risers).max(widest(&fallers));
        Self {
            root: stage.root(Widget::Movers, REFRESH_SECS),
            title: title(options.basis, lang),
            caption: text::session(stage.best(), at, lang),
            caption_utc: at.map_or_else(String::new, |at| at.to_string()),
            name_column: column_word(Column::Name, lang),
            price_column: text::price_column(&markets, lang),
            change_column: column_word(Column::Change, lang),
            sides: [side(risers, true, stage.best(), lang), side(fallers, false, stage.best(), lang)],
            wide,
            footnote: text::footnote(options.basis, lang),
            sources: if stage.credit(Widget::Movers) { &stage.sources } else { &[] },
            source_word: source_word(lang),
            leaves_frame: stage.leaves_frame(),
        }
    }
}

/// Renders the widget.
///
/// # Errors
/// When the template can't be written out.
pub fn html(stage: &Stage<'_>, past: &Past) -> Result<String, askama::Error> {
    MoversView::new(stage, past).render()
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
            (true, State::Unknown) => text::state(State::Unknown, lang),
            (true, _) => nothing(rise, lang),
        },
        rows,
    }
}

/// Returns what stands in a table without rows.
pub fn nothing(rise: bool, lang: Lang) -> &'static str {
    if rise {
        lang.pick("상승한 종목이 없습니다", "No market has risen", "値上がり銘柄はありません")
    } else {
        lang.pick("하락한 종목이 없습니다", "No market has fallen", "値下がり銘柄はありません")
    }
}

/// What rose or fell over 24 hours is not what did so today.
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

/// Takes the first that are old enough.
fn first(stage: &Stage<'_>, ranked: &[&Quote], count: usize, past: &Past) -> Vec<RowView> {
    let is_old = |quote: &&&Quote| past.old.as_ref().is_none_or(|old| old.contains(&quote.market));
    let row = |quote: &&Quote| {
        let pick = Pick { market: quote.market.clone(), source: quote.source.clone() };
        stage.row(&pick, Some(quote))
    };
    ranked.iter().filter(is_old).take(count).map(row).collect()
}
