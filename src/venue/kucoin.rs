//! KuCoin spot: markets in USDT, USDC, BTC and others.
//!
//! Pitfalls: the URL of the stream comes with a token from a POST request, and what is sent before the `welcome` is
//! lost; errors come with HTTP 200 too, in `code`; the statistics of an unknown symbol are a row of nulls; one wrong
//! symbol in a topic refuses the whole topic; candles are open-close-high-low, newest first, and in seconds; numbers of
//! the stream are bare, with up to 20 decimals. `changeRate` is a fraction of the price of 24 hours ago.
//!
//! Source: kucoin.com/docs (websocket/basic-info, spot-trading/market-data), payloads of 2022-06 to 2026-09.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::adapter::{
    CONTRADICTION, Endpoint, Incoming, Keepalive, Limit, Method, Opening, Profile, Rate, RejectedListing, Request,
    Response, RestQuery, Session, TickerRecord, Venue, drop_contradictions, optional_field, without,
};
use super::candles;
use super::json::{self, ParseError, RawMember, Rejection, payload_error, rejection};
use crate::feed::Listing;
use crate::market::{Candle, Market, Price, Ticker, VenueId};

/// The exchange.
#[derive(Debug)]
pub struct KuCoin;

/// Keep-alive text; the answer is a `pong`.
const PING: &str = r#"{"id":"ping","type":"ping"}"#;

/// Maximum number of symbols in one topic.
const SYMBOLS_PER_TOPIC: usize = 100;

/// Topic of a market's statistics over rolling 24 hours, sent every 2 s.
const TOPIC: &str = "/market/snapshot:";

/// `code` of a response with data.
const OK: &str = "200000";

static PROFILE: Profile = Profile {
    id: VenueId("kucoin"),
    rest: "https://api.kucoin.com",
    // A placeholder: `bullet-public` gives out the URL. Its host decides whether stream and REST share a cool-down.
    stream: "wss://ws-api-spot.kucoin.com",
    quotes: &["USDC", "USDT", "BTC", "ETH", "KCS"],
    // `bullet-public` states the interval: 18 s.
    keepalive: Keepalive::Text(PING, Duration::from_secs(9)),
    silence_max: Duration::from_secs(10),
    stale_after: Duration::from_secs(15),
    lag: Duration::from_secs(2),
    // A token, and the connection that it opened, is valid for 24 h.
    lifetime: Some(Duration::from_secs(23 * 3600)),
    // 400 topics since 2024, 300 before.
    markets_per_connection: 300,
    frames: &[Rate { units: 100, window: Duration::from_secs(10) }],
    connects: &[Rate::per_minute(30)],
    // The pool of public requests.
    limits: &[Limit { group: "public", rates: &[Rate { units: 2000, window: Duration::from_secs(30) }] }],
    // One response has all markets.
    markets_per_request: 2000,
    candles_per_request: 1500,
    has_quiet_candles: false,
    minutes_kept: None,
    has_trade_times: false,
    needs_list: false,
};

impl Venue for KuCoin {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn symbol(&self, market: &Market) -> String {
        symbol(market)
    }

    fn endpoint(&self) -> Endpoint {
        let request =
            Request { method: Method::Post, path: "/api/v1/bullet-public".to_owned(), costs: vec![("public", 10)] };
        Endpoint::Negotiated { request, read: opening }
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(KuCoinSession::default())
    }

    fn request(&self, query: &RestQuery<'_>) -> Option<Request> {
        let (path, weight) = match query {
            RestQuery::Markets => ("/api/v2/symbols".to_owned(), 4),
            // The market list contains the tick sizes.
            RestQuery::TickSizes(_) | RestQuery::Tickers([]) => return None,
            RestQuery::Tickers([market]) => (format!("/api/v1/market/stats?symbol={}", encode(market)), 15),
            RestQuery::Tickers(_) => ("/api/v1/market/allTickers".to_owned(), 15),
            // The span is as long as a response allows, so that it includes a trade of a quiet market.
            RestQuery::Candles { market, end, .. } => {
                let span = i64::try_from(PROFILE.candles_per_request).unwrap_or(i64::MAX);
                let (from, to) = (end.plus(-span).start().as_second(), end.start().as_second() - 1);
                let symbol = encode(market);
                (format!("/api/v1/market/candles?type=1min&symbol={symbol}&startAt={from}&endAt={to}"), 3)
            }
        };
        Some(Request::get(path, "public", weight))
    }

