//! The Upbit family: Upbit, and exchanges whose API is modelled on Upbit's.
//!
//! Served are market lists, tickers and minute candles over REST, and tickers on the stream, in the format DEFAULT.
//! Candles come newest first, and minutes without trades are left out. Source: docs.upbit.com/kr/reference,
//! apidocs.bithumb.com, payloads observed from 2025-08 to 2026-09.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fake_venue::Payloads;
use crate::fault_view::FaultView;
use crate::json::{Object, RowShape, array, json_string};
use crate::query::{KST_OFFSET_HOURS, RequestTarget, format_time, parse_time};
use crate::response::FakeResponse;
use crate::session::{FrameEncoding, Session, Step};
use crate::simulated_market::{SimulatedMarket, Simulation};
use crate::ticker_figures::{DAY, TickerFigures};
use crate::units::plain;

/// What an exchange of the family does in its own way.
#[derive(Debug)]
pub struct UpbitFamily {
    /// The venue's id.
    pub id: &'static str,
    /// Offset from UTC, in hours, of its days and of times without an offset.
    pub utc_offset_hours: i8,
    /// Names of the flag that asks for a market list with details.
    pub details_flags: &'static [&'static str],
    /// Maximum number of markets of a ticker request.
    pub markets_max: usize,
    /// Adds the details of a market to its row of the market list.
    pub add_details: fn(Object, &SimulatedMarket) -> Object,
    /// The `delisting_date`, as JSON, of a market that has none.
    pub no_delisting_date: &'static str,
    /// Its tickers over REST, whose prices are formatted as those of candles.
    pub rest_ticker: TickerFormat,
    /// Its tickers on the stream.
    pub stream_ticker: TickerFormat,
}

/// How an exchange encodes its tickers, over REST or on its stream.
#[derive(Debug)]
pub struct TickerFormat {
    /// The members in order, separated by spaces.
    pub members: &'static str,
    /// Formats a price, in units.
    pub price: fn(i64) -> String,
    /// Formats the volume of a trade, in units.
    pub trade_volume: fn(i64) -> String,
    /// Formats the volume of a span, in units.
    pub volume: fn(i128) -> String,
    /// Decimal places of rates.
    pub rate_places: u32,
    /// Offset of `trade_date` and `trade_time` from UTC, in hours.
    pub trade_offset_hours: i8,
    /// Returns `trade_timestamp` and `timestamp`.
    pub timestamps: fn(&TickerFigures<'_>) -> (i64, i64),
}

/// The members of a ticker over REST.
pub const REST_MEMBERS: &str = "market trade_date trade_time trade_date_kst trade_time_kst trade_timestamp \
    opening_price high_price low_price trade_price prev_closing_price \
    change change_price change_rate signed_change_price signed_change_rate \
    trade_volume acc_trade_price acc_trade_price_24h acc_trade_volume acc_trade_volume_24h \
    highest_52_week_price highest_52_week_date lowest_52_week_price lowest_52_week_date timestamp";

/// The payloads of a venue of the family.
pub const fn payloads(list_optional: &'static str) -> Payloads {
    Payloads {
        rows: RowShape { lists: &[], symbols: &["market", "code"], names: None },
        price_members: &["trade_price"],
        close_member: "trade_price",
        list_members: Some(["market", list_optional]),
        time_members: &["trade_timestamp", "timestamp"],
        recordings: &[
            ("/v1/market/all", "rest-markets"),
            ("/v1/ticker", "rest-tickers"),
            ("/v1/candles/minutes/1", "rest-candles-1m"),
            ("/v1/orderbook/instruments", "rest-instruments"),
        ],
        maintenance: None,
    }
}

/// The body of a response to a request beyond a limit.
pub const TOO_MANY_REQUESTS: &str = r#"{"error":{"name":"too_many_requests","message":"Too many API requests."}}"#;

/// Maximum number of candles of a response.
const CANDLES_MAX: usize = 200;

/// Returns the group whose limit counts a request to a path.
pub fn limit_group(path: &str) -> &'static str {
    ["candle", "orderbook", "ticker"].into_iter().find(|group| path.contains(group)).unwrap_or("market")
}

/// Why a request is refused, with Upbit's status: status, name as JSON, and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpbitError(u16, &'static str, &'static str);

impl UpbitError {
    const UNKNOWN_PATH: Self = Self(404, "\"not_found\"", "no Route matched with those values");
    const UNKNOWN_MARKET: Self = Self(404, "404", "Code not found");
    const MISSING_PARAMETER: Self = Self(400, "400", "Missing request parameter error. Check the required parameters!");
    const INVALID_PARAMETER: Self = Self(400, "400", "Type mismatch error. Check the parameters type!");
    /// Too many markets in one request.
    pub const TOO_MANY_MARKETS: Self = Self(400, "400", "Too many markets requested");

