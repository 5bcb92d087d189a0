//! A small fake Redis: what it holds, its clock, and who listens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use redis::Value;

use crate::commands;

/// A string of bytes, shared between the states that have it in common.
pub type Bytes = Arc<[u8]>;

/// Names a connection to the server.
pub type Connection = u32;

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Data {
    /// A string.
    Text(Bytes),
    /// A sorted set.
    Zset(Arc<Zset>),
    /// A hash.
    Hash(Arc<BTreeMap<Bytes, Bytes>>),
}

/// A sorted set: (score, member) in their order. Its scores are whole numbers.
pub type Zset = Vec<(i64, Bytes)>;

/// A key's value, and when it expires.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What it holds.
    pub data: Data,
    /// The last ms of the server's clock at which it is there.
    pub expires: Option<i64>,
}

/// A channel for messages; those of shards are apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    /// Subscribed to by SSUBSCRIBE.
    pub shard: bool,
    /// Its name.
    pub name: Bytes,
}

/// A message, and the connections that were subscribed when it was sent. None for a message that
/// nobody was there to hear.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Published {
    /// Where it was sent.
    pub channel: Channel,
    /// What it says.
    pub payload: Bytes,
    /// Who hears it, in order of their numbers; twice whoever listens by a pattern, too.
    pub to: Vec<Connection>,
}

/// The server. Equal states are equal values: an expired key is gone at once, and everything has
/// one order. A server may keep an expired key until somebody looks at it, and show it again if the
/// clock steps back meanwhile; this one never does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keyspace {
    pub(crate) keys: BTreeMap<Bytes, Entry>,
    now_us: i64,
    subscriptions: BTreeMap<Channel, BTreeSet<Connection>>,
    /// Listen to everything (`PSUBSCRIBE *`), and are not counted by NUMSUB.
    eavesdroppers: BTreeSet<Connection>,
    out_of_memory: bool,
}

impl Keyspace {
    /// An empty server at this time, in µs since 1970.
    pub fn new(now_us: i64) -> Self {
        Self { now_us, ..Self::default() }
    }

    /// The server's clock, in µs since 1970.
    pub fn now_us(&self) -> i64 {
        self.now_us
    }

    /// The server's clock in whole ms, as it counts a key's life.
    pub fn now_ms(&self) -> i64 {
        self.now_us.div_euclid(1000)
    }

    /// Sets the clock, forward or back. What has expired by then is gone for good.
    pub fn set_clock(&mut self, now_us: i64) {
        self.now_us = now_us;
        let now = self.now_ms();
        self.keys.retain(|_, entry| entry.expires.is_none_or(|expires| now <= expires));
    }

    /// When the next key will have expired, in µs, if nobody prolongs it.
    pub fn next_expiry(&self) -> Option<i64> {
        self.keys.values().filter_map(|entry| entry.expires).min().map(|last| (last + 1) * 1000)
    }

    /// Lets every command that may take memory fail, as under `maxmemory` with `noeviction`.
    pub fn set_out_of_memory(&mut self, out: bool) {
        self.out_of_memory = out;
    }

    /// Is it out of memory?
    pub fn is_out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    /// Its keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = (&Bytes, &Entry)> {
        self.keys.iter()
    }

    /// What a key holds.
    pub fn entry(&self, key: impl AsRef<[u8]>) -> Option<&Entry> {
        self.keys.get(key.as_ref())
    }

    /// It holds no key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Carries out a command of a client, such as a foreign one, and tells what was published by
    /// it. Panics at a command, or a form of one, that this fake does not know.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> (Value, Vec<Published>) {
        let args: Vec<Bytes> = args.iter().map(|arg| arg.as_ref().into()).collect();
        let mut published = Vec::new();
        match commands::call(self, &args, &mut published) {
            Ok(reply) => (reply.into_value(), published),
            Err(unsupported) => panic!("the fake Redis does not know {unsupported}"),
        }
    }

    /// `SET key value NX PX ttl`, as foreign clients take a lock. Did it?
    pub fn set_nx_px(&mut self, key: &[u8], value: &[u8], ttl_ms: u64) -> bool {
        let ttl = ttl_ms.to_string();
        self.command(&[b"SET", key, value, b"NX", b"PX", ttl.as_bytes()]).0 == Value::Okay
    }

    /// Deletes the key if it holds this string, as foreign clients release a lock. Did it?
    pub fn compare_and_delete(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.get(key).as_deref() == Some(value) && self.delete(key)
    }

    /// A key's string; `None`, too, if it holds something else.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        match &self.keys.get(key)?.data {
            Data::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// Deletes a key, or evicts it. Was it there?
    pub fn delete(&mut self, key: &[u8]) -> bool {
        self.keys.remove(key).is_some()
    }

    /// Forgets all keys, as FLUSHALL or a server that comes back empty. Subscriptions stay: a
    /// restart takes the connections, too ([`disconnect`](Self::disconnect)).
    pub fn flush(&mut self) {
        self.keys.clear();
    }

    /// Goes back to what another state held, as a replica that had heard of nothing since does
    /// when it is promoted. The clock and the connections stay.
    pub fn go_back_to(&mut self, older: &Self) {
        self.keys.clone_from(&older.keys);
        self.set_clock(self.now_us);
    }

    /// A connection listens to a channel.
    pub fn subscribe(&mut self, connection: Connection, channel: impl AsRef<[u8]>) {
        self.listen(connection, false, channel.as_ref());
    }

    /// A connection listens to a channel of a shard.
    pub fn subscribe_shard(&mut self, connection: Connection, channel: impl AsRef<[u8]>) {
        self.listen(connection, true, channel.as_ref());
    }

    /// A connection listens to all channels by a pattern.
    pub fn subscribe_all(&mut self, connection: Connection) {
        self.eavesdroppers.insert(connection);
    }

    /// A connection listens to this channel no more, whichever kind it is.
    pub fn unsubscribe(&mut self, connection: Connection, channel: impl AsRef<[u8]>) {
        self.drop_listeners(connection, |name| *name == *channel.as_ref());
    }

    /// The server has noticed that a connection is gone.
    pub fn disconnect(&mut self, connection: Connection) {
        self.drop_listeners(connection, |_| true);
        self.eavesdroppers.remove(&connection);
    }

    /// Does somebody listen to this channel by its name?
    pub fn is_heard(&self, channel: impl AsRef<[u8]>) -> bool {
        self.subscribers(&Channel { shard: false, name: channel.as_ref().into() }) > 0
    }

    fn listen(&mut self, connection: Connection, shard: bool, name: &[u8]) {
        let channel = Channel { shard, name: name.into() };
        self.subscriptions.entry(channel).or_default().insert(connection);
    }

    fn drop_listeners(&mut self, connection: Connection, of: impl Fn(&[u8]) -> bool) {
        self.subscriptions.retain(|channel, listeners| {
            if of(&channel.name) {
                listeners.remove(&connection);
            }
            !listeners.is_empty()
        });
    }

    /// How many listen to a channel by its name.
    pub(crate) fn subscribers(&self, channel: &Channel) -> usize {
        self.subscriptions.get(channel).map_or(0, BTreeSet::len)
    }

    /// Who hears what is sent to a channel.
    pub(crate) fn listeners(&self, channel: &Channel) -> Vec<Connection> {
        let mut to: Vec<_> =
            self.subscriptions.get(channel).into_iter().flatten().copied().collect();
        if !channel.shard {
            to.extend(&self.eavesdroppers);
            to.sort_unstable();
        }
        to
    }
}
