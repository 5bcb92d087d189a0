//! How a process is told that one of its waiters was granted a lock: by one datagram on a Unix
//! socket beside the store. A refused datagram means that nobody is there any more.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::fault;
use super::ledger::Grant;
use crate::error::Result;
use crate::fork::Inherited;
use crate::token::Token;

pub(super) const SOCKET: &str = "sock";
/// The longest path that fits in a socket's address on every system, with its end.
const PATH_MOST: usize = 100;
/// Above the longest message: a name has 512 bytes at most.
const MESSAGE_MOST: usize = 2048;

/// A process's socket, and what it sends with.
#[derive(Debug)]
pub(super) struct Post {
    dir: PathBuf,
    /// By this a socket is reached whose path is too long.
    opened: File,
    outgoing: UnixDatagram,
    _inherited: [Inherited; 2],
}

/// The end of the socket that hears.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) socket: UnixDatagram,
    pub(super) inherited: Inherited,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is there, or the other has so many unread that it will look by itself.
    Told,
    /// Nobody has the other end.
    Refused,
    /// It can't be known; the other finds out by itself.
    Lost,
}

impl Post {
    /// Opens a process's socket in the store's directory.
    pub(super) fn open(dir: &Path, process: &str, mode: u32) -> Result<(Self, Inbox)> {
        let failed = |error: io::Error| fault::io("can't open a socket in", dir, &error);
        let opened = File::open(dir).map_err(failed)?;
        let outgoing = UnixDatagram::unbound().map_err(failed)?;
        outgoing.set_nonblocking(true).map_err(failed)?;
        let inherited = [opened.as_raw_fd(), outgoing.as_raw_fd()].map(Inherited::register);
        let post = Self { dir: dir.to_owned(), opened, outgoing, _inherited: inherited };
        let path = post.path(process);
        let socket = UnixDatagram::bind(&path).map_err(failed)?;
        let inherited = Inherited::register(socket.as_raw_fd());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok((post, Inbox { socket, inherited }))
    }

    fn path(&self, process: &str) -> PathBuf {
        let name = format!("{process}.{SOCKET}");
        let path = self.dir.join(&name);
        if path.as_os_str().len() <= PATH_MOST || !cfg!(target_os = "linux") {
            return path;
        }
        // The same file by a short way.
        format!("/proc/self/fd/{}/{name}", self.opened.as_raw_fd()).into()
    }

    /// Tells a grant. Never blocks.
    pub(super) fn send(&self, grant: &Grant) -> Sent {
        match self.outgoing.send_to(&write(grant), self.path(&grant.process)) {
            Ok(_) => Sent::Told,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Sent::Told,
                io::ErrorKind::ConnectionRefused => Sent::Refused,
                _ => Sent::Lost,
            },
        }
    }
}

/// `G <client> <token> <fence> <lock>`, the lock's name last as it may hold any byte.
fn write(grant: &Grant) -> Vec<u8> {
    let mut message = format!("G {} ", grant.client).into_bytes();
    message.extend(grant.token.as_bytes());
    message.extend(format!(" {} {}", grant.fence, grant.name).into_bytes());
    message
}

/// Reads a message; the process is not named in it.
pub(super) fn read(message: &[u8]) -> Option<Grant> {
    let mut parts = message.splitn(5, |&byte| byte == b' ');
    if parts.next()? != b"G" {
        return None;
    }
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let client = text()?.to_owned();
    let token = Token::parse(text()?.as_bytes())?;
    let fence = text()?.parse().ok()?;
    let name = text()?.to_owned();
    Some(Grant { name, token, fence, client, process: String::new() })
}

/// Room for a message.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; MESSAGE_MOST]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let grant = Grant {
            name: "a b \u{0}é".to_owned(),
            token: Token::generate().unwrap(),
            fence: 7,
            client: "c".to_owned(),
            process: String::new(),
        };
        assert_eq!(read(&write(&grant)), Some(grant));
        assert_eq!(read(b"G c fl1- 7 x"), None);
        assert_eq!(read(b""), None);
    }
}
