//! The fake Redis and a real one, told the same: they answer the same, publish the same, and hold
//! the same afterwards. Their clocks stand still but for the steps that belong to the sequence.

use std::cell::RefCell;
use std::fmt::Write as _;

use fencelock_reference::compare::{START_US, cases, check};
use fencelock_reference::keyspace::Data;
use fencelock_reference::{Bytes, Keyspace, Scripts};
use redis::Value;

use crate::ops::{self, Op, keys, sequence};
use crate::real::{self, Heard, Real};

/// Runs a command as a script does.
const CALL: &str = "return redis.call(unpack(ARGV))";
const PCALL: &str = "return redis.pcall(unpack(ARGV))";

/// Each step's answer, and what was heard because of it.
type Told = (Value, Heard);

struct Fake {
    keyspace: Keyspace,
    scripts: Scripts,
}

impl Fake {
    fn dump(&self) -> Value {
        let text = |text: &[u8]| Value::BulkString(text.to_vec());
        let life = |expires: Option<i64>| expires.map_or(-1, |last| last - self.keyspace.now_ms());
        let keys = keys().into_iter().map(|key| {
            let Some(entry) = self.keyspace.entry(key) else {
                return Value::Array(vec![text(b"none"), Value::Int(-2), Value::Nil]);
            };
            let (kind, value) = match &entry.data {
                Data::Text(value) => (&b"string"[..], text(value)),
                Data::Zset(zset) => {
                    let pair = |(score, member): &(i64, Bytes)| {
                        [text(member), text(score.to_string().as_bytes())]
                    };
                    (&b"zset"[..], Value::Array(zset.iter().flat_map(pair).collect()))
                }
                Data::Hash(hash) => {
                    let pairs = hash.iter().flat_map(|(field, value)| [text(field), text(value)]);
                    (&b"hash"[..], Value::Array(pairs.collect()))
                }
            };
            Value::Array(vec![text(kind), Value::Int(life(entry.expires)), value])
        });
        Value::Array(keys.collect())
    }

    fn step(&mut self, op: &Op) -> Told {
        let keyspace = &mut self.keyspace;
        let (value, published) = match op {
            Op::Clock(_) | Op::ToExpiry(_) => (Value::Nil, Vec::new()),
            Op::OutOfMemory(out) => {
                keyspace.set_out_of_memory(*out);
                (Value::Nil, Vec::new())
            }
            Op::Subscribe(connection, channel) => {
                match channel.how() {
                    "PSUBSCRIBE" => keyspace.subscribe_all(*connection),
                    "SSUBSCRIBE" => keyspace.subscribe_shard(*connection, channel.name()),
                    _ => keyspace.subscribe(*connection, channel.name()),
                }
                (Value::Nil, Vec::new())
            }
            Op::Unsubscribe(connection, channel) => {
                keyspace.unsubscribe(*connection, channel.name());
                (Value::Nil, Vec::new())
            }
            Op::Disconnect(connection) => {
                keyspace.disconnect(*connection);
                (Value::Nil, Vec::new())
            }
            Op::Raw(words) => keyspace.command(words),
            Op::Call(words) => self.scripts.eval(keyspace, CALL, &[""; 0], words),
            Op::Pcall(words) => self.scripts.eval(keyspace, PCALL, &[""; 0], words),
            Op::Script(name, keys, args) => self.scripts.run(keyspace, ops::sha1(name), keys, args),
        };
        (value, real::heard(&published))
    }
}

fn step_real(real: &mut Real, op: &Op) -> Told {
    let value = match op {
        Op::Clock(_) | Op::ToExpiry(_) => Value::Nil,
        Op::OutOfMemory(out) => {
            real.set_out_of_memory(*out);
            Value::Nil
        }
        Op::Subscribe(connection, channel) => {
            real.subscribe(*connection, channel.how(), channel.name());
            Value::Nil
        }
        Op::Unsubscribe(connection, channel) => {
            let how = channel.how().replace("SUBSCRIBE", "UNSUBSCRIBE");
            real.unsubscribe(*connection, &how, channel.name());
            Value::Nil
        }
        Op::Disconnect(connection) => {
            real.disconnect(*connection);
            Value::Nil
        }
        Op::Raw(words) => real.command(words),
        Op::Call(words) => real.eval(CALL, &[""; 0], words),
        Op::Pcall(words) => real.eval(PCALL, &[""; 0], words),
        Op::Script(name, keys, args) => real.run(ops::sha1(name), keys, args),
    };
    (value, real.heard())
}

/// An error without what servers add to it. Old ones wrap it in ways of their own.
fn plain(value: Value, old: bool) -> Value {
    let Value::ServerError(error) = &value else { return value };
    let line = format!("{} {}", error.code(), error.details().unwrap_or_default());
    let said = if old { "an error" } else { line.split(" script: ").next().unwrap_or_default() };
    Value::SimpleString(said.to_owned())
}

fn compare(real: &mut Real, fake: &mut Fake, old: bool, ops: &[Op]) -> Result<(), String> {
    real.reset(START_US);
    fake.keyspace = Keyspace::new(START_US);
    let mut story = String::new();
    for (number, op) in ops.iter().enumerate() {
        let target = match op {
            Op::Clock(by) => Some(fake.keyspace.now_us() + by),
            Op::ToExpiry(by) => fake.keyspace.next_expiry().map(|at| at + by),
            _ => None,
        };
        if let Some(now_us) = target {
            real.set_clock(now_us);
            fake.keyspace.set_clock(now_us);
        }
        let (told, heard) = step_real(real, op);
        let (fake_told, fake_heard) = fake.step(op);
        let real_side = (plain(told, old), heard, real.dump());
        let fake_side = (plain(fake_told, old), fake_heard, fake.dump());
        let _ = writeln!(story, "{number}. {op:?}");
        if real_side != fake_side {
            let message = format!("real {real_side:?}\nfake {fake_side:?}");
            return Err(story + &message);
        }
    }
    Ok(())
}

#[test]
fn the_fake_redis_does_as_a_real_one() {
    let mut real = Real::start(&keys());
    let old = real.is_old();
    let fake = Fake { keyspace: Keyspace::new(START_US), scripts: Scripts::new() };
    let both = RefCell::new((real, fake));
    check(cases(120), &sequence(old), |ops| {
        let (real, fake) = &mut *both.borrow_mut();
        compare(real, fake, old, &ops)
    });
}
