//! The server: the shipped scripts on the fake keyspace, and what can be seen of the lock there.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use fencelock::model::{Moment, Token, Value};
use fencelock_reference::keyspace::Data;
use fencelock_reference::{Keyspace, Published, Scripts};

use crate::wire::ScriptCall;

/// Where the server's clock stands when a story begins, in µs: fences have 16 digits.
const EPOCH: i64 = 1_700_000_000_000_000;
/// Where everybody else's does.
pub(crate) const START: Moment = Moment::from_nanos(1_000_000_000_000);
/// Beyond this many, remembered answers are forgotten.
const REMEMBERED: usize = 200_000;

pub(crate) const L: &[u8] = b"a";
pub(crate) const F: &[u8] = b"{a}:fl:f";
pub(crate) const Q: &[u8] = b"{a}:fl:q";
pub(crate) const W: &[u8] = b"{a}:fl:w";
/// What a foreign holder puts there.
pub(crate) const FOREIGN: &[u8] = b"somebody";

/// The server's state, its hash beside it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    keyspace: Arc<Keyspace>,
    hash: u64,
    /// How far its clock is ahead of everybody else's, in µs.
    pub(crate) ahead: i64,
}

impl Hash for Server {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
        self.ahead.hash(state);
    }
}

/// The last grant, as the server has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) token: Token,
    pub(crate) fence: u64,
}

/// One who stands in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) token: Option<Token>,
    /// Its client lives, as far as the server can tell.
    pub(crate) lives: bool,
    /// It is told of its grant by a message.
    pub(crate) told: bool,
}

impl Server {
    pub(crate) fn new() -> Self {
        let mut server = Self { keyspace: Arc::new(Keyspace::new(EPOCH)), hash: 0, ahead: 0 };
        server.change(|_| ());
        server
    }

    pub(crate) fn keyspace(&self) -> &Arc<Keyspace> {
        &self.keyspace
    }

    fn put(&mut self, keyspace: Arc<Keyspace>) {
        let mut hasher = DefaultHasher::new();
        keyspace.hash(&mut hasher);
        self.hash = hasher.finish();
        self.keyspace = keyspace;
    }

    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Keyspace) -> T) -> T {
        let mut keyspace = (*self.keyspace).clone();
        let result = change(&mut keyspace);
        self.put(Arc::new(keyspace));
        result
    }

    /// What the server's clock shows at a moment.
    fn clock(&self, now: Moment) -> i64 {
        let passed = i64::try_from((now.nanos() - START.nanos()) / 1000).unwrap_or(i64::MAX / 2);
        EPOCH + passed + self.ahead
    }

    pub(crate) fn set_clock(&mut self, now: Moment) {
        let clock = self.clock(now);
        if clock != self.keyspace.now_us() {
            self.change(|keyspace| keyspace.set_clock(clock));
        }
    }

    /// When a moment of the server's clock, in µs, has come.
    fn moment(&self, clock: i64) -> Moment {
        let passed = u64::try_from(clock - self.ahead - EPOCH).unwrap_or(0);
        Moment::from_nanos(START.nanos() + passed * 1000)
    }

    /// When the lock will have lapsed.
    pub(crate) fn lapses(&self) -> Option<Moment> {
        let expires = self.keyspace.entry(L)?.expires?;
        Some(self.moment((expires + 1) * 1000))
    }

    /// Whose the lock is; `None`, too, if it is a foreigner's.
    pub(crate) fn holder(&self) -> Option<Token> {
        Token::parse(&self.keyspace.get(L)?)
    }

    pub(crate) fn is_foreign(&self) -> bool {
        self.keyspace.get(L).as_deref() == Some(FOREIGN)
    }

    pub(crate) fn is_free(&self) -> bool {
        self.keyspace.entry(L).is_none()
    }

    pub(crate) fn record(&self) -> Option<Record> {
        let record = self.keyspace.get(F)?;
        let mut parts = record.splitn(4, |&byte| byte == b' ');
        let fence = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let token = Token::parse(parts.nth(1)?)?;
        Some(Record { token, fence })
    }

    /// Everybody in the queue, in order.
    pub(crate) fn queue(&self) -> Vec<Place> {
        let keyspace = &self.keyspace;
        let Some(Data::Zset(queue)) = keyspace.entry(Q).map(|entry| &entry.data) else {
            return Vec::new();
        };
        let meta = match keyspace.entry(W).map(|entry| &entry.data) {
            Some(Data::Hash(meta)) => Some(meta),
            _ => None,
        };
        let place = |(_, member): &(i64, Arc<[u8]>)| {
            let words = |key: &[u8]| meta.and_then(|meta| text(meta.get(key)?));
            let of_token = words(member).unwrap_or_default();
            let mut of_token = of_token.split(' ');
            let client = of_token.next().unwrap_or_default();
            let told = of_token.nth(1) == Some("P");
            let deadline = words(format!("@{client}").as_bytes())
                .and_then(|entry| entry.split(' ').next()?.parse::<i64>().ok());
            let heard = deadline.is_some_and(|deadline| deadline >= keyspace.now_ms());
            let lives = heard && (!told || keyspace.is_heard(format!("fl:c:{client}")));
            Place { token: Token::parse(member), lives, told }
        };
        queue.iter().map(place).collect()
    }
}

fn text(bytes: &Arc<[u8]>) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Runs scripts, and remembers what came of each on each state of the server.
#[derive(Debug)]
pub(crate) struct Runner {
    scripts: Scripts,
    remembered: HashMap<(u64, u64), Ran>,
}

#[derive(Debug)]
struct Ran {
    keyspace: Arc<Keyspace>,
    hash: u64,
    reply: Value,
    published: Arc<[Published]>,
}

impl Runner {
    pub(crate) fn new(scripts: Scripts) -> Self {
        Self { scripts, remembered: HashMap::new() }
    }

    pub(crate) fn run(
        &mut self,
        server: &mut Server,
        call: &ScriptCall,
    ) -> (Value, Arc<[Published]>) {
        let mut hasher = DefaultHasher::new();
        call.hash(&mut hasher);
        let key = (server.hash, hasher.finish());
        if let Some(ran) = self.remembered.get(&key) {
            server.keyspace = ran.keyspace.clone();
            server.hash = ran.hash;
            return (ran.reply.clone(), ran.published.clone());
        }
        let mut keyspace = (*server.keyspace).clone();
        let (reply, published) = self.scripts.run(&mut keyspace, call.sha1, &call.keys, &call.args);
        server.put(Arc::new(keyspace));
        let published: Arc<[Published]> = published.into();
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        let ran = Ran {
            keyspace: server.keyspace.clone(),
            hash: server.hash,
            reply: reply.clone(),
            published: published.clone(),
        };
        self.remembered.insert(key, ran);
        (reply, published)
    }
}
