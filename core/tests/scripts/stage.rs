//! A private server with the scripts, one lock on it, and what a client would see of it.

use std::cell::RefCell;
use std::time::Duration;

use fencelock_testserver::TestServer;
use redis::{Cmd, Connection, ConnectionLike, FromRedisValue, RedisError, RedisResult, Value};

use crate::scripts::{self, Script};

pub(crate) const TTL: i64 = 10_000;
pub(crate) const WINDOW: i64 = 10_000;
pub(crate) const DAY: i64 = 86_400_000;

/// One wish to hold the lock, as an acquire states it.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) token: String,
    pub(crate) ttl: i64,
    pub(crate) wait: bool,
    pub(crate) client: String,
    pub(crate) mode: char,
    pub(crate) window: i64,
    pub(crate) ticket: i64,
    pub(crate) label: Vec<u8>,
}

/// A wish to wait, of the client and with the token that are named after it.
pub(crate) fn wish(name: &str) -> Wish {
    Wish {
        token: format!("fl1-{name:-<22}"),
        ttl: TTL,
        wait: true,
        client: name.to_owned(),
        mode: 'P',
        window: WINDOW,
        ticket: 0,
        label: Vec::new(),
    }
}

/// A wish that is not pushed to: it lives without a listener.
pub(crate) fn polling(name: &str) -> Wish {
    Wish { mode: '-', ..wish(name) }
}

pub(crate) fn impatient(name: &str) -> Wish {
    Wish { wait: false, ..wish(name) }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    Held { fence: i64 },
    Busy { remaining: i64, foreign: i64 },
    Queued { rank: i64, remaining: i64, foreign: i64, ticket: i64 },
    Full,
}

impl Taken {
    pub(crate) fn fence(&self) -> i64 {
        match self {
            Self::Held { fence } => *fence,
            other => panic!("not held: {other:?}"),
        }
    }

