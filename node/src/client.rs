//! The client.

use fencelock::{Holder, Inspection, blocking};
use napi::Either;
use napi_derive::napi;

use crate::error::Failure;
use crate::options::{ConnectParts, client_options, number, to_millis};
use crate::port::Port;

/// One backend, by URL.
#[napi]
#[derive(Debug)]
pub struct Client {
    pub(crate) inner: blocking::Client,
    port: Port,
    number: u32,
}

/// Who holds a lock.
#[napi(object)]
#[derive(Debug)]
pub struct HolderParts {
    /// Tells holders apart.
    pub id: String,
    /// Whether another library holds it.
    pub foreign: bool,
    /// Its fence.
    pub fence: Option<f64>,
    /// ms.
    pub ttl: Option<f64>,
    /// ms.
    pub remaining: Option<f64>,
    /// What it calls itself.
    pub label: String,
}

/// What can be seen of a lock.
#[napi(object)]
#[derive(Debug)]
pub struct InspectionParts {
    /// Who holds it.
    pub holder: Option<HolderParts>,
    /// How many wait.
    pub waiters: f64,
}

#[napi]
impl Client {
    /// A client that connects when it is used first.
    #[napi(catch_unwind)]
    pub fn describe(port: &Port, url: String, parts: ConnectParts) -> Either<Client, Failure> {
        let described =
            client_options(parts).and_then(|options| blocking::Client::lazy(&url, options));
        match described {
            Ok(inner) => {
                let number = port.keep(&inner);
                Either::A(Self { inner, port: port.clone(), number })
            }
            Err(error) => Either::B(error.into()),
        }
    }

    /// The server, without password.
    #[napi(getter, catch_unwind)]
    pub fn server(&self) -> String {
        self.inner.server()
    }

    /// Connects it.
    #[napi(catch_unwind)]
    pub fn begin_connect(&self) -> u32 {
        self.port.begin(|number, event_loop| {
            self.inner.begin_connect(event_loop, self.port.done(number))
        })
    }

    /// Looks at a lock.
    #[napi(catch_unwind)]
    pub fn begin_inspect(&self, name: String) -> u32 {
        self.port.begin(|number, _| self.inner.begin_inspect(&name, self.port.seen(number)))
    }

    /// Ends every wait, releases every lease and closes the connections.
    #[napi(catch_unwind)]
    pub fn begin_close(&self) -> u32 {
        self.port.begin_with(|number, _| {
            let done = self.port.done(number);
            self.inner.begin_close(move |()| done(Ok(())));
            Ok(None)
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.port.forget(self.number);
    }
}

impl From<Inspection> for InspectionParts {
    fn from(seen: Inspection) -> Self {
        Self { holder: seen.holder.map(HolderParts::from), waiters: number(seen.waiters) }
    }
}

impl From<Holder> for HolderParts {
    fn from(holder: Holder) -> Self {
        Self {
            id: holder.id,
            foreign: holder.foreign,
            fence: holder.fence.map(number),
            ttl: holder.ttl.map(to_millis),
            remaining: holder.remaining.map(to_millis),
            label: holder.label,
        }
    }
}
