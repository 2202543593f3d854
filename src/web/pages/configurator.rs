//! The configurator: choose a widget and its options, preview it, and copy the code.
//!
//! A plain HTML form: every choice is a query parameter, and the server renders the whole page again. The script only
//! submits the form on each change.

use std::collections::HashSet;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use url::Url;

use super::home::parse_search;
use super::page_response::{self, PageRequest, preferred_lang, read_options, status_of};
use super::snippet::{Snippet, SnippetInput};
use crate::config::Board;
use crate::locale::{self, Lang};
use crate::options::{
    Accepted, Choice, Column, OptionInfo, OptionValue as _, QueryError, TABLE, Widget, find_keyword, keyword_label,
    query_pairs,
};
use crate::web::error::{self, invalid_query_response};
use crate::web::state::AppState;
use crate::widgets::bad_option::BadOption;
use crate::widgets::badge;
use crate::widgets::context::{Placement, RenderContext, title, widget_title};
use crate::widgets::height::{self, ReservedHeight};
use crate::widgets::widget_options::{self, CARD_MARKETS_MAX, Options};

/// Maximum length of the query in bytes, enough for the checkboxes of a large board.
const QUERY_BYTES_MAX: usize = 8_192;

/// Maximum number of parameters in the query.
const PARAMETERS_MAX: usize = 200;

/// The numbers that a field offers for an option that accepts all of them.
const COUNTS: [usize; 3] = [3, 5, 10];

/// Maximum length of a `Host` header, in bytes.
const HOST_BYTES_MAX: usize = 261;

/// The content security policy: that of the other pages, and iframes of this host for the preview.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     frame-src 'self'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'; \
     form-action 'self'; frame-ancestors 'none'";

/// The submitted form.
#[derive(Debug)]
struct Form {
    widget: Widget,
    ui: Lang,
    search: String,
    /// The chosen options; empty values are left out.
    chosen: Vec<(&'static str, String)>,
}

/// Parses a keyword.
fn parse_keyword<T: Choice>(name: &'static str, value: &str) -> Result<T, BadOption> {
    find_keyword(value).ok_or_else(|| BadOption::invalid_value(name, value, |lang| T::ACCEPTED.allowed(lang)))
}

#[derive(Template)]
#[template(path = "widgets.html")]
struct Page<'a> {
    lang: Lang,
    theme: &'static str,
    demo: bool,
    langs: Vec<Tab>,
    widgets: Vec<Item>,
    boards: Vec<Item>,
    search: &'a str,
    markets: Vec<MarketItem>,
    fields: Vec<Field>,
    /// Error message for invalid options; empty if they are valid.
    error_message: String,
    result: Option<ResultView>,
    home: String,
    /// The default columns of a board, which are left out of the query.
    columns: String,
}

struct ResultView {
    snippets: Vec<Snippet>,
    /// URL of the preview on a light background.
    light: String,
    /// URL of the preview on a dark background.
    dark: String,
    title: String,
}

struct Tab {
    tag: &'static str,
    text: &'static str,
    href: String,
    current: bool,
}

struct Item {
    value: String,
    text: String,
    about: &'static str,
    checked: bool,
}

struct MarketItem {
    market: String,
    name: String,
    found_by: String,
    checked: bool,
    hidden: bool,
}

/// A form field with the items to choose from; the one with an empty value is the default.
struct Field {
    name: &'static str,
    label: &'static str,
    items: Vec<Item>,
    /// Whether several items may be chosen.
    many: bool,
}

/// `GET /widgets`: the configurator.
pub async fn configurator(State(app): State<AppState>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = query.as_deref().unwrap_or_default();
    let boards = app.boards();
    let request = PageRequest { app: &app, boards: &boards, headers: &headers, query, placement: Placement::Page };
    let form = match Form::read(&headers, query) {
        Ok(form) => form,
        Err(bad) => return invalid_query_response(request, &bad),
    };
    let base_url = app.public_url().map_or_else(|| requested_url(&headers, app.base_path()), str::to_owned);
    let options = form.options(&app, &boards, &headers);
    let status = options.as_ref().map_or_else(status_of, |_| StatusCode::OK);
    let render = || page(&app, &boards, &form, &options, &base_url);
    let mut response = if app.public_url().is_some() && status == StatusCode::OK {
        page_response::rendered_page(request, &format!("widgets {form:?} {}", preferred_lang(&headers)), render)
    } else {
        // Not cached: an error, or a page with the host of this request, which other clients must not get.
        match render() {
            Ok(body) => page_response::uncached_page(&app, Placement::Page, status, body),
            Err(error) => page_response::rendered_page(request, "widgets", || Err(error)),
        }
    };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    response
}

