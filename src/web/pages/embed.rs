//! A widget by its name: as a piece of HTML, and as a page for an iframe.

use askama::Template;

use super::super::AppState;
use super::choice::{Choice, Widget};
use super::given::BadOption;
use super::options::Options;
use super::past::Past;
use super::reply::Frame;
use super::stage::{Stage, own_style};
use super::{board, card, chart, line, movers, oembed};
use crate::text::{self, Lang};

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
    /// Where an editor may ask how to embed this, where our address is known.
    discovery: Option<String>,
    content: String,
}

/// Fits options to a widget: one that shows a single market takes the first unless others are picked.
///
/// # Errors
/// If more markets are picked than it can show.
pub fn fit<'a>(mut options: Options<'a>, widget: Widget) -> Result<Options<'a>, BadOption> {
    let most = match widget {
        Widget::Board | Widget::Tape | Widget::Movers => return Ok(options),
        Widget::Ticker | Widget::Card => card::MARKETS_MAX,
        Widget::Chart => 1,
    };
    if options.named > most {
        let word = widget.word();
        let allowed = |lang: Lang| {
            lang.pick(
                format!("{word} 위젯에는 최대 {most}개"),
                format!("at most {most} for {word}"),
                format!("{word} ウィジェットでは{most}件まで"),
            )
        };
        return Err(BadOption::value("markets", &options.market_list(), allowed));
    }
    if !options.picked {
        options.picks.truncate(1);
        options.picked = true;
    }
    Ok(options)
}

/// Renders a widget, alone or as a page.
///
/// # Errors
/// When a template can't be written out.
pub fn html(
    app: &AppState,
    options: &Options<'_>,
    widget: Widget,
    frame: Frame,
    past: &Past,
) -> Result<String, askama::Error> {
    let stage = Stage::new(app, options, frame);
    let content = match widget {
        Widget::Board => board::html(&stage)?,
        Widget::Tape => line::tape(&stage)?,
        Widget::Card => card::html(&stage, past)?,
        Widget::Ticker => line::ticker(&stage)?,
        Widget::Movers => movers::html(&stage, past)?,
        Widget::Chart => chart::html(&stage, past)?,
    };
    if frame == Frame::Fragment {
        return Ok(content);
    }
    EmbedPage {
        lang: options.lang,
        widget: widget.word(),
        theme: options.theme.word(),
        size: options.size_of(widget).word(),
        transparent: options.transparent,
        title: title(&stage, widget),
        style: own_style(options.colors, &stage.home()),
        discovery: oembed::discovery(app, options, widget),
        content,
    }
    .render()
}

/// Returns what the page of a widget is called.
pub fn title(stage: &Stage<'_>, widget: Widget) -> String {
    let options = stage.options;
    match (widget, options.picks.first(), stage.quotes.first()) {
        (Widget::Ticker | Widget::Card | Widget::Chart, Some(pick), quote) => {
            let quote = quote.and_then(Option::as_deref);
            let name = quote.map(|quote| text::name(quote, options.lang));
            let name = name.unwrap_or_else(|| text::asset(pick.market.base(), options.lang));
            format!("{name} {}", pick.market)
        }
        _ => stage.title().to_owned(),
    }
}
