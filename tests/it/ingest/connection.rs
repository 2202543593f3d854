//! One connection over an in-memory pipe with the clock paused: exact deadlines, and peers that vanish without closing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sisepan::clock::Clock;
use sisepan::feed::{Reason, ReasonCode};
use sisepan::ingest::{Command, Connection, ConnectionEnd, ConnectionEvents, Settings, SilenceVerdict};
use sisepan::market::Market;
use sisepan::venue::{Keepalive, Profile, Rate, TickerRecord, Venue};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};
use tokio_util::sync::CancellationToken;

use super::sessions::Talker;
use super::toy::{Toy, markets};

/// The connection events seen so far.
#[derive(Default)]
struct Seen {
    usable: usize,
    subscribed: Vec<Market>,
    hand_overs: usize,
    quiet: usize,
    rejected: Vec<&'static str>,
}

struct Recorder(Arc<Mutex<Seen>>);

impl ConnectionEvents for Recorder {
    fn subscribed(&mut self, markets: &[Market]) {
        self.0.lock().unwrap().subscribed.extend(markets.iter().cloned());
    }
    fn confirmed(&mut self, markets: Vec<Market>) {
        self.0.lock().unwrap().usable += markets.len();
    }
    fn rejected(&mut self, what: &'static str, _: &str) {
        self.0.lock().unwrap().rejected.push(what);
    }
    fn refused(&mut self, _: &str, _: &str) {}
    fn quiet(&mut self) {
        self.0.lock().unwrap().quiet += 1;
    }
    fn hand_over(&mut self, _: &str) {
        self.0.lock().unwrap().hand_overs += 1;
    }
}

struct Rig {
    peer: WebSocketStream<DuplexStream>,
    seen: Arc<Mutex<Seen>>,
    desired: watch::Sender<Arc<Vec<Market>>>,
    commands: mpsc::Sender<Command>,
    cancel: CancellationToken,
    clock: Clock,
    /// When silence was checked through REST.
    checks: Arc<Mutex<Vec<Duration>>>,
    end: tokio::task::JoinHandle<ConnectionEnd>,
}

/// Runs a connection to a peer over a pipe that holds `bytes`; every check of silence returns `verdict`.
async fn rig(symbols: &[&str], profile: Profile, verdict: SilenceVerdict, bytes: usize) -> Rig {
    rig_of(Toy::leak(profile), symbols, verdict, bytes).await
}

async fn rig_of(venue: &'static dyn Venue, symbols: &[&str], verdict: SilenceVerdict, bytes: usize) -> Rig {
    let (near, far) = tokio::io::duplex(bytes);
    let socket = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let peer = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
    let clock = Clock::tokio(jiff::Timestamp::UNIX_EPOCH);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (desired, desired_in) = watch::channel(Arc::new(markets(symbols)));
    let (commands, commands_in) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let checks = Arc::new(Mutex::new(Vec::new()));
    let (mut recorder, token, time, log) = (Recorder(seen.clone()), cancel.clone(), clock.clone(), checks.clone());
    let end = tokio::spawn(async move {
        let settings = Settings::defaults(venue.profile());
        let check_clock = time.clone();
        let check_silence = move |_: Vec<Market>| -> std::pin::Pin<Box<dyn Future<Output = SilenceVerdict> + Send>> {
            log.lock().unwrap().push(check_clock.monotonic());
            let verdict = verdict.clone();
            Box::pin(async move { verdict })
        };
        let confirmed = |records: Vec<TickerRecord>| {
            let usable = records.into_iter().filter(|record| record.ticker.is_ok());
            usable.flat_map(|record| markets(&[&record.symbol])).collect()
        };
        let connection = Connection {
            profile: venue.profile(),
            session: venue.session(),
            keepalive: venue.profile().keepalive,
            settings: &settings,
            clock: &time,
            host: "peer.example",
            deliver: &confirmed,
            verify_silence: &check_silence,
            desired: desired_in,
            commands: commands_in,
            cancel: token,
        };
        connection.run(socket, &mut recorder).await
    });
    Rig { peer, seen, desired, commands, cancel, clock, checks, end }
}

