//! Arguments as the core takes them.

use std::time::Duration;

use fencelock::{ClientOptions, Error, Pem, TlsVersion};
use napi::Either;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

/// How a client connects; times in ms, certificates as a path or as PEM.
#[napi(object)]
#[expect(missing_debug_implementations, reason = "napi's arrays have none")]
pub struct ConnectParts {
    /// Put before every lock's name.
    pub prefix: Option<String>,
    /// ms.
    pub connect_timeout: Option<f64>,
    /// ms.
    pub response_timeout: Option<f64>,
    /// What to trust.
    pub tls_ca: Option<Either<String, Uint8Array>>,
    /// What to show.
    pub tls_cert: Option<Either<String, Uint8Array>>,
    /// Its key.
    pub tls_key: Option<Either<String, Uint8Array>>,
    /// The name to expect.
    pub tls_server_name: Option<String>,
    /// "1.2" or "1.3".
    pub tls_min_version: Option<String>,
    /// Trust anybody.
    pub danger_accept_invalid_certs: Option<bool>,
}

/// How a lock is held; times in ms.
#[napi(object)]
#[derive(Debug)]
pub struct LockParts {
    /// ms.
    pub ttl: Option<f64>,
    /// Whether it is renewed.
    pub renew: Option<bool>,
    /// ms.
    pub max_hold: Option<f64>,
    /// For `inspect`.
    pub label: Option<String>,
}

/// A duration from ms, which TypeScript has checked; what is longer than the clock counts is for ever.
pub(crate) fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::MAX)
}

/// ms, as JavaScript counts.
pub(crate) fn to_millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A whole number, as JavaScript counts: exact below 2^53, as fences are.
#[expect(clippy::cast_precision_loss, reason = "nobody counts so far")]
pub(crate) fn number(whole: u64) -> f64 {
    whole as f64
}

pub(crate) fn client_options(parts: ConnectParts) -> Result<ClientOptions, Error> {
    let mut options = ClientOptions::new();
    if let Some(prefix) = parts.prefix {
        options = options.prefix(prefix);
    }
    if let Some(ms) = parts.connect_timeout {
        options = options.connect_timeout(millis(ms));
    }
    if let Some(ms) = parts.response_timeout {
        options = options.response_timeout(millis(ms));
    }
    if let Some(ca) = parts.tls_ca {
        options = options.tls_ca(pem(ca));
    }
    if let Some(cert) = parts.tls_cert {
        options = options.tls_cert(pem(cert));
    }
    if let Some(key) = parts.tls_key {
        options = options.tls_key(pem(key));
    }
    if let Some(name) = parts.tls_server_name {
        options = options.tls_server_name(name);
    }
    if let Some(version) = parts.tls_min_version {
        options = options.tls_min_version(TlsVersion::parse(&version)?);
    }
    if let Some(accept) = parts.danger_accept_invalid_certs {
        options = options.danger_accept_invalid_certs(accept);
    }
    Ok(options)
}

fn pem(value: Either<String, Uint8Array>) -> Pem {
    match value {
        Either::A(path) => Pem::file(path),
        Either::B(text) => Pem::text(&*text),
    }
}
