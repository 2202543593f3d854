//! One market of a simulated day: what was said of it, and what must therefore be known.

use sisepan::domain::{Market, Minute, VenueId};
use sisepan::fake::View;
use sisepan::fake::figures::Figures;
use sisepan::fake::tape::Bar;
use sisepan::fake::world::Line;
use sisepan::fake::{binance, bithumb, upbit};

use super::truth::{DAY, MINUTE};

/// Who spoke for a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knower {
    Nobody,
    Stream,
    Candle,
}

/// See the module. Times are the venue's, in Unix ms.
#[derive(Debug)]
pub struct Lane {
    pub venue: &'static str,
    pub id: VenueId,
    pub name: String,
    pub symbol: String,
    pub market: Market,
    /// The trade that the present connection was last told of.
    pub told: Option<u64>,
    /// When the price was last confirmed.
    pub heard: Option<i64>,
    /// Whether the process was born after that.
    pub inherited: bool,
    /// Since when every trade is heard of.
    joined: Option<i64>,
    /// The rolling base that the venue last said.
    pub venue_base: Option<i64>,
    /// Frames said before, to be said again out of turn.
    pub said: Vec<String>,
    origin: i64,
    known: Vec<Knower>,
    /// What has become known since it was last handed to the store, and what was known instead.
    unkept: Vec<(usize, Knower)>,
    kept_heard: Option<i64>,
}

impl Lane {
    pub fn new(line: &Line, id: VenueId, begin: i64) -> Self {
        let origin = begin.div_euclid(MINUTE) - 30 * 60;
        Self {
            venue: line.venue,
            id,
            name: line.market.clone(),
            symbol: line.symbol.clone(),
            market: line.market.parse().unwrap(),
            told: None,
            heard: None,
            inherited: false,
            joined: None,
            venue_base: None,
            said: Vec::new(),
            origin,
            known: vec![Knower::Nobody; 58 * 60],
            unkept: Vec::new(),
            kept_heard: None,
        }
    }

    /// The stream told of the newest trade at `now`.
    pub fn streamed(&mut self, now: i64) {
        let from = *self.joined.get_or_insert(now);
        self.spoken(from, now);
        self.heard = Some(now);
        self.inherited = false;
    }

    /// REST told of the newest trade, while the stream was up or not.
    pub fn fetched(&mut self, now: i64) {
        // It may speak for a moment some seconds before it came.
        if let Some(from) = self.joined {
            self.spoken(from, now - 13_000);
        }
        self.heard = Some(now);
        self.inherited = false;
    }

    /// The connection is gone, or nobody read it for a while.
    pub fn parted(&mut self) {
        self.joined = None;
    }

    /// Whether the stream proves something by itself: Binance dates its messages, not its trades.
    fn spoken(&mut self, from: i64, until: i64) {
        if self.venue == "binance" {
            return;
        }
        // The newest minutes alone can be new.
        let first = from.div_euclid(MINUTE) + i64::from(from.rem_euclid(MINUTE) > 0);
        let end = until.div_euclid(MINUTE);
        for minute in (first.max(self.origin)..end).rev() {
            if !self.know(minute, Knower::Stream) {
                break;
            }
        }
    }

    /// A candle answer spoke for every minute of a span.
    pub fn settled(&mut self, span: std::ops::Range<Minute>) {
        for minute in span.start.0.max(self.origin)..span.end.0 {
            self.know(minute, Knower::Candle);
        }
    }

    fn know(&mut self, minute: i64, knower: Knower) -> bool {
        let at = usize::try_from(minute - self.origin).unwrap();
        let before = self.known[at];
        let new = before == Knower::Nobody || (before == Knower::Stream && knower == Knower::Candle);
        if new {
            self.known[at] = knower;
            self.unkept.push((at, before));
        }
        new
    }

    /// All of it was handed to the store.
    pub fn kept(&mut self) {
        self.unkept.clear();
        self.kept_heard = self.heard;
    }

    /// The process is gone, and another has begun with what the store holds.
    pub fn reborn(&mut self) {
        for (at, before) in self.unkept.drain(..).rev() {
            self.known[at] = before;
        }
        self.heard = self.kept_heard;
        self.inherited = true;
        (self.told, self.joined, self.venue_base) = (None, None, None);
    }

    /// Returns who makes the last trade before `time` known, if anybody must: each minute back to its own was spoken for.
    pub fn knower(&self, line: &Line, time: i64) -> Option<Knower> {
        let traded = line.tape.before(time)?.at.div_euclid(MINUTE);
        let at = |minute: i64| usize::try_from(minute - self.origin).ok();
        let span = self.known.get(at(traded)?..at(time.div_euclid(MINUTE))?)?;
        (!span.contains(&Knower::Nobody)).then(|| span[0])
    }
}

/// The figures of the newest trade; the sums of a day, which nobody reads here, are left flat.
pub fn figures<'a>(view: &View<'_>, line: &'a Line) -> Figures<'a> {
    let trade = view.bend(line, line.tape.last().unwrap());
    let before = line.tape.before(view.now - DAY).map_or(trade.price, |trade| trade.price);
    let flat = Bar {
        start: view.now - DAY,
        open: before,
        high: before.max(trade.price),
        low: before.min(trade.price),
        close: trade.price,
        volume: i128::from(trade.volume),
        asks: 0,
        value: i128::from(trade.volume) * i128::from(trade.price),
        last_at: trade.at,
        first_id: 1,
        last_id: trade.id,
    };
    Figures { line, trade, day_before: before, day: flat, before, rolling: flat, now: view.now }
}

/// A frame of the stream.
pub fn frame(view: &View<'_>, line: &Line, kind: &str) -> String {
    let figures = figures(view, line);
    match line.venue {
        "upbit" => upbit::ticker_frame(&figures, kind),
        "bithumb" => bithumb::ticker_frame(&figures, kind),
        "binance" => binance::ticker_frame(&figures),
        other => panic!("{other} has no frame here"),
    }
}

/// An answer to a question for one ticker, in the venue's words.
pub fn answer(view: &View<'_>, line: &Line) -> String {
    if line.venue != "binance" {
        // The same row as in the stream, under another name for the market.
        let row = upbit::ticker_frame(&figures(view, line), "SNAPSHOT");
        return format!("[{}]", row.replacen("\"code\":", "\"market\":", 1));
    }
    let Figures { trade, rolling, now, .. } = figures(view, line);
    let price = super::truth::spelled;
    format!(
        r#"[{{"symbol":"{}","lastPrice":"{}","openPrice":"{}","highPrice":"{}","lowPrice":"{}","volume":"1","quoteVolume":"1","openTime":{},"closeTime":{now},"firstId":1,"lastId":{},"count":{}}}]"#,
        line.symbol,
        price(trade.price),
        price(rolling.open),
        price(rolling.high),
        price(rolling.low),
        now - DAY,
        trade.id,
        trade.id,
    )
}
