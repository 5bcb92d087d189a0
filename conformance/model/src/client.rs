//! One client: the shipped machines, and what its shell remembers beside them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fencelock::model::{
    Book, Claim, Moment, Patience, PushMode, Repetition, Table, Term, Token, Tries, Waiter,
    Withdrawal,
};

use crate::setting::Party;
use crate::wire::{Conn, Expected};

/// The one lock.
pub(crate) const LOCK: &str = "a";
/// How long an answer may take, as by default.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// One client.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Client {
    /// Its process has not died.
    pub(crate) alive: bool,
    /// Its timers are late: the process was stopped, or gets no CPU.
    pub(crate) stalled: bool,
    pub(crate) renew: bool,
    pub(crate) table: Table<u8>,
    pub(crate) book: Book<u8>,
    pub(crate) tokens: u32,
    pub(crate) conns: u32,
    pub(crate) engine: Engine,
    pub(crate) room: Option<Room>,
    /// When the keeper looks next.
    pub(crate) keeper_next: Moment,
    pub(crate) callers: Vec<Caller>,
    pub(crate) leases: BTreeMap<u8, Lease>,
    pub(crate) chores: BTreeMap<u8, Chore>,
}

/// The engine's connection, and who waits for it to be opened.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Engine {
    pub(crate) link: Option<Link>,
    /// Whether it was ever open.
    pub(crate) listened: bool,
    pub(crate) opening: Option<Conn>,
    /// The first of them opens it.
    pub(crate) waiting: VecDeque<Expected>,
}

#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Link {
    pub(crate) conn: Conn,
    pub(crate) messages: Conn,
    pub(crate) mode: PushMode,
    /// Not to be used for new requests.
    pub(crate) broken: bool,
}

/// The loop of the lock's waiters.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Room {
    /// A request of it is under way.
    pub(crate) busy: bool,
    /// It is to plan.
    pub(crate) woken: bool,
    pub(crate) next: Moment,
}

/// Somebody who wants the lock.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Caller {
    pub(crate) doing: Doing,
    /// How often it will still acquire.
    pub(crate) rounds: u8,
    pub(crate) wire: Option<Conn>,
}

#[derive(Clone, Debug, Hash)]
pub(crate) enum Doing {
    Idle,
    Attempting(Attempting),
    Waiting { id: u64 },
    Holding { lease: u8 },
    Releasing { lease: u8 },
}

/// A caller's own attempt.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Attempting {
    pub(crate) claim: Arc<Claim>,
    pub(crate) patience: Patience,
    pub(crate) since: Moment,
    pub(crate) place: Option<u64>,
    /// With which it was made; 0 for the engine's.
    pub(crate) listener: u32,
    pub(crate) repeated: bool,
    pub(crate) filled: Filled,
}

/// Whether the wait has ended while the caller's own attempt was under way.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) enum Filled {
    NotYet,
    Lease(u8),
    InVain,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Lease {
    pub(crate) claim: Arc<Claim>,
    pub(crate) fence: u64,
    pub(crate) term: Term,
    /// Its token is withdrawn when it is over.
    pub(crate) straggler: bool,
    /// Somebody still has it in hand, or a release of it is under way.
    pub(crate) in_use: bool,
}

/// What goes on in the background.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Chore {
    Withdraw {
        claim: Arc<Claim>,
        withdrawal: Withdrawal,
        busy: bool,
    },
    /// A release, repeated.
    Repeat {
        lease: u8,
        repetition: Repetition,
        tries: Tries,
        busy: bool,
        at: Moment,
    },
    /// A caller has waited long enough: the server hears it first.
    Goodbye {
        waiter: Box<Waiter<u8>>,
    },
}

impl Client {
    pub(crate) fn new(party: Party, rounds: u8) -> Self {
        let caller = Caller { doing: Doing::Idle, rounds, wire: None };
        Self {
            alive: true,
            stalled: false,
            renew: party.renew,
            table: Table::default(),
            book: Book::default(),
            tokens: 0,
            conns: 0,
            engine: Engine { link: None, listened: false, opening: None, waiting: VecDeque::new() },
            room: None,
            keeper_next: Moment::NEVER,
            callers: vec![caller; usize::from(party.callers)],
            leases: BTreeMap::new(),
            chores: BTreeMap::new(),
        }
    }

    /// The engine's connection, if it is of use.
    pub(crate) fn usable(&self) -> Option<Link> {
        self.engine.link.filter(|link| !link.broken)
    }

    /// How it hears of grants, as far as it knows.
    pub(crate) fn mode(&self) -> PushMode {
        self.usable().map_or(PushMode::Channel, |link| link.mode)
    }

    /// A token that nobody has had before.
    pub(crate) fn fresh(&mut self, client: usize) -> Token {
        self.tokens += 1;
        token(client, self.tokens)
    }

    pub(crate) fn claim(&mut self, client: usize, ttl_ms: u64) -> Arc<Claim> {
        Arc::new(Claim::new(LOCK.into(), self.fresh(client), ttl_ms, "".into()))
    }

    /// The number of the lease with this token.
    pub(crate) fn lease_of(&self, token: &Token) -> Option<u8> {
        self.leases.iter().find(|(_, lease)| lease.claim.token == *token).map(|(&no, _)| no)
    }

    /// Nobody here will do anything more by itself.
    pub(crate) fn is_quiet(&self) -> bool {
        self.callers.iter().all(|caller| matches!(caller.doing, Doing::Idle))
            && self.chores.is_empty()
            && self.engine.waiting.is_empty()
            && self.room.as_ref().is_none_or(|room| !room.busy)
    }
}

/// Names a wait of a caller's: one that it has left must not be taken for its next.
pub(crate) fn wait_name(caller: u8, rounds: u8) -> u8 {
    rounds * 16 + caller
}

/// The lowest number that is free.
pub(crate) fn free<T>(taken: &BTreeMap<u8, T>) -> u8 {
    (0..=u8::MAX).find(|number| !taken.contains_key(number)).unwrap_or(u8::MAX)
}

/// A client's token.
pub(crate) fn token(client: usize, number: u32) -> Token {
    Token::from_number(client as u64 * 1000 + u64::from(number))
}

/// The number that a token was made from: six bits in each character, the lowest first.
pub(crate) fn token_number(token: &Token) -> Option<u64> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = token.as_bytes().get(4..8)?;
    digits.iter().rev().try_fold(0, |number, digit| {
        let digit = ALPHABET.iter().position(|letter| letter == digit)?;
        Some(number * 64 + digit as u64)
    })
}
