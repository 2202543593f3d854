//! Binance: market list, tickers over 24 hours, minute candles, and named streams of tickers.
//!
//! Numbers are strings with eight decimal places; the change is over rolling 24 hours, in percent; candles (klines)
//! come oldest first, and minutes without trades are flat rows. Source: developers.binance.com, spot REST API and
//! streams, and payloads observed from 2024 to 2026.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::connection_policy::ConnectionPolicy;
use crate::fake_venue::{FakeVenue, Payloads, RestRequest};
use crate::fault_view::FaultView;
use crate::json::{Object, RowShape, array, json_string};
use crate::limits::{Charge, CountedRequest, Limit, Refusal, Usage, Window};
use crate::listing::Listing;
use crate::query::RequestTarget;
use crate::response::FakeResponse;
use crate::session::{Session, Step};
use crate::simulated_market::SimulatedMarket;
use crate::subscriptions::Subscriptions;
use crate::ticker_figures::{DAY, TickerFigures};
use crate::trade_log::Ohlcv;
use crate::units::{fixed, fixed8, ratio};

/// The fake Binance.
#[derive(Debug)]
pub struct Binance;

const ID: &str = "binance";
const MINUTE: i64 = 60_000;

/// Default and maximum number of candles of a response.
const CANDLES_DEFAULT: i64 = 500;
const CANDLES_MAX: i64 = 1000;

/// Maximum number of streams of a connection.
const STREAMS_MAX: usize = 1024;

/// Minimum time between two events of a stream, in ms.
const EVENT_INTERVAL: i64 = 1000;

const BAN: Duration = Duration::from_secs(120);
// Clock-aligned minutes are documented for weight; assumed: that the windows of connections are aligned as well.
const WEIGHT: Limit = Limit { windows: &[Window::aligned(6000, 60)], ban: BAN, ban_status: 418 };
const CONNECTIONS: Limit = Limit { windows: &[Window::aligned(300, 300)], ban: BAN, ban_status: 418 };

/// A result, or code and message of an API error.
type Answer<T> = Result<T, (i32, String)>;

/// A path, the weight of a request, and its response.
type Endpoint = (&'static str, fn(&RequestTarget) -> u32, fn(&FaultView<'_>, &RequestTarget) -> Answer<String>);

const ENDPOINTS: &[Endpoint] = &[
    ("/api/v3/ping", |_| 1, |_, _| Ok("{}".to_owned())),
    ("/api/v3/time", |_| 1, |view, _| Ok(Object::new().raw("serverTime", view.reported_time(view.now)).end())),
    ("/api/v3/exchangeInfo", |_| 20, info),
    ("/api/v3/ticker/24hr", tickers_weight, tickers),
    ("/api/v3/klines", |_| 2, klines),
];

fn endpoint(target: &RequestTarget) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|(path, ..)| *path == target.path)
}

impl FakeVenue for Binance {
    fn listing(&self) -> Listing {
        Listing::in_usdt(ID, |asset| format!("{asset}USDT"))
    }

