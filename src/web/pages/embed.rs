//! Renders a widget by its name, as an HTML fragment or as a page for an iframe.

use askama::Template;

use super::super::AppState;
use super::option_types::{Choice, Widget};
use super::options::Options;
use super::page_history::PageHistory;
use super::page_query::BadOption;
use super::page_response::Placement;
use super::render_context::{RenderContext, custom_colors_url};
use super::{board, card, chart, movers, oembed, tape_and_ticker};
use crate::locale::{self, Lang};

#[derive(Template)]
#[template(path = "embed.html")]
struct EmbedPage<'a> {
    lang: Lang,
    widget: &'static str,
    theme: &'a str,
    size: &'a str,
    transparent: bool,
    title: String,
    style: Option<String>,
    /// URL of the oEmbed response for this widget, if `public_url` is set.
    discovery: Option<String>,
    content: String,
}

/// Adapts options to a widget: card, ticker and chart show the first market of the board unless others are named.
///
/// # Errors
/// If more markets are named than the widget can show.
pub fn adapt_options<'a>(mut options: Options<'a>, widget: Widget) -> Result<Options<'a>, BadOption> {
    let max = match widget {
        Widget::Board | Widget::Tape | Widget::Movers => return Ok(options),
        Widget::Ticker | Widget::Card => card::MARKETS_MAX,
        Widget::Chart => 1,
    };
    if options.named_count > max {
        let word = widget.keyword();
        let allowed = |lang: Lang| {
            lang.pick(
                format!("{word} 위젯에는 최대 {max}개"),
                format!("at most {max} for {word}"),
                format!("{word} ウィジェットでは{max}件まで"),
            )
        };
        return Err(BadOption::invalid_value("markets", &options.market_list(), allowed));
    }
    if !options.names_markets {
        options.picks.truncate(1);
        options.names_markets = true;
    }
    Ok(options)
}

/// Renders a widget as a fragment or as a page, depending on `placement`.
///
/// # Errors
/// If a template can't be rendered.
pub fn html(
    app: &AppState,
    options: &Options<'_>,
    widget: Widget,
    placement: Placement,
    history: &PageHistory,
) -> Result<String, askama::Error> {
    let context = RenderContext::new(app, options, placement);
    let content = match widget {
        Widget::Board => board::html(&context)?,
        Widget::Tape => tape_and_ticker::tape(&context)?,
        Widget::Card => card::html(&context, history)?,
        Widget::Ticker => tape_and_ticker::ticker(&context)?,
        Widget::Movers => movers::html(&context, history)?,
        Widget::Chart => chart::html(&context, history)?,
    };
    if placement == Placement::Fragment {
        return Ok(content);
    }
    EmbedPage {
        lang: options.lang,
        widget: widget.keyword(),
        theme: options.theme.keyword(),
        size: options.size_of(widget).keyword(),
        transparent: options.transparent,
        title: title(&context, widget),
        style: custom_colors_url(options.colors, &context.home()),
        discovery: oembed::discovery(app, options, widget),
        content,
    }
    .render()
}

/// Returns the title of a widget's page.
pub fn title(context: &RenderContext<'_>, widget: Widget) -> String {
    let options = context.options;
    match (widget, options.picks.first(), context.quotes.first()) {
        (Widget::Ticker | Widget::Card | Widget::Chart, Some(pick), quote) => {
            let quote = quote.and_then(Option::as_deref);
            let name = quote.map(|quote| locale::name(quote, options.lang));
            let name = name.unwrap_or_else(|| locale::asset(pick.market.base(), options.lang));
            format!("{name} {}", pick.market)
        }
        _ => context.title().to_owned(),
    }
}
