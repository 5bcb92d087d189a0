//! The API for event loops, on a connection that the loop's thread writes and reads.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use common::{Stage, connection_id, eventually};
use fencelock::blocking::{Client, Lease};
use fencelock::completion::Operation;
use fencelock::{ClientOptions, Error, ErrorKind, EventLoop, LossReason, Result};

const LONG: Duration = Duration::from_secs(60);

/// An event loop that does nothing else.
struct Loop {
    event_loop: EventLoop,
    poll: mio::Poll,
}

impl Loop {
    fn new() -> Self {
        let event_loop = EventLoop::new().unwrap();
        let poll = mio::Poll::new().unwrap();
        let (descriptor, readable) = (event_loop.descriptor(), mio::Interest::READABLE);
        let mut source = mio::unix::SourceFd(&descriptor);
        poll.registry().register(&mut source, mio::Token(0), readable).unwrap();
        Self { event_loop, poll }
    }

    /// A loop, and a client that has a connection for it.
    fn with_client(url: &str, options: ClientOptions) -> (Self, Client) {
        let (mut this, client) = (Self::new(), Client::lazy(url, options).unwrap());
        let (send, connected) = channel();
        let done = move |outcome| send.send(outcome).unwrap();
        let _operation = client.begin_connect(&this.event_loop, done).unwrap();
        this.next(&connected).unwrap();
        (this, client)
    }

    fn turn(&mut self, within: Duration) {
        // Edge-triggered as it is, it is not asked before there was something new.
        let mut events = mio::Events::with_capacity(1);
        self.poll.poll(&mut events, Some(within)).unwrap();
        self.event_loop.turn();
    }

    fn turn_until(&mut self, what: &str, mut is: impl FnMut() -> bool) {
        eventually(what, || {
            if self.event_loop.take_unsent() {
                self.event_loop.flush();
            }
            self.turn(Duration::from_millis(1));
            is()
        });
    }

    /// Runs until the next outcome is there.
    fn next<T>(&mut self, outcomes: &Receiver<T>) -> T {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if self.event_loop.take_unsent() {
                self.event_loop.flush();
            }
            if let Ok(outcome) = outcomes.try_recv() {
                return outcome;
            }
            assert!(Instant::now() < end, "no outcome");
            // What the engine calls back does not wake this loop.
            self.turn(Duration::from_millis(20));
        }
    }

    fn begin(
        &self,
        client: &Client,
        name: &str,
        timeout: Option<Duration>,
        outcomes: &Sender<Result<Lease>>,
    ) -> Operation {
        let send = outcomes.clone();
        let done = move |outcome| drop(send.send(outcome));
        client.lock(name).ttl(LONG).begin_acquire(&self.event_loop, timeout, done).unwrap()
    }

    fn acquire(&mut self, client: &Client, name: &str) -> Result<Lease> {
        let (send, outcomes) = channel();
        let _operation = self.begin(client, name, None, &send);
        self.next(&outcomes)
    }

    fn begin_release(&self, lease: &Lease, limit: Option<Duration>) -> Receiver<Result<()>> {
        let (send, outcomes) = channel();
        let done = move |outcome| drop(send.send(outcome));
        lease.begin_release(&self.event_loop, limit, done).unwrap();
        outcomes
    }

    fn release(&mut self, lease: &Lease) -> Result<()> {
        let outcome = self.begin_release(lease, None);
        self.next(&outcome)
    }
}

fn at_defaults(stage: &Stage) -> (Loop, Client) {
    Loop::with_client(&stage.url(), ClientOptions::new())
}

/// How many connections there are.
fn connections(stage: &Stage) -> usize {
    stage.connections().len()
}

/// Whose last command it was.
fn connection_that_ran(stage: &Stage, command: &str) -> String {
    let ran = stage.connections_that_ran(command);
    let [one] = &ran[..] else { panic!("not one: {ran:?}") };
    connection_id(one).to_owned()
}

#[test]
fn a_pair_is_two_calls_on_the_loops_own_connection() {
    let stage = Stage::new();
    let (mut here, client) = at_defaults(&stage);
    assert_eq!(connections(&stage), 2);
    let before = stage.calls();
    let mut last = 0;
    for _ in 0..50 {
        let lease = here.acquire(&client, "a").unwrap();
        assert!(lease.is_held() && lease.fence() > last);
        last = lease.fence();
        here.release(&lease).unwrap();
        assert_eq!(lease.check().unwrap_err().kind(), ErrorKind::NotHeld);
    }
    assert_eq!(stage.calls() - before, 100);
    connection_that_ran(&stage, "evalsha");
    drop(here);
    eventually("it is closed with the loop", || connections(&stage) == 1);
    assert!(stage.is_clean("a"));
}

