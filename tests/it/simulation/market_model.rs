//! Reference model of one market of a simulated day: the messages received, and the closes that they make known.

use fake_exchanges::FaultView;
use fake_exchanges::simulated_market::SimulatedMarket;
use fake_exchanges::ticker_figures::TickerFigures;
use fake_exchanges::trade_log::Ohlcv;
use fake_exchanges::venues::{binance, bithumb, upbit};
use sisepan::market::{Market, Minute, VenueId};

use super::truth::{DAY, MINUTE};

/// The evidence for the close of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    Missing,
    Stream,
    Candle,
}

/// The model of one market. Times are the venue's, in Unix ms.
#[derive(Debug)]
pub struct MarketModel {
    pub venue: &'static str,
    pub id: VenueId,
    pub name: String,
    pub symbol: String,
    pub market: Market,
    /// Id of the newest trade sent over the current connection.
    pub streamed_id: Option<u64>,
    /// When the price was last confirmed.
    pub confirmed_at: Option<i64>,
    /// Whether the process started after that.
    pub restored: bool,
    /// Since when every trade is received.
    connected_since: Option<i64>,
    /// The rolling 24-hour base that the venue last sent.
    pub venue_base: Option<i64>,
    /// The newest frames, to be repeated out of order.
    pub recent_frames: Vec<String>,
    /// The minute of the first entry of `evidence`.
    origin: i64,
    evidence: Vec<Evidence>,
    /// Changes of `evidence` since it was last handed to the store: the index, and the evidence before.
    unsaved: Vec<(usize, Evidence)>,
    saved_confirmed_at: Option<i64>,
}

impl MarketModel {
    pub fn new(simulated: &SimulatedMarket, id: VenueId, begin: i64) -> Self {
        let origin = begin.div_euclid(MINUTE) - 30 * 60;
        Self {
            venue: simulated.venue,
            id,
            name: simulated.name.clone(),
            symbol: simulated.symbol.clone(),
            market: simulated.name.parse().unwrap(),
            streamed_id: None,
            confirmed_at: None,
            restored: false,
            connected_since: None,
            venue_base: None,
            recent_frames: Vec::new(),
            origin,
            evidence: vec![Evidence::Missing; 58 * 60],
            unsaved: Vec::new(),
            saved_confirmed_at: None,
        }
    }

    /// Applies a streamed ticker with the newest trade, sent at `now`.
    pub fn apply_stream(&mut self, now: i64) {
        let from = *self.connected_since.get_or_insert(now);
        self.cover(from, now);
        self.confirmed_at = Some(now);
        self.restored = false;
    }

    /// Applies a REST ticker with the newest trade, whether the stream is up or not.
    pub fn apply_rest(&mut self, now: i64) {
        // The response may be as of some seconds before it was received.
        if let Some(from) = self.connected_since {
            self.cover(from, now - 13_000);
        }
        self.confirmed_at = Some(now);
        self.restored = false;
    }

    /// Applies the loss of the connection, or a pause in reading it.
    pub fn disconnect(&mut self) {
        self.connected_since = None;
    }

    /// Records the minutes from `from` to `until` as seen on the stream. Binance's stream proves no minute by
    /// itself: it dates its messages, not its trades.
    fn cover(&mut self, from: i64, until: i64) {
        if self.venue == "binance" {
            return;
        }
        // Only the newest minutes can be new.
        let first = from.div_euclid(MINUTE) + i64::from(from.rem_euclid(MINUTE) > 0);
        let end = until.div_euclid(MINUTE);
        for minute in (first.max(self.origin)..end).rev() {
            if !self.add_evidence(minute, Evidence::Stream) {
                break;
            }
        }
    }

    /// Applies a candle response for every minute of a span.
    pub fn apply_candles(&mut self, span: std::ops::Range<Minute>) {
        for minute in span.start.0.max(self.origin)..span.end.0 {
            self.add_evidence(minute, Evidence::Candle);
        }
    }

