//! The stream of Upbit and of Bithumb: a ticket, a list of codes, no acknowledgement.
//!
//! Each request replaces the one before. Unknown and lower-case codes are
//! passed over in silence. An error is said once, then the connection closes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::figures::Figures;
use super::json::{Object, array, text};
use super::query::KOREA_MS;
use super::session::{Session, Step};
use super::tape::Trade;
use super::units::{java, plain8};
use super::view::View;
use super::world::Line;
use super::{bithumb, upbit};

/// Frames of one market in one poll: after a pause the older trades are passed over.
const BURST_MAX: usize = 20;

/// Codes of one connection.
const CODES_MAX: usize = 2000;

/// Between two `{"status":"UP"}`, in ms.
const STATUS_EVERY: i64 = 10_000;

const CLOSE_NORMAL: u16 = 1000;

/// See the module.
#[derive(Debug)]
pub struct TicketSession {
    upbit: bool,
    ticket: String,
    simple: bool,
    list: bool,
    /// By (type, code).
    wanted: BTreeMap<(String, String), Want>,
    status_at: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Want {
    snapshot: bool,
    realtime: bool,
    seen: u64,
    /// Whether it was told that the market is halted.
    halted: bool,
}

impl TicketSession {
    /// Begins a connection to Upbit, or else to Bithumb.
    pub fn new(upbit: bool) -> Self {
        let ticket = String::new();
        Self { upbit, ticket, simple: false, list: false, wanted: BTreeMap::new(), status_at: None }
    }

    fn venue(&self) -> &'static str {
        if self.upbit { "upbit" } else { "bithumb" }
    }

    fn request(&mut self, frame: &str) -> Result<Option<String>, (&'static str, String)> {
        let wrong = || ("WRONG_FORMAT", "Format 이 맞지 않습니다.".to_owned());
        let parts: Vec<serde_json::Map<String, Value>> = serde_json::from_str(frame).map_err(|_| wrong())?;
        let find = |name: &str| parts.iter().find_map(|part| part.get(name)).and_then(Value::as_str);
        let ticket = find("ticket").filter(|ticket| !ticket.is_empty());
        let no_ticket = "티켓이 존재하지 않거나, 유효하지 않습니다.";
        self.ticket = ticket.ok_or_else(|| ("NO_TICKET", no_ticket.to_owned()))?.to_owned();
        if find("method") == Some("LIST_SUBSCRIPTIONS") {
            return Ok(Some(self.subscriptions()));
        }
        let (simple, list) = match find("format") {
            None | Some("DEFAULT") => (false, false),
            Some("SIMPLE") => (true, false),
            Some("JSON_LIST") => (false, true),
            Some("SIMPLE_LIST") => (true, true),
            Some(_) => return Err(wrong()),
        };
        let mut wanted = BTreeMap::new();
        for part in parts.iter().filter(|part| part.contains_key("type") || part.contains_key("codes")) {
            self.want(part, &mut wanted)?;
        }
        if wanted.is_empty() && !parts.iter().any(|part| part.contains_key("type")) {
            return Err(("NO_TYPE", "타입이 존재하지 않습니다.".to_owned()));
        }
        (self.simple, self.list, self.wanted) = (simple, list, wanted);
        Ok(None)
    }

