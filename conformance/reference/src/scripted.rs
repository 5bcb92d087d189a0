//! The shipped scripts on a server, as a lock.

use fencelock::model;
use redis::Value;

use crate::keyspace::Keyspace;
use crate::locks::{Answer, Client, Features, Holding, Locks, Op, Standing, Token, Told, Wish};
use crate::lua::Scripts;

/// The lock's key, then its side keys.
pub const KEYS: [&str; 4] = ["lock", "{lock}:fl:f", "{lock}:fl:q", "{lock}:fl:w"];

const FOREIGN: &str = "foreign";

/// A server that runs scripts.
pub trait Server {
    /// Sets its clock, in µs.
    fn set_clock(&mut self, now_us: i64);
    /// EVALSHA.
    fn run(&mut self, sha1: &str, keys: &[&str], args: &[String]) -> Value;
    /// Any other command.
    fn command(&mut self, words: &[&str]) -> Value;
    /// A connection subscribes to a channel, or no longer does.
    fn listen(&mut self, connection: u32, channel: &str, listens: bool);
    /// What was heard since, by which connection.
    fn heard(&mut self) -> Vec<(u32, Vec<u8>)>;
}

/// The fake server.
#[derive(Debug)]
pub struct FakeServer {
    /// What it holds.
    pub keyspace: Keyspace,
    scripts: Scripts,
    heard: Vec<(u32, Vec<u8>)>,
}

impl FakeServer {
    /// With nothing in it.
    pub fn new(scripts: Scripts) -> Self {
        Self { keyspace: Keyspace::default(), scripts, heard: Vec::new() }
    }
}

impl Server for FakeServer {
    fn set_clock(&mut self, now_us: i64) {
        self.keyspace.set_clock(now_us);
    }

    fn run(&mut self, sha1: &str, keys: &[&str], args: &[String]) -> Value {
        let (value, published) = self.scripts.run(&mut self.keyspace, sha1, keys, args);
        for message in published {
            let payload = message.payload.to_vec();
            self.heard.extend(message.to.into_iter().map(|to| (to, payload.clone())));
        }
        value
    }

    fn command(&mut self, words: &[&str]) -> Value {
        self.keyspace.command(words).0
    }

    fn listen(&mut self, connection: u32, channel: &str, listens: bool) {
        if listens {
            self.keyspace.subscribe(connection, channel);
        } else {
            self.keyspace.unsubscribe(connection, channel);
        }
    }

    fn heard(&mut self) -> Vec<(u32, Vec<u8>)> {
        std::mem::take(&mut self.heard)
    }
}

/// A lock that the scripts keep on a server.
#[derive(Debug)]
pub struct Scripted<S> {
    /// Where.
    pub server: S,
}

impl Token {
    fn text(self) -> String {
        format!("fl1-{}", char::from(b'A' + self.0).to_string().repeat(22))
    }

    fn parse(text: &str) -> Self {
        Self(text.as_bytes()[4] - b'A')
    }
}

impl<S: Server> Scripted<S> {
    fn script(&mut self, name: &str, args: &[String]) -> Value {
        let keys = if name == "extend" { &KEYS[..2] } else { &KEYS[..] };
        let sha1 = model::scripts().into_iter().find(|script| script.name == name);
        self.server.run(sha1.map_or("", |script| script.sha1), keys, args)
    }

    fn code(&mut self, name: &str, args: &[String]) -> i64 {
        number(&self.script(name, args))
    }

    fn acquire(&mut self, wish: &Wish) -> Answer {
        let mode = if wish.told { "P" } else { "-" };
        let place = format!("{:?} {mode} {} {}", wish.client, wish.window, wish.ticket);
        let place = if wish.wait { place } else { String::new() };
        let args = [wish.token.text(), wish.ttl.to_string(), place, wish.label.to_owned()];
        let reply = self.script("acquire", &args);
        let Value::Array(parts) = reply else { return Answer::Held(fence(&reply)) };
        match &text(&parts[0])[..] {
            "busy" => Answer::Busy(holding(&parts[1..])),
            "queued" => Answer::Queued {
                rank: number(&parts[1]),
                holding: holding(&parts[2..]),
                ticket: number(&parts[4]),
            },
            other => panic!("acquire answered {other}"),
        }
    }

    fn poll(&mut self, client: Client, window: i64, wishes: &[(Token, i64)]) -> Answer {
        let mut args = vec![format!("{client:?}"), window.to_string()];
        for (token, ttl) in wishes {
            args.extend([token.text(), ttl.to_string()]);
        }
        let reply = self.script("poll", &args);
        let Value::Array(parts) = reply else { panic!("poll answered {reply:?}") };
        let states = parts[2..].iter().map(|state| match state {
            Value::Array(state) => match (&text(&state[0])[..], state.get(1)) {
                ("held", Some(grant)) => Standing::Held(fence(grant)),
                ("queued", Some(rank)) => Standing::Queued(number(rank)),
                ("gone", None) => Standing::Gone,
                _ => panic!("poll answered {state:?}"),
            },
            _ => panic!("poll answered {state:?}"),
        });
        Answer::Polled(holding(&parts), states.collect())
    }

