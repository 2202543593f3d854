//! Notices from a venue's list and from its tickers.

use sisepan::market::{HaltReason, NoticeKind};

use super::*;

impl Scene {
    /// Applies a list with the given warning and cautions for `BTC`.
    fn list_warning(&mut self, warning: Option<bool>, cautions: Option<&[&str]>) {
        let cautions = cautions.map(|names| names.iter().map(ToString::to_string).collect());
        let listings = vec![Listing { warning, cautions, ..listing("BTC", false) }, listing("ETH", false)];
        self.apply_list(FIRST, listings, &[], &[]);
    }

    fn send_notice(&mut self, warning: Option<bool>, delisting: Option<Option<&str>>) {
        let delisting = delisting.map(|day| day.map(|day| day.parse().unwrap()));
        self.sleep(1);
        let at = Some(self.truth);
        let ticker = Ticker { traded_at: at, sent_at: at, warning, delisting, ..Ticker::new(price("300")) };
        self.ticker(FIRST, "BTC", ticker, STREAM);
    }

    /// Returns the notice of `BTC`, such as `delisting 2026-12-01 A,B`.
    fn notice(&mut self) -> String {
        let row = self.row("BTC");
        assert_eq!((row.state, row.reason), (State::Live, None), "a notice does not change the state");
        let Some(notice) = row.notice else { return String::new() };
        let day = notice.date.map(|date| date.to_string());
        let parts = [Some(notice.kind.as_str().to_owned()), day, Some(notice.cautions.join(","))];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn fc_11_the_most_serious_notice_is_published_and_values_that_are_not_reported_stay() {
    let mut scene = Scene::new();
    scene.list_warning(None, Some(&[]));
    scene.send_notice(None, None);
    assert_eq!(scene.notice(), "");
    scene.list_warning(Some(false), Some(&["A", "B"]));
    assert_eq!(scene.notice(), "caution A,B");
    scene.send_notice(Some(true), None);
    assert_eq!(scene.notice(), "warning A,B");
    scene.send_notice(None, Some(Some("2026-12-01")));
    assert_eq!(scene.notice(), "delisting 2026-12-01 A,B");
    scene.send_notice(None, None);
    scene.list_warning(None, None);
    assert_eq!(scene.notice(), "delisting 2026-12-01 A,B");
    scene.send_notice(Some(false), Some(None));
    assert_eq!(scene.notice(), "caution A,B");
    scene.list_warning(None, Some(&[]));
    assert_eq!(scene.notice(), "");
}

#[test]
fn fc_11_the_newest_change_in_list_or_stream_counts() {
    let mut scene = Scene::new();
    scene.list_warning(Some(true), None);
    // The stream reports another value, but that does not withdraw what the list reports.
    for _ in 0..3 {
        scene.send_notice(Some(false), None);
        assert_eq!(scene.notice(), "warning");
    }
    scene.list_warning(Some(false), None);
    assert_eq!(scene.notice(), "");
    // The list is older than the stream, and only repeats its value.
    scene.send_notice(Some(true), None);
    scene.list_warning(Some(false), None);
    assert_eq!(scene.notice(), "warning");
    // A quiet market has no ticker that would end the warning.
    scene.list_warning(Some(true), None);
    scene.list_warning(Some(false), None);
    assert_eq!(scene.notice(), "");
}

#[test]
fn fc_11_a_market_that_is_listed_again_has_no_notice_from_before() {
    let mut scene = Scene::new();
    scene.list_warning(Some(true), Some(&["A"]));
    scene.send_notice(Some(true), Some(Some("2026-01-15")));
    for bases in [&["ETH"][..], &["ETH"]] {
        scene.pass(600);
        scene.list(FIRST, bases);
    }
    let row = scene.row("BTC");
    assert_eq!((row.state, row.reason), (State::Halted, Some(HaltReason::Delisted)));
    assert_eq!(row.notice.unwrap().kind, NoticeKind::Delisting);
    scene.pass(600);
    scene.list(FIRST, &["BTC", "ETH"]);
    scene.send_notice(None, None);
    assert_eq!(scene.notice(), "");
}

#[test]
fn fc_11_a_halted_row_has_a_reason() {
    let mut scene = Scene::new();
    let halted = |halted, delisted, scene: &Scene| {
        let at = Some(scene.truth);
        Ticker { traded_at: at, sent_at: at, halted: Some(halted), delisted, ..Ticker::new(price("300")) }
    };
    for (is_halted, delisted, reason) in
        [(true, false, Some(HaltReason::Suspended)), (true, true, Some(HaltReason::Delisted)), (false, false, None)]
    {
        scene.sleep(1);
        let ticker = halted(is_halted, delisted, &scene);
        scene.ticker(FIRST, "BTC", ticker, STREAM);
        assert_eq!(scene.row("BTC").reason, reason);
        let name = scene.why_no_price("BTC");
        let code = reason.map(|reason| if reason == HaltReason::Delisted { "delisted" } else { "halted" });
        assert_eq!(name, code);
    }
    // Responses without the halt (from the REST interface of some venues) end it only with a trade from after
    // the halt.
    scene.sleep(1);
    let ticker = halted(true, false, &scene);
    scene.ticker(FIRST, "BTC", ticker, STREAM);
    // The last trade before a halt may be dated after the halt's message, by as much as the clocks of a venue
    // differ.
    let before = Some(scene.truth + SignedDuration::from_secs(4));
    let sent_at = Some(scene.truth);
    let late = Ticker { traded_at: before, sent_at, halted: Some(true), ..Ticker::new(price("300")) };
    scene.ticker(FIRST, "BTC", late, STREAM);
    scene.sleep(15);
    let fetched = |traded_at, last| Ticker { traded_at, ..Ticker::new(price(last)) };
    scene.ticker(FIRST, "BTC", fetched(before, "300"), Via::Poll);
    assert_eq!(scene.row("BTC").reason, Some(HaltReason::Suspended));
    let now = Some(scene.truth);
    scene.ticker(FIRST, "BTC", fetched(now, "301"), Via::Poll);
    assert_eq!((scene.row("BTC").state, scene.row("BTC").reason), (State::Delayed, None));
    // By the list alone, and also after a restart.
    scene.list(FIRST, &["BTC", "ETH"]);
    scene.list(FIRST, &["ETH"]);
    scene.list(FIRST, &["ETH"]);
    assert_eq!(scene.row("BTC").reason, Some(HaltReason::Delisted));
    let mut scene = scene.restarted();
    let row = scene.row("BTC");
    assert_eq!((row.state, row.reason), (State::Halted, Some(HaltReason::Delisted)));
}
