//! REST requests, subscriptions, and the profiles of the exchanges.

use std::collections::BTreeSet;

use sisepan::market::{Market, Minute};
use sisepan::venue::{self, Endpoint, Keepalive, Method, Request, RestQuery, Venue};

use super::{market, markets, parse_response, subscribe, welcomed};

/// 2026-08-30T04:27:00Z.
const END: Minute = Minute(1_788_064_020 / 60);

fn path(venue: &dyn Venue, query: &RestQuery<'_>) -> String {
    venue.request(query).unwrap().path
}

fn find(id: &str) -> &'static dyn Venue {
    venue::find(id).unwrap()
}

#[test]
fn requests_have_their_documented_form() {
    let (pair, one) = (markets("BTC-KRW ETH-KRW"), market("BTC-KRW"));
    let candles = RestQuery::Candles { market: &one, end: END, count: 1 };

    let upbit = find("upbit");
    assert_eq!(path(upbit, &RestQuery::Markets), "/v1/market/all?is_details=true");
    assert_eq!(path(upbit, &RestQuery::Tickers(&pair)), "/v1/ticker?markets=KRW-BTC,KRW-ETH");
    assert_eq!(path(upbit, &RestQuery::TickSizes(&pair)), "/v1/orderbook/instruments?markets=KRW-BTC,KRW-ETH");
    assert_eq!(path(upbit, &candles), "/v1/candles/minutes/1?market=KRW-BTC&to=2026-08-30T04:27:00Z&count=1");

    let bithumb = find("bithumb");
    assert_eq!(path(bithumb, &RestQuery::Markets), "/v1/market/all?isDetails=true");
    assert_eq!(path(bithumb, &RestQuery::Tickers(&pair)), "/v1/ticker?markets=KRW-BTC,KRW-ETH");
    assert_eq!(path(bithumb, &candles), "/v1/candles/minutes/1?market=KRW-BTC&to=2026-08-30%2013:27:00&count=1");

    let (binance, usdt) = (find("binance"), market("BTC-USDT"));
    let (pair, candles) = (markets("BTC-USDT ETH-USDT"), RestQuery::Candles { market: &usdt, end: END, count: 5000 });
    assert_eq!(path(binance, &RestQuery::Markets), "/api/v3/exchangeInfo?showPermissionSets=false");
    let symbols = "%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D";
    assert_eq!(path(binance, &RestQuery::Tickers(&pair)), format!("/api/v3/ticker/24hr?symbols={symbols}"));
    assert_eq!(path(binance, &candles), "/api/v3/klines?symbol=BTCUSDT&interval=1m&endTime=1788064019999&limit=1000");

    let (bitfinex, usd) = (find("bitfinex"), market("BTC-USD"));
    let (pair, candles) = (markets("BTC-USD MATIC-USDT"), RestQuery::Candles { market: &usd, end: END, count: 20_000 });
    assert_eq!(path(bitfinex, &RestQuery::Markets), "/v2/conf/pub:list:pair:exchange,pub:map:currency:sym");
    assert_eq!(path(bitfinex, &RestQuery::Tickers(&pair)), "/v2/tickers?symbols=tBTCUSD,tMATIC:UST");
    assert_eq!(path(bitfinex, &candles), "/v2/candles/trade:1m:tBTCUSD/hist?end=1788064019999&limit=10000");

    let kucoin = find("kucoin");
    let (pair, candles) = (markets("BTC-USDT ETH-USDT"), RestQuery::Candles { market: &usdt, end: END, count: 1 });
    assert_eq!(path(kucoin, &RestQuery::Markets), "/api/v2/symbols");
    assert_eq!(path(kucoin, &RestQuery::Tickers(&pair)), "/api/v1/market/allTickers");
    assert_eq!(path(kucoin, &RestQuery::Tickers(&pair[..1])), "/api/v1/market/stats?symbol=BTC-USDT");
    // A whole response, so that a quiet market has a candle.
    let span = format!("startAt={}&endAt={}", 1_788_064_020 - 1500 * 60, 1_788_064_020 - 1);
    assert_eq!(path(kucoin, &candles), format!("/api/v1/market/candles?type=1min&symbol=BTC-USDT&{span}"));

    let kraken = find("kraken");
    let (pair, candles) = (markets("BTC-USD ETH-BTC"), RestQuery::Candles { market: &usd, end: END, count: 2 });
    assert_eq!(path(kraken, &RestQuery::Markets), "/0/public/AssetPairs");
    assert_eq!(path(kraken, &RestQuery::Tickers(&pair)), "/0/public/Ticker?pair=XBTUSD,ETHXBT");
    let since = 1_788_064_020 - 2 * 60 - 1;
    assert_eq!(path(kraken, &candles), format!("/0/public/OHLC?pair=XBTUSD&interval=1&since={since}"));
}

