//! What every widget has in common, and what each shows.

use sisepan::domain::State;

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
        ("ko", "비트코인 142,187,000원 +2.08% 상승"),
        ("en", "Bitcoin 142,187,000 KRW +2.08% up"),
        ("ja", "ビットコイン 142,187,000ウォン +2.08% 上昇"),
    ] {
        let answer = ask(&app, &format!("/fragment/ticker?lang={lang}")).await;
        assert_eq!(parse(&answer.body).unwrap().words(), said);
        assert!(answer.body.ends_with("</span>"), "no white space of ours stands before what follows");
        let tape = ask(&app, &format!("/fragment/tape?lang={lang}&markets=BTC-KRW")).await;
        assert!(parse(&tape.body).unwrap().words().contains(said), "{lang}");
    }
    let two = parse(&ask(&app, "/fragment/ticker?lang=ko&markets=XRP-KRW,TRX-KRW").await.body).unwrap();
    assert_eq!(two.words(), "리플 3,104원 -0.86% 하락, 트론 447원 0.00% 보합");
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
