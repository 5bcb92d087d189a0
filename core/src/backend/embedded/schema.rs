//! The store's format: its tables, its version, and what makes a file one of ours.

use rusqlite::Connection;

use super::boot::Boot;
use super::fault::{self, Fault};
use crate::error::{Error, ErrorKind};

/// "flck": `SQLite`'s header says whose file it is.
const APPLICATION: i64 = 0x666c_636b;
/// Of the tables. A store of a newer version is refused.
pub(super) const VERSION: i64 = 1;

/// A lock's row stays when it is given back, for its last fence: `token` is NULL then. Moments
/// (`until`, `heard`) are ns of the boot clock, TTLs ms. `process` names a file of the
/// directory beside the store. Waiters are served by ticket.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE lock (
    name TEXT PRIMARY KEY, fence INTEGER NOT NULL, token BLOB, ttl INTEGER NOT NULL,
    until INTEGER NOT NULL, process TEXT NOT NULL, label TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE waiter (
    name TEXT NOT NULL, ticket INTEGER NOT NULL, token BLOB NOT NULL, ttl INTEGER NOT NULL,
    heard INTEGER NOT NULL, client TEXT NOT NULL, process TEXT NOT NULL, label TEXT NOT NULL,
    PRIMARY KEY (name, ticket, token)
) WITHOUT ROWID;
CREATE UNIQUE INDEX waiter_token ON waiter (name, token);
";

fn pragma(connection: &Connection, name: &str) -> Result<i64, Fault> {
    Ok(connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?)
}

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    Ours,
}

/// Looks before anything is changed.
pub(super) fn look(connection: &Connection, store: &str) -> Result<Kind, Fault> {
    let application = pragma(connection, "application_id")?;
    let version = pragma(connection, "user_version")?;
    if application == APPLICATION {
        return match version {
            VERSION => Ok(Kind::Ours),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!("{store} has format {version}, this version of fencelock knows {VERSION}"),
                "use the newest fencelock in every program, or name another file",
            )
            .into()),
        };
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != 0 || version != 0 || tables != 0 {
        return Err(fault::foreign(store).into());
    }
    Ok(Kind::Empty)
}

/// Makes the tables where there are none, and ends every lease of an earlier boot: fences stay.
/// Called inside a transaction.
pub(super) fn make(connection: &Connection, store: &str, boot: &Boot) -> Result<(), Fault> {
    if look(connection, store)? == Kind::Empty {
        connection.execute_batch(TABLES)?;
        connection.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}"
        ))?;
    }
    let known = connection
        .query_row("SELECT value FROM meta WHERE key = 'boot'", [], |row| row.get::<_, String>(0));
    match known {
        Ok(known) if known == boot.text() => return Ok(()),
        Ok(known) if boot.is_apart_from(&known) => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("{store} is used by another clock (a time namespace of a container)"),
                "share a store only where the boot clock is the same",
            )
            .into());
        }
        Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows) => {}
        Err(error) => return Err(error.into()),
    }
    connection.execute_batch("UPDATE lock SET token = NULL; DELETE FROM waiter")?;
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('boot', ?1)", [boot.text()])?;
    Ok(())
}
