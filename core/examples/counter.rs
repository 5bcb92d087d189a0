//! Increases a number in a file, many times, under a lock: run it as often and wherever you like
//! at the same time, and no increase is lost. `make demo` does that, beside Python processes.
//!
//! ```text
//! cargo run --example counter -- URL LOCK FILE ROUNDS [STALL]
//! ```
//!
//! Prints one line when it may start (and waits for a line of input), one when it got the lock,
//! and one before it gives it back; times are nanoseconds of `CLOCK_MONOTONIC`. In round STALL it
//! hangs between reading and writing, so that it can be killed there.
#![expect(clippy::print_stdout, reason = "the lines on standard output are the interface")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use fencelock::blocking::Client;
use rustix::time::{ClockId, clock_gettime};

type Failure = Box<dyn std::error::Error>;

/// How long the number is kept in memory: without a lock, time enough to lose increases.
const THINK: Duration = Duration::from_millis(3);
/// Short, so that the demo can show how a dead holder's lock comes free.
const TTL: Duration = Duration::from_secs(1);

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("{what} is missing"));
    let (url, name) = (next("URL")?, next("LOCK")?);
    let file = PathBuf::from(next("FILE")?);
    let rounds: u32 = next("ROUNDS")?.parse()?;
    let stall: Option<u32> = next("STALL").ok().map(|text| text.parse()).transpose()?;

    let client = Client::connect(&url)?;
    let lock = client.lock(name).ttl(TTL);
    println!("ready");
    io::stdin().read_line(&mut String::new())?;
    for round in 1..=rounds {
        let asked = now();
        let lease = lock.acquire()?;
        println!("got {asked} {} {}", now(), lease.fence());
        let number = read(&file)? + 1;
        sleep(if stall == Some(round) { Duration::from_secs(60) } else { THINK });
        write(&file, number)?;
        println!("done {} {number}", now());
        lease.release()?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<u64, Failure> {
    Ok(fs::read_to_string(file)?.trim().parse()?)
}

/// By renaming, so that a process killed here leaves the old number or the new one.
fn write(file: &Path, number: u64) -> io::Result<()> {
    let draft = file.with_extension(std::process::id().to_string());
    fs::write(&draft, format!("{number}\n"))?;
    fs::rename(draft, file)
}

fn now() -> i128 {
    let time = clock_gettime(ClockId::Monotonic);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
