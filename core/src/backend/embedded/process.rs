//! What the processes that share a store know of each other. Each has a file of its own beside
//! the store, with a POSIX record lock on it: the kernel gives that back at the moment the process
//! ends, however it ends, and a forked child does not have it, as it would have `flock`'s.
//!
//! The file is opened once. The first close of any descriptor of it in the process would give the
//! lock back; so nobody in this process ever opens it again.

#![expect(
    unsafe_code,
    reason = "fcntl's record locks have no safe interface that tells the holder"
)]

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::fault;
use crate::error::{Error, ErrorKind, Result};
use crate::fork::Inherited;
use crate::token;

const ALIVE: &str = "alive";
/// A file that is not locked yet.
const UNBORN: &str = "new";

/// This process, as the others see it.
#[derive(Debug)]
pub(super) struct Process {
    /// Begins every one of its files.
    pub(super) name: String,
    dir: PathBuf,
    /// The same for every copy of this library in this process.
    identity: String,
    _file: File,
    _inherited: Inherited,
}

/// What can be known of another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It lives; its number, if it can be seen from here.
    Alive(Option<i32>),
    /// It has ended.
    Dead,
    /// It can't be told: what it holds ends at its TTL.
    Unknown,
}

/// pid, start and namespace: no two processes of a machine have the same at one time.
fn identity() -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name, which may hold anything, comes the 3rd field; the start is the
    // 22nd.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let born = rest.split_whitespace().nth(19).unwrap_or("0");
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let namespace: String =
        namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    format!("{}.{born}.{namespace}.", std::process::id())
}

/// Its kinds are of another type on macOS.
fn record(kind: impl Into<libc::c_int>) -> libc::flock {
    // SAFETY: all zeros is a value of this plain structure: the whole file, from its beginning.
    let mut record: libc::flock = unsafe { std::mem::zeroed() };
    record.l_type = libc::c_short::try_from(kind.into()).unwrap_or_default();
    record.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    record
}

fn lock(file: &File) -> io::Result<()> {
    let wanted = record(libc::F_WRLCK);
    // SAFETY: the descriptor is open, and the pointer valid for the length of the call.
    let failed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const wanted) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Who has a lock that is in the way of `command`'s kind of lock.
fn in_the_way(file: &File, command: libc::c_int) -> io::Result<Option<i32>> {
    let mut asked = record(libc::F_RDLCK);
    // SAFETY: the descriptor is open, and the pointer valid for the length of the call.
    let failed = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut asked) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    let free = asked.l_type == record(libc::F_UNLCK).l_type;
    Ok((!free).then_some(asked.l_pid))
}

/// Whether another copy of this library in this process has locked this file. Its record lock
/// would be lost if the file was closed again: then it stays open for good.
#[cfg(target_os = "linux")]
fn is_another_copys(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let locked = in_the_way(&file, libc::F_OFD_GETLK).is_ok_and(|holder| holder.is_some());
    if locked {
        std::mem::forget(file);
    }
    locked
}

#[cfg(not(target_os = "linux"))]
fn is_another_copys(_path: &Path) -> bool {
    false
}

impl Process {
    /// Makes itself known in a store's directory. `ours` are the names that this copy of the
    /// library goes by already.
    pub(super) fn register(dir: &Path, mode: u32, ours: &Mutex<HashSet<String>>) -> Result<Self> {
        let identity = identity();
        let mut ours = ours.lock().unwrap_or_else(PoisonError::into_inner);
        // What a program leaves behind that this process was before an exec is not locked.
        let mine = files(dir, ALIVE)
            .filter(|name| name.starts_with(&identity) && !ours.contains(name.as_str()))
            .collect::<Vec<_>>();
        for name in mine {
            if is_another_copys(&dir.join(format!("{name}.{ALIVE}"))) {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("another copy of fencelock in this process uses {}", dir.display()),
                    "use one binding in one process, or a file for each",
                ));
            }
            remove(dir, &name);
        }
        let name = format!("{identity}{}", token::client_id()?);
        let failed = |error: io::Error| fault::io("can't write in", dir, &error);
        let unborn = dir.join(format!("{name}.{UNBORN}"));
        let file = OpenOptions::new()
            .create_new(true)
            .read(true)
            .write(true)
            .mode(mode)
            .open(&unborn)
            .map_err(failed)?;
        let inherited = Inherited::register(file.as_raw_fd());
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
        lock(&file).map_err(failed)?;
        // From here on others may see it, and it is locked.
        fs::rename(&unborn, dir.join(format!("{name}.{ALIVE}"))).map_err(failed)?;
        ours.insert(name.clone());
        Ok(Self { name, dir: dir.to_owned(), identity, _file: file, _inherited: inherited })
    }

    /// What can be known of a process by the name that it goes by here.
    pub(super) fn life(&self, name: &str) -> Life {
        if name == self.name {
            return Life::Alive(None);
        }
        // A copy of this library in this very process, or what was here before an exec.
        if name.starts_with(&self.identity) || name.contains('/') {
            return Life::Unknown;
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(self.dir.join(format!("{name}.{ALIVE}")));
        let Ok(file) = file else { return Life::Unknown };
        match in_the_way(&file, libc::F_GETLK) {
            Ok(None) => Life::Dead,
            Ok(Some(pid)) => Life::Alive((pid > 0).then_some(pid)),
            Err(_) => Life::Unknown,
        }
    }

    /// The names of the processes that have ended without saying so.
    pub(super) fn dead(&self) -> Vec<String> {
        files(&self.dir, ALIVE).filter(|name| self.life(name) == Life::Dead).collect()
    }

    /// Removes what a dead process has left.
    pub(super) fn remove(&self, name: &str) {
        remove(&self.dir, name);
    }

    /// Removes its own files: what it holds ends at its TTL.
    pub(super) fn retire(&self, ours: &Mutex<HashSet<String>>) {
        remove(&self.dir, &self.name);
        ours.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

fn remove(dir: &Path, name: &str) {
    for ending in [super::post::SOCKET, ALIVE] {
        // What is not there need not be removed.
        let _ = fs::remove_file(dir.join(format!("{name}.{ending}")));
    }
}

/// The names of files with this ending, and of those that a crash left unborn long ago.
fn files(dir: &Path, ending: &'static str) -> impl Iterator<Item = String> {
    let old = |entry: &fs::DirEntry| {
        let age = entry.metadata().ok()?.modified().ok()?.elapsed().ok()?;
        Some(age > Duration::from_secs(3600))
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let name = entry.file_name().into_string().ok()?;
        let (stem, found) = name.rsplit_once('.')?;
        if found == UNBORN && old(&entry) == Some(true) {
            let _ = fs::remove_file(entry.path());
        }
        (found == ending).then(|| stem.to_owned())
    })
}
