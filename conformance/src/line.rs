//! The drivers' line protocol: `<id> <op> key=value…` in, `<id> ok key=value…` or
//! `<id> err <kind> key=value…` out, in any order, and events `! <event> key=value…`.
//!
//! Values are percent-encoded, so that a line never holds a blank or a line break that means
//! anything but the end of a word or of the line.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

/// The `key=value` words of a line, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// The value of a key, if it is given.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Sets a value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.0.insert(key.to_owned(), value.to_string());
        self
    }

    /// The value of a key that must be given.
    ///
    /// # Errors
    ///
    /// A text that names the key.
    pub fn text(&self, key: &str) -> Result<&str, String> {
        self.get(key).ok_or_else(|| format!("{key}= is missing"))
    }

    /// The number behind a key that must be given.
    ///
    /// # Errors
    ///
    /// A text that names the key.
    pub fn number(&self, key: &str) -> Result<u64, String> {
        let text = self.text(key)?;
        text.parse().map_err(|_| format!("{key}={text} is not a whole number"))
    }

    /// The number of ms behind a key, if it is given.
    ///
    /// # Errors
    ///
    /// A text that names the key.
    pub fn millis(&self, key: &str) -> Result<Option<Duration>, String> {
        self.get(key).map(|_| self.number(key).map(Duration::from_millis)).transpose()
    }

    fn read<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        words
            .map(|word| {
                let (key, value) =
                    word.split_once('=').ok_or_else(|| format!("{word:?} is not key=value"))?;
                Ok((key.to_owned(), decode(value)?))
            })
            .collect::<Result<_, String>>()
            .map(Self)
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.0 {
            write!(f, " {key}={}", encode(value))?;
        }
        Ok(())
    }
}

/// What a driver is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Repeated in the answer.
    pub id: u64,
    /// The operation.
    pub op: String,
    /// Its arguments.
    pub fields: Fields,
}

impl Request {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with it.
    pub fn read(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let (id, op) = (words.next(), words.next());
        let id = id.and_then(|id| id.parse().ok()).ok_or("a request begins with a number")?;
        let op = op.ok_or("a request needs an operation")?.to_owned();
        let fields = Fields::read(words)?;
        Ok(Self { id, op, fields })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.id, self.op, self.fields)
    }
}

/// An error as a driver tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A kind of `errors.toml`, or `usage` for a request that the driver did not understand.
    pub kind: String,
    /// `code`, `message`, `retryable`, `ambiguous` and, where it was lost, `loss`.
    pub fields: Fields,
}

impl Fault {
    /// A request that makes no sense to the driver.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { kind: "usage".to_owned(), fields: Fields::default().with("message", message) }
    }

    /// What the error says.
    pub fn message(&self) -> &str {
        self.fields.get("message").unwrap_or_default()
    }

    /// Why the lease was lost, if that is what it is about.
    pub fn loss(&self) -> Option<&str> {
        self.fields.get("loss")
    }
}

/// How a request ended.
pub type Answer = Result<Fields, Fault>;

/// A line that a driver writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The answer to the request with this number.
    Answer(u64, Answer),
    /// Something that happened of its own accord, such as `lost`.
    Event(String, Fields),
}

impl Said {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with it.
    pub fn read(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let mut word = || words.next().ok_or("the line is too short");
        let (first, second) = (word()?, word()?);
        if first == "!" {
            return Ok(Self::Event(second.to_owned(), Fields::read(words)?));
        }
        let id = first.parse().map_err(|_| "the line has no number")?;
        let answer = match second {
            "ok" => Ok(Fields::read(words)?),
            "err" => Err(Fault { kind: word()?.to_owned(), fields: Fields::read(words)? }),
            _ => return Err("an answer is ok or err".to_owned()),
        };
        Ok(Self::Answer(id, answer))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(id, Ok(fields)) => write!(f, "{id} ok{fields}"),
            Self::Answer(id, Err(fault)) => write!(f, "{id} err {}{}", fault.kind, fault.fields),
            Self::Event(event, fields) => write!(f, "! {event}{fields}"),
        }
    }
}

/// Leaves letters, digits and a few signs as they are; every other byte becomes `%XX`.
pub fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:/,+*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Undoes [`encode`].
///
/// # Errors
///
/// A text that says what is wrong with the value.
pub fn decode(value: &str) -> Result<String, String> {
    let wrong = || format!("{value:?} is not percent-encoded UTF-8");
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        out.push(code.ok_or_else(wrong)?);
        rest = &tail[2..];
    }
    String::from_utf8(out).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_survives_the_line() {
        let name = "job 7\n=%\u{0}{é}";
        let request = Request {
            id: 3,
            op: "acquire".to_owned(),
            fields: Fields::default().with("name", name).with("ttl", 500),
        };
        let line = request.to_string();
        assert_eq!(line.lines().count(), 1);
        assert_eq!(Request::read(&line), Ok(request));
    }

    #[test]
    fn answers_and_events_are_read_as_they_are_written() {
        let fields = Fields::default().with("fence", 17);
        let fault =
            Fault { kind: "lost".to_owned(), fields: Fields::default().with("loss", "expired") };
        for said in [
            Said::Answer(1, Ok(fields.clone())),
            Said::Answer(2, Ok(Fields::default())),
            Said::Answer(3, Err(fault)),
            Said::Event("lost".to_owned(), fields),
        ] {
            assert_eq!(Said::read(&said.to_string()), Ok(said));
        }
    }

    #[test]
    fn a_line_that_is_no_answer_is_refused() {
        for line in ["", "1", "1 maybe", "x ok", "1 ok fence", "1 ok fence=%4"] {
            assert!(Said::read(line).is_err(), "{line:?}");
        }
    }
}
