//! What can happen next.

use std::fmt;

use fencelock::model::Patience;

use crate::setting::Fault;
use crate::wire::{Conn, name};

/// A caller of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) client: usize,
    pub(crate) caller: u8,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", name(self.client), self.caller + 1)
    }
}

/// One step of a path. As a text it is one word, by which a path is written down and replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A caller begins to acquire.
    Begin(Who, Patience),
    /// A holder gives the lock back.
    Release(Who),
    /// The server carries out the next request of a connection.
    Execute(Conn),
    /// The client gets what comes next on a connection.
    Receive(Conn),
    /// The server hears that a connection is gone; what it had not carried out is lost.
    Notice(Conn),
    /// Time passes until something is due.
    Advance,
    /// A process that stood still goes on.
    Resume(usize),
    /// The foreign holder gives the lock back.
    ForeignRelease,
    /// The server has memory again.
    Memory,
    /// Something goes wrong with the server, or with the world.
    World(Fault),
    /// Something goes wrong with a client.
    Client(Fault, usize),
    /// A caller does what it need not do.
    Caller(Fault, Who),
    /// Something goes wrong with a connection, in the direction of the server or of the client.
    Wire(Fault, Conn, Way),
}

/// Which way on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    There,
    Back,
    Both,
}

impl Event {
    /// Whether it costs one of the budget.
    pub(crate) const fn costs(self) -> bool {
        matches!(self, Self::World(_) | Self::Client(..) | Self::Caller(..) | Self::Wire(..))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(who, Patience::Once) => write!(f, "try:{who}"),
            Self::Begin(who, Patience::For(_)) => write!(f, "acquire-timeout:{who}"),
            Self::Begin(who, Patience::Forever) => write!(f, "acquire:{who}"),
            Self::Release(who) => write!(f, "release:{who}"),
            Self::Execute(conn) => write!(f, "execute:{conn}"),
            Self::Receive(conn) => write!(f, "receive:{conn}"),
            Self::Notice(conn) => write!(f, "notice:{conn}"),
            Self::Advance => f.write_str("advance"),
            Self::Resume(client) => write!(f, "resume:{}", name(*client)),
            Self::ForeignRelease => f.write_str("foreign-release"),
            Self::Memory => f.write_str("memory"),
            Self::World(fault) => f.write_str(&word(*fault)),
            Self::Client(fault, client) => write!(f, "{}:{}", word(*fault), name(*client)),
            Self::Caller(fault, who) => write!(f, "{}:{who}", word(*fault)),
            Self::Wire(fault, conn, Way::There) => write!(f, "{}-requests:{conn}", word(*fault)),
            Self::Wire(fault, conn, Way::Back) => write!(f, "{}-replies:{conn}", word(*fault)),
            Self::Wire(fault, conn, Way::Both) => write!(f, "{}:{conn}", word(*fault)),
        }
    }
}

fn word(fault: Fault) -> String {
    format!("{fault:?}").to_lowercase()
}
