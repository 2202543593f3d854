//! The stream of Upbit and of Bithumb: a ticket, a list of codes, no acknowledgement.
//!
//! Each request replaces the one before. Unknown and lower-case codes are
//! passed over in silence. An error is said once, then the connection closes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::candle::{Grid, newest_first};
use super::figures::Figures;
use super::json::{Object, array, text};
use super::korean::Korean;
use super::korean_book::{STREAMED, Shape, UNITS_MAX};
use super::session::{Session, Step};
use super::tape::Trade;
use super::view::View;
use super::world::Line;
use super::{bithumb, korean_book, korean_candle, korean_trade, units, upbit};

/// Frames of one market in one poll: after a pause the older trades are passed over.
const BURST_MAX: usize = 20;

/// Between two frames about a candle, in ms.
const CANDLE_EVERY: i64 = 1000;

/// Codes of one connection.
const CODES_MAX: usize = 2000;

/// Between two `{"status":"UP"}`, in ms.
const STATUS_EVERY: i64 = 10_000;

const CLOSE_NORMAL: u16 = 1000;

/// See the module.
#[derive(Debug)]
pub struct TicketSession {
    korean: Korean,
    ticket: String,
    simple: bool,
    list: bool,
    /// By (type, code).
    wanted: BTreeMap<(String, String), Want>,
    status_at: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Want {
    data: Data,
    snapshot: bool,
    realtime: bool,
    seen: u64,
    /// Whether it was told that the market is halted.
    halted: bool,
    /// Nothing is sent before, in Unix ms.
    next_at: i64,
}

/// What a request's `type` asks for.
#[derive(Debug, Clone, Copy)]
enum Data {
    Ticker,
    Trade,
    Orderbook(Shape),
    Candle(Grid),
}

impl Data {
    /// Reads a type; `None` where the venue has none of that name. Bithumb has no candles on its stream.
    fn of(korean: Korean, kind: &str, level: i64, code: &str) -> Option<Self> {
        match kind {
            "ticker" => Some(Self::Ticker),
            "trade" => Some(Self::Trade),
            "orderbook" => {
                let count = code.split_once('.').and_then(|(_, count)| count.parse().ok());
                let count = count.filter(|count| STREAMED.contains(count)).unwrap_or(UNITS_MAX);
                Some(Self::Orderbook(Shape { level, count }))
            }
            _ if korean == Korean::Upbit => korean_candle::streamed(kind).map(Self::Candle),
            _ => None,
        }
    }
}

impl TicketSession {
    /// Begins a connection.
    pub fn new(korean: Korean) -> Self {
        let ticket = String::new();
        Self { korean, ticket, simple: false, list: false, wanted: BTreeMap::new(), status_at: None }
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
        let level = part.get("level").map(|level| level.as_str().map_or_else(|| level.to_string(), str::to_owned));
        let level = level.and_then(|level| units::of(level.parse().ok()?));
        let data = |code: &str| Data::of(self.korean, kind, level.unwrap_or(0), code);
        if data("").is_none() {
            return Err(("INVALID_PARAM", format!("{kind} 은 지원하지 않는 타입입니다.")));
        }
        let codes = part.get("codes").and_then(Value::as_array).filter(|codes| !codes.is_empty());
        let codes = codes.ok_or_else(|| ("NO_CODES", "코드가 존재하지 않습니다.".to_owned()))?;
        let flag = |names: &[&str]| names.iter().any(|name| part.get(*name) == Some(&Value::Bool(true)));
        let snake = |name: &'static str| if self.korean == Korean::Upbit { name } else { "" };
        let only_snapshot = flag(&["isOnlySnapshot", snake("is_only_snapshot")]);
        let only_realtime = flag(&["isOnlyRealtime", snake("is_only_realtime")]);
        for code in codes.iter().filter_map(Value::as_str).take(CODES_MAX) {
            let Some(data) = data(code) else { continue };
            let (snapshot, realtime) = (!only_realtime, !only_snapshot);
            let want = Want { data, snapshot, realtime, seen: 0, halted: false, next_at: 0 };
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

    /// Spells what there is to say about a trade.
    fn frame(&self, view: &View<'_>, data: Data, (line, trade): (&Line, &Trade), stream: &str) -> Option<String> {
        let (korean, simple) = (self.korean, self.simple);
        match data {
            Data::Ticker | Data::Trade => {
                self.spell(data, &Figures::of(view, line, trade, korean.offset()), trade, stream)
            }
            Data::Orderbook(shape) => korean_book::frame(view, korean, (line, trade), shape, simple, stream),
            Data::Candle(_) => None,
        }
    }

    /// Spells a ticker or a trade.
    fn spell(&self, data: Data, figures: &Figures<'_>, trade: &Trade, stream: &str) -> Option<String> {
        match (data, self.korean, self.simple) {
            (Data::Ticker, _, true) => Some(upbit::ticker_frame_simple(figures, stream)),
            (Data::Ticker, Korean::Upbit, false) => Some(upbit::ticker_frame(figures, stream)),
            (Data::Ticker, Korean::Bithumb, false) => Some(bithumb::ticker_frame(figures, stream)),
            (Data::Trade, korean, simple) => Some(korean_trade::frame(figures, korean, trade, simple, stream)),
            _ => None,
        }
    }

    /// The last tickers or trades once more, for one that asks for what is new.
    fn replayed(&self, view: &View<'_>, want: &Want, line: &Line, last: &Trade) -> Vec<String> {
        let n = view.warp.replay;
        if n == 0 || !want.realtime || !matches!(want.data, Data::Ticker | Data::Trade) {
            return Vec::new();
        }
        let trades = line.tape.after_id(last.id.saturating_sub(n.into()), usize::try_from(n).unwrap_or(0));
        let again = |trade| Figures::again(view, line, trade, self.korean.offset());
        trades.filter_map(|trade| self.spell(want.data, &again(trade), trade, "REALTIME")).collect()
    }

    /// The frames that are due about a market: its first, or what came after `want.seen`.
    fn frames(&self, view: &View<'_>, kind: &str, want: &Want, line: &Line, last: &Trade) -> Vec<String> {
        let first = want.seen == 0;
        let stream = if first { "SNAPSHOT" } else { "REALTIME" };
        if !(if first { want.snapshot } else { want.realtime }) {
            return Vec::new();
        }
        match want.data {
            Data::Candle(grid) => {
                // Every candle that has changed; of the first, none but the newest.
                let candles = newest_first(&line.tape, grid).take_while(|candle| candle.last_id > want.seen);
                let mut candles: Vec<_> = candles.take(if first { 1 } else { BURST_MAX }).collect();
                candles.reverse();
                let spell = |candle| korean_candle::frame(view, line, kind, candle, self.simple, stream);
                candles.iter().map(spell).collect()
            }
            Data::Ticker | Data::Trade if !first => {
                let trades = line.tape.after_id(want.seen, BURST_MAX);
                trades.filter_map(|trade| self.frame(view, want.data, (line, trade), stream)).collect()
            }
            _ => self.frame(view, want.data, (line, last), stream).into_iter().collect(),
        }
    }

    fn due(&mut self, view: &View<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut wanted = std::mem::take(&mut self.wanted);
        for ((kind, code), want) in &mut wanted {
            let symbol = if matches!(want.data, Data::Orderbook(_)) { code.split('.').next() } else { None };
            let symbol = symbol.unwrap_or(code);
            let Some(line) = view.world.by_symbol(self.korean.venue(), symbol) else { continue };
            let Some(last) = line.tape.last() else { continue };
            let (first, is_news) = (want.seen == 0, last.id > want.seen && view.now >= want.next_at);
            let mut bodies = Vec::new();
            // A halt is said once, then there is nothing to say.
            if !first && want.realtime && line.halted != want.halted && matches!(want.data, Data::Ticker) {
                want.halted = line.halted;
                bodies.extend(self.frame(view, want.data, (line, last), "REALTIME"));
            }
            if is_news {
                bodies.extend(self.frames(view, kind, want, line, last));
            }
            if first {
                bodies.extend(self.replayed(view, want, line, last));
            }
            let bodies = bodies.into_iter().map(|body| if self.list { array([body]) } else { body });
            steps.extend(bodies.map(|body| Step::Data { symbol: symbol.to_owned(), body }));
            if is_news {
                want.seen = last.id;
                if matches!(want.data, Data::Candle(_)) {
                    want.next_at = view.now - view.now.rem_euclid(CANDLE_EVERY) + CANDLE_EVERY;
                }
            }
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
