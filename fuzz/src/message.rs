//! Messages on a client's channel: what is read is what was sent.

use fencelock::model::{Signal, Speaker};

use crate::bytes::Bytes;

pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let speaker = Speaker { client: "fuzz".into(), prefix: bytes.text() };
    let payload = bytes.line();
    let Some(signal) = speaker.read_message(payload) else { return };
    let Signal::Granted { name, token, fence } = &signal else {
        unreachable!("a message grants a lock")
    };
    let key = format!("{}{name}", speaker.prefix);
    assert!(payload.ends_with(key.as_bytes()), "another lock");
    let head = [b"G ", token.as_bytes(), format!(" {fence} 7 {key}").as_bytes()].concat();
    assert_eq!(speaker.read_message(&head).as_ref(), Some(&signal));
    // Without the prefix it is another client's lock.
    let other = Speaker { client: "fuzz".into(), prefix: format!("{key}!") };
    assert_eq!(other.read_message(&head), None);
}
