//! Warnings, cautions and announced delistings as the exchanges send them, and malformed members beside them.

use sisepan::venue::Response;

use super::*;

/// Parses a market list; returns the notices of each market, then the members that could not be read.
fn list(id: &str, body: &str) -> Vec<String> {
    let answer = venue::find(id).unwrap().response(&RestQuery::Markets, body).unwrap();
    let Response::Markets { listings, ignored_fields: ignored } = answer else { panic!("{answer:?}") };
    let notices = listings.iter().map(|listing| match listing {
        Ok(listing) => format!("{} warning={:?} cautions={:?}", listing.market, listing.warning, listing.cautions),
        Err(rejected) => format!("rejected {} {rejected}", rejected.symbol.as_deref().unwrap_or("?")),
    });
    notices.chain(ignored.iter().map(|(market, rejection)| format!("{market} ignored {rejection}"))).collect()
}

#[test]
fn fc_11_upbits_market_list_has_warnings_and_cautions() {
    let notices = list("upbit", &fixture("upbit", "rest-markets-docs.json"));
    assert_eq!(
        notices,
        ["BTC-KRW warning=Some(false) cautions=Some([])", "ETH-KRW warning=Some(true) cautions=Some([])"]
    );
    let notices = list("upbit", &fixture("upbit", "rest-markets.json"));
    assert_eq!(notices[0], r#"BERA-BTC warning=Some(false) cautions=Some(["GLOBAL_PRICE_DIFFERENCES"])"#);
    assert_eq!(notices[1], "FIL-BTC warning=Some(false) cautions=Some([])");
}

#[test]
fn fc_11_bithumbs_market_list_has_warnings() {
    let row = |members: &str| {
        let warned = format!(r#"{{"market":"KRW-BTC","korean_name":"비트코인","english_name":"Bitcoin"{members}}}"#);
        list("bithumb", &format!("[{warned},{{\"market\":\"KRW-ETH\",\"market_warning\":\"NONE\"}}]"))
    };
    let other = "ETH-KRW warning=Some(false) cautions=None";
    assert_eq!(row(r#","market_warning":"CAUTION""#), ["BTC-KRW warning=Some(true) cautions=None", other]);
    assert_eq!(row(r#","market_warning":"NONE""#), ["BTC-KRW warning=Some(false) cautions=None", other]);
    for absent in ["", r#","market_warning":null"#, r#","market_warning":"""#] {
        assert_eq!(row(absent), ["BTC-KRW warning=None cautions=None", other], "{absent}");
    }
    for odd in ["true", "1", "[]", "{}", r#""SOON""#, r#""caution""#] {
        let notices = row(&format!(r#","market_warning":{odd}"#));
        let ignored = "BTC-KRW ignored market_warning: type";
        assert_eq!(notices, ["BTC-KRW warning=None cautions=None", other, ignored], "{odd}");
    }
}

#[test]
fn fc_11_kucoins_market_list_marks_markets_under_special_treatment() {
    let listed = |symbol: &str, base: &str, members: &str| {
        format!(
            r#"{{"symbol":"{symbol}","baseCurrency":"{base}","quoteCurrency":"USDT","enableTrading":true{members}}}"#
        )
    };
    let row = |members: &str| {
        let rows = [listed("BTC-USDT", "BTC", members), listed("ETH-USDT", "ETH", r#","st":false"#)];
        list("kucoin", &format!(r#"{{"code":"200000","data":[{}]}}"#, rows.join(",")))
    };
    let other = "ETH-USDT warning=Some(false) cautions=None";
    assert_eq!(row(r#","st":true"#), ["BTC-USDT warning=Some(true) cautions=None", other]);
    for absent in ["", r#","st":null"#] {
        assert_eq!(row(absent), ["BTC-USDT warning=None cautions=None", other], "{absent}");
    }
    for odd in ["1", "[]", r#""true""#, r#""""#] {
        let notices = row(&format!(r#","st":{odd}"#));
        assert_eq!(notices, ["BTC-USDT warning=None cautions=None", other, "BTC-USDT ignored st: type"], "{odd}");
    }
    for (odd, problem) in [("-1", "not-positive"), (r#""x""#, "malformed"), ("[]", "type")] {
        let notices = row(&format!(r#","st":true,"priceIncrement":{odd}"#));
        let ignored = format!("BTC-USDT ignored priceIncrement: {problem}");
        assert_eq!(notices, ["BTC-USDT warning=Some(true) cautions=None", other, &ignored], "{odd}");
    }
}

#[test]
fn fc_11_a_malformed_member_of_the_market_list_is_ignored_for_that_market_alone() {
    let upbit = |event: &str| {
        let odd = format!(r#"{{"market":"KRW-BTC","korean_name":"비트코인","market_event":{event}}}"#);
        let fine = r#"{"market":"KRW-ETH","market_event":{"warning":true,"caution":{"PRICE_FLUCTUATIONS":true}}}"#;
        let mut notices = list("upbit", &format!("[{odd},{fine}]"));
        assert_eq!(notices.remove(1), r#"ETH-KRW warning=Some(true) cautions=Some(["PRICE_FLUCTUATIONS"])"#, "{event}");
        notices
    };
    let caution = |value: &str| upbit(&format!(r#"{{"warning":true,"caution":{value}}}"#));
    for event in ["1", "[]", r#""x""#, "[true]"] {
        let notices = upbit(event);
        assert_eq!(notices, ["BTC-KRW warning=None cautions=None", "BTC-KRW ignored market_event: type"], "{event}");
    }
    assert_eq!(upbit("null"), ["BTC-KRW warning=None cautions=None"]);
    assert_eq!(upbit("{}"), ["BTC-KRW warning=None cautions=None"]);
    for warning in [r#""true""#, "1", "[]"] {
        let notices = upbit(&format!(r#"{{"warning":{warning},"caution":{{"A":true}}}}"#));
        assert_eq!(
            notices,
            [r#"BTC-KRW warning=None cautions=Some(["A"])"#, "BTC-KRW ignored warning: type"],
            "{warning}"
        );
    }
    for odd in ["1", "[]", r#""PRICE_FLUCTUATIONS""#] {
        let notices = caution(odd);
        assert_eq!(notices, ["BTC-KRW warning=Some(true) cautions=None", "BTC-KRW ignored caution: type"], "{odd}");
    }
    assert_eq!(caution("null"), ["BTC-KRW warning=Some(true) cautions=None"]);
    let notices = caution(r#"{"B":"yes","A":true,"NEW_1":true,"C":false,"D":null}"#);
    let ignored = "BTC-KRW ignored caution: type";
    assert_eq!(notices, [r#"BTC-KRW warning=Some(true) cautions=Some(["A", "NEW_1"])"#, ignored]);
    let long = "X".repeat(65);
    for name in ["", "<script>", "price", "A B", "가격", &long] {
        let notices = caution(&format!(r#"{{"{name}":true,"A":true}}"#));
        let ignored = "BTC-KRW ignored caution: symbol";
        assert_eq!(notices, [r#"BTC-KRW warning=Some(true) cautions=Some(["A"])"#, ignored], "{name}");
    }
    let many: Vec<String> = (10..50).map(|at| format!(r#""A{at}":true"#)).collect();
    assert_eq!(caution(&format!("{{{}}}", many.join(",")))[0].matches("\"A").count(), 16);
    let names = list("upbit", r#"[{"market":"KRW-BTC","korean_name":1,"market_event":{"warning":true}}]"#);
    assert_eq!(names, ["BTC-KRW warning=Some(true) cautions=None", "BTC-KRW ignored korean_name: type"]);
}

#[test]
fn fc_11_tickers_have_warnings_and_the_delisting_date() {
    for id in ["upbit", "bithumb"] {
        let venue = venue::find(id).unwrap();
        let with = |more: &str| {
            let text = format!(r#"{{"type":"ticker","code":"KRW-A","trade_price":1,"timestamp":1790134742106{more}}}"#);
            let Ok(Incoming::Tickers(mut records)) = venue.session().parse(&text) else { panic!("{text}") };
            let TickerRecord { ticker, ignored_fields: ignored, .. } = records.remove(0);
            let ticker = ticker.unwrap();
            let ignored: Vec<String> = ignored.iter().map(ToString::to_string).collect();
            (ticker.warning, ticker.delisting, (ticker.halted, ticker.delisted), ignored.join(" "))
        };
        let day = |text: &str| Some(Some(text.parse().unwrap()));
        let silent = (None, false);
        assert_eq!(with(""), (None, None, silent, String::new()));
        assert_eq!(
            with(r#","market_warning":"NONE","delisting_date":null"#),
            (Some(false), Some(None), silent, String::new())
        );
        assert_eq!(
            with(r#","market_warning":"CAUTION","delisting_date":"""#),
            (Some(true), Some(None), silent, String::new())
        );
        let coming = with(r#","market_state":"ACTIVE","delisting_date":"2026-12-01""#);
        assert_eq!(coming, (None, day("2026-12-01"), (Some(false), false), String::new()));
        let over = with(r#","market_state":"ACTIVE","delisting_date":"2026-09-22""#);
        assert_eq!(over, (None, day("2026-09-22"), (Some(true), true), String::new()));
        assert_eq!(with(r#","market_state":"DELISTED""#).2, (Some(true), true));
        assert_eq!(with(r#","is_trading_suspended":true"#).2, (Some(true), false));
        for odd in ["1", "true", "[]", r#""DANGER""#] {
            let read = with(&format!(r#","market_warning":{odd},"delisting_date":"2026-12-01""#));
            assert_eq!((read.0, read.1, read.3), (None, day("2026-12-01"), "market_warning: type".to_owned()), "{odd}");
        }
        for odd in ["true", "[]", r#""soon""#, r#""2026-13-01""#] {
            let read = with(&format!(r#","market_warning":"CAUTION","delisting_date":{odd}"#));
            assert_eq!((read.0, read.1, read.3), (Some(true), None, "delisting_date: time".to_owned()), "{odd}");
        }
    }
}

#[test]
fn fc_04_a_malformed_optional_member_of_binances_list_is_ignored_and_named_with_its_market() {
    let good = r#"[{"filterType":"PRICE_FILTER","tickSize":"0.01"}]"#;
    let row = |status: &str, base: &str, filters: &str| {
        format!(
            r#"{{"symbol":"BTCUSDT","status":{status},"baseAsset":{base},"quoteAsset":"USDT","filters":{filters}}}"#
        )
    };
    let parse = |status: &str, base: &str, filters: &str| {
        let body = format!(r#"{{"symbols":[{}]}}"#, row(status, base, filters));
        let answer = venue::find("binance").unwrap().response(&RestQuery::Markets, &body).unwrap();
        let Response::Markets { listings, ignored_fields: ignored } = answer else { panic!("{answer:?}") };
        let listings = listings.iter().map(|listing| match listing {
            Ok(listing) => {
                format!("{} {:?} {}", listing.market, listing.tick_size.map(|s| s.to_string()), listing.halted)
            }
            Err(rejected) => format!("rejected {} {rejected}", rejected.symbol.as_deref().unwrap_or("?")),
        });
        listings.chain(ignored.iter().map(|(market, fault)| format!("{market} ignored {fault}"))).collect::<Vec<_>>()
    };
    let (trading, base) = (r#""TRADING""#, r#""BTC""#);
    assert_eq!(parse(trading, base, good), [r#"BTC-USDT Some("0.01") false"#]);
    for filters in ["[null]", "7", "{}", r#"[7,{}]"#] {
        assert_eq!(
            parse(trading, base, filters),
            ["BTC-USDT None false", "BTC-USDT ignored filters: type"],
            "{filters}"
        );
    }
    // Also for a halted market, and beside a filter that can be read.
    assert_eq!(parse(r#""BREAK""#, base, "[null]")[0], "BTC-USDT None true");
    let both = r#"[null,{"filterType":"PRICE_FILTER","tickSize":"0.01"}]"#;
    assert_eq!(parse(trading, base, both), [r#"BTC-USDT Some("0.01") false"#, "BTC-USDT ignored filters: type"]);
    let step = r#"[{"filterType":"PRICE_FILTER","tickSize":"-1"}]"#;
    assert_eq!(parse(trading, base, step), ["BTC-USDT None false", "BTC-USDT ignored tickSize: not-positive"]);
    // Without these members a listing is rejected.
    assert_eq!(parse("null", base, good), ["rejected BTCUSDT status: missing"]);
    assert_eq!(parse(r#""TRADING ""#, base, good), ["rejected BTCUSDT status: unknown"]);
    assert_eq!(parse(trading, "null", good), ["rejected BTCUSDT baseAsset: type"]);
}
