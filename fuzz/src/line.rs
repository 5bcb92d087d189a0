//! The lines between the conformance suite and its drivers: what is read and written again is the
//! same.

use fencelock_conformance::line::{Request, Said, decode, encode};

pub(crate) fn run(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    let encoded = encode(&line);
    assert!(!encoded.contains(char::is_whitespace), "{encoded:?}");
    assert_eq!(decode(&encoded).as_deref(), Ok(&*line));
    if let Ok(request) = Request::read(&line) {
        assert_eq!(Request::read(&request.to_string()), Ok(request));
    }
    if let Ok(said) = Said::read(&line) {
        assert_eq!(Said::read(&said.to_string()), Ok(said));
    }
}
