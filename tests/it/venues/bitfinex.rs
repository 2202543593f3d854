//! Expected parse results of Bitfinex's payloads, and the behaviour of its sessions.

use sisepan::market::Market;
use sisepan::venue::{self, Incoming, Response, RestQuery, Session, Venue};

use super::PayloadKind::{Candles, Frame, FrameAfter, Markets, Sent, Tickers};
use super::{Expected, describe, expect, market, markets, parse_frame, parse_response};

pub const EXPECTED: &[Expected] = &[
    expect("ws-info.json", Frame, "reply info"),
    expect("ws-subscribe.json", Sent("BTC-USD"), "as we send it"),
    expect("ws-subscribed.json", FrameAfter("BTC-USD", &[]), "reply subscribed to tBTCUSD"),
    expect("ws-ticker.json", FrameAfter("BTC-USD", &["ws-info.json", "ws-subscribed.json"]), "tBTCUSD last=7348.6"),
    expect("ws-heartbeat.json", Frame, "reply heartbeat"),
    // The channel is open already: nothing is amiss.
    expect("ws-error.json", FrameAfter("BTC-USD", &["ws-subscribed.json"]), "reply 10301: subscribe: dup"),
    expect("ws-error-unknown-pair.json", Frame, "refused tNOPEUSD: 10300: symbol: invalid"),
    expect("ws-unsubscribed.json", Frame, "reply a channel is closed"),
    // Not the row of a funding currency.
    expect(
        "rest-tickers.json",
        Tickers("BTC-USD MATIC-USD"),
        "tBTCUSD last=83951
         tMATIC:USD last=0.18417",
    ),
    expect(
        "rest-candles.json",
        Candles("BTC-USD", 1_788_064_020),
        "2026-08-30T04:24:00Z 83930 83950 83921 83950 1.207850629999996 -
         2026-08-30T04:26:00Z 83950 83952 83949.5 83951 0.48123 -",
    ),
    expect(
        "rest-markets.json",
        Markets,
        "tBTCUSD BTC-USD
         tBTCUST BTC-USDT
         tUSTUSD USDT-USD
         tMATIC:USD MATIC-USD
         tALGUSD ALGO-USD
         tAMPUSD AMPL-USD
         tBCHN:USD BCH-USD
         rejected pair: unknown-name
         tTESTBTC:TESTUSD TESTBTC-TESTUSD",
    ),
    expect("rest-error.json", Candles("BTC-USD", 1_788_064_020), "error the exchange answered 10020: symbol: invalid"),
    expect("rest-error-rate-limited.json", Tickers("BTC-USD"), "error the exchange answered 11010: ratelimit: error"),
];

fn bitfinex() -> &'static dyn Venue {
    venue::find("bitfinex").unwrap()
}

/// Returns a session that is subscribed to these markets, with channels numbered from 1.
fn subscribed_to(listed: &[Market]) -> Box<dyn Session> {
    let mut session = bitfinex().session();
    session.subscribe(listed, &[]);
    for (channel, market) in (1..).zip(listed) {
        confirm(&mut *session, channel, &bitfinex().symbol(market));
    }
    session
}

