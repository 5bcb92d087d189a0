//! RESP from bytes: however they are cut, both readers give what the `redis` crate gives.

use fencelock::parse::{read, received};
use redis::{RedisResult, Value};

use crate::bytes::Bytes;

fn values(replies: &[RedisResult<Value>]) -> Vec<&Value> {
    replies.iter().flatten().collect()
}

pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let step = usize::from(bytes.byte()) + 1;
    let text = data.get(1..).unwrap_or_default();
    let whole = read(text, text.len().max(1));
    let (cut, late) = (read(text, step), received(text, step));
    assert_eq!(values(&whole), values(&cut), "cut by {step}");
    assert_eq!(values(&whole), values(&late), "received by {step}");
    let end = whole.last().and_then(|end| end.as_ref().err());
    if end.is_some_and(|end| end.is_io_error() && end.to_string().contains("end of file")) {
        assert!(late.iter().all(Result::is_ok), "{late:?}: what is cut may still come");
    }
    // A line that ends in a bare LF, or has a bare CR, is read differently; no server sends one.
    let bare = |pair: &[u8]| (pair[0] == b'\r') != (pair[1] == b'\n');
    if text.first() == Some(&b'\n') || text.windows(2).any(bare) {
        return;
    }
    if let (Some(Ok(ours)), Ok(theirs)) = (whole.first(), redis::parse_redis_value(text)) {
        assert_eq!(*ours, theirs);
    }
}
