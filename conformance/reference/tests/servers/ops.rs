//! What both servers are told, and how it is made up.

use std::fmt;

use fencelock::model;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const LOCKS: [[&str; 4]; 2] =
    [["a", "{a}:fl:f", "{a}:fl:q", "{a}:fl:w"], ["{t}b", "{t}b:flt:f", "{t}b:flt:q", "{t}b:flt:w"]];

const TOKENS: [&str; 6] = [
    "fl1-AAAAAAAAAAAAAAAAAAAAAA",
    "fl1-BBBBBBBBBBBBBBBBBBBBBB",
    "fl1-CCCCCCCCCCCCCCCCCCCCCC",
    "fl1-DDDDDDDDDDDDDDDDDDDDDD",
    "fl1-EEEEEEEEEEEEEEEEEEEEEE",
    "foreign",
];

const CLIENTS: [&str; 3] = ["c0", "c1", "c2"];

/// One word of a command.
#[derive(Clone)]
pub(crate) struct Word(Vec<u8>);

impl AsRef<[u8]> for Word {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.escape_ascii())
    }
}

fn word(word: &str) -> Word {
    Word(word.as_bytes().to_vec())
}

/// A client's channel.
#[derive(Clone, Debug)]
pub(crate) enum Channel {
    Plain(&'static str),
    Shard(&'static str),
    All,
}

impl Channel {
    pub(crate) fn how(&self) -> &'static str {
        match self {
            Self::Plain(_) => "SUBSCRIBE",
            Self::Shard(_) => "SSUBSCRIBE",
            Self::All => "PSUBSCRIBE",
        }
    }

    pub(crate) fn name(&self) -> &'static [u8] {
        match self {
            Self::Plain(name) | Self::Shard(name) => name.as_bytes(),
            Self::All => b"*",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// The clock goes on by µs.
    Clock(i64),
    /// The clock goes to where the next key has expired, and so many µs further.
    ToExpiry(i64),
    OutOfMemory(bool),
    Subscribe(u32, Channel),
    Unsubscribe(u32, Channel),
    Disconnect(u32),
    Raw(Vec<Word>),
    /// `redis.call` and `redis.pcall`.
    Call(Vec<Word>),
    Pcall(Vec<Word>),
    Script(&'static str, Vec<Word>, Vec<Word>),
}

pub(crate) fn keys() -> Vec<Vec<u8>> {
    LOCKS.concat().into_iter().chain(["x"]).map(|key| key.as_bytes().to_vec()).collect()
}

pub(crate) fn sha1(name: &str) -> &'static str {
    model::scripts().into_iter().find(|script| script.name == name).unwrap().sha1
}

fn any_of(words: &'static [&'static str]) -> impl Strategy<Value = Word> + Clone {
    select(words).prop_map(word)
}

fn ttl() -> impl Strategy<Value = Word> + Clone {
    any_of(&["50", "51", "1000", "10000", "30000", "30000", "86400000"])
}

fn script(old: bool) -> impl Strategy<Value = Op> {
    let modes: &[&str] =
        if old { &["P", "P", "P", "-", "X"] } else { &["P", "P", "P", "S", "-", "X"] };
    let token = || any_of(&TOKENS);
    let window = || any_of(&["3000", "10000", "30000"]);
    let acquire = (
        (token(), ttl(), any_of(&["0", "1", "1", "1"]), any_of(&CLIENTS)),
        (any_of(modes), window(), any_of(&["0", "0", "1", "2", "5"])),
        select(vec![&b""[..], b"l", b"two words", b"\xff\x00 \n"]),
    );
    let acquire =
        acquire.prop_map(|((token, ttl, wait, client), (mode, window, ticket), label)| {
            let args = vec![token, ttl, wait, client, mode, window, ticket, Word(label.to_vec())];
            ("acquire", 4, args)
        });
    let poll = (any_of(&CLIENTS), window(), vec((token(), ttl()), 1..4));
    let poll = poll.prop_map(|(client, window, tokens)| {
        let tokens = tokens.into_iter().flat_map(|(token, ttl)| [token, ttl]);
        ("poll", 4, [client, window].into_iter().chain(tokens).collect())
    });
    let what = prop_oneof![
        5 => acquire,
        2 => poll,
        3 => token().prop_map(|token| ("release", 4, vec![token])),
        1 => token().prop_map(|token| ("cancel", 4, vec![token])),
        1 => (token(), ttl()).prop_map(|(token, ttl)| ("extend", 2, vec![token, ttl])),
        1 => Just(("inspect", 4, Vec::new())),
    ];
    let lock = select(&[0, 0, 0, 1][..]);
    (lock, what).prop_map(|(lock, (name, count, args))| {
        Op::Script(name, LOCKS[lock][..count].iter().map(|key| word(key)).collect(), args)
    })
}

fn clock() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0_i64..3000).prop_map(Op::Clock),
        2 => (0_i64..20_000_000).prop_map(Op::Clock),
        1 => (0_i64..150_000_000).prop_map(Op::Clock),
        1 => select(&[-1, -1000, -70_000_000, -3_600_000_000, 700_000_000_000][..])
            .prop_map(Op::Clock),
        3 => select(&[-1001, -1000, -1, 0, 1][..]).prop_map(Op::ToExpiry),
    ]
}

