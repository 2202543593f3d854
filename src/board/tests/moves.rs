//! Real moves by a power of ten, and what proves that they are.

use super::*;

/// A market at 100 for a day at both venues, the second one's price as given, that falls to a tenth.
fn fallen(second: Option<&str>, settings: Settings, venue_base: Option<&str>) -> Scene {
    let mut scene = Scene::new();
    let wanted = Wanted {
        source: SourceId::new(["first", "second"]),
        venues: vec![FIRST, SECOND],
        markets: vec![market("BTC")],
        basis: Basis::Rolling24h,
    };
    scene.quotes = Quotes::new(&[wanted], settings, scene.now);
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
fn fc_15_without_a_witness_a_tenth_of_the_price_may_be_another_unit() {
    for second in [None, Some("100"), Some("55"), Some("1000")] {
        let mut scene = fallen(second, Settings::default(), None);
        assert_eq!(change(&mut scene), None, "{second:?}");
        assert_eq!(scene.quotes.refused.get(&(FIRST, "rescaled")), Some(&1), "the reason is counted");
    }
    // A figure of the venue's that is in the new unit says that the unit has changed.
    assert_eq!(change(&mut fallen(None, Settings::default(), Some("10"))), None);
}

#[test]
fn fc_15_another_exchange_that_fell_too_proves_that_the_market_did() {
    let mut scene = fallen(Some("10.5"), Settings::default(), None);
    assert_eq!(change(&mut scene).as_deref(), Some("-90.00"));
    assert_eq!(scene.quotes.refused.get(&(FIRST, "rescaled")), None);
    // Also hours later, and in another life of the process.
    scene.quotes.record_all();
    let mut scene = scene.reborn();
    for venue in [FIRST, SECOND] {
        scene.tick(venue, "BTC", "10", STREAM);
    }
    scene.quotes.tick(scene.now);
    assert_eq!(change(&mut scene).as_deref(), Some("-90.00"));
}

#[test]
fn fc_15_the_exchanges_own_rolling_figure_proves_it_too() {
    assert_eq!(change(&mut fallen(None, Settings::default(), Some("101"))).as_deref(), Some("-90.00"));
}

#[test]
fn fc_15_the_operator_can_say_that_it_was_real() {
    let at = Minute::of("2026-01-15T06:28:00Z".parse().unwrap());
    let told = crate::domain::Redenomination { venue: FIRST, market: market("BTC"), at, factor: price("1") };
    let settings = Settings { redenominations: vec![told.clone()], ..Settings::default() };
    assert_eq!(change(&mut fallen(None, settings, None)).as_deref(), Some("-90.00"));
    let elsewhere = crate::domain::Redenomination { at: at.plus(-5), ..told };
    let settings = Settings { redenominations: vec![elsewhere], ..Settings::default() };
    assert_eq!(change(&mut fallen(None, settings, None)), None, "of another minute");
}