#[test]
fn what_is_begun_while_an_answer_is_outstanding_is_sent_together() {
    let stage = Stage::new();
    let (mut here, client) = at_defaults(&stage);
    let (send, outcomes) = channel();
    stage.server.pause();
    let begin = |i: usize| here.begin(&client, &format!("lock {i}"), None, &send);
    let first = begin(0);
    assert!(!here.event_loop.take_unsent(), "alone, it is sent at once");
    let others: Vec<_> = (1..100).map(begin).collect();
    assert!(here.event_loop.take_unsent());
    assert!(!here.event_loop.take_unsent(), "told once");
    here.event_loop.flush();
    stage.server.resume();
    let leases: Vec<_> = (0..100).map(|_| here.next(&outcomes).unwrap()).collect();
    drop((first, others));
    // In the order in which they were asked for.
    let names: Vec<_> = leases.iter().map(|lease| lease.name().to_owned()).collect();
    assert_eq!(names, (0..100).map(|i| format!("lock {i}")).collect::<Vec<_>>());
    let releases: Vec<_> = leases.iter().map(|lease| here.begin_release(lease, None)).collect();
    for released in releases {
        here.next(&released).unwrap();
    }
    assert!((0..100).all(|i| stage.ask::<u64>(&format!("EXISTS lock:{i}")) == 0));
}

#[test]
fn a_flood_larger_than_the_sockets_room_goes_through() {
    let stage = Stage::new();
    let (mut here, client) = at_defaults(&stage);
    let (send, outcomes) = channel();
    stage.server.pause();
    let count = 12_000;
    let name = "x".repeat(400);
    let operations: Vec<_> =
        (0..count).map(|i| here.begin(&client, &format!("{name}{i}"), None, &send)).collect();
    here.event_loop.flush();
    stage.server.resume();
    let leases: Vec<_> = (0..count).map(|_| here.next(&outcomes).unwrap()).collect();
    drop(operations);
    assert!(leases.iter().all(Lease::is_held));
}

#[test]
fn a_server_that_forgets_the_scripts_is_told_them_again() {
    let stage = Stage::new();
    let (mut here, client) = at_defaults(&stage);
    let lease = here.acquire(&client, "a").unwrap();
    stage.ask::<String>("SCRIPT FLUSH");
    here.release(&lease).unwrap();
    stage.ask::<String>("SCRIPT FLUSH");
    let lease = here.acquire(&client, "a").unwrap();
    here.release(&lease).unwrap();
}

#[test]
fn a_wait_goes_on_in_the_engine_and_ends_by_the_holders_release() {
    let stage = Stage::new();
    let (mut here, client) = at_defaults(&stage);
    let holder = here.acquire(&client, "a").unwrap();
    let (send, outcomes) = channel();
    let waiting = here.begin(&client, "a", None, &send);
    let given_up = here.begin(&client, "a", None, &send);
    here.event_loop.flush();
    eventually("they wait", || {
        here.turn(Duration::from_millis(1));
        stage.waiters("a") == 2
    });
    drop(given_up);
    eventually("one leaves", || stage.waiters("a") == 1);
    let timed = here.begin(&client, "a", Some(Duration::from_millis(50)), &send);
    let error = here.next(&outcomes).unwrap_err();
    assert_eq!((error.kind(), error.lock()), (ErrorKind::AcquireTimeout, Some("a")));
    here.release(&holder).unwrap();
    let lease = here.next(&outcomes).unwrap();
    drop((waiting, timed));
    here.release(&lease).unwrap();
    assert!(stage.is_clean("a"));
}

/// A loop and a holder, after the loop's first wait, by which its connection listens.
fn with_an_ear(stage: &Stage) -> (Loop, Client, Client) {
    let (mut here, client) = at_defaults(stage);
    let other = Client::connect(&stage.url()).unwrap();
    let held = other.lock("a").acquire().unwrap();
    let (send, outcomes) = channel();
    let _waiting = here.begin(&client, "a", None, &send);
    here.turn_until("its connection listens", || stage.own_channels() == 1);
    // The confirmation has been read, too.
    here.turn(Duration::from_millis(20));
    held.release().unwrap();
    let lease = here.next(&outcomes).unwrap();
    here.release(&lease).unwrap();
    (here, client, other)
}

