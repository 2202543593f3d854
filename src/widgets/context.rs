//! The data that every widget renders: its rows, its sources, and the attributes of its root element.

use std::sync::Arc;

use jiff::Timestamp;

use super::row_view::{RowView, client_strings};
use super::widget_options::{Options, Pick};
use crate::clock::Clock;
use crate::config::{Board, Site};
use crate::feed::{VenueHealth, VenueState};
use crate::hub::Hub;
use crate::locale::{self, Lang};
use crate::market::{Market, Quote, State, VenueId};
use crate::options::{Colors, Link, OptionValues, Widget};

/// Where a response body will be displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// As a page of its own; framing is forbidden.
    Page,
    /// As [`Placement::Page`], one path segment below the base path.
    NestedPage,
    /// In an iframe on any site that the configuration allows.
    Embed,
    /// Inside the document of another page; any origin may fetch it.
    Fragment,
}

/// What a widget shows of the server besides its options.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// The newest rows.
    pub hub: &'a Hub,
    /// The clock.
    pub clock: &'a Clock,
    /// The settings of the site.
    pub site: &'a Site,
    /// Whether the prices are simulated.
    pub demo: bool,
}

/// The context for rendering one widget: its options, and the newest rows, read once.
pub struct RenderContext<'a> {
    pub server: Server<'a>,
    pub options: &'a Options<'a>,
    pub placement: Placement,
    pub now: Timestamp,
    /// The quote row of each market in `options.picks`, if it has one.
    pub quotes: Vec<Option<Arc<Quote>>>,
    /// The venues of the sources, as they are shown to visitors.
    pub sources: Vec<SourceView>,
}

/// A venue of the sources, with its state.
pub struct SourceView {
    pub venue: VenueId,
    pub id: &'static str,
    pub state: &'static str,
    pub text: String,
}

/// The attributes of the root element of a widget.
pub struct RootAttributes<'a> {
    pub widget: &'static str,
    pub lang: Lang,
    /// Empty if the markets are of several boards.
    pub board: &'a str,
    pub basis: &'static str,
    /// The named markets, which the script subscribes to; empty if none are named.
    pub markets: String,
    pub colors: String,
    pub size: &'static str,
    /// The other options.
    pub values: &'a OptionValues,
    pub demo: bool,
    /// The best state of any row; empty for live, which only the script sets, since a static page is not live.
    pub standing: &'static str,
    pub words: String,
    pub query: String,
    /// Seconds after which the script reloads the widget; 0 for never.
    pub refresh: u32,
    /// URL of the style sheet with the publisher's own colours.
    pub style: Option<String>,
}

/// When the newest row was confirmed, with the best state of any row if that is not live.
pub struct AsOf {
    pub text: String,
    pub utc: String,
}

impl<'a> RenderContext<'a> {
    /// Reads the rows of a widget.
    pub fn new(server: Server<'a>, options: &'a Options<'a>, placement: Placement) -> Self {
        let [context] = Self::for_page(server, [options], placement);
        context
    }

    /// Reads the rows of all widgets of a page at once, so that they are consistent.
    pub fn for_page<const N: usize>(
        server: Server<'a>,
        widgets: [&'a Options<'a>; N],
        placement: Placement,
    ) -> [Self; N] {
        let picks = widgets.iter().flat_map(|options| &options.picks);
        let mut quotes = server.hub.find(picks.map(|pick| (&pick.source, &pick.market))).into_iter();
        let (health, now) = (server.hub.venues(), server.clock.now());
        widgets.map(|options| {
            let quotes: Vec<_> = quotes.by_ref().take(options.picks.len()).collect();
            let mut sources = Vec::<SourceView>::new();
            for id in options.picks.iter().flat_map(|pick| pick.source.as_str().split(',')) {
                if !sources.iter().any(|source| source.id == id) {
                    sources.extend(source(id, &health, &quotes, options.lang));
                }
            }
            Self { server, options, placement, now, quotes, sources }
        })
    }