    /// Records evidence for a minute; returns whether it is better than the evidence before.
    fn add_evidence(&mut self, minute: i64, evidence: Evidence) -> bool {
        let at = usize::try_from(minute - self.origin).unwrap();
        let before = self.evidence[at];
        let is_better = before == Evidence::Missing || (before == Evidence::Stream && evidence == Evidence::Candle);
        if is_better {
            self.evidence[at] = evidence;
            self.unsaved.push((at, before));
        }
        is_better
    }

    /// Applies a save: all evidence was handed to the store.
    pub fn mark_saved(&mut self) {
        self.unsaved.clear();
        self.saved_confirmed_at = self.confirmed_at;
    }

    /// Applies a restart of the process with what the store holds.
    pub fn restart(&mut self) {
        for (at, before) in self.unsaved.drain(..).rev() {
            self.evidence[at] = before;
        }
        self.confirmed_at = self.saved_confirmed_at;
        self.restored = true;
        (self.streamed_id, self.connected_since, self.venue_base) = (None, None, None);
    }

    /// Returns the evidence for the last trade before `time`, or `None` if a minute since that trade has none.
    pub fn evidence_before(&self, simulated: &SimulatedMarket, time: i64) -> Option<Evidence> {
        let traded = simulated.trade_log.before(time)?.at.div_euclid(MINUTE);
        let at = |minute: i64| usize::try_from(minute - self.origin).ok();
        let span = self.evidence.get(at(traded)?..at(time.div_euclid(MINUTE))?)?;
        (!span.contains(&Evidence::Missing)).then(|| span[0])
    }
}

/// Returns the figures of the newest trade; the sums of a day, which no test reads, are constants.
pub fn figures<'a>(view: &FaultView<'_>, simulated: &'a SimulatedMarket) -> TickerFigures<'a> {
    let trade = view.reported_trade(simulated, simulated.trade_log.last().unwrap());
    let before = simulated.trade_log.before(view.now - DAY).map_or(trade.price, |trade| trade.price);
    let flat = Ohlcv {
        start: view.now - DAY,
        open: before,
        high: before.max(trade.price),
        low: before.min(trade.price),
        close: trade.price,
        base_volume: i128::from(trade.base_volume),
        sold_volume: 0,
        quote_volume: i128::from(trade.base_volume) * i128::from(trade.price),
        last_at: trade.at,
        first_id: 1,
        last_id: trade.id,
    };
    TickerFigures {
        market: simulated,
        trade,
        previous_close: before,
        day: flat,
        price_24h_ago: before,
        rolling: flat,
        now: view.now,
    }
}

/// Returns a frame of the stream.
pub fn ticker_frame(view: &FaultView<'_>, simulated: &SimulatedMarket, kind: &str) -> String {
    let figures = figures(view, simulated);
    match simulated.venue {
        "upbit" => upbit::ticker_frame(&figures, kind),
        "bithumb" => bithumb::ticker_frame(&figures, kind),
        "binance" => binance::ticker_frame(&figures),
        other => panic!("{other} has no frame here"),
    }
}

/// Returns the REST response for one ticker, in the venue's format.
pub fn ticker_response(view: &FaultView<'_>, simulated: &SimulatedMarket) -> String {
    if simulated.venue != "binance" {
        // The same row as in the stream, with another name for the market's member.
        let row = upbit::ticker_frame(&figures(view, simulated), "SNAPSHOT");
        return format!("[{}]", row.replacen("\"code\":", "\"market\":", 1));
    }
    let TickerFigures { trade, rolling, now, .. } = figures(view, simulated);
    let price = super::truth::format_price;
    format!(
        r#"[{{"symbol":"{}","lastPrice":"{}","openPrice":"{}","highPrice":"{}","lowPrice":"{}","volume":"1","quoteVolume":"1","openTime":{},"closeTime":{now},"firstId":1,"lastId":{},"count":{}}}]"#,
        simulated.symbol,
        price(trade.price),
        price(rolling.open),
        price(rolling.high),
        price(rolling.low),
        now - DAY,
        trade.id,
        trade.id,
    )
}