    fn want(
        &self,
        part: &serde_json::Map<String, Value>,
        wanted: &mut BTreeMap<(String, String), Want>,
    ) -> Result<(), (&'static str, String)> {
        let kind = part.get("type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| ("NO_TYPE", "타입이 존재하지 않습니다.".to_owned()))?;
        if !matches!(kind, "ticker" | "trade" | "orderbook") && !kind.starts_with("candle.") {
            return Err(("INVALID_PARAM", format!("{kind} 은 지원하지 않는 타입입니다.")));
        }
        let codes = part.get("codes").and_then(Value::as_array).filter(|codes| !codes.is_empty());
        let codes = codes.ok_or_else(|| ("NO_CODES", "코드가 존재하지 않습니다.".to_owned()))?;
        let flag = |names: &[&str]| names.iter().any(|name| part.get(*name) == Some(&Value::Bool(true)));
        let snake = |name: &'static str| if self.upbit { name } else { "" };
        let only_snapshot = flag(&["isOnlySnapshot", snake("is_only_snapshot")]);
        let only_realtime = flag(&["isOnlyRealtime", snake("is_only_realtime")]);
        for code in codes.iter().filter_map(Value::as_str).take(CODES_MAX) {
            let want = Want { snapshot: !only_realtime, realtime: !only_snapshot, seen: 0, halted: false };
            wanted.insert((kind.to_owned(), code.to_owned()), want);
        }
        Ok(())
    }

    fn subscriptions(&self) -> String {
        let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (kind, code) in self.wanted.keys() {
            by_kind.entry(kind).or_default().push(text(code));
        }
        let result =
            by_kind.into_iter().map(|(kind, codes)| Object::new().text("type", kind).raw("codes", array(codes)).end());
        let answer = Object::new().text("method", "LIST_SUBSCRIPTIONS").raw("result", array(result));
        answer.text("ticket", &self.ticket).end()
    }

    fn offset(&self) -> i64 {
        if self.upbit { 0 } else { KOREA_MS }
    }

    fn frame(&self, kind: &str, view: &View<'_>, line: &Line, trade: &Trade, stream: &str) -> Option<String> {
        self.spell(kind, &Figures::of(view, line, trade, self.offset()), stream)
    }

    fn again(&self, kind: &str, view: &View<'_>, line: &Line, trade: &Trade) -> Option<String> {
        self.spell(kind, &Figures::again(view, line, trade, self.offset()), "REALTIME")
    }

    fn spell(&self, kind: &str, figures: &Figures<'_>, stream: &str) -> Option<String> {
        let body = match (kind, self.upbit, self.simple) {
            ("ticker", _, true) => upbit::ticker_frame_simple(figures, stream),
            ("ticker", true, false) => upbit::ticker_frame(figures, stream),
            ("ticker", false, false) => bithumb::ticker_frame(figures, stream),
            ("trade", ..) => trade_frame(figures, self.upbit, stream),
            _ => return None,
        };
        Some(if self.list { array([body]) } else { body })
    }

    fn due(&mut self, view: &View<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut wanted = std::mem::take(&mut self.wanted);
        for ((kind, code), want) in &mut wanted {
            let Some(line) = view.world.by_symbol(self.venue(), code) else { continue };
            let Some(last) = line.tape.last() else { continue };
            let first = want.seen == 0;
            if first && want.snapshot {
                let body = self.frame(kind, view, line, last, "SNAPSHOT");
                steps.extend(body.map(|body| Step::Data { symbol: code.clone(), body }));
            }
            if first && want.realtime && view.warp.replay > 0 {
                let n = u64::from(view.warp.replay);
                for trade in line.tape.after_id(last.id.saturating_sub(n), usize::try_from(n).unwrap_or(0)) {
                    let body = self.again(kind, view, line, trade);
                    steps.extend(body.map(|body| Step::Data { symbol: code.clone(), body }));
                }
            }
            // A halt is said once, then there is nothing to say.
            if line.halted != want.halted && !first {
                want.halted = line.halted;
                let body = self.frame(kind, view, line, last, "REALTIME");
                steps.extend(body.map(|body| Step::Data { symbol: code.clone(), body }));
            }
            if !first && want.realtime {
                for trade in line.tape.after_id(want.seen, BURST_MAX) {
                    let body = self.frame(kind, view, line, trade, "REALTIME");
                    steps.extend(body.map(|body| Step::Data { symbol: code.clone(), body }));
                }
            }
            want.seen = last.id;
        }
        self.wanted = wanted;
        steps
    }
}

impl Session for TicketSession {
    fn binary(&self) -> bool {
        true
    }

    fn receive(&mut self, frame: &str, view: &View<'_>) -> Vec<Step> {
        if frame.trim() == "PING" {
            self.status_at = Some(view.now + STATUS_EVERY);
            return vec![Step::Reply(r#"{"status":"UP"}"#.to_owned())];
        }
        match self.request(frame) {
            Ok(answer) => {
                let mut steps: Vec<Step> = answer.map(Step::Reply).into_iter().collect();
                steps.extend(self.due(view));
                steps
            }
            Err((name, message)) => {
                let error = Object::new().text("name", name).text("message", &message).end();
                let error = Object::new().raw("error", error).end();
                vec![Step::Reply(error), Step::Close(CLOSE_NORMAL, String::new())]
            }
        }
    }

    fn poll(&mut self, view: &View<'_>) -> Vec<Step> {
        let mut steps = self.due(view);
        if self.status_at.is_some_and(|at| at <= view.now) {
            self.status_at = Some(view.now + STATUS_EVERY);
            steps.push(Step::Reply(r#"{"status":"UP"}"#.to_owned()));
        }
        steps
    }
}

fn trade_frame(figures: &Figures<'_>, upbit: bool, stream: &str) -> String {
    let trade = figures.trade;
    let price = |price| if upbit { java(price) } else { plain8(price) };
    let hours = if upbit { 0 } else { super::query::KOREA };
    Object::new()
        .text("type", "trade")
        .text("code", &figures.line.symbol)
        .raw("timestamp", figures.now)
        .text("trade_date", &super::query::spell(trade.at, hours, "%Y-%m-%d"))
        .text("trade_time", &super::query::spell(trade.at, hours, "%H:%M:%S"))
        .raw("trade_timestamp", trade.at)
        .raw("trade_price", price(trade.price))
        .raw("trade_volume", plain8(trade.volume))
        .text("ask_bid", if trade.ask { "ASK" } else { "BID" })
        .raw("prev_closing_price", price(figures.day_before))
        .text("change", figures.direction())
        .raw("change_price", price(figures.day_change().abs()))
        .raw("sequential_id", i128::from(trade.at) * 1_000_000 + i128::from(trade.id % 1_000_000))
        .text("stream_type", stream)
        .end()
}
