//! A caller that blocks waits on its own connection ([`ears`](super::ears)), and reads the message
//! that ends the wait.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use super::Core;
use super::direct::DirectConnection;
use super::ears::{self, Hearing};
use crate::backend::{Ear, Heard};
use crate::error::{Error, Result};
use crate::fork::{Inherited, Native, is_stripped};

/// What a connection has for it.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) hearing: Hearing,
    alarm: Arc<Alarm>,
}

impl Core {
    /// Lets a caller wait on its connection, where that is possible.
    pub(super) fn ear(self: &Arc<Self>, mut connection: DirectConnection) -> Option<Box<dyn Ear>> {
        if connection.own.is_none() {
            // What TLS has opened already, the socket does not show.
            let seat = if self.endpoint.tls.is_none() { self.seat() } else { None };
            let alarm = seat.is_some().then(Alarm::new).and_then(io::Result::ok);
            let (Some(seat), Some(alarm)) = (seat, alarm) else {
                self.pool.put(connection);
                return None;
            };
            let hearing = Hearing::new(seat, &self.speaker);
            connection.own = Some(Box::new(Own { hearing, alarm: Arc::new(alarm) }));
        }
        Some(Box::new(Listening { core: self.clone(), connection: Some(connection) }))
    }
}

/// A connection while its caller waits.
struct Listening {
    core: Arc<Core>,
    /// `None` once it broke.
    connection: Option<DirectConnection>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.core.check_open().is_ok()
        {
            self.core.pool.put(connection);
        }
    }
}

impl Ear for Listening {
    fn waker(&self) -> Waker {
        let own = self.connection.as_ref().and_then(|connection| connection.own.as_ref());
        own.map_or_else(|| Waker::noop().clone(), |own| own.alarm.clone().into())
    }

    fn hear(&mut self, within: Option<Duration>) -> Result<Heard> {
        let heard = match &mut self.connection {
            Some(connection) => connection.hear(within),
            None => Err(Error::unavailable("the connection broke")),
        };
        if heard.is_err() {
            self.connection = None;
        }
        heard
    }
}

impl DirectConnection {
    fn hear(&mut self, within: Option<Duration>) -> Result<Heard> {
        let broken = |why: &dyn std::fmt::Display| {
            Error::unavailable(format!("the connection failed: {why}"))
        };
        loop {
            let Some(own) = &mut self.own else {
                return Err(broken(&"it listens to nothing"));
            };
            while let Some(value) = self.reader.next_received() {
                match own.hearing.read(value.map_err(|error| broken(&error))?) {
                    ears::Read::Signal(signal) => return Ok(Heard::Signal(signal)),
                    ears::Read::Nothing => {}
                    ears::Read::Answer(_) => {
                        return Err(broken(&"an answer came that nobody had asked for"));
                    }
                }
            }
            let (next, alarm) = (own.hearing.next(), own.alarm.clone());
            if let Some(command) = next {
                self.send(&command).map_err(|error| broken(&error))?;
            }
            let Some(stream) = self.stream.get_mut() else {
                return Err(broken(&"it belongs to the parent process"));
            };
            match alarm.wait(stream.as_fd(), within) {
                Ok(Readable { socket: false, alarm: false }) => return Ok(Heard::Silence),
                Ok(Readable { alarm: true, .. }) => return Ok(Heard::Noise),
                Ok(Readable { socket: true, .. }) => match self.reader.receive(stream) {
                    Ok(_) => {}
                    Err(error) if is_passing(&error) => {}
                    Err(error) => return Err(broken(&error)),
                },
                // A caller that was interrupted asks at once.
                Err(error) if is_passing(&error) => return Ok(Heard::Silence),
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// Ends a wait from another thread.
#[derive(Debug)]
struct Alarm(Native<Pipe>);

#[derive(Debug)]
struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    _inherited: [Inherited; 2],
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(pipe) = self.0.get() {
            // It can't be full: each wait empties it, and is woken once.
            let _ = (&pipe.writer).write(&[1]);
        }
    }
}

/// What can be read.
struct Readable {
    socket: bool,
    alarm: bool,
}

impl Alarm {
    fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let inherited = [reader.as_raw_fd(), writer.as_raw_fd()].map(Inherited::register);
        Ok(Self(Native::new(Pipe { reader, writer, _inherited: inherited })))
    }

    /// Waits until the socket can be read, the alarm goes, or so long.
    #[expect(
        unsafe_code,
        reason = "poll has no safe interface that needs no descriptor of its own"
    )]
    fn wait(&self, socket: BorrowedFd<'_>, within: Option<Duration>) -> io::Result<Readable> {
        let Some(pipe) = self.0.get() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let watched = |fd: BorrowedFd<'_>| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut fds = [watched(socket), watched(pipe.reader.as_fd())];
        let millis = within.map_or(-1, |time| i32::try_from(time.as_millis()).unwrap_or(i32::MAX));
        // SAFETY: the pointer is valid for two entries for as long as the call lasts.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), 2, millis) };
        if ready < 0 {
            return Err(io::Error::last_os_error());
        }
        // Their numbers may be somebody else's by now.
        if is_stripped() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let [socket, alarm] = fds.map(|fd| fd.revents != 0);
        if alarm {
            let _ = (&pipe.reader).read(&mut [0; 16]);
        }
        Ok(Readable { socket, alarm })
    }
}
