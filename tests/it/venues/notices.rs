//! Warnings, cautions and announced delistings, as Upbit and Bithumb say them.

use sisepan::venue::Answer;

use super::*;

/// What a list says of each market, and what of it could not be read.
fn list(id: &str, body: &str) -> Vec<String> {
    let answer = venue::find(id).unwrap().answer(&Ask::Markets, body).unwrap();
    let Answer::Markets { listings, left_out } = answer else { panic!("{answer:?}") };
    let said = listings.iter().map(|listing| match listing {
        Ok(listing) => format!("{} warning={:?} cautions={:?}", listing.market, listing.warning, listing.cautions),
        Err(rejected) => format!("rejected {} {rejected}", rejected.symbol.as_deref().unwrap_or("?")),
    });
    said.chain(left_out.iter().map(|(market, rejection)| format!("{market} left out {rejection}"))).collect()
}

#[test]
fn fc_11_upbits_list_says_which_markets_it_warns_of() {
    let said = list("upbit", &fixture("upbit", "rest-markets-docs.json"));
    assert_eq!(said, ["BTC-KRW warning=Some(false) cautions=Some([])", "ETH-KRW warning=Some(true) cautions=Some([])"]);
    let said = list("upbit", &fixture("upbit", "rest-markets.json"));
    assert_eq!(said[0], r#"BERA-BTC warning=Some(false) cautions=Some(["GLOBAL_PRICE_DIFFERENCES"])"#);
    assert_eq!(said[1], "FIL-BTC warning=Some(false) cautions=Some([])");
}

#[test]
fn fc_11_bithumbs_list_says_which_markets_it_warns_of() {
    let row = |said: &str| {
        let warned = format!(r#"{{"market":"KRW-BTC","korean_name":"비트코인","english_name":"Bitcoin"{said}}}"#);
        list("bithumb", &format!("[{warned},{{\"market\":\"KRW-ETH\",\"market_warning\":\"NONE\"}}]"))
    };
    let other = "ETH-KRW warning=Some(false) cautions=None";
    assert_eq!(row(r#","market_warning":"CAUTION""#), ["BTC-KRW warning=Some(true) cautions=None", other]);
    assert_eq!(row(r#","market_warning":"NONE""#), ["BTC-KRW warning=Some(false) cautions=None", other]);
    for unsaid in ["", r#","market_warning":null"#, r#","market_warning":"""#] {
        assert_eq!(row(unsaid), ["BTC-KRW warning=None cautions=None", other], "{unsaid}");
    }
    for odd in ["true", "1", "[]", "{}", r#""SOON""#, r#""caution""#] {
        let said = row(&format!(r#","market_warning":{odd}"#));
        let left_out = "BTC-KRW left out market_warning: type";
        assert_eq!(said, ["BTC-KRW warning=None cautions=None", other, left_out], "{odd}");
    }
}

#[test]
fn fc_11_an_odd_member_of_the_list_costs_that_member_of_that_market() {
    let upbit = |event: &str| {
        let odd = format!(r#"{{"market":"KRW-BTC","korean_name":"비트코인","market_event":{event}}}"#);
        let fine = r#"{"market":"KRW-ETH","market_event":{"warning":true,"caution":{"PRICE_FLUCTUATIONS":true}}}"#;
        let mut said = list("upbit", &format!("[{odd},{fine}]"));
        assert_eq!(said.remove(1), r#"ETH-KRW warning=Some(true) cautions=Some(["PRICE_FLUCTUATIONS"])"#, "{event}");
        said
    };
    let caution = |said: &str| upbit(&format!(r#"{{"warning":true,"caution":{said}}}"#));
    for event in ["1", "[]", r#""x""#, "[true]"] {
        let said = upbit(event);
        assert_eq!(said, ["BTC-KRW warning=None cautions=None", "BTC-KRW left out market_event: type"], "{event}");
    }
    assert_eq!(upbit("null"), ["BTC-KRW warning=None cautions=None"]);
    assert_eq!(upbit("{}"), ["BTC-KRW warning=None cautions=None"]);
    for warning in [r#""true""#, "1", "[]"] {
        let said = upbit(&format!(r#"{{"warning":{warning},"caution":{{"A":true}}}}"#));
        assert_eq!(
            said,
            [r#"BTC-KRW warning=None cautions=Some(["A"])"#, "BTC-KRW left out warning: type"],
            "{warning}"
        );
    }
    for odd in ["1", "[]", r#""PRICE_FLUCTUATIONS""#] {
        let said = caution(odd);
        assert_eq!(said, ["BTC-KRW warning=Some(true) cautions=None", "BTC-KRW left out caution: type"], "{odd}");
    }
    assert_eq!(caution("null"), ["BTC-KRW warning=Some(true) cautions=None"]);
    let said = caution(r#"{"B":"yes","A":true,"NEW_1":true,"C":false,"D":null}"#);
    let left_out = "BTC-KRW left out caution: type";
    assert_eq!(said, [r#"BTC-KRW warning=Some(true) cautions=Some(["A", "NEW_1"])"#, left_out]);
    let long = "X".repeat(65);
    for name in ["", "<script>", "price", "A B", "가격", &long] {
        let said = caution(&format!(r#"{{"{name}":true,"A":true}}"#));
        let left_out = "BTC-KRW left out caution: symbol";
        assert_eq!(said, [r#"BTC-KRW warning=Some(true) cautions=Some(["A"])"#, left_out], "{name}");
    }
    let many: Vec<String> = (10..50).map(|at| format!(r#""A{at}":true"#)).collect();
    assert_eq!(caution(&format!("{{{}}}", many.join(",")))[0].matches("\"A").count(), 16);
    let names = list("upbit", r#"[{"market":"KRW-BTC","korean_name":1,"market_event":{"warning":true}}]"#);
    assert_eq!(names, ["BTC-KRW warning=Some(true) cautions=None", "BTC-KRW left out korean_name: type"]);
}

#[test]
fn fc_11_tickers_say_warnings_and_the_day_of_delisting() {
    for id in ["upbit", "bithumb"] {
        let venue = venue::find(id).unwrap();
        let with = |more: &str| {
            let text = format!(r#"{{"type":"ticker","code":"KRW-A","trade_price":1,"timestamp":1790134742106{more}}}"#);
            let Ok(Incoming::Tickers(mut records)) = venue.parse(&text) else { panic!("{text}") };
            let Record { ticker, left_out, .. } = records.remove(0);
            let ticker = ticker.unwrap();
            let left_out: Vec<String> = left_out.iter().map(ToString::to_string).collect();
            (ticker.warning, ticker.delisting, (ticker.halted, ticker.delisted), left_out.join(" "))
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
            let said = with(&format!(r#","market_warning":{odd},"delisting_date":"2026-12-01""#));
            assert_eq!((said.0, said.1, said.3), (None, day("2026-12-01"), "market_warning: type".to_owned()), "{odd}");
        }
        for odd in ["true", "[]", r#""soon""#, r#""2026-13-01""#] {
            let said = with(&format!(r#","market_warning":"CAUTION","delisting_date":{odd}"#));
            assert_eq!((said.0, said.1, said.3), (Some(true), None, "delisting_date: time".to_owned()), "{odd}");
        }
    }
}

#[test]
fn fc_04_an_unreadable_side_member_of_binances_list_costs_that_member_and_names_its_market() {
    let good = r#"[{"filterType":"PRICE_FILTER","tickSize":"0.01"}]"#;
    let row = |status: &str, base: &str, filters: &str| {
        format!(
            r#"{{"symbol":"BTCUSDT","status":{status},"baseAsset":{base},"quoteAsset":"USDT","filters":{filters}}}"#
        )
    };
    let said = |status: &str, base: &str, filters: &str| {
        let body = format!(r#"{{"symbols":[{}]}}"#, row(status, base, filters));
        let answer = venue::find("binance").unwrap().answer(&Ask::Markets, &body).unwrap();
        let Answer::Markets { listings, left_out } = answer else { panic!("{answer:?}") };
        let listings = listings.iter().map(|listing| match listing {
            Ok(listing) => {
                format!("{} {:?} {}", listing.market, listing.tick_size.map(|s| s.to_string()), listing.halted)
            }
            Err(rejected) => format!("rejected {} {rejected}", rejected.symbol.as_deref().unwrap_or("?")),
        });
        listings.chain(left_out.iter().map(|(market, fault)| format!("{market} left out {fault}"))).collect::<Vec<_>>()
    };
    let (trading, base) = (r#""TRADING""#, r#""BTC""#);
    assert_eq!(said(trading, base, good), [r#"BTC-USDT Some("0.01") false"#]);
    for filters in ["[null]", "7", "{}", r#"[7,{}]"#] {
        assert_eq!(
            said(trading, base, filters),
            ["BTC-USDT None false", "BTC-USDT left out filters: type"],
            "{filters}"
        );
    }
    // Also of a market that is halted, and beside a filter that can be read.
    assert_eq!(said(r#""BREAK""#, base, "[null]")[0], "BTC-USDT None true");
    let both = r#"[null,{"filterType":"PRICE_FILTER","tickSize":"0.01"}]"#;
    assert_eq!(said(trading, base, both), [r#"BTC-USDT Some("0.01") false"#, "BTC-USDT left out filters: type"]);
    let step = r#"[{"filterType":"PRICE_FILTER","tickSize":"-1"}]"#;
    assert_eq!(said(trading, base, step), ["BTC-USDT None false", "BTC-USDT left out tickSize: not-positive"]);
    // What a listing is none without.
    assert_eq!(said("null", base, good), ["rejected BTCUSDT status: missing"]);
    assert_eq!(said(r#""TRADING ""#, base, good), ["rejected BTCUSDT status: unknown"]);
    assert_eq!(said(trading, "null", good), ["rejected BTCUSDT baseAsset: type"]);
}