    fn response(&self, query: &RestQuery<'_>, body: &str) -> Result<Response, ParseError> {
        let data = data(body)?;
        match query {
            RestQuery::Markets => listings(data),
            RestQuery::Tickers(markets) => {
                // A response for several markets has all of the venue's.
                let requested: BTreeSet<String> = markets.iter().map(symbol).collect();
                let mut records = tickers(data)?;
                records.retain(|record| record.symbol.is_empty() || requested.contains(&record.symbol));
                Ok(Response::Tickers(records))
            }
            RestQuery::TickSizes(_) => Err(payload_error("unsupported query")),
            RestQuery::Candles { end, .. } => {
                candles::parse(&json::list(data.get())?, *end, candle).map(Response::Candles)
            }
        }
    }
}

/// Formats a market as the symbol `BTC-USDT`.
fn symbol(market: &Market) -> String {
    format!("{}-{}", market.base(), market.quote())
}

fn encode(market: &Market) -> String {
    url::form_urlencoded::byte_serialize(symbol(market).as_bytes()).collect()
}

/// The envelope of every response: `{"code":"200000","data":…}`, or `{"code":"400100","msg":"…"}`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    code: RawMember<'a>,
    msg: RawMember<'a>,
    data: RawMember<'a>,
}

/// Returns the data of a response.
///
/// # Errors
/// [`ParseError::Refused`] or [`ParseError::RateLimited`] for the venue's error, whatever the HTTP status was.
fn data(body: &str) -> Result<&RawValue, ParseError> {
    let envelope: Envelope<'_> = json::object(body)?;
    if !envelope.code.is_present() {
        return Err(payload_error("it has no code"));
    }
    if envelope.code.lossy_text() != OK {
        let (code, message) = (envelope.code.lossy_text(), envelope.msg.lossy_text());
        return Err(match code.as_str() {
            "429000" => ParseError::RateLimited { code, message },
            _ => ParseError::Refused { code, message },
        });
    }
    envelope.data.non_null().ok_or_else(|| payload_error("it has no data"))
}

/// Parses `{"code":"200000","data":{"token":"…","instanceServers":[{"endpoint":"wss://…","pingInterval":18000,…}]}}`.
fn opening(body: &str) -> Result<Opening, ParseError> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
    struct Bullet<'a> {
        token: RawMember<'a>,
        instance_servers: RawMember<'a>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
    struct Server<'a> {
        endpoint: RawMember<'a>,
        ping_interval: RawMember<'a>,
    }
    let unreadable = |rejection: Rejection| payload_error(rejection.describe());
    let absent = |field| move || payload_error(format!("it has no {field}"));
    let bullet: Bullet<'_> = json::object(data(body)?.get())?;
    // A secret: not even a wrong one is quoted.
    let token = bullet.token.optional_text("token").map_err(|_| payload_error("its token is not a text"))?;
    let token = token.ok_or_else(absent("token"))?;
    let (servers, odd) = (bullet.instance_servers, bullet.instance_servers.rejection("instanceServers", "type"));
    let servers = servers.non_null().ok_or_else(absent("instanceServers"))?;
    let servers = json::cells(servers).map_err(|_| unreadable(odd.clone()))?;
    let server = servers.first().ok_or_else(absent("instanceServers"))?;
    let server: Server<'_> = json::record(server).map_err(|_| unreadable(odd))?;
    let endpoint = server.endpoint.optional_text("endpoint").map_err(unreadable)?.ok_or_else(absent("endpoint"))?;
    let mut url = url::Url::parse(&endpoint).map_err(|error| payload_error(format!("its endpoint: {error}")))?;
    url.query_pairs_mut().append_pair("token", &token).append_pair("connectId", "sisepan");
    // Half of the interval, so that one late ping ends nothing.
    let interval = server.ping_interval.optional_count("pingInterval").map_err(unreadable)?;
    let every = interval.filter(|ms| (1_000..=600_000).contains(ms)).map(|ms| Duration::from_millis(ms / 2));
    Ok(Opening { url: url.into(), keepalive: every.map(|every| Keepalive::Text(PING, every)) })
}

