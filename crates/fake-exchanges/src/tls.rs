//! Throw-away certificates: a valid one and three kinds of invalid ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::Context;
use clap::ValueEnum;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// The kind of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Certificate {
    /// A good one, for `localhost`, 127.0.0.1 and ::1.
    #[default]
    Valid,
    /// Expired in 2020.
    Expired,
    /// For another host.
    WrongName,
    /// Signed by another authority than the one to trust.
    UnknownCa,
}

/// A server's TLS configuration and the certificate authority to trust.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Configuration of the acceptor.
    pub config: Arc<ServerConfig>,
    /// Certificate of the authority that clients must trust, as PEM.
    pub ca_pem: String,
}

/// Creates an authority and a server certificate of a kind.
///
/// # Errors
/// If a key or certificate can't be created.
pub fn identity(kind: Certificate) -> anyhow::Result<Identity> {
    let trusted = authority("fake exchanges CA").context("creating the certificate authority")?;
    let other = authority("another CA").context("creating the other certificate authority")?;
    let signer = if kind == Certificate::UnknownCa { &other } else { &trusted };
    let key = KeyPair::generate().context("creating the server's key")?;
    let certificate = leaf(kind)?.signed_by(&key, signer).context("signing the server's certificate")?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .context("using the server's certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity { config: Arc::new(config), ca_pem: trusted.pem() })
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn leaf(kind: Certificate) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "fake exchanges");
    let host = if kind == Certificate::WrongName { "elsewhere.example" } else { "localhost" };
    params.subject_alt_names = vec![SanType::DnsName(host.try_into().context("encoding the host name")?)];
    if kind != Certificate::WrongName {
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        params.subject_alt_names.extend(addresses.map(SanType::IpAddress));
    }
    params.use_authority_key_identifier_extension = true;
    if kind == Certificate::Expired {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    Ok(params)
}