fn page(
    app: &AppState,
    boards: &[Board],
    form: &Form,
    options: &Result<Options<'_>, BadOption>,
    base_url: &str,
) -> Result<String, askama::Error> {
    let lang = form.ui;
    let (error_message, result) = match options {
        Ok(options) => (String::new(), Some(form.result_view(app, options, base_url))),
        Err(bad) => (error::message(bad, lang), None),
    };
    Page {
        lang,
        theme: app.default_options().theme().keyword(),
        demo: app.demo,
        langs: form.tabs(),
        widgets: form.widgets(),
        boards: form.boards(boards),
        search: &form.search,
        markets: form.markets(boards, lang),
        fields: form.fields(app),
        error_message,
        result,
        home: base_url.to_owned(),
        columns: default_columns(app),
    }
    .render()
}

/// Returns the base URL that the client used, for servers without `public_url`.
///
/// Without a valid `Host` header only the base path is returned, which is correct on this host only.
fn requested_url(headers: &HeaderMap, base_path: &str) -> String {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let plain = |host: &&str| {
        let usable = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b);
        host.len() <= HOST_BYTES_MAX && host.bytes().all(usable) && Url::parse(&format!("http://{host}/")).is_ok()
    };
    let scheme = if value("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    match value("host").filter(plain) {
        Some(host) => format!("{scheme}://{host}{base_path}"),
        None => base_path.to_owned(),
    }
}

/// Returns the default columns of a board, without the name.
fn default_columns(app: &AppState) -> String {
    let columns = app.default_options().columns().text();
    columns.strip_prefix("name,").unwrap_or_default().to_owned()
}

/// Returns the maximum number of markets that a widget can show.
fn markets_max(widget: Widget) -> usize {
    match widget {
        Widget::Board | Widget::Tape | Widget::Movers => usize::MAX,
        Widget::Card | Widget::Ticker => CARD_MARKETS_MAX,
        Widget::Chart => 1,
    }
}

impl Form {
    fn read(headers: &HeaderMap, query: &str) -> Result<Self, BadOption> {
        let (mut widget, mut ui, mut search) = (None, None, String::new());
        let (mut chosen, mut listed, mut boxes) = (Vec::new(), Vec::new(), Vec::<String>::new());
        for pair in query_pairs(query, QUERY_BYTES_MAX, PARAMETERS_MAX)? {
            let (name, value) = pair?;
            if value.is_empty() {
                continue;
            }
            match &*name {
                "widget" => widget = Some(parse_keyword::<Widget>("widget", &value)?),
                "ui" => ui = Some(parse_keyword::<Lang>("ui", &value)?),
                "q" => search = parse_search(&value)?,
                "m" => boxes.push(value.into_owned()),
                "markets" => listed.extend(value.split(',').map(str::to_owned)),
                name => {
                    let Some(name) = widget_options::names().find(|known| *known == name) else { continue };
                    match chosen.iter_mut().find(|(other, _)| *other == name) {
                        // The checkboxes of columns.
                        Some((_, list)) if name == "columns" => *list = format!("{list},{value}"),
                        Some(_) => return Err(QueryError::Repeated(name).into()),
                        None => chosen.push((name, value.into_owned())),
                    }
                }
            }
        }
        let markets = merge(listed, boxes).join(",");
        if !markets.is_empty() {
            chosen.push(("markets", markets));
        }
        Ok(Self {
            widget: widget.unwrap_or(Widget::Board),
            ui: ui.unwrap_or_else(|| preferred_lang(headers)),
            search,
            chosen,
        })
    }

