//! Arguments as the core takes them.

use std::time::Duration;

use fencelock::{ClientOptions, Pem, TlsVersion};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::error::{failed, invalid};

/// A duration from seconds.
pub(crate) fn seconds(py: Python<'_>, seconds: f64) -> PyResult<Duration> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) => Ok(time),
        // Longer than the clock counts.
        Err(_) if seconds.is_finite() && seconds > 0.0 => Ok(Duration::MAX),
        Err(_) => Err(invalid(py, "a duration is negative or not a number; give seconds")),
    }
}

/// A text that UTF-8 can write; Python's `str` may hold lone surrogates.
pub(crate) fn text(text: &Bound<'_, PyString>) -> PyResult<String> {
    match text.to_cow() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => {
            Err(invalid(text.py(), "a text has lone surrogates; give one that UTF-8 can write"))
        }
    }
}

/// CA, certificate and key (paths as `str`, PEM as `bytes`), server name, oldest version, danger.
pub(crate) type TlsParts<'py> = (
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyString>>,
    Option<Bound<'py, PyString>>,
    Option<bool>,
);

/// A client's options with those of TLS.
pub(crate) fn tls(
    py: Python<'_>,
    mut options: ClientOptions,
    parts: TlsParts<'_>,
) -> PyResult<ClientOptions> {
    let (ca, cert, key, server_name, min_version, danger) = parts;
    if let Some(ca) = ca {
        options = options.tls_ca(pem(&ca)?);
    }
    if let Some(cert) = cert {
        options = options.tls_cert(pem(&cert)?);
    }
    if let Some(key) = key {
        options = options.tls_key(pem(&key)?);
    }
    if let Some(name) = server_name {
        options = options.tls_server_name(text(&name)?);
    }
    if let Some(version) = min_version {
        let version = TlsVersion::parse(&text(&version)?).map_err(|error| failed(py, &error))?;
        options = options.tls_min_version(version);
    }
    if let Some(danger) = danger {
        options = options.danger_accept_invalid_certs(danger);
    }
    Ok(options)
}

fn pem(value: &Bound<'_, PyAny>) -> PyResult<Pem> {
    match value.cast::<PyBytes>() {
        Ok(bytes) => Ok(Pem::text(bytes.as_bytes())),
        Err(_) => Ok(Pem::file(text(value.cast()?)?)),
    }
}
