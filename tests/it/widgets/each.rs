//! What every widget has in common, and what each shows.

use sisepan::domain::{NoChange, Quote, State};

use super::parse::parse;
use super::{Set, WIDGETS, app, ask, quote, rows};

#[tokio::test]
async fn every_widget_is_complete_without_script_in_every_language() {
    let app = app();
    for (lang, name, change) in
        [("ko", "비트코인", "+2.08%"), ("en", "Bitcoin", "+2.08%"), ("ja", "ビットコイン", "+2.08%")]
    {
        for widget in WIDGETS {
            for frame in ["embed", "fragment"] {
                let path = format!("/{frame}/{widget}?lang={lang}");
                let answer = ask(&app, &path).await;
                assert_eq!(answer.status, 200, "{path}");
                let page = parse(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}\n{}", answer.body));
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
async fn a_widgets_own_query_gives_it_again() {
    let app = app();
    for widget in WIDGETS {
        for query in [
            "",
            "board=krw&lang=en&theme=dark&colors=c8202f-1a5fc8&size=xl&density=compact&flash=off&credit=off",
            "lang=ja&columns=last,change,amount,high,low,volume&link=/c/%7Bbase%7D&transparent=on&interval=1000&title=off",
            "markets=xrp-krw&basis=kst-day&span=7d&count=3&lang=ko",
        ] {
            let first = ask(&app, &format!("/fragment/{widget}?{query}")).await;
            let own = parse(&first.body).unwrap().elements[0].get("data-query").to_owned();
            let again = ask(&app, &format!("/fragment/{widget}?{own}")).await;
            assert_eq!(again.body, first.body, "{widget}?{query} gave {own}");
        }
    }
}

#[tokio::test]
async fn only_widgets_whose_shape_changes_ask_to_be_renewed() {
    let app = app();
    for (path, renewed) in [
        ("board?lang=ko", false),
        ("board?lang=ko&columns=last,high", true),
        ("tape", false),
        ("ticker", false),
        ("card", true),
        ("movers", true),
        ("chart", true),
    ] {
        let page = parse(&ask(&app, &format!("/fragment/{path}")).await.body).unwrap();
        assert_eq!(page.elements[0].attributes.contains_key("data-refresh"), renewed, "{path}");
    }
}

#[tokio::test]
async fn a_ticker_reads_as_a_part_of_its_sentence() {
    let app = app();
    for (lang, said) in [
        ("ko", "비트코인 142,187,000원 +2.08% 상승 (24시간)"),
        ("en", "Bitcoin 142,187,000 KRW +2.08% up (24 h)"),
        ("ja", "ビットコイン 142,187,000ウォン +2.08% 上昇 (24時間)"),
    ] {
        let answer = ask(&app, &format!("/fragment/ticker?lang={lang}")).await;
        assert_eq!(parse(&answer.body).unwrap().words(), said);
        assert!(answer.body.ends_with("</span>"), "no white space of ours stands before what follows");
        let tape = ask(&app, &format!("/fragment/tape?lang={lang}&markets=BTC-KRW")).await;
        // A tape says its basis below.
        let sentence = said.split(" (").next().unwrap();
        assert!(parse(&tape.body).unwrap().words().contains(sentence), "{lang}");
    }
    let two = parse(&ask(&app, "/fragment/ticker?lang=ko&markets=XRP-KRW,TRX-KRW").await.body).unwrap();
    assert_eq!(two.words(), "리플 3,104원 -0.86% 하락, 트론 447원 0.00% 보합 (24시간)");
}

#[tokio::test]
async fn a_tape_has_one_copy_of_each_row_a_pause_and_a_place_in_the_tab_order() {
    let page = parse(&ask(&app(), "/fragment/tape?lang=ko").await.body).unwrap();
    let rows: Vec<_> = page.with("data-market").map(|row| row.get("data-market")).collect();
    assert_eq!(rows, ["BTC-KRW", "XRP-KRW", "TRX-KRW", "ETH-KRW"]);
    let track = page.with("data-track").next().unwrap();
    assert_eq!((track.get("role"), track.get("tabindex")), ("list", "0"));
    let pause = page.with("data-pause").next().unwrap();
    assert!(pause.tag == "button" && pause.get("aria-pressed") == "false" && pause.attributes.contains_key("hidden"));
}

#[tokio::test]
async fn a_card_has_its_last_day_as_a_line_with_its_holes() {
    let app = app();
    let answer = ask(&app, "/fragment/card?lang=ko").await;
    let page = parse(&answer.body).unwrap();
    let line = page.all("path").find(|path| path.get("class") == "line").unwrap().get("d").to_owned();
    assert_eq!(line.matches('M').count(), 2, "a hole ends the line: {line}");
    assert!(line.chars().all(|c| c.is_ascii_digit() || "Ml- ".contains(c)) && line.len() < 1_500, "{line}");
    assert!(page.all("path").any(|path| path.get("class") == "base"));
    let words = page.words();
    assert!(words.contains("고가 142,500,000") && words.contains("저가 138,900,000"), "{words}");
    let several = parse(&ask(&app, "/fragment/card?lang=en&markets=BTC-KRW,XRP-KRW").await.body).unwrap();
    assert_eq!(several.with("data-card").count(), 2);
    assert_eq!(several.all("svg").count(), 1, "what has no past has no line, and its price all the same");
}

#[tokio::test]
async fn a_chart_can_be_read_out_and_says_in_words_what_it_shows() {
    let app = app();
    for (query, step, most) in [("lang=ko", "300", 290), ("lang=ko&span=7d", "3600", 170)] {
        let answer = ask(&app, &format!("/fragment/chart?{query}")).await;
        let page = parse(&answer.body).unwrap();
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
    assert_eq!(ask(&app, "/fragment/chart?markets=BTC-KRW,XRP-KRW").await.status, 400, "one market is plotted");
}

#[tokio::test]
async fn without_a_past_the_price_stands_and_the_plot_says_why() {
    for (lang, said) in [("ko", "지난 시세를"), ("en", "The past can't"), ("ja", "過去の価格")] {
        let app = Set { history: None, ..Set::default() }.app();
        let chart = parse(&ask(&app, &format!("/embed/chart?lang={lang}")).await.body).unwrap();
        assert!(chart.text.contains(said) && chart.text.contains("142,187,000"), "{lang}");
        assert_eq!(ask(&app, &format!("/embed/card?lang={lang}")).await.status, 200);
    }
}

#[tokio::test]
async fn what_is_not_live_or_not_known_is_said_by_every_widget() {
    for (state, ko, en, ja) in [
        (State::Delayed, "지연", "delayed", "遅延"),
        (State::Stale, "12초 전", "12s ago", "12秒前"),
        (State::Halted, "거래 중단", "halted", "取引停止"),
    ] {
        let mut quotes = rows();
        quotes.iter_mut().for_each(|quote| quote.state = state);
        let app = Set { quotes, ..Set::default() }.app();
        for widget in WIDGETS {
            for (lang, said) in [("ko", ko), ("en", en), ("ja", ja)] {
                let page = parse(&ask(&app, &format!("/fragment/{widget}?lang={lang}")).await.body).unwrap();
                assert!(page.text.contains(said), "{widget} {lang}: {}", page.words());
                assert!(page.text.contains("142,187,000"), "{widget}: the last price stays");
                assert_eq!(page.elements[0].get("data-live"), state.as_str());
            }
        }
    }
    let app = Set { quotes: vec![], ..Set::default() }.app();
    for widget in WIDGETS {
        for (lang, said) in [("ko", "시세 없음"), ("en", "no price yet"), ("ja", "価格なし")] {
            let page = parse(&ask(&app, &format!("/fragment/{widget}?lang={lang}")).await.body).unwrap();
            assert!(page.text.contains(said) && !page.text.contains('%'), "{widget} {lang}: {}", page.words());
            assert!(page.all("time").all(|time| time.get("datetime").ends_with('Z')), "{widget}: no time that is none");
        }
    }
}

#[tokio::test]
async fn an_unknown_change_is_a_dash_without_direction_everywhere() {
    let app = Set { quotes: vec![quote("BTC-KRW", "142187000", None)], ..Set::default() }.app();
    for widget in WIDGETS.into_iter().filter(|widget| *widget != "movers") {
        let answer = ask(&app, &format!("/fragment/{widget}?markets=BTC-KRW&lang=ko")).await;
        assert_eq!(answer.between("data-cell=\"change\">", "<"), ["–"], "{widget}");
        assert_eq!(answer.between("data-direction=\"", "\"")[0], "even", "{widget}");
        assert_eq!(answer.between("data-cell=\"word\">", "<"), [""], "{widget}");
    }
    let movers = parse(&ask(&app, "/fragment/movers?lang=ko").await.body).unwrap();
    assert!(movers.with("data-market").next().is_none() && movers.text.contains("상승한 종목이 없습니다"));
}

#[tokio::test]
async fn an_unknown_widget_is_not_found_and_is_told_which_there_are() {
    let app = app();
    for name in ["tabel", "%3Cscript%3E", "board.html", "widgets"] {
        for frame in ["embed", "fragment"] {
            let answer = ask(&app, &format!("/{frame}/{name}")).await;
            assert_eq!(answer.status, 404, "{frame}/{name}");
            let page = parse(&answer.body).unwrap();
            assert!(WIDGETS.iter().all(|widget| page.text.contains(widget)), "{}", answer.body);
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn invented_prices_are_marked_by_every_widget() {
    let app = Set { demo: true, ..Set::default() }.app();
    for widget in WIDGETS {
        let page = parse(&ask(&app, &format!("/fragment/{widget}")).await.body).unwrap();
        assert!(page.text.contains("DEMO") && page.elements[0].attributes.contains_key("data-demo"), "{widget}");
    }
}

#[tokio::test]
async fn every_widget_with_a_change_says_its_basis() {
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
                let said = parse(&ask(&app, &path).await.body).unwrap().words();
                let short = match (basis, *lang) {
                    ("24h", "en") => "(24 h)",
                    ("24h", _) => "(24",
                    ("utc-day", "en") => "(since 00:00 UTC)",
                    ("kst-day", "en") => "(since 00:00 KST)",
                    ("utc-day", "ko") => "(오전 9시 대비)",
                    ("kst-day", "ko") => "(0시 대비)",
                    ("utc-day", _) => "(午前9時比)",
                    _ => "(午前0時比)",
                };
                let wanted = if *widget == "ticker" { short } else { words };
                assert!(said.contains(wanted), "{path}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_dash_for_a_change_says_why() {
    for (why, words) in [
        (NoChange::Awaited, ["기준 가격 확인 중", "base price not known yet", "基準価格を確認中"]),
        (NoChange::NoHistory, ["지난 시세를 읽지 못함", "past prices can't be read", "過去の価格を取得できません"]),
        (NoChange::NewListing, ["기준 시각 이후에 상장", "listed after the base time", "基準時刻より後に上場"]),
        (NoChange::NoEarlierTrade, ["이전의 거래 없음", "no trade before the base time", "より前の取引なし"]),
        (NoChange::Rescaled, ["단위가 바뀐", "unit of the price seems to have changed", "単位が変わった"]),
    ] {
        let row = Quote { no_bases: [why; 3], ..quote("BTC-KRW", "142187000", None) };
        let app = Set { quotes: vec![row], ..Set::default() }.app();
        for (lang, words) in ["ko", "en", "ja"].iter().zip(words) {
            // Of movers there is none whose change is not known.
            for path in
                ["embed/board", "fragment/tape", "embed/card", "fragment/ticker", "embed/chart", "market/BTC-KRW", ""]
            {
                let path = format!("/{path}?lang={lang}{}", if path.contains('/') { "&markets=BTC-KRW" } else { "" });
                let body = ask(&app, &path).await.body.replace("&#39;", "'");
                let hover: Vec<_> = body.split("title=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
                assert!(hover.iter().any(|title| title.contains(words)), "{path}: {hover:?}");
                let aloud = |cell: &str| {
                    let text = body.split(&format!("data-cell=\"{cell}\">")).nth(1).unwrap_or_default();
                    text.split('<').next().unwrap_or_default().contains(words)
                };
                assert!(aloud("base") != aloud("no_change"), "{path}: once, for who listens");
            }
            let badge = ask(&app, &format!("/badge/BTC-KRW.svg?lang={lang}")).await.body.replace("&#39;", "'");
            assert!(badge.split("<title>").nth(1).unwrap().contains(words), "{badge}");
        }
    }
    // A change that is known has no such words, and what has no price is said to have none.
    for row in [quote("BTC-KRW", "1", Some("1")), Quote { last: None, ..quote("BTC-KRW", "1", None) }] {
        let app = Set { quotes: vec![row], ..Set::default() }.app();
        let body = ask(&app, "/embed/board?lang=en&markets=BTC-KRW").await.body;
        assert!(!body.contains("Change unavailable"), "{body}");
    }
    let wide = quote("BTC-KRW", "79228162514264337593543950335", Some("500"));
    let body =
        ask(&Set { quotes: vec![wide], ..Set::default() }.app(), "/embed/board?lang=en&markets=BTC-KRW").await.body;
    assert!(body.contains("Change unavailable: too large to work out"), "{body}");
}

#[tokio::test]
async fn a_dash_beside_a_known_price_says_why_or_when_it_is_filled() {
    let row = Quote { no_bases: [NoChange::NoHistory; 3], ..quote("BTC-KRW", "142187000", None) };
    let row = Quote { high_24h: None, low_24h: None, quote_volume_24h: None, ..row };
    let app = Set { quotes: vec![row], ..Set::default() }.app();
    let page = |path: &'static str| async { parse(&ask(&app, path).await.body).unwrap() };
    let board = page("/fragment/board?lang=en&markets=BTC-KRW&columns=last,change,amount,high,low,volume").await;
    let title = |column: &str, tag: &str| {
        let mut found = board.elements.iter().filter(|it| it.get("data-col") == column && it.tag == tag);
        found.next().unwrap().get("title").to_owned()
    };
    for (column, tag, words) in [
        ("amount", "td", "past prices can't be read"),
        ("high", "th", "once the prices of the last 24 hours are all known"),
        ("low", "th", "once the prices of the last 24 hours are all known"),
        ("volume", "th", "where the exchange tells it"),
    ] {
        assert!(title(column, tag).contains(words), "{column}: {}", title(column, tag));
    }
    let card = page("/fragment/card?lang=ko&markets=BTC-KRW").await;
    for cell in ["high", "low"] {
        let of = card.elements.iter().find(|it| it.get("data-cell") == cell).unwrap();
        assert_eq!(of.get("title"), "지난 24시간의 시세가 모두 있어야 표시합니다.", "{cell}");
    }
}
