//! Reads replies for the paths that use no other thread, into the `redis` crate's values, from a
//! stream that blocks or that does not. That crate's own parser costs about 2 µs a reply, a tenth
//! of what an uncontended pair may take; it reads what is new in RESP3, which is rare here.

use std::io::{self, Read};

use redis::{PushKind, RedisResult, Value};

/// A reply may nest so deep; ours do twice.
const DEEPEST: usize = 8;
/// More than any reply of ours has; a larger number is no RESP.
const LONGEST: i64 = 16 * 1024 * 1024;

/// Bytes that were read and are not used yet.
#[derive(Debug)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; 1024], start: 0, end: 0 }
    }

    /// The next reply. After an error the stream is of no use any more.
    pub(super) fn read(&mut self, stream: &mut impl Read) -> RedisResult<Value> {
        self.value(stream, 0)
    }

    /// Reads once from a stream that does not block; whether there may be more.
    pub(super) fn receive(&mut self, stream: &mut impl Read) -> io::Result<bool> {
        self.fill(stream)?;
        Ok(self.end == self.buffer.len())
    }

    /// The next reply, if all of it has been received.
    pub(super) fn next_received(&mut self) -> Option<RedisResult<Value>> {
        rest(&self.buffer[self.start..self.end], 0)?;
        Some(self.value(&mut io::empty(), 0))
    }

    fn value(&mut self, stream: &mut impl Read, depth: usize) -> RedisResult<Value> {
        let (from, to) = self.line(stream)?;
        let line = &self.buffer[from..to];
        let Some((&kind, rest)) = line.split_first() else { return Err(garbled()) };
        match kind {
            b':' => Ok(Value::Int(number(rest)?)),
            b'+' if rest == b"OK" => Ok(Value::Okay),
            b'+' => Ok(Value::SimpleString(String::from_utf8_lossy(rest).into_owned())),
            b'-' => {
                let line = [line, b"\r\n"].concat();
                redis::parse_redis_value(&line)
            }
            b'$' => match length(rest)? {
                -1 => Ok(Value::Nil),
                length => Ok(Value::BulkString(self.bytes(stream, length)?)),
            },
            b'*' | b'>' | b'%' if depth >= DEEPEST => Err(garbled()),
            b'*' => match length(rest)? {
                -1 => Ok(Value::Nil),
                length => Ok(Value::Array(self.values(stream, length, depth)?)),
            },
            b'%' => {
                let pairs = (0..length(rest)?)
                    .map(|_| Ok((self.value(stream, depth + 1)?, self.value(stream, depth + 1)?)));
                pairs.collect::<RedisResult<_>>().map(Value::Map)
            }
            b'>' => {
                let length = length(rest)?;
                push(self.values(stream, length, depth)?)
            }
            b'_' => Ok(Value::Nil),
            _ => Err(garbled()),
        }
    }

    fn values(
        &mut self,
        stream: &mut impl Read,
        count: i64,
        depth: usize,
    ) -> RedisResult<Vec<Value>> {
        (0..count).map(|_| self.value(stream, depth + 1)).collect()
    }

    /// Where the next line stands in the buffer, without its end.
    fn line(&mut self, stream: &mut impl Read) -> io::Result<(usize, usize)> {
        let mut looked = 0;
        loop {
            let fresh = &self.buffer[self.start + looked..self.end];
            if let Some(at) = fresh.iter().position(|&byte| byte == b'\n') {
                let (from, to) = (self.start, self.start + looked + at);
                self.start = to + 1;
                return Ok((from, to - usize::from(to > from && self.buffer[to - 1] == b'\r')));
            }
            looked += fresh.len();
            self.fill(stream)?;
        }
    }

    fn bytes(&mut self, stream: &mut impl Read, length: i64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
        while self.end - self.start < length + 2 {
            self.fill(stream)?;
        }
        let bytes = self.buffer[self.start..self.start + length].to_vec();
        self.start += length + 2;
        Ok(bytes)
    }

    fn fill(&mut self, stream: &mut impl Read) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end * 2 > self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        match stream.read(&mut self.buffer[self.end..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }
}

/// What comes behind the first reply, if all of that is there. Of garbage, nothing: it is there.
fn rest(bytes: &[u8], depth: usize) -> Option<&[u8]> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (line, mut behind) = (&bytes[..end], &bytes[end + 1..]);
    let Some((kind @ (b'$' | b'*' | b'>' | b'%'), count)) = line.split_first() else {
        return Some(behind);
    };
    let Ok(count) = length(count.strip_suffix(b"\r").unwrap_or(count)) else {
        return Some(&[]);
    };
    let Ok(count) = usize::try_from(count) else {
        return Some(behind);
    };
    if *kind == b'$' {
        return behind.get(count + 2..);
    }
    if depth >= DEEPEST {
        return Some(&[]);
    }
    let each = if *kind == b'%' { 2 } else { 1 };
    for _ in 0..count * each {
        behind = rest(behind, depth + 1)?;
    }
    Some(behind)
}

