//! URLs: whatever stands in one, a password is never shown.

use fencelock::ErrorKind;
use fencelock::parse::read_url;

use crate::bytes::Bytes;

const SCHEMES: [&str; 6] = ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix"];
const CANARY: &str = "canary-Zq7";

fn errors_are_the_callers(shown: &fencelock::Result<String>) {
    if let Err(error) = shown {
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::InvalidArgument | ErrorKind::Unsupported), "{error}");
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let way = bytes.byte();
    if way & 1 == 0 {
        return errors_are_the_callers(&read_url(&bytes.text()));
    }
    // Cut at NULs, with the canary in the place of a password.
    let scheme = SCHEMES[usize::from(way >> 1) % SCHEMES.len()];
    let (user, before, after, rest) = (bytes.text(), bytes.text(), bytes.text(), bytes.text());
    let url = if way & 128 == 0 {
        format!("{scheme}://{user}:{before}{CANARY}{after}@{rest}")
    } else {
        // Behind another ? it would be part of a parameter's value.
        let place = rest.split('?').next().unwrap_or_default();
        // And behind an & a parameter of its own.
        let before = before.replace('&', "%26");
        format!("{scheme}://{place}?password={before}{CANARY}{after}")
    };
    let shown = read_url(&url);
    errors_are_the_callers(&shown);
    match shown {
        Ok(shown) => assert!(!shown.contains(CANARY), "{url} is shown as {shown}"),
        Err(error) => {
            let error = format!("{error} {error:?}");
            assert!(!error.contains(CANARY), "{url} gives {error}");
        }
    }
}
