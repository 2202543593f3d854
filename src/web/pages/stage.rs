//! What every widget stands on: its rows, its sources, and the attributes of its root.

use std::sync::Arc;

use jiff::Timestamp;

use super::super::AppState;
use super::choice::{Choice, Colors, Widget};
use super::link::Link;
use super::options::{Options, Pick};
use super::reply::Frame;
use super::row::RowView;
use super::words;
use crate::config::Board;
use crate::domain::{Market, Quote, State, VenueHealth, VenueId, VenueState};
use crate::text::{self, Lang};

/// One widget to be rendered: what was asked for, and the newest rows, read once.
pub struct Stage<'a> {
    pub app: &'a AppState,
    pub options: &'a Options<'a>,
    pub frame: Frame,
    pub now: Timestamp,
    /// The row of each market that was asked for, where there is one.
    pub quotes: Vec<Option<Arc<Quote>>>,
    /// The venues of the sources, as they are named to readers.
    pub sources: Vec<SourceView>,
}

/// A venue behind the rows, with what is wrong with it.
pub struct SourceView {
    pub venue: VenueId,
    pub id: &'static str,
    pub state: &'static str,
    pub text: String,
}

/// The attributes of the root of a widget.
pub struct Root<'a> {
    pub widget: &'static str,
    pub lang: Lang,
    /// Empty where the markets are of several boards.
    pub board: &'a str,
    pub basis: &'static str,
    /// Only where the reader picked them: the script subscribes to the same.
    pub markets: String,
    pub theme: &'static str,
    pub colors: String,
    pub size: &'static str,
    pub density: &'static str,
    pub interval: u64,
    pub flash: bool,
    pub title: bool,
    pub transparent: bool,
    pub demo: bool,
    /// The state of the row that is best off, unless that is live: a page stands still, so only the script says so.
    pub standing: &'static str,
    pub words: String,
    pub query: String,
    /// After how many seconds its shape may be another; 0 where it keeps it.
    pub refresh: u32,
    /// The style sheet of the publisher's own colours.
    pub style: Option<String>,
}

/// When the newest row was confirmed, with what keeps the widget from being live.
pub struct AsOf {
    pub text: String,
    pub utc: String,
}

impl<'a> Stage<'a> {
    /// Reads the rows.
    pub fn new(app: &'a AppState, options: &'a Options<'a>, frame: Frame) -> Self {
        let [stage] = Self::of_one_page(app, [options], frame);
        stage
    }

    /// Reads the rows of all widgets of a page at one moment, so that no two of its figures contradict each other.
    pub fn of_one_page<const N: usize>(app: &'a AppState, widgets: [&'a Options<'a>; N], frame: Frame) -> [Self; N] {
        let picks = widgets.iter().flat_map(|options| &options.picks);
        let mut quotes = app.hub.find(picks.map(|pick| (&pick.source, &pick.market))).into_iter();
        let (health, now) = (app.hub.venues(), app.clock.now());
        widgets.map(|options| {
            let quotes: Vec<_> = quotes.by_ref().take(options.picks.len()).collect();
            let mut sources = Vec::<SourceView>::new();
            for id in options.picks.iter().flat_map(|pick| pick.source.as_str().split(',')) {
                if !sources.iter().any(|source| source.id == id) {
                    sources.extend(source(id, &health, &quotes, options.lang));
                }
            }
            Self { app, options, frame, now, quotes, sources }
        })
    }

