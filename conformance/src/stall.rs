//! Notices when the machine stands still. A lease lapses then that its holder would have renewed,
//! as it must; a scenario that fails for that says nothing.

use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::kit::boot_nanos;

/// How late a thread may run that only sleeps. Busy machines stay far below it.
const LATE: Duration = Duration::from_millis(300);

/// When each stall ended, in ns on the boot clock, and how long it was.
static STALLS: Mutex<Vec<(u64, Duration)>> = Mutex::new(Vec::new());

/// Begins to watch, unless it does.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(thread::spawn(look)));
}

fn look() -> ! {
    loop {
        let begun = Instant::now();
        thread::sleep(Duration::from_millis(10));
        let took = begun.elapsed();
        if took > LATE {
            let mut stalls = STALLS.lock().unwrap_or_else(PoisonError::into_inner);
            stalls.push((boot_nanos(), took));
        }
    }
}

/// All since a moment: when each ended, in ns on the boot clock, and how long it was.
pub fn all_since(begun: u64) -> Vec<(u64, Duration)> {
    let stalls = STALLS.lock().unwrap_or_else(PoisonError::into_inner);
    stalls.iter().filter(|(at, _)| *at > begun).copied().collect()
}

/// The longest stall since a moment, if there was one.
pub fn since(begun: u64) -> Option<Duration> {
    all_since(begun).into_iter().map(|(_, took)| took).max()
}
