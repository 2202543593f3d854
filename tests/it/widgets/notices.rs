//! Notices of an exchange and halt reasons, as visitors see them.

use std::sync::Arc;

use sisepan::market::{HaltReason, Notice, Quote, State};

use super::parse::parse;
use super::{AppFixture, WIDGETS, get, quote};

/// Returns the distinct notices of the widgets, and the note on the market page.
async fn shown(row: Quote, lang: &str) -> (Vec<String>, String) {
    let app = AppFixture { quotes: vec![row], ..AppFixture::default() }.app();
    let mut notices = Vec::new();
    for widget in WIDGETS.iter().filter(|widget| **widget != "movers") {
        let path = format!("/embed/{widget}?lang={lang}&markets=BTC-KRW");
        let body = get(&app, &path).await.body;
        parse(&body).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (_, after) = body.split_once(r#"<small part="notice" data-cell="notice">"#).unwrap();
        notices.push(after.split_once('<').unwrap().0.to_owned());
    }
    notices.dedup();
    let page = get(&app, &format!("/market/BTC-KRW?lang={lang}")).await.body;
    let note = page.split_once(r#"<p class="warned" role="note">"#);
    (notices, note.map_or("", |(_, after)| after.split_once('<').unwrap().0).to_owned())
}

#[tokio::test]
async fn fc_11_every_widget_and_the_market_page_show_the_notice_of_the_exchange() {
    let row = || quote("BTC-KRW", "142187000", Some("139290000"));
    let notice = |warning, date: Option<&str>, cautions: &[&str]| {
        let cautions: Vec<String> = cautions.iter().map(ToString::to_string).collect();
        Notice::of(warning, date.map(|date| date.parse().unwrap()), &cautions).map(Arc::new)
    };
    let halted = |reason| Quote { state: State::Halted, reason: Some(reason), ..row() };
    for (row, lang, short, long) in [
        (row(), "ko", "", ""),
        (halted(HaltReason::Delisted), "ko", "거래지원 종료", "빗썸: 거래지원 종료."),
        (halted(HaltReason::Delisted), "en", "delisted", "Bithumb: delisted."),
        (halted(HaltReason::Suspended), "ko", "", "빗썸: 거래 중단."),
        (Quote { notice: notice(true, None, &[]), ..row() }, "ja", "警告", "ビッサム: 投資警告の対象。"),
        (
            Quote { notice: notice(true, Some("2026-12-01"), &["PRICE_FLUCTUATIONS"]), ..row() },
            "ko",
            "12.01 거래종료",
            "빗썸: 2026-12-01 거래지원 종료 예정. 주의: 가격 급등락.",
        ),
    ] {
        assert_eq!(shown(row, lang).await, (vec![short.to_owned()], long.to_owned()), "{lang}");
    }
}