    /// Returns the attributes of the root element.
    pub fn root(&self, widget: Widget, refresh: u32) -> RootAttributes<'a> {
        let options = self.options;
        let best = self.best_state();
        let venues: Vec<VenueId> = self.sources.iter().map(|source| source.venue).collect();
        RootAttributes {
            widget: widget.keyword(),
            lang: options.lang,
            board: if options.all_on_board { &options.board.id } else { "" },
            basis: options.basis.as_str(),
            markets: if options.names_markets { options.market_list() } else { String::new() },
            colors: options.colors().to_string(),
            size: options.size_of(widget).keyword(),
            values: &options.values,
            demo: self.server.demo,
            standing: if best == State::Live { "" } else { best.as_str() },
            words: client_strings(&venues, options.lang, self.shows_sources(widget)),
            query: options.query(),
            refresh,
            style: (self.placement == Placement::Fragment)
                .then(|| custom_colors_url(options.colors(), &self.home()))
                .flatten(),
        }
    }

    /// Returns one row for each market, even if it has no quote row.
    pub fn rows(&self) -> Vec<RowView> {
        let pairs = self.options.picks.iter().zip(&self.quotes);
        pairs.map(|(pick, quote)| self.row(pick, quote.as_deref())).collect()
    }

    /// Returns one row.
    pub fn row(&self, pick: &Pick, quote: Option<&Quote>) -> RowView {
        let href = self.options.values.link().url_for(&pick.market, || self.page_of(&pick.market));
        let is_ours = self.placement == Placement::Fragment && self.options.values.link() == Link::Market;
        RowView { href, is_ours, ..RowView::new(&pick.market, quote, self.options.basis, self.now, self.options.lang) }
    }

    fn page_of(&self, market: &Market) -> String {
        let Options { board, basis, lang, .. } = self.options;
        let market: String = url::form_urlencoded::byte_serialize(market.as_str().as_bytes()).collect();
        let board = if self.options.all_on_board { format!("board={}&", board.id) } else { String::new() };
        let theme = self.options.theme_query();
        format!("{}market/{market}?{board}basis={basis}&lang={lang}{theme}", self.home())
    }

    /// Returns the prefix of URLs of this server, relative to the place where the body will be displayed.
    pub fn home(&self) -> String {
        match self.placement {
            Placement::Page => String::new(),
            Placement::NestedPage | Placement::Embed => "../".to_owned(),
            // The page around a fragment may be on another host, which needs an absolute URL.
            Placement::Fragment => {
                format!("{}/", self.server.site.public_url.as_deref().unwrap_or(&self.server.site.base_path))
            }
        }
    }

    /// Returns whether links need `target="_top"` to leave the iframe.
    pub fn leaves_frame(&self) -> bool {
        self.placement == Placement::Embed && self.options.values.link() != Link::Off
    }

    /// Returns whether the sources are shown; by default all widgets but tape and ticker show them.
    pub fn shows_sources(&self, widget: Widget) -> bool {
        self.options.values.credit.unwrap_or(!matches!(widget, Widget::Tape | Widget::Ticker))
    }

    /// Returns the best state of any row, which is the state of the widget as a whole.
    pub fn best_state(&self) -> State {
        let states = [State::Live, State::Delayed, State::Stale, State::Halted];
        let any = |state: &State| self.quotes.iter().flatten().any(|quote| quote.state == *state);
        states.into_iter().find(any).unwrap_or(State::Unknown)
    }

    /// Returns when the newest row was confirmed.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        self.quotes.iter().flatten().filter_map(|quote| quote.confirmed_at).max()
    }

    /// Returns the time of the newest confirmation, preceded by the state if that is not live.
    pub fn as_of(&self) -> AsOf {
        let (lang, at, best) = (self.options.lang, self.confirmed_at(), self.best_state());
        let time = at.map_or_else(|| locale::UNKNOWN.to_owned(), |at| locale::clock(at, lang));
        let text = match best {
            State::Live => time,
            State::Unknown => locale::state(best, lang).to_owned(),
            _ => format!("{} · {time}", locale::state(best, lang)),
        };
        AsOf { text, utc: at.map_or_else(String::new, |at| at.to_string()) }
    }

    /// Returns the title of the board.
    pub fn title(&self) -> &'a str {
        title(self.options.board, self.options.lang)
    }
}

/// Returns the title of a widget's page.
pub fn widget_title(context: &RenderContext<'_>, widget: Widget) -> String {
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

/// Returns the title of a board.
pub fn title(board: &Board, lang: Lang) -> &str {
    let [ko, en, ja] = &board.titles;
    lang.pick(ko, en, ja)
}

/// Returns the label before the names of the sources.
pub fn sources_label(lang: Lang) -> &'static str {
    lang.pick("시세", "Prices:", "価格:")
}

/// Returns the URL of the style sheet for a publisher's own colours; `None` for built-in ones.
pub fn custom_colors_url(colors: Colors, home: &str) -> Option<String> {
    colors.is_custom().then(|| format!("{home}sisepan-colors.css?colors={colors}"))
}

/// Returns a venue with its state, or `None` for a venue without a state and without a row.
fn source(id: &str, health: &[VenueHealth], quotes: &[Option<Arc<Quote>>], lang: Lang) -> Option<SourceView> {
    if let Some(health) = health.iter().find(|health| health.venue.as_str() == id) {
        let (venue, state) = (health.venue, health.state.as_str());
        return Some(SourceView { venue, id: venue.as_str(), state, text: locale::venue_status(health, lang) });
    }
    let venue = quotes.iter().flatten().map(|quote| quote.venue).find(|venue| venue.as_str() == id)?;
    let state = VenueState::Connecting.as_str();
    Some(SourceView { venue, id: venue.as_str(), state, text: locale::venue(venue, lang).to_owned() })
}
