//! Named cases of which closes a window knows.

use rust_decimal::Decimal;
use sisepan::market::window::TradeObservation;
use sisepan::market::{Minute, Price, Window};

fn price(units: i64) -> Price {
    Price::new(Decimal::from(units)).unwrap()
}

fn observation(price_units: i64, traded: &str, until: &str, unbroken: bool) -> TradeObservation {
    let at = |text: &str| format!("2026-11-22T{text}Z").parse().unwrap();
    TradeObservation { price: price(price_units), traded_at: at(traded), until: at(until), unbroken }
}

fn before(window: &Window, time: &str) -> Option<Price> {
    window.price_before(format!("2026-11-22T{time}Z").parse().unwrap())
}

#[test]
fn quiet_is_not_a_gap() {
    let mut window = Window::default();
    // One message dates the last trade half an hour ago, so all minutes since are known.
    window.observe(observation(5, "10:00:10", "10:30:30", false));
    assert_eq!(before(&window, "10:00:00"), None);
    assert_eq!(before(&window, "10:01:00"), Some(price(5)));
    assert_eq!(before(&window, "10:30:00"), Some(price(5)));
    assert_eq!(before(&window, "10:31:00"), None, "the minute is still running");
}

#[test]
fn a_gap_makes_the_base_unknown() {
    let mut window = Window::default();
    window.observe(observation(5, "10:00:10", "10:01:30", false));
    window.observe(observation(7, "10:20:00", "10:22:00", false));
    assert_eq!(before(&window, "10:01:00"), Some(price(5)));
    assert_eq!(before(&window, "10:10:00"), None);
    assert_eq!(before(&window, "10:20:00"), None, "a trade may have gone unseen");
    assert_eq!(before(&window, "10:21:00"), Some(price(7)));
}

#[test]
fn a_replayed_trade_does_not_bridge_a_lost_connection() {
    let mut window = Window::default();
    window.observe(observation(4, "09:59:00", "09:59:00", false));
    window.observe(observation(5, "10:00:10", "10:01:30", true));
    // A new connection sends an old trade again, then a new one.
    window.observe(observation(4, "09:59:00", "09:59:00", false));
    window.observe(observation(7, "10:20:00", "10:22:00", true));
    assert_eq!(before(&window, "10:01:00"), Some(price(5)));
    assert_eq!(before(&window, "10:10:00"), None);
    assert_eq!(before(&window, "10:21:00"), Some(price(7)));
}

#[test]
fn a_replayed_trade_in_a_settled_minute_does_not_bridge_a_lost_connection() {
    let mut window = Window::default();
    window.observe(observation(4, "10:00:10", "10:00:10", false));
    window.observe(observation(5, "10:00:20", "10:01:30", true));
    let minute = Minute::of("2026-11-22T10:00:00Z".parse().unwrap());
    // A candle has the close of the minute, but not the time of its last trade.
    window.settle(minute..minute.plus(1), &[(minute, price(5))]);
    window.observe(observation(4, "10:00:10", "10:00:10", false));
    window.observe(observation(7, "10:20:00", "10:22:00", true));
    assert_eq!(before(&window, "10:01:00"), Some(price(5)));
    assert_eq!(before(&window, "10:10:00"), None);
}

#[test]
fn of_two_trades_at_one_instant_the_one_seen_later_counts() {
    let mut window = Window::default();
    window.observe(observation(5, "10:00:10", "10:00:11", false));
    window.observe(observation(6, "10:00:10", "10:01:30", true));
    window.observe(observation(5, "10:00:10", "10:00:11", true));
    assert_eq!(before(&window, "10:01:00"), Some(price(6)));
}

#[test]
fn a_candle_overrides_closes_seen_live_and_counts_them() {
    let mut window = Window::default();
    window.observe(observation(5, "10:00:10", "10:05:30", false));
    let minute = Minute::of("2026-11-22T10:00:00Z".parse().unwrap());
    let span = minute..minute.plus(5);
    // Another close, and a trade in a minute that looked quiet.
    assert_eq!(window.settle(span.clone(), &[(minute, price(6)), (minute.plus(2), price(7))]), 2);
    assert_eq!(window.settle(span.clone(), &[(minute, price(6)), (minute.plus(2), price(7))]), 0);
    assert_eq!(before(&window, "10:02:00"), Some(price(6)));
    assert_eq!(before(&window, "10:05:00"), Some(price(7)));
    assert!(window.unsettled(span.clone()).is_empty());
    // A late ticker does not override the candle.
    window.observe(observation(9, "10:00:59", "10:01:00", true));
    assert_eq!(before(&window, "10:01:00"), Some(price(6)));
    // A candle outside of the span is ignored.
    assert_eq!(window.settle(span, &[(minute.plus(9), price(1)), (minute, price(6)), (minute.plus(2), price(7))]), 0);
    assert_eq!(before(&window, "10:10:00"), None);
}

#[test]
fn a_minute_seen_in_part_is_not_counted_as_overridden() {
    let mut window = Window::default();
    window.observe(observation(5, "10:00:10", "10:00:20", false));
    let minute = Minute::of("2026-11-22T10:00:00Z".parse().unwrap());
    assert_eq!(window.settle(minute..minute.plus(1), &[(minute, price(6))]), 0);
    assert_eq!(before(&window, "10:01:00"), Some(price(6)));
}