fn confirm(session: &mut dyn Session, channel: u64, symbol: &str) -> Vec<String> {
    receive(session, &format!(r#"{{"event":"subscribed","channel":"ticker","chanId":{channel},"symbol":"{symbol}"}}"#))
}

fn receive(session: &mut dyn Session, text: &str) -> Vec<String> {
    describe(session.parse(text))
}

fn data(channel: u64, last: &str) -> String {
    format!("[{channel},[1,1,1,1,1,1,{last},1,1,1]]")
}

fn subscribe(symbol: &str) -> serde_json::Value {
    serde_json::json!({ "event": "subscribe", "channel": "ticker", "symbol": symbol })
}

fn unsubscribe(channel: u64) -> serde_json::Value {
    serde_json::json!({ "event": "unsubscribe", "chanId": channel })
}

fn frames(texts: &[String]) -> Vec<serde_json::Value> {
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn sent(incoming: Incoming) -> Vec<serde_json::Value> {
    let Incoming::Send(texts) = incoming else { panic!("nothing to send: {incoming:?}") };
    frames(&texts)
}

#[test]
fn each_market_has_a_channel_that_is_closed_by_its_number() {
    let (old, new) = (markets("BTC-USD ETH-USD"), markets("BTC-USD SOL-USD"));
    let mut session = bitfinex().session();
    assert_eq!(frames(&session.subscribe(&old, &[])), [subscribe("tBTCUSD"), subscribe("tETHUSD")]);
    confirm(&mut *session, 5, "tBTCUSD");
    confirm(&mut *session, 6, "tETHUSD");
    // First a channel is closed: there is a maximum number of them.
    assert_eq!(frames(&session.subscribe(&new, &old)), [unsubscribe(6), subscribe("tSOLUSD")]);
    // Before the confirmation arrives, another change does not close it again.
    assert_eq!(frames(&session.subscribe(&markets("BTC-USD"), &new)), Vec::<serde_json::Value>::new());
    assert_eq!(
        receive(&mut *session, r#"{"event":"unsubscribed","status":"OK","chanId":6}"#),
        ["reply a channel is closed"]
    );
    assert_eq!(receive(&mut *session, &data(5, "7")), ["tBTCUSD last=7"]);
}

#[test]
fn an_open_channel_that_is_requested_again_is_closed_first() {
    let listed = markets("BTC-USD ETH-USD");
    let mut session = subscribed_to(&listed);
    let again = [unsubscribe(1), subscribe("tBTCUSD")];
    assert_eq!(frames(&session.subscribe(&listed, &listed[1..])), again);
    confirm(&mut *session, 7, "tBTCUSD");
    assert_eq!(receive(&mut *session, &data(1, "9")), receive(&mut *session, "[99,[1,1,1,1,1,1,9,1,1,1]]"), "closed");
    assert_eq!(receive(&mut *session, &data(7, "9")), ["tBTCUSD last=9"]);
}

#[test]
fn a_name_that_bitfinex_gives_to_another_asset_is_not_used_for_ours() {
    for (market, symbol) in [("UST-USD", "t?UST:USD"), ("AMP-USD", "t?AMP:USD"), ("BTC-UST", "tBTC:?UST")] {
        assert_eq!(bitfinex().symbol(&market.parse().unwrap()), symbol);
    }
    let symbols = |text: &str| bitfinex().symbol(&text.parse().unwrap());
    assert_eq!([symbols("AMPL-USD"), symbols("BCH-USD")], ["tAMPUSD", "tBCHN:USD"]);
    let reads = |body: &str| parse_response(bitfinex(), &RestQuery::Markets, body);
    // Its own table says more than ours: the name of a coin that we take for another one.
    assert_eq!(reads(r#"[["ABCUSD"],[["ABC","XYZ"]]]"#), ["rejected pair: unknown-name"]);
    assert_eq!(reads(r#"[["BCHN:USD"],[["BCHN","OTHER"]]]"#), ["rejected pair: unknown-name"]);
    assert_eq!(reads(r#"[["BCHN:USD"],[["A","B"]]]"#), ["rejected pair: unknown-name"], "the table lacks it");
    let is_other_asset = |body: &str| match bitfinex().response(&RestQuery::Markets, body) {
        Ok(Response::Markets { listings, .. }) => listings[0].as_ref().is_err_and(|rejected| rejected.is_other_asset),
        other => panic!("{other:?}"),
    };
    for (body, expected) in [
        (r#"[["ABCUSD"],[["ABC","XYZ"]]]"#, true),
        (r#"[["BTC:ABCD"],[["ABCD","XYZ"]]]"#, true),
        (r#"[["BCHN:USD"],[["BCHN","OTHER"]]]"#, true),
        (r#"[["BCHN:USD"],[["A","B"]]]"#, false),
        (r#"[["ABCDUSD"],[["A","B"]]]"#, false),
    ] {
        assert_eq!(is_other_asset(body), expected, "{body}");
    }
    for body in [r#"[["BTCUSD"]]"#, r#"[["BTCUSD"],[]]"#, r#"[["BTCUSD"],[["A","B"],["C"]]]"#, r#"[["BTCUSD"],[7]]"#] {
        assert!(reads(body)[0].starts_with("error"), "the table is missing or damaged: {body}");
    }
}

#[test]
fn a_channel_that_is_not_wanted_any_more_is_closed_once_its_number_is_known() {
    let (both, one) = (markets("BTC-USD ETH-USD"), markets("BTC-USD"));
    let mut session = bitfinex().session();
    session.subscribe(&both, &[]);
    assert!(session.subscribe(&one, &both).is_empty(), "no number is known yet");
    let text = r#"{"event":"subscribed","channel":"ticker","chanId":8,"symbol":"tETHUSD","pair":"ETHUSD"}"#;
    assert_eq!(sent(session.parse(text).unwrap()), [unsubscribe(8)]);
    assert_eq!(receive(&mut *session, &data(8, "7")), ["reply data of no open channel"]);
    // Wanted again: a new channel.
    assert_eq!(frames(&session.subscribe(&both, &one)), [subscribe("tETHUSD")]);
    receive(&mut *session, r#"{"event":"unsubscribed","status":"OK","chanId":8}"#);
    assert_eq!(confirm(&mut *session, 9, "tETHUSD"), ["reply subscribed to tETHUSD"]);
    assert_eq!(receive(&mut *session, &data(9, "7")), ["tETHUSD last=7"]);
}

#[test]
fn data_of_a_channel_that_is_not_open_is_no_price() {
    let listed = markets("BTC-USD ETH-USD");
    let mut session = subscribed_to(&listed);
    assert_eq!(receive(&mut *session, &data(2, "7")), ["tETHUSD last=7"]);
    for other in [0, 3, u64::from(u32::MAX)] {
        assert_eq!(receive(&mut *session, &data(other, "7")), ["reply data of no open channel"], "{other}");
    }
    session.subscribe(&listed[..1], &listed);
    assert_eq!(receive(&mut *session, &data(2, "7")), ["reply data of no open channel"], "it is being closed");
    receive(&mut *session, r#"{"event":"unsubscribed","status":"OK","chanId":2}"#);
    assert_eq!(receive(&mut *session, &data(2, "7")), ["reply data of no open channel"], "it is closed");
    // The venue has closed this one of itself.
    receive(&mut *session, r#"{"event":"unsubscribed","status":"OK","chanId":1}"#);
    assert_eq!(receive(&mut *session, &data(1, "7")), ["reply data of no open channel"]);
    // Numbers are those of one connection.
    assert_eq!(parse_frame(bitfinex(), &data(1, "7")), ["reply data of no open channel"]);
}

#[test]
fn a_heartbeat_confirms_no_price() {
    let mut session = subscribed_to(&markets("BTC-USD"));
    assert_eq!(receive(&mut *session, r#"[1,"hb"]"#), ["reply heartbeat"]);
    assert_eq!(receive(&mut *session, r#"[99,"hb"]"#), ["reply heartbeat"]);
    assert_eq!(receive(&mut *session, r#"{"event":"pong","ts":1511545528111}"#), ["reply pong"]);
}

#[test]
fn frames_of_a_channel_that_cannot_be_read_are_errors_or_rejected_rows() {
    let mut session = subscribed_to(&markets("BTC-USD"));
    for (text, reads) in [
        ("[]", "error unreadable answer: expected a channel and its data"),
        ("[1]", "error unreadable answer: expected a channel and its data"),
        (r#"["x","hb"]"#, "error unreadable answer: chanId: malformed: \"x\""),
        ("[true,[1]]", "error unreadable answer: chanId: type: true"),
        ("[1.5,[1]]", "error unreadable answer: chanId: type: 1.5"),
        ("[null,[1]]", "reply data of no open channel"),
        ("[1,null]", "tBTCUSD rejected record: type"),
        (r#"[1,"cs"]"#, "tBTCUSD rejected record: type"),
        (r#"[1,{"last":7}]"#, "tBTCUSD rejected record: type"),
        ("[1,[]]", "tBTCUSD rejected record: type"),
        ("[1,[1,1,1,1,1,1,7,1,1]]", "tBTCUSD rejected record: type"),
        ("[1,[1,1,1,1,1,1,7,1,1,1,1]]", "tBTCUSD rejected record: type"),
        (r#"{"event":"subscribed","chanId":"x","symbol":"tBTCUSD"}"#, "unknown subscribed"),
        (r#"{"event":"subscribed","symbol":"tBTCUSD"}"#, "unknown subscribed"),
        (r#"{"event":"subscribed","chanId":7,"symbol":null}"#, "unknown subscribed"),
        (r#"{"event":"unsubscribed","chanId":"x"}"#, "reply a channel is closed"),
    ] {
        assert_eq!(receive(&mut *session, text), [reads], "{text}");
    }
    assert_eq!(receive(&mut *session, &data(1, "7")), ["tBTCUSD last=7"], "the channel is still open");
}

#[test]
fn notices_of_the_platform_are_read() {
    for (text, reads) in [
        (r#"{"event":"info","version":2,"platform":{"status":1}}"#, "reply info"),
        (r#"{"event":"info","version":2,"platform":{"status":0}}"#, "refused the platform is in maintenance"),
        (r#"{"event":"info","version":2}"#, "reply info"),
        (r#"{"event":"info","version":2,"platform":[0]}"#, "reply info"),
        (r#"{"event":"info","code":20051,"msg":"Stopping"}"#, "reconnect the server is about to restart"),
        (r#"{"event":"info","code":20060,"msg":"Maintenance"}"#, "refused maintenance has begun"),
        // Channels stay silent until they are opened again.
        (r#"{"event":"info","code":20061,"msg":"Maintenance end"}"#, "reconnect maintenance is over"),
        (r#"{"event":"info","code":99999,"msg":"?"}"#, "reply info"),
    ] {
        assert_eq!(parse_frame(bitfinex(), text), [reads], "{text}");
    }
}

#[test]
fn an_error_refuses_the_market_that_it_names() {
    for (members, reads) in [
        (r#""symbol":"tNOPEUSD","pair":"NOPEUSD","code":10300"#, "refused tNOPEUSD: 10300: no"),
        // Old frames have the pair alone.
        (r#""pair":"NOPEUSD","code":10300"#, "refused tNOPEUSD: 10300: no"),
        (r#""symbol":null,"pair":"NOPE:USD","code":10300"#, "refused tNOPE:USD: 10300: no"),
        (r#""symbol":"tBTCUSD","code":10305"#, "refused tBTCUSD: 10305: no"),
        (r#""code":10000"#, "refused 10000: no"),
        (r#""symbol":"","pair":7,"code":10300"#, "refused 10300: no"),
        (r#""symbol":"tBTCUSD","code":10301"#, "reply 10301: no"),
    ] {
        let text = format!(r#"{{"event":"error","msg":"no","channel":"ticker",{members}}}"#);
        assert_eq!(parse_frame(bitfinex(), &text), [reads], "{members}");
    }
    // The symbol is the one that was sent, so that the market is found by it.
    let text = r#"{"event":"error","msg":"symbol: invalid","code":10300,"pair":"BTCUST"}"#;
    let Ok(Incoming::RefusedMarket { symbol, .. }) = bitfinex().session().parse(text) else { panic!() };
    assert_eq!(symbol, bitfinex().symbol(&market("BTC-USDT")));
}

/// A part of Bitfinex's table of names.
const NAMES: &str = r#"[["UST","USDt"],["UDC","USDC"],["DSH","DASH"],["IOT","IOTA"],["ATO","ATOM"]]"#;

#[test]
fn names_of_its_own_are_translated_both_ways() {
    for (name, symbol) in [
        ("BTC-USD", "tBTCUSD"),
        ("BTC-USDT", "tBTCUST"),
        ("USDT-USD", "tUSTUSD"),
        ("USDC-USDT", "tUDCUST"),
        ("MATIC-USD", "tMATIC:USD"),
        ("MATIC-USDT", "tMATIC:UST"),
        ("BTC-TESTUSD", "tBTC:TESTUSD"),
        ("DASH-BTC", "tDSHBTC"),
        ("IOTA-USD", "tIOTUSD"),
        ("ATOM-USD", "tATOUSD"),
        ("DOGE-USD", "tDOGE:USD"),
        ("AB-USD", "tABUSD"),
    ] {
        let listed = market(name);
        assert_eq!(bitfinex().symbol(&listed), symbol);
        let pair = symbol.trim_start_matches('t');
        let read = parse_response(bitfinex(), &RestQuery::Markets, &format!(r#"[["{pair}"],{NAMES}]"#));
        // Without a colon, both names have three letters.
        let is_readable = pair.contains(':') || pair.len() == 6;
        let expected = if is_readable { format!("{symbol} {name}") } else { "rejected pair: symbol".to_owned() };
        assert_eq!(read, [expected]);
        let row = format!(r#"[["{symbol}",1,1,1,1,1,1,7,1,1,1]]"#);
        let read = parse_response(bitfinex(), &RestQuery::Tickers(std::slice::from_ref(&listed)), &row);
        assert_eq!(read, [format!("{symbol} last=7")]);
    }
}

/// The figures of a row that have no part in its price may have any value.
#[test]
fn only_the_symbol_and_the_last_price_of_a_row_can_reject_it() {
    let odd = [
        "null",
        "true",
        "\"NaN\"",
        "\"\"",
        "-1",
        "0",
        "1e300",
        "[]",
        "{}",
        "99999999999999999999999999999999999999999999",
    ];
    let one = markets("BTC-USD");
    let ok = ("\"tBTCUSD\"", "7");
    let rest = |symbol: &str, at: usize, odd: &str| {
        let mut cells = vec![symbol, "1", "1", "1", "1", "1", "1", ok.1, "1", "1", "1"];
        cells[at] = odd;
        let body =
            format!(r#"[["tETHUSD",1,1,1,1,1,1,9,1,1,1],[{}],["tSOLUSD",1,1,1,1,1,1,8,1,1,1]]"#, cells.join(","));
        let rows = parse_response(bitfinex(), &RestQuery::Tickers(&one), &body);
        assert_eq!((rows.len(), &*rows[0], &*rows[2]), (3, "tETHUSD last=9", "tSOLUSD last=8"), "{odd} at {at}");
        rows[1].clone()
    };
    for odd in odd {
        for at in [1, 2, 3, 4, 5, 6, 8, 9, 10] {
            assert_eq!(rest(ok.0, at, odd), "tBTCUSD last=7", "{odd} at {at}");
            let mut cells = ["1", "1", "1", "1", "1", "1", ok.1, "1", "1", "1"];
            cells[at - 1] = odd;
            let text = format!("[1,[{}]]", cells.join(","));
            let mut session = subscribed_to(&one);
            assert_eq!(receive(&mut *session, &text), ["tBTCUSD last=7"], "{odd} at {at}");
        }
    }
    for (odd, problem) in [
        ("null", "null"),
        ("true", "type"),
        ("\"NaN\"", "malformed"),
        ("\"\"", "empty"),
        ("-1", "not-positive"),
        ("0", "not-positive"),
        ("1e300", "exponent"),
        ("[]", "type"),
        ("{}", "type"),
        ("99999999999999999999999999999999999999999999", "too-long"),
    ] {
        assert_eq!(rest(ok.0, 7, odd), format!("tBTCUSD rejected last: {problem}"), "{odd}");
    }
    for (odd, problem) in [("null", "type"), ("7", "type"), ("[]", "type"), ("\"\"", "symbol")] {
        assert_eq!(rest(ok.0, 0, odd), format!("rejected symbol: {problem}"), "{odd}");
    }
    let lengths = [
        "[]",
        r#"["tBTCUSD"]"#,
        r#"["tBTCUSD",1,1,1,1,1,1,7,1,1]"#,
        r#"["tBTCUSD",1,1,1,1,1,1,7,1,1,1,1]"#,
        "{}",
        "null",
    ];
    for row in lengths {
        let Ok(Response::Tickers(records)) = bitfinex().response(&RestQuery::Tickers(&one), &format!("[{row}]")) else {
            panic!("{row}")
        };
        let rejection = records[0].ticker.as_ref().unwrap_err().to_string();
        assert_eq!((records.len(), rejection.as_str()), (1, "record: type"), "{row}");
    }
}

#[test]
fn an_error_is_one_whatever_was_requested() {
    let one = market("BTC-USD");
    for query in [
        RestQuery::Markets,
        RestQuery::Tickers(std::slice::from_ref(&one)),
        RestQuery::Candles { market: &one, end: sisepan::market::Minute(1), count: 1 },
    ] {
        let body = r#"["error",10020,"symbol: invalid"]"#;
        assert_eq!(parse_response(bitfinex(), &query, body), ["error the exchange answered 10020: symbol: invalid"]);
        assert_eq!(parse_response(bitfinex(), &query, r#"["error",null,null]"#), ["error the exchange answered : "]);
    }
}
