//! The fast path of callers on an event loop: a connection of the loop's own, which the loop's
//! thread writes and reads. Requests are sent in order and answered in order; while answers are
//! outstanding, what comes is gathered until the loop has run what is ready.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use mio::Token;
use redis::{RedisError, Value};

use super::direct::login_commands;
use super::ears::{self, Hearing};
use super::protocol::{self, Call, is_noscript, read_error};
use super::resp::Reader;
use super::stream::{Blocking, open_blocking};
use super::{Core, denied};
use crate::backend::{Answer, Claim, Done, Pipeline, Released, Signal};
use crate::clock::Moment;
use crate::engine;
use crate::error::{Error, Result};
use crate::event_loop::{Connection, Ready, Shared};
use crate::fork::{Inherited, Native};

/// A connection of one event loop.
pub(super) struct RedisPipeline {
    me: Weak<Self>,
    core: Weak<Core>,
    event_loop: Arc<Shared>,
    fd: RawFd,
    token: Token,
    state: Mutex<State>,
    /// Somebody's time may be over.
    due: AtomicBool,
}

struct State {
    /// `None` once it broke or was closed.
    stream: Option<(Native<Blocking>, Inherited)>,
    reader: Reader,
    unsent: Vec<u8>,
    /// Whether the socket has no room.
    full: bool,
    outstanding: VecDeque<Request>,
    tickets: u64,
    /// When `due` is set next.
    alarm: Moment,
    /// Once somebody had to wait who uses it.
    hearing: Option<Hearing>,
}

/// What an answer is waited for.
struct Request {
    by: Moment,
    /// To be sent once more if the server does not know the script.
    call: Option<Call>,
    /// It was refused, and the answer will tell which permission is missing.
    refused: Option<RedisError>,
    purpose: Purpose,
}

enum Purpose {
    Login,
    Attempt {
        ticket: u64,
        core: Arc<Core>,
        claim: Arc<Claim>,
        sent: Moment,
        done: Done<Answer>,
    },
    /// An attempt that nobody waits for any more; its withdrawal is behind it.
    GivenUp,
    Withdrawal {
        core: Arc<Core>,
        claim: Arc<Claim>,
    },
    Release(Done<Released>),
    /// What it takes to hear of grants.
    Hearing,
    /// None: a message, which has come without being asked for.
    Message(Signal),
}

/// Answers to hand on once the state is not locked any more.
type Answered = Vec<(Purpose, Result<Value>)>;

impl std::fmt::Debug for RedisPipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisPipeline").field("fd", &self.fd).finish_non_exhaustive()
    }
}

fn broken(why: &dyn std::fmt::Display) -> Error {
    Error::unavailable(format!("the connection failed: {why}")).maybe_done()
}

impl RedisPipeline {
    /// Whether it is of use.
    pub(super) fn is_open(&self) -> bool {
        self.state().stream.is_some()
    }

