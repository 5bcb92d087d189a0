//! Drives `fencelock::blocking`: a thread for each request.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use fencelock::blocking::{Client, Lease, Lock};
use fencelock_conformance::describe;
use fencelock_conformance::kit::{self, Wish, boot_nanos, fault, open};
use fencelock_conformance::line::{Answer, Fault, Fields, Request, Said};

#[derive(Default)]
struct Driver {
    clients: Mutex<HashMap<String, Client>>,
    leases: Mutex<HashMap<String, Arc<Lease>>>,
    /// Requests that can be cancelled.
    cancelled: Mutex<HashMap<u64, Arc<AtomicBool>>>,
}

fn main() {
    kit::log_everything();
    let driver = Arc::new(Driver::default());
    for line in io::stdin().lines().map_while(Result::ok) {
        let request = match Request::read(&line) {
            Ok(request) => request,
            Err(wrong) => {
                kit::say(&Said::Answer(0, Err(Fault::usage(wrong))));
                continue;
            }
        };
        if request.op == "exit" {
            return kit::say(&Said::Answer(request.id, Ok(Fields::default())));
        }
        // Before its thread starts, so that a cancel behind it finds it.
        let cancelled = Arc::<AtomicBool>::default();
        open(&driver.cancelled).insert(request.id, cancelled.clone());
        let driver = driver.clone();
        thread::spawn(move || {
            let answer = driver.carry_out(&request, &cancelled);
            open(&driver.cancelled).remove(&request.id);
            kit::say(&Said::Answer(request.id, answer));
        });
    }
}

impl Driver {
    fn carry_out(&self, request: &Request, cancelled: &AtomicBool) -> Answer {
        let fields = &request.fields;
        let ok = Ok(Fields::default());
        match request.op.as_str() {
            "hello" => Ok(Fields::default()
                .with("name", "rust-blocking")
                .with("can", "apart,cancel,drop,exact_cancel,fork,release_twice")),
            "connect" => {
                let url = fields.text("url").map_err(Fault::usage)?;
                let client = Client::connect_with(url, kit::client_options(fields)?)
                    .map_err(|e| fault(&e))?;
                open(&self.clients).insert(key(fields, "client")?, client);
                ok
            }
            "close" => {
                self.client(&key(fields, "client")?)?.close();
                ok
            }
            "acquire" | "try" => {
                let wish = Wish::read(fields)?;
                let lock = self.lock(&wish)?;
                let mut interrupt = || cancelled.load(Ordering::Acquire);
                let lease = if request.op == "try" {
                    lock.try_acquire_with(Some(&mut interrupt))
                } else {
                    lock.acquire_with(wish.timeout, Some(&mut interrupt)).map(Some)
                };
                match lease.map_err(|e| fault(&e))? {
                    Some(lease) => Ok(self.keep(key(fields, "lease")?, lease)),
                    None => Ok(Fields::default().with("busy", 1)),
                }
            }
            "cancel" => {
                let request = fields.number("request").map_err(Fault::usage)?;
                if let Some(cancelled) = open(&self.cancelled).get(&request) {
                    cancelled.store(true, Ordering::Release);
                }
                ok
            }
            "held" => {
                let (at, lease) = (boot_nanos(), self.lease(fields)?);
                let fields = kit::lease_fields(at, lease.fence(), lease.remaining());
                Ok(fields.with("held", u8::from(lease.is_held())))
            }
            "check" => self.lease(fields)?.check().map_err(|e| fault(&e)).and(ok),
            "renew" => self.lease(fields)?.renew().map_err(|e| fault(&e)).and(ok),
            "release" => {
                let (at, lease) = (boot_nanos(), self.lease(fields)?);
                lease.release().map_err(|e| fault(&e))?;
                Ok(Fields::default().with("at", at))
            }
            "drop" => {
                let at = boot_nanos();
                let lease = open(&self.leases).remove(&key(fields, "lease")?);
                drop(lease);
                Ok(Fields::default().with("at", at))
            }
            "inspect" => {
                let client = self.client(&key(fields, "client")?)?;
                let seen = client
                    .inspect(fields.text("name").map_err(Fault::usage)?)
                    .map_err(|e| fault(&e))?;
                Ok(kit::inspection_fields(&seen))
            }
            "sections" => self.sections(fields),
            "fork" => {
                let lease = self.lease(fields)?;
                let wish = Wish::read(fields)?;
                let lock = self.lock(&wish)?;
                kit::in_child(|| in_child(&lease, &lock))
            }
            op => Err(Fault::usage(format!("no operation {op}"))),
        }
    }

    fn client(&self, client: &str) -> Result<Client, Fault> {
        let found = open(&self.clients).get(client).cloned();
        found.ok_or_else(|| Fault::usage("no such client"))
    }

    fn lock(&self, wish: &Wish) -> Result<Lock, Fault> {
        let client = self.client(&wish.client)?;
        Ok(describe!(client, wish))
    }

    fn lease(&self, fields: &Fields) -> Result<Arc<Lease>, Fault> {
        let found = open(&self.leases).get(&key(fields, "lease")?).cloned();
        found.ok_or_else(|| Fault::usage("no such lease"))
    }

    fn keep(&self, id: String, lease: Lease) -> Fields {
        let fields = kit::lease_fields(boot_nanos(), lease.fence(), lease.remaining());
        let told = id.clone();
        lease.on_lost(move |reason| kit::say_lost(&told, reason));
        open(&self.leases).insert(id, Arc::new(lease));
        fields
    }

    /// Takes and gives back the lock so often, as fast as it can.
    fn sections(&self, fields: &Fields) -> Answer {
        let wish = Wish::read(fields)?;
        let lock = self.lock(&wish)?;
        let mut spans = Vec::new();
        for _ in 0..fields.number("n").map_err(Fault::usage)? {
            let lease = lock.acquire_with(wish.timeout, None).map_err(|e| fault(&e))?;
            let from = boot_nanos();
            let until = boot_nanos();
            lease.release().map_err(|e| fault(&e))?;
            spans.push(format!("{}:{from}:{until}", lease.fence()));
        }
        Ok(Fields::default().with("spans", spans.join(",")))
    }
}

fn key(fields: &Fields, key: &str) -> Result<String, Fault> {
    fields.text(key).map(ToOwned::to_owned).map_err(Fault::usage)
}

/// What a forked child finds: the parent's lease is dead, the client works.
fn in_child(parents: &Lease, lock: &Lock) -> Answer {
    let mut fields = Fields::default().with("held", u8::from(parents.is_held()));
    for (what, result) in [("check", parents.check()), ("release", parents.release())] {
        let said = result.err().and_then(|error| error.loss());
        fields = fields.with(what, said.map_or("none", fencelock::LossReason::name));
    }
    let lease = lock.acquire().map_err(|e| fault(&e))?;
    let fence = lease.fence();
    lease.release().map_err(|e| fault(&e))?;
    Ok(fields.with("fence", fence))
}
