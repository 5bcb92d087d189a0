//! Our own reading of URLs. It takes redis-py's and redis-rs's ways to say user, password and
//! database, and refuses what it does not know: a database silently ignored is exclusion
//! silently lost.

mod embedded;

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::tls::{Pem, TlsOptions, TlsVersion};

pub(crate) use self::embedded::{EmbeddedUrl, Location};

/// The environment variable that names the server where no URL is given.
pub const URL_VARIABLE: &str = "FENCELOCK_URL";

/// The URL to use: the argument, else `FENCELOCK_URL`.
///
/// # Errors
///
/// `InvalidArgument` when there is neither: a default would make every host lock only itself
/// where the variable was forgotten.
pub fn resolve_url(argument: Option<&str>) -> Result<String> {
    if let Some(url) = argument {
        return Ok(url.to_owned());
    }
    match std::env::var(URL_VARIABLE) {
        Ok(url) if !url.is_empty() => Ok(url),
        _ => Err(Error::invalid(
            "no URL was given and FENCELOCK_URL is not set",
            "pass a URL such as redis://localhost:6379/0 or file:PATH, or set FENCELOCK_URL",
        )),
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a Redis listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

/// What a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Url {
    Redis(RedisUrl),
    Embedded(EmbeddedUrl),
}

impl Url {
    pub(crate) fn prefix(&self) -> Option<&str> {
        match self {
            Self::Redis(url) => url.prefix.as_deref(),
            Self::Embedded(url) => url.prefix.as_deref(),
        }
    }
}

/// Where a Redis is, as a URL says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedisUrl {
    pub(crate) place: Place,
    pub(crate) db: u32,
    pub(crate) username: Option<Secret>,
    pub(crate) password: Option<Secret>,
    pub(crate) prefix: Option<String>,
    /// Only RESP2 is to be spoken (`protocol=2`).
    pub(crate) resp2: bool,
    pub(crate) tls: TlsOptions,
}

/// As shown to people: without the password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp { host, port, tls } => {
                let scheme = if *tls { "rediss" } else { "redis" };
                let host = if host.contains(':') { &format!("[{host}]") } else { host };
                write!(f, "{scheme}://{host}:{port}/{}", self.db)
            }
            Place::Unix(path) => write!(f, "redis+unix://{}?db={}", path.display(), self.db),
        }
    }
}

const FORM: &str = "write it as redis://[user[:password]@]host[:port][/db], for TLS with rediss://, \
                    or as redis+unix:///path[?db=n]; in user and password write / ? # @ : % as \
                    %2F %3F %23 %40 %3A %25; without a server: file:PATH or memory:";

/// What a scheme says of the place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Plain,
    Tls,
    Unix,
}

/// Reads a URL. Its errors never repeat the URL, which may hold a password.
pub(crate) fn parse(url: &str) -> Result<Url> {
    if let Some(embedded) = embedded::parse(url)? {
        return Ok(Url::Embedded(embedded));
    }
    parse_redis(url).map(Url::Redis)
}

fn parse_redis(url: &str) -> Result<RedisUrl> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(Error::invalid("the URL has no scheme", FORM));
    };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => Scheme::Plain,
        "rediss" | "valkeys" => Scheme::Tls,
        "redis+unix" | "valkey+unix" | "unix" => Scheme::Unix,
        "redis-sentinel" | "redis-cluster" | "zookeeper" => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("{scheme}:// URLs are not served by this version of fencelock"),
                "use a redis://, rediss://, redis+unix://, file: or memory: URL",
            ));
        }
        _ => return Err(Error::invalid("the URL's scheme is unknown", FORM)),
    };
    if rest.contains(char::is_whitespace) || rest.contains(char::is_control) {
        return Err(Error::invalid("the URL has a space or a control character", FORM));
    }
    if let Some((_, part)) = rest.split_once('#') {
        let insecure = part == "insecure" && scheme == Scheme::Tls;
        return Err(if insecure {
            Error::invalid(
                "the URL ends in #insecure",
                "give the server's CA as tls_ca; to trust whoever answers, say \
                 ?danger_accept_invalid_certs=true",
            )
        } else {
            Error::invalid("the URL has a # part", FORM)
        });
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.contains('@') || query.contains('@') {
        // Said before any part is repeated in an error: the part may be half a password.
        return Err(Error::invalid("the URL has an @ after its / or ?", FORM));
    }
    // The last @: an unescaped one in a password is refused below, not taken for the host.
    let (user_info, host_port) = match authority.rsplit_once('@') {
        Some((user_info, host_port)) => (Some(user_info), host_port),
        None => (None, authority),
    };
    let mut parsed = RedisUrl {
        place: parse_place(scheme, host_port, path)?,
        db: 0,
        username: None,
        password: None,
        prefix: None,
        resp2: false,
        tls: TlsOptions::default(),
    };
    if let Some(user_info) = user_info {
        if user_info.contains('@') {
            return Err(Error::invalid("the URL's user or password has an unescaped @", FORM));
        }
        let (user, password) = match user_info.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (user_info, None),
        };
        parsed.username = Some(decode(user)?).filter(|user| !user.is_empty()).map(Secret);
        parsed.password = password.map(decode).transpose()?.map(Secret);
    }
    let path_db = match path.trim_end_matches('/') {
        "" => None,
        _ if scheme == Scheme::Unix => None,
        digits => Some(parse_db(digits)?),
    };
    let query_db = parse_query(query, &mut parsed)?;
    if let (Some(a), Some(b)) = (path_db, query_db)
        && a != b
    {
        return Err(Error::invalid(
            format!("the URL names two databases, {a} in its path and {b} as db"),
            "name one, or the same twice",
        ));
    }
    parsed.db = path_db.or(query_db).unwrap_or(0);
    if parsed.username.is_some() && parsed.password.is_none() {
        return Err(Error::invalid(
            "the URL has a user but no password",
            "write user:password@, or :password@ for the default user",
        ));
    }
    Ok(parsed)
}

