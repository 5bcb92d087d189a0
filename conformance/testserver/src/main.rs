//! Starts a private server for tests in other languages: prints its address, and stops it when
//! standard input closes or SIGTERM or SIGINT arrives.
#![expect(clippy::print_stdout, reason = "the address on standard output is the interface")]

use std::io;
use std::sync::mpsc;
use std::thread;

use fencelock_testserver::TestServer;

fn main() {
    // Before any thread starts, so that all of them inherit the mask.
    let signals = block_signals();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = TestServer::start_with(&arguments);
    println!("{}", server.url());
    let (input_closed, end) = mpsc::channel();
    let signalled = input_closed.clone();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = input_closed.send(());
    });
    thread::spawn(move || {
        wait_for_signal(&signals);
        let _ = signalled.send(());
    });
    let _ = end.recv();
}

#[expect(unsafe_code, reason = "the standard library has no signals")]
fn block_signals() -> libc::sigset_t {
    // SAFETY: a zeroed set is valid storage for sigemptyset, which initialises it; the other
    // calls get pointers to that set only.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    }
}

#[expect(unsafe_code, reason = "the standard library has no signals")]
fn wait_for_signal(signals: &libc::sigset_t) {
    let mut signal = 0;
    // SAFETY: both pointers are valid for the call.
    unsafe { libc::sigwait(signals, &raw mut signal) };
}