/// A connection: nothing is sent before the welcome, and each request is answered by its id.
#[derive(Debug, Default)]
struct KuCoinSession {
    is_welcome: bool,
    /// Frames that wait for the welcome.
    waiting: Vec<String>,
    last_id: u64,
    /// The symbols that should be subscribed to.
    wanted: BTreeSet<String>,
    /// The symbols of the subscriptions that are not answered yet, by id.
    unanswered: BTreeMap<String, Vec<String>>,
}

/// A message to the venue.
#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    topic: String,
    response: bool,
}

impl KuCoinSession {
    /// Returns the frames that add or remove the topics of `symbols`, at most `max` in one frame.
    fn frames(&mut self, kind: &'static str, symbols: &[String], max: usize) -> Vec<String> {
        let mut frames = Vec::new();
        for symbols in symbols.chunks(max) {
            self.last_id += 1;
            let id = self.last_id.to_string();
            let call = Call { id: &id, r#type: kind, topic: format!("{TOPIC}{}", symbols.join(",")), response: true };
            frames.extend(serde_json::to_string(&call));
            if kind == SUBSCRIBE {
                self.unanswered.insert(id, symbols.to_vec());
            }
        }
        frames
    }

    /// Handles the venue's error: if it refuses several symbols together, each is requested alone.
    fn refused(&mut self, frame: &Frame<'_>) -> Incoming {
        let message = format!("{}: {}", frame.code.lossy_text(), frame.data.lossy_text());
        match self.unanswered.remove(&frame.id.lossy_text()).as_deref() {
            None | Some([]) => Incoming::Refused(message),
            Some([symbol]) => Incoming::RefusedMarket { symbol: symbol.clone(), message },
            Some(symbols) => {
                // Without those that were removed meanwhile.
                let wanted: Vec<String> = symbols.iter().filter(|s| self.wanted.contains(*s)).cloned().collect();
                Incoming::Send(self.frames(SUBSCRIBE, &wanted, 1))
            }
        }
    }
}

const SUBSCRIBE: &str = "subscribe";

impl Session for KuCoinSession {
    /// Frames add and remove topics; topics are removed first, to stay within the limit.
    fn subscribe(&mut self, markets: &[Market], current: &[Market]) -> Vec<String> {
        let removed: Vec<String> = without(current, markets).map(symbol).collect();
        let added: Vec<String> = without(markets, current).map(symbol).collect();
        self.wanted = markets.iter().map(symbol).collect();
        let mut frames = self.frames("unsubscribe", &removed, SYMBOLS_PER_TOPIC);
        frames.extend(self.frames(SUBSCRIBE, &added, SYMBOLS_PER_TOPIC));
        if self.is_welcome {
            return frames;
        }
        self.waiting.extend(frames);
        Vec::new()
    }

    fn parse(&mut self, text: &str) -> Result<Incoming, ParseError> {
        let frame: Frame<'_> = json::object(text)?;
        Ok(match frame.kind.lossy_text().as_str() {
            "message" => message(&frame),
            "welcome" => {
                self.is_welcome = true;
                Incoming::Send(std::mem::take(&mut self.waiting))
            }
            "ack" => {
                let id = frame.id.lossy_text();
                self.unanswered.remove(&id);
                Incoming::Reply(format!("request {id} is done"))
            }
            "pong" => Incoming::Reply("pong".to_owned()),
            "error" => self.refused(&frame),
            other => Incoming::Unknown(other.to_owned()),
        })
    }
}

/// The members of a frame.
///
/// Examples: `{"id":"…","type":"welcome"}`, `{"id":"9","type":"error","code":404,"data":"topic … is not found"}`,
/// `{"type":"message","topic":"/market/snapshot:BTC-USDT","subject":"trade.snapshot","data":{…}}`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: RawMember<'a>,
    id: RawMember<'a>,
    subject: RawMember<'a>,
    code: RawMember<'a>,
    data: RawMember<'a>,
}