#[test]
fn after_its_first_wait_a_loop_hears_of_its_grants_itself() {
    let stage = Stage::new();
    let (mut here, client, other) = with_an_ear(&stage);
    let (send, outcomes) = channel();
    for _ in 0..3 {
        let held = other.lock("a").acquire().unwrap();
        let _waiting = here.begin(&client, "a", None, &send);
        here.turn_until("it waits", || stage.waiters("a") == 1);
        assert!(stage.one_listens_itself());
        let before = stage.calls();
        held.release().unwrap();
        let lease = here.next(&outcomes).unwrap();
        assert_eq!(stage.calls() - before, 1, "the message, not a poll");
        here.release(&lease).unwrap();
    }
    // Given up, closed, and broken.
    let held = other.lock("a").acquire().unwrap();
    let waiting = here.begin(&client, "a", None, &send);
    here.turn_until("it waits", || stage.waiters("a") == 1);
    drop(waiting);
    here.turn_until("it leaves", || stage.waiters("a") == 0);
    let _waiting = here.begin(&client, "a", None, &send);
    here.turn_until("it waits", || stage.waiters("a") == 1);
    let _: u64 = stage.ask("CLIENT KILL TYPE pubsub");
    here.turn_until(
        "the engine waits in its place",
        || matches!(&stage.listeners()[..], [one] if !common::is_own(one)),
    );
    held.release().unwrap();
    let lease = here.next(&outcomes).unwrap();
    let _waiting = here.begin(&client, "a", None, &send);
    here.turn_until("it waits", || stage.waiters("a") == 1);
    client.close();
    assert_eq!(here.next(&outcomes).unwrap_err().kind(), ErrorKind::Closed);
    drop(lease);
    eventually("nothing is left", || stage.is_clean("a") && stage.own_channels() == 0);
}

#[test]
fn what_a_loop_does_not_hear_as_it_is_blocked_the_engine_finds_and_renews() {
    let stage = Stage::new();
    let (mut here, client, other) = with_an_ear(&stage);
    let (send, outcomes) = channel();
    let held = other.lock("a").acquire().unwrap();
    let lock = client.lock("a").ttl(Duration::from_secs(3));
    let done = move |outcome| drop(send.send(outcome));
    let _waiting = lock.begin_acquire(&here.event_loop, None, done).unwrap();
    here.turn_until("it waits", || stage.waiters("a") == 1);
    // Behind the answer that says so: until the loop has read that, the attempt is its own.
    let behind = here.acquire(&client, "b").unwrap();
    here.release(&behind).unwrap();
    assert!(stage.one_listens_itself());
    held.release().unwrap();
    let holder = || stage.ask::<Option<String>>("GET a");
    let granted = holder();
    // No turn is taken for longer than the TTL.
    let end = Instant::now() + Duration::from_millis(4500);
    eventually("it stays held", || {
        assert_eq!(holder(), granted);
        Instant::now() > end
    });
    let lease = here.next(&outcomes).unwrap();
    lease.check().unwrap();
    here.release(&lease).unwrap();
    assert!(stage.is_clean("a"));
}

#[test]
fn an_acquire_given_up_before_its_answer_is_withdrawn_behind_itself() {
    let stage = Stage::new();
    let (mut here, client) = at_defaults(&stage);
    for _ in ["tells the server the scripts", "finds them known"] {
        let lease = here.acquire(&client, "known").unwrap();
        here.release(&lease).unwrap();
    }
    let own = connection_that_ran(&stage, "evalsha");
    let (send, outcomes) = channel();
    stage.server.pause();
    drop(here.begin(&client, "a", None, &send));
    // The loop takes no turn from here on: the withdrawal has been sent.
    stage.server.resume();
    eventually("it was granted, and is free", || {
        stage.ask::<u64>("EXISTS {a}:fl:f") == 1 && stage.is_clean("a")
    });
    // By another way it could have overtaken the acquire.
    assert_eq!(connection_that_ran(&stage, "eval"), own);
    assert!(outcomes.try_recv().is_err());
}

