//! What can go wrong with a file, in the terms of the one list of errors.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};

/// Why a transaction did not come to an end.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(rusqlite::Error),
    Error(Error),
    /// Others used the store until the time was over; nothing was done.
    Busy,
    /// The file is not the one that was opened: nothing was done.
    Replaced,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Sql(error),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Fault {
    pub(super) fn into_error(self, store: &str) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Sql(error) => sql(&error, store),
            Self::Busy => Error::new(
                ErrorKind::Unavailable,
                format!("{store} was in use by others until the time was over"),
                "try again; if it stays so, look for a process that is stopped in the middle",
            ),
            Self::Replaced => Error::new(
                ErrorKind::Unavailable,
                format!("{store} was deleted or replaced while in use"),
                "leave the file where it is for as long as anybody uses its locks",
            ),
        }
    }
}

fn sql(error: &rusqlite::Error, store: &str) -> Error {
    let unavailable = |what: &str, advice| {
        Error::new(ErrorKind::Unavailable, format!("{store}: {what} ({error})"), advice)
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            unavailable("the disk is full", "make room; leases that are held end at their TTL")
        }
        Some(ErrorCode::SystemIoFailure) => {
            unavailable("reading or writing failed", "look at the disk, and at the system's log")
                .maybe_done()
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => damaged(store, error),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            Error::new(
                ErrorKind::Denied,
                format!("{store} can't be opened for writing ({error})"),
                "give this user the right to write the file and its directory",
            )
        }
        Some(ErrorCode::OutOfMemory) => unavailable("out of memory", "free some memory"),
        _ => Error::new(
            ErrorKind::Backend,
            format!("{store}: {error}"),
            "report this as a bug of fencelock",
        ),
    }
}

fn damaged(store: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Backend,
        format!("{store} is no store of fencelock's, or is damaged ({why})"),
        "name another file; if it is a damaged store, stop all that use it, and move it away",
    )
}

/// The file holds something else.
pub(super) fn foreign(store: &str) -> Error {
    damaged(store, &"it holds something else")
}

/// Something in a store that this code never writes.
pub(super) fn unreadable(what: &str) -> Error {
    damaged("the store", &what)
}

/// A step of opening a store has failed.
pub(super) fn io(what: &str, path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind as Io;
    let path = path.display();
    let say = |kind, advice| Error::new(kind, format!("{what} {path}: {error}"), advice);
    match error.kind() {
        Io::NotFound | Io::NotADirectory | Io::IsADirectory | Io::InvalidInput => say(
            ErrorKind::InvalidArgument,
            "name a file in a directory that exists, such as file:/path/locks.db",
        ),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => say(
            ErrorKind::Denied,
            "give this user the right to write the file and its directory, or name another file",
        ),
        Io::StorageFull | Io::QuotaExceeded => {
            say(ErrorKind::Unavailable, "make room; leases that are held end at their TTL")
        }
        _ => say(ErrorKind::Unavailable, "look at the disk, and at the process's limits"),
    }
}
