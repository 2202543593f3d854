//! Upbit: REST dispatch, market list, tickers and ticker frames. What Bithumb shares is in
//! [`upbit_family`](super::upbit_family) and the files named after it.
//!
//! Changes are from the close at 00:00 UTC; `to` is UTC; candles come newest first, and minutes without trades are
//! left out. Source: docs.upbit.com/kr reference pages, and payloads observed in 2026-08 and 2026-09.

use super::fault_view::{FakeResponse, FaultView, MarketWarning};
use super::json::{Object, array, json_string};
use super::query::{KST_OFFSET_HOURS, RequestTarget, format_time};
use super::simulated_market::{SimulatedMarket, Simulation};
use super::ticker_figures::TickerFigures;
use super::units::{fixed, java_double, plain, plain8, with_point};
use super::upbit_family::UpbitFamily;
use super::upbit_family_book::{instruments, orderbooks, supported_levels};
use super::upbit_family_candle::candles;
use super::upbit_family_trade::ticks;

const VENUE: &str = "upbit";

/// The cautions of `market_event`.
pub const CAUTIONS: [&str; 5] = [
    "PRICE_FLUCTUATIONS",
    "TRADING_VOLUME_SOARING",
    "DEPOSIT_AMOUNT_SOARING",
    "GLOBAL_PRICE_DIFFERENCES",
    "CONCENTRATION_OF_SMALL_ACCOUNTS",
];

/// Returns the response to a REST request.
pub fn rest(view: &FaultView<'_>, target: &RequestTarget) -> FakeResponse {
    let answer = match target.path.as_str() {
        "/v1/market/all" => Ok(markets(view.simulation, target)),
        "/v1/ticker" => tickers(view, target),
        "/v1/ticker/all" => tickers_of_quotes(view, target),
        "/v1/orderbook/instruments" => instruments(view.simulation, target),
        "/v1/orderbook/supported_levels" => supported_levels(view.simulation, target),
        "/v1/orderbook" => orderbooks(view, UpbitFamily::Upbit, target),
        "/v1/trades/ticks" => ticks(view, UpbitFamily::Upbit, target),
        _ => match target.path_after("/v1/candles/") {
            Some(path) => candles(view, UpbitFamily::Upbit, target, path),
            None => Err(UpbitError::UnknownPath),
        },
    };
    match answer {
        Ok(body) => FakeResponse::json(200, body),
        Err(refusal) => refusal.response(),
    }
}

/// Why a request is refused; Bithumb's errors have the same bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpbitError {
    /// The path does not exist.
    UnknownPath,
    /// A market is not listed.
    UnknownMarket,
    /// A parameter is missing.
    MissingParameter,
    /// A parameter is invalid.
    InvalidParameter,
    /// Too many markets in one request.
    TooManyMarkets,
}

impl UpbitError {
    /// Returns the response, with Upbit's status.
    pub fn response(self) -> FakeResponse {
        let (status, name, message) = match self {
            Self::UnknownPath => (404, json_string("not_found"), "no Route matched with those values"),
            Self::UnknownMarket => (404, "404".to_owned(), "Code not found"),
            Self::MissingParameter => {
                (400, "400".to_owned(), "Missing request parameter error. Check the required parameters!")
            }
            Self::InvalidParameter => (400, "400".to_owned(), "Type mismatch error. Check the parameters type!"),
            Self::TooManyMarkets => (400, "400".to_owned(), "Too many markets requested"),
        };
        let error = Object::new().raw("name", name).text("message", message).end();
        FakeResponse::json(status, Object::new().raw("error", error).end())
    }
}

fn markets(simulation: &Simulation, target: &RequestTarget) -> String {
    let details = target.is_true(&["is_details", "isDetails"]);
    array(simulation.markets_of(VENUE).map(|market| {
        let names = Object::new().text("market", &market.symbol).text("korean_name", market.asset.korean_name);
        let names = names.text("english_name", market.asset.english_name);
        if !details {
            return names.end();
        }
        let is_on = |name: &str| market.warnings.contains(&MarketWarning::Caution(name.to_owned()));
        let cautions = CAUTIONS.iter().fold(Object::new(), |object, name| object.raw(name, is_on(name))).end();
        let warning = market.warnings.contains(&MarketWarning::WatchList);
        names.raw("market_event", Object::new().raw("warning", warning).raw("caution", cautions).end()).end()
    }))
}