    /// Returns the response, with Upbit's status.
    pub fn response(self) -> FakeResponse {
        let error = Object::new().raw("name", self.1).text("message", self.2).end();
        FakeResponse::json(self.0, Object::new().raw("error", error).end())
    }
}

impl UpbitFamily {
    /// Returns the body of the response to a REST request.
    ///
    /// # Errors
    /// If the path or a market is unknown, or a parameter is missing or invalid.
    pub fn rest(&self, view: &FaultView<'_>, target: &RequestTarget) -> Result<String, UpbitError> {
        match target.path.as_str() {
            "/v1/market/all" => Ok(self.markets(view.simulation, target)),
            "/v1/ticker" => self.tickers(view, target),
            "/v1/candles/minutes/1" => self.candles(view, target),
            path if path.starts_with("/v1/candles/minutes/") => Err(UpbitError::INVALID_PARAMETER),
            _ => Err(UpbitError::UNKNOWN_PATH),
        }
    }

    /// Returns the markets of the parameter `markets`, such as `KRW-BTC,krw-eth`; REST accepts lower case.
    ///
    /// # Errors
    /// If the parameter is missing or a market is not listed.
    pub fn requested_markets<'a>(
        &self,
        simulation: &'a Simulation,
        target: &RequestTarget,
    ) -> Result<Vec<&'a SimulatedMarket>, UpbitError> {
        let codes = target.get("markets").ok_or(UpbitError::MISSING_PARAMETER)?;
        codes.split(',').map(|code| self.market(simulation, code.trim())).collect()
    }

    fn market<'a>(&self, simulation: &'a Simulation, code: &str) -> Result<&'a SimulatedMarket, UpbitError> {
        simulation.by_symbol(self.id, &code.to_ascii_uppercase()).ok_or(UpbitError::UNKNOWN_MARKET)
    }

    fn markets(&self, simulation: &Simulation, target: &RequestTarget) -> String {
        let details = target.is_true(self.details_flags);
        array(simulation.markets_of(self.id).map(|market| {
            let names = Object::new().text("market", &market.symbol).text("korean_name", market.asset.korean_name);
            let names = names.text("english_name", market.asset.english_name);
            if details { (self.add_details)(names, market).end() } else { names.end() }
        }))
    }

    fn tickers(&self, view: &FaultView<'_>, target: &RequestTarget) -> Result<String, UpbitError> {
        let markets = self.requested_markets(view.simulation, target)?;
        if markets.len() > self.markets_max {
            return Err(UpbitError::TOO_MANY_MARKETS);
        }
        let figures = |market| TickerFigures::latest(view, market, self.utc_offset_ms());
        Ok(array(markets.into_iter().filter_map(figures).map(|figures| self.ticker(&self.rest_ticker, &figures, ""))))
    }

    fn candles(&self, view: &FaultView<'_>, target: &RequestTarget) -> Result<String, UpbitError> {
        let invalid = UpbitError::INVALID_PARAMETER;
        let market = self.market(view.simulation, target.get("market").ok_or(UpbitError::MISSING_PARAMETER)?)?;
        let count = target.get("count").map_or(Ok(1), |count| count.parse::<usize>().map_err(|_| invalid))?;
        if !(1..=CANDLES_MAX).contains(&count) {
            return Err(invalid);
        }
        // Exclusive.
        let to = target.get("to").map_or(Ok(i64::MAX), |to| parse_time(to, self.utc_offset_hours).ok_or(invalid))?;
        let candles = view.newest_minutes(market, (i64::MIN, to.saturating_sub(1)));
        Ok(array(candles.take(count).map(|candle| {
            let time = |hours| format_time(candle.start, hours, "%Y-%m-%dT%H:%M:%S");
            let price = self.rest_ticker.price;
            Object::new()
                .text("market", &market.symbol)
                .text("candle_date_time_utc", &time(0))
                .text("candle_date_time_kst", &time(KST_OFFSET_HOURS))
                .raw("opening_price", price(candle.open))
                .raw("high_price", price(candle.high))
                .raw("low_price", price(candle.low))
                .raw("trade_price", price(candle.close))
                .raw("timestamp", candle.last_at)
                .raw("candle_acc_trade_price", plain(candle.quote_volume / 100_000_000, 8))
                .raw("candle_acc_trade_volume", plain(candle.base_volume, 8))
                .raw("unit", 1)
                .end()
        })))
    }

    /// Returns the offset of its days from UTC, in ms.
    fn utc_offset_ms(&self) -> i64 {
        i64::from(self.utc_offset_hours) * 3_600_000
    }

    /// Encodes a ticker; `stream_type` is the value of that member, which only those of the stream have.
    pub fn ticker(&self, format: &TickerFormat, figures: &TickerFigures<'_>, stream_type: &str) -> String {
        let (market, trade, day, rolling) = (figures.market, &figures.trade, &figures.day, &figures.rolling);
        let (price, volume, change) = (format.price, format.volume, figures.day_change());
        let (rate, places) = (figures.day_rate(format.rate_places), format.rate_places as usize);
        let (traded_at, sent_at) = (format.timestamps)(figures);
        let quote_volume = |value: i128| plain(value / 100_000_000, 8);
        let time = |hours, pattern| json_string(&format_time(trade.at, hours, pattern));
        let days_ago = |days| json_string(&format_time(figures.now - days * DAY, self.utc_offset_hours, "%Y-%m-%d"));
        let value = |name: &str| match name {
            "type" => json_string("ticker"),
            "market" | "code" => json_string(&market.symbol),
            "trade_date" => time(format.trade_offset_hours, "%Y%m%d"),
            "trade_time" => time(format.trade_offset_hours, "%H%M%S"),
            "trade_date_kst" => time(KST_OFFSET_HOURS, "%Y%m%d"),
            "trade_time_kst" => time(KST_OFFSET_HOURS, "%H%M%S"),
            "trade_timestamp" => traded_at.to_string(),
            "opening_price" => price(day.open),
            "high_price" => price(day.high),
            "low_price" => price(day.low),
            "trade_price" => price(trade.price),
            "prev_closing_price" => price(figures.previous_close),
            "change" => json_string(figures.direction()),
            "change_price" => price(change.abs()),
            "change_rate" => plain(rate.abs(), places),
            "signed_change_price" => price(change),
            "signed_change_rate" => plain(rate, places),
            "ask_bid" => json_string(if trade.taker_sold { "ASK" } else { "BID" }),
            "trade_volume" => (format.trade_volume)(trade.base_volume),
            "acc_trade_price" => quote_volume(day.quote_volume),
            "acc_trade_price_24h" => quote_volume(rolling.quote_volume),
            "acc_trade_volume" => volume(day.base_volume),
            "acc_trade_volume_24h" => volume(rolling.base_volume),
            "acc_ask_volume" => volume(day.sold_volume),
            "acc_bid_volume" => volume(day.base_volume - day.sold_volume),
            "highest_52_week_price" => price(trade.price.saturating_mul(2)),
            "highest_52_week_date" => days_ago(200),
            "lowest_52_week_price" => price((trade.price / 2).max(1)),
            "lowest_52_week_date" => days_ago(100),
            "market_state" => json_string(figures.market_state()),
            "is_trading_suspended" => market.halted.to_string(),
            "delisting_date" => market.delisting_date.as_deref().map_or(self.no_delisting_date.to_owned(), json_string),
            "market_warning" => json_string(market.market_warning()),
            "timestamp" => sent_at.to_string(),
            "stream_type" => json_string(stream_type),
            // No list of members has another name.
            _ => "null".to_owned(),
        };
        format.members.split(' ').fold(Object::new(), |object, name| object.raw(name, value(name))).end()
    }

    /// Creates the session of a stream.
    pub fn session(&'static self) -> Box<dyn Session> {
        Box::new(UpbitFamilySession { family: self, subscriptions: BTreeMap::new(), status_at: None })
    }
}

