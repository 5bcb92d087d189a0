//! fencelock's Rust APIs as contenders in bench/; the line protocol is in bench/README.md.

mod asynchronous;
mod blocking;

use std::env;
use std::error::Error;
use std::io::{self, BufRead, Write};

use rustix::time::{ClockId, clock_gettime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the runner can ask for; times are nanoseconds of [`now`].
trait Contender {
    /// Acquires and releases so often; how long each pair took.
    fn pairs(&mut self, lock: &str, count: usize) -> Result<Vec<i64>>;
    /// Acquires and keeps; when acquire had returned.
    fn hold(&mut self, lock: &str) -> Result<i64>;
    /// Releases; when release was about to be called.
    fn free(&mut self, lock: &str) -> Result<i64>;
}

/// `CLOCK_MONOTONIC`, which all processes share; `std::time::Instant` does not give its number.
fn now() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn serve(mode: &str, contender: &mut dyn Contender) -> Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["hello"] => writeln!(out, "ok name=fencelock-rust-{mode} ops=pair,handoff poll_ms=0")?,
            ["pair", lock, count] => {
                write!(out, "ok")?;
                for nanos in contender.pairs(lock, count.parse()?)? {
                    write!(out, " {nanos}")?;
                }
                writeln!(out)?;
            }
            ["hold", lock] => {
                contender.hold(lock)?;
                writeln!(out, "ok")?;
            }
            ["wait", lock] => {
                writeln!(out, "waiting")?;
                out.flush()?;
                writeln!(out, "ok {}", contender.hold(lock)?)?;
            }
            ["free", lock] => writeln!(out, "ok {}", contender.free(lock)?)?,
            _ => writeln!(out, "err not understood: {line}")?,
        }
        out.flush()?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--mode", "blocking", url] => serve("blocking", &mut blocking::Blocking::connect(url)?),
        ["--mode", "async", url] => serve("async", &mut asynchronous::Async::connect(url)?),
        _ => Err("usage: fencelock-bench --mode blocking|async URL".into()),
    }
}
