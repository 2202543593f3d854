//! Expected parse results of KuCoin's payloads, and the behaviour of its sessions.

use sisepan::market::Market;
use sisepan::venue::{self, Incoming, RestQuery, Session, Venue};

use super::PayloadKind::{Candles, Frame, FrameAfter, Markets, Opening, Sent, Tickers};
use super::{
    Expected, WELCOME, describe, expect, market, markets, opening, parse_frame, parse_response, snapshot, welcomed,
};

pub const EXPECTED: &[Expected] = &[
    expect(
        "rest-bullet-public.json",
        Opening,
        r#"wss://ws-api-spot.kucoin.com/?token=2neAiuYvAU61ZDXANAGAsiL4-iAExhsBXZxftpOeh_55i3Ysy2q2LEsEWU64mdzUOPusi34M_wGoSf7iNyEWJ6dACm4ny9vJtLTRq_YsRUlG5ADnAawegdiYB9J6i9GjsxUuhPw3BlrzazF6ghq4L_u0MhKxG3x8TeN4aVbNiYo%3D.mvnekBb8DJegZIgYLs2FBQ%3D%3D&connectId=sisepan
           {"id":"ping","type":"ping"} every 9s"#,
    ),
    expect("ws-subscribe.json", Sent("BTC-USDT"), "as we send it"),
    expect(
        "ws-welcome.json",
        FrameAfter("BTC-USDT", &[]),
        r#"send {"id":"1","type":"subscribe","topic":"/market/snapshot:BTC-USDT","response":true}"#,
    ),
    expect("ws-subscribe-ack.json", FrameAfter("BTC-USDT", &["ws-welcome.json"]), "reply request 1 is done"),
    expect(
        "ws-error.json",
        FrameAfter("BTC-USDT", &["ws-welcome.json"]),
        "refused 404: topic /market/nope is not found",
    ),
    expect(
        "ws-ticker.json",
        FrameAfter("BTC-USDT", &["ws-welcome.json", "ws-subscribe-ack.json"]),
        "BTC-USDT last=29920.1 sent=1654165082007 high=31901.40000000000000000000 low=29299.90000000000000000000 \
         base_volume=21637.26053196000000000000 quote_volume=657871182.64000021200000000000 \
         base=31610.00000000000000000000 halted=false",
    ),
    expect("ws-ticker-level1.json", Frame, "unknown MOG-USDT"),
    expect(
        "rest-tickers.json",
        Tickers("BTC-USDT CLANKER-USDT"),
        "CLANKER-USDT last=14.003 sent=1787422576931 high=15.262 low=13.478 base_volume=6690.32 \
         quote_volume=95610.674 base=13.708",
    ),
    expect(
        "rest-stats.json",
        Tickers("BTC-USDT"),
        "BTC-USDT last=77260.8 sent=1787422576250 high=78816.1 low=76486.5 \
         base_volume=4235.44939602823015530496 quote_volume=328310222.58644865499392928052 base=77342.8",
    ),
    expect("rest-stats-nulls.json", Tickers("NOPE-XXX"), "NOPE-XXX rejected last: null"),
    expect("rest-prices.json", Tickers("BTC-USDT GRAM-USDT"), "rejected symbol: missing"),
    // Without the envelope of the wire.
    expect(
        "rest-candles-docs-row.json",
        Candles("BTC-USDT", 1_545_905_040),
        "error unreadable answer: expected an object, got a list",
    ),
    expect(
        "rest-candles.json",
        Candles("BTC-USDT", 1_545_905_040),
        "2018-12-27T10:01:00Z 0.05810000 0.05820000 0.05790000 0.05800000 0.01234567890123456789 0.000717
         2018-12-27T10:03:00Z 0.058 0.058 0.049 0.049 0.018 0.000945",
    ),
    expect("rest-market-excerpt.json", Markets, "BTC-USDT BTC-USDT step=0.1"),
    expect(
        "rest-markets.json",
        Markets,
        "BTC-USDT BTC-USDT step=0.1
         LUNC-USDT LUNC-USDT step=0.00000001 halted",
    ),
    expect("rest-error.json", Tickers("BTC-USDT"), "error the exchange answered 429000: Too Many Requests"),
    expect(
        "rest-error-http200.json",
        Candles("BTC-USDT", 1_545_905_040),
        "error the exchange answered 400100: Incorrect candlestick type.",
    ),
];

fn kucoin() -> &'static dyn Venue {
    venue::find("kucoin").unwrap()
}

fn receive(session: &mut dyn Session, text: &str) -> Vec<String> {
    describe(session.parse(text))
}

