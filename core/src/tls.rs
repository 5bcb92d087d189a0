//! What can be said of TLS, and what rustls makes of it. Key material is never shown.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, Result};

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, the default.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl TlsVersion {
    /// Reads `1.2` or `1.3`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            _ => Err(Error::invalid("tls_min_version is not 1.2 or 1.3", "give 1.2 or 1.3")),
        }
    }
}

/// Certificates or a private key in PEM: in a file, or as text. A text is never shown.
///
/// ```
/// use fencelock::Pem;
/// let ca = Pem::file("/etc/ssl/redis-ca.pem");
/// let key = Pem::text(b"-----BEGIN PRIVATE KEY-----...".as_slice());
/// assert!(!format!("{key:?}").contains("PRIVATE"));
/// # let _ = ca;
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(Source);

#[derive(Clone, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Text(Vec<u8>),
}

impl Pem {
    /// In the file at this path, read when the client is made.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// The text itself.
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self(Source::Text(text.into()))
    }

    /// Hands the bytes to a reader of PEM. Its errors may quote a key, so they are not told.
    fn read<T>(
        &self,
        option: &str,
        wanted: &'static str,
        read: impl Fn(&[u8]) -> std::result::Result<T, pem::Error>,
    ) -> Result<T> {
        const ADVICE: &str = "give a PEM file or text, with -----BEGIN ...----- lines";
        let (bytes, place) = match &self.0 {
            Source::Text(text) => (text.clone(), "the text".to_owned()),
            Source::File(path) => match std::fs::read(path) {
                Ok(bytes) => (bytes, path.display().to_string()),
                Err(error) => {
                    return Err(Error::invalid(
                        format!("{option}: {} can't be read: {error}", path.display()),
                        "give the path of a PEM file that this process may read",
                    ));
                }
            },
        };
        read(&bytes)
            .map_err(|_| Error::invalid(format!("{option}: {place} holds no {wanted}"), ADVICE))
    }

    fn certificates(&self, option: &str) -> Result<Vec<CertificateDer<'static>>> {
        self.read(option, "certificate in PEM", |bytes| {
            let found = CertificateDer::pem_slice_iter(bytes)
                .collect::<std::result::Result<Vec<_>, _>>()?;
            if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) }
        })
    }

    fn key(&self, option: &str) -> Result<PrivateKeyDer<'static>> {
        self.read(
            option,
            "private key in PEM (one that is encrypted can't be used)",
            PrivateKeyDer::from_pem_slice,
        )
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File(path) => write!(f, "Pem::file({path:?})"),
            Source::Text(_) => f.write_str("Pem::text(***)"),
        }
    }
}

/// The options of `rediss://`, as URL or client options give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    pub(crate) ca: Option<Pem>,
    pub(crate) cert: Option<Pem>,
    pub(crate) key: Option<Pem>,
    pub(crate) server_name: Option<String>,
    pub(crate) min_version: Option<TlsVersion>,
    pub(crate) danger_accept_invalid_certs: Option<bool>,
}

impl TlsOptions {
    /// What was said in two places, which must agree.
    pub(crate) fn merge(self, url: Self) -> Result<Self> {
        fn one<T: PartialEq>(name: &str, option: Option<T>, url: Option<T>) -> Result<Option<T>> {
            match (&option, &url) {
                (Some(a), Some(b)) if a != b => Err(Error::invalid(
                    format!("the URL's {name} is not the option's"),
                    "give one of them",
                )),
                _ => Ok(option.or(url)),
            }
        }
        Ok(Self {
            ca: one("tls_ca", self.ca, url.ca)?,
            cert: one("tls_cert", self.cert, url.cert)?,
            key: one("tls_key", self.key, url.key)?,
            server_name: one("tls_server_name", self.server_name, url.server_name)?,
            min_version: one("tls_min_version", self.min_version, url.min_version)?,
            danger_accept_invalid_certs: one(
                "danger_accept_invalid_certs",
                self.danger_accept_invalid_certs,
                url.danger_accept_invalid_certs,
            )?,
        })
    }
}

/// How a TLS connection to one server is opened: nothing in it changes, so a forked child may
/// use it, too.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    /// Whether we have a certificate to show.
    pub(crate) identified: bool,
}

impl Tls {
    pub(crate) fn new(options: &TlsOptions, host: &str) -> Result<Self> {
        let name = options.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            Error::invalid(
                format!("{name:?} is no name that a certificate can be for"),
                "give a host name or an IP address, in the URL or as tls_server_name",
            )
        })?;
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = match options.min_version.unwrap_or_default() {
            TlsVersion::V1_2 => rustls::ALL_VERSIONS,
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let verifier: Arc<dyn ServerCertVerifier> =
            if options.danger_accept_invalid_certs == Some(true) {
                if options.ca.is_some() {
                    return Err(Error::invalid(
                        "tls_ca and danger_accept_invalid_certs are both given",
                        "leave danger_accept_invalid_certs out: with it no CA is looked at",
                    ));
                }
                Arc::new(Unverified(provider.clone()))
            } else {
                let roots = Arc::new(roots(options.ca.as_ref())?);
                WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                    .build()
                    .map_err(|error| unusable(&error))?
            };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| unusable(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match (&options.cert, &options.key) {
            (Some(cert), Some(key)) => config
                .with_client_auth_cert(cert.certificates("tls_cert")?, key.key("tls_key")?)
                .map_err(|error| {
                    Error::invalid(
                        format!("tls_cert and tls_key can't be used: {error}"),
                        "give a certificate with the very key that it was made for",
                    )
                })?,
            (None, None) => config.with_no_client_auth(),
            _ => {
                return Err(Error::invalid(
                    "only one of tls_cert and tls_key is given",
                    "give both, or neither",
                ));
            }
        };
        // Connections are kept, so little is lost; and a store of tickets would need a mutex,
        // which a fork could leave locked.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name, identified: options.cert.is_some() })
    }
}

fn unusable(error: &dyn fmt::Display) -> Error {
    Error::invalid(
        format!("the TLS options can't be used: {error}"),
        "check tls_ca and tls_min_version",
    )
}

fn roots(ca: Option<&Pem>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in ca.certificates("tls_ca")? {
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
    } else {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if roots.is_empty() {
            let why = system.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(Error::invalid(
                format!("this system has no CA certificates{why}"),
                "install them (Debian: ca-certificates), or give the server's CA as tls_ca",
            ));
        }
    }
    Ok(roots)
}

/// `danger_accept_invalid_certs`: whoever answers is believed to be the server.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
