//! With how many decimal places a price is shown.

use super::*;

fn digits_of(scene: &mut Scene) -> u32 {
    scene.row("BTC").digits
}

#[test]
fn fc_09_a_digit_seen_once_is_forgotten() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "3059", STREAM);
    assert_eq!(digits_of(&mut scene), 0);
    scene.tick(FIRST, "BTC", "3059.5", STREAM);
    assert_eq!(digits_of(&mut scene), 1);
    // The column does not jump with every trade.
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
fn fc_09_a_digit_of_another_life_is_forgotten_too() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "3059.5", STREAM);
    scene.tick(FIRST, "BTC", "3060", STREAM);
    let mut scene = scene.reborn();
    assert_eq!(digits_of(&mut scene), 1);
    scene.pass(70);
    scene.tick(FIRST, "BTC", "3060", STREAM);
    assert_eq!(digits_of(&mut scene), 0);
}

#[test]
fn fc_09_a_published_step_decides_and_no_digit_of_a_price_is_cut() {
    let mut scene = Scene::new();
    scene.tick(FIRST, "BTC", "3059.5", STREAM);
    let say = |scene: &mut Scene, size: &str| {
        let sizes = vec![(market("BTC"), size.parse().unwrap()), (market("ZZZ"), "1".parse().unwrap())];
        scene.quotes.apply(Event::TickSizes { venue: FIRST, sizes }, scene.now);
    };
    say(&mut scene, "1");
    assert_eq!(digits_of(&mut scene), 1, "the price itself needs it");
    scene.tick(FIRST, "BTC", "3060", STREAM);
    assert_eq!(digits_of(&mut scene), 0);
    say(&mut scene, "0.00500");
    assert_eq!(digits_of(&mut scene), 3);
}
