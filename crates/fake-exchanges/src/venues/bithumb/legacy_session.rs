//! The session of Bithumb's legacy stream (`/pub/ws`): numbers as strings, changes over windows that the client
//! chooses.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fault_view::FaultView;
use crate::json::{Object, json_string};
use crate::query::{KST_OFFSET_HOURS, KST_OFFSET_MS, format_time};
use crate::session::{Session, Step};
use crate::ticker_figures::TickerFigures;
use crate::units::{fixed, plain, plain8, ratio};

const WINDOWS: [&str; 5] = ["30M", "1H", "12H", "24H", "MID"];

/// A session of the legacy stream.
#[derive(Debug, Default)]
pub struct BithumbLegacySession {
    /// Id of the last trade sent, by (symbol, window).
    subscriptions: BTreeMap<(String, &'static str), u64>,
}

impl BithumbLegacySession {
    fn request(&mut self, frame: &str) -> Option<()> {
        let request: serde_json::Map<String, Value> = serde_json::from_str(frame).ok()?;
        (request.get("type")?.as_str()? == "ticker").then_some(())?;
        let symbols = request.get("symbols")?.as_array()?;
        let requested = request.get("tickTypes")?.as_array()?;
        let windows: Vec<&'static str> =
            WINDOWS.into_iter().filter(|window| requested.iter().any(|name| name.as_str() == Some(window))).collect();
        self.subscriptions.clear();
        for symbol in symbols.iter().filter_map(Value::as_str) {
            self.subscriptions.extend(windows.iter().map(|window| ((symbol.to_owned(), *window), 0)));
        }
        Some(())
    }
}

impl Session for BithumbLegacySession {
    fn open(&mut self, _view: &FaultView<'_>) -> Vec<Step> {
        vec![Step::Reply(r#"{"status":"0000","resmsg":"Connected Successfully"}"#.to_owned())]
    }

    fn receive(&mut self, frame: &str, _view: &FaultView<'_>) -> Vec<Step> {
        let answer = match self.request(frame) {
            Some(()) => r#"{"status":"0000","resmsg":"Filter Registered Successfully"}"#,
            None => r#"{"status":"5100","resmsg":"Invalid Filter Syntax"}"#,
        };
        vec![Step::Reply(answer.to_owned())]
    }

    fn poll(&mut self, view: &FaultView<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        for ((symbol, window), last_sent) in &mut self.subscriptions {
            let name = symbol.replace('_', "-");
            let Some(market) = view.simulation.market("bithumb", &name) else { continue };
            let Some(last) = market.trade_log.last().filter(|last| last.id > *last_sent) else { continue };
            *last_sent = last.id;
            let figures = TickerFigures::at_trade(view, market, last, KST_OFFSET_MS);
            steps.push(Step::Data { symbol: symbol.clone(), body: frame(&figures, view, symbol, window) });
        }
        steps
    }
}

fn frame(figures: &TickerFigures<'_>, view: &FaultView<'_>, symbol: &str, window: &str) -> String {
    let length = match window {
        "30M" => 1_800_000,
        "1H" => 3_600_000,
        "12H" => 43_200_000,
        "MID" => (view.now + KST_OFFSET_MS).rem_euclid(86_400_000),
        _ => 86_400_000,
    };
    let sums = figures.market.trade_log.ohlcv_since(view.now - length).unwrap_or(figures.day);
    let open = figures.market.trade_log.before(view.now - length).map_or(sums.open, |trade| trade.price);
    let change = figures.trade.price - open;
    let content = Object::new()
        .text("symbol", symbol)
        .text("tickType", window)
        .text("date", &format_time(figures.trade.at, KST_OFFSET_HOURS, "%Y%m%d"))
        .text("time", &format_time(figures.trade.at, KST_OFFSET_HOURS, "%H%M%S"))
        .text("openPrice", &plain8(open))
        .text("closePrice", &plain8(figures.trade.price))
        .text("lowPrice", &plain8(sums.low))
        .text("highPrice", &plain8(sums.high))
        .text("value", &plain(sums.quote_volume / 100_000_000, 8))
        .text("volume", &plain(sums.base_volume, 8))
        .text("sellVolume", &plain(sums.sold_volume, 8))
        .text("buyVolume", &plain(sums.base_volume - sums.sold_volume, 8))
        .text("prevClosePrice", &plain8(figures.previous_close))
        .text("chgRate", &fixed(ratio(change.into(), open.into(), 4), 2))
        .text("chgAmt", &plain8(change))
        .text("volumePower", "100.00")
        .end();
    Object::new().raw("type", json_string("ticker")).raw("content", content).end()
}
