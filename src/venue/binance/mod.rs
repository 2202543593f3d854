//! Binance spot: markets in USDT, USDC, BTC and others.
//!
//! What is easily got wrong: the payload says `BTCUSDT` where the stream is
//! named `btcusdt@ticker`; a delisted market keeps its last price for ever
//! (status `BREAK`); names need not be ASCII; frames come bare on `/ws` and
//! wrapped into `{"stream","data"}` on `/stream`. Its 24 hours are rolling:
//! "NOT the statistics of the UTC day, but a 24hr rolling window".
//!
//! Source: github.com/binance/binance-spot-api-docs (web-socket-streams, rest-api), read 2026-09.

mod figures;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{self, Raw, Shape, payload, refuse};
use super::{
    Answer, Ask, Incoming, Keepalive, Limit, ParseError, Profile, RejectedListing, Rejection, Request, Venue, candles,
    side,
};
use crate::domain::{Candle, Listing, Market, VenueId};

/// The exchange.
#[derive(Debug)]
pub struct Binance;

/// Streams named in one frame: keeps it below 4 KiB.
const STREAMS_PER_FRAME: usize = 100;

static PROFILE: Profile = Profile {
    id: VenueId("binance"),
    rest: "https://api.binance.com",
    stream: "wss://stream.binance.com:9443/ws",
    quotes: &["KRW", "TRY", "BRL", "ARS", "COP", "MXN", "ZAR", "UAH", "RON", "CZK", "PLN", "JPY", "DAI", "USDT"],
    // A ping every 20 s; dropped by the other side after 60 s without a pong.
    keepalive: Keepalive::ServerPings(Duration::from_secs(60)),
    silence_max: Duration::from_secs(10),
    stale_after: Duration::from_secs(15),
    // Disconnected at 24 h.
    lifetime: Some(Duration::from_secs(23 * 3600)),
    // 1,024 streams a connection, one a market.
    markets_per_connection: 1024,
    // 5 messages a second, pongs included: one is left for those.
    frames_max: 4,
    frames_window: Duration::from_secs(1),
    // 6,000 weight a minute and address, for all requests together.
    connects_max: 300,
    connects_window: Duration::from_secs(300),
    limits: &[Limit { group: "weight", weight: 6000, window: Duration::from_secs(60) }],
    // The cheapest step: 20 symbols weigh 2, 21 weigh 40.
    markets_per_request: 20,
    candles_per_request: 1000,
    quiet_candles: true,
    dates_trades: false,
};

impl Venue for Binance {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn symbol(&self, market: &Market) -> String {
        format!("{}{}", market.base(), market.quote())
    }

    /// Frames add and remove; what is not wanted any more is removed first, to stay within the limit of streams.
    fn subscribe(&self, markets: &[Market], had: &[Market]) -> Vec<String> {
        let without = |from: &[Market], other: &[Market]| -> Vec<String> {
            from.iter().filter(|market| !other.contains(market)).map(stream).collect()
        };
        let (gone, new) = (without(had, markets), without(markets, had));
        let steps = gone.chunks(STREAMS_PER_FRAME).map(|params| ("UNSUBSCRIBE", params));
        let steps = steps.chain(new.chunks(STREAMS_PER_FRAME).map(|params| ("SUBSCRIBE", params)));
        steps
            .zip(1..)
            .filter_map(|((method, params), id)| serde_json::to_string(&Call { method, params, id }).ok())
            .collect()
    }