    /// Rank and ticket.
    pub(crate) fn place(&self) -> (i64, i64) {
        match self {
            Self::Queued { rank, ticket, .. } => (*rank, *ticket),
            other => panic!("not queued: {other:?}"),
        }
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum State {
    Held(i64),
    Queued(i64),
    Gone,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Polled {
    pub(crate) remaining: i64,
    pub(crate) foreign: i64,
    pub(crate) states: Vec<State>,
}

pub(crate) struct Stage {
    pub(crate) server: TestServer,
    pub(crate) lock: Vec<u8>,
    connection: RefCell<Connection>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::named("lock")
    }

    pub(crate) fn named(lock: impl Into<Vec<u8>>) -> Self {
        let server = TestServer::start();
        let connection = RefCell::new(server.connection());
        Self { server, lock: lock.into(), connection }
    }

    /// The lock's key and its side keys.
    pub(crate) fn keys(&self) -> [Vec<u8>; 4] {
        let tagged = self.lock.contains(&b'{');
        let side = |letter: u8| {
            let (before, after): (&[u8], &[u8]) =
                if tagged { (b"", b":flt:") } else { (b"{", b"}:fl:") };
            [before, &self.lock, after, &[letter]].concat()
        };
        [self.lock.clone(), side(b'f'), side(b'q'), side(b'w')]
    }

    pub(crate) fn call(&self, cmd: &Cmd) -> RedisResult<Value> {
        self.connection.borrow_mut().req_command(cmd)?.extract_error()
    }

    /// A command as words; the words `L`, `F`, `Q` and `W` stand for the keys.
    pub(crate) fn send<T: FromRedisValue>(&self, words: &str) -> T {
        let keys = self.keys();
        let mut cmd = Cmd::new();
        for word in words.split(' ') {
            match "LFQW".find(word) {
                Some(key) if word.len() == 1 => cmd.arg(&keys[key]),
                _ => cmd.arg(word),
            };
        }
        redis::from_redis_value(self.call(&cmd).unwrap()).unwrap()
    }

    /// Sets the record of the last grant, spaces and all.
    pub(crate) fn set_record(&self, record: &str) {
        self.call(redis::cmd("SET").arg(&self.keys()[1]).arg(record)).unwrap();
    }

    /// The record of the last grant.
    pub(crate) fn record(&self) -> Option<String> {
        self.send("GET F")
    }

    /// The last grant's fence, with the whole record.
    pub(crate) fn last_grant(&self) -> (i64, String) {
        let record = self.record().unwrap();
        (record.split(' ').next().unwrap().parse().unwrap(), record)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        let (seconds, micros): (i64, i64) = self.send("TIME");
        seconds * 1000 + micros / 1000
    }

    fn command(&self, script: &'static Script, keys: usize) -> Cmd {
        let _: () = redis::from_redis_value(
            self.call(redis::cmd("SCRIPT").arg("LOAD").arg(&script.source)).unwrap(),
        )
        .unwrap();
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&script.sha1).arg(keys).arg(&self.keys()[..keys]);
        cmd
    }

    pub(crate) fn acquire_command(&self, wish: &Wish) -> Cmd {
        let mut cmd = self.command(scripts::acquire(), 4);
        let Wish { client, mode, window, ticket, .. } = wish;
        let place = format!("{client} {mode} {window} {ticket}");
        let place = if wish.wait { &*place } else { "" };
        cmd.arg(&wish.token).arg(wish.ttl).arg(place).arg(&wish.label);
        cmd
    }

    pub(crate) fn poll_command(&self, client: &str, window: i64, wishes: &[&Wish]) -> Cmd {
        let mut cmd = self.command(scripts::poll(), 4);
        cmd.arg(client).arg(window);
        for wish in wishes {
            cmd.arg(&wish.token).arg(wish.ttl);
        }
        cmd
    }

    pub(crate) fn release_command(&self, wish: &Wish) -> Cmd {
        let mut cmd = self.command(scripts::release(), 4);
        cmd.arg(&wish.token);
        cmd
    }

    pub(crate) fn cancel_command(&self, wish: &Wish) -> Cmd {
        let mut cmd = self.command(scripts::cancel(), 4);
        cmd.arg(&wish.token);
        cmd
    }

    pub(crate) fn extend_command(&self, wish: &Wish, ttl: i64) -> Cmd {
        let mut cmd = self.command(scripts::extend(), 2);
        cmd.arg(&wish.token).arg(ttl);
        cmd
    }

    pub(crate) fn inspect_command(&self) -> Cmd {
        self.command(scripts::inspect(), 4)
    }

    pub(crate) fn acquire(&self, wish: &Wish) -> Taken {
        read_taken(self.call(&self.acquire_command(wish)).unwrap())
    }

    /// An acquire that must fail.
    pub(crate) fn refused(&self, wish: &Wish) -> RedisError {
        self.call(&self.acquire_command(wish)).unwrap_err()
    }

    pub(crate) fn poll(&self, wish: &Wish) -> Polled {
        read_polled(self.call(&self.poll_command(&wish.client, wish.window, &[wish])).unwrap())
    }

    pub(crate) fn release(&self, wish: &Wish) -> i64 {
        redis::from_redis_value(self.call(&self.release_command(wish)).unwrap()).unwrap()
    }

    pub(crate) fn cancel(&self, wish: &Wish) -> i64 {
        redis::from_redis_value(self.call(&self.cancel_command(wish)).unwrap()).unwrap()
    }

    pub(crate) fn extend(&self, wish: &Wish, ttl: i64) -> i64 {
        redis::from_redis_value(self.call(&self.extend_command(wish, ttl)).unwrap()).unwrap()
    }

    /// The queue's tokens in their order.
    pub(crate) fn queue(&self) -> Vec<String> {
        self.send("ZRANGE Q 0 -1")
    }

    pub(crate) fn holder(&self) -> Option<String> {
        self.send("GET L")
    }

    /// A client's deadline and number of waiters.
    pub(crate) fn client(&self, name: &str) -> Option<(i64, i64)> {
        let entry: Option<String> = self.send(&format!("HGET W @{name}"));
        entry.map(|entry| {
            let (deadline, count) = entry.split_once(' ').unwrap();
            (deadline.parse().unwrap(), count.parse().unwrap())
        })
    }

    pub(crate) fn set_client(&self, name: &str, deadline: i64, count: i64) {
        let entry = format!("{deadline} {count}");
        let mut cmd = redis::cmd("HSET");
        cmd.arg(&self.keys()[3]).arg(format!("@{name}")).arg(entry);
        self.call(&cmd).unwrap();
    }

    /// Puts `count` waiters of one client that has no listener behind the queue.
    pub(crate) fn fill_queue(&self, client: &str, mode: char, count: i64) {
        let fill = "for i = 1, ARGV[3] do \
            redis.call('ZADD', KEYS[1], i, 'fill-' .. i) \
            redis.call('HSET', KEYS[2], 'fill-' .. i, ARGV[1] .. ' 10000 ' .. ARGV[2] .. ' ') \
            end";
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(fill).arg(2).arg(&self.keys()[2..]).arg(client).arg(mode.to_string()).arg(count);
        self.call(&cmd).unwrap();
        self.set_client(client, self.now_ms() + WINDOW, count);
    }

    /// How often commands were called since the counters were reset, `pubsub|numsub` as well.
    pub(crate) fn calls(&self, command: &str) -> i64 {
        let stats: String = self.send("INFO commandstats");
        let name = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    pub(crate) fn listen(&self, client: &str) -> Listener {
        Listener::on(self, "SUBSCRIBE", &format!("fl:c:{client}"))
    }

    /// Queues a wish whose client listens.
    pub(crate) fn queued(&self, wish: &Wish) -> Listener {
        let listener = self.listen(&wish.client);
        self.acquire(wish).place();
        listener
    }

    /// A connection whose user may do everything but these commands.
    pub(crate) fn without(&self, commands: &[&str]) -> Connection {
        let denied: Vec<String> = commands.iter().map(|name| format!("-{name}")).collect();
        let user = format!("ACL SETUSER some on nopass ~* &* +@all {}", denied.join(" "));
        let _: () = self.send(&user);
        self.as_user("some")
    }

    pub(crate) fn as_user(&self, name: &str) -> Connection {
        let mut connection = self.server.connection();
        redis::cmd("AUTH").arg(name).arg("any").exec(&mut connection).unwrap();
        connection
    }

    /// Leaves the server without memory: it refuses what may take more.
    pub(crate) fn out_of_memory(&self) {
        let _: () = self.send("CONFIG SET maxmemory-policy noeviction");
        let _: () = self.send("CONFIG SET maxmemory 1");
        self.call(redis::cmd("SET").arg("x").arg("y")).unwrap_err();
    }
}

pub(crate) fn read_taken(value: Value) -> Taken {
    if let Value::BulkString(_) = value {
        return Taken::Held { fence: read_fence(&value) };
    }
    let parts: Vec<Value> = redis::from_redis_value(value).unwrap();
    let int = |at: usize| match parts[at] {
        Value::Int(number) => number,
        ref other => panic!("not an integer: {other:?}"),
    };
    match (&parts[0], parts.len()) {
        (Value::BulkString(word), 3) if word == b"busy" => {
            Taken::Busy { remaining: int(1), foreign: int(2) }
        }
        (Value::BulkString(word), 5) if word == b"queued" => {
            Taken::Queued { rank: int(1), remaining: int(2), foreign: int(3), ticket: int(4) }
        }
        (Value::BulkString(word), 1) if word == b"full" => Taken::Full,
        _ => panic!("unknown reply {parts:?}"),
    }
}

pub(crate) fn read_polled(value: Value) -> Polled {
    let mut parts: Vec<Value> = redis::from_redis_value(value).unwrap();
    let states = parts.split_off(2).into_iter().map(|state| {
        let state: Vec<Value> = redis::from_redis_value(state).unwrap();
        match (&state[..], &state[0]) {
            ([_, fence], Value::BulkString(word)) if word == b"held" => {
                State::Held(read_fence(fence))
            }
            ([_, Value::Int(rank)], Value::BulkString(word)) if word == b"queued" => {
                State::Queued(*rank)
            }
            ([_], Value::BulkString(word)) if word == b"gone" => State::Gone,
            _ => panic!("unknown state {state:?}"),
        }
    });
    match parts[..] {
        [Value::Int(remaining), Value::Int(foreign)] => {
            Polled { remaining, foreign, states: states.collect() }
        }
        _ => panic!("unknown reply {parts:?}"),
    }
}

/// Fences travel as decimal strings, nothing else.
fn read_fence(value: &Value) -> i64 {
    match value {
        Value::BulkString(digits) => std::str::from_utf8(digits).unwrap().parse().unwrap(),
        other => panic!("not a fence: {other:?}"),
    }
}

/// A connection that listens to one channel.
pub(crate) struct Listener {
    connection: Connection,
    publisher: Connection,
    publish: &'static str,
    channel: String,
}

impl Listener {
    pub(crate) fn on(stage: &Stage, subscribe: &str, channel: &str) -> Self {
        let mut connection = stage.server.connection();
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let cmd = redis::cmd(subscribe).arg(channel).get_packed_command();
        connection.send_packed_command(&cmd).unwrap();
        connection.recv_response().unwrap();
        let publish = if subscribe == "SSUBSCRIBE" { "SPUBLISH" } else { "PUBLISH" };
        let publisher = stage.server.connection();
        Self { connection, publisher, publish, channel: channel.to_owned() }
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let message = self.connection.recv_response().unwrap();
        let parts: Vec<Vec<u8>> = redis::from_redis_value(message).unwrap();
        parts.into_iter().next_back().unwrap()
    }

    pub(crate) fn heard_nothing(&mut self) {
        // Messages keep their order: whatever was sent before would come before this.
        let mut mark = redis::cmd(self.publish);
        mark.arg(&self.channel).arg("mark").exec(&mut self.publisher).unwrap();
        assert_eq!(String::from_utf8(self.next()).unwrap(), "mark");
    }
}
