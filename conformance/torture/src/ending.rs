//! When all is over: every lock can still be had, nothing is left behind, and the drivers have not
//! grown.

use std::thread;
use std::time::{Duration, Instant};

use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::line::Fields;
use fencelock_conformance::stage::Stage;

use crate::event::What;
use crate::log::Log;
use crate::seat::{Reply, Seat, ask, uses};
use crate::worker::LONGEST_LEASE;

/// How long what dead processes left may be there.
const PATIENCE: Duration = Duration::from_secs(10);
/// A record of a fence is kept for 7 days, and for as much longer as it is ahead of the clock, in ms.
const RECORD: i64 = 8 * 24 * 3600 * 1000;

/// Takes every lock once more, and looks at what is left.
pub(crate) fn settle(stage: &Stage, seats: &[Seat], locks: &[String], log: &Log) {
    // The last leases lapse.
    thread::sleep(Duration::from_millis(LONGEST_LEASE));
    for (lock, seat) in locks.iter().zip(seats.iter().cycle()) {
        take(lock, seat, log);
    }
    let give_up = Instant::now() + PATIENCE;
    let mut left = left(stage);
    while !left.is_empty() && Instant::now() < give_up {
        thread::sleep(Duration::from_millis(100));
        left = self::left(stage);
    }
    for what in left {
        log.note(What::Left { what });
    }
    measure(seats, true, log);
}

/// Notes what every driver that is there uses.
pub(crate) fn measure(seats: &[Seat], end: bool, log: &Log) {
    for driver in seats.iter().filter_map(Seat::present) {
        if let Some((descriptors, memory_kib)) = uses(&driver) {
            let driver = driver.name().to_owned();
            log.note(What::Uses { driver, end, descriptors, memory_kib });
        }
    }
}

fn take(lock: &str, seat: &Seat, log: &Log) {
    let Some(driver) = seat.present() else {
        return log.note(What::Left { what: format!("nobody to take {lock}") });
    };
    let (worker, lease) = ("the-end".to_owned(), format!("the-end.{lock}"));
    let fields = Fields::default()
        .with("client", "c")
        .with("lease", &lease)
        .with("name", lock)
        .with("ttl", LONGEST_LEASE)
        .with("renew", 0)
        .with("timeout", 10_000);
    let what = What::Ask { worker: worker.clone(), lock: lock.to_owned(), waits: true };
    log.note(what);
    match ask(&driver, "acquire", &fields, Duration::from_secs(10)) {
        Reply::Said(Ok(said)) => {
            let number = |key| said.number(key).unwrap_or_default();
            let what = What::Grant {
                worker,
                lock: lock.to_owned(),
                lease: lease.clone(),
                driver: driver.name().to_owned(),
                fence: number("fence"),
                remaining: number("remaining"),
                ttl: LONGEST_LEASE * 1_000_000,
                renew: false,
            };
            log.note_at(number("at"), what);
            let at = boot_nanos();
            let fields = Fields::default().with("lease", &lease);
            let _ = ask(&driver, "release", &fields, Duration::ZERO);
            log.note_at(at, What::End { lease, how: "release".to_owned() });
        }
        other => log.note(What::Left { what: format!("{lock} can't be had: {other:?}") }),
    }
}

/// What should not be there any more.
fn left(stage: &Stage) -> Vec<String> {
    if let Some(store) = stage.kept_in() {
        let now = i64::try_from(boot_nanos()).unwrap_or(i64::MAX);
        let held = "SELECT count(*) FROM lock WHERE token IS NOT NULL AND until > ?1";
        let counts = [
            ("holders", store.number(held, [now])),
            ("waiters", store.number("SELECT count(*) FROM waiter", [])),
        ];
        let found = counts.into_iter().filter(|(_, count)| *count != Some(0));
        return found.map(|(what, count)| format!("{count:?} {what}")).collect();
    }
    let mut left: Vec<String> = stage.redis_patiently(&["KEYS", "*"]);
    left.retain(|key| {
        let lives: i64 = stage.redis_patiently(&["PTTL", key]);
        !(key.ends_with(":fl:f") && (0..RECORD).contains(&lives))
    });
    left
}
