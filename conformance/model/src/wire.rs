//! Connections, and what is on its way on them: in each direction what was sent first arrives
//! first; between connections anything goes.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use fencelock::LossReason;
use fencelock::model::{Call, Claim, Moment, Task, Token, Tries, Value};
use fencelock_reference::Bytes;

/// Names a connection: a thousand for each client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Conn(pub(crate) u32);

impl Conn {
    pub(crate) fn new(client: usize, number: u32) -> Self {
        Self(u32::try_from(client).unwrap_or(u32::MAX / 1000) * 1000 + number)
    }

    pub(crate) fn client(self) -> usize {
        self.0 as usize / 1000
    }
}

impl fmt::Display for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", name(self.client()), self.0 % 1000)
    }
}

/// A client's name.
pub(crate) fn name(client: usize) -> char {
    ['A', 'B', 'C', 'D'].get(client).copied().unwrap_or('?')
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Line {
    /// The engine's, with messages if the server speaks RESP3.
    Engine,
    /// Messages only.
    Messages,
    /// A caller's own.
    Own(u8),
}

/// A connection.
#[derive(Clone, Debug, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Wire {
    pub(crate) line: Line,
    /// The listener that its caller's claims name; 0 for the engine's.
    pub(crate) listener: u32,
    pub(crate) requests: VecDeque<Command>,
    pub(crate) replies: VecDeque<Inbound>,
    /// What the client waits for, in the order of its requests.
    pub(crate) expecting: VecDeque<Expected>,
    /// The client's end is open.
    pub(crate) open_here: bool,
    /// The server's end is open.
    pub(crate) open_there: bool,
    /// When the client's end was closed.
    pub(crate) closed: Moment,
    /// The server hears of the client's end being closed, once it has carried out what came before.
    pub(crate) goodbye: bool,
    /// The network takes its time with what is on its way to the server, or from it.
    pub(crate) slow_there: bool,
    pub(crate) slow_back: bool,
}

impl Wire {
    /// Whether messages may come on it.
    pub(crate) fn hears(&self) -> bool {
        !matches!(self.line, Line::Own(_)) || self.listener != 0
    }

    pub(crate) fn new(line: Line) -> Self {
        Self {
            line,
            listener: 0,
            requests: VecDeque::new(),
            replies: VecDeque::new(),
            expecting: VecDeque::new(),
            open_here: true,
            open_there: true,
            closed: Moment::NEVER,
            goodbye: false,
            slow_there: false,
            slow_back: false,
        }
    }
}

/// A request on its way.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Command {
    Script(Arc<ScriptCall>),
    /// Log in and subscribe; messages go to this connection.
    Subscribe(Conn),
}

/// A script call on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptCall {
    pub(crate) name: &'static str,
    pub(crate) sha1: &'static str,
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) args: Vec<Vec<u8>>,
}

impl Hash for ScriptCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // There is one lock: the keys say nothing.
        self.name.hash(state);
        self.args.hash(state);
    }
}

impl ScriptCall {
    pub(crate) fn new(name: &'static str, call: &Call) -> Arc<Self> {
        let (sha1, keys, args) = call.parts();
        Arc::new(Self { name, sha1, keys, args })
    }

    /// The token that is this argument.
    pub(crate) fn token(&self, at: usize) -> Option<Token> {
        self.args.get(at).and_then(|arg| Token::parse(arg))
    }
}

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) enum Inbound {
    Reply(Value),
    Push(Bytes),
    /// The server has closed the connection.
    End,
}

impl Hash for Inbound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Reply(value) => hash_value(value, state),
            Self::Push(payload) => (1_u8, payload).hash(state),
            Self::End => 2_u8.hash(state),
        }
    }
}

fn hash_value<H: Hasher>(value: &Value, state: &mut H) {
    match value {
        Value::Int(number) => (3_u8, number).hash(state),
        Value::BulkString(text) => (4_u8, text).hash(state),
        Value::Array(parts) => {
            (5_u8, parts.len()).hash(state);
            for part in parts {
                hash_value(part, state);
            }
        }
        other => (6_u8, format!("{other:?}")).hash(state),
    }
}

/// A request whose answer the client waits for.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Expected {
    pub(crate) purpose: Purpose,
    /// When it was sent, or asked for where that counts.
    pub(crate) sent: Moment,
    /// When its answer is of no use any more.
    pub(crate) by: Moment,
}

/// What an answer is waited for.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Purpose {
    /// Nobody waits any more.
    Nobody,
    /// The engine's connection.
    Open,
    /// A caller's own attempt.
    Attempt { caller: u8 },
    /// The withdrawal of an attempt that was given up, behind it on its connection.
    Behind { claim: Arc<Claim> },
    /// A holder's release.
    Release(Releasing),
    /// A room's request.
    Room(Task),
    /// A lease's extension.
    Extend { claim: Arc<Claim> },
    /// What a chore has sent.
    Chore { number: u8, claim: Arc<Claim> },
}

/// A holder's release.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Releasing {
    pub(crate) caller: u8,
    pub(crate) lease: u8,
    pub(crate) lost: Option<LossReason>,
    pub(crate) tries: Tries,
}

/// A token as people read it.
pub(crate) fn token_name(token: &Token) -> String {
    crate::client::token_number(token).map_or_else(
        || "?".into(),
        |number| {
            let client = usize::try_from(number / 1000).unwrap_or(9);
            format!("{}#{}", name(client), number % 1000)
        },
    )
}
