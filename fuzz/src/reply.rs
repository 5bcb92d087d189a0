//! Replies of the scripts: any value is understood or refused, and none grants what it does not
//! say.

use std::sync::Arc;
use std::time::Duration;

use fencelock::ErrorKind;
use fencelock::model::{
    Answer, Asked, Claim, Moment, PushMode, Token, read_acquire, read_extend, read_poll,
    read_release, received,
};
use fencelock::parse::{read, read_inspect};

use crate::bytes::Bytes;

/// Longer than any heartbeat (protocol, "The client's part").
const LONGEST_LOOK: Duration = Duration::from_secs(11);

fn check(answer: &Answer, claim: &Claim, asked: Asked) {
    match *answer {
        Answer::Granted { valid_until, .. } => {
            assert!(valid_until < asked.sent + claim.ttl(), "valid for longer than its TTL");
        }
        Answer::Queued { look_at, .. } => {
            assert!(look_at >= asked.now && look_at < asked.now + LONGEST_LOOK, "{look_at:?}");
        }
        Answer::Busy | Answer::Gone => {}
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let (many, ttl_ms) = (usize::from(bytes.byte()) % 4, 50 + bytes.size() % 86_399_950);
    let mode = if bytes.byte() & 1 == 0 { PushMode::Channel } else { PushMode::None };
    let jitter = f64::from(bytes.byte()) / 256.0;
    let sent = Moment::from_nanos(1_000_000_000_000);
    let asked = Asked { sent, now: sent + Duration::from_millis(3), mode, jitter };
    let claim = Arc::new(Claim::new("fuzz".into(), Token::from_number(7), ttl_ms, "".into()));
    let claims = vec![claim.clone(); many];
    let Some(Ok(value)) = read(bytes.rest(), 4096).into_iter().next() else { return };
    let value = match received(value) {
        Ok(value) => value,
        Err(error) => {
            assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Lost), "{error}");
            return;
        }
    };
    if let Ok(answer) = read_acquire(&claim, asked, &value) {
        check(&answer, &claim, asked);
    }
    if let Ok(answers) = read_poll(&claims, asked, &value) {
        assert_eq!(answers.len(), claims.len());
        for answer in &answers {
            check(answer, &claim, asked);
        }
    }
    if let Ok(Some(until)) = read_extend(&claim, asked, &value) {
        assert!(until < sent + claim.ttl());
    }
    if let Ok(seen) = read_inspect("fuzz", &value) {
        assert!(seen.name == "fuzz" && seen.holder.is_none_or(|holder| !holder.id.is_empty()));
    }
    let _ = read_release(&value);
}
