//! Upbit's words: REST answers and the ticker frame; what Bithumb shares is in the `korean` files.
//!
//! Changes are against the close at 00:00 UTC; `to` is UTC; candles newest
//! first; minutes without a trade are left out. Source: docs.upbit.com/kr
//! reference pages, and payloads seen on the wire 2026-08 and 2026-09.

use super::figures::Figures;
use super::json::{Object, array, text};
use super::korean::Korean;
use super::korean_book::{instruments, orderbooks, supported_levels};
use super::korean_candle::candles;
use super::korean_trade::ticks;
use super::query::{KOREA, Target, spell};
use super::units::{fixed, java, plain, plain8, pointed};
use super::view::{FakeResponse, View, Warned};
use super::world::{Line, World};

const VENUE: &str = "upbit";

/// The cautions of `market_event`.
pub const CAUTIONS: [&str; 5] = [
    "PRICE_FLUCTUATIONS",
    "TRADING_VOLUME_SOARING",
    "DEPOSIT_AMOUNT_SOARING",
    "GLOBAL_PRICE_DIFFERENCES",
    "CONCENTRATION_OF_SMALL_ACCOUNTS",
];

/// Answers a request.
pub fn rest(view: &View<'_>, target: &Target) -> FakeResponse {
    let answer = match target.path.as_str() {
        "/v1/market/all" => Ok(markets(view.world, target)),
        "/v1/ticker" => tickers(view, target),
        "/v1/ticker/all" => tickers_of_quotes(view, target),
        "/v1/orderbook/instruments" => instruments(view.world, target),
        "/v1/orderbook/supported_levels" => supported_levels(view.world, target),
        "/v1/orderbook" => orderbooks(view, Korean::Upbit, target),
        "/v1/trades/ticks" => ticks(view, Korean::Upbit, target),
        _ => match target.under("/v1/candles/") {
            Some(path) => candles(view, Korean::Upbit, target, path),
            None => Err(Refusal::Path),
        },
    };
    match answer {
        Ok(body) => FakeResponse::json(200, body),
        Err(refusal) => refusal.response(),
    }
}

/// Why a request is refused; Bithumb says the same in the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such path.
    Path,
    /// A market that is not listed.
    Code,
    /// A parameter is not there.
    Missing,
    /// A parameter makes no sense.
    Parameter,
    /// Too many markets in one request.
    TooMany,
}

impl Refusal {
    /// Returns the status and body.
    pub fn response(self) -> FakeResponse {
        let (status, name, message) = match self {
            Self::Path => (404, text("not_found"), "no Route matched with those values"),
            Self::Code => (404, "404".to_owned(), "Code not found"),
            Self::Missing => (400, "400".to_owned(), "Missing request parameter error. Check the required parameters!"),
            Self::Parameter => (400, "400".to_owned(), "Type mismatch error. Check the parameters type!"),
            Self::TooMany => (400, "400".to_owned(), "Too many markets requested"),
        };
        let error = Object::new().raw("name", name).text("message", message).end();
        FakeResponse::json(status, Object::new().raw("error", error).end())
    }
}

fn markets(world: &World, target: &Target) -> String {
    let details = target.flag(&["is_details", "isDetails"]);
    array(world.lines(VENUE).map(|line| {
        let names = Object::new().text("market", &line.symbol).text("korean_name", line.coin.ko);
        let names = names.text("english_name", line.coin.en);
        if !details {
            return names.end();
        }
        let is_on = |name: &str| line.warned.contains(&Warned::Caution(name.to_owned()));
        let cautions = CAUTIONS.iter().fold(Object::new(), |object, name| object.raw(name, is_on(name))).end();
        let warning = line.warned.contains(&Warned::Warning);
        names.raw("market_event", Object::new().raw("warning", warning).raw("caution", cautions).end()).end()
    }))
}

/// Reads `markets=KRW-BTC,krw-eth`: every one must be listed; REST takes lower case.
pub fn listed<'a>(world: &'a World, venue: &str, target: &Target) -> Result<Vec<&'a Line>, Refusal> {
    let codes = target.get("markets").ok_or(Refusal::Missing)?;
    let line = |code: &str| world.by_symbol(venue, &code.trim().to_ascii_uppercase()).ok_or(Refusal::Code);
    codes.split(',').map(line).collect()
}

fn tickers(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    Ok(array(listed(view.world, VENUE, target)?.into_iter().filter_map(|line| ticker(view, line))))
}

fn tickers_of_quotes(view: &View<'_>, target: &Target) -> Result<String, Refusal> {
    let quotes = target.get("quote_currencies").ok_or(Refusal::Missing)?.to_ascii_uppercase();
    let wanted = |line: &&Line| quotes.split(',').any(|quote| line.symbol.split('-').next() == Some(quote.trim()));
    Ok(array(view.world.lines(VENUE).filter(wanted).filter_map(|line| ticker(view, line))))
}

