//! The commands that the scripts and foreign clients use, as Redis carries them out.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::Value;

use crate::keyspace::{Bytes, Channel, Data, Entry, Keyspace, Published, Zset};

/// A reply to a command.
#[derive(Debug)]
pub(crate) enum Reply {
    Nil,
    Int(i64),
    Text(Bytes),
    Status(&'static str),
    Array(Vec<Self>),
    /// Without the leading `-`.
    Error(String),
}

/// What this fake does not know, and must not guess.
pub(crate) type Unsupported = String;

type Outcome = Result<Reply, Fault>;

/// Why a command has no reply of its own.
enum Fault {
    /// An error that the server replies with.
    Refused(String),
    Unsupported(Unsupported),
}

/// `-OOM`, but for the dash.
const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

impl Reply {
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Nil => Value::Nil,
            Self::Int(number) => Value::Int(number),
            Self::Text(text) => Value::BulkString(text.to_vec()),
            Self::Status("OK") => Value::Okay,
            Self::Status(status) => Value::SimpleString(status.to_owned()),
            Self::Array(parts) => Value::Array(parts.into_iter().map(Self::into_value).collect()),
            Self::Error(message) => error_value(&message),
        }
    }

    fn text(text: &[u8]) -> Self {
        Self::Text(text.into())
    }
}

/// An error as a client reads it.
pub(crate) fn error_value(message: &str) -> Value {
    let line = format!("-{}\r\n", message.replace(['\r', '\n'], " "));
    match redis::parse_redis_value(line.as_bytes()) {
        Ok(value) => value,
        Err(error) => panic!("{message:?} is no error: {error}"),
    }
}

