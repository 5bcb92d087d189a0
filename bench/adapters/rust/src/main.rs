//! fencelock's Rust APIs as contenders in bench/; the line protocol is in bench/README.md.

mod asynchronous;
mod blocking;

use std::env;
use std::error::Error;
use std::io::{self, BufRead, Write};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What the runner can ask for; times are nanoseconds of [`now`].
trait Contender {
    /// What it can be asked for.
    fn ops(&self) -> &'static str;
    /// Acquires and releases so often; how long each pair took.
    fn pairs(&mut self, lock: &str, count: usize) -> Result<Vec<i64>>;
    /// The same, and how long it took in all.
    fn cycle(&mut self, lock: &str, count: usize) -> Result<i64>;
    /// One section after the other, until this moment.
    fn sections(&mut self, lock: &str, until: i64, hold: Duration) -> Result<Vec<Section>>;
    /// So many waiters at once for one lock, each for one section.
    fn crowd(&mut self, lock: &str, waiters: usize, waiting: Tell<'_>) -> Result<Vec<Section>>;
    /// Takes and gives back so many locks at once, each so often; how long it all took.
    fn flight(&mut self, _lock: &str, _tasks: usize, _sections: usize) -> Result<i64> {
        Err("not offered".into())
    }
    /// Takes so many leases of this TTL, which are renewed until [`Contender::drop_kept`].
    fn keep(&mut self, lock: &str, leases: usize, ttl: Duration) -> Result<()>;
    /// Releases them; how many were lost.
    fn drop_kept(&mut self) -> Result<usize>;
    /// Acquires and keeps; when acquire had returned.
    fn hold(&mut self, lock: &str) -> Result<i64>;
    /// Releases; when release was about to be called.
    fn free(&mut self, lock: &str) -> Result<i64>;
}

/// Says that all wait.
type Tell<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// When acquire was called, when it returned, and when release was called.
type Section = [i64; 3];

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

fn say_sections(out: &mut impl Write, sections: &[Section]) -> io::Result<()> {
    write!(out, "ok")?;
    for moment in sections.iter().flatten() {
        write!(out, " {moment}")?;
    }
    writeln!(out)
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
            ["cycle", lock, count] => {
                let took = contender.cycle(lock, count.parse()?)?;
                writeln!(out, "ok {took}")?;
            }
            ["loop", lock, until, hold_us] => {
                let hold = Duration::from_micros(hold_us.parse()?);
                say_sections(&mut out, &contender.sections(lock, until.parse()?, hold)?)?;
            }
            ["crowd", lock, waiters] => {
                let mut waiting = || {
                    writeln!(out, "waiting")?;
                    out.flush()
                };
                let sections = contender.crowd(lock, waiters.parse()?, &mut waiting)?;
                say_sections(&mut out, &sections)?;
            }
            ["keep", lock, leases, ttl_ms, ms] => {
                contender.keep(lock, leases.parse()?, Duration::from_millis(ttl_ms.parse()?))?;
                writeln!(out, "keeping")?;
                out.flush()?;
                let (start, busy) = (now(), processor_time());
                thread::sleep(Duration::from_millis(ms.parse()?));
                let (wall, busy) = (now() - start, processor_time() - busy);
                writeln!(out, "ok {wall} {busy} {}", contender.drop_kept()?)?;
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
