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
use crate::market::Basis;
use crate::web::error::{self, invalid_query_response};
use crate::web::state::AppState;
use crate::widgets::badge;
use crate::widgets::context::{Placement, RenderContext, title, widget_title};
use crate::widgets::height::{self, ReservedHeight};
use crate::widgets::option_query::BadOption;
use crate::widgets::option_values::{
    Choice, Column, Density, Size, Switch, Widget, allowed, column_label, find, value_label, widget_label,
};
use crate::widgets::options::{self, CARD_MARKETS_MAX, Options};

/// Maximum length of the query in bytes, enough for the checkboxes of a large board.
const QUERY_BYTES_MAX: usize = 8_192;

/// Maximum number of parameters in the query.
const PARAMETERS_MAX: usize = 200;

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
    find(value).ok_or_else(|| BadOption::invalid_value(name, value, |_| allowed::<T>()))
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
        theme: app.default_options().theme.keyword(),
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
        columns: default_columns(app).join(","),
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
fn default_columns(app: &AppState) -> Vec<&'static str> {
    app.default_options()
        .columns
        .iter()
        .filter(|column| **column != Column::Name)
        .map(|column| column.keyword())
        .collect()
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
        if query.len() > QUERY_BYTES_MAX {
            return Err(BadOption::TooLong);
        }
        let (mut widget, mut ui, mut search) = (None, None, String::new());
        let (mut chosen, mut listed, mut boxes) = (Vec::new(), Vec::new(), Vec::<String>::new());
        for (at, (name, value)) in url::form_urlencoded::parse(query.as_bytes()).enumerate() {
            if at >= PARAMETERS_MAX {
                return Err(BadOption::TooLong);
            }
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
                    let Some(name) = options::names().find(|known| *known == name) else { continue };
                    match chosen.iter_mut().find(|(other, _)| *other == name) {
                        // The checkboxes of columns.
                        Some((_, list)) if name == "columns" => *list = format!("{list},{value}"),
                        Some(_) => return Err(BadOption::Repeated(name)),
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
    fn options<'a>(&self, app: &AppState, boards: &'a [Board], headers: &HeaderMap) -> Result<Options<'a>, BadOption> {
        let mut options = read_options(app, boards, headers, &self.query())?;
        // Surplus markets are dropped, not rejected: they were valid before the visitor changed the widget.
        let max = markets_max(self.widget);
        options.picks.truncate(max);
        options.named_count = options.named_count.min(max);
        options::adapt_options(options, self.widget)
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
            let (text, about) = widget_label(*widget, self.ui);
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

    fn fields(&self, app: &AppState) -> Vec<Field> {
        let ui = self.ui;
        let default = ui.pick("기본", "Default", "デフォルト");
        let is_set = |name: &str| app.site().widgets.get(name).is_some();
        let mut fields = vec![
            self.field::<Lang>(
                "lang",
                ui.pick("언어", "Language", "言語"),
                ui.pick("방문자 언어", "Visitor's language", "訪問者の言語"),
            ),
            self.field_of(
                "theme",
                ui.pick("배경", "Background", "背景"),
                ui.pick("자동", "Auto", "自動"),
                if is_set("theme") { &["auto", "light", "dark"] } else { &["light", "dark"] },
            ),
            self.field_of(
                "colors",
                ui.pick("색", "Colours", "色"),
                ui.pick("언어에 맞춤", "Match language", "言語に合わせる"),
                &["kr", "jp", "cn", "intl", "cb"],
            ),
            self.field::<Size>("size", ui.pick("글자 크기", "Text size", "文字サイズ"), default),
            self.field::<Density>("density", ui.pick("줄 간격", "Row spacing", "行間"), default),
            self.field::<Basis>(
                "basis",
                ui.pick("변동률 기준", "Change since", "変動率の基準"),
                ui.pick("시세판 기본값", "Board default", "ボードのデフォルト"),
            ),
            self.interval(is_set("interval")),
            self.field_of(
                "link",
                ui.pick("종목명 링크", "Link on names", "銘柄名のリンク"),
                ui.pick("없음", "None", "なし"),
                if is_set("link") { &["off", "market"] } else { &["market"] },
            ),
        ];
        for (name, label) in [
            ("flash", ui.pick("가격 변동 강조", "Flash on change", "価格変動時の点滅")),
            ("credit", ui.pick("출처 표시", "Show sources", "出典の表示")),
            ("transparent", ui.pick("투명 배경", "Transparent background", "透明な背景")),
            ("title", ui.pick("제목 표시", "Show title", "タイトルの表示")),
        ] {
            fields.push(self.field::<Switch>(name, label, default));
        }
        match self.widget {
            Widget::Board => fields.push(Field { many: true, ..self.columns(app) }),
            Widget::Chart => fields.push(self.field_of(
                "span",
                ui.pick("기간", "Period", "期間"),
                ui.pick("24시간", "24 hours", "24時間"),
                if is_set("span") { &["24h", "7d"] } else { &["7d"] },
            )),
            Widget::Movers => fields.push(self.field_of(
                "count",
                ui.pick("상승·하락 각 개수", "Risers and fallers, each", "上昇・下落の各件数"),
                default,
                &["3", "5", "10"],
            )),
            Widget::Tape | Widget::Card | Widget::Ticker => {}
        }
        // The labels above name the built-in defaults, which do not apply to options that the operator has set.
        for field in fields.iter_mut().filter(|field| !field.many && is_set(field.name)) {
            if let Some(first) = field.items.first_mut() {
                first.text = default.to_owned();
            }
        }
        fields
    }

    /// Returns the field of the update interval, in ascending order and with the built-in default marked.
    fn interval(&self, is_set: bool) -> Field {
        let label = self.ui.pick("최소 갱신 간격(ms)", "Update at most every (ms)", "最短更新間隔（ms）");
        if is_set {
            return self.field_of("interval", label, "", &["0", "100", "250", "500", "1000", "2000", "5000"]);
        }
        let default = self.ui.pick("500(기본)", "500 (default)", "500（デフォルト）");
        let mut field = self.field_of("interval", label, default, &["0", "100", "250", "1000", "2000", "5000"]);
        let mut default = field.items.remove(0);
        default.checked |= self.get("interval") == "500";
        field.items.insert(3, default);
        field
    }

    fn columns(&self, app: &AppState) -> Field {
        let chosen = self.get("columns");
        let chosen = if chosen.is_empty() { default_columns(app) } else { chosen.split(',').collect() };
        let item = |column: &Column| Item {
            value: column.keyword().to_owned(),
            text: column_label(*column, self.ui).to_owned(),
            about: "",
            checked: chosen.contains(&column.keyword()),
        };
        let columns = Column::EVERY.iter().filter(|column| **column != Column::Name);
        Field {
            name: "columns",
            label: self.ui.pick("표시 항목", "Columns", "表示項目"),
            items: columns.map(item).collect(),
            many: true,
        }
    }

    /// Returns a field with every value of an option; `default` is the text of the empty value.
    fn field<T: Choice>(&self, name: &'static str, label: &'static str, default: &'static str) -> Field {
        let words: Vec<&str> = T::EVERY.iter().map(|choice| choice.keyword()).collect();
        self.field_of(name, label, default, &words)
    }

    /// Returns a field with the given values; `default` is the text of the empty value, which comes first.
    fn field_of(&self, name: &'static str, label: &'static str, default: &'static str, words: &[&str]) -> Field {
        let chosen = self.get(name);
        let item = |value: &str, text: &str| Item {
            value: value.to_owned(),
            text: text.to_owned(),
            about: "",
            checked: value == chosen,
        };
        let mut items = vec![item("", default)];
        items.extend(words.iter().map(|word| item(word, value_label(name, word, self.ui))));
        Field { name, label, items, many: false }
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
