//! The embedded store through the public API: what is its own. What it shares with Redis is in
//! `conformance/`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fencelock::blocking::Client;
use fencelock::{ErrorKind, LossReason};

/// A directory of the test's own, removed with all that is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fl-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("locks.db")
    }

    fn url(&self) -> String {
        format!("file:{}", self.file().display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn refused(url: &str) -> ErrorKind {
    let error = Client::connect(url).unwrap_err();
    assert!(error.to_string().contains("; "), "what happened; what to do: {error}");
    error.kind()
}

#[test]
fn a_lock_is_taken_and_given_back_and_its_fence_grows() {
    let folder = Folder::new();
    for url in [folder.url(), "memory:fence".to_owned()] {
        let client = Client::connect(&url).unwrap();
        assert_eq!(client.server(), url);
        let first = client.lock("x").label("first").acquire().unwrap();
        assert!(client.lock("x").try_acquire().unwrap().is_none());
        let seen = client.inspect("x").unwrap();
        assert_eq!(seen.holder.unwrap().label, "first");
        first.release().unwrap();
        let second = client.lock("x").acquire().unwrap();
        assert!(second.fence() > first.fence());
        second.release().unwrap();
        client.close();
    }
}

#[test]
fn a_waiter_is_handed_the_lock_by_another_client() {
    let folder = Folder::new();
    let (a, b) = (Client::connect(&folder.url()).unwrap(), Client::connect(&folder.url()).unwrap());
    let lease = a.lock("x").acquire().unwrap();
    let waiting = std::thread::spawn(move || b.lock("x").acquire().unwrap().release());
    while a.inspect("x").unwrap().waiters == 0 {}
    lease.release().unwrap();
    waiting.join().unwrap().unwrap();
}

#[test]
fn stores_in_memory_are_apart_by_their_names() {
    let [a, b, same] =
        ["memory:a", "memory:b", "memory:a"].map(|url| Client::connect(url).unwrap());
    let lease = a.lock("x").acquire().unwrap();
    assert!(b.lock("x").try_acquire().unwrap().is_some());
    assert!(same.lock("x").try_acquire().unwrap().is_none());
    lease.release().unwrap();
}

#[test]
fn only_the_user_can_read_what_is_made() {
    let folder = Folder::new();
    let client = Client::connect(&folder.url()).unwrap();
    client.lock("x").acquire().unwrap().release().unwrap();
    let beside = folder.0.join("locks.db.d");
    assert_eq!((mode(&folder.file()), mode(&beside)), (0o600, 0o700));
    assert_eq!(mode(&folder.0.join("locks.db-wal")), 0o600);
    for entry in fs::read_dir(&beside).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    client.close();
    drop(client);
    assert_eq!(fs::read_dir(&beside).unwrap().count(), 0, "nothing is left of a closed client");
}

#[test]
fn a_group_takes_part_where_that_is_asked_for() {
    let folder = Folder::new();
    let client = Client::connect(&format!("{}?mode=group", folder.url())).unwrap();
    client.lock("x").acquire().unwrap().release().unwrap();
    let beside = folder.0.join("locks.db.d");
    assert_eq!((mode(&folder.file()), mode(&beside)), (0o660, 0o770));
    for entry in fs::read_dir(&beside).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o660);
    }
    drop(client);
    assert_eq!(refused(&folder.url()), ErrorKind::Denied, "both are open to others");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(refused(&folder.url()), ErrorKind::Denied, "the file still is");
}

#[test]
fn places_that_keep_no_store_are_refused() {
    let folder = Folder::new();
    let at = |name: &str| format!("file:{}/{name}", folder.0.display());
    assert_eq!(refused(&at("missing/locks.db")), ErrorKind::InvalidArgument);
    fs::write(folder.0.join("plain"), "").unwrap();
    assert_eq!(refused(&at("plain/locks.db")), ErrorKind::InvalidArgument);
    fs::create_dir(folder.0.join("folder")).unwrap();
    assert_eq!(refused(&at("folder")), ErrorKind::InvalidArgument);
    fs::write(folder.0.join("text"), "this is a text, and no store".repeat(100)).unwrap();
    fs::set_permissions(folder.0.join("text"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(refused(&at("text")), ErrorKind::Backend);
    assert!(fs::read_to_string(folder.0.join("text")).unwrap().starts_with("this is a text"));
    assert_eq!(refused("file:/proc/locks.db"), ErrorKind::InvalidArgument);
    fs::write(folder.0.join("one"), "").unwrap();
    fs::hard_link(folder.0.join("one"), folder.0.join("two")).unwrap();
    assert_eq!(refused(&at("two")), ErrorKind::InvalidArgument);
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    Client::connect(&folder.url()).unwrap().close();
    let other = rusqlite::Connection::open(folder.file()).unwrap();
    other.execute_batch("PRAGMA user_version = 2").unwrap();
    drop(other);
    assert_eq!(refused(&folder.url()), ErrorKind::Unsupported);
}

#[test]
fn the_store_of_another_program_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let other = rusqlite::Connection::open(folder.file()).unwrap();
    other.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    drop(other);
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(refused(&folder.url()), ErrorKind::Backend);
    let other = rusqlite::Connection::open(folder.file()).unwrap();
    let count: i64 = other.query_row("SELECT count(*) FROM theirs", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn leases_are_over_after_a_reboot_and_fences_are_not() {
    let folder = Folder::new();
    let client = Client::connect(&folder.url()).unwrap();
    let lease = client.lock("x").ttl(Duration::from_secs(3600)).acquire().unwrap();
    let fence = lease.fence();
    lease.abandon();
    client.close();
    drop((lease, client));
    let other = rusqlite::Connection::open(folder.file()).unwrap();
    other
        .execute_batch("UPDATE meta SET value = 'before 0.0'; UPDATE lock SET fence = fence + 1e12")
        .unwrap();
    drop(other);
    let client = Client::connect(&folder.url()).unwrap();
    let next = client.lock("x").try_acquire().unwrap().unwrap();
    assert!(next.fence() > fence + 1_000_000_000_000);
    next.release().unwrap();
}

#[test]
fn a_deleted_store_loses_its_leases_and_the_next_is_granted_in_the_new_one() {
    let folder = Folder::new();
    let client = Client::connect(&folder.url()).unwrap();
    let lease = client.lock("x").ttl(Duration::from_millis(600)).acquire().unwrap();
    fs::remove_file(folder.file()).unwrap();
    let other = Client::connect(&folder.url()).unwrap();
    while lease.is_held() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(lease.loss(), Some(LossReason::Refused));
    let next = other.lock("x").try_acquire().unwrap().unwrap();
    assert!(next.fence() > lease.fence());
    assert!(client.lock("x").try_acquire().unwrap().is_none(), "both use the new file");
    next.release().unwrap();
}

#[test]
fn tls_options_are_refused() {
    let options = fencelock::ClientOptions::new().danger_accept_invalid_certs(true);
    let error = Client::connect_with("memory:", options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
