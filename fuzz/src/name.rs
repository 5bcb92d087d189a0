//! Names: two locks never share a key, and the keys of one are in one slot of a cluster.

use std::sync::Arc;

use fencelock::MAX_NAME_BYTES;
use fencelock::model::{Claim, Speaker, Token};
use fencelock::parse::check_name;

use crate::bytes::Bytes;

/// What of a key decides its slot, as the server does it.
fn slotted(key: &[u8]) -> &[u8] {
    let tag = || {
        let open = key.iter().position(|&byte| byte == b'{')? + 1;
        let length = key[open..].iter().position(|&byte| byte == b'}')?;
        (length > 0).then(|| &key[open..open + length])
    };
    tag().unwrap_or(key)
}

fn keys(prefix: &str, name: &str) -> Vec<Vec<u8>> {
    let speaker = Speaker { client: "fuzz".into(), prefix: prefix.to_owned() };
    let token = Token::from_number(1);
    let (name, label) = (Arc::from(name), Arc::from(""));
    let claim = Claim::new(name, token, 1000, label);
    let (_, keys, _) = speaker.release(&claim).parts();
    keys
}

pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let locks = [(bytes.text(), bytes.text()), (bytes.text(), bytes.text())];
    let mut known: Vec<(String, Vec<u8>)> = Vec::new();
    for (prefix, name) in locks {
        if check_name(&prefix, &name).is_err() {
            continue;
        }
        let whole = format!("{prefix}{name}");
        assert!(!name.is_empty() && whole.len() <= MAX_NAME_BYTES, "{whole:?}");
        let keys = keys(&prefix, &name);
        assert_eq!(keys[0], whole.as_bytes());
        for key in &keys {
            assert_eq!(slotted(key), slotted(&keys[0]), "{whole:?} is in two slots");
        }
        for key in keys {
            for (other, theirs) in &known {
                assert!(other == &whole || *theirs != key, "{other:?} and {whole:?} share a key");
            }
            known.push((whole.clone(), key));
        }
    }
}
