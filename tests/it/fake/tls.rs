//! TLS: a client that trusts the authority gets through, but not to a bad certificate.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sisepan::fake::tls::Certificate;
use sisepan::fake::{Fake, Options, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

async fn secure(kind: Certificate) -> Fake {
    start(Options { tls: Some(kind), ..Options::default() }).await.unwrap()
}

fn config(fake: &Fake) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(fake.ca_pem().unwrap().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

async fn ask(fake: &Fake, host: &'static str) -> std::io::Result<String> {
    let tcp = TcpStream::connect(fake.addr()).await?;
    let mut tls = TlsConnector::from(config(fake)).connect(ServerName::try_from(host).unwrap(), tcp).await?;
    tls.write_all(b"GET /binance/api/v3/ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    // The end may come without a close_notify, which rustls calls an error.
    let _ = tls.read_to_end(&mut answer).await;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_gets_through() {
    let fake = secure(Certificate::Valid).await;
    assert!(fake.rest_url("upbit").starts_with("https://") && fake.stream_url("upbit").starts_with("wss://"));
    // A handshake that never goes on must not hold up the others.
    let _slow = TcpStream::connect(fake.addr()).await.unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let answer = ask(&fake, host).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{}"), "{answer}");
    }
    fake.shutdown().await;
}

#[tokio::test]
async fn the_bad_certificates_are_refused_each_for_its_reason() {
    for (kind, reason) in [
        (Certificate::Expired, "expired"),
        (Certificate::WrongName, "not valid for name"),
        (Certificate::UnknownCa, "UnknownIssuer"),
    ] {
        let fake = secure(kind).await;
        let refused = ask(&fake, "localhost").await.expect_err("a bad certificate was taken").to_string();
        assert!(refused.contains(reason), "{kind:?}: {refused}");
        fake.shutdown().await;
    }
}

/// Says `bytes` and no more, and waits until the other side has closed.
async fn say(fake: &Fake, bytes: &[u8]) {
    let mut tcp = TcpStream::connect(fake.addr()).await.unwrap();
    // It may be refused before all of it is said.
    let _ = tcp.write_all(bytes).await;
    let _ = tcp.shutdown().await;
    let end = tokio::time::timeout(Duration::from_secs(20), tcp.read_to_end(&mut Vec::new())).await;
    assert!(end.is_ok(), "a broken greeting is kept for ever: {bytes:02x?}");
}

#[tokio::test]
async fn out_15_no_broken_greeting_holds_up_or_ends_the_server() {
    const CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];
    let fake = secure(Certificate::Valid).await;
    let mut client = rustls::ClientConnection::new(config(&fake), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();

    // A goodbye in the middle of the greeting, at each step.
    for end in (0..=hello.len()).step_by(7).chain([5, 6, hello.len()]) {
        say(&fake, &[&hello[..end], &CLOSE_NOTIFY[..]].concat()).await;
    }
    // Greetings with bytes changed, left out and put in.
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
        say(&fake, &broken).await;
    }
    let answer = ask(&fake, "localhost").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "seed {seed}: {answer}");
    fake.shutdown().await;
}