/// How the server looks at a command before it carries it out.
struct Rule {
    /// How many words, the name among them; negative: at least so many.
    arity: isize,
    write: bool,
    deny_oom: bool,
    run: fn(&mut Call<'_>) -> Outcome,
}

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of `Call<'a>` itself is of one lifetime"
)]
fn rule(name: &[u8]) -> Option<Rule> {
    type Run = fn(&mut Call<'_>) -> Outcome;
    let rule = |arity, (write, deny_oom), run: Run| Some(Rule { arity, write, deny_oom, run });
    let (read, write, grow) = ((false, false), (true, false), (true, true));
    match name {
        b"GET" => rule(2, read, |call| call.get()),
        b"SET" => rule(-3, grow, |call| call.set()),
        b"INCR" => rule(2, grow, |call| call.incr()),
        b"DEL" => rule(-2, write, |call| Ok(call.del())),
        b"EXISTS" => rule(-2, read, |call| Ok(call.exists())),
        b"PTTL" => rule(2, read, |call| Ok(call.pttl())),
        b"PEXPIRE" => rule(-3, write, |call| call.pexpire()),
        b"TIME" => rule(1, read, |call| Ok(call.time())),
        b"HGET" => rule(3, read, |call| call.hget()),
        b"HMGET" => rule(-3, read, |call| call.hmget()),
        b"HEXISTS" => rule(3, read, |call| call.hexists()),
        b"HLEN" => rule(2, read, |call| call.hlen()),
        b"HSET" => rule(-4, grow, |call| call.hset()),
        b"HDEL" => rule(-3, write, |call| call.hdel()),
        b"ZADD" => rule(-4, grow, |call| call.zadd()),
        b"ZREM" => rule(-3, write, |call| call.zrem()),
        b"ZRANGE" => rule(-4, read, |call| call.zrange()),
        b"ZRANK" => rule(-3, read, |call| call.zrank()),
        b"ZSCORE" => rule(3, read, |call| call.zscore()),
        b"ZCARD" => rule(2, read, |call| call.zcard()),
        b"PUBLISH" => rule(3, read, |call| Ok(call.publish(false))),
        b"SPUBLISH" => rule(3, read, |call| Ok(call.publish(true))),
        b"PUBSUB" => rule(-2, read, |call| call.pubsub()),
        b"FLUSHALL" => rule(-1, write, |call| call.flushall()),
        _ => None,
    }
}

fn find_rule(args: &[Bytes]) -> Result<Rule, Unsupported> {
    let name = args.first().map_or(&[][..], |name| name);
    let found = rule(name).or_else(|| rule(&name.to_ascii_uppercase()));
    found.ok_or_else(|| format!("the command {}", shown(args)))
}

fn suits(arity: isize, words: usize) -> bool {
    if arity < 0 { words >= arity.unsigned_abs() } else { words == arity.unsigned_abs() }
}

/// Carries out a client's command.
pub(crate) fn call(
    keyspace: &mut Keyspace,
    args: &[Bytes],
    published: &mut Vec<Published>,
) -> Result<Reply, Unsupported> {
    let rule = find_rule(args)?;
    if !suits(rule.arity, args.len()) {
        let name = String::from_utf8_lossy(&args[0]).to_lowercase();
        return Ok(Reply::Error(format!("ERR wrong number of arguments for '{name}' command")));
    }
    if rule.deny_oom && keyspace.is_out_of_memory() {
        return Ok(Reply::Error(OOM.to_owned()));
    }
    run(&rule, keyspace, args, published)
}

/// Carries out a script's command. `dirty`: the script has written; then the server refuses it no
/// memory any more.
pub(crate) fn call_from_script(
    keyspace: &mut Keyspace,
    args: &[Bytes],
    dirty: &mut bool,
    published: &mut Vec<Published>,
) -> Result<Reply, Unsupported> {
    let rule = find_rule(args)?;
    if !suits(rule.arity, args.len()) {
        let message = "ERR Wrong number of args calling Redis command from script";
        return Ok(Reply::Error(message.to_owned()));
    }
    if rule.deny_oom && !*dirty && keyspace.is_out_of_memory() {
        return Ok(Reply::Error(OOM.to_owned()));
    }
    *dirty |= rule.write;
    run(&rule, keyspace, args, published)
}

fn run(
    rule: &Rule,
    keyspace: &mut Keyspace,
    args: &[Bytes],
    published: &mut Vec<Published>,
) -> Result<Reply, Unsupported> {
    match (rule.run)(&mut Call { keyspace, args, published }) {
        Ok(reply) => Ok(reply),
        Err(Fault::Refused(message)) => Ok(Reply::Error(message)),
        Err(Fault::Unsupported(what)) => Err(what),
    }
}

fn shown(args: &[Bytes]) -> String {
    let words: Vec<_> = args.iter().map(|arg| arg.escape_ascii().to_string()).collect();
    words.join(" ")
}

fn refused(message: &str) -> Fault {
    Fault::Refused(message.to_owned())
}

fn wrong_type() -> Fault {
    refused("WRONGTYPE Operation against a key holding the wrong kind of value")
}

fn syntax_error() -> Fault {
    refused("ERR syntax error")
}

/// An integer as Redis reads one: no sign but `-`, no blanks, no leading zeros.
fn integer(word: &[u8]) -> Result<i64, Fault> {
    let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok());
    match number {
        Some(number) if number.to_string().as_bytes() == word => Ok(number),
        _ => Err(refused("ERR value is not an integer or out of range")),
    }
}

/// Where (from, until) lies in a sequence of this length, both of them counted from its end if
/// they are negative, `until` within it.
fn range(from: i64, until: i64, length: usize) -> std::ops::Range<usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { length + at } else { at };
    let (from, until) = (place(from).max(0), place(until).min(length - 1));
    let index = |at: i64| usize::try_from(at).unwrap_or(0);
    if from > until { 0..0 } else { index(from)..index(until + 1) }
}

/// A command that is carried out.
struct Call<'a> {
    keyspace: &'a mut Keyspace,
    args: &'a [Bytes],
    published: &'a mut Vec<Published>,
}

impl<'a> Call<'a> {
    fn unsupported(&self) -> Fault {
        Fault::Unsupported(format!("this form of the command {}", shown(self.args)))
    }