#[test]
fn with_the_loop_what_is_under_way_is_given_back() {
    let stage = Stage::new();
    let (mut here, client) = at_defaults(&stage);
    let (send, outcomes) = channel();
    let held = here.acquire(&client, "held").unwrap();
    stage.server.pause();
    let acquiring = here.begin(&client, "asked", None, &send);
    let released = here.begin_release(&held, None);
    here.event_loop.flush();
    drop(here);
    stage.server.resume();
    eventually("both are free", || {
        stage.calls() > 2 && stage.is_clean("held") && stage.is_clean("asked")
    });
    drop(acquiring);
    assert!(outcomes.try_recv().is_err() && released.try_recv().is_err(), "nobody is told");
}

#[test]
fn a_connection_that_breaks_loses_nothing() {
    let stage = Stage::new();
    let (mut here, client) = at_defaults(&stage);
    for round in 0..5 {
        let lease = here.acquire(&client, "a").unwrap();
        stage.ask::<i64>("CLIENT KILL TYPE normal SKIPME yes");
        here.release(&lease).unwrap();
        assert!(stage.is_clean("a"), "round {round}");
        stage.ask::<i64>("CLIENT KILL TYPE normal SKIPME yes");
    }
    // Not at once: a server that refuses us must not be flooded.
    eventually("it has a connection of its own again", || {
        let lease = here.acquire(&client, "a").unwrap();
        here.release(&lease).unwrap();
        connections(&stage) == 2
    });
}

#[test]
fn a_server_that_falls_silent_ends_an_attempt_and_nothing_stays_behind() {
    let stage = Stage::new();
    let options = ClientOptions::new().response_timeout(Duration::from_millis(100));
    let (mut here, client) = Loop::with_client(&stage.url(), options);
    let lease = here.acquire(&client, "held").unwrap();
    let (send, outcomes) = channel();
    stage.server.pause();
    let acquiring = here.begin(&client, "a", Some(Duration::from_millis(400)), &send);
    let released = here.begin_release(&lease, Some(Duration::from_millis(300)));
    here.event_loop.flush();
    let error = here.next(&outcomes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = here.next(&released).unwrap_err();
    assert_eq!((error.kind(), error.lock()), (ErrorKind::Unavailable, Some("held")), "{error}");
    stage.server.resume();
    drop(acquiring);
    eventually("both are free", || stage.is_clean("a") && stage.is_clean("held"));
}

#[test]
fn a_client_that_is_closed_ends_what_the_loop_has_under_way() {
    let stage = Stage::new();
    let (mut here, client) = at_defaults(&stage);
    let (send, outcomes) = channel();
    stage.server.pause();
    let acquiring = here.begin(&client, "a", None, &send);
    let closing = std::thread::spawn({
        let client = client.clone();
        move || client.close()
    });
    let error = here.next(&outcomes).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    stage.server.resume();
    closing.join().unwrap();
    drop(acquiring);
    let again = client.lock("a").begin_acquire(&here.event_loop, None, |_| ());
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Closed);
    eventually("it has no connection", || connections(&stage) == 0);
}

#[test]
fn it_logs_in_and_names_a_missing_permission() {
    let stage = Stage::new();
    stage.ask::<String>("ACL SETUSER app on >secret ~* &* +@all");
    let url = format!("redis://app:secret@127.0.0.1:{}/3", stage.server.port());
    let (mut here, client) = Loop::with_client(&url, ClientOptions::new());
    let lease = here.acquire(&client, "a").unwrap();
    assert_eq!(stage.ask::<String>("INFO keyspace").matches("db3:").count(), 1);
    here.release(&lease).unwrap();
    stage.ask::<String>("ACL SETUSER app -set");
    let error: Error = here.acquire(&client, "a").unwrap_err();
    assert_eq!((error.kind(), error.lock()), (ErrorKind::Denied, Some("a")), "{error}");
    assert!(error.to_string().contains("set"), "{error}");
}

#[test]
fn a_lost_lease_is_told_and_its_release_fails() {
    let stage = Stage::new();
    let (mut here, client) = at_defaults(&stage);
    let lease = here.acquire(&client, "a").unwrap();
    stage.ask::<u64>("DEL a");
    let error = here.release(&lease).unwrap_err();
    assert_eq!((error.kind(), error.loss()), (ErrorKind::Lost, Some(LossReason::Refused)));
}