fn parse_place(scheme: Scheme, host_port: &str, path: &str) -> Result<Place> {
    if scheme != Scheme::Unix {
        let (host, port) = parse_host(host_port)?;
        return Ok(Place::Tcp { host, port, tls: scheme == Scheme::Tls });
    }
    if !host_port.is_empty() {
        return Err(Error::invalid(
            "the URL of a Unix socket names a host",
            "write the socket's absolute path after three slashes, redis+unix:///path?db=0",
        ));
    }
    let path = decode(path)?;
    if path.trim_end_matches('/').is_empty() || path.contains('\0') {
        return Err(Error::invalid("the URL names no Unix socket", FORM));
    }
    Ok(Place::Unix(format!("/{path}").into()))
}

fn parse_host(text: &str) -> Result<(String, u16)> {
    let bad_port = || Error::invalid("the URL's port is not a number from 1 to 65535", FORM);
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest
            .split_once(']')
            .ok_or_else(|| Error::invalid("the URL's host has [ without ]", FORM))?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(Error::invalid("the URL's host in [ ] is no IPv6 address", FORM));
        }
        match port {
            "" => (host.to_owned(), None),
            _ => (host.to_owned(), Some(port.strip_prefix(':').ok_or_else(bad_port)?)),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (decode(host)?, Some(port)),
            None => (decode(text)?, None),
        }
    };
    if host.is_empty() {
        return Err(Error::invalid("the URL names no host", FORM));
    }
    let port = match port {
        None => 6379,
        Some(digits) => digits.parse().ok().filter(|&port| port != 0).ok_or_else(bad_port)?,
    };
    Ok((host, port))
}

fn parse_db(digits: &str) -> Result<u32> {
    digits.parse().ok().filter(|_| !digits.starts_with('+')).ok_or_else(|| {
        Error::invalid("the URL's database is not a whole number", "write it as /0 or ?db=0")
    })
}

/// Reads the part after `?`; gives the database if it is named there.
fn parse_query(query: &str, parsed: &mut RedisUrl) -> Result<Option<u32>> {
    let mut db = None;
    let mut seen: Vec<&str> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.contains(&name) {
            return Err(Error::invalid(
                format!("the URL's parameter {name:?} is given twice"),
                "give it once",
            ));
        }
        seen.push(name);
        let value = decode(value)?;
        match name {
            "db" => db = Some(parse_db(&value)?),
            "prefix" => parsed.prefix = Some(value),
            "protocol" => match value.as_str() {
                "2" | "resp2" => parsed.resp2 = true,
                "3" | "resp3" => parsed.resp2 = false,
                _ => return Err(Error::invalid("the URL's protocol is not 2 or 3", FORM)),
            },
            "username" | "user" | "password" | "pass" => set_login(parsed, name, value)?,
            _ if set_tls(parsed, name, &value)? => {}
            _ => {
                // Behind an unescaped & the rest of a password looks like a parameter.
                let which = if seen.iter().any(|name| name.starts_with("pass")) {
                    "a parameter of the URL is unknown (an & in a password is written as %26)"
                        .into()
                } else {
                    format!("the URL's parameter {name:?} is unknown")
                };
                return Err(Error::invalid(
                    which,
                    "known are db, prefix, protocol, username, password and with rediss:// \
                     tls_ca, tls_cert, tls_key (paths), tls_server_name, tls_min_version and \
                     danger_accept_invalid_certs; pass other settings as options",
                ));
            }
        }
    }
    Ok(db)
}

fn set_login(parsed: &mut RedisUrl, name: &str, value: String) -> Result<()> {
    let twice = || {
        Error::invalid(
            format!("the URL says the {name} twice"),
            "say user and password either before @ or as parameters",
        )
    };
    if name.starts_with("user") {
        if parsed.username.replace(Secret(value)).is_some() {
            return Err(twice());
        }
    } else if parsed.password.replace(Secret(value)).is_some() {
        return Err(twice());
    }
    Ok(())
}

/// Takes a parameter that is about TLS; false if it is not.
fn set_tls(parsed: &mut RedisUrl, name: &str, value: &str) -> Result<bool> {
    let tls = &mut parsed.tls;
    match name {
        "tls_ca" => tls.ca = Some(Pem::file(value)),
        "tls_cert" => tls.cert = Some(Pem::file(value)),
        "tls_key" => tls.key = Some(Pem::file(value)),
        "tls_server_name" => tls.server_name = Some(value.to_owned()),
        "tls_min_version" => tls.min_version = Some(TlsVersion::parse(value)?),
        "danger_accept_invalid_certs" => {
            tls.danger_accept_invalid_certs = Some(match value {
                "true" => true,
                "false" => false,
                _ => {
                    return Err(Error::invalid(
                        "the URL's danger_accept_invalid_certs is not true or false",
                        "leave it out, and give the server's CA as tls_ca",
                    ));
                }
            });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Resolves `%41` and the like.
fn decode(text: &str) -> Result<String> {
    let bad = || Error::invalid("the URL has a % that is not followed by two hex digits", FORM);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let hex = tail.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = std::str::from_utf8(hex.ok_or_else(bad)?).map_err(|_| bad())?;
        bytes.push(u8::from_str_radix(hex, 16).map_err(|_| bad())?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::invalid("the URL has % escapes that are no UTF-8", FORM))
}

#[cfg(test)]
mod tests;
