//! The board: the table of the reference page, with the columns that were asked for.

use askama::Template;

use super::choice::{Choice, Column, Widget};
use super::row::RowView;
use super::spark::Spark;
use super::stage::{AsOf, Root, SourceView, Stage, source_word};
use crate::text::{self, Lang};

/// Seconds between two renewals of a table with figures that the stream's texts don't have.
const REFRESH_SECS: u32 = 10;

/// A table of rows, for the widget and for our own page.
#[derive(Template)]
#[template(path = "board.html")]
pub struct BoardView<'a> {
    pub root: Root<'a>,
    pub title: String,
    pub as_of: AsOf,
    pub columns: Vec<ColumnView>,
    pub rows: Vec<RowView>,
    pub footnote: &'a str,
    pub sources: &'a [SourceView],
    pub source_word: &'a str,
    pub leaves_frame: bool,
    /// Digits of the longest price: the column keeps that width.
    pub wide: usize,
    /// The line of the last day of each row; none on other people's pages.
    pub sparks: Vec<Option<Spark>>,
    /// Least width of the table for them, in em.
    pub spark_from: u32,
    pub spark_word: &'static str,
    /// When the rows were put in the order of their figures; empty where the order is not by what moves.
    pub sorted_at: String,
    pub sorted_at_utc: String,
    /// What stands instead of rows, where there are none.
    pub empty: &'static str,
}

/// One column of figures.
pub struct ColumnView {
    pub column: Column,
    pub key: &'static str,
    pub word: String,
    /// When it has a dash, as [`when_unknown`] says it.
    pub title: &'static str,
    /// Least width of the table for it, in em; 0 if it never gives way.
    pub from: u32,
    /// The link that sorts by it.
    pub sort: Option<String>,
    /// How the table is sorted by it now, as `aria-sort` has it; empty if it is not.
    pub sorted: &'static str,
}

impl<'a> BoardView<'a> {
    /// Makes the table.
    pub fn new(stage: &'a Stage<'a>) -> Self {
        let (options, lang) = (stage.options, stage.options.lang);
        let live = [Column::Name, Column::Last, Column::Change];
        let refresh = if options.columns.iter().all(|column| live.contains(column)) { 0 } else { REFRESH_SECS };
        let rows = stage.rows();
        let wide = widest(&rows);
        let room = Room::new(&options.columns, wide);
        let column = |column: &Column| ColumnView { from: room.from(*column), ..column_view(*column, stage) };
        Self {
            root: stage.root(Widget::Board, refresh),
            title: stage.title().to_owned(),
            as_of: stage.as_of(),
            columns: options.columns.iter().map(column).collect(),
            wide,
            rows,
            footnote: text::footnote(options.basis, lang),
            sources: if stage.credit(Widget::Board) { &stage.sources } else { &[] },
            source_word: source_word(lang),
            leaves_frame: stage.leaves_frame(),
            sparks: Vec::new(),
            spark_from: room.spark_from,
            spark_word: lang.pick("24시간", "24 h", "24時間"),
            sorted_at: String::new(),
            sorted_at_utc: String::new(),
            empty: "",
        }
    }

    /// Returns the line of a row.
    fn spark(&self, at: &usize) -> Option<&Spark> {
        self.sparks.get(*at)?.as_ref()
    }
}

/// Figures in the order in which they keep their place: the last gives way first, and the sparkline stands before the amount.
const KEEPS: [Column; 6] = [Column::Last, Column::Change, Column::Amount, Column::Volume, Column::High, Column::Low];

/// Least width of a name, in tenths of the text's size.
const NAME_TENTHS: u32 = 60;

/// Width of a sparkline, in tenths of the text's size, as `sisepan.css` has it.
const SPARK_TENTHS: u32 = 68;

/// The style sheet has a rule for every second width within these, in em.
const FROM_MIN: u32 = 20;
const FROM_MAX: u32 = 60;

/// Which columns a table has room for, by its width: the name keeps 6em.
struct Room {
    from: Vec<(Column, u32)>,
    spark_from: u32,
}