/// A push of these parts, its kind first.
fn push(mut parts: Vec<Value>) -> RedisResult<Value> {
    let Some(Value::BulkString(kind)) = parts.first() else { return Err(garbled()) };
    let kind = push_kind(kind)?;
    parts.remove(0);
    Ok(Value::Push { kind, data: parts })
}

fn push_kind(name: &[u8]) -> RedisResult<PushKind> {
    // What a waiter waits for is not to take the detour.
    if name == b"message" {
        return Ok(PushKind::Message);
    }
    // The crate alone knows the other kinds by their names.
    let alone = [format!(">1\r\n${}\r\n", name.len()).as_bytes(), name, b"\r\n"].concat();
    match redis::parse_redis_value(&alone)? {
        Value::Push { kind, .. } => Ok(kind),
        _ => Err(garbled()),
    }
}

fn number(digits: &[u8]) -> RedisResult<i64> {
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(garbled)
}

/// A length, not so large that a garbled one makes us wait for bytes that never come.
fn length(digits: &[u8]) -> RedisResult<i64> {
    number(digits).and_then(|length| {
        // -1: there is none.
        if (-1..=LONGEST).contains(&length) { Ok(length) } else { Err(garbled()) }
    })
}

fn garbled() -> redis::RedisError {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is no RESP").into()
}

#[cfg(test)]
mod tests {
    use super::super::pieces::{Pieces, received};
    use super::*;

    fn long() -> Vec<u8> {
        let mut text = b"*2\r\n$5000\r\n".to_vec();
        text.extend([b'x'; 5000]);
        text.extend(b"\r\n:7\r\n");
        text
    }

    #[test]
    fn it_reads_what_the_redis_crate_reads_however_it_is_cut() {
        let long = long();
        let texts: [&[u8]; 15] = [
            b"_\r\n",
            b"*2\r\n_\r\n:1\r\n",
            b"%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*0\r\n",
            b">3\r\n$7\r\nmessage\r\n$6\r\nfl:c:a\r\n$3\r\nG a\r\n",
            b"+OK\r\n",
            b"+PONG\r\n",
            b":-2\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"$0\r\n\r\n",
            b"$4\r\na\r\nb\r\n",
            b"*3\r\n$4\r\nheld\r\n$2\r\n17\r\n:10000\r\n",
            b"*3\r\n:1\r\n:0\r\n*2\r\n$6\r\nqueued\r\n:3\r\n",
            &long,
        ];
        for text in texts {
            let expected = redis::parse_redis_value(text).unwrap();
            for step in [1, 2, 3, 7, 10_000] {
                let twice = [text, text].concat();
                let (mut reader, mut stream) = (Reader::new(), Pieces(&twice, step));
                for _ in 0..2 {
                    assert_eq!(reader.read(&mut stream).unwrap(), expected);
                }
                let values: Vec<_> =
                    received(&twice, step).into_iter().map(Result::unwrap).collect();
                assert_eq!(values, [expected.clone(), expected.clone()]);
            }
        }
    }

    #[test]
    fn an_error_is_a_value_with_its_code() {
        let mut stream = Pieces(b"-NOSCRIPT No matching script.\r\n", 100);
        let value = Reader::new().read(&mut stream).unwrap();
        assert_eq!(value.extract_error().unwrap_err().code(), Some("NOSCRIPT"));
    }

    #[test]
    fn garbage_and_a_cut_stream_are_errors() {
        let deep = b"*1\r\n".repeat(100);
        let texts: [&[u8]; 10] = [
            b"",
            b"\r\n",
            b"hello\r\n",
            b":x\r\n",
            b"$5\r\nab",
            b"*2\r\n:1\r\n",
            b"$-7\r\n",
            b"*-2\r\n",
            b"+OK",
            &deep,
        ];
        for text in texts {
            assert!(Reader::new().read(&mut Pieces(text, 100)).is_err(), "{text:?}");
            // What is cut may still come.
            assert!(received(text, 100).iter().all(Result::is_err), "{text:?}");
        }
        let huge = b"$999999999999\r\n";
        assert!(Reader::new().read(&mut Pieces(huge, 100)).is_err());
        assert!(matches!(&received(huge, 100)[..], [Err(_)]));
    }
}