    /// Returns the attributes of the root of a widget.
    pub fn root(&self, widget: Widget, refresh: u32) -> Root<'a> {
        let options = self.options;
        let best = self.best();
        let venues: Vec<VenueId> = self.sources.iter().map(|source| source.venue).collect();
        Root {
            widget: widget.word(),
            lang: options.lang,
            board: if options.of_board { &options.board.id } else { "" },
            basis: options.basis.as_str(),
            markets: if options.picked { options.market_list() } else { String::new() },
            theme: options.theme.word(),
            colors: options.colors.to_string(),
            size: options.size_of(widget).word(),
            density: options.density.word(),
            interval: options.interval_ms,
            flash: options.flash,
            title: options.title,
            transparent: options.transparent,
            demo: self.app.demo,
            standing: if best == State::Live { "" } else { best.as_str() },
            words: words::json(&venues, options.lang, self.credit(widget)),
            query: options.query(),
            refresh,
            style: (self.frame == Frame::Fragment).then(|| own_style(options.colors, &self.home())).flatten(),
        }
    }

    /// Returns the rows, one for each market whether it was ever published or not.
    pub fn rows(&self) -> Vec<RowView> {
        let pairs = self.options.picks.iter().zip(&self.quotes);
        pairs.map(|(pick, quote)| self.row(pick, quote.as_deref())).collect()
    }

    /// Returns one row.
    pub fn row(&self, pick: &Pick, quote: Option<&Quote>) -> RowView {
        let href = self.options.link.to(&pick.market, || self.page_of(&pick.market));
        let is_ours = self.frame == Frame::Fragment && self.options.link == Link::Market;
        RowView { href, is_ours, ..RowView::new(&pick.market, quote, self.options.basis, self.now, self.options.lang) }
    }

    fn page_of(&self, market: &Market) -> String {
        let Options { board, basis, lang, .. } = self.options;
        let market: String = url::form_urlencoded::byte_serialize(market.as_str().as_bytes()).collect();
        let board = if self.options.of_board { format!("board={}&", board.id) } else { String::new() };
        let theme = self.options.theme_query();
        format!("{}market/{market}?{board}basis={basis}&lang={lang}{theme}", self.home())
    }

    /// Returns where our own pages begin, as seen from where this will stand.
    pub fn home(&self) -> String {
        match self.frame {
            Frame::Page => String::new(),
            Frame::Deep | Frame::Embed => "../".to_owned(),
            // It may stand in another host's page: there only a whole address is right.
            Frame::Fragment => format!("{}/", self.app.public_url().unwrap_or(self.app.base_path())),
        }
    }

    /// Whether a link must leave the frame that it stands in.
    pub fn leaves_frame(&self) -> bool {
        self.frame == Frame::Embed && self.options.link != Link::Off
    }

    /// Whether the sources are named.
    pub fn credit(&self, widget: Widget) -> bool {
        self.options.credit.unwrap_or(!matches!(widget, Widget::Tape | Widget::Ticker))
    }

    /// Returns the state of the row that is best off: what the widget as a whole may say of itself.
    pub fn best(&self) -> State {
        let states = [State::Live, State::Delayed, State::Stale, State::Halted];
        let any = |state: &State| self.quotes.iter().flatten().any(|quote| quote.state == *state);
        states.into_iter().find(any).unwrap_or(State::Unknown)
    }

    /// Returns when the newest row was confirmed.
    pub fn confirmed(&self) -> Option<Timestamp> {
        self.quotes.iter().flatten().filter_map(|quote| quote.confirmed_at).max()
    }

    /// Returns that time in words, with the state where it is not live.
    pub fn as_of(&self) -> AsOf {
        let (lang, at, best) = (self.options.lang, self.confirmed(), self.best());
        let time = at.map_or_else(|| text::UNKNOWN.to_owned(), |at| text::clock(at, lang));
        let text = match best {
            State::Live => time,
            State::Unknown => text::state(best, lang).to_owned(),
            _ => format!("{} · {time}", text::state(best, lang)),
        };
        AsOf { text, utc: at.map_or_else(String::new, |at| at.to_string()) }
    }

    /// Returns the title of the board.
    pub fn title(&self) -> &'a str {
        title(self.options.board, self.options.lang)
    }
}

/// Returns the title of a board.
pub fn title(board: &Board, lang: Lang) -> &str {
    let [ko, en, ja] = &board.titles;
    lang.pick(ko, en, ja)
}

/// Returns the word before the names of the sources.
pub fn source_word(lang: Lang) -> &'static str {
    lang.pick("시세", "Prices:", "価格:")
}

/// Returns the address of the style sheet with a publisher's own colours.
pub fn own_style(colors: Colors, home: &str) -> Option<String> {
    colors.is_own().then(|| format!("{home}sisepan-colors.css?colors={colors}"))
}

/// Says of one venue how it is. Venues that nothing is known of are left out.
fn source(id: &str, health: &[VenueHealth], quotes: &[Option<Arc<Quote>>], lang: Lang) -> Option<SourceView> {
    if let Some(health) = health.iter().find(|health| health.venue.as_str() == id) {
        let (venue, state) = (health.venue, health.state.as_str());
        return Some(SourceView { venue, id: venue.as_str(), state, text: text::trouble(health, lang) });
    }
    let venue = quotes.iter().flatten().map(|quote| quote.venue).find(|venue| venue.as_str() == id)?;
    let state = VenueState::Connecting.as_str();
    Some(SourceView { venue, id: venue.as_str(), state, text: text::venue(venue, lang).to_owned() })
}
