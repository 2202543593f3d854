//! An adapter and a fake exchange without sockets: a connection, in which each side's session gets what the other
//! sends, and responses.

use std::collections::VecDeque;

use fake_exchanges::session::{Session as FakeSession, Step};
use fake_exchanges::{FaultView, venues};
use sisepan::clock::Clock;
use sisepan::market::{Market, Minute};
use sisepan::venue::{Endpoint, Incoming, RestQuery, Session, TickerRecord, Venue};

/// Returns status and body of the fake exchange's response to a request for the newest candle of a market.
pub fn newest_candle(venue: &dyn Venue, market: &Market, view: &FaultView<'_>) -> (u16, String) {
    let query = newest(market);
    let response = venues::rest(venue.profile().id.as_str(), view, &venue.request(&query).unwrap().path);
    (response.status, String::from_utf8(response.body).unwrap())
}

fn newest(market: &Market) -> RestQuery<'_> {
    RestQuery::Candles { market, end: Minute::of(Clock::system().now()), count: 1 }
}

/// Returns status and body of an error of the exchange: of its response about a market that it does not list.
pub fn rest_error(venue: &dyn Venue, view: &FaultView<'_>) -> (u16, String) {
    let id = venue.profile().id.as_str();
    let unknown = Market::new("NOPE", venues::find(id).unwrap().listing().quote).unwrap();
    let (status, body) = newest_candle(venue, &unknown, view);
    let read = venue.response(&newest(&unknown), &body);
    assert!(!body.is_empty() && (status != 200 || read.is_err()), "{id}: {body} is no error: {read:?}");
    (status, body)
}

/// Both sides of a connection.
pub struct Joined {
    ours: Box<dyn Session>,
    theirs: Box<dyn FakeSession>,
    /// What they have sent and we have not read.
    sent: VecDeque<Step>,
}

impl Joined {
    /// Connects, and subscribes to `markets`.
    pub fn open(venue: &dyn Venue, markets: &[Market], view: &FaultView<'_>) -> Self {
        let id = venue.profile().id.as_str();
        let path = match venue.endpoint() {
            Endpoint::Fixed => venues::find(id).unwrap().stream_path().to_owned(),
            Endpoint::Negotiated { request, read } => {
                let response = venues::rest(id, view, &request.path);
                let opening = read(std::str::from_utf8(&response.body).unwrap()).unwrap();
                opening.url.split_once(&format!("/{id}")).unwrap().1.to_owned()
            }
        };
        let mut theirs = venues::open(id, &path).unwrap();
        let sent = theirs.open(view).into();
        let mut joined = Self { ours: venue.session(), theirs, sent };
        let frames = joined.ours.subscribe(markets, &[]);
        joined.send(frames, view);
        joined
    }

    fn send(&mut self, frames: Vec<String>, view: &FaultView<'_>) {
        let steps = frames.iter().flat_map(|frame| self.theirs.receive(frame, view)).collect::<Vec<_>>();
        self.sent.extend(steps);
    }

    /// Returns what they reply to a frame that is no message.
    pub fn error(&mut self, view: &FaultView<'_>) -> Option<String> {
        self.theirs.receive("{", view).into_iter().find_map(|step| match step {
            Step::Reply(text) => Some(text),
            Step::Data { .. } | Step::Close(..) => None,
        })
    }

    /// Returns the records that arrive now.
    pub fn poll(&mut self, view: &FaultView<'_>) -> Vec<TickerRecord> {
        let mut records = Vec::new();
        loop {
            let Some(step) = self.sent.pop_front() else {
                self.sent.extend(self.theirs.poll(view));
                if self.sent.is_empty() {
                    return records;
                }
                continue;
            };
            let (Step::Data { body: text, .. } | Step::Reply(text)) = step else { panic!("{step:?}") };
            match self.ours.parse(&text).unwrap() {
                Incoming::Tickers(found) => records.extend(found),
                Incoming::Send(frames) => self.send(frames, view),
                Incoming::Reply(_) => {}
                unexpected => panic!("{unexpected:?}: {text}"),
            }
        }
    }
}
