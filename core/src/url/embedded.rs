//! URLs of the embedded store: `file:PATH` and `memory:`.

use std::fmt;
use std::path::PathBuf;

use super::decode;
use crate::error::{Error, Result};

/// Where an embedded store is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Location {
    /// In this file; `None` for the user's own default.
    File(Option<PathBuf>),
    /// In this process, under this name.
    Memory(String),
}

/// An embedded store, as a URL says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EmbeddedUrl {
    pub(crate) location: Location,
    /// The file's group may take part (`mode=group`).
    pub(crate) group: bool,
    pub(crate) prefix: Option<String>,
}

impl fmt::Display for EmbeddedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::File(None) => f.write_str("file:"),
            Location::File(Some(path)) => write!(f, "file:{}", path.display()),
            Location::Memory(name) => write!(f, "memory:{name}"),
        }
    }
}

const FORM: &str = "write it as file:PATH[?prefix=…&mode=group], as file: for your own default \
                    store, or as memory:[NAME][?prefix=…]; in a path write % ? # as %25 %3F %23";

/// Reads a URL; `None` if it is of another kind.
pub(super) fn parse(url: &str) -> Result<Option<EmbeddedUrl>> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Ok(None);
    };
    let file = match scheme.to_ascii_lowercase().as_str() {
        "file" => true,
        "memory" => false,
        _ => return Ok(None),
    };
    if rest.contains('#') {
        return Err(Error::invalid("the URL has a # part", FORM));
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let place = decode(place)?;
    if place.contains(char::is_control) {
        return Err(Error::invalid("the URL has a control character", FORM));
    }
    let location = if file { file_location(place)? } else { memory_location(place)? };
    let mut parsed = EmbeddedUrl { location, group: false, prefix: None };
    read_query(query, &mut parsed)?;
    Ok(Some(parsed))
}

fn file_location(path: String) -> Result<Location> {
    let path = match path.strip_prefix("//") {
        // file:///path, as in RFC 8089.
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        Some(_) => {
            return Err(Error::invalid(
                "the URL names a host, or a path behind two slashes",
                "write file:/path, file:///path or file:path",
            ));
        }
        None => path,
    };
    if path == "~" || path.starts_with("~/") {
        return Err(Error::invalid(
            "the URL's path begins with ~, which only a shell knows",
            "write the whole path, or file: for your own default store",
        ));
    }
    if path.ends_with('/') {
        return Err(Error::invalid(
            "the URL names a directory",
            "name the file in it that is to keep the locks, such as file:/path/locks.db",
        ));
    }
    Ok(Location::File((!path.is_empty()).then(|| path.into())))
}

fn memory_location(name: String) -> Result<Location> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.len() > 128 || !name.bytes().all(plain) {
        return Err(Error::invalid(
            "the URL's name for a store in memory is not of letters, digits and - _ .",
            FORM,
        ));
    }
    Ok(Location::Memory(name))
}

fn read_query(query: &str, parsed: &mut EmbeddedUrl) -> Result<()> {
    let mut mode = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match name {
            "prefix" => &mut parsed.prefix,
            "mode" if matches!(parsed.location, Location::File(_)) => &mut mode,
            _ => {
                return Err(Error::invalid(
                    format!("the URL's parameter {name:?} is unknown"),
                    "known are prefix and with file: mode (private or group); a store without a \
                     server has no database, user, password or TLS",
                ));
            }
        };
        if place.replace(decode(value)?).is_some() {
            return Err(Error::invalid(
                format!("the URL's parameter {name:?} is given twice"),
                "give it once",
            ));
        }
    }
    parsed.group = match mode.as_deref() {
        None | Some("private") => false,
        Some("group") => true,
        Some(_) => return Err(Error::invalid("the URL's mode is not private or group", FORM)),
    };
    if parsed.group && parsed.location == Location::File(None) {
        return Err(Error::invalid(
            "your own default store can't be shared with a group",
            "name a file that the group can reach, such as file:/srv/locks/locks.db?mode=group",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn location(url: &str) -> Location {
        parse(url).unwrap().unwrap().location
    }

    #[test]
    fn every_way_to_name_a_store_is_taken() {
        let file = |path: &str| Location::File(Some(path.into()));
        assert_eq!(location("file:/a/b.db"), file("/a/b.db"));
        assert_eq!(location("file:///a/b.db"), file("/a/b.db"));
        assert_eq!(location("FILE:a%20b.db"), file("a b.db"));
        assert_eq!(location("file:"), Location::File(None));
        assert_eq!(location("memory:"), Location::Memory(String::new()));
        assert_eq!(location("memory:tests-1"), Location::Memory("tests-1".to_owned()));
        let shared = parse("file:/a?mode=group&prefix=app%3A").unwrap().unwrap();
        assert!(shared.group && shared.prefix.as_deref() == Some("app:"));
        assert_eq!(parse("redis://localhost").unwrap(), None);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for url in [
            "file://host/path",
            "file:~/locks.db",
            "file:/a/",
            "file:/a?mode=public",
            "file:/a?mode=group&mode=group",
            "file:?mode=group",
            "file:/a?db=0",
            "file:/a?tls_ca=/ca.pem",
            "file:/a#part",
            "file:/a%zz",
            "memory:a/b",
            "memory:?mode=group",
        ] {
            let refused = parse(url).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{url}");
        }
    }
}
