//! What the server says of a permission that is missing, read into the ACL rule that gives it.
//! Its words differ by version, and before 7.2 it does not name what a script lacks.

use redis::{RedisError, Value};

use crate::error::{Error, ErrorKind};

/// In a script, before Redis 7.2.
const UNNAMED: &str = "can't run this command";
/// How it is said: in a script before and since Redis 7.2, and where the redis crate, at SELECT,
/// has put a code of its own.
const SAYINGS: [&str; 3] =
    ["The user executing the script", "ACL failure in script", "has no permissions to run the"];

/// The error where a permission is missing.
pub(super) fn read(code: &str, detail: &str) -> Option<Error> {
    let told = code == "NOPERM" || SAYINGS.iter().any(|saying| detail.contains(saying));
    told.then(|| {
        let what = match rules(detail) {
            Some(rules) => format!("the user lacks the permission {rules} ({code} {detail})"),
            None => format!("the user lacks a permission ({code} {detail})"),
        };
        Error::new(
            ErrorKind::Denied,
            what,
            "give it by ACL SETUSER; all that a user needs is the line in docs/protocol.md under \
             Permissions",
        )
    })
}

/// The rules that would have to be added.
fn rules(detail: &str) -> Option<String> {
    if let Some((_, rest)) = detail.split_once("run the '") {
        let (names, _) = rest.split_once("' command")?;
        return Some(format!("+{}", names.replace(' ', " +")));
    }
    if detail.contains("channel") {
        return Some("&fl:c:*".to_owned());
    }
    let key = detail.contains("access a key") || detail.contains("of the keys");
    key.then(|| "~* (or ~ and a pattern for the lock's key, and for {key}:fl:*)".to_owned())
}

/// Whether the server kept to itself which command is meant.
pub(super) fn is_unnamed(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains(UNNAMED))
}

/// The same error in the words of later servers, with the diagnosis of what is missing.
pub(super) fn named(error: RedisError, diagnosis: &Value) -> RedisError {
    let Value::Array(names) = diagnosis else { return error };
    let names: Vec<_> = names
        .iter()
        .filter_map(|name| match name {
            Value::BulkString(name) => Some(String::from_utf8_lossy(name)),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return error;
    }
    let line = format!("-NOPERM no permissions to run the '{}' command\r\n", names.join(" "));
    match redis::parse_redis_value(line.as_bytes()).and_then(Value::extract_error) {
        Err(told) => told,
        Ok(_) => error,
    }
}