    fn parse(&self, text: &str) -> Result<Incoming, ParseError> {
        if json::shape(text)? == Shape::Array {
            // `!miniTicker@arr`, the same events in a list: not asked for, but plain to read.
            return Ok(Incoming::Tickers(
                json::list(text)?.into_iter().map(figures::record::<figures::Event<'_>>).collect(),
            ));
        }
        // Nearly all frames are tickers: they are read once, and only the others again for what they are.
        if let Some(ticker) = ticker(text)? {
            return Ok(ticker);
        }
        let frame: Frame<'_> = json::object(text)?;
        match frame.data.said().or(frame.event.said()) {
            Some(inner) if inner.get().starts_with('{') => match ticker(inner.get())? {
                Some(ticker) => Ok(ticker),
                None => Ok(other(&json::object(inner.get())?)),
            },
            _ => Ok(other(&frame)),
        }
    }

    fn ask(&self, ask: &Ask<'_>) -> Option<Request> {
        let (path, weight) = match ask {
            // Permission sets are most of the answer, and nothing to us.
            Ask::Markets => ("/api/v3/exchangeInfo?showPermissionSets=false".to_owned(), 20),
            // They stand in the list of markets.
            Ask::TickSizes(_) | Ask::Tickers([]) => return None,
            Ask::Tickers(markets) => {
                let symbols: Vec<String> = markets.iter().map(|market| self.symbol(market)).collect();
                let weight = match symbols.len() {
                    ..=20 => 2,
                    21..=100 => 40,
                    _ => 80,
                };
                (format!("/api/v3/ticker/24hr?symbols={}", encode(&serde_json::to_string(&symbols).ok()?)), weight)
            }
            // Without a start these are the newest before the end, however old. The end
            // is inclusive, so it is the last millisecond before the minute not wanted.
            Ask::Candles { market, end, count } => {
                let symbol = encode(&self.symbol(market));
                let end = end.start().as_millisecond() - 1;
                let limit = (*count).min(PROFILE.candles_per_request);
                (format!("/api/v3/klines?symbol={symbol}&interval=1m&endTime={end}&limit={limit}"), 2)
            }
        };
        Some(Request { path, group: "weight", weight })
    }

    fn answer(&self, ask: &Ask<'_>, body: &str) -> Result<Answer, ParseError> {
        if json::shape(body)? == Shape::Object {
            let frame: Frame<'_> = json::object(body)?;
            if frame.code.is_present() {
                return Err(ParseError::Refused { code: frame.code.words(), message: frame.msg.words() });
            }
        }
        match ask {
            Ask::Markets => listings(body),
            Ask::Tickers(_) => Ok(Answer::Tickers(figures::answered(body)?)),
            Ask::TickSizes(_) => Err(payload("there is no such question")),
            Ask::Candles { end, .. } => candles::read(&json::list(body)?, *end, candle).map(Answer::Candles),
        }
    }
}

#[derive(Serialize)]
struct Call<'a> {
    method: &'static str,
    params: &'a [String],
    id: u32,
}

/// `btcusdt@ticker`.
fn stream(market: &Market) -> String {
    format!("{}{}@ticker", market.base(), market.quote()).to_ascii_lowercase()
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The members that tell what a frame is.
///
/// Examples: `{"result":null,"id":1}`, `{"code":2,"msg":"Invalid request: ..."}`,
/// `{"stream":"btcusdt@ticker","data":{"e":"24hrTicker",...}}`, `{"e":"serverShutdown","E":1770123456789}`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Frame<'a> {
    e: Raw<'a>,
    data: Raw<'a>,
    event: Raw<'a>,
    result: Raw<'a>,
    id: Raw<'a>,
    error: Raw<'a>,
    code: Raw<'a>,
    msg: Raw<'a>,
}

/// Reads a ticker, if the frame is one.
fn ticker(text: &str) -> Result<Option<Incoming>, ParseError> {
    let event: figures::Event<'_> = json::object(text)?;
    Ok(event.is_ticker().then(|| Incoming::Tickers(vec![figures::read(&event)])))
}

fn other(frame: &Frame<'_>) -> Incoming {
    match frame.e.words().as_str() {
        "serverShutdown" => Incoming::Reconnect("the server is about to shut down".to_owned()),
        "" => control(frame),
        other => Incoming::Unknown(other.to_owned()),
    }
}

fn control(frame: &Frame<'_>) -> Incoming {
    let inside = frame.error.said().and_then(|raw| json::record::<Frame<'_>>(raw).ok());
    let fault = inside.as_ref().unwrap_or(frame);
    if frame.error.is_present() || frame.code.is_present() {
        return Incoming::Refused(format!("{}: {}", fault.code.words(), fault.msg.words()));
    }
    if frame.result.is_present() {
        return Incoming::Reply(format!("request {} is done", frame.id.words()));
    }
    Incoming::Unknown(String::new())
}

fn listings(body: &str) -> Result<Answer, ParseError> {
    #[derive(Deserialize)]
    #[serde(bound(deserialize = "'de: 'a"))]
    struct Info<'a> {
        #[serde(borrow)]
        symbols: Vec<&'a RawValue>,
    }
    let info: Info<'_> = json::object(body)?;
    if info.symbols.is_empty() {
        return Err(payload("it is an empty list of markets"));
    }
    let mut left_out = Vec::new();
    let listings = info.symbols.into_iter().map(|raw| listing(raw, &mut left_out)).collect();
    Ok(Answer::Markets { listings, left_out })
}