/// Maximum number of frames per market and poll; after a pause older trades are skipped.
const BURST_MAX: usize = 20;

/// Maximum number of codes in each part of a request; further ones are ignored.
const CODES_MAX: usize = 2000;

/// Interval between two `{"status":"UP"}`, in ms.
const STATUS_INTERVAL: i64 = 10_000;

const STATUS_UP: &str = r#"{"status":"UP"}"#;

const CLOSE_NORMAL: u16 = 1000;

/// A session of the family: requests with a ticket and a list of codes, without acknowledgement.
///
/// Each request replaces the previous one. Unknown and lower-case codes are ignored without an error. An error is
/// sent once, then the connection is closed.
#[derive(Debug)]
struct UpbitFamilySession {
    family: &'static UpbitFamily,
    /// What was sent, by code.
    subscriptions: BTreeMap<String, Sent>,
    /// When the next `{"status":"UP"}` is due, in Unix ms; `None` before the first `PING`.
    status_at: Option<i64>,
}

#[derive(Debug, Default)]
struct Sent {
    /// Id of the last trade; 0 before the snapshot.
    trade_id: u64,
    /// Whether a ticker after the snapshot has reported the market as halted.
    halted: bool,
}

/// Name and message of an error on the stream.
type StreamError = (&'static str, Cow<'static, str>);

