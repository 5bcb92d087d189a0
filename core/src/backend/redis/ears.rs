//! Connections that hear of grants for those who use them. A connection on which somebody had to
//! wait for a lock goes over to RESP3 and subscribes to a channel of its own. From then on claims
//! wait there as a client of their own ([`Speaker::listener`]), and are told without a hop from the
//! engine's thread, which costs as much as the server's whole part. All else (heartbeats,
//! time-outs, the end of the client) the engine does, as for everybody who waits; and where such a
//! connection breaks, it goes on with the waits.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{Cmd, PushKind, Value};

use super::Core;
use super::protocol::{PushMode, Speaker, channel};
use crate::backend::{Signal, SignalSink};
use crate::fork::Native;

/// How many connections of a client may listen. With more who wait at once the hop matters less
/// than what heartbeats of their own would cost.
const MOST: u32 = 8;

/// The listeners of a client, besides the engine.
#[derive(Debug)]
pub(super) struct Ears(Arc<Open>);

struct Open {
    sink: SignalSink,
    last: AtomicU32,
    taken: AtomicU32,
    live: Mutex<HashSet<u32>>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Open {
    fn live(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the few that may listen. When it is dropped, with the connection, its claims are told.
#[derive(Debug)]
pub(super) struct Seat {
    number: u32,
    open: Native<Arc<Open>>,
}

impl Ears {
    pub(super) fn new(sink: SignalSink) -> Self {
        let (last, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        Self(Arc::new(Open { sink, last, taken, live: Mutex::default() }))
    }

    /// Whether that listener hears of grants.
    pub(super) fn hears(&self, listener: u32) -> bool {
        listener == 0 || self.0.live().contains(&listener)
    }

    /// A seat, if there is one.
    fn seat(&self) -> Option<Seat> {
        let one_more = |taken| (taken < MOST).then_some(taken + 1);
        self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        let number = self.0.last.fetch_add(1, Ordering::Relaxed) + 1;
        Some(Seat { number, open: Native::new(self.0.clone()) })
    }
}

impl Core {
    /// A seat for a connection on which somebody has to wait, where it is of use.
    pub(super) fn seat(&self) -> Option<Seat> {
        let told = self.engine.usable().is_some_and(|listening| {
            listening.mode == PushMode::Channel && self.dialect.has_push()
        });
        if told { self.ears.seat() } else { None }
    }
}

impl Seat {
    /// What its channel is called.
    pub(super) fn channel(&self, speaker: &Speaker) -> String {
        channel(&speaker.listener(self.number))
    }

    /// The channel is subscribed to: gives the listener that claims may name from now on.
    pub(super) fn listen(&self) -> u32 {
        if let Some(open) = self.open.get() {
            open.live().insert(self.number);
        }
        self.number
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(open) = self.open.get() else { return };
        open.taken.fetch_sub(1, Ordering::Relaxed);
        // First: a claim that was registered too late to be told asks.
        let heard = open.live().remove(&self.number);
        if heard {
            (open.sink)(Signal::Deaf(self.number));
        }
    }
}

/// How far a connection has come that speaks RESP by itself.
#[derive(Debug)]
pub(super) struct Hearing {
    seat: Seat,
    stage: Stage,
    speaker: Arc<Speaker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begun,
    /// HELLO was sent.
    Greeting,
    Greeted,
    /// SUBSCRIBE was sent.
    Subscribing,
    Ready(u32),
    /// The server does not let it.
    Refused,
}

/// What a connection has read.
pub(super) enum Read {
    Answer(Value),
    Signal(Signal),
    /// It concerns the listening itself.
    Nothing,
}

impl Hearing {
    pub(super) fn new(seat: Seat, speaker: &Arc<Speaker>) -> Self {
        Self { seat, stage: Stage::Begun, speaker: speaker.clone() }
    }

    /// The listener that claims may name; 0 as long as it is not ready.
    pub(super) fn listener(&self) -> u32 {
        match self.stage {
            Stage::Ready(number) => number,
            _ => 0,
        }
    }

    /// The next command, if one is to be sent.
    pub(super) fn next(&mut self) -> Option<Cmd> {
        match self.stage {
            Stage::Begun => {
                self.stage = Stage::Greeting;
                let mut hello = redis::cmd("HELLO");
                hello.arg(3);
                Some(hello)
            }
            Stage::Greeted => {
                self.stage = Stage::Subscribing;
                let mut subscribe = redis::cmd("SUBSCRIBE");
                subscribe.arg(self.seat.channel(&self.speaker));
                Some(subscribe)
            }
            _ => None,
        }
    }

    /// Tells of a message for which the caller has no use.
    pub(super) fn tell(&self, signal: Signal) {
        if let Some(open) = self.seat.open.get() {
            (open.sink)(signal);
        }
    }

    /// Takes what was read, in the order in which the server sent it.
    pub(super) fn read(&mut self, value: Value) -> Read {
        match (self.stage, value) {
            (Stage::Subscribing, Value::Push { kind: PushKind::Subscribe, .. }) => {
                self.stage = Stage::Ready(self.seat.listen());
            }
            (_, Value::Push { kind: PushKind::Message, data }) => {
                if let Some(Value::BulkString(payload)) = data.get(1)
                    && let Some(signal) = self.speaker.read_message(payload)
                {
                    return Read::Signal(signal);
                }
            }
            (_, Value::Push { .. }) => {}
            (Stage::Greeting | Stage::Subscribing, Value::ServerError(error)) => {
                tracing::debug!("the engine goes on listening for its callers: {error:?}");
                self.stage = Stage::Refused;
            }
            (Stage::Greeting, _) => self.stage = Stage::Greeted,
            (_, answer) => return Read::Answer(answer),
        }
        Read::Nothing
    }
}
