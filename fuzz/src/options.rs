//! Options of clients and locks: refused as the caller's mistake, or within the limits.

use std::time::Duration;

use fencelock::blocking::Client;
use fencelock::{ClientOptions, Error, ErrorKind, MAX_TTL, MIN_TTL, Pem, TlsVersion};

use crate::bytes::Bytes;

const URLS: [&str; 6] = [
    "memory:fuzz-options",
    "file:/nowhere/locks.db?prefix=a",
    "redis://localhost?prefix=a",
    "rediss://localhost?tls_server_name=a&tls_min_version=1.3",
    "unix:///nowhere/socket",
    "rediss://localhost?danger_accept_invalid_certs=true",
];

const CA: &str = include_str!("ca.pem");

fn is_the_callers(error: &Error) {
    // Certificates are looked at here already; those of files that are not there, too.
    let kind = error.kind();
    assert!(matches!(kind, ErrorKind::InvalidArgument | ErrorKind::Unsupported), "{error}");
}

fn options(url: &str, bytes: &mut Bytes<'_>) -> ClientOptions {
    let (which, mut options) = (bytes.byte(), ClientOptions::new());
    if which & 1 != 0 {
        options = options.prefix(bytes.text());
    }
    if which & 2 != 0 {
        options = options.connect_timeout(Duration::from_millis(bytes.size()));
    }
    if which & 4 != 0 {
        options = options.response_timeout(Duration::from_millis(bytes.size()));
    }
    if which & 8 != 0 {
        options = options.tls_server_name(bytes.text());
    }
    if which & 16 != 0 {
        options = options.tls_ca(Pem::text(bytes.line()));
    } else if url.starts_with("rediss:") {
        // To read the system's CAs takes longer than everything else here.
        options = options.tls_ca(Pem::text(CA));
    }
    if which & 32 != 0 {
        options = options.tls_cert(Pem::text(bytes.line())).tls_key(Pem::text(bytes.line()));
    }
    if which & 64 != 0 {
        match TlsVersion::parse(&bytes.text()) {
            Ok(version) => options = options.tls_min_version(version),
            Err(error) => is_the_callers(&error),
        }
    }
    if which & 128 != 0 {
        options = options.danger_accept_invalid_certs(bytes.byte() & 1 == 0);
    }
    options
}

pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let url = URLS[usize::from(bytes.byte()) % URLS.len()];
    let client = match Client::lazy(url, options(url, &mut bytes)) {
        Ok(client) => client,
        Err(error) => return is_the_callers(&error),
    };
    let (ttl, hold) = (bytes.size().saturating_mul(10), bytes.size().saturating_mul(10));
    let (ttl, hold) = (Duration::from_millis(ttl), Duration::from_millis(hold));
    let (renew, label, name) = (bytes.byte() & 1 == 0, bytes.text(), bytes.text());
    let lock = client.lock(name.clone()).ttl(ttl).renew(renew).max_hold(hold).label(label.clone());
    match lock.check() {
        Ok(()) => {
            let (of_time, long) = (MIN_TTL..=MAX_TTL, Duration::from_secs(3600));
            assert!(of_time.contains(&ttl) && (!renew || ttl <= long) && hold >= MIN_TTL);
            assert!(label.len() <= 128 && (1..=512).contains(&name.len()), "{name:?}");
        }
        Err(error) => is_the_callers(&error),
    }
}
