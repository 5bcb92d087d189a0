//! What the fuzzer (`fuzz/`) feeds and can't reach otherwise: the readers of what others wrote.
//! Only with the feature `model`, and no public API.

use redis::Value;

use crate::backend::Inspection;
pub use crate::backend::redis::pieces::{read, received};
use crate::backend::redis::protocol;
use crate::error::Result;
use crate::options;
use crate::url::{self, Url};

/// Reads a URL; gives all that is ever shown of it, for people and in logs.
///
/// # Errors
///
/// As connecting.
pub fn read_url(text: &str) -> Result<String> {
    Ok(match url::parse(text)? {
        Url::Redis(url) => format!("{url} {url:?}"),
        Url::Embedded(url) => format!("{url} {url:?}"),
    })
}

/// Whether a lock may have this name.
///
/// # Errors
///
/// `InvalidArgument` if not.
pub fn check_name(prefix: &str, name: &str) -> Result<()> {
    options::check_name(prefix, name)
}

/// The answer to an inspection.
///
/// # Errors
///
/// `Backend` for an answer that is none.
pub fn read_inspect(name: &str, value: &Value) -> Result<Inspection> {
    protocol::read_inspect(name, value)
}