fn listening(old: bool) -> impl Strategy<Value = Op> {
    let plain = select(&["fl:c:c0", "fl:c:c1", "fl:c:c2"][..]).prop_map(Channel::Plain);
    let shards = ["fl:c:c0:{a}", "fl:c:c1:{a}", "fl:c:c2:{t}"];
    let shard = select(shards.to_vec()).prop_map(Channel::Shard);
    let listened = prop_oneof![8 => plain.clone(), 2 => shard.clone(), 1 => Just(Channel::All)];
    let listened = if old { plain.clone().boxed() } else { listened.boxed() };
    // The fake takes back a name, whichever way it is listened to; a pattern never.
    let left = if old { plain.boxed() } else { prop_oneof![3 => plain, 1 => shard].boxed() };
    prop_oneof![
        5 => (0_u32..3, listened).prop_map(|(to, channel)| Op::Subscribe(to, channel)),
        1 => (0_u32..3, left).prop_map(|(to, channel)| Op::Unsubscribe(to, channel)),
        1 => (0_u32..3).prop_map(Op::Disconnect),
    ]
}

fn key() -> impl Strategy<Value = Word> + Clone {
    any_of(&[
        "a",
        "a",
        "{a}:fl:f",
        "{a}:fl:f",
        "{a}:fl:q",
        "{a}:fl:w",
        "{t}b",
        "{t}b:flt:w",
        "x",
        "x",
    ])
}

fn life() -> impl Strategy<Value = Word> + Clone {
    any_of(&["-5", "0", "1", "50", "1000", "30000", "9223372036854775807", "abc", "01", "+1"])
}

fn value() -> impl Strategy<Value = Word> + Clone {
    any_of(&[
        TOKENS[0],
        TOKENS[5],
        "7",
        "9223372036854775807",
        "9007199254740991 1000 fl1-AAAAAAAAAAAAAAAAAAAAAA l",
        "9007199254740989 1000 fl1-AAAAAAAAAAAAAAAAAAAAAA ",
        "1864000000000000 50 fl1-BBBBBBBBBBBBBBBBBBBBBB two words",
        "12345678901234567 1000 foreign ",
        "1764000000 1000 fl1-CCCCCCCCCCCCCCCCCCCCCC",
        "no record",
    ])
}

fn set() -> impl Strategy<Value = Vec<Word>> {
    let set = (key(), value(), life());
    set.prop_flat_map(|(key, value, life)| {
        let tails: Vec<Vec<Word>> = vec![
            vec![],
            vec![word("NX"), word("PX"), life.clone()],
            vec![word("PX"), life.clone()],
            vec![word("px"), life, word("get")],
            vec![word("KEEPTTL")],
            vec![word("GET")],
            vec![word("KEEPTTL"), word("PX"), word("5")],
            vec![word("PX")],
        ];
        select(tails).prop_map(move |tail| {
            [word("SET"), key.clone(), value.clone()].into_iter().chain(tail).collect()
        })
    })
}

