//! The client.

use std::ffi::{c_char, c_int};
use std::sync::Arc;

use fencelock::{blocking, resolve_url};

use crate::boundary::{Out, c_text, guard};
use crate::callbacks::refuse_inside;
use crate::client_options::{ClientSettings, fencelock_client_options};
use crate::error::{Failure, fencelock_error};
use crate::events::Events;
use crate::handle::{self, Kind, Registry};

/// One server, by URL: gives locks.
#[derive(Debug)]
pub struct fencelock_client {
    _opaque: [u8; 0],
}

/// What a client and its leases share.
pub(crate) struct Client {
    pub(crate) inner: blocking::Client,
    pub(crate) events: Events,
}

impl Kind for Arc<Client> {
    type Opaque = fencelock_client;
    const NUMBER: u64 = 3;
    const NAME: &'static str = "fencelock_client";

    fn registry() -> &'static Registry<Self> {
        static CLIENTS: Registry<Arc<Client>> = Registry::new();
        &CLIENTS
    }

    fn retire(&self) {
        self.events.close();
    }
}

fn connect(url: &str, settings: ClientSettings) -> Result<blocking::Client, Failure> {
    let (options, cancel) = (settings.options, settings.cancel);
    if settings.lazy {
        return Ok(blocking::Client::lazy(url, options)?);
    }
    Ok(match cancel {
        None => blocking::Client::connect_with(url, options)?,
        Some(cancel) => {
            blocking::Client::connect_interruptible(url, options, &mut || cancel.is_fired())?
        }
    })
}

/// Connects to a server. Blocks for the connect timeout at most (default 5 s).
///
/// `url` ends in NUL, such as `redis://localhost:6379/0`; NULL stands for the environment variable
/// `FENCELOCK_URL`. `options` may be NULL for the defaults, and may be freed or changed afterwards.
/// On success `*client` is a client, to be freed with `fencelock_client_free`. Any thread.
///
/// After `fork` the child's copy connects anew when it is used first; leases stay with the parent.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` for a URL that can't be read or options out of range,
/// `FENCELOCK_UNAVAILABLE`, `FENCELOCK_DENIED`, `FENCELOCK_CANCELLED`; `FENCELOCK_WOULD_DEADLOCK`
/// from a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_connect(
    url: *const c_char,
    options: *const fencelock_client_options,
    client: *mut *mut fencelock_client,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_connect", error, || {
        let client = Out::new(client, "client")?;
        let url = if url.is_null() { None } else { Some(c_text(url, "url")?) };
        let settings = ClientSettings::of(options)?;
        refuse_inside()?;
        let inner = connect(&resolve_url(url)?, settings)?;
        client.set(handle::hand_out(Arc::new(Client { inner, events: Events::new() }))?);
        Ok(())
    })
}

/// Ends every wait of a client with `FENCELOCK_CLOSED`, releases every lease and closes the
/// connections. Blocks for at most about 1 s. The client has to be freed all the same. Closing
/// again does nothing. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`; `FENCELOCK_WOULD_DEADLOCK` from a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_close(
    client: *mut fencelock_client,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_client_close", error, || {
        let client = Arc::clone(&*handle::find::<Arc<Client>>(client)?);
        refuse_inside()?;
        client.inner.close();
        Ok(())
    })
}

/// The descriptor for an event loop: readable (poll, epoll, kqueue) when `fencelock_next_event`
/// has something to give. It belongs to the client, which closes it when it is freed: take it out
/// of the loop before. A forked child has another one. Do not read from it. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`; `FENCELOCK_INTERNAL` if there are no more descriptors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_fd(
    client: *mut fencelock_client,
    fd: *mut c_int,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_client_fd", error, || {
        let fd = Out::new(fd, "fd")?;
        fd.set(handle::find::<Arc<Client>>(client)?.events.queue()?.descriptor());
        Ok(())
    })
}

/// Frees a client; NULL is none. Waits that `fencelock_begin_acquire` began are cancelled and
/// events are dropped, the leases that came with them given back; calls that other threads are in
/// the middle of come to their end. Leases that the program has go on until they are released,
/// freed or lost: `fencelock_client_close` ends them. Does not block. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_free(client: *mut fencelock_client) -> i32 {
    guard("fencelock_client_free", std::ptr::null_mut(), || handle::free::<Arc<Client>>(client))
}
