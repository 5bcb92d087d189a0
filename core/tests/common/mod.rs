//! What the engine's tests share.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "each test uses a part; a test fails by panicking"
)]

use std::time::{Duration, Instant};

use fencelock::blocking::Client;
use fencelock_testserver::TestServer;
use redis::ConnectionLike;

/// A private server, and how its locks look from outside.
pub(crate) struct Stage {
    pub(crate) server: TestServer,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { server: TestServer::start() }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// One command, words apart by spaces.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        for word in words {
            cmd.arg(word);
        }
        let value = self.server.connection().req_command(&cmd).unwrap();
        redis::from_redis_value(value).unwrap()
    }

    pub(crate) fn waiters(&self, name: &str) -> u64 {
        self.ask(&format!("ZCARD {{{name}}}:fl:q"))
    }

    /// How many scripts clients have called by their hash.
    pub(crate) fn calls(&self) -> u64 {
        let stats: String = self.ask("INFO commandstats");
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:"));
        let count = line.and_then(|line| line.split(['=', ',']).nth(1));
        count.map_or(0, |count| count.parse().unwrap())
    }

    /// `CLIENT LIST`'s line of each connection but the one that this look itself takes.
    pub(crate) fn connections(&self) -> Vec<String> {
        let list = self.ask::<String>("CLIENT LIST");
        let others = list.lines().filter(|line| !line.contains(" cmd=client"));
        others.map(str::to_owned).collect()
    }

    /// The connections whose last command it was.
    pub(crate) fn connections_that_ran(&self, command: &str) -> Vec<String> {
        let last = format!(" cmd={command} ");
        let mut connections = self.connections();
        connections.retain(|line| line.contains(&last));
        connections
    }

    /// The clients that the waiters for lock `a` wait as: a connection that listens by itself is
    /// one of its own.
    pub(crate) fn listeners(&self) -> Vec<String> {
        let entries: Vec<String> = self.ask("HKEYS {a}:fl:w");
        entries.iter().filter_map(|entry| entry.strip_prefix('@')).map(str::to_owned).collect()
    }

    /// The one waiter for lock `a` is told on a connection that is not its engine's, and nowhere
    /// else.
    pub(crate) fn one_listens_itself(&self) -> bool {
        let listeners = self.listeners();
        let [one] = &listeners[..] else { return false };
        let told: (String, u64) = self.ask(&format!("PUBSUB NUMSUB fl:c:{one}"));
        is_own(one) && told.1 == 1
    }

    /// Connections other than engines' that listen.
    pub(crate) fn own_channels(&self) -> usize {
        let channels: Vec<String> = self.ask("PUBSUB CHANNELS fl:c:*");
        channels.iter().filter(|channel| is_own(channel)).count()
    }

    /// Nobody holds, nobody waits.
    pub(crate) fn is_clean(&self, name: &str) -> bool {
        self.ask::<u64>(&format!("EXISTS {name} {{{name}}}:fl:q {{{name}}}:fl:w")) == 0
    }
}

/// Waits for something that comes about on its own; fails after 10 s.
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is() {
        assert!(Instant::now() < end, "it did not come about: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The id in a line of `CLIENT LIST`: no other connection ever has it.
pub(crate) fn connection_id(line: &str) -> &str {
    line.split(' ').next().unwrap()
}

/// Whether a client's id is that of a connection of its own.
pub(crate) fn is_own(client: &str) -> bool {
    client.contains('.')
}

fn kill_connections(server: &TestServer) {
    let mut observer = server.connection();
    for kind in ["normal", "pubsub"] {
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes");
        observer.req_command(&kill).unwrap();
    }
}

/// Every connection is killed while a lease is held and waited for, and before its release.
pub(crate) fn survives_its_connections(client: &Client, server: &TestServer) {
    let lock = client.lock("a").ttl(Duration::from_secs(3));
    let lease = lock.acquire().unwrap();
    let waiting = std::thread::spawn(move || lock.acquire().unwrap());
    eventually("it waits", || client.inspect("a").is_ok_and(|seen| seen.waiters == 1));
    kill_connections(server);
    let end = Instant::now() + Duration::from_millis(4500);
    eventually("the lease is renewed beyond its TTL", || {
        assert!(lease.is_held());
        Instant::now() > end
    });
    kill_connections(server);
    lease.release().unwrap();
    waiting.join().unwrap().release().unwrap();
}

/// A caller gives up while the server is silent: its acquire is withdrawn behind itself.
pub(crate) fn interrupted_while_unanswered(client: &Client, server: &TestServer) {
    client.lock("a").acquire().unwrap().release().unwrap();
    server.pause();
    let mut asked = 0;
    let mut interrupt = || {
        asked += 1;
        asked > 2
    };
    let error = client.lock("a").acquire_with(None, Some(&mut interrupt)).unwrap_err();
    assert_eq!(error.kind(), fencelock::ErrorKind::Cancelled, "{error}");
    server.resume();
    let free = |server: &TestServer| {
        let mut exists = redis::cmd("EXISTS");
        let value = server.connection().req_command(exists.arg("a")).unwrap();
        value == redis::Value::Int(0)
    };
    // The acquire was sent: it is carried out, and then the withdrawal is.
    eventually("nobody holds the lock", || free(server));
    client.lock("a").acquire().unwrap().release().unwrap();
}
