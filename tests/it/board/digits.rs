//! The number of decimal places that a price is displayed with.

use super::*;

fn digits_of(scene: &mut Scene) -> u32 {
    scene.row("BTC").digits
}

#[test]
fn fc_09_a_digit_seen_once_is_dropped_again() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "3059", STREAM);
    assert_eq!(digits_of(&mut scene), 0);
    scene.tick(FIRST, "BTC", "3059.5", STREAM);
    assert_eq!(digits_of(&mut scene), 1);
    // The number of places does not change with every trade.
    for _ in 0..12 {
        scene.sleep(5);
        scene.tick(FIRST, "BTC", "3060", STREAM);
        scene.quotes.tick(scene.now);
        assert_eq!(digits_of(&mut scene), 1);
    }
    scene.sleep(5);
    scene.tick(FIRST, "BTC", "3060", STREAM);
    scene.quotes.tick(scene.now);
    assert_eq!(digits_of(&mut scene), 0);
}

#[test]
fn fc_09_a_digit_from_a_previous_run_is_dropped_too() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "3059.5", STREAM);
    scene.tick(FIRST, "BTC", "3060", STREAM);
    let mut scene = scene.restarted();
    assert_eq!(digits_of(&mut scene), 1);
    scene.pass(70);
    scene.tick(FIRST, "BTC", "3060", STREAM);
    assert_eq!(digits_of(&mut scene), 0);
}

#[test]
fn fc_09_a_published_tick_size_decides_and_no_digit_of_a_price_is_cut_off() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "3059.5", STREAM);
    let apply_tick_size = |scene: &mut Scene, size: &str| {
        let sizes = vec![(market("BTC"), size.parse().unwrap()), (market("ZZZ"), "1".parse().unwrap())];
        scene.quotes.apply(Event::TickSizes { venue: FIRST, sizes }, scene.now);
    };
    apply_tick_size(&mut scene, "1");
    assert_eq!(digits_of(&mut scene), 1, "the price itself needs it");
    scene.tick(FIRST, "BTC", "3060", STREAM);
    assert_eq!(digits_of(&mut scene), 0);
    apply_tick_size(&mut scene, "0.00500");
    assert_eq!(digits_of(&mut scene), 3);
}