impl Room {
    fn new(columns: &[Column], wide: usize) -> Self {
        let (mut tenths, mut from, mut spark_from) = (NAME_TENTHS, Vec::new(), None);
        let has = |column: &Column| columns.contains(column);
        for column in KEEPS.into_iter().filter(has) {
            let first = from.is_empty();
            if !first && !matches!(column, Column::Change | Column::Amount) && spark_from.is_none() {
                tenths += SPARK_TENTHS;
                spark_from = Some(step(tenths));
            }
            tenths += width_tenths(column, wide);
            // Price and change stand one above the other where there is no room beside.
            let stays = first || (column == Column::Change && has(&Column::Last));
            from.push((column, if stays { 0 } else { step(tenths) }));
        }
        // High and low go together, unless one of them is all that there is.
        let low = from.iter().find(|(column, _)| *column == Column::Low).map(|(_, from)| *from);
        if let (Some((_, high)), Some(low)) = (from.iter_mut().find(|(column, _)| *column == Column::High), low)
            && *high > 0
        {
            *high = low;
        }
        Self { from, spark_from: spark_from.unwrap_or_else(|| step(tenths + SPARK_TENTHS)) }
    }

    fn from(&self, column: Column) -> u32 {
        self.from.iter().find(|(known, _)| *known == column).map_or(0, |(_, from)| *from)
    }
}

/// Returns the next width that the style sheet has a rule for, in em.
fn step(tenths: u32) -> u32 {
    tenths.div_ceil(20).saturating_mul(2).clamp(FROM_MIN, FROM_MAX)
}

/// Returns the width of a column in tenths of the text's size, as `sisepan.css` has it; a digit is at most 0.6em wide.
fn width_tenths(column: Column, wide: usize) -> u32 {
    match column {
        Column::Name => NAME_TENTHS,
        Column::Change => 54,
        Column::Volume => 64,
        Column::Last | Column::Amount | Column::High | Column::Low => {
            u32::try_from(wide).unwrap_or(FROM_MAX).saturating_mul(6).saturating_add(9).max(44)
        }
    }
}

/// Renders the widget.
///
/// # Errors
/// When the template can't be written out.
pub fn html(stage: &Stage<'_>) -> Result<String, askama::Error> {
    BoardView::new(stage).render()
}

/// Returns the breadth of the longest price in digits, within what a column is made for; a comma is half a digit.
pub fn widest(rows: &[RowView]) -> usize {
    let breadth = |text: &str| text.chars().map(|c| if c.is_ascii_digit() { 2 } else { 1 }).sum::<usize>().div_ceil(2);
    rows.iter().map(|row| breadth(&row.last)).max().unwrap_or_default().clamp(4, 12)
}

fn column_view(column: Column, stage: &Stage<'_>) -> ColumnView {
    let lang = stage.options.lang;
    let word = match column {
        Column::Last => {
            let markets: Vec<_> = stage.options.picks.iter().map(|pick| pick.market.clone()).collect();
            text::price_column(&markets, lang)
        }
        column => column_word(column, lang).to_owned(),
    };
    ColumnView { column, key: column.word(), word, title: when_unknown(column, lang), from: 0, sort: None, sorted: "" }
}

/// Returns the heading of a column without its unit.
pub fn column_word(column: Column, lang: Lang) -> &'static str {
    match column {
        Column::Name => lang.pick("종목", "Coin", "銘柄"),
        Column::Last => lang.pick("현재가", "Price", "現在値"),
        Column::Change => lang.pick("변동률", "Change", "変動率"),
        Column::Amount => lang.pick("변동", "Difference", "変動幅"),
        Column::High => lang.pick("24시간 고가", "24 h high", "24時間高値"),
        Column::Low => lang.pick("24시간 저가", "24 h low", "24時間安値"),
        Column::Volume => lang.pick("24시간 거래대금", "24 h turnover", "24時間売買代金"),
    }
}

/// Returns when a column has a dash beside a known price; empty for those that say it row by row.
pub fn when_unknown(column: Column, lang: Lang) -> &'static str {
    match column {
        Column::High | Column::Low => lang.pick(
            "지난 24시간의 시세가 모두 있어야 표시합니다.",
            "Shown once the prices of the last 24 hours are all known.",
            "直近24時間の価格がすべてそろうと表示します。",
        ),
        Column::Volume => lang.pick(
            "거래소가 알려 줄 때만 표시합니다.",
            "Shown where the exchange tells it.",
            "取引所が公表する場合に表示します。",
        ),
        Column::Name | Column::Last | Column::Change | Column::Amount => "",
    }
}
