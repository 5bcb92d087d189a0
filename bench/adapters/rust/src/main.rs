//! fencelock's Rust APIs as contenders in bench/; the line protocol is in bench/README.md.

mod asynchronous;
mod blocking;

use std::env;
use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the runner can ask for; times are nanoseconds of [`now`].
trait Contender {
    /// Acquires and releases so often; how long each pair took.
    fn pairs(&mut self, lock: &str, count: usize) -> Result<Vec<i64>>;
    /// What it can be asked for.
    fn ops(&self) -> &'static str {
        "pair,handoff"
    }
    /// Takes and gives back so many locks at once, each so often; how long it all took.
    fn flight(&mut self, _lock: &str, _tasks: usize, _sections: usize) -> Result<i64> {
        Err("not offered".into())
    }
    /// Holds so many leases of this TTL, renewed, for this time.
    fn keep(&mut self, _: &str, _: usize, _ttl: Duration, _time: Duration) -> Result<Kept> {
        Err("not offered".into())
    }
    /// Acquires and keeps; when acquire had returned.
    fn hold(&mut self, lock: &str) -> Result<i64>;
    /// Releases; when release was about to be called.
    fn free(&mut self, lock: &str) -> Result<i64>;
}

/// What keeping many leases cost: ns that passed, ns of processor time, and how many were lost.
struct Kept {
    wall: i64,
    busy: i64,
    lost: usize,
}

/// The processor time of all threads of this process, in ns.
fn processor_time() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
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
            ["hello"] => {
                writeln!(out, "ok name=fencelock-rust-{mode} ops={} poll_ms=0", contender.ops())?;
            }
            ["pair", lock, count] => {
                write!(out, "ok")?;
                for nanos in contender.pairs(lock, count.parse()?)? {
                    write!(out, " {nanos}")?;
                }
                writeln!(out)?;
            }
            ["flight", lock, tasks, sections] => {
                let took = contender.flight(lock, tasks.parse()?, sections.parse()?)?;
                writeln!(out, "ok {took}")?;
            }
            ["keep", lock, leases, ttl_ms, ms] => {
                let ttl = Duration::from_millis(ttl_ms.parse()?);
                let time = Duration::from_millis(ms.parse()?);
                let kept = contender.keep(lock, leases.parse()?, ttl, time)?;
                writeln!(out, "ok {} {} {}", kept.wall, kept.busy, kept.lost)?;
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
