//! Single cases of what the window knows: the ones worth a name.

use rust_decimal::Decimal;
use sisepan::domain::window::Sighting;
use sisepan::domain::{Minute, Price, Window};

fn price(units: i64) -> Price {
    Price::new(Decimal::from(units)).unwrap()
}

fn sighting(price_units: i64, traded: &str, until: &str, unbroken: bool) -> Sighting {
    let at = |text: &str| format!("2026-11-22T{text}Z").parse().unwrap();
    Sighting { price: price(price_units), traded_at: at(traded), until: at(until), unbroken }
}

fn before(window: &Window, time: &str) -> Option<Price> {
    window.price_before(format!("2026-11-22T{time}Z").parse().unwrap())
}

#[test]
fn quiet_is_not_a_hole() {
    let mut window = Window::default();
    // One message says that the last trade was half an hour ago: all of it is known.
    window.observe(sighting(5, "10:00:10", "10:30:30", false));
    assert_eq!(before(&window, "10:00:00"), None);
    assert_eq!(before(&window, "10:01:00"), Some(price(5)));
    assert_eq!(before(&window, "10:30:00"), Some(price(5)));
    assert_eq!(before(&window, "10:31:00"), None, "the minute is still running");
}

#[test]
fn a_hole_hides_the_base() {
    let mut window = Window::default();
    window.observe(sighting(5, "10:00:10", "10:01:30", false));
    window.observe(sighting(7, "10:20:00", "10:22:00", false));
    assert_eq!(before(&window, "10:01:00"), Some(price(5)));
    assert_eq!(before(&window, "10:10:00"), None);
    assert_eq!(before(&window, "10:20:00"), None, "a trade may have gone unseen");
    assert_eq!(before(&window, "10:21:00"), Some(price(7)));
}

#[test]
fn a_replayed_trade_does_not_bridge_a_lost_connection() {
    let mut window = Window::default();
    window.observe(sighting(4, "09:59:00", "09:59:00", false));
    window.observe(sighting(5, "10:00:10", "10:01:30", true));
    // A new connection: first an old trade again, then the next one.
    window.observe(sighting(4, "09:59:00", "09:59:00", false));
    window.observe(sighting(7, "10:20:00", "10:22:00", true));
    assert_eq!(before(&window, "10:01:00"), Some(price(5)));
    assert_eq!(before(&window, "10:10:00"), None);
    assert_eq!(before(&window, "10:21:00"), Some(price(7)));
}

#[test]
fn a_replayed_trade_in_a_settled_minute_does_not_bridge_either() {
    let mut window = Window::default();
    window.observe(sighting(4, "10:00:10", "10:00:10", false));
    window.observe(sighting(5, "10:00:20", "10:01:30", true));
    let minute = Minute::of("2026-11-22T10:00:00Z".parse().unwrap());
    // The candle knows the close of the minute, but not when in it the trade was.
    window.settle(minute..minute.plus(1), &[(minute, price(5))]);
    window.observe(sighting(4, "10:00:10", "10:00:10", false));
    window.observe(sighting(7, "10:20:00", "10:22:00", true));
    assert_eq!(before(&window, "10:01:00"), Some(price(5)));
    assert_eq!(before(&window, "10:10:00"), None);
}

#[test]
fn of_two_trades_at_one_instant_the_one_seen_later_stands() {
    let mut window = Window::default();
    window.observe(sighting(5, "10:00:10", "10:00:11", false));
    window.observe(sighting(6, "10:00:10", "10:01:30", true));
    window.observe(sighting(5, "10:00:10", "10:00:11", true));
    assert_eq!(before(&window, "10:01:00"), Some(price(6)));
}

#[test]
fn a_candle_overrules_what_was_seen_and_counts_it() {
    let mut window = Window::default();
    window.observe(sighting(5, "10:00:10", "10:05:30", false));
    let minute = Minute::of("2026-11-22T10:00:00Z".parse().unwrap());
    let span = minute..minute.plus(5);
    // Another close, and a trade in a minute that looked quiet.
    assert_eq!(window.settle(span.clone(), &[(minute, price(6)), (minute.plus(2), price(7))]), 2);
    assert_eq!(window.settle(span.clone(), &[(minute, price(6)), (minute.plus(2), price(7))]), 0);
    assert_eq!(before(&window, "10:02:00"), Some(price(6)));
    assert_eq!(before(&window, "10:05:00"), Some(price(7)));
    assert!(window.unsettled(span.clone()).is_empty());
    // A late ticker does not overrule the candle.
    window.observe(sighting(9, "10:00:59", "10:01:00", true));
    assert_eq!(before(&window, "10:01:00"), Some(price(6)));
    // A candle of another time speaks for nothing.
    assert_eq!(window.settle(span, &[(minute.plus(9), price(1)), (minute, price(6)), (minute.plus(2), price(7))]), 0);
    assert_eq!(before(&window, "10:10:00"), None);
}

#[test]
fn a_minute_seen_in_part_is_no_wrong_claim() {
    let mut window = Window::default();
    window.observe(sighting(5, "10:00:10", "10:00:20", false));
    let minute = Minute::of("2026-11-22T10:00:00Z".parse().unwrap());
    assert_eq!(window.settle(minute..minute.plus(1), &[(minute, price(6))]), 0);
    assert_eq!(before(&window, "10:01:00"), Some(price(6)));
}
