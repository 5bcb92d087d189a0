//! What the embedded store alone has: the end of a process is known at once, and the file may be
//! anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fencelock_conformance::backend::Backend;
use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::line::{Fault, Fields};
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::Stage;

use crate::{SLACK, between, long, millis};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::pair("a_killed_holder_is_known_at_once", a_killed_holder).on(Backend::File),
    Scenario::pair("a_killed_holder_at_the_head_of_many", a_killed_chain).on(Backend::File),
    Scenario::solo("a_killed_holder_does_not_stop_a_try", a_try_after_a_kill).on(Backend::File),
    Scenario::pair("a_child_of_a_killed_holder_keeps_nothing", a_child_of_a_killed_holder)
        .needs("fork")
        .on(Backend::File),
    Scenario::solo("many_processes_never_overlap", many_processes).on(Backend::File),
    Scenario::solo("a_full_disk_grants_nothing", a_full_disk).on(Backend::File),
    Scenario::solo("a_damaged_file_grants_nothing", a_damaged_file).on(Backend::File),
    Scenario::solo("files_that_are_no_store", files_that_are_no_store).on(Backend::File),
];

/// With a TTL by which nothing would happen for a minute.
const LONG: u64 = 60_000;

fn a_killed_holder(stage: &Stage) {
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").ttl(LONG).lease();
    let waiting = waiter.acquire("x").ttl(LONG).start();
    stage.await_queue("x", 1);
    let begun = boot_nanos();
    holder.kill();
    let next = waiting.lease();
    let took = between(begun, next.at);
    assert!(took < SLACK, "{took:?}");
    assert!(next.fence > lease.fence);
    next.release().unwrap();
    stage.nothing_left("x");
}

/// The lock is handed on in order, and then each holder is killed: those behind the first have
/// heard of nothing since they joined.
fn a_killed_chain(stage: &Stage) {
    let first = stage.party(0);
    let lease = first.acquire("x").ttl(LONG).lease();
    let mut queue = Vec::new();
    for place in 0..5 {
        let party = stage.party(place % 2);
        queue.push((party.clone(), party.acquire("x").ttl(LONG).start()));
        stage.await_queue("x", place as u64 + 1);
    }
    // Somebody in the middle goes first.
    queue.remove(2).0.kill();
    let begun = boot_nanos();
    lease.release().unwrap();
    for (party, waiting) in queue {
        waiting.lease();
        party.kill();
    }
    let took = between(begun, boot_nanos());
    assert!(took < 2 * SLACK, "{took:?}");
    let last = stage.party(0).acquire("x").attempt().expect("everybody is dead");
    last.release().unwrap();
    stage.nothing_left("x");
}

fn a_try_after_a_kill(stage: &Stage) {
    let (holder, next) = (stage.party(0), stage.party(0));
    let lease = holder.acquire("x").ttl(LONG).lease();
    assert!(next.acquire("x").attempt().is_none());
    holder.kill();
    let next = next.acquire("x").attempt().expect("its holder has ended");
    assert!(next.fence > lease.fence);
    next.release().unwrap();
}

/// A child inherits descriptors, but no record lock; nor does its client hold what the parent's
/// held.
fn a_child_of_a_killed_holder(stage: &Stage) {
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").ttl(LONG).lease();
    lease.fork(holder.acquire("y").timeout(5_000));
    assert!(lease.is_held(), "the child has come and gone");
    assert!(waiter.acquire("x").attempt().is_none());
    let waiting = waiter.acquire("x").ttl(LONG).start();
    stage.await_queue("x", 1);
    let begun = boot_nanos();
    holder.kill();
    let next = waiting.lease();
    assert!(between(begun, next.at) < SLACK);
    next.release().unwrap();
    stage.nothing_left("x");
}

/// As many as there may be on one machine, for a minute in `make test-all`.
fn many_processes(stage: &Stage) {
    let parties: Vec<_> = (0..long(8, 32)).map(|_| stage.party(0)).collect();
    let begun = boot_nanos();
    while between(begun, boot_nanos()) < millis(long(5_000, 60_000)) {
        let running: Vec<_> =
            parties.iter().map(|party| party.acquire("x").ttl(LONG).sections(50)).collect();
        for sections in running {
            sections.finish();
        }
    }
    stage.nothing_left("x");
}

/// Whoever holds goes on until its deadline; nobody else is let in.
fn a_full_disk(stage: &Stage) {
    let party = stage.party(0);
    let lease = party.acquire("x").ttl(2_000).lease();
    // As a disk with not one block left: no file of the drivers may grow.
    party.driver().limit_files(0);
    let fault = party.acquire("y").attempt_fault();
    assert_eq!(fault.kind, "unavailable", "{fault:?}");
    assert!(fault.message().contains("; "), "what happened; what to do: {fault:?}");
    let loss = lease.lost();
    assert_eq!(loss.reason, "expired");
    assert!(between(lease.at, loss.at) < millis(2_000) + SLACK);
    party.driver().limit_files(u64::MAX);
    party.acquire("y").timeout(5_000).lease().release().unwrap();
    stage.party(0).acquire("x").timeout(5_000).lease().release().unwrap();
}

fn refused(stage: &Stage, file: &str) -> Fault {
    let url = format!("file:{}/{file}", stage.store().dir().display());
    match stage.connect(stage.driver(0), &Fields::default().with("url", &url)) {
        Ok(_) => panic!("{file} was taken"),
        Err(fault) => fault,
    }
}

fn a_damaged_file(stage: &Stage) {
    let party = stage.party(0);
    party.acquire("x").lease().release().unwrap();
    party.close();
    party.exit();
    // Its log is taken over first, so that the damage is not repaired from it.
    stage.store().number("PRAGMA wal_checkpoint(TRUNCATE)", []);
    stage.store().close();
    let file = stage.store().file();
    let mut bytes = fs::read(&file).unwrap();
    let length = bytes.len();
    bytes[100..length].fill(0x5A);
    fs::write(&file, bytes).unwrap();
    let fault = refused(stage, "locks.db");
    assert_eq!(fault.kind, "backend", "{fault:?}");
}

fn files_that_are_no_store(stage: &Stage) {
    let dir = stage.store().dir();
    let put = |name: &str, text: &str| {
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    put("text", &"no store ".repeat(1_000));
    assert_eq!(refused(stage, "text").kind, "backend");
    fs::create_dir(dir.join("folder")).unwrap();
    assert_eq!(refused(stage, "folder").kind, "invalid_argument");
    assert_eq!(refused(stage, "missing/locks.db").kind, "invalid_argument");
    assert_eq!(refused(stage, "text/locks.db").kind, "invalid_argument");
    assert_eq!(refused(stage, "locks.db?db=1").kind, "invalid_argument");
    assert_eq!(refused(stage, "locks.db?tls_ca=/ca").kind, "invalid_argument");
    stage.party(0).exit();
    stage.store().number("PRAGMA user_version = 99", []);
    stage.store().close();
    let newer = refused(stage, "locks.db");
    assert_eq!(newer.kind, "unsupported", "{newer:?}");
}
