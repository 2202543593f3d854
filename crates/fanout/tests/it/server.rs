//! A server with real sockets: delivery, deadlines, closing, and the failure of its parts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use fanout::Settings;
use fanout::websocket::{Opcode, close_frame};

use super::frames::inflate;
use super::setup::{Client, DEADLINE, End, FIN, RSV1, frame, serve, settings};

/// Waits until `check` returns true.
#[expect(clippy::disallowed_methods, reason = "the deadline of a wait")]
fn until(what: &str, check: impl Fn() -> bool) {
    let end = std::time::Instant::now() + DEADLINE;
    while !check() {
        assert!(std::time::Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn members_get_the_frames_of_their_group_and_others_none() {
    let server = serve(settings());
    let (mut first, mut second, mut other) =
        (Client::connect(&server), Client::connect(&server), Client::connect(&server));
    for member in [&mut first, &mut second] {
        member.send("subscribe a");
        assert_eq!(member.text(), "subscribed a");
    }
    // A second subscription to the same group does not double its frames.
    second.send("subscribe b");
    assert_eq!(second.text(), "subscribed b");
    server.shared.group.publish("one");
    assert_eq!((first.text(), second.text()), ("one".to_owned(), "one".to_owned()));
    second.send("unsubscribe a");
    assert_eq!(second.text(), "1 left");
    server.shared.group.publish("two");
    assert_eq!((first.text(), second.text()), ("two".to_owned(), "two".to_owned()));
    second.send("unsubscribe b");
    assert_eq!(second.text(), "0 left");
    server.shared.group.publish("three");
    assert_eq!(first.text(), "three");
    for client in [&mut second, &mut other] {
        client.send("hello");
        assert_eq!(client.text(), "hello", "no frame of the group came before it");
    }
}

#[test]
fn a_member_that_does_not_read_gets_the_newest_state_only() {
    let server = serve(settings());
    let (mut slow, mut quick) = (Client::connect_with_small_buffer(&server), Client::connect(&server));
    for client in [&mut slow, &mut quick] {
        client.send("subscribe a");
        assert_eq!(client.text(), "subscribed a");
    }
    let last = 200;
    for number in 0..=last {
        server.shared.group.publish(large(number));
        assert_eq!(quick.text(), large(number));
    }
    assert_received(&mut slow, [large(0), large(last)]);
}

/// Returns a text that is more than the kernel takes for a client with a small buffer: once it is sent, a client that
/// does not read is blocked.
fn large(number: u32) -> String {
    format!("{number} {}", "x".repeat(60_000))
}

fn assert_received<const N: usize>(client: &mut Client, expected: [String; N]) {
    let starts = |texts: &[String]| texts.iter().map(|text| text.chars().take(20).collect()).collect::<Vec<String>>();
    let received: Vec<String> = expected.iter().map(|_| client.text()).collect();
    assert!(received == expected, "{:?}, not {:?}", starts(&received), starts(&expected));
}

#[test]
fn each_client_of_a_group_is_passed_to_the_service_before_an_update_of_a_new_revision() {
    let server = serve(settings());
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.send("subscribe a");
        assert_eq!(client.text(), "subscribed a");
    }
    clients[0].send("subscribe b");
    assert_eq!(clients[0].text(), "subscribed b");
    server.shared.group.revise("one");
    for (client, ids) in clients.iter_mut().zip(["a,b", "a", "a"]) {
        assert_eq!(client.text(), format!("revision 1 of {ids}"));
        assert_eq!(client.text(), "one");
    }
    server.shared.group.publish("two");
    for client in &mut clients {
        assert_eq!(client.text(), "two", "once per revision");
    }
}

#[test]
fn a_member_that_does_not_read_is_passed_to_the_service_once_it_reads_again() {
    let server = serve(settings());
    let (mut slow, mut quick) = (Client::connect_with_small_buffer(&server), Client::connect(&server));
    for client in [&mut slow, &mut quick] {
        client.send("subscribe a");
        assert_eq!(client.text(), "subscribed a");
    }
    server.shared.group.publish(large(0));
    assert_eq!(quick.text(), large(0));
    let last = 200;
    for number in 1..=last {
        server.shared.group.revise(large(number));
        assert_eq!(quick.text(), format!("revision {number} of a"));
        assert_eq!(quick.text(), large(number));
    }
    assert_received(&mut slow, [large(0), format!("revision {last} of a"), large(last)]);
}

#[test]
fn a_member_that_blocks_a_write_for_too_long_is_closed() {
    let server = serve(Settings { write_within: Duration::from_millis(50), ..settings() });
    let mut slow = Client::connect(&server);
    slow.send("subscribe a");
    assert_eq!(slow.text(), "subscribed a");
    until("the client is closed with 3008", || {
        server.shared.group.publish("x".repeat(60_000));
        server.shared.closes.lock().unwrap().contains(&(3008, false))
    });
}

#[test]
fn deadlines_of_the_client_close_it() {
    let soon = Duration::from_millis(20);
    let no_subscription = serve(Settings { subscribe_within: Some(soon), ..settings() });
    assert_eq!(Client::connect(&no_subscription).end(), End::Close(Some(3502)));
    let no_pong = serve(Settings { ping_every: soon, pong_within: soon, ..settings() });
    assert_eq!(Client::connect(&no_pong).end(), End::Close(Some(3012)));
    // Whoever answers stays.
    let server = serve(Settings { ping_every: soon, ..settings() });
    let mut client = Client::connect(&server);
    for _ in 0..3 {
        let (first, payload) = client.frame().unwrap();
        assert_eq!(first, FIN | Opcode::Ping as u8);
        client.write(&frame(FIN | Opcode::Pong as u8, &payload));
    }
    let flooded = serve(Settings { messages_per_second_max: 2, ..settings() });
    let mut client = Client::connect(&flooded);
    (0..100).for_each(|_| client.send("hello"));
    assert_eq!(client.end(), End::Close(Some(3013)));
}

#[test]
fn messages_are_compressed_if_that_was_negotiated() {
    let server = serve(settings());
    let mut client = Client::connect_with(&server, "sec-websocket-extensions: permessage-deflate\r\n");
    client.send("subscribe a");
    assert_eq!(client.text(), "subscribed a");
    let text = "compressible ".repeat(100);
    server.shared.group.publish(text.clone());
    let (first, payload) = client.frame().unwrap();
    assert_eq!(first, FIN | RSV1 | Opcode::Text as u8);
    assert_eq!(inflate(&payload), text.into_bytes());
}

#[test]
fn bytes_that_are_no_frame_close_the_connection_and_no_other() {
    let server = serve(settings());
    let mut other = Client::connect(&server);
    let cases: [(&[u8], u16); 4] = [
        (&[FIN | 3, 0x80, 0, 0, 0, 0], 1002),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
        (&frame(FIN | Opcode::Text as u8, &[0xFF]), 1007),
        (&frame(FIN | Opcode::Text as u8, &[b'x'; 4097]), 1009),
    ];
    for (bytes, code) in cases {
        let mut client = Client::connect(&server);
        client.write(bytes);
        assert_eq!(client.end(), End::Close(Some(code)), "{bytes:?}");
    }
    other.send("hello");
    assert_eq!(other.text(), "hello");
}

#[test]
fn closes_are_answered_and_reported() {
    let server = serve(settings());
    let mut client = Client::connect(&server);
    let mut close = close_frame(Some(4321), "");
    let payload = close.split_off(2);
    client.write(&frame(FIN | Opcode::Close as u8, &payload));
    assert_eq!(client.end(), End::Close(Some(4321)));
    let mut client = Client::connect(&server);
    client.send("close");
    assert_eq!(client.end(), End::Close(Some(4000)));
    drop(Client::connect(&server));
    until("three closes are reported", || server.shared.closes.lock().unwrap().len() == 3);
    assert_eq!(*server.shared.closes.lock().unwrap(), [(4321, true), (4000, false), (1006, true)]);
}

#[test]
fn a_handler_that_panics_closes_its_client_alone() {
    let server = serve(settings());
    let (mut client, mut other) = (Client::connect(&server), Client::connect(&server));
    client.send("panic");
    assert_eq!(client.end(), End::Close(Some(1011)));
    other.send("hello");
    assert_eq!(other.text(), "hello");
}

#[test]
fn a_thread_that_ends_is_replaced_and_its_clients_are_closed() {
    let server = serve(settings());
    let mut client = Client::connect(&server);
    // A client that the thread has not admitted yet would be served by the next one.
    client.send("hello");
    assert_eq!(client.text(), "hello");
    server.shared.end_thread.store(true, Ordering::SeqCst);
    client.send("hello");
    assert_eq!(client.end(), End::Close(Some(3011)));
    let mut next = Client::connect(&server);
    next.send("hello");
    assert_eq!(next.text(), "hello");
}

#[test]
fn the_members_of_a_group_that_fails_are_closed() {
    let server = serve(settings());
    let (mut member, mut other) = (Client::connect(&server), Client::connect(&server));
    member.send("subscribe a");
    assert_eq!(member.text(), "subscribed a");
    server.shared.group.fail();
    assert_eq!(member.end(), End::Close(Some(3011)));
    other.send("hello");
    assert_eq!(other.text(), "hello");
}

#[test]
fn at_a_shutdown_every_client_gets_a_last_message_and_a_close() {
    let server = serve(Settings { close_within: Duration::from_millis(100), ..settings() });
    let mut client = Client::connect(&server);
    client.send("hello");
    assert_eq!(client.text(), "hello");
    server.delivery.close();
    assert_eq!(client.text(), "bye");
    assert_eq!(client.end(), End::Close(Some(1012)));
    server.delivery.join();
    // A client that comes afterwards is not left open.
    assert_eq!(Client::connect(&server).end(), End::Close(Some(1012)));
}
