//! Replies that arrive in pieces, read both ways: for the tests here, and for the fuzzer.

use std::io::{self, Read};

use redis::{RedisResult, Value};

use super::resp::Reader;

/// Gives so many bytes at a time.
pub(super) struct Pieces<'a>(pub(super) &'a [u8], pub(super) usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buf.len());
        buf[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// All replies in a text that arrives so many bytes at a time, as a stream that blocks gives them:
/// the last is the error that ended it, the text's end if nothing else.
#[cfg(feature = "model")]
pub fn read(text: &[u8], step: usize) -> Vec<RedisResult<Value>> {
    let (mut reader, mut stream) = (Reader::new(), Pieces(text, step));
    let mut values = Vec::new();
    while values.last().is_none_or(Result::is_ok) {
        values.push(reader.read(&mut stream));
    }
    values
}

/// The same as a stream that does not block gives them: an error is the last, if there is one.
///
/// # Panics
///
/// If `step` is 0.
pub fn received(text: &[u8], step: usize) -> Vec<RedisResult<Value>> {
    let (mut reader, mut stream) = (Reader::new(), Pieces(text, step));
    let mut values = Vec::new();
    while !stream.0.is_empty() {
        assert!(reader.receive(&mut stream).is_ok(), "nothing was read, although there is more");
        while let Some(value) = reader.next_received() {
            values.push(value);
            if values.last().is_some_and(Result::is_err) {
                return values;
            }
        }
    }
    values
}
