//! A real server whose clock stands still unless it is set, and who listens to it.

use std::collections::BTreeMap;

use fencelock::model;
use fencelock_reference::{Connection, Published, Server};
use fencelock_testserver::TestServer;
use redis::{Cmd, ConnectionLike, Value};

/// Tells all there is of some keys, in an order of its own.
const DUMP: &str = "
    local out = {}
    for i, key in ipairs(KEYS) do
        local kind, value = redis.call('TYPE', key).ok, false
        if kind == 'string' then value = redis.call('GET', key) end
        if kind == 'zset' then value = redis.call('ZRANGE', key, '0', '-1', 'WITHSCORES') end
        if kind == 'hash' then
            value = {}
            local fields = redis.call('HKEYS', key)
            table.sort(fields)
            for _, field in ipairs(fields) do
                value[#value + 1] = field
                value[#value + 1] = redis.call('HGET', key, field)
            end
        end
        out[i] = {kind, redis.call('PTTL', key), value}
    end
    return out";

/// What a connection heard: channels and messages.
pub(crate) type Heard = BTreeMap<Connection, Vec<(Vec<u8>, Vec<u8>)>>;

struct Listener {
    connection: redis::Connection,
    id: Value,
}

pub(crate) struct Real {
    server: TestServer,
    control: redis::Connection,
    listeners: BTreeMap<Connection, Listener>,
    /// Every key that a test uses: they expire when they are looked at.
    keys: Vec<Vec<u8>>,
}

impl Real {
    pub(crate) fn start(keys: &[Vec<u8>]) -> Self {
        let server = TestServer::start_with_clock();
        let mut control = server.connection();
        for text in model::scripts().map(|script| script.source) {
            redis::cmd("SCRIPT").arg("LOAD").arg(text).exec(&mut control).unwrap();
        }
        Self { server, control, listeners: BTreeMap::new(), keys: keys.to_vec() }
    }

    /// Redis 6.2 has no channels of shards, and says errors of scripts otherwise.
    pub(crate) fn is_old(&mut self) -> bool {
        let info: redis::InfoDict =
            redis::cmd("INFO").arg("server").query(&mut self.control).unwrap();
        let version: String = info.get("redis_version").unwrap();
        version.starts_with("6.")
    }

    /// As if it had just been started, at this time.
    pub(crate) fn reset(&mut self, now_us: i64) {
        for connection in self.listeners.keys().copied().collect::<Vec<_>>() {
            self.disconnect(connection);
        }
        self.set_out_of_memory(false);
        self.command(&["FLUSHALL"]);
        self.set_clock(now_us);
    }

    pub(crate) fn ask(&mut self, cmd: &Cmd) -> Value {
        self.control.req_command(cmd).unwrap()
    }

    pub(crate) fn command<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Value {
        let mut cmd = Cmd::new();
        for word in words {
            cmd.arg(word.as_ref());
        }
        self.ask(&cmd)
    }

    fn script(
        &mut self,
        how: &str,
        script: &str,
        keys: &[impl AsRef<[u8]>],
        args: &[impl AsRef<[u8]>],
    ) -> Value {
        let mut cmd = redis::cmd(how);
        cmd.arg(script).arg(keys.len());
        for key in keys {
            cmd.arg(key.as_ref());
        }
        for arg in args {
            cmd.arg(arg.as_ref());
        }
        self.ask(&cmd)
    }

    /// EVALSHA.
    pub(crate) fn run(
        &mut self,
        sha1: &str,
        keys: &[impl AsRef<[u8]>],
        args: &[impl AsRef<[u8]>],
    ) -> Value {
        self.script("EVALSHA", sha1, keys, args)
    }

    /// EVAL.
    pub(crate) fn eval(
        &mut self,
        text: &str,
        keys: &[impl AsRef<[u8]>],
        args: &[impl AsRef<[u8]>],
    ) -> Value {
        self.script("EVAL", text, keys, args)
    }

    /// Per key its type, its life and its value.
    pub(crate) fn dump(&mut self) -> Value {
        let keys = self.keys.clone();
        self.eval(DUMP, &keys, &[""; 0])
    }

    pub(crate) fn set_clock(&mut self, now_us: i64) {
        self.server.stop_clock_at(now_us);
        // An expired key that nobody has looked at would be back if the clock stepped back.
        let mut cmd = redis::cmd("EXISTS");
        self.ask(cmd.arg(&self.keys));
    }

    pub(crate) fn set_out_of_memory(&mut self, out: bool) {
        let limit = if out { "1" } else { "0" };
        assert_eq!(self.command(&["CONFIG", "SET", "maxmemory", limit]), Value::Okay);
    }

    pub(crate) fn subscribe(&mut self, connection: Connection, how: &str, channel: &[u8]) {
        let listener = self.listeners.entry(connection).or_insert_with(|| {
            let mut made = self.server.connection();
            let id = made.req_command(redis::cmd("CLIENT").arg("ID")).unwrap();
            let mut listener = Listener { connection: made, id };
            listener.confirm("SUBSCRIBE", &mark(connection));
            listener
        });
        listener.confirm(how, channel);
    }

    pub(crate) fn unsubscribe(&mut self, connection: Connection, how: &str, channel: &[u8]) {
        if let Some(listener) = self.listeners.get_mut(&connection) {
            listener.confirm(how, channel);
        }
    }

    pub(crate) fn disconnect(&mut self, connection: Connection) {
        if let Some(listener) = self.listeners.remove(&connection) {
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("ID");
            match listener.id {
                Value::Int(id) => kill.arg(id),
                other => panic!("not an id: {other:?}"),
            };
            assert_eq!(self.ask(&kill), Value::Int(1));
        }
    }

    /// What was heard since this was asked last.
    pub(crate) fn heard(&mut self) -> Heard {
        for &connection in self.listeners.keys() {
            let mut cmd = redis::cmd("PUBLISH");
            self.control.req_command(cmd.arg(mark(connection)).arg("")).unwrap();
        }
        let heard = self.listeners.iter_mut().map(|(&connection, listener)| {
            let mark = mark(connection);
            let mut heard = Vec::new();
            loop {
                let message = listener.next();
                let payload = message[message.len() - 1].clone();
                let channel = message[message.len() - 2].clone();
                match &message[0][..] {
                    b"message" if channel == mark => break (connection, heard),
                    // Another's, or our own by a pattern.
                    _ if channel.starts_with(b"mark:") => {}
                    _ => heard.push((channel, payload)),
                }
            }
        });
        heard.filter(|(_, heard)| !heard.is_empty()).collect()
    }
}

fn mark(connection: Connection) -> Vec<u8> {
    format!("mark:{connection}").into_bytes()
}

impl Listener {
    /// Words that came, numbers left out.
    fn next(&mut self) -> Vec<Vec<u8>> {
        match self.connection.recv_response().unwrap() {
            Value::Array(words) => {
                let words = words.into_iter().filter_map(|word| match word {
                    Value::BulkString(word) => Some(word),
                    _ => None,
                });
                words.collect()
            }
            other => panic!("not a message: {other:?}"),
        }
    }

    /// Carries out a command of a subscriber.
    fn confirm(&mut self, how: &str, channel: &[u8]) {
        let cmd = redis::cmd(how).arg(channel).get_packed_command();
        self.connection.send_packed_command(&cmd).unwrap();
        let confirmed = how.to_lowercase().into_bytes();
        while self.next()[0] != confirmed {}
    }
}

/// Who would hear what, of what the fake published.
pub(crate) fn heard(published: &[Published]) -> Heard {
    let mut heard = Heard::new();
    for message in published {
        for &connection in &message.to {
            let what = (message.channel.name.to_vec(), message.payload.to_vec());
            heard.entry(connection).or_default().push(what);
        }
    }
    heard
}

impl Server for Real {
    fn set_clock(&mut self, now_us: i64) {
        Self::set_clock(self, now_us);
    }

    fn run(&mut self, sha1: &str, keys: &[&str], args: &[String]) -> Value {
        Self::run(self, sha1, keys, args)
    }

    fn command(&mut self, words: &[&str]) -> Value {
        Self::command(self, words)
    }

    fn listen(&mut self, connection: Connection, channel: &str, listens: bool) {
        if listens {
            self.subscribe(connection, "SUBSCRIBE", channel.as_bytes());
        } else {
            self.unsubscribe(connection, "UNSUBSCRIBE", channel.as_bytes());
        }
    }

    fn heard(&mut self) -> Vec<(Connection, Vec<u8>)> {
        let heard = Self::heard(self).into_iter();
        heard.flat_map(|(to, heard)| heard.into_iter().map(move |(_, said)| (to, said))).collect()
    }
}
