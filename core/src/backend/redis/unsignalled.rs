//! A socket that tells of a broken pipe by an error and never by SIGPIPE, which ends a C program
//! that does not ignore it. The standard library's `write` does so, its `write_vectored` (writev)
//! does not, and rustls prefers that.

use std::io::{self, Read, Write};
use std::net::TcpStream;

#[derive(Debug)]
pub(super) struct Unsignalled(pub(super) TcpStream);

impl Read for Unsignalled {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

/// Without `write_vectored`: the trait's own gives the first piece to `write`.
impl Write for Unsignalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::net::{Shutdown, TcpListener};
    use std::ptr;

    use super::*;

    /// Writes where nobody reads any more, with SIGPIPE blocked, so that the kernel keeps one.
    #[expect(unsafe_code, reason = "signal masks have no safe interface")]
    fn is_signalled(write: impl FnOnce(TcpStream) -> io::Result<usize> + Send) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let on_a_thread = || {
            let mut signals = MaybeUninit::uninit();
            // SAFETY: the set is initialised before it is read, and the mask is this thread's.
            unsafe {
                libc::sigemptyset(signals.as_mut_ptr());
                libc::sigaddset(signals.as_mut_ptr(), libc::SIGPIPE);
                libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), ptr::null_mut());
            }
            assert_eq!(write(stream).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            // SAFETY: sigpending initialises the set that is read then.
            unsafe {
                libc::sigpending(signals.as_mut_ptr());
                libc::sigismember(signals.as_ptr(), libc::SIGPIPE) == 1
            }
        };
        std::thread::scope(|scope| scope.spawn(on_a_thread).join().unwrap())
    }

    #[test]
    fn a_broken_pipe_is_an_error_and_no_signal() {
        let pieces = || [IoSlice::new(b"a"), IoSlice::new(b"b")];
        // What this is about.
        assert!(is_signalled(|mut stream| stream.write_vectored(&pieces())));
        assert!(!is_signalled(|stream| Unsignalled(stream).write_vectored(&pieces())));
        assert!(!is_signalled(|stream| Unsignalled(stream).write(b"a")));
    }
}
