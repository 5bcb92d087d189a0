//! A forked child leaves the parent's leases and connections alone, and begins anew.

#![expect(unsafe_code, reason = "fork has no safe interface")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Stage, connection_id, eventually};
use fencelock::blocking::{Client, Lease};
use fencelock::{ClientOptions, LossReason, Pem};
use fencelock_testserver::{Authority, TestServer};

/// Runs `work` in a forked child; true if it ran to its end.
fn in_child(work: impl FnOnce()) -> bool {
    // SAFETY: the child runs this test's own code on one thread and ends by _exit; it takes no
    // lock that another thread of the parent may have held.
    unsafe {
        match libc::fork() {
            -1 => panic!("fork failed"),
            0 => {
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
                libc::_exit(i32::from(!done));
            }
            child => {
                let mut status = 0;
                libc::waitpid(child, &raw mut status, 0);
                status == 0
            }
        }
    }
}

fn check_child(client: &Client, held: &mut Option<Lease>) {
    let lease = held.take().unwrap();
    assert!(!lease.is_held());
    assert_eq!(lease.loss(), Some(LossReason::Forked));
    assert_eq!(lease.release().unwrap_err().loss(), Some(LossReason::Forked));
    drop(lease);
    assert!(client.lock("a").try_acquire().unwrap().is_none(), "the parent holds it");
    let own = client.lock("b").acquire().unwrap();
    own.renew().unwrap();
    own.release().unwrap();
    client.close();
}

#[test]
fn a_child_leaves_the_parents_lease_alone_and_takes_its_own() {
    let stage = Stage::new();
    leaves_the_parents_alone(&stage, &Client::connect(&stage.url()).unwrap());
    leaves_the_parents_alone(&stage, &Client::connect(&stage.server.unix_url()).unwrap());
}

/// One byte of a child's on a connection of the parent's, and TLS would end it.
#[test]
fn a_child_leaves_the_parents_tls_alone() {
    let authority = Authority::new();
    let server = TestServer::start_tls(&authority, &authority.issue(&["127.0.0.1"]), false);
    let stage = Stage { server };
    let options = ClientOptions::new().tls_ca(Pem::file(authority.ca()));
    let client = Client::connect_with(&stage.server.tls_url(), options).unwrap();
    leaves_the_parents_alone(&stage, &client);
}

fn leaves_the_parents_alone(stage: &Stage, client: &Client) {
    let ids = |stage: &Stage| -> Vec<_> {
        stage.connections().iter().map(|line| connection_id(line).to_owned()).collect()
    };
    let mut held = Some(client.lock("a").acquire().unwrap());
    let before = ids(stage);
    for _ in 0..20 {
        assert!(in_child(|| check_child(client, &mut held)));
    }
    let lease = held.unwrap();
    assert!(lease.is_held());
    lease.renew().unwrap();
    assert!(stage.ask::<u64>("EXISTS a") == 1 && stage.is_clean("b"));
    // The children's own connections are gone, the parent's are as they were.
    eventually("the children's connections end", || {
        ids(stage).iter().all(|id| before.contains(id))
    });
    lease.release().unwrap();
    assert!(stage.is_clean("a"));
}

#[test]
fn a_child_does_not_keep_the_parents_subscription_alive() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    client.lock("a").acquire().unwrap().release().unwrap();
    assert!(in_child(|| {
        // What is open in the child: none of it may be one of the parent's sockets.
        let sockets = std::fs::read_dir("/proc/self/fd").unwrap().filter(|entry| {
            let target = std::fs::read_link(entry.as_ref().unwrap().path());
            target.is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
        });
        let parents = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let port = format!(":{:04X} ", stage.server.port());
        let ours: Vec<String> = parents
            .lines()
            .filter(|line| line.contains(&port))
            .filter_map(|line| line.split_whitespace().nth(9).map(|inode| format!("[{inode}]")))
            .collect();
        for socket in sockets {
            let target = std::fs::read_link(socket.unwrap().path()).unwrap();
            let target = target.to_string_lossy().into_owned();
            assert!(!ours.iter().any(|inode| target.ends_with(inode)), "{target} is inherited");
        }
    }));
    client.lock("a").acquire().unwrap().release().unwrap();
}

#[test]
fn parent_and_child_never_draw_the_same_token() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    client.lock("a").acquire().unwrap().release().unwrap();
    assert!(in_child(|| std::mem::forget(client.lock("a").renew(false).acquire().unwrap())));
    // Granted by an equal token, an acquire would be told that it holds the lock.
    for _ in 0..16 {
        assert!(client.lock("a").try_acquire().unwrap().is_none(), "it is the child's");
    }
}