    fn stream_path(&self) -> &'static str {
        "/ws"
    }

    fn rest(&self, view: &FaultView<'_>, request: &RestRequest<'_>) -> FakeResponse {
        match endpoint(&request.target).map(|(.., answer)| answer(view, &request.target)) {
            Some(Ok(body)) => FakeResponse::json(200, body),
            Some(Err((code, message))) => FakeResponse::json(400, error(code, &message)),
            None => FakeResponse { headers: Vec::new(), ..FakeResponse::json(404, "") },
        }
    }

    /// Opens `/ws`, `/ws/<streams>` or `/stream?streams=<streams>`; the names of streams are joined with `/`.
    fn open(&self, path: &str, query: &str) -> Option<Box<dyn Session>> {
        let mut session = BinanceSession { is_combined: path == "/stream", ..BinanceSession::default() };
        let named = path.strip_prefix("/ws").filter(|names| names.is_empty() || names.starts_with('/'));
        let query = named.map(|names| format!("streams={names}")).or(session.is_combined.then(|| query.to_owned()))?;
        let names = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "streams");
        let names = names.map(|(_, names)| names).unwrap_or_default();
        session.add(&names.split('/').filter(|name| !name.is_empty()).collect::<Vec<_>>()).ok()?;
        Some(Box::new(session))
    }

    fn connection_policy(&self, lifetime: Duration) -> ConnectionPolicy {
        const FRAMES: &[(usize, Duration)] = &[(5, Duration::from_secs(1))];
        ConnectionPolicy {
            ping_interval: Some(Duration::from_secs(20)),
            idle_close: Some((1008, "Pong timeout")),
            frame_limits: FRAMES,
            counts_control_frames: true,
            lifetime: Some(lifetime),
            // Documented are ten minutes; for a shorter lifetime it is a tenth of it.
            announcement_lead: (lifetime / 10).min(Duration::from_secs(600)),
            ..ConnectionPolicy::default()
        }
    }

    fn charges(&self, request: &CountedRequest<'_>) -> Vec<Charge> {
        let (limit, group, weight) = match request.target {
            None => (&CONNECTIONS, "connections", 1),
            Some(target) => (&WEIGHT, "all", endpoint(target).map_or(1, |(_, weight, _)| weight(target))),
        };
        vec![Charge { limit, group, weight }]
    }

    fn limit_headers(&self, usages: &[Usage]) -> Vec<(&'static str, String)> {
        let names = ["x-mbx-used-weight", "x-mbx-used-weight-1m"];
        usages.iter().flat_map(|usage| names.map(|name| (name, usage.used.to_string()))).collect()
    }

    fn refuse(&self, refusal: &Refusal) -> FakeResponse {
        // Assumed for a refused connection, of which only the status is known. Only Binance is known to send `retry-after`.
        let seconds = refusal.wait_seconds();
        let limited = "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.";
        let banned = format!("Way too much request weight used; IP banned for {seconds} seconds.");
        let message = if refusal.status == WEIGHT.ban_status { &banned } else { limited };
        let mut response = FakeResponse::json(refusal.status, error(-1003, message));
        response.headers.push(("retry-after".to_owned(), seconds.to_string()));
        response
    }

    fn payloads(&self) -> Payloads {
        Payloads {
            rows: RowShape { lists: &["symbols"], symbols: &["symbol", "s"], names: None },
            price_members: &["lastPrice", "c"],
            close_member: "4",
            list_members: Some(["baseAsset", "filters"]),
            time_members: &["E", "C"],
            recordings: &[
                ("/api/v3/exchangeInfo", "rest-markets"),
                ("/api/v3/ticker/24hr", "rest-tickers"),
                ("/api/v3/klines", "rest-candles-1m"),
            ],
            maintenance: None,
        }
    }
}

fn error(code: i32, message: &str) -> String {
    Object::new().raw("code", code).text("msg", message).end()
}

fn illegal(parameter: &str) -> (i32, String) {
    (-1100, format!("Illegal characters found in parameter '{parameter}'; legal range is '^[0-9]{{1,20}}$'."))
}

fn by_symbol<'a>(view: &FaultView<'a>, symbol: &str) -> Answer<&'a SimulatedMarket> {
    view.simulation.by_symbol(ID, symbol).ok_or_else(|| (-1121, "Invalid symbol.".to_owned()))
}

/// Returns the markets that a request selects with `symbol` or `symbols`, by default all.
fn selected<'a>(view: &FaultView<'a>, target: &RequestTarget) -> Answer<Vec<&'a SimulatedMarket>> {
    match (target.get("symbol"), target.get("symbols")) {
        (Some(_), Some(_)) => Err((-1128, "Combination of optional parameters invalid.".to_owned())),
        (Some(symbol), None) => Ok(vec![by_symbol(view, symbol)?]),
        (None, Some(list)) => {
            let symbols: Vec<String> = serde_json::from_str(list).map_err(|_| illegal("symbols"))?;
            symbols.iter().map(|symbol| by_symbol(view, symbol)).collect()
        }
        (None, None) => Ok(view.simulation.markets_of(ID).collect()),
    }
}

