//! Every widget: common behaviour, and the content of each.

use sisepan::market::{NoChange, Quote, State};

use super::parse::parse;
use super::{AppFixture, WIDGETS, app, get, quote, rows};

#[tokio::test]
async fn every_widget_is_complete_without_script_in_every_language() {
    let app = app();
    for (lang, name, change) in
        [("ko", "비트코인", "+2.08%"), ("en", "Bitcoin", "+2.08%"), ("ja", "ビットコイン", "+2.08%")]
    {
        for widget in WIDGETS {
            for frame in ["embed", "fragment"] {
                let path = format!("/{frame}/{widget}?lang={lang}");
                let response = get(&app, &path).await;
                assert_eq!(response.status, 200, "{path}");
                let page = parse(&response.body).unwrap_or_else(|error| panic!("{path}: {error}\n{}", response.body));
                for text in [name, "142,187,000", change] {
                    assert!(page.text.contains(text), "{path}: {text} in {}", page.words());
                }
                assert!(page.with("style").next().is_none() && page.all("style").next().is_none(), "{path}");
                assert!(page.all("script").all(|script| script.get("src") == "../sisepan.js"), "{path}");
                let root = page.elements.iter().find(|it| it.get("class") == "sisepan").unwrap();
                let (tag, demo) = (if widget == "ticker" { "span" } else { "section" }, root.get("data-demo"));
                assert_eq!((root.tag.as_str(), root.get("data-widget"), demo), (tag, widget, ""), "{path}");
                assert_eq!((root.get("lang"), root.get("dir"), root.get("data-basis")), (lang, "ltr", "24h"), "{path}");
                assert!(root.get("data-words").starts_with('{') && !root.get("data-interval").is_empty());
                let btc = page.elements.iter().find(|it| it.get("data-market") == "BTC-KRW").unwrap();
                assert_eq!((btc.get("data-state"), btc.get("data-direction")), ("live", "rise"), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn the_refresh_query_of_a_widget_reproduces_it() {
    let app = app();
    for widget in WIDGETS {
        for query in [
            "",
            "board=krw&lang=en&theme=dark&colors=c8202f-1a5fc8&size=xl&density=compact&flash=off&credit=off",
            "lang=ja&columns=last,change,amount,high,low,volume&link=/c/%7Bbase%7D&transparent=on&interval=1000&title=off",
            "markets=xrp-krw&basis=kst-day&span=7d&count=3&lang=ko",
        ] {
            let first = get(&app, &format!("/fragment/{widget}?{query}")).await;
            let own = parse(&first.body).unwrap().elements[0].get("data-query").to_owned();
            let again = get(&app, &format!("/fragment/{widget}?{own}")).await;
            assert_eq!(again.body, first.body, "{widget}?{query} gave {own}");
        }
    }
}

#[tokio::test]
async fn only_widgets_with_changing_structure_request_a_refresh() {
    let app = app();
    for (path, refreshes) in [
        ("board?lang=ko", false),
        ("board?lang=ko&columns=last,high", true),
        ("tape", false),
        ("ticker", false),
        ("card", true),
        ("movers", true),
        ("chart", true),
    ] {
        let page = parse(&get(&app, &format!("/fragment/{path}")).await.body).unwrap();
        assert_eq!(page.elements[0].attributes.contains_key("data-refresh"), refreshes, "{path}");
    }
}

#[tokio::test]
async fn a_ticker_reads_as_part_of_a_sentence() {
    let app = app();
    for (lang, sentence) in [
        ("ko", "비트코인 142,187,000원 +2.08% 상승 (24시간)"),
        ("en", "Bitcoin 142,187,000 KRW +2.08% up (24 h)"),
        ("ja", "ビットコイン 142,187,000ウォン +2.08% 上昇 (24時間)"),
    ] {
        let response = get(&app, &format!("/fragment/ticker?lang={lang}")).await;
        assert_eq!(parse(&response.body).unwrap().words(), sentence);
        assert!(response.body.ends_with("</span>"), "no white space before the following text");
        let tape = get(&app, &format!("/fragment/tape?lang={lang}&markets=BTC-KRW")).await;
        // A tape shows the basis below its rows.
        let sentence = sentence.split(" (").next().unwrap();
        assert!(parse(&tape.body).unwrap().words().contains(sentence), "{lang}");
    }
    let two = parse(&get(&app, "/fragment/ticker?lang=ko&markets=XRP-KRW,TRX-KRW").await.body).unwrap();
    assert_eq!(two.words(), "리플 3,104원 -0.86% 하락, 트론 447원 0.00% 보합 (24시간)");
}

#[tokio::test]
async fn a_tape_has_each_row_once_a_pause_button_and_is_focusable() {
    let page = parse(&get(&app(), "/fragment/tape?lang=ko").await.body).unwrap();
    let rows: Vec<_> = page.with("data-market").map(|row| row.get("data-market")).collect();
    assert_eq!(rows, ["BTC-KRW", "XRP-KRW", "TRX-KRW", "ETH-KRW"]);
    let track = page.with("data-track").next().unwrap();
    assert_eq!((track.get("role"), track.get("tabindex")), ("list", "0"));
    let pause = page.with("data-pause").next().unwrap();
    assert!(pause.tag == "button" && pause.get("aria-pressed") == "false" && pause.attributes.contains_key("hidden"));
}

#[tokio::test]
async fn a_card_draws_the_last_24_hours_with_gaps() {
    let app = app();
    let response = get(&app, "/fragment/card?lang=ko").await;
    let page = parse(&response.body).unwrap();
    let line = page.all("path").find(|path| path.get("class") == "line").unwrap().get("d").to_owned();
    assert_eq!(line.matches('M').count(), 2, "a gap interrupts the line: {line}");
    assert!(line.chars().all(|c| c.is_ascii_digit() || "Ml- ".contains(c)) && line.len() < 1_500, "{line}");
    assert!(page.all("path").any(|path| path.get("class") == "base"));
    let words = page.words();
    assert!(words.contains("고가 142,500,000") && words.contains("저가 138,900,000"), "{words}");
    let several = parse(&get(&app, "/fragment/card?lang=en&markets=BTC-KRW,XRP-KRW").await.body).unwrap();
    assert_eq!(several.with("data-card").count(), 2);
    assert_eq!(several.all("svg").count(), 1, "a market without history has a price but no sparkline");
}

#[tokio::test]
async fn a_chart_carries_its_values_and_a_text_description() {
    let app = app();
    for (query, step, most) in [("lang=ko", "300", 290), ("lang=ko&span=7d", "3600", 170)] {
        let response = get(&app, &format!("/fragment/chart?{query}")).await;
        let page = parse(&response.body).unwrap();
        let plot = page.all("svg").find(|svg| svg.get("class") == "plot").unwrap();
        assert!(plot.get("aria-label").contains("비트코인") && plot.get("aria-label").contains("최고"));
        let closes: Vec<_> = plot.get("data-close").split(' ').collect();
        assert!(closes.len() > 160 && closes.len() <= most && closes.contains(&"-"), "{}", closes.len());
        assert_eq!(plot.get("data-step"), step);
        let number = |name: &str| plot.get(name).parse::<u64>().unwrap();
        assert!(
            closes
                .iter()
                .filter_map(|close| close.parse().ok())
                .all(|close: u64| { (number("data-bottom")..=number("data-top")).contains(&close) })
        );
        assert!(plot.get("data-start").ends_with('Z') && plot.get("data-end") == "2026-01-15T06:27:00Z");
    }
    assert_eq!(get(&app, "/fragment/chart?markets=BTC-KRW,XRP-KRW").await.status, 400, "a chart shows one market");
}

#[tokio::test]
async fn without_history_the_price_is_shown_and_the_plot_says_why() {
    for (lang, message) in [("ko", "과거 시세를"), ("en", "Price history is"), ("ja", "過去の価格")] {
        let app = AppFixture { history: None, ..AppFixture::default() }.app();
        let chart = parse(&get(&app, &format!("/embed/chart?lang={lang}")).await.body).unwrap();
        assert!(chart.text.contains(message) && chart.text.contains("142,187,000"), "{lang}");
        assert_eq!(get(&app, &format!("/embed/card?lang={lang}")).await.status, 200);
    }
}

#[tokio::test]
async fn every_widget_states_that_a_price_is_not_live_or_unknown() {
    for (state, ko, en, ja) in [
        (State::Delayed, "지연", "delayed", "遅延"),
        (State::Stale, "12초 전", "12s ago", "12秒前"),
        (State::Halted, "거래 중단", "halted", "取引停止"),
    ] {
        let mut quotes = rows();
        quotes.iter_mut().for_each(|quote| quote.state = state);
        let app = AppFixture { quotes, ..AppFixture::default() }.app();
        for widget in WIDGETS {
            for (lang, label) in [("ko", ko), ("en", en), ("ja", ja)] {
                let page = parse(&get(&app, &format!("/fragment/{widget}?lang={lang}")).await.body).unwrap();
                assert!(page.text.contains(label), "{widget} {lang}: {}", page.words());
                assert!(page.text.contains("142,187,000"), "{widget}: the last price stays");
                assert_eq!(page.elements[0].get("data-live"), state.as_str());
            }
        }
    }
    let app = AppFixture { quotes: vec![], ..AppFixture::default() }.app();
    for widget in WIDGETS {
        for (lang, label) in [("ko", "시세 없음"), ("en", "no price yet"), ("ja", "価格なし")] {
            let page = parse(&get(&app, &format!("/fragment/{widget}?lang={lang}")).await.body).unwrap();
            assert!(page.text.contains(label) && !page.text.contains('%'), "{widget} {lang}: {}", page.words());
            assert!(page.all("time").all(|time| time.get("datetime").ends_with('Z')), "{widget}: no empty time");
        }
    }
}

#[tokio::test]
async fn an_unknown_change_is_a_dash_without_direction_everywhere() {
    let app = AppFixture { quotes: vec![quote("BTC-KRW", "142187000", None)], ..AppFixture::default() }.app();
    for widget in WIDGETS.into_iter().filter(|widget| *widget != "movers") {
        let response = get(&app, &format!("/fragment/{widget}?markets=BTC-KRW&lang=ko")).await;
        assert_eq!(response.between("data-cell=\"change\">", "<"), ["–"], "{widget}");
        assert_eq!(response.between("data-direction=\"", "\"")[0], "even", "{widget}");
        assert_eq!(response.between("data-cell=\"word\">", "<"), [""], "{widget}");
    }
    let movers = parse(&get(&app, "/fragment/movers?lang=ko").await.body).unwrap();
    assert!(movers.with("data-market").next().is_none() && movers.text.contains("상승한 종목이 없습니다"));
}

#[tokio::test]
async fn an_unknown_widget_is_not_found_and_the_page_lists_known_ones() {
    let app = app();
    for name in ["tabel", "%3Cscript%3E", "board.html", "widgets"] {
        for frame in ["embed", "fragment"] {
            let response = get(&app, &format!("/{frame}/{name}")).await;
            assert_eq!(response.status, 404, "{frame}/{name}");
            let page = parse(&response.body).unwrap();
            assert!(WIDGETS.iter().all(|widget| page.text.contains(widget)), "{}", response.body);
            assert_eq!(response.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn every_widget_marks_demo_prices() {
    let app = AppFixture { demo: true, ..AppFixture::default() }.app();
    for widget in WIDGETS {
        let page = parse(&get(&app, &format!("/fragment/{widget}")).await.body).unwrap();
        assert!(page.text.contains("DEMO") && page.elements[0].attributes.contains_key("data-demo"), "{widget}");
    }
}

#[tokio::test]
async fn every_widget_with_a_change_states_its_basis() {
    let app = app();
    for (basis, words) in [
        ("24h", ["24시간 변동률 기준", "Change over 24 hours", "24時間の変動率"]),
        ("utc-day", ["오전 9시(한국시간) 대비 변동률 기준", "Change since 00:00 UTC", "午前9時(日本時間)からの変動率"]),
        ("kst-day", ["0시(한국시간) 대비 변동률 기준", "Change since 00:00 KST", "午前0時(日本時間)からの変動率"]),
    ] {
        for (lang, words) in ["ko", "en", "ja"].iter().zip(words) {
            for (widget, frame, span) in WIDGETS.iter().flat_map(|widget| {
                [("embed", "24h"), ("embed", "7d"), ("fragment", "7d")].map(|(frame, span)| (widget, frame, span))
            }) {
                let path = format!("/{frame}/{widget}?basis={basis}&lang={lang}&span={span}&title=off&credit=off");
                let text = parse(&get(&app, &path).await.body).unwrap().words();
                let short = match (basis, *lang) {
                    ("24h", "en") => "(24 h)",
                    ("24h", _) => "(24",
                    ("utc-day", "en") => "(since 00:00 UTC)",
                    ("kst-day", "en") => "(since 00:00 KST)",
                    ("utc-day", "ko") => "(오전 9시 대비)",
                    ("kst-day", "ko") => "(0시 대비)",
                    ("utc-day", _) => "(午前9時から)",
                    _ => "(午前0時から)",
                };
                let wanted = if *widget == "ticker" { short } else { words };
                assert!(text.contains(wanted), "{path}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_dash_for_a_change_says_why() {
    for (why, words) in [
        (NoChange::Awaited, ["기준 가격 확인 중", "base price not known yet", "基準価格を確認中"]),
        (NoChange::NoHistory, ["과거 시세를 불러올 수", "price history is unavailable", "過去の価格を取得できません"]),
        (NoChange::NewListing, ["기준 시각 이후에 상장", "listed after the base time", "基準時刻より後に上場"]),
        (NoChange::NoEarlierTrade, ["이전의 거래 없음", "no trade before the base time", "より前の取引なし"]),
        (NoChange::Rescaled, ["단위가 바뀐", "price unit seems to have changed", "単位が変わった"]),
    ] {
        let row = Quote { no_base_reasons: [why; 3], ..quote("BTC-KRW", "142187000", None) };
        let app = AppFixture { quotes: vec![row], ..AppFixture::default() }.app();
        for (lang, words) in ["ko", "en", "ja"].iter().zip(words) {
            // Movers never include a market whose change is unknown.
            for path in
                ["embed/board", "fragment/tape", "embed/card", "fragment/ticker", "embed/chart", "market/BTC-KRW", ""]
            {
                let path = format!("/{path}?lang={lang}{}", if path.contains('/') { "&markets=BTC-KRW" } else { "" });
                let body = get(&app, &path).await.body.replace("&#39;", "'");
                let titles: Vec<_> = body.split("title=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
                assert!(titles.iter().any(|title| title.contains(words)), "{path}: {titles:?}");
                let cell_states_it = |cell: &str| {
                    let text = body.split(&format!("data-cell=\"{cell}\">")).nth(1).unwrap_or_default();
                    text.split('<').next().unwrap_or_default().contains(words)
                };
                assert!(cell_states_it("base") != cell_states_it("no_change"), "{path}: once for screen readers");
            }
            let badge = get(&app, &format!("/badge/BTC-KRW.svg?lang={lang}")).await.body.replace("&#39;", "'");
            assert!(badge.split("<title>").nth(1).unwrap().contains(words), "{badge}");
        }
    }
    // No explanation for a known change, or for a market without a price.
    for row in [quote("BTC-KRW", "1", Some("1")), Quote { last: None, ..quote("BTC-KRW", "1", None) }] {
        let app = AppFixture { quotes: vec![row], ..AppFixture::default() }.app();
        let body = get(&app, "/embed/board?lang=en&markets=BTC-KRW").await.body;
        assert!(!body.contains("Change unavailable"), "{body}");
    }
    let wide = quote("BTC-KRW", "79228162514264337593543950335", Some("500"));
    let body =
        get(&AppFixture { quotes: vec![wide], ..AppFixture::default() }.app(), "/embed/board?lang=en&markets=BTC-KRW")
            .await
            .body;
    assert!(body.contains("Change unavailable: too large to calculate"), "{body}");
}

#[tokio::test]
async fn a_dash_beside_a_known_price_says_why_or_when_it_will_be_filled() {
    let row = Quote { no_base_reasons: [NoChange::NoHistory; 3], ..quote("BTC-KRW", "142187000", None) };
    let row = Quote { high_24h: None, low_24h: None, quote_volume_24h: None, ..row };
    let app = AppFixture { quotes: vec![row], ..AppFixture::default() }.app();
    let page = |path: &'static str| async { parse(&get(&app, path).await.body).unwrap() };
    let board = page("/fragment/board?lang=en&markets=BTC-KRW&columns=last,change,amount,high,low,volume").await;
    let title = |column: &str, tag: &str| {
        let mut found = board.elements.iter().filter(|it| it.get("data-col") == column && it.tag == tag);
        found.next().unwrap().get("title").to_owned()
    };
    for (column, tag, words) in [
        ("amount", "td", "price history is unavailable"),
        ("high", "th", "once prices for the full 24 hours are known"),
        ("low", "th", "once prices for the full 24 hours are known"),
        ("volume", "th", "if the exchange reports it"),
    ] {
        assert!(title(column, tag).contains(words), "{column}: {}", title(column, tag));
    }
    let card = page("/fragment/card?lang=ko&markets=BTC-KRW").await;
    for cell in ["high", "low"] {
        let element = card.elements.iter().find(|it| it.get("data-cell") == cell).unwrap();
        assert_eq!(element.get("title"), "24시간 시세가 모두 모이면 표시됩니다.", "{cell}");
    }
}
