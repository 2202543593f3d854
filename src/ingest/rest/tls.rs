//! The one TLS configuration of all outgoing connections, and its errors in words.
//!
//! No setting disables verification: an operator with a private certificate
//! authority configures its certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::ingest::health::quoted;

/// TLS configuration: trusted roots and cryptography provider. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls(Arc<ClientConfig>);

/// Why the TLS configuration could not be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The extra CA file could not be read, or contains no certificate.
    #[error("can't read the CA file {file}: {problem}")]
    CaFile {
        /// The file, as configured.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The TLS library rejected its own defaults.
    #[error("can't set up TLS: {0}")]
    Provider(#[from] rustls::Error),
}

impl Tls {
    /// Trusts the public certificate authorities and those in the PEM file `extra_ca`.
    ///
    /// # Errors
    /// [`TlsError::CaFile`] if that file can't be used.
    pub fn new(extra_ca: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = extra_ca {
            for certificate in read_pem(path)? {
                roots.add(certificate).map_err(|error| ca_file(path, &error))?;
            }
        }
        // Explicit: the process-wide default depends on which library installed its provider first.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    pub(in crate::ingest) fn config(&self) -> &Arc<ClientConfig> {
        &self.0
    }
}

fn read_pem(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| ca_file(path, &error))?;
    if certificates.is_empty() { Err(ca_file(path, &"no certificate in it")) } else { Ok(certificates) }
}

fn ca_file(path: &Path, problem: &dyn std::fmt::Display) -> TlsError {
    TlsError::CaFile { file: path.display().to_string(), problem: problem.to_string() }
}

/// Describes the TLS error in the cause chain of `error`, or `error` itself if there is none.
pub fn tls_cause(error: &(dyn std::error::Error + 'static)) -> String {
    find_tls_error(error).unwrap_or_else(|| quoted(&error.to_string()))
}

/// Describes the TLS error in the cause chain of `error`, if there is one.
pub fn find_tls_error(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(describe_tls(tls));
        }
        // An I/O error that merely wraps another error does not return it from `source`.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| cause.source());
    }
    None
}

fn describe_tls(error: &rustls::Error) -> String {
    use rustls::CertificateError as Problem;
    let rustls::Error::InvalidCertificate(certificate) = error else { return quoted(&error.to_string()) };
    match certificate {
        Problem::Expired | Problem::ExpiredContext { .. } => "the certificate has expired".to_owned(),
        Problem::NotValidYet | Problem::NotValidYetContext { .. } => "the certificate is not valid yet".to_owned(),
        Problem::UnknownIssuer => "the certificate's issuer is unknown".to_owned(),
        Problem::NotValidForName | Problem::NotValidForNameContext { .. } => {
            "the certificate is not valid for this name".to_owned()
        }
        other => quoted(&format!("the certificate was refused: {other}")),
    }
}