    fn key(&self) -> &'a Bytes {
        &self.args[1]
    }

    fn word(&self, at: usize) -> Vec<u8> {
        self.args[at].to_ascii_uppercase()
    }

    fn string(&self) -> Result<Option<&Bytes>, Fault> {
        match self.keyspace.keys.get(self.key()).map(|entry| &entry.data) {
            None => Ok(None),
            Some(Data::Text(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type()),
        }
    }

    fn hash(&self) -> Result<Option<&BTreeMap<Bytes, Bytes>>, Fault> {
        match self.keyspace.keys.get(self.key()).map(|entry| &entry.data) {
            None => Ok(None),
            Some(Data::Hash(hash)) => Ok(Some(hash)),
            Some(_) => Err(wrong_type()),
        }
    }

    fn zset(&self) -> Result<Option<&Zset>, Fault> {
        match self.keyspace.keys.get(self.key()).map(|entry| &entry.data) {
            None => Ok(None),
            Some(Data::Zset(zset)) => Ok(Some(zset)),
            Some(_) => Err(wrong_type()),
        }
    }

    /// The hash at the key, a new one if there is none.
    fn make_hash(&mut self) -> Result<&mut BTreeMap<Bytes, Bytes>, Fault> {
        let key = self.key().clone();
        let fresh = || Entry { data: Data::Hash(Arc::default()), expires: None };
        match &mut self.keyspace.keys.entry(key).or_insert_with(fresh).data {
            Data::Hash(hash) => Ok(Arc::make_mut(hash)),
            _ => Err(wrong_type()),
        }
    }

    fn make_zset(&mut self) -> Result<&mut Zset, Fault> {
        let key = self.key().clone();
        let fresh = || Entry { data: Data::Zset(Arc::default()), expires: None };
        match &mut self.keyspace.keys.entry(key).or_insert_with(fresh).data {
            Data::Zset(zset) => Ok(Arc::make_mut(zset)),
            _ => Err(wrong_type()),
        }
    }

    fn delete(&mut self) {
        self.keyspace.keys.remove(self.key());
    }

    fn get(&mut self) -> Outcome {
        Ok(self.string()?.map_or(Reply::Nil, |text| Reply::Text(text.clone())))
    }

    fn set(&mut self) -> Outcome {
        let (mut only_new, mut keep, mut get, mut life) = (false, false, false, None);
        let mut at = 3;
        while at < self.args.len() {
            match &self.word(at)[..] {
                b"NX" => only_new = true,
                b"GET" => get = true,
                b"KEEPTTL" if life.is_none() => keep = true,
                b"PX" if !keep && life.is_none() && at + 1 < self.args.len() => {
                    at += 1;
                    life = Some(&self.args[at]);
                }
                b"XX" | b"EX" | b"EXAT" | b"PXAT" => return Err(self.unsupported()),
                _ => return Err(syntax_error()),
            }
            at += 1;
        }
        // Allowed since Redis 7.0 only.
        if only_new && get {
            return Err(self.unsupported());
        }
        let mut expires = None;
        if let Some(life) = life {
            let last = self.keyspace.now_ms().checked_add(integer(life)?);
            match last.filter(|_| !life.starts_with(b"-") && **life != *b"0") {
                Some(last) => expires = Some(last),
                None => return Err(refused("ERR invalid expire time in 'set' command")),
            }
        }
        let old = if get { self.string()?.cloned() } else { None };
        let there = self.keyspace.keys.get(self.key());
        if only_new && there.is_some() {
            return Ok(Reply::Nil);
        }
        if keep {
            expires = there.and_then(|entry| entry.expires);
        }
        let entry = Entry { data: Data::Text(self.args[2].clone()), expires };
        self.keyspace.keys.insert(self.key().clone(), entry);
        Ok(match old {
            Some(old) => Reply::Text(old),
            None if get => Reply::Nil,
            None => Reply::Status("OK"),
        })
    }

    fn incr(&mut self) -> Outcome {
        let old = self.string()?.map_or(Ok(0), |text| integer(text))?;
        let Some(new) = old.checked_add(1) else {
            return Err(refused("ERR increment or decrement would overflow"));
        };
        let expires = self.keyspace.keys.get(self.key()).and_then(|entry| entry.expires);
        let data = Data::Text(new.to_string().into_bytes().into());
        self.keyspace.keys.insert(self.key().clone(), Entry { data, expires });
        Ok(Reply::Int(new))
    }

    /// How many of the keys something is true of.
    fn count_keys(&mut self, of: impl Fn(&mut Keyspace, &Bytes) -> bool) -> Reply {
        let count = self.args[1..].iter().filter(|key| of(self.keyspace, key)).count();
        length(count)
    }

    fn del(&mut self) -> Reply {
        self.count_keys(|keyspace, key| keyspace.keys.remove(key).is_some())
    }

    fn exists(&mut self) -> Reply {
        self.count_keys(|keyspace, key| keyspace.keys.contains_key(key))
    }

    fn pttl(&mut self) -> Reply {
        let now = self.keyspace.now_ms();
        let entry = self.keyspace.keys.get(self.key());
        Reply::Int(entry.map_or(-2, |entry| entry.expires.map_or(-1, |last| last - now)))
    }

    fn pexpire(&mut self) -> Outcome {
        if self.args.len() > 3 {
            return Err(self.unsupported());
        }
        let life = integer(&self.args[2])?;
        let Some(last) = self.keyspace.now_ms().checked_add(life) else {
            return Err(refused("ERR invalid expire time in 'pexpire' command"));
        };
        match self.keyspace.keys.get_mut(self.key()) {
            None => return Ok(Reply::Int(0)),
            Some(_) if life <= 0 => self.delete(),
            Some(entry) => entry.expires = Some(last),
        }
        Ok(Reply::Int(1))
    }

    fn time(&mut self) -> Reply {
        let now = self.keyspace.now_us();
        let part = |number: i64| Reply::text(number.to_string().as_bytes());
        Reply::Array(vec![part(now.div_euclid(1_000_000)), part(now.rem_euclid(1_000_000))])
    }

    fn hget(&mut self) -> Outcome {
        let value = self.hash()?.and_then(|hash| hash.get(&self.args[2]));
        Ok(value.map_or(Reply::Nil, |value| Reply::Text(value.clone())))
    }

    fn hmget(&mut self) -> Outcome {
        let hash = self.hash()?;
        let values = self.args[2..].iter().map(|field| {
            let value = hash.and_then(|hash| hash.get(field));
            value.map_or(Reply::Nil, |value| Reply::Text(value.clone()))
        });
        Ok(Reply::Array(values.collect()))
    }

    fn hexists(&mut self) -> Outcome {
        let there = self.hash()?.is_some_and(|hash| hash.contains_key(&self.args[2]));
        Ok(Reply::Int(there.into()))
    }

    fn hlen(&mut self) -> Outcome {
        Ok(length(self.hash()?.map_or(0, BTreeMap::len)))
    }

    fn hset(&mut self) -> Outcome {
        if !self.args.len().is_multiple_of(2) {
            return Err(refused("ERR wrong number of arguments for 'hset' command"));
        }
        let args = self.args;
        let hash = self.make_hash()?;
        let mut added = 0;
        for pair in args[2..].chunks_exact(2) {
            added += usize::from(hash.insert(pair[0].clone(), pair[1].clone()).is_none());
        }
        Ok(length(added))
    }

    fn hdel(&mut self) -> Outcome {
        if self.hash()?.is_none() {
            return Ok(Reply::Int(0));
        }
        let args = self.args;
        let hash = self.make_hash()?;
        let removed = args[2..].iter().filter(|&field| hash.remove(field).is_some()).count();
        if hash.is_empty() {
            self.delete();
        }
        Ok(length(removed))
    }

    fn zadd(&mut self) -> Outcome {
        let only_new = match &self.word(2)[..] {
            b"NX" => true,
            b"XX" | b"GT" | b"LT" | b"CH" | b"INCR" => return Err(self.unsupported()),
            _ => false,
        };
        let pairs = &self.args[if only_new { 3 } else { 2 }..];
        if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
            return Err(syntax_error());
        }
        let mut scores = Vec::with_capacity(pairs.len() / 2);
        for pair in pairs.chunks_exact(2) {
            // Beyond 2^53 a server rounds.
            match integer(&pair[0]) {
                Ok(score) if score.unsigned_abs() <= 1 << 53 => scores.push((score, &pair[1])),
                _ => return Err(self.unsupported()),
            }
        }
        self.zset()?;
        let zset = self.make_zset()?;
        let mut added = 0;
        for (score, member) in scores {
            match zset.iter().position(|(_, other)| other == member) {
                Some(_) if only_new => continue,
                Some(at) => drop(zset.remove(at)),
                None => added += 1,
            }
            let entry = (score, member.clone());
            let at = zset.partition_point(|other| *other < entry);
            zset.insert(at, entry);
        }
        Ok(length(added))
    }

    fn zrem(&mut self) -> Outcome {
        if self.zset()?.is_none() {
            return Ok(Reply::Int(0));
        }
        let args = self.args;
        let zset = self.make_zset()?;
        let before = zset.len();
        for member in &args[2..] {
            zset.retain(|(_, other)| other != member);
        }
        let removed = before - zset.len();
        if zset.is_empty() {
            self.delete();
        }
        Ok(length(removed))
    }

    fn zrange(&mut self) -> Outcome {
        let scored = match self.args.len() {
            4 => false,
            5 if self.word(4) == b"WITHSCORES" => true,
            _ => return Err(self.unsupported()),
        };
        let (from, until) = (integer(&self.args[2])?, integer(&self.args[3])?);
        let zset = self.zset()?.map_or(&[][..], |zset| zset);
        let mut reply = Vec::new();
        for (score, member) in &zset[range(from, until, zset.len())] {
            reply.push(Reply::Text(member.clone()));
            if scored {
                reply.push(Reply::text(score.to_string().as_bytes()));
            }
        }
        Ok(Reply::Array(reply))
    }

    fn zrank(&mut self) -> Outcome {
        if self.args.len() > 3 {
            return Err(self.unsupported());
        }
        let at = |zset: &Zset| zset.iter().position(|(_, member)| *member == self.args[2]);
        Ok(self.zset()?.and_then(at).map_or(Reply::Nil, length))
    }

    fn zscore(&mut self) -> Outcome {
        let found = |zset: &&Zset| zset.iter().find(|(_, member)| *member == self.args[2]).cloned();
        let score = self.zset()?.as_ref().and_then(found);
        Ok(score.map_or(Reply::Nil, |(score, _)| Reply::text(score.to_string().as_bytes())))
    }

    fn zcard(&mut self) -> Outcome {
        Ok(length(self.zset()?.map_or(0, Vec::len)))
    }

    fn publish(&mut self, shard: bool) -> Reply {
        let channel = Channel { shard, name: self.args[1].clone() };
        let to = self.keyspace.listeners(&channel);
        let heard = to.len();
        self.published.push(Published { channel, payload: self.args[2].clone(), to });
        length(heard)
    }

    fn pubsub(&mut self) -> Outcome {
        let shard = match &self.word(1)[..] {
            b"NUMSUB" => false,
            b"SHARDNUMSUB" => true,
            _ => return Err(self.unsupported()),
        };
        let mut reply = Vec::new();
        for name in &self.args[2..] {
            let channel = Channel { shard, name: name.clone() };
            reply.push(Reply::Text(name.clone()));
            reply.push(length(self.keyspace.subscribers(&channel)));
        }
        Ok(Reply::Array(reply))
    }

    fn flushall(&mut self) -> Outcome {
        if self.args.len() > 1 {
            return Err(self.unsupported());
        }
        self.keyspace.flush();
        Ok(Reply::Status("OK"))
    }
}

fn length(count: usize) -> Reply {
    Reply::Int(i64::try_from(count).unwrap_or(i64::MAX))
}
