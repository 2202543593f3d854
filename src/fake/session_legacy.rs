//! Bithumb's older stream (`/pub/ws`): strings, a change over a window that the client chooses.

use std::collections::BTreeMap;

use serde_json::Value;

use super::figures::Figures;
use super::json::{Object, text};
use super::query::{KOREA, KOREA_MS, spell};
use super::session::{Session, Step};
use super::units::{fixed, plain, plain8, ratio};
use super::view::View;

const WINDOWS: [&str; 5] = ["30M", "1H", "12H", "24H", "MID"];

/// See the module.
#[derive(Debug, Default)]
pub struct LegacySession {
    /// Last trade sent, by (symbol, window).
    wanted: BTreeMap<(String, &'static str), u64>,
}

impl LegacySession {
    fn request(&mut self, frame: &str) -> Option<()> {
        let request: serde_json::Map<String, Value> = serde_json::from_str(frame).ok()?;
        (request.get("type")?.as_str()? == "ticker").then_some(())?;
        let symbols = request.get("symbols")?.as_array()?;
        let asked = request.get("tickTypes")?.as_array()?;
        let windows: Vec<&'static str> =
            WINDOWS.into_iter().filter(|window| asked.iter().any(|name| name.as_str() == Some(window))).collect();
        self.wanted.clear();
        for symbol in symbols.iter().filter_map(Value::as_str) {
            self.wanted.extend(windows.iter().map(|window| ((symbol.to_owned(), *window), 0)));
        }
        Some(())
    }
}

impl Session for LegacySession {
    fn binary(&self) -> bool {
        false
    }

    fn open(&mut self, _view: &View<'_>) -> Vec<Step> {
        vec![Step::Reply(r#"{"status":"0000","resmsg":"Connected Successfully"}"#.to_owned())]
    }

    fn receive(&mut self, frame: &str, _view: &View<'_>) -> Vec<Step> {
        let answer = match self.request(frame) {
            Some(()) => r#"{"status":"0000","resmsg":"Filter Registered Successfully"}"#,
            None => r#"{"status":"5100","resmsg":"Invalid Filter Syntax"}"#,
        };
        vec![Step::Reply(answer.to_owned())]
    }

    fn poll(&mut self, view: &View<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        for ((symbol, window), seen) in &mut self.wanted {
            let market = symbol.replace('_', "-");
            let Some(line) = view.world.line("bithumb", &market) else { continue };
            let Some(last) = line.tape.last().filter(|last| last.id > *seen) else { continue };
            *seen = last.id;
            let figures = Figures::of(view, line, last, KOREA_MS);
            steps.push(Step::Data { symbol: symbol.clone(), body: frame(&figures, view, symbol, window) });
        }
        steps
    }
}

fn frame(figures: &Figures<'_>, view: &View<'_>, symbol: &str, window: &str) -> String {
    let length = match window {
        "30M" => 1_800_000,
        "1H" => 3_600_000,
        "12H" => 43_200_000,
        "MID" => (view.now + KOREA_MS).rem_euclid(86_400_000),
        _ => 86_400_000,
    };
    let sum = figures.line.tape.since(view.now - length).unwrap_or(figures.day);
    let open = figures.line.tape.before(view.now - length).map_or(sum.open, |trade| trade.price);
    let change = figures.trade.price - open;
    let content = Object::new()
        .text("symbol", symbol)
        .text("tickType", window)
        .text("date", &spell(figures.trade.at, KOREA, "%Y%m%d"))
        .text("time", &spell(figures.trade.at, KOREA, "%H%M%S"))
        .text("openPrice", &plain8(open))
        .text("closePrice", &plain8(figures.trade.price))
        .text("lowPrice", &plain8(sum.low))
        .text("highPrice", &plain8(sum.high))
        .text("value", &plain(sum.value / 100_000_000, 8))
        .text("volume", &plain(sum.volume, 8))
        .text("sellVolume", &plain(sum.asks, 8))
        .text("buyVolume", &plain(sum.volume - sum.asks, 8))
        .text("prevClosePrice", &plain8(figures.day_before))
        .text("chgRate", &fixed(ratio(change.into(), open.into(), 4), 2))
        .text("chgAmt", &plain8(change))
        .text("volumePower", "100.00")
        .end();
    Object::new().raw("type", text("ticker")).raw("content", content).end()
}