/// A row of the list of markets.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Listed<'a> {
    symbol: Raw<'a>,
    status: Raw<'a>,
    base_asset: Raw<'a>,
    quote_asset: Raw<'a>,
    filters: Raw<'a>,
}

/// Reads `{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[...]}`.
fn listing(raw: &RawValue, left_out: &mut Vec<(Market, Rejection)>) -> Result<Listing, RejectedListing> {
    let row: Listed<'_> = json::record(raw)?;
    let symbol = row.symbol.symbol("symbol")?.into_owned();
    let known = |rejection| RejectedListing { symbol: Some(symbol.clone()), rejection };
    let (market, halted) = core(&row).map_err(known)?;
    let mut odd = Vec::new();
    let tick_size = tick_size(row.filters, &mut odd);
    left_out.extend(odd.into_iter().map(|rejection| (market.clone(), rejection)));
    Ok(Listing { tick_size, halted, ..Listing::new(symbol, market) })
}

/// Reads what a row is no listing without: its market, and whether that trades.
fn core(row: &Listed<'_>) -> Result<(Market, bool), Rejection> {
    let (base, quote) = (row.base_asset.symbol("baseAsset")?, row.quote_asset.symbol("quoteAsset")?);
    let status = row.status.text_maybe("status")?.ok_or_else(|| row.status.refuse("status", "missing"))?;
    let market = Market::new(&base, &quote).map_err(|_| row.base_asset.refuse("baseAsset", "symbol"))?;
    let halted = match &*status {
        "TRADING" => false,
        "BREAK" | "HALT" | "AUCTION_MATCH" | "PRE_TRADING" | "POST_TRADING" | "END_OF_DAY" => true,
        _ => return Err(row.status.refuse("status", "unknown")),
    };
    Ok((market, halted))
}

fn tick_size(filters: Raw<'_>, left_out: &mut Vec<Rejection>) -> Option<rust_decimal::Decimal> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
    struct Filter<'a> {
        filter_type: Raw<'a>,
        tick_size: Raw<'a>,
    }
    let raw = filters.said()?;
    let unreadable = || filters.refuse("filters", "type");
    let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        left_out.push(unreadable());
        return None;
    };
    let read = all.iter().map(|raw| json::record::<Filter<'_>>(raw).map_err(|_| unreadable()));
    let (filters, odd): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
    // One is as telling as several.
    left_out.extend(odd.into_iter().filter_map(Result::err).take(1));
    let price = filters.into_iter().flatten().find(|filter| filter.filter_type.words() == "PRICE_FILTER")?;
    // Zero switches the rule off.
    side(price.tick_size.price_maybe("tickSize"), left_out).map(crate::domain::Price::get)
}

/// Reads `[open time, open, high, low, close, volume, close time, quote volume, ...]`.
///
/// A quiet minute is there as a flat candle at the close before.
fn candle(raw: &RawValue) -> Result<Candle, Rejection> {
    let row: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| refuse("record", "type"))?;
    let &[start, open, high, low, close, volume, end, quote_volume, ..] = row.as_slice() else {
        return Err(refuse("record", "type"));
    };
    let minute = candles::minute("openTime", Raw::of(start).time_maybe("openTime")?)?;
    // A longer candle, read as a minute, would call the rest of its time quiet.
    let last_moment = minute.end() - jiff::SignedDuration::from_millis(1);
    if Raw::of(end).time_maybe("closeTime")? != Some(last_moment) {
        return Err(refuse("closeTime", "candle"));
    }
    candles::checked(Candle {
        minute,
        open: Raw::of(open).price("open")?,
        high: Raw::of(high).price("high")?,
        low: Raw::of(low).price("low")?,
        close: Raw::of(close).price("close")?,
        base_volume: Raw::of(volume).volume_maybe("volume").unwrap_or_default(),
        quote_volume: Raw::of(quote_volume).volume_maybe("quoteVolume").unwrap_or_default(),
    })
}