/// Commands of foreigners, and of scripts that are not ours.
fn command(old: bool) -> impl Strategy<Value = Vec<Word>> {
    let member = || any_of(&[TOKENS[0], TOKENS[1], TOKENS[2], "@c0", "@c1", "m"]);
    let score = || any_of(&["-1", "0", "1", "1", "2", "30"]);
    let index = || any_of(&["-9", "-2", "-1", "0", "1", "2", "9"]);
    let sharded = if old { "c2 1000 P " } else { "c2 1000 S " };
    let entry = move || {
        let entries = [
            "c0 1000 P label",
            "c1 30000 - ",
            sharded,
            "1764000010000 1",
            "1764000010000 2",
            "1765000010000 3",
            "broken",
        ];
        select(entries.map(word).to_vec())
    };
    let channel = || any_of(&["fl:c:c0", "fl:c:c1"]);
    let one = |name| key().prop_map(move |key| vec![word(name), key]);
    let two = |name| (key(), member()).prop_map(move |(key, member)| vec![word(name), key, member]);
    let of_keys = prop_oneof![
        one("GET"),
        one("INCR"),
        one("PTTL"),
        one("HLEN"),
        one("zcard"),
        (select(&["DEL", "EXISTS"][..]), vec(key(), 1..3))
            .prop_map(|(name, keys)| [word(name)].into_iter().chain(keys).collect()),
        (key(), life()).prop_map(|(key, life)| vec![word("PEXPIRE"), key, life]),
        Just(vec![word("TIME")]),
        Just(vec![word("FLUSHALL")]),
    ];
    let of_hashes = prop_oneof![
        two("HGET"),
        two("HEXISTS"),
        (select(&["HMGET", "HDEL", "ZREM"][..]), key(), vec(member(), 1..3)).prop_map(
            |(name, key, members)| [word(name), key].into_iter().chain(members).collect()
        ),
        (key(), vec((member(), entry()), 1..3)).prop_map(|(key, pairs)| {
            let pairs = pairs.into_iter().flat_map(|(field, value)| [field, value]);
            [word("HSET"), key].into_iter().chain(pairs).collect()
        }),
    ];
    let of_zsets = prop_oneof![
        two("ZRANK"),
        two("ZSCORE"),
        (key(), proptest::bool::ANY, vec((score(), member()), 1..4)).prop_map(
            |(key, new, pairs)| {
                let pairs = pairs.into_iter().flat_map(|(score, member)| [score, member]);
                let new = new.then(|| word("NX"));
                [word("ZADD"), key].into_iter().chain(new).chain(pairs).collect()
            }
        ),
        (key(), index(), index(), proptest::bool::ANY).prop_map(|(key, from, until, scores)| {
            let scores = scores.then(|| word("WITHSCORES"));
            [word("ZRANGE"), key, from, until].into_iter().chain(scores).collect()
        }),
    ];
    let of_channels = prop_oneof![
        (channel(), value()).prop_map(|(channel, value)| vec![word("PUBLISH"), channel, value]),
        vec(channel(), 0..3).prop_map(|channels| {
            [word("PUBSUB"), word("numsub")].into_iter().chain(channels).collect()
        }),
    ];
    prop_oneof![4 => set(), 4 => of_keys, 3 => of_hashes, 3 => of_zsets, 1 => of_channels]
}

pub(crate) fn sequence(old: bool) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        20 => script(old),
        6 => clock(),
        4 => listening(old),
        1 => proptest::bool::weighted(0.3).prop_map(Op::OutOfMemory),
        2 => command(old).prop_map(Op::Raw),
        2 => command(old).prop_map(Op::Call),
        1 => command(old).prop_map(Op::Pcall),
    ];
    vec(op, 1..80)
}
