//! The fast path of callers that block: the calling thread writes the command and reads the
//! reply itself, on a connection of its own from a pool. Any hop to another thread would cost
//! more than all else that the client does.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, ProtocolVersion, Value};

use super::connection::{login, login_failed};
use super::ear::Own;
use super::protocol::{Call, is_noscript, read_error};
use super::resp::Reader;
use super::stream::{Blocking, Endpoint, open_blocking};
use super::{denied, ears, handshake};
use crate::backend::Interrupt;
use crate::clock::Moment;
use crate::engine;
use crate::error::{Error, ErrorKind};
use crate::fork::{Inherited, Native};
use crate::url::{Place, RedisUrl};
use crate::wait::{INTERRUPT_CHECK, interrupted};

/// How many idle connections are kept.
const IDLE_MOST: usize = 64;

/// Idle connections to one server.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<DirectConnection>>,
}

impl Pool {
    pub(super) fn take(&self) -> Option<DirectConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(super) fn put(&self, connection: DirectConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MOST {
            idle.push(connection);
        }
    }

    pub(super) fn clear(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A connection that one thread at a time uses.
pub(super) struct DirectConnection {
    pub(super) stream: Native<Blocking>,
    /// By TLS: whether with a certificate of ours.
    identified: Option<bool>,
    _inherited: Inherited,
    pub(super) reader: Reader,
    buffer: Vec<u8>,
    /// Once somebody had to wait who uses it.
    pub(super) own: Option<Box<Own>>,
}

impl std::fmt::Debug for DirectConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectConnection").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// How an exchange failed.
pub(super) enum Failure {
    /// The caller wants to stop; the reply is outstanding.
    Interrupted,
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl DirectConnection {
    /// Connects and logs in. The engine connects, so that an interrupt is heard meanwhile.
    pub(super) fn open(
        endpoint: &Arc<Endpoint>,
        by: Moment,
        interrupt: Interrupt<'_>,
    ) -> Result<Self, Failure> {
        let stream = connect(endpoint, by, interrupt)?;
        let broken =
            |error: io::Error| Error::unavailable(format!("the connection failed: {error}"));
        let socket = socket2::SockRef::from(&stream);
        // Reading wakes up this often to look at the clock and for an interrupt.
        socket.set_read_timeout(Some(INTERRUPT_CHECK)).map_err(broken)?;
        socket.set_write_timeout(Some(Duration::from_secs(5))).map_err(broken)?;
        let inherited = Inherited::register(stream.as_fd().as_raw_fd());
        let mut connection = Self {
            stream: Native::new(stream),
            identified: endpoint.tls.as_ref().map(|tls| tls.identified),
            _inherited: inherited,
            reader: Reader::new(),
            buffer: Vec::with_capacity(512),
            own: None,
        };
        for command in login_commands(&endpoint.url) {
            let value = connection.exchange(&command, by, &mut *interrupt)?;
            value.extract_error().map_err(|error| login_failed(endpoint, &error))?;
        }
        Ok(connection)
    }

    /// Calls a script; that the server has forgotten it is not noticed.
    pub(super) fn call(
        &mut self,
        call: &Call,
        by: Moment,
        interrupt: Interrupt<'_>,
    ) -> Result<Value, Failure> {
        let value = self.exchange(&call.cmd, by, &mut *interrupt)?;
        let result = match value.extract_error() {
            Err(error) if is_noscript(&error) => {
                let eval = call.with_source();
                self.exchange(&eval, by, &mut *interrupt)?.extract_error()
            }
            result => result,
        };
        match result {
            Err(error) if denied::is_unnamed(&error) => {
                let diagnosis = self.exchange(&call.diagnosis(), by, interrupt)?;
                Err(read_error(&denied::named(error, &diagnosis), true).into())
            }
            result => result.map_err(|error| read_error(&error, true).into()),
        }
    }

    fn exchange(
        &mut self,
        command: &Cmd,
        by: Moment,
        interrupt: Interrupt<'_>,
    ) -> Result<Value, Failure> {
        self.send(command)?;
        let Some(stream) = self.stream.get_mut() else {
            return Err(forked().into());
        };
        let mut patient = Patient { stream, by, interrupt, interrupted: false };
        loop {
            let value = self.reader.read(&mut patient).map_err(|error| {
                if patient.interrupted {
                    Failure::Interrupted
                } else if error.is_timeout() {
                    Error::unavailable("the server did not answer in time").maybe_done().into()
                } else {
                    let denied = handshake::denied(&error, self.identified);
                    denied.unwrap_or_else(|| read_error(&error, true)).into()
                }
            })?;
            let Some(own) = &mut self.own else { return Ok(value) };
            match own.hearing.read(value) {
                ears::Read::Answer(value) => return Ok(value),
                // A message that came while nobody waited here.
                ears::Read::Signal(signal) => own.hearing.tell(signal),
                ears::Read::Nothing => {}
            }
        }
    }

    /// Sends a command.
    pub(super) fn send(&mut self, command: &Cmd) -> Result<(), Error> {
        let stream = self.stream.get_mut().ok_or_else(forked)?;
        self.buffer.clear();
        command.write_packed_command(&mut self.buffer);
        stream.send(&self.buffer).map_err(|error| {
            Error::unavailable(format!("the connection failed: {error}")).maybe_done()
        })
    }

    /// The listener that claims may name which are sent here; 0 for the engine's.
    pub(super) fn listener(&self) -> u32 {
        self.own.as_ref().map_or(0, |own| own.hearing.listener())
    }

    /// Sends a last command behind the one whose reply is outstanding, and closes when the
    /// server has carried both out: a withdrawal on another connection could overtake the
    /// acquire. False if the connection broke instead.
    pub(super) async fn finish(mut self, last: Cmd, within: Duration) -> bool {
        let Some(stream) = self.stream.get_mut() else {
            return true;
        };
        let last = last.get_packed_command();
        matches!(tokio::time::timeout(within, stream.finish(&last)).await, Ok(Ok(())))
    }
}

fn forked() -> Error {
    Error::unavailable("the connection belongs to the parent process")
}

/// Reads until the answer is there, the time is over, or the caller is interrupted.
struct Patient<'a, 'b> {
    stream: &'a mut Blocking,
    by: Moment,
    interrupt: Interrupt<'b>,
    interrupted: bool,
}

impl Read for Patient<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let error = match self.stream.read(buf) {
                Ok(count) => return Ok(count),
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => {
                    if (self.interrupt)() {
                        self.interrupted = true;
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                    if Moment::now() >= self.by {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                _ => return Err(error),
            }
        }
    }
}

fn connect(
    endpoint: &Arc<Endpoint>,
    by: Moment,
    interrupt: Interrupt<'_>,
) -> Result<Blocking, Failure> {
    let endpoint = endpoint.clone();
    let open = async move { open_blocking(&endpoint, by).await };
    // After an interrupt the socket is closed.
    Ok(engine::block_on_unless(open, interrupt)?.ok_or(Failure::Interrupted)??)
}

/// RESP2 throughout: nothing is pushed on these connections, and no HELLO is needed.
pub(super) fn login_commands(url: &RedisUrl) -> Vec<Cmd> {
    let info = login(url, ProtocolVersion::RESP2);
    let mut commands = Vec::new();
    if matches!(url.place, Place::Tcp { tls: true, .. }) && info.password().is_none() {
        // TLS 1.3 tells only now that a client's certificate is refused: hear it before a
        // command is sent that may seem to have been carried out.
        commands.push(redis::cmd("PING"));
    }
    if let Some(password) = info.password() {
        let mut auth = redis::cmd("AUTH");
        if let Some(username) = info.username() {
            auth.arg(username);
        }
        auth.arg(password);
        commands.push(auth);
    }
    if info.db() != 0 {
        let mut select = redis::cmd("SELECT");
        select.arg(info.db());
        commands.push(select);
    }
    commands
}

impl Failure {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Interrupted => interrupted(),
            Self::Error(error) => error,
        }
    }

    /// Whether the connection can be used again: the server answered, if only with an error.
    pub(super) fn answered(&self) -> bool {
        match self {
            Self::Interrupted => false,
            Self::Error(error) => {
                !matches!(error.kind(), ErrorKind::Unavailable) || !error.is_ambiguous()
            }
        }
    }
}
