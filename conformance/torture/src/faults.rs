//! How each kind of fault is done, and seen to have been done. Times are ms.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use fencelock_conformance::driver::Driver;
use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::line::Fields;
use fencelock_conformance::proxy::Proxy;
use fencelock_conformance::stage::Stage;

use crate::event::What;
use crate::kind::Kind;
use crate::nemesis::{Field, LONGEST_STEP_BACK, extra};
use crate::seat::Seat;

/// Longer than any lease.
const LONG: std::ops::RangeInclusive<u64> = 2000..=3200;
/// Shorter or longer than a lease. It ends while some of those that were asked for before still run.
const SHORT: std::ops::RangeInclusive<u64> = 50..=1200;

fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

impl Field<'_> {
    /// Does a fault, from its beginning to its end, and notes it; whether it was seen to have done
    /// something.
    pub(crate) fn perform(&self, kind: Kind, rng: &mut Rng) -> bool {
        match kind {
            Kind::ClientStop => self.stop_clients(kind, rng.u64(SHORT), rng),
            Kind::ClientStopLong => self.stop_clients(kind, rng.u64(LONG), rng),
            Kind::ClientKill => self.kill_client(rng),
            Kind::ClientBlock => self.block_client(rng),
            Kind::ClientFork => self.fork_client(rng),
            Kind::DiskFull => self.fill_disk(rng),
            Kind::Evict => self.evict(rng),
            _ => {
                let worked = self.with(kind, None, || self.on_all(kind, rng));
                if kind.forgets_fences() {
                    self.clock().forgotten = Some(Instant::now());
                }
                worked
            }
        }
    }

    /// Notes the beginning and the end around what is done; that says whether it worked.
    fn with(&self, kind: Kind, driver: Option<&Driver>, work: impl FnOnce() -> bool) -> bool {
        let fault = self.next();
        let driver = driver.map(|driver| driver.name().to_owned());
        self.log.note(What::Begin { fault, kind, lock: None, driver });
        let worked = work();
        self.log.note(What::Over { fault, worked, extra: extra(kind) });
        worked
    }

    fn on_all(&self, kind: Kind, rng: &mut Rng) -> bool {
        let stage = self.stage;
        match kind {
            Kind::ServerStop => stop_server(stage, rng.u64(SHORT)),
            Kind::ServerStopLong => stop_server(stage, rng.u64(LONG)),
            Kind::ServerRestart => self.restart(rng, false),
            Kind::ServerRestartEmpty => self.restart(rng, true),
            Kind::Disconnect => {
                let kill = |of| stage.redis_patiently::<u64>(&["CLIENT", "KILL", "TYPE", of]);
                kill("normal") + kill("pubsub") > 0
            }
            Kind::Pause => pause_commands(stage, rng.u64(100..=2500)),
            Kind::ScriptFlush => {
                let held = number_in_info(stage, "memory", "number_of_cached_scripts");
                stage.redis_patiently::<()>(&["SCRIPT", "FLUSH"]);
                held > 0
            }
            Kind::ClockForward => self.step_clock(i64::try_from(rng.u64(300..=60_000))),
            Kind::ClockBack => {
                self.step_clock(i64::try_from(rng.u64(300..=LONGEST_STEP_BACK)).map(|ms| -ms))
            }
            Kind::EvictAll => evict_all(stage),
            Kind::OutOfMemory => out_of_memory(stage, rng.u64(200..=2500)),
            Kind::Locked => {
                let Some(store) = stage.kept_in() else { return false };
                store.change("BEGIN IMMEDIATE", []);
                pause(rng.u64(100..=3000));
                store.change("ROLLBACK", []);
                true
            }
            _ => self.proxy.is_some_and(|proxy| disturb_network(proxy, kind, rng)),
        }
    }

    fn stop_clients(&self, kind: Kind, ms: u64, rng: &mut Rng) -> bool {
        // One, or a third of all.
        let count = if rng.bool() { 1 } else { (self.seats.len() / 3).max(1) };
        let mut stopped = Vec::new();
        for driver in self.drivers(count, rng, |_| true).into_iter().map(|(_, driver)| driver) {
            let fault = self.next();
            let of = Some(driver.name().to_owned());
            self.log.note(What::Begin { fault, kind, lock: None, driver: of });
            let worked = driver.try_stop();
            stopped.push((fault, driver, worked));
        }
        pause(ms);
        let mut any = false;
        for (fault, driver, worked) in stopped {
            // Whoever got no answer from it may have killed it.
            let worked = worked && driver.try_resume();
            any |= worked;
            self.log.note(What::Over { fault, worked, extra: 0 });
        }
        any
    }

    fn kill_client(&self, rng: &mut Rng) -> bool {
        let count = if rng.bool() { 1 } else { 2 };
        let mut any = false;
        for (seat, driver) in self.drivers(count, rng, |seat| !seat.spared) {
            any |= self.with(Kind::ClientKill, Some(&driver), || {
                let at = boot_nanos();
                seat.kill(&driver);
                // It claims nothing any more; what it claimed a moment before is judged.
                self.log.note_at(at, What::Killed { driver: driver.name().to_owned() });
                true
            });
        }
        any
    }

    fn block_client(&self, rng: &mut Rng) -> bool {
        let can = |seat: &Seat| seat.language.can.contains(&"block");
        let mut any = false;
        for (_, driver) in self.drivers(1, rng, can) {
            let ms = rng.u64(300..=2000);
            any |= self.with(Kind::ClientBlock, Some(&driver), || {
                let request = driver.send("block", &Fields::default().with("ms", ms));
                driver.answer_within(request, Duration::from_secs(10)).is_some()
            });
        }
        any
    }

    fn fork_client(&self, rng: &mut Rng) -> bool {
        let can = |seat: &Seat| seat.language.can.contains(&"fork");
        let mut any = false;
        for (seat, driver) in self.drivers(1, rng, can) {
            any |= self.with(Kind::ClientFork, Some(&driver), || {
                seat.fork.store(true, Ordering::Relaxed);
                let give_up = Instant::now() + Duration::from_secs(5);
                while seat.fork.load(Ordering::Relaxed) && Instant::now() < give_up {
                    pause(5);
                }
                !seat.fork.swap(false, Ordering::Relaxed)
            });
        }
        any
    }

    fn fill_disk(&self, rng: &mut Rng) -> bool {
        let mut any = false;
        for (_, driver) in self.drivers(2, rng, |_| true) {
            any |= self.with(Kind::DiskFull, Some(&driver), || {
                driver.limit_files(0);
                pause(rng.u64(200..=2000));
                driver.limit_files(u64::MAX);
                true
            });
        }
        any
    }

    /// Deletes the keys of locks that somebody holds, one after the other.
    fn evict(&self, rng: &mut Rng) -> bool {
        let mut any = false;
        for _ in 0..rng.u32(1..=8) {
            any |= self.evict_one(rng);
            pause(rng.u64(0..=30));
        }
        any
    }

    /// Deletes one; notes nothing if nobody has held it when it was deleted.
    fn evict_one(&self, rng: &mut Rng) -> bool {
        let Some(lock) = rng.choice(self.locks) else { return false };
        let give_up = Instant::now() + Duration::from_secs(2);
        while Instant::now() < give_up {
            let begun = boot_nanos();
            if self.delete(lock) {
                let fault = self.next();
                let (kind, of) = (Kind::Evict, Some(lock.clone()));
                let what = What::Begin { fault, kind, lock: of, driver: None };
                self.log.note_at(begun, what);
                self.log.note(What::Over { fault, worked: true, extra: 0 });
                return true;
            }
            pause(2);
        }
        false
    }

    fn delete(&self, lock: &str) -> bool {
        let Some(store) = self.stage.kept_in() else {
            return self.stage.redis_patiently::<u64>(&["DEL", lock]) == 1;
        };
        let now = i64::try_from(boot_nanos()).unwrap_or(i64::MAX);
        let sql =
            "UPDATE lock SET token = NULL WHERE name = ?1 AND token IS NOT NULL AND until > ?2";
        store.change(sql, (lock, now)) == 1
    }

    fn restart(&self, rng: &mut Rng, empty: bool) -> bool {
        let server = &self.stage.server;
        let before = server.pid();
        server.kill();
        pause(rng.u64(0..=1500));
        if empty {
            server.restart_empty();
        } else {
            server.restart();
        }
        server.pid() != before
    }

    fn step_clock(&self, by: Result<i64, std::num::TryFromIntError>) -> bool {
        let by = by.unwrap_or(0);
        let mut clock = self.clock();
        clock.ahead += by;
        if by < 0 {
            // Until the server's time has caught up with its last fences, they must not be lost.
            let behind = Duration::from_millis(by.unsigned_abs() + 1000);
            clock.caught_up = clock.caught_up.max(Instant::now()) + behind;
            // By the server's clock the loss is less long ago.
            clock.forgotten =
                clock.forgotten.map(|at| at + Duration::from_millis(by.unsigned_abs()));
        }
        self.stage.server.set_clock(clock.ahead);
        drop(clock);
        let told = self.stage.redis_patiently::<Vec<String>>(&["TIME"]);
        !told.is_empty()
    }

    /// Drivers that are there now, chosen at random.
    fn drivers(
        &self,
        count: usize,
        rng: &mut Rng,
        suits: impl Fn(&Seat) -> bool,
    ) -> Vec<(&Seat, Arc<Driver>)> {
        let mut found: Vec<_> = self
            .seats
            .iter()
            .filter(|seat| suits(seat))
            .filter_map(|seat| Some((seat, seat.present()?)))
            .collect();
        rng.shuffle(&mut found);
        found.truncate(count);
        found
    }
}

