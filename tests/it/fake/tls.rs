//! TLS: a client that trusts the authority gets through, but not to a bad certificate.

use std::sync::Arc;

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

async fn ask(fake: &Fake, host: &'static str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(fake.ca_pem().unwrap().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(fake.addr()).await?;
    let mut tls = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host).unwrap(), tcp).await?;
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
