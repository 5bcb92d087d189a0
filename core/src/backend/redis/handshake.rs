//! What a failed TLS handshake means, and what to do about it.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription as Alert, CertificateError as Certificate};

use super::stream::Endpoint;
use crate::error::{Error, ErrorKind};

const NO_TLS: &str = "check that the port is the server's TLS port (tls-port): a Redis has another \
                      one, or none but, without TLS";
const NOT_TRUSTED: &str = "give the CA that signed it as tls_ca; without that the system's CAs are \
                           trusted";
const OTHER_NAME: &str = "connect by a name that it is for, or give that name as tls_server_name";
const OUT_OF_DATE: &str = "renew the server's certificate, or put this host's clock right";
const BAD_CERTIFICATE: &str = "give the server a certificate for servers, signed by a CA";
const SHOW_ONE: &str = "give a client certificate and its key as tls_cert and tls_key";
const SHOW_ANOTHER: &str = "give as tls_cert one that the server's CA has signed and that is valid";
const VERSIONS: &str = "let both sides speak TLS 1.2 or 1.3 (tls_min_version, the server's \
                        tls-protocols)";

/// The error of a handshake.
pub(super) fn failed(endpoint: &Endpoint, error: &io::Error) -> Error {
    let unavailable =
        |what: String, advice: &'static str| Error::new(ErrorKind::Unavailable, what, advice);
    let Some(cause) = cause(error) else {
        return unavailable(format!("{endpoint} ended the TLS handshake: {error}"), NO_TLS);
    };
    let refused = |why: &str, advice| {
        unavailable(format!("the certificate of {endpoint} was not accepted: {why}"), advice)
    };
    match cause {
        rustls::Error::InvalidCertificate(problem) => match problem {
            Certificate::UnknownIssuer => {
                refused("no CA that is trusted has signed it", NOT_TRUSTED)
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                let name = endpoint.tls.as_ref().map(|tls| tls.name.to_str().into_owned());
                refused(
                    &format!("it is not for the name {:?}", name.unwrap_or_default()),
                    OTHER_NAME,
                )
            }
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. } => {
                refused("it has expired, or is not valid yet", OUT_OF_DATE)
            }
            problem => refused(&problem.to_string(), BAD_CERTIFICATE),
        },
        rustls::Error::InvalidMessage(_) => {
            unavailable(format!("{endpoint} does not speak TLS"), NO_TLS)
        }
        rustls::Error::AlertReceived(Alert::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => {
            unavailable(format!("{endpoint} and we have no TLS version in common"), VERSIONS)
        }
        cause => {
            certificate_refused(cause, endpoint.tls.as_ref().is_some_and(|tls| tls.identified))
                .unwrap_or_else(|| {
                    unavailable(
                        format!("the TLS handshake with {endpoint} failed: {cause}"),
                        NO_TLS,
                    )
                })
        }
    }
}

/// Whether the connection ended, with nothing said about TLS.
pub(super) fn was_cut(error: &io::Error) -> bool {
    cause(error).is_none()
}

/// The error of a handshake without an answer.
pub(super) fn silent(endpoint: &Endpoint) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("{endpoint} did not answer to the TLS handshake in time"),
        NO_TLS,
    )
}

/// That the server refused our certificate or misses one. With TLS 1.3 it says so only after the
/// handshake, in place of its first answer.
pub(super) fn denied(error: &(dyn StdError + 'static), identified: Option<bool>) -> Option<Error> {
    certificate_refused(cause(error)?, identified?)
}

fn certificate_refused(cause: &rustls::Error, identified: bool) -> Option<Error> {
    let rustls::Error::AlertReceived(alert) = cause else { return None };
    let named = matches!(
        alert,
        Alert::CertificateRequired
            | Alert::HandshakeFailure
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    );
    let (what, advice) = if identified {
        ("the server refused our TLS certificate", SHOW_ANOTHER)
    } else {
        ("the server wants a TLS certificate of us, or refused the handshake", SHOW_ONE)
    };
    named.then(|| Error::new(ErrorKind::Denied, format!("{what} ({alert:?})"), advice))
}

/// What rustls said, however it is wrapped.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // The redis crate keeps what it passes on in an Arc, which hides its type.
        if let Some(shared) = error.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
            next = Some(shared.as_ref());
            continue;
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