    fn inspect(&mut self) -> Answer {
        let reply = self.script("inspect", &[]);
        let Value::Array(parts) = reply else { panic!("inspect answered {reply:?}") };
        let known = !text(&parts[2]).is_empty();
        let grant = known.then(|| (fence(&parts[2]), number(&parts[3]), text(&parts[5])));
        let remaining = number(&parts[4]);
        assert_eq!(text(&parts[0]).is_empty(), remaining == -2, "{parts:?}");
        let holding = Holding { remaining, foreign: number(&parts[1]) == 1 };
        Answer::Inspected { holding, grant, waiters: number(&parts[6]) }
    }

    fn foreign_take(&mut self, ttl: Option<i64>) -> bool {
        let ttl = ttl.map(|ttl| ttl.to_string());
        let mut words = vec!["SET", KEYS[0], FOREIGN, "NX"];
        if let Some(ttl) = &ttl {
            words.extend(["PX", ttl]);
        }
        self.server.command(&words) == Value::Okay
    }

    fn told(&mut self) -> Vec<Told> {
        let heard = self.server.heard().into_iter().map(|(connection, payload)| {
            let payload = String::from_utf8_lossy(&payload).into_owned();
            match payload.split(' ').collect::<Vec<_>>()[..] {
                ["G", token, fence, ttl, lock] if lock == KEYS[0] => Told {
                    client: Client(u8::try_from(connection).unwrap_or(u8::MAX)),
                    token: Token::parse(token),
                    fence: parse(fence),
                    ttl: parse(ttl),
                },
                _ => panic!("the message {payload:?}"),
            }
        });
        heard.collect()
    }
}

impl<S: Server> Locks for Scripted<S> {
    fn features(&self) -> Features {
        Features::REDIS
    }

    fn set_clock(&mut self, now_us: i64) {
        self.server.set_clock(now_us);
    }

    fn step(&mut self, op: &Op) -> (Answer, Vec<Told>) {
        let answer = match op {
            Op::Clock(_) | Op::ToExpiry(_) => Answer::Nothing,
            Op::Acquire(wish) => self.acquire(wish),
            Op::Poll(client, window, wishes) => self.poll(*client, *window, wishes),
            Op::Release(token) => {
                let answers = [Answer::NotHeld, Answer::Freed, Answer::HandedOn];
                pick(answers, self.code("release", &[token.text()]))
            }
            Op::Cancel(token) => {
                let answers = [Answer::NothingToCancel, Answer::LeftQueue, Answer::PassedOn];
                pick(answers, self.code("cancel", &[token.text()]))
            }
            Op::Extend(token, ttl) => {
                let answers = [Answer::Extended(false), Answer::Extended(true)];
                pick(answers, self.code("extend", &[token.text(), ttl.to_string()]))
            }
            Op::Inspect => self.inspect(),
            Op::ForeignTake(ttl) => Answer::Foreign(self.foreign_take(*ttl)),
            Op::ForeignRelease => {
                let ours = self.server.command(&["GET", KEYS[0]]);
                let ours = ours == Value::BulkString(FOREIGN.as_bytes().to_vec());
                Answer::Foreign(ours && self.delete(KEYS[0]))
            }
            Op::Listen(client, listens) => {
                let channel = model::channel(&format!("{client:?}"));
                self.server.listen(client.0.into(), &channel, *listens);
                Answer::Nothing
            }
            Op::Forget => {
                self.server.command(&["FLUSHALL"]);
                Answer::Nothing
            }
            Op::ForgetRecord | Op::Delete => {
                self.delete(if *op == Op::Delete { KEYS[0] } else { KEYS[1] });
                Answer::Nothing
            }
        };
        (answer, self.told())
    }
}

impl<S: Server> Scripted<S> {
    fn delete(&mut self, key: &str) -> bool {
        self.server.command(&["DEL", key]) == Value::Int(1)
    }
}

fn pick<const N: usize>(answers: [Answer; N], code: i64) -> Answer {
    let answer = usize::try_from(code).ok().and_then(|at| answers.into_iter().nth(at));
    match answer {
        Some(answer) => answer,
        None => panic!("the answer {code}"),
    }
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        other => panic!("not an integer: {other:?}"),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("not a string: {other:?}"),
    }
}

fn parse(number: &str) -> i64 {
    match number.parse() {
        Ok(number) => number,
        Err(error) => panic!("{number:?}: {error}"),
    }
}

fn fence(value: &Value) -> i64 {
    parse(&text(value))
}

/// From its two parts, remaining and foreign.
fn holding(parts: &[Value]) -> Holding {
    Holding { remaining: number(&parts[0]), foreign: number(&parts[1]) == 1 }
}