/// Returns the markets of the parameter `markets`, such as `KRW-BTC,krw-eth`; REST accepts lower case.
///
/// # Errors
/// If the parameter is missing or a market is not listed.
pub fn requested_markets<'a>(
    simulation: &'a Simulation,
    venue: &str,
    target: &RequestTarget,
) -> Result<Vec<&'a SimulatedMarket>, UpbitError> {
    let codes = target.get("markets").ok_or(UpbitError::MissingParameter)?;
    let find =
        |code: &str| simulation.by_symbol(venue, &code.trim().to_ascii_uppercase()).ok_or(UpbitError::UnknownMarket);
    codes.split(',').map(find).collect()
}

fn tickers(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, UpbitError> {
    Ok(array(requested_markets(view.simulation, VENUE, target)?.into_iter().filter_map(|market| ticker(view, market))))
}

fn tickers_of_quotes(view: &FaultView<'_>, target: &RequestTarget) -> Result<String, UpbitError> {
    let quotes = target.get("quote_currencies").ok_or(UpbitError::MissingParameter)?.to_ascii_uppercase();
    let quoted = |market: &&SimulatedMarket| {
        quotes.split(',').any(|quote| market.symbol.split('-').next() == Some(quote.trim()))
    };
    Ok(array(view.simulation.markets_of(VENUE).filter(quoted).filter_map(|market| ticker(view, market))))
}

fn ticker(view: &FaultView<'_>, market: &SimulatedMarket) -> Option<String> {
    let figures = TickerFigures::latest(view, market, 0)?;
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Some(
        Object::new()
            .text("market", &market.symbol)
            .text("trade_date", &format_time(trade.at, 0, "%Y%m%d"))
            .text("trade_time", &format_time(trade.at, 0, "%H%M%S"))
            .text("trade_date_kst", &format_time(trade.at, KST_OFFSET_HOURS, "%Y%m%d"))
            .text("trade_time_kst", &format_time(trade.at, KST_OFFSET_HOURS, "%H%M%S"))
            .raw("trade_timestamp", trade.at)
            .raw("opening_price", with_point(day.open))
            .raw("high_price", with_point(day.high))
            .raw("low_price", with_point(day.low))
            .raw("trade_price", with_point(trade.price))
            .raw("prev_closing_price", with_point(figures.previous_close))
            .text("change", figures.direction())
            .raw("change_price", with_point(change.abs()))
            .raw("change_rate", plain(figures.day_rate(10).abs(), 10))
            .raw("signed_change_price", with_point(change))
            .raw("signed_change_rate", plain(figures.day_rate(10), 10))
            .raw("trade_volume", plain8(trade.base_volume))
            .raw("acc_trade_price", plain(day.quote_volume / 100_000_000, 8))
            .raw("acc_trade_price_24h", plain(figures.rolling.quote_volume / 100_000_000, 8))
            .raw("acc_trade_volume", plain(day.base_volume, 8))
            .raw("acc_trade_volume_24h", plain(figures.rolling.base_volume, 8))
            .raw("highest_52_week_price", with_point(trade.price.saturating_mul(2)))
            .text("highest_52_week_date", &format_time(view.now - 200 * 86_400_000, 0, "%Y-%m-%d"))
            .raw("lowest_52_week_price", with_point((trade.price / 2).max(1)))
            .text("lowest_52_week_date", &format_time(view.now - 100 * 86_400_000, 0, "%Y-%m-%d"))
            .raw("timestamp", figures.now)
            .end(),
    )
}

fn delisting_date(market: &SimulatedMarket) -> String {
    market.delisting_date.as_deref().map_or_else(|| "null".to_owned(), json_string)
}

/// Encodes a ticker frame in the format DEFAULT: large prices as `1.42187E8`, volumes with trailing zeros.
pub fn ticker_frame(figures: &TickerFigures<'_>, kind: &str) -> String {
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Object::new()
        .text("type", "ticker")
        .text("code", &figures.market.symbol)
        .raw("opening_price", java_double(day.open))
        .raw("high_price", java_double(day.high))
        .raw("low_price", java_double(day.low))
        .raw("trade_price", java_double(trade.price))
        .raw("prev_closing_price", java_double(figures.previous_close))
        .raw("acc_trade_price", plain(day.quote_volume / 100_000_000, 8))
        .text("change", figures.direction())
        .raw("change_price", java_double(change.abs()))
        .raw("signed_change_price", java_double(change))
        .raw("change_rate", plain(figures.day_rate(10).abs(), 10))
        .raw("signed_change_rate", plain(figures.day_rate(10), 10))
        .text("ask_bid", if trade.taker_sold { "ASK" } else { "BID" })
        .raw("trade_volume", fixed(trade.base_volume.into(), 8))
        .raw("acc_trade_volume", fixed(day.base_volume, 8))
        .text("trade_date", &format_time(trade.at, 0, "%Y%m%d"))
        .text("trade_time", &format_time(trade.at, 0, "%H%M%S"))
        .raw("trade_timestamp", trade.at)
        .raw("acc_ask_volume", fixed(day.sold_volume, 8))
        .raw("acc_bid_volume", fixed(day.base_volume - day.sold_volume, 8))
        .raw("highest_52_week_price", java_double(trade.price.saturating_mul(2)))
        .text("highest_52_week_date", &format_time(figures.now - 200 * 86_400_000, 0, "%Y-%m-%d"))
        .raw("lowest_52_week_price", java_double((trade.price / 2).max(1)))
        .text("lowest_52_week_date", &format_time(figures.now - 100 * 86_400_000, 0, "%Y-%m-%d"))
        .text("market_state", figures.market_state())
        .raw("is_trading_suspended", figures.market.halted)
        .raw("delisting_date", delisting_date(figures.market))
        .text("market_warning", figures.market.market_warning())
        .raw("timestamp", figures.now)
        .raw("acc_trade_price_24h", plain(figures.rolling.quote_volume / 100_000_000, 8))
        .raw("acc_trade_volume_24h", fixed(figures.rolling.base_volume, 8))
        .text("stream_type", kind)
        .end()
}

/// Encodes a ticker frame in the format SIMPLE: short names, prices without exponent, small volumes as
/// `7.9276E-4`.
pub fn simple_ticker_frame(figures: &TickerFigures<'_>, kind: &str) -> String {
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Object::new()
        .text("ty", "ticker")
        .text("cd", &figures.market.symbol)
        .raw("op", plain8(day.open))
        .raw("hp", plain8(day.high))
        .raw("lp", plain8(day.low))
        .raw("tp", plain8(trade.price))
        .raw("pcp", plain8(figures.previous_close))
        .text("c", figures.direction())
        .raw("cp", plain8(change.abs()))
        .raw("scp", plain8(change))
        .raw("cr", plain(figures.day_rate(10).abs(), 10))
        .raw("scr", plain(figures.day_rate(10), 10))
        .text("ab", if trade.taker_sold { "ASK" } else { "BID" })
        .raw("tv", java_double(trade.base_volume))
        .raw("atv", plain(day.base_volume, 8))
        .raw("atv24h", plain(figures.rolling.base_volume, 8))
        .raw("atp", plain(day.quote_volume / 100_000_000, 8))
        .raw("atp24h", plain(figures.rolling.quote_volume / 100_000_000, 8))
        .text("td", &format_time(trade.at, 0, "%Y%m%d"))
        .text("ttm", &format_time(trade.at, 0, "%H%M%S"))
        .raw("ttms", trade.at)
        .text("ms", figures.market_state())
        .raw("its", figures.market.halted)
        .raw("dd", delisting_date(figures.market))
        .text("mw", figures.market.market_warning())
        .raw("tms", figures.now)
        .text("st", kind)
        .end()
}
