//! TLS: a client that trusts the authority connects, and rejects bad certificates.

use std::sync::Arc;
use std::time::Duration;

use fake_exchanges::tls::Certificate;
use fake_exchanges::{Fake, Options, start};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

async fn start_tls(kind: Certificate) -> Fake {
    start(Options { tls: Some(kind), ..Options::default() }).await.unwrap()
}

fn config(fake: &Fake) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(fake.ca_pem().unwrap().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

async fn get_ping(fake: &Fake, host: &'static str) -> std::io::Result<String> {
    let tcp = TcpStream::connect(fake.addr()).await?;
    let mut tls = TlsConnector::from(config(fake)).connect(ServerName::try_from(host).unwrap(), tcp).await?;
    tls.write_all(b"GET /binance/api/v3/ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    // The connection may end without a close_notify, which rustls reports as an error.
    let _ = tls.read_to_end(&mut answer).await;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_connects() {
    let fake = start_tls(Certificate::Valid).await;
    assert!(fake.rest_url("upbit").starts_with("https://") && fake.stream_url("upbit").starts_with("wss://"));
    // A stalled handshake must not delay other clients.
    let _slow = TcpStream::connect(fake.addr()).await.unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let answer = get_ping(&fake, host).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{}"), "{answer}");
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn bad_certificates_are_rejected_each_for_its_reason() {
    for (kind, reason) in [
        (Certificate::Expired, "expired"),
        (Certificate::WrongName, "not valid for name"),
        (Certificate::UnknownCa, "UnknownIssuer"),
    ] {
        let fake = start_tls(kind).await;
        let refused = get_ping(&fake, "localhost").await.expect_err("a bad certificate was accepted").to_string();
        assert!(refused.contains(reason), "{kind:?}: {refused}");
        fake.shutdown().await;
    }
}

/// Sends `bytes` and the end of the stream, and waits until the server has closed the connection.
async fn send_and_close(fake: &Fake, bytes: &[u8]) {
    let mut tcp = TcpStream::connect(fake.addr()).await.unwrap();
    // The server may close the connection before all of it is sent.
    let _ = tcp.write_all(bytes).await;
    let _ = tcp.shutdown().await;
    let end = tokio::time::timeout(Duration::from_secs(20), tcp.read_to_end(&mut Vec::new())).await;
    assert!(end.is_ok(), "a broken handshake stays open: {bytes:02x?}");
}

#[tokio::test]
async fn out_15_no_broken_handshake_delays_or_stops_the_server() {
    const CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];
    let fake = start_tls(Certificate::Valid).await;
    let mut client = rustls::ClientConnection::new(config(&fake), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();

    // A close_notify in the middle of the ClientHello, at every seventh byte.
    for end in (0..=hello.len()).step_by(7).chain([5, 6, hello.len()]) {
        send_and_close(&fake, &[&hello[..end], &CLOSE_NOTIFY[..]].concat()).await;
    }
    // ClientHellos with bytes changed, removed and inserted.
    let seed = 15;
    let mut random = Pcg64::seed_from_u64(seed);
    for _ in 0..300 {
        let mut broken = hello.clone();
        for _ in 0..random.random_range(1..=8) {
            let at = random.random_range(0..broken.len());
            match random.random_range(0..3) {
                0 => broken[at] = random.random(),
                1 => drop(broken.remove(at)),
                _ => broken.insert(at, random.random()),
            }
        }
        send_and_close(&fake, &broken).await;
    }
    let answer = get_ping(&fake, "localhost").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "seed {seed}: {answer}");
    fake.shutdown().await;
}