fn profile() -> Profile {
    Profile { silence_max: Duration::from_secs(10), ..Toy::profile() }
}

fn dead() -> SilenceVerdict {
    SilenceVerdict::Dead(Reason::new(ReasonCode::Silent, "missed a trade"))
}

fn ticker(price: u32) -> Message {
    Message::text(format!(r#"{{"t":[{{"s":"btc","p":"{price}","n":{price}}}]}}"#))
}

async fn text(peer: &mut WebSocketStream<DuplexStream>) -> String {
    loop {
        match peer.next().await.unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_02_a_half_open_connection_is_dropped_at_its_silence_deadline() {
    let mut rig = rig(&["btc"], profile(), dead(), 4096).await;
    text(&mut rig.peer).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    rig.peer.send(ticker(1)).await.unwrap();
    // From here on the peer neither reads nor writes nor closes.
    let ConnectionEnd(reason) = rig.end.await.unwrap();
    assert_eq!(reason.code, ReasonCode::Silent);
    let at = rig.clock.monotonic();
    assert!((Duration::from_secs(13)..Duration::from_millis(13_100)).contains(&at), "dropped at {at:?}");
}

#[tokio::test(start_paused = true)]
async fn in_02_a_peer_that_stops_reading_is_dropped_at_the_write_deadline() {
    let mut profile = profile();
    profile.keepalive = Keepalive::Text("a long text that fills the pipe before long", Duration::from_millis(100));
    profile.silence_max = Duration::from_secs(600);
    let rig = rig(&["btc"], profile, SilenceVerdict::Quiet, 64).await;
    let ConnectionEnd(reason) = rig.end.await.unwrap();
    assert_eq!(reason.code, ReasonCode::Timeout, "{reason}");
    assert!(rig.clock.monotonic() < Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn in_04_pongs_replies_and_unusable_records_do_not_extend_the_silence_deadline() {
    let mut rig = rig(&["btc"], profile(), dead(), 65_536).await;
    text(&mut rig.peer).await;
    rig.peer.send(ticker(1)).await.unwrap();
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.peer.send(Message::Ping(Vec::new().into())).await.unwrap();
        rig.peer.send(Message::Pong(Vec::new().into())).await.unwrap();
        rig.peer.send(Message::text(r#"{"ok":true}"#)).await.unwrap();
        rig.peer.send(Message::text(r#"{"t":[{"s":"btc"}]}"#)).await.unwrap();
    }
    rig.end.await.unwrap();
    assert!(rig.clock.monotonic() < Duration::from_millis(10_100), "{:?}", rig.clock.monotonic());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_kept_and_checked_once_per_silence_deadline() {
    let mut rig = rig(&["btc"], profile(), SilenceVerdict::Quiet, 4096).await;
    text(&mut rig.peer).await;
    rig.peer.send(ticker(1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert!(!rig.end.is_finished());
    let checks: Vec<u64> = rig.checks.lock().unwrap().iter().map(Duration::as_secs).collect();
    assert_eq!(checks, [10, 20, 30, 40]);
    assert_eq!(rig.seen.lock().unwrap().quiet, 4);
    rig.cancel.cancel();
    rig.end.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn in_03_a_subscription_without_data_is_sent_again_once_before_the_connection_is_dropped() {
    let mut rig = rig(&["btc"], profile(), dead(), 4096).await;
    assert_eq!(text(&mut rig.peer).await, r#"{"sub":["btc"]}"#);
    assert_eq!(text(&mut rig.peer).await, r#"{"sub":["btc"]}"#);
    assert_eq!(rig.clock.monotonic().as_secs(), 10);
    let ConnectionEnd(reason) = rig.end.await.unwrap();
    assert_eq!((reason.code, rig.clock.monotonic().as_secs()), (ReasonCode::Silent, 20));
}

#[tokio::test(start_paused = true)]
async fn in_08_in_09_a_ping_is_answered_at_once_with_its_exact_payload() {
    let mut rig = rig(&["btc"], profile(), SilenceVerdict::Quiet, 4096).await;
    text(&mut rig.peer).await;
    let payload = vec![0, 159, 146, 150, 255];
    rig.peer.send(Message::Ping(payload.clone().into())).await.unwrap();
    let before = rig.clock.monotonic();
    assert_eq!(rig.peer.next().await.unwrap().unwrap(), Message::Pong(payload.into()));
    assert_eq!(rig.clock.monotonic(), before);
    rig.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn in_09_our_pings_count_towards_the_frame_rate_limit() {
    let symbols: Vec<String> = (0..30).map(|at| format!("s{at}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let mut profile = profile();
    profile.keepalive = Keepalive::Ping(Duration::from_millis(700));
    profile.frames = const { &[Rate::per_second(4)] };
    let mut rig = rig(&symbols, profile, SilenceVerdict::Quiet, 65_536).await;
    let (mut at, mut pings) = (Vec::new(), 0);
    while at.len() < 30 {
        let message = rig.peer.next().await.unwrap().unwrap();
        pings += usize::from(message.is_ping());
        at.push(rig.clock.monotonic());
    }
    assert!(pings >= 5, "{pings} pings");
    for from in &at {
        let inside = at.iter().filter(|other| *other >= from && **other < *from + Duration::from_secs(1)).count();
        assert!(inside <= 4, "{inside} frames in a second");
    }
    rig.cancel.cancel();
}

/// Checks that no window of `rate` holds more frames than it allows.
fn check_rate(at: &[Duration], rate: Rate) {
    for from in at {
        let inside = at.iter().filter(|other| *other >= from && **other < *from + rate.window).count();
        assert!(inside <= rate.units as usize, "{inside} frames in {rate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_obey_every_window_of_their_limit() {
    const RATES: &[Rate] = &[Rate::per_second(5), Rate::per_minute(100)];
    let symbols: Vec<String> = (0..150).map(|at| format!("s{at}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let profile = Profile { frames: RATES, keepalive: Keepalive::Ping(Duration::from_secs(7)), ..profile() };
    let mut rig = rig(&symbols, profile, SilenceVerdict::Quiet, 65_536).await;
    let (mut at, mut subscriptions) = (Vec::new(), 0);
    while subscriptions < 150 {
        let message = rig.peer.next().await.unwrap().unwrap();
        subscriptions += usize::from(message.is_text());
        at.push(rig.clock.monotonic());
    }
    RATES.iter().for_each(|rate| check_rate(&at, *rate));
    // Half of both windows is used: 2 per second until 50 are spent, then 50 per minute.
    let whole = rig.clock.monotonic();
    assert!(whole < Duration::from_secs(200), "{whole:?}");
    rig.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_frames_to_answer_delays_no_price_and_exceeds_no_limit() {
    const STORM: usize = 5000;
    let rate = Rate::per_second(100);
    let profile = Profile { frames: const { &[Rate::per_second(100)] }, ..profile() };
    let mut rig = rig_of(Talker::leak(profile, false), &["btc"], SilenceVerdict::Quiet, 1 << 20).await;
    rig.peer.send(Message::text(r#"{"hello":"id1"}"#)).await.unwrap();
    assert_eq!(text(&mut rig.peer).await, r#"{"id":"id1","sub":["btc"]}"#);
    for at in 0..STORM {
        rig.peer.send(Message::text(format!(r#"{{"ping":{at}}}"#))).await.unwrap();
    }
    rig.peer.send(ticker(1)).await.unwrap();
    let seen = rig.seen.clone();
    let delivered = async {
        while seen.lock().unwrap().usable == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), delivered).await.expect("the price waits for the answers");
    let dropped = rig.seen.lock().unwrap().rejected.len();
    assert!(dropped > STORM / 2, "{dropped} answers are not kept");
    assert!(rig.seen.lock().unwrap().rejected.iter().all(|what| *what == "too-many-replies"));

    // The others are sent in order, within the limit.
    let mut at = vec![rig.clock.monotonic()];
    for expected in 0..STORM - dropped {
        assert_eq!(text(&mut rig.peer).await, format!(r#"{{"id":"id1","pong":{expected}}}"#));
        at.push(rig.clock.monotonic());
    }
    // The pipe held the first ones, whose time is not known: all within a second is too many.
    let took = rig.clock.monotonic();
    assert!(took >= Duration::from_secs((STORM - dropped) as u64 / 100), "{took:?} for {} answers", STORM - dropped);
    check_rate(&at[at.len() / 2..], rate);
    // Later pings are answered again.
    rig.peer.send(Message::text(r#"{"ping":"last"}"#)).await.unwrap();
    assert_eq!(text(&mut rig.peer).await, r#"{"id":"id1","pong":"last"}"#);
    rig.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn in_12_subscriptions_follow_the_desired_markets() {
    let mut rig = rig(&["a", "b"], profile(), SilenceVerdict::Quiet, 4096).await;
    text(&mut rig.peer).await;
    text(&mut rig.peer).await;
    rig.desired.send(Arc::new(markets(&["b", "c"]))).unwrap();
    assert_eq!(text(&mut rig.peer).await, r#"{"unsub":["a"]}"#);
    assert_eq!(text(&mut rig.peer).await, r#"{"sub":["c"]}"#);
    rig.commands.send(Command::Resubscribe(markets(&["c"]))).await.unwrap();
    assert_eq!(text(&mut rig.peer).await, r#"{"unsub":["c"]}"#);
    assert_eq!(text(&mut rig.peer).await, r#"{"sub":["c"]}"#);
    assert_eq!(rig.seen.lock().unwrap().subscribed, markets(&["a", "b", "c"]));
    rig.cancel.cancel();
    while let Some(Ok(message)) = rig.peer.next().await {
        assert!(message.is_close());
    }
    rig.end.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn in_10_a_hand_over_is_requested_in_the_last_fifth_of_the_lifetime() {
    let mut profile = profile();
    profile.lifetime = Some(Duration::from_secs(24 * 3600));
    profile.keepalive = Keepalive::ServerPings(Duration::from_secs(100 * 3600));
    let rig = rig(&["btc"], profile, SilenceVerdict::Quiet, 4096).await;
    tokio::time::sleep(Duration::from_secs(19 * 3600)).await;
    assert_eq!(rig.seen.lock().unwrap().hand_overs, 0);
    tokio::time::sleep(Duration::from_secs(9720)).await;
    assert_eq!(rig.seen.lock().unwrap().hand_overs, 1);
    rig.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn in_17_an_end_of_stream_within_a_frame_is_an_ordinary_close() {
    use tokio::io::AsyncWriteExt;
    let mut rig = rig(&["btc"], profile(), SilenceVerdict::Quiet, 4096).await;
    text(&mut rig.peer).await;
    rig.peer.get_mut().write_all(&[0x81, 0x7e, 0x01]).await.unwrap();
    drop(rig.peer);
    let ConnectionEnd(reason) = rig.end.await.unwrap();
    assert_eq!(reason.code, ReasonCode::Closed, "{reason}");
    assert!(reason.message.contains("peer.example"));
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_a_close_frame_is_reported_with_control_characters_escaped() {
    use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
    let mut rig = rig(&["btc"], profile(), SilenceVerdict::Quiet, 4096).await;
    text(&mut rig.peer).await;
    let frame = CloseFrame { code: CloseCode::Policy, reason: "too\u{1b}[2J many".into() };
    rig.peer.send(Message::Close(Some(frame))).await.unwrap();
    let ConnectionEnd(reason) = rig.end.await.unwrap();
    assert!(reason.message.contains("1008 too\\u{1b}[2J many"), "{reason}");
}