fn stop_server(stage: &Stage, ms: u64) -> bool {
    stage.server.pause();
    pause(ms);
    stage.server.resume();
    true
}

fn pause_commands(stage: &Stage, ms: u64) -> bool {
    let begun = Instant::now();
    stage.redis_patiently::<()>(&["CLIENT", "PAUSE", &ms.to_string(), "ALL"]);
    // Not answered before it is over.
    stage.redis_patiently::<String>(&["PING"]);
    begun.elapsed() >= Duration::from_millis(ms / 2)
}

fn number_in_info(stage: &Stage, section: &str, key: &str) -> u64 {
    let info: String = stage.redis_patiently(&["INFO", section]);
    let value = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn set(stage: &Stage, key: &str, value: &str) {
    stage.redis_patiently::<()>(&["CONFIG", "SET", key, value]);
}

fn evict_all(stage: &Stage) -> bool {
    let evicted = || number_in_info(stage, "stats", "evicted_keys");
    let before = evicted();
    set(stage, "maxmemory-policy", "allkeys-random");
    set(stage, "maxmemory", "1");
    let give_up = Instant::now() + Duration::from_secs(1);
    while stage.redis_patiently::<u64>(&["DBSIZE"]) > 0 && Instant::now() < give_up {
        pause(1);
    }
    set(stage, "maxmemory", "0");
    set(stage, "maxmemory-policy", "noeviction");
    evicted() > before
}

fn out_of_memory(stage: &Stage, ms: u64) -> bool {
    set(stage, "maxmemory", "1");
    let mut probe = redis::cmd("SET");
    probe.arg(&["torture-probe", "1", "PX", "1"]);
    let probed =
        stage.server.try_connection().and_then(|mut connection| probe.exec(&mut connection));
    let refused = probed.is_err_and(|error| error.code() == Some("OOM"));
    pause(ms);
    set(stage, "maxmemory", "0");
    refused
}

fn disturb_network(proxy: &Proxy, kind: Kind, rng: &mut Rng) -> bool {
    let ms = rng.u64(300..=2500);
    match kind {
        Kind::Delay => {
            let before = proxy.delayed();
            proxy.delay_requests(rng.u64(0..=300));
            proxy.delay_replies(rng.u64(10..=600));
            pause(ms);
            proxy.delay_requests(0);
            proxy.delay_replies(0);
            proxy.delayed() > before
        }
        Kind::Deaf => {
            let before = proxy.pass_messages();
            proxy.drop_messages();
            pause(ms);
            proxy.pass_messages() > before
        }
        Kind::CutReply => {
            let before = proxy.replies_cut();
            for _ in 0..rng.u64(1..=6) {
                proxy.cut_replies(1);
                pause(ms / 6);
            }
            proxy.cut_replies(0);
            proxy.replies_cut() > before
        }
        Kind::Hole => {
            let before = proxy.swallowed();
            proxy.open_hole();
            pause(ms);
            proxy.close_hole() > before
        }
        Kind::Cut => proxy.cut_all() > 0,
        _ => false,
    }
}
