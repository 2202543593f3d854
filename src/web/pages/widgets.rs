//! The configurator: pick a widget, its markets and its look, see it, copy what brings it.
//!
//! A plain form: each choice is a part of the address, and the server writes the
//! whole page again. The script only asks sooner.

use std::collections::HashSet;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use url::Url;

use super::super::AppState;
use super::choice::{Choice, Column, Density, Reach, Size, Switch, Theme, Widget, allowed, find};
use super::given::BadOption;
use super::height::{self, Reserve};
use super::home::read_search;
use super::options::{self, Options};
use super::reply::{self, Asked, Frame};
use super::snippet::{Snippet, Wish};
use super::spoken::{column_name, described, spoken};
use super::stage::{Stage, title};
use super::usual::Usual;
use super::{badge, card, embed, error};
use crate::domain::Basis;
use crate::text::{self, Lang};

/// Longest query, in bytes: a box for each market of a large board.
const QUERY_BYTES_MAX: usize = 8_192;

/// Most parameters in it.
const PARAMETERS_MAX: usize = 200;

/// Longest name of a host with its port, in bytes.
const HOST_BYTES_MAX: usize = 261;

/// The policy of the page: as that of our other pages, and it shows our own frames.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     frame-src 'self'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'; \
     form-action 'self'; frame-ancestors 'none'";

/// What the form says.
#[derive(Debug)]
struct Form {
    widget: Widget,
    ui: Lang,
    search: String,
    /// The options as given, empty ones left out.
    given: Vec<(&'static str, String)>,
}

fn choose<T: Choice>(name: &'static str, value: &str) -> Result<T, BadOption> {
    find(value).ok_or_else(|| BadOption::value(name, value, |_| allowed::<T>()))
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
    /// Nothing can be made of what was asked for.
    refusal: String,
    result: Option<Made>,
    home: String,
    /// The columns of a board that need not be named.
    columns: String,
}

struct Made {
    snippets: Vec<Snippet>,
    /// The widget's page on a light ground, and on a dark one.
    light: String,
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

/// A choice among words, the first being the usual one.
struct Field {
    name: &'static str,
    label: &'static str,
    items: Vec<Item>,
    /// Whether several may be chosen.
    many: bool,
}

/// `GET /widgets`.
pub async fn widgets(State(app): State<AppState>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = query.as_deref().unwrap_or_default();
    let asked = Asked { app: &app, headers: &headers, query, frame: Frame::Page };
    let form = match Form::read(&headers, query) {
        Ok(form) => form,
        Err(bad) => return super::refuse(asked, &bad),
    };
    let home = app.public_url().map_or_else(|| asked_at(&headers, app.base_path()), str::to_owned);
    let options = form.options(&app, &headers);
    let status = options.as_ref().map_or_else(BadOption::status, |_| StatusCode::OK);
    let render = || page(&app, &form, &options, &home);
    let mut response = if app.public_url().is_some() && status == StatusCode::OK {
        super::rendered(asked, &format!("widgets {form:?} {}", options::preferred(&headers)), render)
    } else {
        // A refusal, or a page with the address that the asker used, which nobody else may be given.
        match render() {
            Ok(body) => reply::unkept(&app, Frame::Page, status, body),
            Err(error) => super::rendered(asked, "widgets", || Err(error)),
        }
    };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    response
}

fn page(
    app: &AppState,
    form: &Form,
    options: &Result<Options<'_>, BadOption>,
    home: &str,
) -> Result<String, askama::Error> {
    let lang = form.ui;
    let (refusal, result) = match options {
        Ok(options) => (String::new(), Some(form.make(app, options, home))),
        Err(bad) => (error::message(bad, lang), None),
    };
    Page {
        lang,
        theme: Usual::of(app).theme.word(),
        demo: app.demo,
        langs: form.tabs(),
        widgets: form.widgets(),
        boards: form.boards(app),
        search: &form.search,
        markets: form.markets(app, lang),
        fields: form.fields(app),
        refusal,
        result,
        home: home.to_owned(),
        columns: usual_columns(app).join(","),
    }
    .render()
}

/// Returns the address that the asker used, for where the operator did not say how readers find this server.
///
/// Without a host that can be one, it is only right on this very host.
fn asked_at(headers: &HeaderMap, base_path: &str) -> String {
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

/// Returns the columns of a board beside the name, where none are asked for.
fn usual_columns(app: &AppState) -> Vec<&'static str> {
    Usual::of(app).columns.iter().filter(|column| **column != Column::Name).map(|column| column.word()).collect()
}

fn most(widget: Widget) -> usize {
    match widget {
        Widget::Board | Widget::Tape | Widget::Movers => usize::MAX,
        Widget::Card | Widget::Ticker => card::MARKETS_MAX,
        Widget::Chart => 1,
    }
}

impl Form {
    fn read(headers: &HeaderMap, query: &str) -> Result<Self, BadOption> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(BadOption::TooLong);
        }
        let (mut widget, mut ui, mut search) = (None, None, String::new());
        let (mut given, mut listed, mut boxes) = (Vec::new(), Vec::new(), Vec::<String>::new());
        for (at, (name, value)) in url::form_urlencoded::parse(query.as_bytes()).enumerate() {
            if at >= PARAMETERS_MAX {
                return Err(BadOption::TooLong);
            }
            if value.is_empty() {
                continue;
            }
            match &*name {
                "widget" => widget = Some(choose::<Widget>("widget", &value)?),
                "ui" => ui = Some(choose::<Lang>("ui", &value)?),
                "q" => search = read_search(&value)?,
                "m" => boxes.push(value.into_owned()),
                "markets" => listed.extend(value.split(',').map(str::to_owned)),
                name => {
                    let Some(name) = options::names().find(|known| *known == name) else { continue };
                    match given.iter_mut().find(|(other, _)| *other == name) {
                        // The boxes of columns.
                        Some((_, list)) if name == "columns" => *list = format!("{list},{value}"),
                        Some(_) => return Err(BadOption::Twice(name)),
                        None => given.push((name, value.into_owned())),
                    }
                }
            }
        }
        let markets = order(listed, boxes).join(",");
        if !markets.is_empty() {
            given.push(("markets", markets));
        }
        Ok(Self {
            widget: widget.unwrap_or(Widget::Board),
            ui: ui.unwrap_or_else(|| options::preferred(headers)),
            search,
            given,
        })
    }

