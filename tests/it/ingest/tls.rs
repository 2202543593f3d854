//! TLS: certificates are always verified, the operator may add a CA, and refusals have their reason.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sisepan::feed::{ReasonCode, VenueState};
use sisepan::ingest::{Tls, TlsError};
use tokio_rustls::TlsAcceptor;

use super::toy::{Bench, Server, Toy, fetched, settings, streamed};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sisepan-test-{}-{name}.pem", std::process::id()));
        std::fs::write(&path, self.0.pem()).unwrap();
        path
    }

    fn acceptor(&self, name: &str, years: std::ops::Range<i32>) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn bench(acceptor: TlsAcceptor, tls: Tls) -> Bench {
    let server = Server::start_with(&["btc"], Some(acceptor)).await;
    let profile = Toy::profile();
    let mut settings = settings(&server, &profile);
    settings.rest = format!("https://{}", server.address);
    settings.stream = format!("wss://{}/stream", server.address);
    Bench::start_tls(&server, &["btc"], profile, settings, tls)
}

#[tokio::test]
async fn in_26_a_venue_under_a_configured_ca_is_read_over_rest_and_stream() {
    let authority = Authority::new();
    let file = authority.file("good");
    let mut bench = bench(authority.acceptor("127.0.0.1", 2020..2040), Tls::new(Some(&file)).unwrap()).await;
    bench.price("btc", "100", fetched).await;
    bench.state(VenueState::Up).await;
    bench.server.trade("btc", "101");
    bench.price("btc", "101", streamed).await;
    bench.stop().await;
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn in_26_a_bad_certificate_is_refused_with_its_reason() {
    let authority = Authority::new();
    let file = authority.file("bad");
    let trusting = || Tls::new(Some(&file)).unwrap();
    for (acceptor, tls, words) in [
        (authority.acceptor("127.0.0.1", 2020..2040), Tls::new(None).unwrap(), "issuer is unknown"),
        (authority.acceptor("127.0.0.1", 2020..2021), trusting(), "has expired"),
        (authority.acceptor("elsewhere.example", 2020..2040), trusting(), "not valid for this name"),
    ] {
        let mut bench = bench(acceptor, tls).await;
        let health = bench.state(VenueState::Down).await;
        let reason = health.reason.unwrap();
        assert_eq!(reason.code, ReasonCode::TlsRefused, "{reason}");
        assert!(reason.message.contains(words) && reason.message.contains("127.0.0.1"), "{reason}");
        assert_eq!(health.data_at, None);
        bench.stop().await;
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_ca_file_that_is_missing_or_no_certificate_is_named() {
    let missing = PathBuf::from("no/such/ca.pem");
    let error = Tls::new(Some(&missing)).unwrap_err();
    assert!(matches!(error, TlsError::CaFile { .. }));
    assert!(error.to_string().contains("no/such/ca.pem"), "{error}");

    let path = std::env::temp_dir().join(format!("sisepan-test-{}-junk.pem", std::process::id()));
    std::fs::write(&path, "junk").unwrap();
    let error = Tls::new(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("junk.pem"), "{error}");
    std::fs::remove_file(path).unwrap();
}