fn message(frame: &Frame<'_>) -> Incoming {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Data<'a> {
        data: RawMember<'a>,
    }
    let subject = frame.subject.lossy_text();
    if subject != "trade.snapshot" {
        return Incoming::Unknown(subject);
    }
    let missing = || TickerRecord::unreadable(rejection("data", "missing"));
    let outer = frame.data.non_null().and_then(|raw| json::record::<Data<'_>>(raw).ok());
    let inner = outer.and_then(|outer| outer.data.non_null());
    let record = inner.map_or_else(missing, |raw| match json::record::<Row<'_>>(raw) {
        Ok(row) => row
            .record(|| Ok((row.last_traded_price.price("lastTradedPrice")?, row.datetime.optional_time("datetime")?))),
        Err(rejection) => TickerRecord::unreadable(rejection),
    });
    Incoming::Tickers(vec![record])
}

/// Returns the price of 24 hours ago: the open, which together with the change since then must give the last price.
fn base_price(open: RawMember<'_>, change: RawMember<'_>, last: Price) -> Result<Option<Price>, Rejection> {
    if open.non_null().is_none() {
        // The statistics have the change alone.
        let Some(amount) = change.optional_signed("changePrice")? else { return Ok(None) };
        let base = last.get().checked_sub(amount).and_then(Price::new);
        return base.map(Some).ok_or_else(|| change.rejection("changePrice", CONTRADICTION));
    }
    let price = open.optional_price("open")?;
    // Beside an open, the change has no other use: one that can't be parsed is ignored.
    let change = change.optional_signed("changePrice").ok().flatten();
    match price.zip(change) {
        Some((price, change)) if price.get().checked_add(change) != Some(last.get()) => {
            Err(open.rejection("open", CONTRADICTION))
        }
        _ => Ok(price),
    }
}

/// Returns the member that [`base_price`] depends on.
fn base_field(open: RawMember<'_>) -> &'static str {
    if open.non_null().is_some() { "open" } else { "changePrice" }
}

/// A row of `allTickers`, whose time is that of the response, the data of `stats`, or that of a `trade.snapshot`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Row<'a> {
    symbol: RawMember<'a>,
    last: RawMember<'a>,
    /// In a snapshot only.
    last_traded_price: RawMember<'a>,
    open: RawMember<'a>,
    change_price: RawMember<'a>,
    high: RawMember<'a>,
    low: RawMember<'a>,
    vol: RawMember<'a>,
    vol_value: RawMember<'a>,
    time: RawMember<'a>,
    /// In a snapshot only.
    datetime: RawMember<'a>,
    /// In a snapshot only.
    trading: RawMember<'a>,
}

impl Row<'_> {
    /// Returns the record of this row; `figures` returns the last price and the time.
    fn record(&self, figures: impl FnOnce() -> Result<(Price, Option<Timestamp>), Rejection>) -> TickerRecord {
        let symbol = self.symbol.symbol("symbol").map(Into::into);
        TickerRecord::new(symbol, |ignored| figures().map(|(last, sent_at)| self.ticker(last, sent_at, ignored)))
    }

    fn ticker(&self, last: Price, sent_at: Option<Timestamp>, ignored_fields: &mut Vec<Rejection>) -> Ticker {
        let trading = optional_field(self.trading.optional_bool("trading"), ignored_fields);
        let ticker = Ticker {
            sent_at,
            high_24h: optional_field(self.high.optional_price("high"), ignored_fields),
            low_24h: optional_field(self.low.optional_price("low"), ignored_fields),
            base_volume_24h: optional_field(self.vol.optional_volume("vol"), ignored_fields),
            quote_volume_24h: optional_field(self.vol_value.optional_volume("volValue"), ignored_fields),
            base_24h: optional_field(base_price(self.open, self.change_price, last), ignored_fields),
            halted: trading.map(|trading| !trading),
            ..Ticker::new(last)
        };
        drop_contradictions(ticker, ["high", "low", base_field(self.open)], ignored_fields)
    }
}