    fn get(&self, name: &str) -> &str {
        self.given.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// What the options are read from; who chose no language sees that of the form.
    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.given);
        if self.get("lang").is_empty() {
            query.append_pair("lang", self.ui.as_str());
        }
        query.finish()
    }

    /// Reads the options, fitted to the widget.
    fn options<'a>(&self, app: &'a AppState, headers: &HeaderMap) -> Result<Options<'a>, BadOption> {
        let mut options = Options::read(app, headers, &self.query())?;
        // A market too many for this widget is left out, not refused: the form was made for another a moment ago.
        let most = most(self.widget);
        options.picks.truncate(most);
        options.named = options.named.min(most);
        embed::fit(options, self.widget)
    }

    /// Makes what is copied and what is seen.
    fn make(&self, app: &AppState, options: &Options<'_>, home: &str) -> Made {
        let spelled = options.query();
        let given: HashSet<&str> = self.given.iter().map(|(name, _)| *name).collect();
        let one = matches!(self.widget, Widget::Card | Widget::Ticker | Widget::Chart);
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(spelled.as_bytes())
            .into_owned()
            // What nobody chose is left to the server and the reader; a single market is always named.
            .filter(|(name, _)| given.contains(name.as_str()) || (one && name == "markets"))
            .collect();
        let stage = Stage::new(app, options, Frame::Page);
        let title = embed::title(&stage, self.widget);
        // Who pins no language is shown that of each reader.
        let set = options.usual.lang;
        let langs =
            if given.contains("lang") { vec![options.lang] } else { set.map_or(Lang::ALL.to_vec(), |lang| vec![lang]) };
        let wish = Wish {
            home,
            widget: self.widget,
            options,
            pairs,
            reserve: Reserve::new(app, options, self.widget, &langs),
            length: height::ticker_length(app, options, &langs),
            picture: badge::width(app, options),
            is_public: app.public_url().is_some(),
            title,
            lang: self.ui,
        };
        let seen = |theme: &str| {
            let mut pairs: Vec<_> = wish.pairs.clone();
            if !given.contains("lang") {
                pairs.push(("lang".to_owned(), self.ui.to_string()));
            }
            if matches!(self.get("theme"), "" | "auto") {
                pairs.retain(|(name, _)| name != "theme");
                pairs.push(("theme".to_owned(), theme.to_owned()));
            }
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            format!("embed/{}?{}", self.widget.word(), query.replace("%2C", ","))
        };
        Made { light: seen("light"), dark: seen("dark"), snippets: wish.snippets(), title: wish.title }
    }

    /// The same form in the other languages.
    fn tabs(&self) -> Vec<Tab> {
        let tab = |lang: Lang| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("ui", lang.as_str()).append_pair("widget", self.widget.word()).extend_pairs(&self.given);
            let href = format!("widgets?{}", query.finish());
            Tab { tag: lang.as_str(), text: lang.own_name(), href, current: lang == self.ui }
        };
        Lang::ALL.map(tab).into()
    }

    fn widgets(&self) -> Vec<Item> {
        let item = |widget: &Widget| {
            let (text, about) = described(*widget, self.ui);
            Item { value: widget.word().to_owned(), text: text.to_owned(), about, checked: *widget == self.widget }
        };
        Widget::EVERY.iter().map(item).collect()
    }

    fn boards(&self, app: &AppState) -> Vec<Item> {
        let item = |board: &crate::config::Board| Item {
            value: board.id.clone(),
            text: title(board, self.ui).to_owned(),
            about: "",
            checked: board.id == self.get("board"),
        };
        app.boards.iter().map(item).collect()
    }

    /// Every market of every board, those that are chosen first, in their order.
    fn markets(&self, app: &AppState, lang: Lang) -> Vec<MarketItem> {
        let chosen: Vec<&str> = self.get("markets").split(',').filter(|market| !market.is_empty()).collect();
        let mut known = HashSet::new();
        let all = app.boards.iter().flat_map(|board| board.markets.iter());
        let words = self.search.to_lowercase();
        let mut items: Vec<MarketItem> = all
            .filter(|market| known.insert(market.as_str()))
            .map(|market| {
                let names = Lang::ALL.map(|lang| text::asset(market.base(), lang)).join(" ");
                let found_by = format!("{market} {names} {}", text::initials(&names)).to_lowercase();
                let checked = chosen.contains(&market.as_str());
                let hidden = !checked && !words.split_whitespace().all(|word| found_by.contains(word));
                let name = text::asset(market.base(), lang);
                MarketItem { market: market.to_string(), name, found_by, checked, hidden }
            })
            .collect();
        items.sort_by_key(|item| chosen.iter().position(|market| *market == item.market).unwrap_or(usize::MAX));
        items
    }

    fn fields(&self, app: &AppState) -> Vec<Field> {
        let ui = self.ui;
        let is_set = |name: &str| app.site().widgets.get(name).is_some();
        let mut fields = vec![
            self.field::<Lang>(
                "lang",
                ui.pick("언어", "Language", "言語"),
                ui.pick("독자의 언어", "The reader's", "読者の言語"),
            ),
            self.field::<Theme>(
                "theme",
                ui.pick("바탕", "Ground", "背景"),
                ui.pick("페이지를 따름", "As the page", "ページに従う"),
            ),
            self.named(
                "colors",
                ui.pick("색", "Colours", "色"),
                ui.pick("언어를 따름", "By language", "言語に従う"),
                &["kr", "jp", "cn", "intl", "cb"],
            ),
            self.field::<Size>(
                "size",
                ui.pick("글자 크기", "Text size", "文字の大きさ"),
                ui.pick("보통", "Usual", "標準"),
            ),
            self.field::<Density>("density", ui.pick("줄 간격", "Density", "行間"), ui.pick("보통", "Usual", "標準")),
            self.field::<Basis>(
                "basis",
                ui.pick("변동률 기준", "Change from", "変動率の基準"),
                ui.pick("시세판을 따름", "The board's", "ボードに従う"),
            ),
            self.named(
                "interval",
                ui.pick("갱신 간격(ms)", "Interval (ms)", "更新間隔 (ms)"),
                "500",
                if is_set("interval") {
                    &["0", "100", "250", "500", "1000", "2000", "5000"]
                } else {
                    &["0", "100", "250", "1000", "2000", "5000"]
                },
            ),
            self.named(
                "link",
                ui.pick("이름의 링크", "Links", "リンク"),
                ui.pick("없음", "None", "なし"),
                if is_set("link") { &["off", "market"] } else { &["market"] },
            ),
        ];
        for (name, label) in [
            ("flash", ui.pick("바뀔 때 깜박임", "Flash on change", "変化時の点滅")),
            ("credit", ui.pick("출처 표시", "Name the sources", "出所の表示")),
            ("transparent", ui.pick("투명한 바탕", "Transparent", "背景を透明に")),
            ("title", ui.pick("제목", "Heading", "見出し")),
        ] {
            fields.push(self.field::<Switch>(name, label, ui.pick("보통", "Usual", "標準")));
        }
        match self.widget {
            Widget::Board => fields.push(Field { many: true, ..self.columns(app) }),
            Widget::Chart => fields.push(self.field::<Reach>(
                "span",
                ui.pick("기간", "Span", "期間"),
                ui.pick("24시간", "24 hours", "24時間"),
            )),
            Widget::Movers => fields.push(self.named(
                "count",
                ui.pick("개수", "How many", "件数"),
                ui.pick("보통", "Usual", "標準"),
                &["3", "5", "10"],
            )),
            Widget::Tape | Widget::Card | Widget::Ticker => {}
        }
        // What the operator has set is not what our words for the usual say.
        for field in fields.iter_mut().filter(|field| !field.many && is_set(field.name)) {
            if let Some(first) = field.items.first_mut() {
                first.text = ui.pick("보통", "Usual", "標準").to_owned();
            }
        }
        fields
    }

    fn columns(&self, app: &AppState) -> Field {
        let chosen = self.get("columns");
        let chosen = if chosen.is_empty() { usual_columns(app) } else { chosen.split(',').collect() };
        let item = |column: &Column| Item {
            value: column.word().to_owned(),
            text: column_name(*column, self.ui).to_owned(),
            about: "",
            checked: chosen.contains(&column.word()),
        };
        let columns = Column::EVERY.iter().filter(|column| **column != Column::Name);
        Field {
            name: "columns",
            label: self.ui.pick("열", "Columns", "列"),
            items: columns.map(item).collect(),
            many: true,
        }
    }

    fn field<T: Choice>(&self, name: &'static str, label: &'static str, usual: &'static str) -> Field {
        let words: Vec<&str> = T::EVERY.iter().map(|choice| choice.word()).collect();
        self.named(name, label, usual, &words)
    }

    fn named(&self, name: &'static str, label: &'static str, usual: &'static str, words: &[&str]) -> Field {
        let chosen = self.get(name);
        let item = |value: &str, text: &str| Item {
            value: value.to_owned(),
            text: text.to_owned(),
            about: "",
            checked: value == chosen,
        };
        let mut items = vec![item("", usual)];
        items.extend(words.iter().map(|word| item(word, spoken(name, word, self.ui))));
        Field { name, label, items, many: false }
    }
}

/// Puts the boxes in the order of the list; without boxes the list stands.
fn order(listed: Vec<String>, boxes: Vec<String>) -> Vec<String> {
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