#[test]
fn every_request_is_a_get_except_the_one_for_an_endpoint() {
    let one = market("BTC-KRW");
    for venue in venue::ALL {
        let queries = [
            RestQuery::Markets,
            RestQuery::Tickers(std::slice::from_ref(&one)),
            RestQuery::TickSizes(std::slice::from_ref(&one)),
            RestQuery::Candles { market: &one, end: END, count: 1 },
        ];
        for request in queries.iter().filter_map(|query| venue.request(query)) {
            assert_eq!(request.method, Method::Get, "{}", request.path);
        }
    }
    let negotiated = |venue: &&&dyn Venue| matches!(venue.endpoint(), Endpoint::Negotiated { .. });
    let ids: Vec<&str> = venue::ALL.iter().filter(negotiated).map(|venue| venue.profile().id.as_str()).collect();
    assert_eq!(ids, ["kucoin"]);
    let Endpoint::Negotiated { request, .. } = find("kucoin").endpoint() else { unreachable!() };
    assert_eq!((request.method, request.path.as_str()), (Method::Post, "/api/v1/bullet-public"));
}

#[test]
fn a_market_name_is_escaped_in_requests_and_subscriptions() {
    for venue in venue::ALL {
        let odd = [Market::new("币安&x=\"1", "US/T").unwrap()];
        for query in [RestQuery::Tickers(&odd), RestQuery::Candles { market: &odd[0], end: END, count: 1 }] {
            let path = path(*venue, &query);
            let (before, query) = path.split_once('?').unwrap();
            assert!(path.is_ascii(), "{path}");
            assert!(!query.contains(['"', '/', ' ', '?']) && !path.contains("&x="), "{path}");
            assert!(!before.contains(['"', ' ', '&', '=']), "{path}");
            assert_eq!(path.contains("US%2FT"), path.contains("%26"), "{path}");
        }
        let frames = subscribe(*venue, &odd);
        assert!(serde_json::from_str::<serde_json::Value>(&frames[0]).is_ok(), "{frames:?}");
    }
}

#[test]
fn no_request_and_no_subscription_is_built_without_markets() {
    for venue in venue::ALL {
        assert_eq!(venue.request(&RestQuery::Tickers(&[])), None);
        assert!(subscribe(*venue, &[]).is_empty());
    }
}

#[test]
fn every_request_counts_towards_a_known_limit() {
    let one = market("BTC-KRW");
    for venue in venue::ALL {
        let queries = [
            RestQuery::Markets,
            RestQuery::Tickers(std::slice::from_ref(&one)),
            RestQuery::Candles { market: &one, end: END, count: 1 },
        ];
        let endpoint = match venue.endpoint() {
            Endpoint::Fixed => None,
            Endpoint::Negotiated { request, .. } => Some(request),
        };
        let requests = queries.iter().filter_map(|query| venue.request(query)).chain(endpoint);
        for Request { path, costs, .. } in requests {
            assert!(!costs.is_empty(), "{path}");
            let groups: BTreeSet<_> = costs.iter().map(|(group, _)| group).collect();
            assert_eq!(groups.len(), costs.len(), "{path} names a group twice");
            for (group, units) in costs {
                let limit = venue.profile().limits.iter().find(|limit| limit.group == group).unwrap();
                // More than that leaves a debt in the bucket, which a restart would forget.
                assert!(limit.rates.iter().all(|rate| (1..=(rate.units / 4).max(1)).contains(&units)), "{path}");
            }
            assert!(path.starts_with('/'), "{path}");
        }
    }
}

#[test]
fn the_weight_of_binance_tickers_grows_as_documented() {
    let listed: Vec<Market> = (0..101).map(|n| Market::new(&format!("A{n}"), "USDT").unwrap()).collect();
    for (count, weight) in [(1, 2), (20, 2), (21, 40), (100, 40), (101, 80)] {
        assert_eq!(
            find("binance").request(&RestQuery::Tickers(&listed[..count])).unwrap().costs,
            [("weight", weight)],
            "{count} symbols"
        );
    }
}

