//! Real moves by a power of ten, and what proves them.

use sisepan::market::Redenomination;

use super::*;

/// A market that was at 100 for a day at both venues: it falls to a tenth at the first one, and to `second`
/// at the second.
fn fallen(second: Option<&str>, settings: BoardSettings, venue_base: Option<&str>) -> Scene {
    let mut scene = Scene::new();
    let spec = BoardSpec {
        source: SourceId::new(["first", "second"]),
        venues: vec![FIRST, SECOND],
        markets: vec![market("BTC")],
        basis: Basis::Rolling24h,
    };
    scene.start_board(spec, settings);
    let from = (scene.truth - SignedDuration::from_mins(1500)).to_string();
    for venue in [FIRST, SECOND] {
        scene.settle(venue, "BTC", &from, &["100"; 1500]);
        scene.tick(venue, "BTC", "100", STREAM);
    }
    scene.pass(60);
    let ticker = Ticker {
        traded_at: Some(scene.truth),
        sent_at: Some(scene.truth),
        base_24h: venue_base.map(price),
        ..Ticker::new(price("10"))
    };
    scene.ticker(FIRST, "BTC", ticker, STREAM);
    second.into_iter().for_each(|last| scene.tick(SECOND, "BTC", last, STREAM));
    scene.quotes.tick(scene.now);
    scene
}

fn change(scene: &mut Scene) -> Option<String> {
    let row = scene.row("BTC");
    assert_eq!((row.last, row.state, row.venue), (Some(price("10")), State::Live, FIRST));
    scene.percent("BTC", Basis::Rolling24h)
}

#[test]
fn fc_15_without_confirmation_a_tenth_of_the_price_may_be_another_unit() {
    for second in [None, Some("100"), Some("55"), Some("1000")] {
        let mut scene = fallen(second, BoardSettings::default(), None);
        assert_eq!(change(&mut scene), None, "{second:?}");
        assert_eq!(scene.rejected("rescaled"), Some(1), "the reason is counted");
    }
    // A venue's figure in the new unit shows that the unit has changed.
    assert_eq!(change(&mut fallen(None, BoardSettings::default(), Some("10"))), None);
}

#[test]
fn fc_15_another_exchange_that_fell_too_proves_a_real_move() {
    let mut scene = fallen(Some("10.5"), BoardSettings::default(), None);
    assert_eq!(change(&mut scene).as_deref(), Some("-90.00"));
    assert_eq!(scene.rejected("rescaled"), None);
    // Also after a restart.
    scene.quotes.mark_all_unrecorded();
    let mut scene = scene.restarted();
    for venue in [FIRST, SECOND] {
        scene.tick(venue, "BTC", "10", STREAM);
    }
    scene.quotes.tick(scene.now);
    assert_eq!(change(&mut scene).as_deref(), Some("-90.00"));
}

#[test]
fn fc_15_the_exchanges_own_rolling_figure_proves_a_real_move() {
    assert_eq!(change(&mut fallen(None, BoardSettings::default(), Some("101"))).as_deref(), Some("-90.00"));
}

#[test]
fn fc_15_the_operator_can_declare_a_real_move() {
    let at = Minute::of("2026-01-15T06:28:00Z".parse().unwrap());
    let declared = Redenomination { venue: FIRST, market: market("BTC"), at, factor: price("1") };
    let settings = BoardSettings { redenominations: vec![declared.clone()], ..BoardSettings::default() };
    assert_eq!(change(&mut fallen(None, settings, None)).as_deref(), Some("-90.00"));
    let elsewhere = Redenomination { at: at.plus(-5), ..declared };
    let settings = BoardSettings { redenominations: vec![elsewhere], ..BoardSettings::default() };
    assert_eq!(change(&mut fallen(None, settings, None)), None, "of another minute");
}