    fn get(&self, name: &str) -> &str {
        self.chosen.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Returns the query of the options; without a chosen language, the preview uses that of the form.
    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.chosen);
        if self.get("lang").is_empty() {
            query.append_pair("lang", self.ui.as_str());
        }
        query.finish()
    }

    /// Parses the options and adapts them to the widget.
    fn options<'a>(
        &self,
        app: &'a AppState,
        boards: &'a [Board],
        headers: &HeaderMap,
    ) -> Result<Options<'a>, BadOption> {
        let mut options = read_options(app, boards, headers, &self.query())?;
        // Surplus markets are dropped, not rejected: they were valid before the visitor changed the widget.
        let max = markets_max(self.widget);
        options.picks.truncate(max);
        options.named_count = options.named_count.min(max);
        widget_options::adapt_options(options, self.widget)
    }

    /// Creates the preview and the snippets.
    fn result_view(&self, app: &AppState, options: &Options<'_>, base_url: &str) -> ResultView {
        let canonical = options.query();
        let chosen: HashSet<&str> = self.chosen.iter().map(|(name, _)| *name).collect();
        let names_markets = matches!(self.widget, Widget::Card | Widget::Ticker | Widget::Chart);
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(canonical.as_bytes())
            .into_owned()
            // Only chosen options are written, the others follow the defaults; a single market is always named.
            .filter(|(name, _)| chosen.contains(name.as_str()) || (names_markets && name == "markets"))
            .collect();
        let context = RenderContext::new(app.server(), options, Placement::Page);
        let title = widget_title(&context, self.widget);
        // Without a chosen or configured language the widget is shown in that of each visitor.
        let default = options.defaults.lang;
        let langs = if chosen.contains("lang") {
            vec![options.lang]
        } else {
            default.map_or(Lang::ALL.to_vec(), |lang| vec![lang])
        };
        let input = SnippetInput {
            base_url,
            widget: self.widget,
            options,
            query_pairs: pairs,
            reserved_height: ReservedHeight::new(app.server(), options, self.widget, &langs),
            ticker_width: height::ticker_width(app.server(), options, &langs),
            badge_width_px: badge::width(app.server(), options),
            is_public: app.public_url().is_some(),
            title,
            lang: self.ui,
        };
        let preview = |theme: &str| {
            let mut pairs: Vec<_> = input.query_pairs.clone();
            if !chosen.contains("lang") {
                pairs.push(("lang".to_owned(), self.ui.to_string()));
            }
            if matches!(self.get("theme"), "" | "auto") {
                pairs.retain(|(name, _)| name != "theme");
                pairs.push(("theme".to_owned(), theme.to_owned()));
            }
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            format!("embed/{}?{}", self.widget.keyword(), query.replace("%2C", ","))
        };
        ResultView { light: preview("light"), dark: preview("dark"), snippets: input.snippets(), title: input.title }
    }

    /// Returns the links to this form in each language.
    fn tabs(&self) -> Vec<Tab> {
        let tab = |lang: Lang| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query
                .append_pair("ui", lang.as_str())
                .append_pair("widget", self.widget.keyword())
                .extend_pairs(&self.chosen);
            let href = format!("widgets?{}", query.finish());
            Tab { tag: lang.as_str(), text: lang.own_name(), href, current: lang == self.ui }
        };
        Lang::ALL.map(tab).into()
    }

    fn widgets(&self) -> Vec<Item> {
        let item = |widget: &Widget| {
            let (text, about) = (keyword_label(*widget, self.ui), about(*widget, self.ui));
            Item { value: widget.keyword().to_owned(), text: text.to_owned(), about, checked: *widget == self.widget }
        };
        Widget::EVERY.iter().map(item).collect()
    }

    fn boards(&self, boards: &[Board]) -> Vec<Item> {
        let item = |board: &Board| Item {
            value: board.id.clone(),
            text: title(board, self.ui).to_owned(),
            about: "",
            checked: board.id == self.get("board"),
        };
        boards.iter().map(item).collect()
    }

    /// Returns every market of every board, the chosen ones first, in their order.
    fn markets(&self, boards: &[Board], lang: Lang) -> Vec<MarketItem> {
        let chosen: Vec<&str> = self.get("markets").split(',').filter(|market| !market.is_empty()).collect();
        let mut known = HashSet::new();
        let all = boards.iter().flat_map(|board| board.markets.iter());
        let words = self.search.to_lowercase();
        let mut items: Vec<MarketItem> = all
            .filter(|market| known.insert(market.as_str()))
            .map(|market| {
                let names = Lang::ALL.map(|lang| locale::asset(market.base(), lang)).join(" ");
                let found_by = format!("{market} {names} {}", locale::initials(&names)).to_lowercase();
                let checked = chosen.contains(&market.as_str());
                let hidden = !checked && !words.split_whitespace().all(|word| found_by.contains(word));
                let name = locale::asset(market.base(), lang);
                MarketItem { market: market.to_string(), name, found_by, checked, hidden }
            })
            .collect();
        items.sort_by_key(|item| chosen.iter().position(|market| *market == item.market).unwrap_or(usize::MAX));
        items
    }

    /// Returns a field for each option that applies to the widget; those for this widget alone come last.
    fn fields(&self, app: &AppState) -> Vec<Field> {
        let set = app.default_options().set_options();
        let field = |option: &&OptionInfo| self.field(option, set.iter().any(|(name, _)| *name == option.name), app);
        let fields = TABLE.iter().filter(|option| !option.label[0].is_empty());
        let general = fields.clone().filter(|option| option.only_for.is_none());
        let own = fields.filter(|option| option.only_for == Some(self.widget));
        general.chain(own).map(|option| field(&option)).collect()
    }

    /// Returns the field of an option; `is_set` if the operator has set it, so that the built-in default does not apply.
    fn field(&self, option: &OptionInfo, is_set: bool, app: &AppState) -> Field {
        let pick = |[ko, en, ja]: [&'static str; 3]| self.ui.pick(ko, en, ja);
        let (name, label) = (option.name, pick(option.label));
        let chosen = self.get(name);
        let item = |value: &str, text: &str| Item {
            value: value.to_owned(),
            text: text.to_owned(),
            about: "",
            checked: value == chosen,
        };
        let keywords = option.accepted.keywords().iter().map(|(word, label)| item(word, pick(*label)));
        if let Accepted::Columns = option.accepted {
            let chosen = if chosen.is_empty() { default_columns(app) } else { chosen.to_owned() };
            let items = keywords.filter(|item| item.value != Column::Name.keyword());
            let is_checked = |item: &Item| chosen.split(',').any(|word| word == item.value);
            let items = items.map(|item| Item { checked: is_checked(&item), ..item }).collect();
            return Field { name, label, items, many: true };
        }
        let default = option.default_label.filter(|_| !is_set);
        let mut items = vec![item("", pick(default.unwrap_or(["기본", "Default", "デフォルト"])))];
        let built_in = (option.built_in)().filter(|_| !is_set);
        match option.accepted {
            Accepted::Numbers(numbers) => items.extend(numbers.iter().map(|number| {
                let text = number.to_string();
                item(&text, &text)
            })),
            Accepted::UpTo(max) => items.extend(COUNTS.iter().filter(|count| **count <= max).map(|count| {
                let text = count.to_string();
                item(&text, &text)
            })),
            // The default has a label of its own.
            _ => items.extend(keywords.filter(|item| default.is_none() || Some(&item.value) != built_in.as_ref())),
        }
        if let (Accepted::Numbers(_), Some(built_in)) = (option.accepted, built_in) {
            // In ascending order, with the built-in default marked.
            let at = items.iter().position(|item| item.value == built_in).unwrap_or_default();
            let mark = self.ui.pick("(기본)", " (default)", "（デフォルト）");
            let checked = items[0].checked || items[at].checked;
            items[at] = Item { text: format!("{built_in}{mark}"), checked, ..item("", "") };
            items.remove(0);
        }
        Field { name, label, items, many: false }
    }
}

