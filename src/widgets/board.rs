//! The board widget: a table of markets with the requested columns.

use askama::Template;

use super::context::{AsOf, RenderContext, RootAttributes, SourceView, sources_label};
use super::row_view::RowView;
use super::spark::Spark;
use crate::locale;
use crate::locale::Lang;
use crate::options::{Column, Widget};

/// Seconds after which the script reloads a table that has columns which the stream does not update.
const REFRESH_SECS: u32 = 10;

/// Template data of the table, for the widget and for the start page.
#[derive(Template)]
#[template(path = "board.html")]
pub struct BoardView<'a> {
    pub root: RootAttributes<'a>,
    pub title: String,
    pub as_of: AsOf,
    pub columns: Vec<ColumnView>,
    pub rows: Vec<RowView>,
    pub footnote: &'a str,
    pub sources: &'a [SourceView],
    pub source_word: &'a str,
    pub leaves_frame: bool,
    /// Digits of the longest price, which set the width of the price columns.
    pub wide: usize,
    /// A sparkline of the last 24 hours for each row; empty in the widget, filled on the start page.
    pub sparks: Vec<Option<Spark>>,
    /// Minimum width of the table for the sparklines to be shown, in em.
    pub spark_from: u32,
    pub spark_word: &'static str,
    /// When the rows were sorted by price or change; empty if they are not sorted by a figure that moves.
    pub sorted_at: String,
    pub sorted_at_utc: String,
    /// Text shown if there are no rows.
    pub empty: &'static str,
}

/// One column of figures.
pub struct ColumnView {
    pub column: Column,
    pub key: &'static str,
    pub word: String,
    /// Tooltip, from [`unknown_hint`].
    pub title: &'static str,
    /// Minimum width of the table for this column to be shown, in em; 0 if it is always shown.
    pub from: u32,
    /// Link that sorts the table by this column.
    pub sort: Option<String>,
    /// Value for `aria-sort`; empty if the table is not sorted by this column.
    pub sorted: &'static str,
}

impl<'a> BoardView<'a> {
    /// Creates the table from the rows of the widget.
    pub fn new(context: &'a RenderContext<'a>) -> Self {
        let (options, lang) = (context.options, context.options.lang);
        let columns = options.values.columns();
        let columns = columns.all();
        let streamed = [Column::Name, Column::Last, Column::Change];
        let refresh = if columns.iter().all(|column| streamed.contains(column)) { 0 } else { REFRESH_SECS };
        let rows = context.rows();
        let wide = longest_price_digits(&rows);
        let widths = ColumnWidths::new(columns, wide);
        let column = |column: &Column| ColumnView { from: widths.from(*column), ..column_view(*column, context) };
        Self {
            root: context.root(Widget::Board, refresh),
            title: context.title().to_owned(),
            as_of: context.as_of(),
            columns: columns.iter().map(column).collect(),
            wide,
            rows,
            footnote: locale::footnote(options.basis, lang),
            sources: if context.shows_sources(Widget::Board) { &context.sources } else { &[] },
            source_word: sources_label(lang),
            leaves_frame: context.leaves_frame(),
            sparks: Vec::new(),
            spark_from: widths.spark_from,
            spark_word: lang.pick("24시간", "24 h", "24時間"),
            sorted_at: String::new(),
            sorted_at_utc: String::new(),
            empty: "",
        }
    }

    /// Returns the sparkline of the row at an index.
    fn spark(&self, at: &usize) -> Option<&Spark> {
        self.sparks.get(*at)?.as_ref()
    }
}

/// Columns by priority: where space is short, the last is hidden first. The sparkline ranks before the amount.
const PRIORITY: [Column; 6] = [Column::Last, Column::Change, Column::Amount, Column::Volume, Column::High, Column::Low];

/// Minimum width of the name column, in tenths of an em.
const NAME_TENTHS: u32 = 60;

/// Width of the sparkline column, in tenths of an em, as in `sisepan.css`.
const SPARK_TENTHS: u32 = 68;

/// Smallest and largest width that `sisepan.css` has a rule for, in em; there is one for every even number between.
const FROM_MIN: u32 = 20;
const FROM_MAX: u32 = 60;

/// The minimum table width of each column, chosen so that the name column keeps 6em.
struct ColumnWidths {
    from: Vec<(Column, u32)>,
    spark_from: u32,
}

impl ColumnWidths {
    fn new(columns: &[Column], wide: usize) -> Self {
        let (mut tenths, mut from, mut spark_from) = (NAME_TENTHS, Vec::new(), None);
        let has = |column: &Column| columns.contains(column);
        for column in PRIORITY.into_iter().filter(has) {
            let first = from.is_empty();
            if !first && !matches!(column, Column::Change | Column::Amount) && spark_from.is_none() {
                tenths += SPARK_TENTHS;
                spark_from = Some(step(tenths));
            }
            tenths += width_tenths(column, wide);
            // Price and change are stacked if they do not fit side by side.
            let stays = first || (column == Column::Change && has(&Column::Last));
            from.push((column, if stays { 0 } else { step(tenths) }));
        }
        // High and low are shown or hidden together, unless one of them is the only figure.
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

/// Rounds up to the next width that the style sheet has a rule for, in em.
fn step(tenths: u32) -> u32 {
    tenths.div_ceil(20).saturating_mul(2).clamp(FROM_MIN, FROM_MAX)
}

/// Returns the width of a column in tenths of an em, as in `sisepan.css`; a digit is at most 0.6em wide.
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
/// If the template can't be rendered.
pub fn html(context: &RenderContext<'_>) -> Result<String, askama::Error> {
    BoardView::new(context).render()
}

/// Returns the width of the longest price in digits, clamped to 4..=12; a comma or point counts as half a digit.
pub fn longest_price_digits(rows: &[RowView]) -> usize {
    let digits = |text: &str| text.chars().map(|c| if c.is_ascii_digit() { 2 } else { 1 }).sum::<usize>().div_ceil(2);
    rows.iter().map(|row| digits(&row.last)).max().unwrap_or_default().clamp(4, 12)
}

fn column_view(column: Column, context: &RenderContext<'_>) -> ColumnView {
    let lang = context.options.lang;
    let word = match column {
        Column::Last => {
            let markets: Vec<_> = context.options.picks.iter().map(|pick| pick.market.clone()).collect();
            locale::price_column(&markets, lang)
        }
        column => column_heading(column, lang).to_owned(),
    };
    ColumnView {
        column,
        key: column.keyword(),
        word,
        title: unknown_hint(column, lang),
        from: 0,
        sort: None,
        sorted: "",
    }
}

/// Returns the heading of a column, without the unit.
pub fn column_heading(column: Column, lang: Lang) -> &'static str {
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

/// Returns a tooltip that explains when the column shows a dash; empty for columns that explain it in each row.
pub fn unknown_hint(column: Column, lang: Lang) -> &'static str {
    match column {
        Column::High | Column::Low => lang.pick(
            "24시간 시세가 모두 모이면 표시됩니다.",
            "Shown once prices for the full 24 hours are known.",
            "直近24時間の価格がすべてそろうと表示されます。",
        ),
        Column::Volume => lang.pick(
            "거래소가 제공하는 경우에만 표시됩니다.",
            "Shown if the exchange reports it.",
            "取引所が公表している場合に表示されます。",
        ),
        Column::Name | Column::Last | Column::Change | Column::Amount => "",
    }
}