/// Parses `{"time":…,"ticker":[…]}`, or the statistics of one market.
fn tickers(data: &RawValue) -> Result<Vec<TickerRecord>, ParseError> {
    #[derive(Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct All<'a> {
        time: RawMember<'a>,
        ticker: RawMember<'a>,
    }
    let record =
        |row: &Row<'_>, time: RawMember<'_>| row.record(|| Ok((row.last.price("last")?, time.optional_time("time")?)));
    let all: All<'_> = json::object(data.get())?;
    let Some(rows) = all.ticker.non_null() else {
        let row: Row<'_> = json::object(data.get())?;
        return Ok(vec![record(&row, row.time)]);
    };
    let rows = json::list(rows.get())?.into_iter().map(json::record::<Row<'_>>);
    Ok(rows.map(|row| row.map_or_else(TickerRecord::unreadable, |row| record(&row, all.time))).collect())
}

fn listings(data: &RawValue) -> Result<Response, ParseError> {
    let rows = json::list(data.get())?;
    if rows.is_empty() {
        return Err(payload_error("it is an empty list of markets"));
    }
    let mut ignored_fields = Vec::new();
    let listings = rows.into_iter().map(|raw| listing(raw, &mut ignored_fields)).collect();
    Ok(Response::Markets { listings, ignored_fields })
}

/// Parses `{"symbol":"BTC-USDT","baseCurrency":"BTC","quoteCurrency":"USDT","priceIncrement":"0.1","enableTrading":true}`.
fn listing(raw: &RawValue, ignored_fields: &mut Vec<(Market, Rejection)>) -> Result<Listing, RejectedListing> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
    struct Listed<'a> {
        symbol: RawMember<'a>,
        base_currency: RawMember<'a>,
        quote_currency: RawMember<'a>,
        price_increment: RawMember<'a>,
        enable_trading: RawMember<'a>,
        /// Special treatment: the venue may delist it.
        st: RawMember<'a>,
    }
    let row: Listed<'_> = json::record(raw)?;
    let symbol = row.symbol.symbol("symbol")?.into_owned();
    let with_symbol = |rejection| RejectedListing::new(symbol.clone(), rejection);
    let base = row.base_currency.symbol("baseCurrency").map_err(with_symbol)?;
    let quote = row.quote_currency.symbol("quoteCurrency").map_err(with_symbol)?;
    let market =
        Market::new(&base, &quote).map_err(|_| with_symbol(row.base_currency.rejection("baseCurrency", "symbol")))?;
    let enabled = row.enable_trading.optional_bool("enableTrading").map_err(with_symbol)?;
    let enabled = enabled.ok_or_else(|| with_symbol(row.enable_trading.rejection("enableTrading", "missing")))?;
    let mut ignored = Vec::new();
    let tick_size = optional_field(row.price_increment.optional_price("priceIncrement"), &mut ignored).map(Price::get);
    let warning = optional_field(row.st.optional_bool("st"), &mut ignored);
    ignored_fields.extend(ignored.into_iter().map(|rejection| (market.clone(), rejection)));
    Ok(Listing { tick_size, halted: !enabled, warning, ..Listing::new(symbol, market) })
}

/// Parses `["start in s","open","close","high","low","base volume","quote volume"]`; the close comes second.
fn candle(raw: &RawValue) -> Result<Candle, Rejection> {
    let row = json::cells(raw)?;
    let &[start, open, close, high, low, volume, quote_volume] = row.as_slice() else {
        return Err(rejection("record", "type"));
    };
    candles::checked(Candle {
        minute: candles::minute_of_seconds("time", RawMember::of(start))?,
        open: RawMember::of(open).price("open")?,
        high: RawMember::of(high).price("high")?,
        low: RawMember::of(low).price("low")?,
        close: RawMember::of(close).price("close")?,
        base_volume: RawMember::of(volume).optional_volume("volume").unwrap_or_default(),
        quote_volume: RawMember::of(quote_volume).optional_volume("turnover").unwrap_or_default(),
    })
}