/// Returns a short description of a widget.
fn about(widget: Widget, lang: Lang) -> &'static str {
    match widget {
        Widget::Board => lang.pick("여러 종목을 한 표로", "A table of markets", "複数銘柄の表"),
        Widget::Tape => lang.pick("한 줄로 움직이는 시세", "A scrolling line of markets", "1行で流れる価格"),
        Widget::Card => lang.pick("24시간 그래프 포함", "With a 24-hour sparkline", "24時間のグラフ付き"),
        Widget::Ticker => lang.pick("문장에 넣는 가격", "Inline price for running text", "文中に入れる価格"),
        Widget::Movers => lang.pick("많이 오르고 내린 종목", "Risers and fallers", "値上がり・値下がり銘柄"),
        Widget::Chart => lang.pick("24시간 또는 7일", "24 hours or 7 days", "24時間または7日間"),
    }
}

/// Returns the checked boxes, those of the list first and in its order; without boxes, returns the list.
fn merge(listed: Vec<String>, boxes: Vec<String>) -> Vec<String> {
    if boxes.is_empty() {
        return listed;
    }
    let mut markets: Vec<String> = listed.into_iter().filter(|market| boxes.contains(market)).collect();
    for market in boxes {
        if !markets.contains(&market) {
            markets.push(market);
        }
    }
    markets
}