fn error(id: &str, code: u32, what: &str) -> String {
    format!(r#"{{"id":"{id}","type":"error","code":{code},"data":"{what}"}}"#)
}

/// Returns id, type and symbols of each frame.
fn topics(frames: &[String]) -> Vec<(String, String, String)> {
    let read = |frame: &String| {
        let frame: serde_json::Value = serde_json::from_str(frame).unwrap();
        assert_eq!(frame["response"], true, "without an answer, a refusal would go unseen");
        let text = |name: &str| frame[name].as_str().unwrap().to_owned();
        (text("id"), text("type"), text("topic").strip_prefix("/market/snapshot:").unwrap().to_owned())
    };
    frames.iter().map(read).collect()
}

fn topic(id: &str, kind: &str, symbols: &str) -> (String, String, String) {
    (id.to_owned(), kind.to_owned(), symbols.to_owned())
}

fn sent(incoming: Incoming) -> Vec<(String, String, String)> {
    let Incoming::Send(frames) = incoming else { panic!("nothing to send: {incoming:?}") };
    topics(&frames)
}

#[test]
fn nothing_is_sent_before_the_welcome() {
    let (old, new) = (markets("BTC-USDT ETH-USDT"), markets("BTC-USDT SOL-USDT"));
    let mut session = kucoin().session();
    assert!(session.subscribe(&old, &[]).is_empty());
    assert!(session.subscribe(&new, &old).is_empty());
    let waiting = sent(session.parse(WELCOME).unwrap());
    assert_eq!(
        waiting,
        [
            topic("1", "subscribe", "BTC-USDT,ETH-USDT"),
            topic("2", "unsubscribe", "ETH-USDT"),
            topic("3", "subscribe", "SOL-USDT"),
        ]
    );
    // Afterwards at once, and nothing twice.
    assert!(sent(session.parse(WELCOME).unwrap()).is_empty());
    assert_eq!(
        topics(&session.subscribe(&old, &new)),
        [topic("4", "unsubscribe", "SOL-USDT"), topic("5", "subscribe", "ETH-USDT"),]
    );
}

#[test]
fn a_topic_has_at_most_a_hundred_symbols() {
    let listed: Vec<Market> = (0..250).map(|n| Market::new(&format!("A{n}"), "USDT").unwrap()).collect();
    let mut session = welcomed(kucoin());
    for (frames, kind) in
        [(session.subscribe(&listed, &[]), "subscribe"), (session.subscribe(&[], &listed), "unsubscribe")]
    {
        let frames = topics(&frames);
        assert!(frames.iter().all(|frame| frame.1 == kind), "{frames:?}");
        let symbols: Vec<Vec<&str>> = frames.iter().map(|frame| frame.2.split(',').collect()).collect();
        assert_eq!(symbols.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
        let expected: Vec<String> = listed.iter().map(|market| kucoin().symbol(market)).collect();
        assert_eq!(symbols.concat(), expected);
    }
}

#[test]
fn the_symbols_of_a_refused_topic_are_requested_one_by_one() {
    let listed = markets("BTC-USDT NOPE-USDT ETH-USDT");
    let mut session = welcomed(kucoin());
    session.subscribe(&listed, &[]);
    let again = sent(session.parse(&error("1", 404, "topic is not found")).unwrap());
    assert_eq!(
        again,
        [
            topic("2", "subscribe", "BTC-USDT"),
            topic("3", "subscribe", "NOPE-USDT"),
            topic("4", "subscribe", "ETH-USDT"),
        ]
    );
    assert_eq!(receive(&mut *session, r#"{"id":"2","type":"ack"}"#), ["reply request 2 is done"]);
    assert_eq!(
        receive(&mut *session, &error("3", 404, "topic is not found")),
        ["refused NOPE-USDT: 404: topic is not found"]
    );
    assert_eq!(receive(&mut *session, r#"{"id":"4","type":"ack"}"#), ["reply request 4 is done"]);
    // Each answer settles its request: a second one has nothing to refuse.
    for id in ["1", "2", "3", "4"] {
        assert_eq!(receive(&mut *session, &error(id, 404, "x")), ["refused 404: x"], "{id}");
    }
}

#[test]
fn a_symbol_removed_before_its_topic_is_refused_is_not_requested_again() {
    let listed = markets("BTC-USDT NOPE-USDT ETH-USDT");
    let mut session = welcomed(kucoin());
    session.subscribe(&listed, &[]);
    session.subscribe(&listed[..2], &listed);
    let again = sent(session.parse(&error("1", 404, "topic is not found")).unwrap());
    assert_eq!(again, [topic("3", "subscribe", "BTC-USDT"), topic("4", "subscribe", "NOPE-USDT")]);
}

#[test]
fn answers_and_errors_are_read() {
    for (text, reads) in [
        (r#"{"id":"ping","type":"pong","timestamp":1}"#, "reply pong"),
        (r#"{"id":"7","type":"ack"}"#, "reply request 7 is done"),
        (r#"{"type":"ack"}"#, "reply request  is done"),
        (r#"{"id":"7","type":"error","code":401,"data":"token is invalid"}"#, "refused 401: token is invalid"),
        (r#"{"type":"error"}"#, "refused : "),
        (r#"{"id":null,"type":"error","code":"509","data":{"a":1}}"#, r#"refused 509: {"a":1}"#),
        (r#"{"id":"7","type":"disconnect"}"#, "unknown disconnect"),
        ("[]", "error unreadable answer: expected an object, got a list"),
    ] {
        assert_eq!(parse_frame(kucoin(), text), [reads], "{text}");
    }
    // An error for another request does not refuse the subscription.
    let mut session = welcomed(kucoin());
    session.subscribe(&markets("BTC-USDT"), &[]);
    assert_eq!(receive(&mut *session, &error("ping", 400, "x")), ["refused 400: x"]);
    assert_eq!(receive(&mut *session, &error("1", 404, "x")), ["refused BTC-USDT: 404: x"]);
}

fn bullet(members: &str) -> Vec<String> {
    opening(kucoin(), &format!(r#"{{"code":"200000","data":{{{members}}}}}"#))
}

const SERVER: &str = r#"{"endpoint":"wss://a.example/endpoint","pingInterval":18000}"#;

#[test]
fn the_endpoint_and_the_token_make_the_url() {
    let url = |token: &str, endpoint: &str| {
        bullet(&format!(r#""token":"{token}","instanceServers":[{{"endpoint":"{endpoint}"}}]"#)).remove(0)
    };
    assert_eq!(url("abc", "wss://a.example/endpoint"), "wss://a.example/endpoint?token=abc&connectId=sisepan");
    // What would end the token early is encoded.
    assert_eq!(
        url("a+b/c==&x=1#\\u00e9 %", "wss://a.example"),
        "wss://a.example/?token=a%2Bb%2Fc%3D%3D%26x%3D1%23%C3%A9+%25&connectId=sisepan"
    );
    assert_eq!(url("abc", "wss://a.example/?v=1"), "wss://a.example/?v=1&token=abc&connectId=sisepan");
    // The first server is taken.
    let both = bullet(&format!(r#""token":"t","instanceServers":[{SERVER},{{"endpoint":"wss://b.example"}}]"#));
    assert!(both[0].starts_with("wss://a.example/"), "{both:?}");
}

#[test]
fn pings_are_sent_twice_in_the_interval() {
    let keepalive = |interval: &str| {
        let server = format!(r#"{{"endpoint":"wss://a.example"{interval}}}"#);
        bullet(&format!(r#""token":"t","instanceServers":[{server}]"#)).remove(1)
    };
    let every = |time: &str| format!(r#"{{"id":"ping","type":"ping"}} every {time}"#);
    assert_eq!(keepalive(r#","pingInterval":18000"#), every("9s"));
    assert_eq!(keepalive(r#","pingInterval":"50000""#), every("25s"));
    assert_eq!(keepalive(r#","pingInterval":1001"#), every("500ms"));
    // That of the profile instead.
    for none in
        ["", r#","pingInterval":null"#, r#","pingInterval":0"#, r#","pingInterval":-1"#, r#","pingInterval":9e9"#]
    {
        assert_eq!(keepalive(none), "None", "{none}");
    }
}

#[test]
fn an_endpoint_that_cannot_be_read_is_an_error_that_names_the_member() {
    let with = |server: &str| format!(r#""token":"t","instanceServers":[{server}]"#);
    for (members, message) in [
        (String::new(), "it has no token"),
        (format!(r#""instanceServers":[{SERVER}]"#), "it has no token"),
        (format!(r#""token":null,"instanceServers":[{SERVER}]"#), "it has no token"),
        (format!(r#""token":"","instanceServers":[{SERVER}]"#), "it has no token"),
        (format!(r#""token":7,"instanceServers":[{SERVER}]"#), "its token is not a text"),
        (r#""token":"t""#.to_owned(), "it has no instanceServers"),
        (r#""token":"t","instanceServers":null"#.to_owned(), "it has no instanceServers"),
        (r#""token":"t","instanceServers":[]"#.to_owned(), "it has no instanceServers"),
        (r#""token":"t","instanceServers":7"#.to_owned(), "instanceServers: type: 7"),
        (r#""token":"t","instanceServers":{"0":1}"#.to_owned(), "instanceServers: type: {\"0\":1}"),
        (with("null"), "instanceServers: type: [null]"),
        (with(r#"["x"]"#), "instanceServers: type: [[\"x\"]]"),
        (with("{}"), "it has no endpoint"),
        (with(r#"{"endpoint":null}"#), "it has no endpoint"),
        (with(r#"{"endpoint":""}"#), "it has no endpoint"),
        (with(r#"{"endpoint":[1]}"#), "endpoint: type: [1]"),
        (with(r#"{"endpoint":"a.example"}"#), "its endpoint: relative URL without a base"),
        (with(r#"{"endpoint":"wss://a.example","pingInterval":"soon"}"#), "pingInterval: malformed: \"soon\""),
        (with(r#"{"endpoint":"wss://a.example","pingInterval":true}"#), "pingInterval: type: true"),
        (with(r#"{"endpoint":"wss://a.example","pingInterval":1.5}"#), "pingInterval: type: 1.5"),
    ] {
        assert_eq!(bullet(&members), [format!("error unreadable answer: {message}")], "{members}");
    }
    for (body, message) in [
        (r#"{"code":"429000","msg":"Too Many Requests"}"#, "the exchange answered 429000: Too Many Requests"),
        (r#"{"code":"200000"}"#, "unreadable answer: it has no data"),
        (r#"{"code":"200000","data":[]}"#, "unreadable answer: expected an object, got a list"),
        ("<html>", "unreadable answer: it is an HTML page"),
    ] {
        assert_eq!(opening(kucoin(), body), [format!("error {message}")], "{body}");
    }
}

#[test]
fn an_error_is_one_whatever_the_http_status_was() {
    let one = market("BTC-USDT");
    for query in [
        RestQuery::Markets,
        RestQuery::Tickers(std::slice::from_ref(&one)),
        RestQuery::Candles { market: &one, end: sisepan::market::Minute(1), count: 1 },
    ] {
        for (body, reads) in [
            (r#"{"code":"400100","msg":"Bad"}"#, "error the exchange answered 400100: Bad"),
            (r#"{"code":"400100","msg":"Bad","data":[]}"#, "error the exchange answered 400100: Bad"),
            (r#"{"code":900001,"msg":null}"#, "error the exchange answered 900001: "),
            (r#"{"msg":"Bad"}"#, "error unreadable answer: it has no code"),
            (r#"{"code":"200000"}"#, "error unreadable answer: it has no data"),
            (r#"{"code":"200000","data":null}"#, "error unreadable answer: it has no data"),
        ] {
            assert_eq!(parse_response(kucoin(), &query, body), [reads], "{body}");
        }
    }
}

#[test]
fn a_response_for_several_markets_is_reduced_to_the_requested_ones() {
    let row = |symbol: &str, last: &str| format!(r#"{{"symbol":"{symbol}","last":{last}}}"#);
    let rows = [row("BTC-USDT", "7"), row("ETH-USDT", "null"), row("SOL-USDT", "9"), row("", "1"), "7".to_owned()];
    let body = format!(r#"{{"code":"200000","data":{{"time":1787422576931,"ticker":[{}]}}}}"#, rows.join(","));
    assert_eq!(
        parse_response(kucoin(), &RestQuery::Tickers(&markets("ETH-USDT BTC-USDT")), &body),
        [
            "BTC-USDT last=7 sent=1787422576931",
            "ETH-USDT rejected last: null",
            // Rows without a symbol may be anyone's.
            "rejected symbol: symbol",
            "rejected record: type",
        ]
    );
}

#[test]
fn the_base_is_the_open_or_the_last_price_minus_the_change() {
    let with = |members: &str| {
        let data = format!(r#""symbol":"BTC-USDT","last":"100","changeRate":"0.5"{members}"#);
        let body = format!(r#"{{"code":"200000","data":{{{data}}}}}"#);
        let streamed = snapshot(&data.replace(r#""last""#, r#""lastTradedPrice""#));
        let Ok(Incoming::Tickers(records)) = kucoin().session().parse(&streamed) else { panic!("{streamed}") };
        let sisepan::venue::Response::Tickers(rest) =
            kucoin().response(&RestQuery::Tickers(&markets("BTC-USDT")), &body).unwrap()
        else {
            panic!("{body}")
        };
        let figures = |record: &venue::TickerRecord| {
            let base = record.ticker.as_ref().unwrap().base_24h.map(|base| base.to_string()).unwrap_or_default();
            (base, record.ignored_fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(figures(&records[0]), figures(&rest[0]), "{members}");
        figures(&rest[0])
    };
    for (members, base, ignored) in [
        // The fraction alone gives no base.
        ("", "", ""),
        (r#","open":"80""#, "80", ""),
        (r#","changePrice":"20""#, "80", ""),
        (r#","changePrice":"-20""#, "120", ""),
        (r#","changePrice":0"#, "100", ""),
        (r#","open":"80","changePrice":"20""#, "80", ""),
        (r#","open":"80.00000000000000000000","changePrice":20.00000000000000000000"#, "80.00000000000000000000", ""),
        (r#","open":"80","changePrice":"21""#, "", "open: contradiction"),
        (r#","open":"80","changePrice":"-20""#, "", "open: contradiction"),
        (r#","open":"80","changePrice":"x""#, "80", ""),
        (r#","open":null,"changePrice":"20""#, "80", ""),
        (r#","open":"0","changePrice":"20""#, "", ""),
        (r#","open":"","changePrice":"20""#, "", ""),
        (r#","open":"x","changePrice":"20""#, "", "open: malformed"),
        (r#","changePrice":"x""#, "", "changePrice: malformed"),
        (r#","changePrice":[]"#, "", "changePrice: type"),
        (r#","changePrice":"100""#, "", "changePrice: contradiction"),
        (r#","changePrice":"101""#, "", "changePrice: contradiction"),
    ] {
        assert_eq!(with(members), (base.to_owned(), ignored.to_owned()), "{members}");
    }
    // Outside of the range since then.
    assert_eq!(with(r#","high":"110","low":"90","open":"80""#), (String::new(), "open: contradiction".to_owned()));
    assert_eq!(with(r#","high":"110","low":"90","changePrice":20"#).1, "changePrice: contradiction");
    assert_eq!(with(r#","high":"99","open":"80""#), ("80".to_owned(), "high: contradiction".to_owned()));
}

#[test]
fn a_frame_without_its_data_is_a_rejected_record() {
    for data in ["", r#","data":null"#, r#","data":7"#, r#","data":{}"#, r#","data":{"data":null}"#, r#","data":[]"#] {
        let text = format!(r#"{{"type":"message","subject":"trade.snapshot"{data}}}"#);
        assert_eq!(parse_frame(kucoin(), &text), ["rejected data: missing"], "{data}");
    }
    for data in ["7", "[]", "[1]", r#""x""#, r#"{"symbol":"A","symbol":"B"}"#] {
        let text = format!(r#"{{"type":"message","subject":"trade.snapshot","data":{{"data":{data}}}}}"#);
        assert_eq!(parse_frame(kucoin(), &text), ["rejected record: type"], "{data}");
    }
    for (members, reads) in [
        ("", "rejected symbol: missing"),
        (r#""symbol":null"#, "rejected symbol: type"),
        (r#""symbol":"""#, "rejected symbol: symbol"),
        (r#""symbol":"A-USDT""#, "A-USDT rejected lastTradedPrice: missing"),
        (r#""symbol":"A-USDT","lastTradedPrice":1,"datetime":"x""#, "A-USDT rejected datetime: malformed"),
    ] {
        assert_eq!(parse_frame(kucoin(), &snapshot(members)), [reads], "{members}");
    }
}

/// Its stream writes 20 decimals; a figure that has too many digits then is left out, a price with them is rejected.
#[test]
fn numbers_with_twenty_decimals_are_exact() {
    let read = |last: &str, vol: &str| {
        parse_frame(kucoin(), &snapshot(&format!(r#""symbol":"A-USDT","lastTradedPrice":{last},"vol":{vol}"#)))
            .remove(0)
    };
    let zeros = "0".repeat(20);
    let (last, vol) = (format!("792281624.{zeros}"), "123456789.12345678901234567890");
    assert_eq!(read(&last, vol), format!("A-USDT last={last} base_volume={vol}"));
    assert_eq!(read("0.00000000000000000001", "1"), "A-USDT last=0.00000000000000000001 base_volume=1");
    let long = "1234567890.12345678901234567891";
    assert_eq!(read("1", long), "A-USDT last=1");
    assert_eq!(read(long, "1"), "A-USDT rejected lastTradedPrice: inexact");
}