    /// Connects, and begins to log in: requests may be sent behind that. Runs on the engine.
    /// `None` if the loop is gone.
    pub(super) async fn open(
        core: &Arc<Core>,
        event_loop: &Arc<Shared>,
        by: Moment,
    ) -> Result<Option<Arc<Self>>> {
        let stream = open_blocking(&core.endpoint, by).await?;
        let failed = |error: io::Error| broken(&error);
        socket2::SockRef::from(&stream).set_nonblocking(true).map_err(failed)?;
        let fd = stream.as_fd().as_raw_fd();
        let state = State {
            stream: Some((Native::new(stream), Inherited::register(fd))),
            reader: Reader::new(),
            unsent: Vec::with_capacity(1024),
            full: false,
            outstanding: VecDeque::new(),
            tickets: 0,
            alarm: Moment::NEVER,
            hearing: None,
        };
        let watched = event_loop.watch(fd, |token| {
            Arc::new_cyclic(|me| Self {
                me: me.clone(),
                core: Arc::downgrade(core),
                event_loop: event_loop.clone(),
                fd,
                token,
                state: Mutex::new(state),
                due: AtomicBool::new(false),
            })
        });
        let Some(pipeline) = watched.map_err(failed)? else { return Ok(None) };
        for command in login_commands(&core.endpoint.url) {
            let request = Request { by, call: None, refused: None, purpose: Purpose::Login };
            let mut state = pipeline.state();
            command.write_packed_command(&mut state.unsent);
            pipeline.send(&mut state, request);
        }
        Ok(Some(pipeline))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request that was put behind what is unsent; a failure shows at the next turn.
    fn send(&self, state: &mut State, request: Request) {
        let by = request.by;
        let alone = state.outstanding.is_empty();
        state.outstanding.push_back(request);
        if alone {
            self.write(state);
        } else {
            self.event_loop.gather();
        }
        if by < state.alarm {
            self.set_alarm(state, by);
        }
    }

    /// Sends a script call.
    fn request(&self, state: &mut State, call: Call, by: Moment, purpose: Purpose) {
        if state.stream.is_none() {
            // It broke just now, and takes no turns any more.
            let why = broken(&"it was closed");
            if let Some(me) = self.me.upgrade() {
                engine::spawn(async move { me.hand_on(vec![(purpose, Err(why))]) });
            }
            return;
        }
        call.cmd.write_packed_command(&mut state.unsent);
        self.send(state, Request { by, call: Some(call), refused: None, purpose });
    }

    fn set_alarm(&self, state: &mut State, at: Moment) {
        state.alarm = at;
        let me = self.me.clone();
        engine::spawn(async move {
            while Moment::now() < at {
                tokio::time::sleep_until(at.for_timer()).await;
            }
            if let Some(me) = me.upgrade() {
                me.ring();
            }
        });
    }

    /// Has the loop look at the connection, whether it is readable or not.
    fn ring(&self) {
        self.due.store(true, Ordering::Release);
        self.event_loop.wake();
    }

    /// Writes as much as the socket takes.
    fn write(&self, state: &mut State) {
        let stream = state.stream.as_mut().and_then(|(stream, _)| stream.get_mut());
        let Some(stream) = stream else { return };
        let mut written = 0;
        let full = loop {
            if written == state.unsent.len() {
                break false;
            }
            match stream.write(&state.unsent[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                // Reading fails, too, and says so to everybody.
                Err(_) => {
                    self.ring();
                    break false;
                }
            }
        };
        state.unsent.drain(..written);
        if full != state.full {
            state.full = full;
            self.event_loop.watch_writing(self.fd, self.token, full);
        }
    }

    /// Reads what has come.
    fn read(&self, state: &mut State, ended: bool, answered: &mut Answered) {
        let mut more = true;
        while more {
            let stream = state.stream.as_mut().and_then(|(stream, _)| stream.get_mut());
            let Some(stream) = stream else {
                return self.fail(state, &broken(&"it was closed"), answered);
            };
            // What is short is all there was; only an end may be behind it.
            match state.reader.receive(stream) {
                Ok(full) => more = full || ended,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => more = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.fail(state, &broken(&error), answered),
            }
            while let Some(value) = state.reader.next_received() {
                if let Ok(push @ Value::Push { .. }) = value {
                    if state.take_push(push, answered).is_none() {
                        let garbled = broken(&"the answer was not understood");
                        return self.fail(state, &garbled, answered);
                    }
                    continue;
                }
                let (Ok(value), Some(request)) = (value, state.outstanding.pop_front()) else {
                    let garbled = broken(&"the answer was not understood");
                    return self.fail(state, &garbled, answered);
                };
                self.take(state, request, value, answered);
            }
        }
    }

    /// Takes the answer to a request, unless that goes on.
    fn take(&self, state: &mut State, request: Request, value: Value, answered: &mut Answered) {
        let Request { by, call, refused, purpose } = request;
        if let (Purpose::Hearing, Some(hearing)) = (&purpose, &mut state.hearing) {
            if let ears::Read::Answer(_) = hearing.read(value) {
                // Whose it is can't be told any more.
                self.fail(state, &broken(&"the answer was not understood"), answered);
            } else {
                self.go_on_hearing(state, by);
            }
            return;
        }
        if let Some(error) = refused {
            let error = read_error(&denied::named(error, &value), true);
            answered.push((purpose, Err(error)));
            return;
        }
        match (value.extract_error(), call) {
            // It would take the lock behind its withdrawal.
            (_, _) if matches!(purpose, Purpose::GivenUp) => {}
            (Err(error), Some(call)) if is_noscript(&error) => {
                call.with_source().write_packed_command(&mut state.unsent);
                self.send(state, Request { by, call: Some(call), refused: None, purpose });
            }
            (Err(error), Some(call)) if denied::is_unnamed(&error) => {
                call.diagnosis().write_packed_command(&mut state.unsent);
                self.send(state, Request { by, call: None, refused: Some(error), purpose });
            }
            (Err(error), _) if matches!(purpose, Purpose::Login) => {
                self.fail(state, &read_error(&error, true).maybe_done(), answered);
            }
            (result, _) => {
                answered.push((purpose, result.map_err(|error| read_error(&error, true))));
            }
        }
    }

    /// The connection is of no use any more: everybody hears so.
    fn fail(&self, state: &mut State, why: &Error, answered: &mut Answered) {
        self.shut(state);
        let requests = state.outstanding.drain(..);
        answered.extend(requests.map(|request| (request.purpose, Err(why.clone()))));
    }

    /// Somebody waits who uses it.
    fn begin_hearing(&self, core: &Core) {
        let mut state = self.state();
        if state.stream.is_none() || state.hearing.is_some() {
            return;
        }
        let Some(seat) = core.seat() else { return };
        state.hearing = Some(Hearing::new(seat, &core.speaker));
        self.go_on_hearing(&mut state, Moment::now() + core.connect_timeout);
    }

    fn go_on_hearing(&self, state: &mut State, by: Moment) {
        let Some(command) = state.hearing.as_mut().and_then(Hearing::next) else { return };
        command.write_packed_command(&mut state.unsent);
        self.send(state, Request { by, call: None, refused: None, purpose: Purpose::Hearing });
    }

    fn shut(&self, state: &mut State) {
        if let Some(stream) = state.stream.take() {
            self.event_loop.forget(self.fd, self.token);
            drop(stream);
        }
        state.hearing = None;
        state.unsent.clear();
    }

    /// Whose time is over breaks the connection, as a late answer would be taken for another's.
    fn look_at_the_clock(&self, state: &mut State, answered: &mut Answered) {
        let first = state.outstanding.iter().map(|request| request.by).min();
        let now = Moment::now();
        if first.is_some_and(|by| by <= now) {
            let late = Error::unavailable("the server did not answer in time").maybe_done();
            self.fail(state, &late, answered);
        } else if state.alarm <= now {
            state.alarm = Moment::NEVER;
            if let Some(by) = first {
                self.set_alarm(state, by);
            }
        }
    }

    /// Withdraws an attempt, behind it, unless it was answered; whether it was not.
    pub(super) fn take_back(&self, ticket: u64) -> bool {
        let mut state = self.state();
        let request = state.outstanding.iter_mut().find(
            |request| matches!(request.purpose, Purpose::Attempt { ticket: t, .. } if t == ticket),
        );
        let Some(request) = request else { return false };
        let given_up = std::mem::replace(&mut request.purpose, Purpose::GivenUp);
        let Purpose::Attempt { core, claim, done, .. } = given_up else { return false };
        let by = Moment::now() + claim.ttl().max(Duration::from_secs(1));
        // With its text: the loop may take no turn any more to hear that its hash is not known.
        core.speaker.cancel(&claim).with_source().write_packed_command(&mut state.unsent);
        let purpose = Purpose::Withdrawal { core, claim };
        self.send(&mut state, Request { by, call: None, refused: None, purpose });
        self.write(&mut state);
        drop(state);
        drop(done);
        true
    }

    /// Withdraws a claim by the engine.
    pub(super) fn withdraw(&self, claim: &Arc<Claim>) {
        // Without it nothing is left that could be asked to.
        if let Some(core) = self.core.upgrade() {
            withdraw_again(core, claim.clone());
        }
    }

    /// Ends every request with this error. For the end of the client.
    pub(super) fn end(&self, why: &Error) {
        let mut answered = Answered::new();
        self.fail(&mut self.state(), why, &mut answered);
        self.hand_on(answered);
    }

    fn hand_on(&self, answered: Answered) {
        let mut waited = None;
        for (purpose, answer) in answered {
            match purpose {
                Purpose::Attempt { core, claim, sent, done, .. } => {
                    let asked = core.asked(sent);
                    let answer =
                        answer.and_then(|value| protocol::read_acquire(&claim, asked, &value));
                    if matches!(answer, Ok(Answer::Queued { .. })) && claim.listener == 0 {
                        waited = Some(core);
                    }
                    done(answer);
                }
                Purpose::Message(signal) => {
                    if let Some(core) = self.core.upgrade() {
                        (core.sink)(signal);
                    }
                }
                Purpose::Release(done) => {
                    done(answer.and_then(|value| protocol::read_release(&value)));
                }
                Purpose::Withdrawal { core, claim } if answer.is_err() => {
                    withdraw_again(core, claim);
                }
                Purpose::Withdrawal { .. }
                | Purpose::Login
                | Purpose::GivenUp
                | Purpose::Hearing => {}
            }
        }
        if let Some(core) = waited {
            self.begin_hearing(&core);
        }
    }
}

impl State {
    /// Takes what came unasked; `None` if it should not have come now.
    fn take_push(&mut self, push: Value, answered: &mut Answered) -> Option<()> {
        let hearing = self.hearing.as_mut()?;
        let before = hearing.listener();
        if let ears::Read::Signal(signal) = hearing.read(push) {
            answered.push((Purpose::Message(signal), Ok(Value::Nil)));
        }
        if before != hearing.listener() {
            // SUBSCRIBE has no other answer.
            let asked = self.outstanding.pop_front()?;
            return matches!(asked.purpose, Purpose::Hearing).then_some(());
        }
        Some(())
    }
}

fn withdraw_again(core: Arc<Core>, claim: Arc<Claim>) {
    engine::spawn(async move { core.withdraw_again(&claim).await });
}

impl Drop for RedisPipeline {
    fn drop(&mut self) {
        // The client is gone, and with it, as a rule, everybody who waits.
        self.end(&Error::closed());
    }
}

impl Connection for RedisPipeline {
    fn turn(&self, ready: Ready) -> bool {
        let mut answered = Answered::new();
        {
            let mut state = self.state();
            let due = self.due.load(Ordering::Relaxed) && self.due.swap(false, Ordering::AcqRel);
            if ready.writable {
                self.write(&mut state);
            }
            if ready.readable || due {
                self.read(&mut state, ready.ended, &mut answered);
            }
            if due {
                self.look_at_the_clock(&mut state, &mut answered);
            }
            if !state.unsent.is_empty() && !state.full {
                self.write(&mut state);
            }
        }
        let heard = !answered.is_empty();
        self.hand_on(answered);
        heard
    }

    fn flush(&self) {
        let mut state = self.state();
        if !state.unsent.is_empty() && !state.full {
            self.write(&mut state);
        }
    }

    fn close(&self) {
        let requests = {
            let mut state = self.state();
            self.shut(&mut state);
            std::mem::take(&mut state.outstanding)
        };
        for request in requests {
            match request.purpose {
                // What was to be called is dropped: a release repeats itself then.
                Purpose::Attempt { core, claim, .. } | Purpose::Withdrawal { core, claim } => {
                    withdraw_again(core, claim);
                }
                Purpose::Release(_)
                | Purpose::Login
                | Purpose::GivenUp
                | Purpose::Hearing
                | Purpose::Message(_) => {}
            }
        }
    }
}

impl Pipeline for RedisPipeline {
    fn attempt(&self, claim: &Arc<Claim>, queue: bool, by: Moment, done: Done<Answer>) -> u64 {
        let Some(core) = self.core.upgrade() else {
            done(Err(Error::closed()));
            return 0;
        };
        let call = core.speaker.acquire(claim, queue, core.mode());
        let mut state = self.state();
        state.tickets += 1;
        let ticket = state.tickets;
        let (claim, sent) = (claim.clone(), Moment::now());
        let purpose = Purpose::Attempt { ticket, core, claim, sent, done };
        self.request(&mut state, call, by, purpose);
        ticket
    }

    fn listener(&self) -> u32 {
        self.state().hearing.as_ref().map_or(0, Hearing::listener)
    }

    fn give_up(&self, ticket: u64) {
        // Of one that was answered the outcome is told, and dropped by whoever gets it.
        self.take_back(ticket);
    }

    fn release(&self, claim: &Claim, by: Moment, done: Done<Released>) {
        let Some(core) = self.core.upgrade() else {
            return done(Err(Error::closed()));
        };
        let call = core.speaker.release(claim);
        self.request(&mut self.state(), call, by, Purpose::Release(done));
    }
}