fn ticker(view: &View<'_>, line: &Line) -> Option<String> {
    let figures = Figures::newest(view, line, 0)?;
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Some(
        Object::new()
            .text("market", &line.symbol)
            .text("trade_date", &spell(trade.at, 0, "%Y%m%d"))
            .text("trade_time", &spell(trade.at, 0, "%H%M%S"))
            .text("trade_date_kst", &spell(trade.at, KOREA, "%Y%m%d"))
            .text("trade_time_kst", &spell(trade.at, KOREA, "%H%M%S"))
            .raw("trade_timestamp", trade.at)
            .raw("opening_price", pointed(day.open))
            .raw("high_price", pointed(day.high))
            .raw("low_price", pointed(day.low))
            .raw("trade_price", pointed(trade.price))
            .raw("prev_closing_price", pointed(figures.day_before))
            .text("change", figures.direction())
            .raw("change_price", pointed(change.abs()))
            .raw("change_rate", plain(figures.day_rate(10).abs(), 10))
            .raw("signed_change_price", pointed(change))
            .raw("signed_change_rate", plain(figures.day_rate(10), 10))
            .raw("trade_volume", plain8(trade.volume))
            .raw("acc_trade_price", plain(day.value / 100_000_000, 8))
            .raw("acc_trade_price_24h", plain(figures.rolling.value / 100_000_000, 8))
            .raw("acc_trade_volume", plain(day.volume, 8))
            .raw("acc_trade_volume_24h", plain(figures.rolling.volume, 8))
            .raw("highest_52_week_price", pointed(trade.price.saturating_mul(2)))
            .text("highest_52_week_date", &spell(view.now - 200 * 86_400_000, 0, "%Y-%m-%d"))
            .raw("lowest_52_week_price", pointed((trade.price / 2).max(1)))
            .text("lowest_52_week_date", &spell(view.now - 100 * 86_400_000, 0, "%Y-%m-%d"))
            .raw("timestamp", figures.now)
            .end(),
    )
}

fn delisting_date(line: &Line) -> String {
    line.leaving.as_deref().map_or_else(|| "null".to_owned(), text)
}

/// Spells a ticker frame in DEFAULT format: large prices as `1.42187E8`, zeros kept in volumes.
pub fn ticker_frame(figures: &Figures<'_>, kind: &str) -> String {
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Object::new()
        .text("type", "ticker")
        .text("code", &figures.line.symbol)
        .raw("opening_price", java(day.open))
        .raw("high_price", java(day.high))
        .raw("low_price", java(day.low))
        .raw("trade_price", java(trade.price))
        .raw("prev_closing_price", java(figures.day_before))
        .raw("acc_trade_price", plain(day.value / 100_000_000, 8))
        .text("change", figures.direction())
        .raw("change_price", java(change.abs()))
        .raw("signed_change_price", java(change))
        .raw("change_rate", plain(figures.day_rate(10).abs(), 10))
        .raw("signed_change_rate", plain(figures.day_rate(10), 10))
        .text("ask_bid", if trade.ask { "ASK" } else { "BID" })
        .raw("trade_volume", fixed(trade.volume.into(), 8))
        .raw("acc_trade_volume", fixed(day.volume, 8))
        .text("trade_date", &spell(trade.at, 0, "%Y%m%d"))
        .text("trade_time", &spell(trade.at, 0, "%H%M%S"))
        .raw("trade_timestamp", trade.at)
        .raw("acc_ask_volume", fixed(day.asks, 8))
        .raw("acc_bid_volume", fixed(day.volume - day.asks, 8))
        .raw("highest_52_week_price", java(trade.price.saturating_mul(2)))
        .text("highest_52_week_date", &spell(figures.now - 200 * 86_400_000, 0, "%Y-%m-%d"))
        .raw("lowest_52_week_price", java((trade.price / 2).max(1)))
        .text("lowest_52_week_date", &spell(figures.now - 100 * 86_400_000, 0, "%Y-%m-%d"))
        .text("market_state", figures.market_state())
        .raw("is_trading_suspended", figures.line.halted)
        .raw("delisting_date", delisting_date(figures.line))
        .text("market_warning", figures.line.market_warning())
        .raw("timestamp", figures.now)
        .raw("acc_trade_price_24h", plain(figures.rolling.value / 100_000_000, 8))
        .raw("acc_trade_volume_24h", fixed(figures.rolling.volume, 8))
        .text("stream_type", kind)
        .end()
}

/// Spells a ticker frame in SIMPLE format: short names, plain prices, small volumes as `7.9276E-4`.
pub fn ticker_frame_simple(figures: &Figures<'_>, kind: &str) -> String {
    let (trade, day) = (figures.trade, figures.day);
    let change = figures.day_change();
    Object::new()
        .text("ty", "ticker")
        .text("cd", &figures.line.symbol)
        .raw("op", plain8(day.open))
        .raw("hp", plain8(day.high))
        .raw("lp", plain8(day.low))
        .raw("tp", plain8(trade.price))
        .raw("pcp", plain8(figures.day_before))
        .text("c", figures.direction())
        .raw("cp", plain8(change.abs()))
        .raw("scp", plain8(change))
        .raw("cr", plain(figures.day_rate(10).abs(), 10))
        .raw("scr", plain(figures.day_rate(10), 10))
        .text("ab", if trade.ask { "ASK" } else { "BID" })
        .raw("tv", java(trade.volume))
        .raw("atv", plain(day.volume, 8))
        .raw("atv24h", plain(figures.rolling.volume, 8))
        .raw("atp", plain(day.value / 100_000_000, 8))
        .raw("atp24h", plain(figures.rolling.value / 100_000_000, 8))
        .text("td", &spell(trade.at, 0, "%Y%m%d"))
        .text("ttm", &spell(trade.at, 0, "%H%M%S"))
        .raw("ttms", trade.at)
        .text("ms", figures.market_state())
        .raw("its", figures.line.halted)
        .raw("dd", delisting_date(figures.line))
        .text("mw", figures.line.market_warning())
        .raw("tms", figures.now)
        .text("st", kind)
        .end()
}
