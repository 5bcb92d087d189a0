//! Drives the async API: a task for each request, all on one thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fencelock::{Client, Lease, Lock};
use fencelock_conformance::describe;
use fencelock_conformance::kit::{self, Wish, boot_nanos, fault};
use fencelock_conformance::line::{Answer, Fault, Fields, Request, Said};
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;

#[derive(Default)]
struct Driver {
    clients: RefCell<HashMap<String, Client>>,
    leases: RefCell<HashMap<String, Rc<Lease>>>,
    /// Requests that can be cancelled.
    cancelled: RefCell<HashMap<u64, Arc<Notify>>>,
}

fn main() -> io::Result<()> {
    kit::log_everything();
    let (send, requests) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(requests));
    Ok(())
}

async fn serve(mut requests: mpsc::UnboundedReceiver<String>) {
    let driver = Rc::new(Driver::default());
    while let Some(line) = requests.recv().await {
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
        let cancelled = Arc::new(Notify::new());
        let id = request.id;
        driver.cancelled.borrow_mut().insert(id, cancelled.clone());
        let driver = driver.clone();
        tokio::task::spawn_local(async move {
            let answer = tokio::select! {
                biased;
                // The other future is dropped then: that is how Rust cancels.
                () = cancelled.notified() => Err(Fault {
                    kind: "cancelled".to_owned(),
                    fields: Fields::default(),
                }),
                answer = driver.carry_out(&request) => answer,
            };
            driver.cancelled.borrow_mut().remove(&id);
            kit::say(&Said::Answer(id, answer));
        });
    }
}

impl Driver {
    async fn carry_out(&self, request: &Request) -> Answer {
        let fields = &request.fields;
        let ok = Ok(Fields::default());
        match request.op.as_str() {
            "hello" => Ok(Fields::default()
                .with("name", "rust-async")
                .with("can", "apart,block,cancel,drop,exact_cancel")),
            "connect" => {
                let url = fields.text("url").map_err(Fault::usage)?;
                let client = Client::connect_with(url, kit::client_options(fields)?)
                    .await
                    .map_err(|e| fault(&e))?;
                self.clients.borrow_mut().insert(key(fields, "client")?, client);
                ok
            }
            "close" => {
                self.client(&key(fields, "client")?)?.close().await;
                ok
            }
            "acquire" => {
                let wish = Wish::read(fields)?;
                let lease = acquire(&self.lock(&wish)?, wish.timeout).await?;
                Ok(self.keep(key(fields, "lease")?, lease))
            }
            "try" => match self.lock(&Wish::read(fields)?)?.try_acquire().await {
                Ok(Some(lease)) => Ok(self.keep(key(fields, "lease")?, lease)),
                Ok(None) => Ok(Fields::default().with("busy", 1)),
                Err(error) => Err(fault(&error)),
            },
            "cancel" => {
                let request = fields.number("request").map_err(Fault::usage)?;
                if let Some(cancelled) = self.cancelled.borrow().get(&request) {
                    cancelled.notify_one();
                }
                ok
            }
            "held" => {
                let (at, lease) = (boot_nanos(), self.lease(fields)?);
                let fields = kit::lease_fields(at, lease.fence(), lease.remaining());
                Ok(fields.with("held", u8::from(lease.is_held())))
            }
            "check" => self.lease(fields)?.check().map_err(|e| fault(&e)).and(ok),
            "renew" => self.lease(fields)?.renew().await.map_err(|e| fault(&e)).and(ok),
            "release" => {
                let at = boot_nanos();
                self.take(fields)?.release().await.map_err(|e| fault(&e))?;
                Ok(Fields::default().with("at", at))
            }
            "drop" => {
                let at = boot_nanos();
                drop(self.take(fields)?);
                Ok(Fields::default().with("at", at))
            }
            "inspect" => {
                let client = self.client(&key(fields, "client")?)?;
                let name = fields.text("name").map_err(Fault::usage)?;
                let seen = client.inspect(name).await.map_err(|e| fault(&e))?;
                Ok(kit::inspection_fields(&seen))
            }
            "sections" => self.sections(fields).await,
            "block" => {
                // The whole runtime stands still, as a computation in a task would make it.
                thread::sleep(fields.millis("ms").map_err(Fault::usage)?.unwrap_or_default());
                ok
            }
            op => Err(Fault::usage(format!("no operation {op}"))),
        }
    }

    fn client(&self, client: &str) -> Result<Client, Fault> {
        let found = self.clients.borrow().get(client).cloned();
        found.ok_or_else(|| Fault::usage("no such client"))
    }

    fn lock(&self, wish: &Wish) -> Result<Lock, Fault> {
        let client = self.client(&wish.client)?;
        Ok(describe!(client, wish))
    }

    fn lease(&self, fields: &Fields) -> Result<Rc<Lease>, Fault> {
        let found = self.leases.borrow().get(&key(fields, "lease")?).cloned();
        found.ok_or_else(|| Fault::usage("no such lease"))
    }

    /// Takes a lease out for good: `release` consumes it.
    fn take(&self, fields: &Fields) -> Result<Lease, Fault> {
        let lease = self.leases.borrow_mut().remove(&key(fields, "lease")?);
        lease.and_then(Rc::into_inner).ok_or_else(|| Fault::usage("no such lease, or it is in use"))
    }

    fn keep(&self, id: String, lease: Lease) -> Fields {
        let fields = kit::lease_fields(boot_nanos(), lease.fence(), lease.remaining());
        let (lost, told) = (lease.lost(), id.clone());
        tokio::task::spawn_local(async move { kit::say_lost(&told, lost.await) });
        self.leases.borrow_mut().insert(id, Rc::new(lease));
        fields
    }

    /// Takes and gives back the lock so often, as fast as it can.
    async fn sections(&self, fields: &Fields) -> Answer {
        let wish = Wish::read(fields)?;
        let lock = self.lock(&wish)?;
        let mut spans = Vec::new();
        for _ in 0..fields.number("n").map_err(Fault::usage)? {
            let lease = acquire(&lock, wish.timeout).await?;
            let (fence, from, until) = (lease.fence(), boot_nanos(), boot_nanos());
            lease.release().await.map_err(|e| fault(&e))?;
            spans.push(format!("{fence}:{from}:{until}"));
        }
        Ok(Fields::default().with("spans", spans.join(",")))
    }
}

async fn acquire(lock: &Lock, timeout: Option<Duration>) -> Result<Lease, Fault> {
    let mut acquire = lock.acquire();
    if let Some(time) = timeout {
        acquire = acquire.timeout(time);
    }
    acquire.await.map_err(|e| fault(&e))
}

fn key(fields: &Fields, key: &str) -> Result<String, Fault> {
    fields.text(key).map(ToOwned::to_owned).map_err(Fault::usage)
}