fn info(view: &FaultView<'_>, target: &RequestTarget) -> Answer<String> {
    let sets = if target.get("showPermissionSets") == Some("false") { "[]" } else { r#"[["SPOT"]]"# };
    let row = |market: &SimulatedMarket| {
        LISTED
            .replace("$symbol", &json_string(&market.symbol))
            .replace("$status", if market.halted { "HALT" } else { "TRADING" })
            .replace("$base", &json_string(market.symbol.strip_suffix("USDT").unwrap_or(market.asset.id)))
            .replace("$tick", &fixed8(market.asset.usdt_tick_size))
            .replace("$sets", sets)
    };
    let limit = r#"[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000}]"#;
    let info = Object::new().text("timezone", "UTC").raw("serverTime", view.reported_time(view.now));
    let info = info.raw("rateLimits", limit).raw("exchangeFilters", "[]");
    Ok(info.raw("symbols", array(selected(view, target)?.into_iter().map(row))).end())
}

/// A row of the market list.
const LISTED: &str = concat!(
    r#"{"symbol":$symbol,"status":"$status","baseAsset":$base,"baseAssetPrecision":8,"quoteAsset":"USDT","#,
    r#""quotePrecision":8,"quoteAssetPrecision":8,"baseCommissionPrecision":8,"quoteCommissionPrecision":8,"#,
    r#""orderTypes":["LIMIT","LIMIT_MAKER","MARKET"],"icebergAllowed":true,"ocoAllowed":true,"#,
    r#""quoteOrderQtyMarketAllowed":true,"allowTrailingStop":true,"cancelReplaceAllowed":true,"#,
    r#""isSpotTradingAllowed":true,"isMarginTradingAllowed":false,"filters":[{"filterType":"PRICE_FILTER","#,
    r#""minPrice":"$tick","maxPrice":"1000000.00000000","tickSize":"$tick"},{"filterType":"LOT_SIZE","#,
    r#""minQty":"0.00001000","maxQty":"9000.00000000","stepSize":"0.00001000"},{"filterType":"NOTIONAL","#,
    r#""minNotional":"5.00000000","applyMinToMarket":true,"maxNotional":"9000000.00000000","#,
    r#""applyMaxToMarket":false,"avgPriceMins":5}],"permissions":[],"permissionSets":$sets,"#,
    r#""defaultSelfTradePreventionMode":"EXPIRE_MAKER","#,
    r#""allowedSelfTradePreventionModes":["EXPIRE_TAKER","EXPIRE_MAKER","EXPIRE_BOTH"]}"#
);

/// The members of each form of a ticker, by their names in the stream.
const FULL: &str = "pPwxcQbBaAohlvqOCFLn";
const MINI: &str = "cohlvq";
const MINI_OVER_REST: &str = "cohlvqOCFLn";

/// Returns the members of a ticker: name in the stream, name over REST, and value.
fn members(figures: &TickerFigures<'_>) -> [(&'static str, &'static str, String); 20] {
    let (trade, sums, (bid, ask)) = (figures.trade, figures.rolling, figures.best_prices());
    let change = trade.price - sums.open;
    let average = sums.quote_volume.checked_div(sums.base_volume).unwrap_or(trade.price.into());
    let text = |value: i128| json_string(&fixed(value, 8));
    [
        ("p", "priceChange", text(change.into())),
        ("P", "priceChangePercent", json_string(&fixed(ratio(change.into(), sums.open.into(), 5), 3))),
        ("w", "weightedAvgPrice", text(average)),
        ("x", "prevClosePrice", text(figures.price_24h_ago.into())),
        ("c", "lastPrice", text(trade.price.into())),
        ("Q", "lastQty", text(trade.base_volume.into())),
        ("b", "bidPrice", text(bid.into())),
        ("B", "bidQty", json_string("0.25511000")),
        ("a", "askPrice", text(ask.into())),
        ("A", "askQty", json_string("1.46494000")),
        ("o", "openPrice", text(sums.open.into())),
        ("h", "highPrice", text(sums.high.into())),
        ("l", "lowPrice", text(sums.low.into())),
        ("v", "volume", text(sums.base_volume)),
        ("q", "quoteVolume", text(sums.quote_volume / 100_000_000)),
        ("O", "openTime", (figures.now - DAY).to_string()),
        ("C", "closeTime", figures.now.to_string()),
        ("F", "firstId", sums.first_id.to_string()),
        ("L", "lastId", sums.last_id.to_string()),
        ("n", "count", sums.trade_count().to_string()),
    ]
}

/// Adds the members of a ticker that belong to `form`.
fn ticker(head: Object, figures: &TickerFigures<'_>, form: &str, over_rest: bool) -> String {
    let members = members(figures).into_iter().filter(|(letter, ..)| form.contains(letter));
    members.fold(head, |object, (letter, name, value)| object.raw(if over_rest { name } else { letter }, value)).end()
}

fn tickers(view: &FaultView<'_>, target: &RequestTarget) -> Answer<String> {
    let form = if target.get("type") == Some("MINI") { MINI_OVER_REST } else { FULL };
    let row = |market: &SimulatedMarket| {
        let head = Object::new().text("symbol", &market.symbol);
        TickerFigures::latest(view, market, 0).map(|figures| ticker(head, &figures, form, true))
    };
    let rows: Vec<String> = selected(view, target)?.into_iter().filter_map(row).collect();
    Ok(if target.get("symbol").is_some() { rows.concat() } else { array(rows) })
}

fn tickers_weight(target: &RequestTarget) -> u32 {
    match (target.get("symbol"), target.get("symbols").map(|list| list.split(',').count())) {
        (Some(_), _) | (_, Some(..=20)) => 2,
        (_, Some(..=100)) => 40,
        _ => 80,
    }
}

fn klines(view: &FaultView<'_>, target: &RequestTarget) -> Answer<String> {
    let missing =
        |name: &str| (-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."));
    let integer = |name: &str| target.get(name).map(|value| value.parse().map_err(|_| illegal(name))).transpose();
    let market = by_symbol(view, target.get("symbol").ok_or_else(|| missing("symbol"))?)?;
    if target.get("interval").ok_or_else(|| missing("interval"))? != "1m" {
        return Err((-1120, "Invalid interval.".to_owned()));
    }
    let limit = integer("limit")?.unwrap_or(CANDLES_DEFAULT).min(CANDLES_MAX);
    let invalid = || (-1130, "Data sent for parameter 'limit' is not valid.".to_owned());
    let count = usize::try_from(limit).ok().filter(|count| *count > 0).ok_or_else(invalid)?;
    let (start, end) = (integer("startTime")?, integer("endTime")?.unwrap_or(view.now).min(view.now));
    // The oldest from the start on; without one, the newest before the end.
    let newest = || (end - end.rem_euclid(MINUTE)).saturating_sub((limit - 1).saturating_mul(MINUTE));
    let rows = market.trade_log.contiguous_minutes(start.unwrap_or_else(newest), end);
    let rows = rows.take(count).filter(|candle| !view.omits_minute(market, candle));
    Ok(array(rows.map(|candle| kline(&candle))))
}

fn kline(candle: &Ohlcv) -> String {
    let (start, end, count) = (candle.start, candle.start + MINUTE - 1, candle.trade_count());
    let (volume, value) = (candle.base_volume, candle.quote_volume / 100_000_000);
    // What takers bought; its value is estimated by its share of the volume.
    let bought = volume - candle.sold_volume;
    let spent = (value * bought).checked_div(volume).unwrap_or(0);
    let [open, high, low, close] = [candle.open, candle.high, candle.low, candle.close].map(fixed8);
    let [volume, value, bought, spent] = [volume, value, bought, spent].map(|units| fixed(units, 8));
    let head = format!(r#"{start},"{open}","{high}","{low}","{close}","{volume}",{end},"{value}""#);
    format!(r#"[{head},{count},"{bought}","{spent}","0"]"#)
}

/// Parts of the names of streams that exist at Binance but are not served here.
const NOT_SERVED: &str = "! @aggTrade @avgPrice @blockTrade @bookTicker @depth @kline_ @referencePrice @ticker_ @trade";

/// Encodes a `24hrTicker` event.
pub fn ticker_frame(figures: &TickerFigures<'_>) -> String {
    event(figures, FULL)
}

fn event(figures: &TickerFigures<'_>, form: &str) -> String {
    let name = if form == MINI { "24hrMiniTicker" } else { "24hrTicker" };
    let head = Object::new().text("e", name).raw("E", figures.now).text("s", &figures.market.symbol);
    ticker(head, figures, form, false)
}

/// A connection: its streams by name.
#[derive(Debug, Default)]
struct BinanceSession {
    /// Whether events are wrapped with the name of their stream.
    is_combined: bool,
    /// What each stream has sent of its market; one with an unknown name has none.
    streams: BTreeMap<String, Subscriptions>,
}

impl BinanceSession {
    /// Adds streams, or none of them if one is not served.
    fn add(&mut self, names: &[&str]) -> Result<(), String> {
        if let Some(name) = names.iter().find(|name| NOT_SERVED.split(' ').any(|part| name.contains(part))) {
            return Err(format!("stream `{name}` is not served here"));
        }
        for name in names {
            let mut stream = Subscriptions::new(EVENT_INTERVAL);
            let symbol = name.strip_suffix("@ticker").or(name.strip_suffix("@miniTicker"));
            // It acknowledges unknown names, symbols in upper case included, and never sends anything.
            if let Some(symbol) = symbol.filter(|symbol| *symbol == symbol.to_ascii_lowercase()) {
                stream.add(&symbol.to_ascii_uppercase());
            }
            self.streams.entry((*name).to_owned()).or_insert(stream);
        }
        Ok(())
    }

    /// Returns the result of a request, or why it is invalid.
    fn result(&mut self, request: &Value) -> Result<String, String> {
        let params = request["params"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names: Vec<&str> = params.iter().filter_map(Value::as_str).collect();
        let has_names = !names.is_empty() && names.len() == params.len();
        match request["method"].as_str().ok_or("missing field `method`")? {
            "SUBSCRIBE" if has_names => self.add(&names)?,
            "UNSUBSCRIBE" if has_names => self.streams.retain(|name, _| !names.contains(&name.as_str())),
            "SUBSCRIBE" | "UNSUBSCRIBE" => return Err("params must be a list of stream names".to_owned()),
            "LIST_SUBSCRIPTIONS" => return Ok(array(self.streams.keys().map(|name| json_string(name)))),
            other => {
                let known = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`";
                return Err(format!("unknown variant `{other}`, expected one of {known}"));
            }
        }
        Ok("null".to_owned())
    }
}

impl Session for BinanceSession {
    fn receive(&mut self, text: &str, _view: &FaultView<'_>) -> Vec<Step> {
        let reply = match serde_json::from_str::<Value>(text) {
            Err(wrong) => error(3, &format!("Invalid JSON: {wrong}")),
            Ok(request) => match self.result(&request) {
                Ok(result) => Object::new().raw("result", result).raw("id", &request["id"]).end(),
                Err(message) => error(2, &format!("Invalid request: {message}")),
            },
        };
        let is_full = self.streams.len() > STREAMS_MAX;
        vec![if is_full { Step::Close(1008, "Too many streams".to_owned()) } else { Step::Reply(reply) }]
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        for (name, stream) in &mut self.streams {
            let form = if name.ends_with("@miniTicker") { MINI } else { FULL };
            let mut due = stream.due(view, ID, 0);
            // There is no snapshot that would come before the trades of a `replay` fault.
            due.sort_by_key(|figures| figures.trade.id);
            for figures in due {
                let (symbol, data) = (figures.market.symbol.clone(), event(&figures, form));
                let wrapped = || Object::new().text("stream", name).raw("data", &data).end();
                steps.push(Step::Data { symbol, body: if self.is_combined { wrapped() } else { data } });
            }
        }
        steps
    }

    fn end_announcement(&self, view: &FaultView<'_>) -> Option<Step> {
        // Assumed to be unwrapped on combined connections too; the documents don't say.
        Some(Step::Reply(Object::new().text("e", "serverShutdown").raw("E", view.reported_time(view.now)).end()))
    }
}