const WRONG_FORMAT: StreamError = ("WRONG_FORMAT", Cow::Borrowed("Format 이 맞지 않습니다."));
const NO_TICKET: StreamError = ("NO_TICKET", Cow::Borrowed("티켓이 존재하지 않거나, 유효하지 않습니다."));
const NO_TYPE: StreamError = ("NO_TYPE", Cow::Borrowed("타입이 존재하지 않습니다."));
const NO_CODES: StreamError = ("NO_CODES", Cow::Borrowed("코드가 존재하지 않습니다."));

/// Returns the codes that a request subscribes to.
fn requested_codes(frame: &str) -> Result<Vec<String>, StreamError> {
    let parts: Vec<Map<String, Value>> = serde_json::from_str(frame).map_err(|_| WRONG_FORMAT)?;
    let find = |name: &str| parts.iter().find_map(|part| part.get(name)).and_then(Value::as_str);
    find("ticket").filter(|ticket| !ticket.is_empty()).ok_or(NO_TICKET)?;
    // What is not served is refused: other formats, other types, and the flags `isOnlySnapshot` and `isOnlyRealtime`.
    if find("format").is_some_and(|format| format != "DEFAULT") {
        return Err(WRONG_FORMAT);
    }
    let requested = parts.iter().filter(|part| part.contains_key("type") || part.contains_key("codes"));
    requested.clone().next().ok_or(NO_TYPE)?;
    let mut found = Vec::new();
    for part in requested {
        let kind = part.get("type").and_then(Value::as_str).ok_or(NO_TYPE)?;
        let flag = part.iter().find(|(name, value)| name.starts_with("is") && **value == Value::Bool(true));
        if let Some(name) = (kind != "ticker").then_some(kind).or(flag.map(|(name, _)| name.as_str())) {
            return Err(("INVALID_PARAM", format!("{name} 은 지원하지 않는 타입입니다.").into()));
        }
        let codes = part.get("codes").and_then(Value::as_array).filter(|codes| !codes.is_empty()).ok_or(NO_CODES)?;
        found.extend(codes.iter().filter_map(Value::as_str).take(CODES_MAX).map(str::to_owned));
    }
    Ok(found)
}

impl UpbitFamilySession {
    /// Returns the frames that are due: first the snapshot and what a `replay` fault repeats, then every trade.
    fn due(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        let (family, offset) = (self.family, self.family.utc_offset_ms());
        let mut steps = Vec::new();
        for (code, sent) in &mut self.subscriptions {
            let Some(market) = view.simulation.by_symbol(family.id, code) else { continue };
            let Some(last) = market.trade_log.last() else { continue };
            let figures = |trade| TickerFigures::at_trade(view, market, trade, offset);
            let mut send = |figures: TickerFigures<'_>, stream_type| {
                let body = family.ticker(&family.stream_ticker, &figures, stream_type);
                steps.push(Step::Data { symbol: code.clone(), body });
            };
            let last_sent = std::mem::replace(&mut sent.trade_id, last.id);
            if last_sent == 0 {
                send(figures(last), "SNAPSHOT");
                let count = view.effects.replay;
                let trades = market.trade_log.after_id(last.id.saturating_sub(count.into()), count as usize);
                trades.for_each(|trade| send(TickerFigures::replayed(view, market, trade, offset), "REALTIME"));
                continue;
            }
            // A halt is reported once; without trades no further ticker follows.
            if std::mem::replace(&mut sent.halted, market.halted) != market.halted {
                send(figures(last), "REALTIME");
            }
            market.trade_log.after_id(last_sent, BURST_MAX).for_each(|trade| send(figures(trade), "REALTIME"));
        }
        steps
    }
}

impl Session for UpbitFamilySession {
    fn encoding(&self) -> FrameEncoding {
        FrameEncoding::Binary
    }

    fn receive(&mut self, frame: &str, view: &FaultView<'_>) -> Vec<Step> {
        if frame.trim() == "PING" {
            self.status_at = Some(view.now + STATUS_INTERVAL);
            return vec![Step::Reply(STATUS_UP.to_owned())];
        }
        match requested_codes(frame) {
            Ok(codes) => {
                self.subscriptions = codes.into_iter().map(|code| (code, Sent::default())).collect();
                self.due(view)
            }
            Err((name, message)) => {
                let error = Object::new().text("name", name).text("message", &message).end();
                let error = Object::new().raw("error", error).end();
                vec![Step::Reply(error), Step::Close(CLOSE_NORMAL, String::new())]
            }
        }
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        let mut steps = self.due(view);
        if self.status_at.is_some_and(|at| at <= view.now) {
            self.status_at = Some(view.now + STATUS_INTERVAL);
            steps.push(Step::Reply(STATUS_UP.to_owned()));
        }
        steps
    }
}
