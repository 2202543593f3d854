//! Outgoing connections: their one TLS configuration with its errors in words, and tunnels through an outgoing proxy
//! (HTTP CONNECT or SOCKS 5).
//!
//! No setting disables verification: an operator with a private certificate
//! authority configures its certificate.

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::http::Uri;
use tower::Service;
use url::Url;

use crate::feed::{Reason, ReasonCode, quoted};

/// Port of a SOCKS proxy whose URL has none.
const SOCKS_PORT: u16 = 1080;

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

    pub(super) fn config(&self) -> &Arc<ClientConfig> {
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

/// A byte stream, encrypted or not.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// A proxy towards an exchange. Its credentials are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(Url);

impl Proxy {
    /// Wraps the URL of a proxy, with scheme `http`, `https`, `socks5` or `socks5h`.
    ///
    /// SOCKS proxies always resolve the exchange's host name themselves, as HTTP proxies do.
    pub fn new(mut url: Url) -> Self {
        if url.scheme() == "socks5" {
            // Neither scheme is special in URL parsing, so this can't fail.
            let _ = url.set_scheme("socks5h");
        }
        Self(url)
    }

    /// Returns the URL, including the credentials.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// Returns whether the connection to the proxy itself uses TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    pub(super) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(SOCKS_PORT)
    }

    /// Opens a tunnel to `host` through the proxy at the other end of `bytes`.
    pub(super) async fn tunnel(
        &self,
        bytes: Box<dyn ByteStream>,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn ByteStream>, Reason> {
        let failed = |cause: &dyn std::error::Error| {
            let mut innermost = cause;
            while let Some(next) = innermost.source() {
                innermost = next;
            }
            let cause = quoted(&innermost.to_string());
            Reason::new(ReasonCode::Connect, format!("no tunnel to {host}: {cause}"))
        };
        let target: Uri = format!("https://{host}:{port}").parse().map_err(|error| failed(&error))?;
        // Extracts the credentials and percent-decodes them.
        let proxy = Matcher::builder().all(self.0.as_str()).build().intercept(&target);
        let proxy = proxy.ok_or_else(|| Reason::new(ReasonCode::Connect, "the proxy URL can't be used"))?;
        let opened = Opened(Some(bytes));
        let tunnelled = if self.0.scheme().starts_with("socks") {
            let mut socks = SocksV5::new(proxy.uri().clone(), opened);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            socks.call(target).await.map_err(|error| failed(&error))?
        } else {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), opened);
            if let Some(credentials) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(credentials.clone());
            }
            tunnel.call(target).await.map_err(|error| failed(&error))?
        };
        Ok(tunnelled.into_inner())
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.0.scheme(), self.host(), self.port())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// The connector that the tunnels require; its connection is already open.
struct Opened(Option<Box<dyn ByteStream>>);

impl Service<Uri> for Opened {
    type Response = TokioIo<Box<dyn ByteStream>>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let bytes = self.0.take().map(TokioIo::new);
        Box::pin(async { bytes.ok_or_else(|| std::io::ErrorKind::NotConnected.into()) })
    }
}
