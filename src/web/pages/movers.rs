//! The movers: what rose and fell most, among the markets that it may be said of.

use askama::Template;

use super::super::history;
use super::board::{column_word, widest};
use super::choice::{Column, Reach, Widget};
use super::options::Pick;
use super::row::RowView;
use super::spark::question;
use super::stage::{Root, SourceView, Stage, source_word};
use crate::domain::{Basis, Quote, State};
use crate::text::{self, Lang};

/// Seconds between two renewals.
const REFRESH_SECS: u32 = 15;

/// Most rows that are looked at for one that is old enough, each way.
const LOOKED_AT_MAX: usize = 40;

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
    pub async fn read(stage: &'a Stage<'a>) -> Self {
        let (options, lang) = (stage.options, stage.options.lang);
        let rule = stage.app.movers();
        let count = options.count.unwrap_or(rule.count);
        let ranked = rule.rank(stage.quotes.iter().flatten().map(AsRef::as_ref), options.basis);
        let risers = first(stage, &ranked.risers, count).await;
        let fallers = first(stage, &ranked.fallers, count).await;
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
pub async fn html(stage: &Stage<'_>) -> Result<String, askama::Error> {
    MoversView::read(stage).await.render()
}

fn side(rows: Vec<RowView>, rise: bool, best: State, lang: Lang) -> Side {
    Side {
        title: if rise {
            lang.pick("상승", "Risers", "値上がり")
        } else {
            lang.pick("하락", "Fallers", "値下がり")
        },
        empty: match (rows.is_empty(), best, rise) {
            (false, ..) => "",
            (_, State::Unknown, _) => text::state(State::Unknown, lang),
            (_, _, true) => lang.pick("상승한 종목이 없습니다", "No market has risen", "値上がり銘柄はありません"),
            (_, _, false) => lang.pick("하락한 종목이 없습니다", "No market has fallen", "値下がり銘柄はありません"),
        },
        rows,
    }
}

/// What rose or fell over 24 hours is not what did so today.
fn title(basis: Basis, lang: Lang) -> &'static str {
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
async fn first(stage: &Stage<'_>, ranked: &[&Quote], count: usize) -> Vec<RowView> {
    let mut rows = Vec::new();
    for quote in ranked.iter().take(LOOKED_AT_MAX) {
        if rows.len() == count {
            break;
        }
        if is_old_enough(stage, quote).await {
            let pick = Pick { market: quote.market.clone(), source: quote.source.clone() };
            rows.push(stage.row(&pick, Some(quote)));
        }
    }
    rows
}

/// Whether the past that is kept begins early enough. What can't be read proves nothing.
async fn is_old_enough(stage: &Stage<'_>, quote: &Quote) -> bool {
    let Some(since) = stage.app.movers().traded_since(stage.now) else { return true };
    let Some(board) = stage.app.boards.iter().find(|board| board.source == quote.source) else { return false };
    let Some(question) = question(board, &quote.market, Some(quote), Reach::Week, true) else { return false };
    let Some(series) = history::for_spark(stage.app, question).await else { return false };
    let step = i64::from(series.question.step.minutes) * 60;
    let Some(first) = series.bars.iter().position(Option::is_some) else { return false };
    let first = i64::try_from(first).unwrap_or(i64::MAX).saturating_mul(step);
    series.start.as_second().saturating_add(first) <= since.as_second()
}
