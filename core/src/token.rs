//! Owner tokens and client ids: 128 bits from the operating system, at every use anew.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

const PREFIX: &[u8; 4] = b"fl1-";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Proves ownership of a lease: `fl1-` and 22 base64url characters (protocol, "Keys").
///
/// It is a secret: whoever has it can release the lock. `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token([u8; 26]);

impl Token {
    /// A token that nobody has had before.
    ///
    /// It is drawn from the operating system each time: a generator in this process would
    /// repeat itself in a forked child.
    pub(crate) fn generate() -> Result<Self> {
        let mut text = [0; 26];
        text[..4].copy_from_slice(PREFIX);
        text[4..].copy_from_slice(&random_text()?);
        Ok(Self(text))
    }

    /// A token like any other, from a number: the model checker has no use for chance.
    #[cfg(feature = "model")]
    pub fn from_number(number: u64) -> Self {
        let mut text = [0; 26];
        text[..4].copy_from_slice(PREFIX);
        text[4..].copy_from_slice(&base64(u128::from(number)));
        Self(text)
    }

    /// The token in a message from the server, if it is one.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: [u8; 26] = text.try_into().ok()?;
        text.starts_with(PREFIX).then_some(Self(text))
    }

    /// Its text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Names a client to the server; its push channel is `fl:c:<id>`.
pub(crate) fn client_id() -> Result<String> {
    Ok(random_text()?.iter().map(|&b| char::from(b)).collect())
}

/// 128 random bits as 22 base64url characters.
fn random_text() -> Result<[u8; 22]> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            format!("the operating system gave no random bits: {error}"),
            "check that getrandom(2) is permitted",
        )
    })?;
    Ok(base64(u128::from_le_bytes(bits)))
}

fn base64(mut rest: u128) -> [u8; 22] {
    std::array::from_fn(|_| {
        let digit = ALPHABET[(rest & 63) as usize];
        rest >>= 6;
        digit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_survive_the_wire() {
        let (a, b) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_ne!(a, b);
        assert_eq!(Token::parse(a.as_bytes()), Some(a));
        assert_eq!(a.as_bytes().len(), 26);
    }

    #[test]
    fn foreign_values_are_no_tokens() {
        assert_eq!(Token::parse(b"fl1-short"), None);
        assert_eq!(Token::parse(b"0123456789012345678901234x"), None);
    }

    #[test]
    fn debug_hides_the_token() {
        let token = Token::generate().unwrap();
        let secret = String::from_utf8_lossy(&token.as_bytes()[4..]).into_owned();
        assert!(!format!("{token:?}").contains(&secret));
    }
}