#[test]
fn an_upbit_family_subscription_always_has_all_markets() {
    for id in ["upbit", "bithumb"] {
        let frames = find(id).session().subscribe(&markets("BTC-KRW SOL-KRW"), &markets("BTC-KRW ETH-KRW"));
        assert_eq!(frames.len(), 1);
        let frame: serde_json::Value = serde_json::from_str(&frames[0]).unwrap();
        assert_eq!(frame.pointer("/1/codes").unwrap(), &serde_json::json!(["KRW-BTC", "KRW-SOL"]));
        // With neither flag the venue sends a snapshot and then the stream.
        assert_eq!(frame.pointer("/1").unwrap().as_object().unwrap().len(), 2, "{frame}");
    }
}

#[test]
fn a_binance_subscription_removes_markets_that_are_no_longer_wanted() {
    let frames = find("binance").session().subscribe(&markets("BTC-USDT SOL-USDT"), &markets("BTC-USDT ETH-USDT"));
    assert_eq!(
        frames,
        [
            r#"{"method":"UNSUBSCRIBE","params":["ethusdt@ticker"],"id":1}"#,
            r#"{"method":"SUBSCRIBE","params":["solusdt@ticker"],"id":2}"#,
        ]
    );
    assert!(find("binance").session().subscribe(&markets("BTC-USDT"), &markets("BTC-USDT")).is_empty());
}

#[test]
fn no_subscription_is_sent_for_the_markets_that_a_connection_has() {
    // Except where each request replaces the whole list.
    for venue in venue::ALL.iter().filter(|venue| !["upbit", "bithumb"].contains(&venue.profile().id.as_str())) {
        let listed = markets("BTC-USDT ETH-USDT");
        let mut session = welcomed(*venue);
        assert!(!session.subscribe(&listed, &[]).is_empty());
        assert!(session.subscribe(&listed, &listed).is_empty(), "{}", venue.profile().id);
    }
}

#[test]
fn a_long_binance_subscription_is_split_into_frames() {
    let listed: Vec<Market> = (0..250).map(|n| Market::new(&format!("A{n}"), "USDT").unwrap()).collect();
    let frames = find("binance").session().subscribe(&listed, &[]);
    let streams = |frame: &String| {
        let frame: serde_json::Value = serde_json::from_str(frame).unwrap();
        frame["params"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(frames.iter().map(|frame| streams(frame).len()).collect::<Vec<_>>(), [100, 100, 50]);
    assert_eq!(frames.iter().flat_map(streams).collect::<BTreeSet<_>>().len(), 250);
    assert!(frames.iter().all(|frame| frame.len() < 4096));
}

#[test]
fn the_profile_of_every_exchange_is_consistent() {
    for venue in venue::ALL {
        let profile = venue.profile();
        assert!(profile.rest.starts_with("https://") && !profile.rest.ends_with('/'));
        assert!(profile.stream.starts_with("wss://"));
        let limits = profile.limits.iter().map(|limit| limit.rates).chain([profile.frames, profile.connects]);
        for rates in limits {
            assert!(!rates.is_empty() && rates.iter().all(|rate| rate.units > 0 && !rate.window.is_zero()));
        }
        assert!(
            profile.markets_per_connection > 0 && profile.markets_per_request > 0 && profile.candles_per_request > 0
        );
        assert!(profile.silence_max <= profile.stale_after, "a silent connection is replaced before its rows go stale");
        match profile.keepalive {
            // Both Korean venues close after 60 s of silence.
            Keepalive::Ping(every) | Keepalive::Text(_, every) => assert!(every.as_secs() <= 30),
            Keepalive::ServerPings(most) => assert!(most.as_secs() >= 60),
        }
        assert!(profile.lifetime.is_none_or(|age| age.as_secs() < 24 * 3600));
    }
}

/// In the format of docs.upbit.com/kr/reference (list-orderbook-instruments).
#[test]
fn fc_09_an_unreadable_tick_size_affects_only_itself() {
    let body = r#"[{"market":"KRW-BTC","quote_currency":"KRW","tick_size":"1000","supported_levels":["0","10000"]},
        {"market":"KRW-ETH","tick_size":null},{"market":"KRW-XRP","tick_size":"0"},7,
        {"market":"KRW-DOGE","tick_size":"0.1","supported_levels":[]}]"#;
    let found = parse_response(find("upbit"), &RestQuery::TickSizes(&markets("BTC-KRW")), body);
    assert_eq!((found[0].as_str(), found[4].as_str()), ("KRW-BTC 1000", "KRW-DOGE 0.1"));
    assert!(found[1..4].iter().all(|line| line.contains("rejected")), "{found:?}");
    for venue in venue::ALL.iter().filter(|venue| venue.profile().id.as_str() != "upbit") {
        let id = venue.profile().id;
        assert!(venue.request(&RestQuery::TickSizes(&markets("BTC-KRW"))).is_none(), "{id} publishes no tick sizes");
    }
}
