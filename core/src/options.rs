//! What can be said of a client and of a lock, with defaults and limits.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::tls::{Pem, TlsOptions, TlsVersion};

/// The longest name of a lock, in bytes.
pub const MAX_NAME_BYTES: usize = 512;
/// The shortest TTL.
pub const MIN_TTL: Duration = Duration::from_millis(50);
/// The longest TTL.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 3600);
/// The TTL unless told otherwise.
pub const DEFAULT_TTL: Duration = Duration::from_secs(10);
/// With renewal on, a longer TTL is refused: it is a slip of the unit far more often than a
/// wish, and a crashed holder would block everybody for so long.
const MAX_RENEWED_TTL: Duration = Duration::from_secs(3600);
/// The longest label, in bytes.
const MAX_LABEL_BYTES: usize = 128;

/// How a client connects.
///
/// ```
/// use std::time::Duration;
/// let options = fencelock::ClientOptions::new()
///     .prefix("billing:")
///     .connect_timeout(Duration::from_secs(2));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientOptions {
    pub(crate) prefix: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) tls: TlsOptions,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            prefix: None,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(5),
            tls: TlsOptions::default(),
        }
    }
}

impl ClientOptions {
    /// The defaults: no prefix, 5 s to connect, 5 s for an answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Put before every lock's name to make the key. Clients with different prefixes do not
    /// exclude each other. The URL's `prefix` parameter says the same; if both are given they
    /// must agree.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// How long connecting may take. Default 5 s. On behalf of a lease it is never longer than
    /// the lease allows.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// How long an answer may take. Default 5 s. On behalf of a lease it is never longer than
    /// the lease allows.
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.response_timeout = time;
        self
    }

    /// The CA certificates to trust instead of the system's. As all that begins with `tls_`, it
    /// is for `rediss://` URLs and refused with others; the URL's parameter of the same name
    /// says the same.
    pub fn tls_ca(mut self, ca: Pem) -> Self {
        self.tls.ca = Some(ca);
        self
    }

    /// The client certificate to show, its chain after it; goes with [`tls_key`](Self::tls_key).
    pub fn tls_cert(mut self, cert: Pem) -> Self {
        self.tls.cert = Some(cert);
        self
    }

    /// The private key of [`tls_cert`](Self::tls_cert), not encrypted.
    pub fn tls_key(mut self, key: Pem) -> Self {
        self.tls.key = Some(key);
        self
    }

    /// The name that the server's certificate must be for, and that is sent as SNI. Default:
    /// the URL's host.
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.tls.server_name = Some(name.into());
        self
    }

    /// The oldest version of TLS to speak. Default 1.2.
    pub fn tls_min_version(mut self, version: TlsVersion) -> Self {
        self.tls.min_version = Some(version);
        self
    }

    /// Takes whoever answers for the server: anybody on the way can read the password, and
    /// grant locks. For trying things out. Default false.
    pub fn danger_accept_invalid_certs(mut self, accept: bool) -> Self {
        self.tls.danger_accept_invalid_certs = Some(accept);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        for (name, time) in
            [("connect_timeout", self.connect_timeout), ("response_timeout", self.response_timeout)]
        {
            if time.is_zero() || time > Duration::from_secs(3600) {
                return Err(Error::invalid(
                    format!("{name} is {time:?}"),
                    "give a time above 0 and up to 1 h",
                ));
            }
        }
        Ok(())
    }
}

/// What a lock was described with.
#[derive(Clone, Debug)]
pub(crate) struct LockOptions {
    pub(crate) ttl: Duration,
    pub(crate) renew: bool,
    pub(crate) max_hold: Option<Duration>,
    pub(crate) label: Arc<str>,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self { ttl: DEFAULT_TTL, renew: true, max_hold: None, label: "".into() }
    }
}

impl LockOptions {
    pub(crate) fn check(&self) -> Result<()> {
        if self.ttl < MIN_TTL || self.ttl > MAX_TTL {
            return Err(Error::invalid(
                format!("the TTL is {:?}", self.ttl),
                "give a TTL from 50 ms to 24 h (in Python in seconds, in C and Node in ms)",
            ));
        }
        if self.renew && self.ttl > MAX_RENEWED_TTL {
            return Err(Error::invalid(
                format!("the TTL is {:?} although the lease is renewed", self.ttl),
                "give at most 1 h (is the unit right?), or turn renewal off for a longer one",
            ));
        }
        if self.max_hold.is_some_and(|time| time < MIN_TTL) {
            return Err(Error::invalid(
                format!("max_hold is {:?}", self.max_hold.unwrap_or_default()),
                "give at least 50 ms, or leave it out for no limit",
            ));
        }
        if self.label.len() > MAX_LABEL_BYTES {
            return Err(Error::invalid(
                format!("the label has {} bytes", self.label.len()),
                "give at most 128 bytes",
            ));
        }
        Ok(())
    }

    /// The TTL in whole ms, as the server takes it.
    pub(crate) fn ttl_ms(&self) -> u64 {
        u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Refuses names that can't be served, before anything is sent.
pub(crate) fn check_name(prefix: &str, name: &str) -> Result<()> {
    const ADVICE: &str = "give a name of 1 to 512 bytes (with the prefix)";
    if name.is_empty() {
        return Err(Error::invalid("the name is empty", ADVICE));
    }
    let key = format!("{prefix}{name}");
    if key.len() > MAX_NAME_BYTES {
        return Err(Error::invalid(format!("the name has {} bytes", key.len()), ADVICE));
    }
    let reserved = key
        .strip_suffix(['f', 'q', 'w', 'h'])
        .is_some_and(|rest| rest.ends_with(":fl:") || rest.ends_with(":flt:"));
    if reserved {
        return Err(Error::invalid(
            "the name ends as the keys of another lock do",
            "do not end a name in :fl: or :flt: and one of f, q, w, h",
        )
        .at(name));
    }
    if key.contains(['{', '}']) && hash_tag(&key).is_none() {
        return Err(Error::invalid(
            "the name has a brace that is no part of a {hash tag}",
            "leave braces out, or put a text that is not empty between { and }",
        )
        .at(name));
    }
    Ok(())
}

/// The part of a key that alone decides its slot in a cluster: between the first `{` and the
/// next `}`, if not empty.
pub(crate) fn hash_tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn refused(name: &str) -> bool {
        check_name("", name).is_err_and(|error| error.kind() == ErrorKind::InvalidArgument)
    }

    #[test]
    fn names_that_cannot_be_served_are_refused() {
        for name in ["", "a:fl:f", "{x}:flt:w", "a:fl:h", "a{b", "a}b", "a{}b", &"x".repeat(513)] {
            assert!(refused(name), "{name:?}");
        }
        assert!(check_name("p:", &"x".repeat(511)).is_err(), "the prefix counts");
    }

    #[test]
    fn ordinary_names_are_served() {
        for name in ["a", "{user}:1", "job 7", "a:fl:x", "\u{0}", &"x".repeat(512)] {
            assert!(!refused(name), "{name:?}");
        }
    }

    #[test]
    fn limits_of_a_lock_are_checked() {
        let with = |ttl, renew| LockOptions { ttl, renew, ..LockOptions::default() }.check();
        assert!(with(Duration::from_millis(49), true).is_err());
        assert!(with(MIN_TTL, true).is_ok());
        assert!(with(Duration::from_secs(3601), true).is_err(), "a slip of the unit");
        assert!(with(Duration::from_secs(3601), false).is_ok());
        assert!(with(MAX_TTL, false).is_ok());
        assert!(with(MAX_TTL + Duration::from_millis(1), false).is_err());
    }
}
