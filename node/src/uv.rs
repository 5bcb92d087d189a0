//! The little of libuv that is used: a descriptor that Node's loop watches, and a moment before it
//! sleeps. Node's program brings libuv, whose interface has been the same since version 1.19.
#![expect(unsafe_code, reason = "libuv and the raw Node-API are C")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::rc::Rc;

use napi::bindgen_prelude::ToNapiValue;
use napi::{Env, Error, Result, check_status, sys};

const UV_POLL: c_int = 8;
const UV_PREPARE: c_int = 9;
const UV_READABLE: c_int = 1;

#[repr(C)]
struct Raw {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn uv_version() -> c_uint;
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_handle_set_data(handle: *mut Raw, data: *mut c_void);
    fn uv_handle_get_data(handle: *const Raw) -> *mut c_void;
    fn uv_poll_init(event_loop: *mut sys::uv_loop_s, handle: *mut Raw, fd: c_int) -> c_int;
    fn uv_poll_start(
        handle: *mut Raw,
        events: c_int,
        call: unsafe extern "C" fn(*mut Raw, c_int, c_int),
    ) -> c_int;
    fn uv_poll_stop(handle: *mut Raw) -> c_int;
    fn uv_prepare_init(event_loop: *mut sys::uv_loop_s, handle: *mut Raw) -> c_int;
    fn uv_prepare_start(handle: *mut Raw, call: unsafe extern "C" fn(*mut Raw)) -> c_int;
    fn uv_ref(handle: *mut Raw);
    fn uv_unref(handle: *mut Raw);
    fn uv_close(handle: *mut Raw, call: unsafe extern "C" fn(*mut Raw));
}

/// What a loop does for its port; all on the loop's thread.
pub(crate) trait Turns {
    /// The descriptor is readable: what is to be told to JavaScript.
    fn readable(&self, env: Env);
    /// Everything that was ready has run; also right after JavaScript was told.
    fn before_sleep(&self);
    /// The environment ends: no turn comes any more.
    fn ended(&self);
}

/// A descriptor watched by the loop of an environment, until the environment ends.
#[derive(Debug)]
pub(crate) struct Watch {
    poll: *mut Raw,
}

/// What the handles and the hook at the end point to; it is freed when both handles are closed.
struct Watched {
    env: sys::napi_env,
    turns: Rc<dyn Turns>,
    poll: *mut Raw,
    prepare: *mut Raw,
    closing: u8,
    hook: sys::napi_async_cleanup_hook_handle,
}

impl Watch {
    /// Has `turns` called when the descriptor is readable. It does not keep the loop alive.
    pub(crate) fn start(env: Env, fd: RawFd, turns: Rc<dyn Turns>) -> Result<Self> {
        let event_loop = env.get_uv_event_loop()?;
        // SAFETY: the loop lives as long as its environment; the handles are of the sizes that
        // libuv says, and stay where they are until `closed`. What they point to does, too.
        unsafe {
            if uv_version() >> 16 != 1 {
                return Err(Error::from_reason("fencelock needs a Node with libuv 1"));
            }
            let (poll, prepare) = (allocate(UV_POLL), allocate(UV_PREPARE));
            let failed = |code| Error::from_reason(format!("libuv answered {code}"));
            match uv_poll_init(event_loop, poll, fd) {
                0 => {}
                code => return Err(failed(code)),
            }
            // It has no way to fail.
            uv_prepare_init(event_loop, prepare);
            let hook = null_mut();
            let watched = Watched { env: env.raw(), turns, poll, prepare, closing: 2, hook };
            let watched = Box::into_raw(Box::new(watched));
            uv_handle_set_data(poll, watched.cast());
            uv_handle_set_data(prepare, watched.cast());
            uv_prepare_start(prepare, on_prepare);
            uv_unref(prepare);
            uv_unref(poll);
            match uv_poll_start(poll, UV_READABLE, on_readable) {
                0 => {}
                code => return Err(failed(code)),
            }
            let hook = &raw mut (*watched).hook;
            check_status!(sys::napi_add_async_cleanup_hook(
                env.raw(),
                Some(on_end),
                watched.cast(),
                hook
            ))?;
            Ok(Self { poll })
        }
    }

    /// The descriptor is watched no more, and may be closed.
    pub(crate) fn stop(self) {
        // SAFETY: the handle is open until the environment ends.
        unsafe { uv_poll_stop(self.poll) };
    }

    /// Whether the descriptor keeps the loop alive.
    pub(crate) fn keep_alive(&self, keep: bool) {
        // SAFETY: the handle is open until the environment ends.
        unsafe { if keep { uv_ref(self.poll) } else { uv_unref(self.poll) } }
    }
}

/// Calls a function of JavaScript from the loop, and lets what it set going run.
pub(crate) fn call<T: ToNapiValue>(
    env: Env,
    function: sys::napi_value,
    (first, second): (u32, Option<T>),
) {
    let raw = env.raw();
    // SAFETY: called on the loop's thread, within a handle scope, with a function of it.
    unsafe {
        let Ok(first) = u32::to_napi_value(raw, first) else { return };
        let Ok(second) = Option::<T>::to_napi_value(raw, second) else { return };
        let arguments = [first, second];
        let (mut receiver, mut result) = (null_mut(), null_mut());
        sys::napi_get_global(raw, &raw mut receiver);
        let status = sys::napi_make_callback(
            raw,
            null_mut(),
            receiver,
            function,
            arguments.len(),
            arguments.as_ptr(),
            &raw mut result,
        );
        if status == sys::Status::napi_pending_exception {
            let mut exception = null_mut();
            sys::napi_get_and_clear_last_exception(raw, &raw mut exception);
            sys::napi_fatal_exception(raw, exception);
        }
    }
}

/// Runs something that makes values of JavaScript, and frees them.
pub(crate) fn scoped(env: Env, work: impl FnOnce()) {
    let mut scope = null_mut();
    // SAFETY: opened and closed here, in this order, on the loop's thread.
    unsafe {
        if sys::napi_open_handle_scope(env.raw(), &raw mut scope) != sys::Status::napi_ok {
            return;
        }
        work();
        sys::napi_close_handle_scope(env.raw(), scope);
    }
}

fn layout(kind: c_int) -> Layout {
    // SAFETY: it only looks the number up.
    let size = unsafe { uv_handle_size(kind) };
    Layout::from_size_align(size, align_of::<u128>()).unwrap_or(Layout::new::<[u128; 64]>())
}

fn allocate(kind: c_int) -> *mut Raw {
    let layout = layout(kind);
    // SAFETY: no handle has the size 0.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    memory.cast()
}

/// No panic enters libuv's frames.
fn guarded(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("a bug of fencelock: a turn of the event loop panicked");
    }
}

unsafe extern "C" fn on_readable(handle: *mut Raw, _status: c_int, _events: c_int) {
    // SAFETY: set by `start`, freed after the handle is closed.
    let watched = unsafe { &*uv_handle_get_data(handle).cast::<Watched>() };
    let turns = watched.turns.clone();
    let env = Env::from_raw(watched.env);
    guarded(|| scoped(env, || turns.readable(env)));
    guarded(|| turns.before_sleep());
}

unsafe extern "C" fn on_prepare(handle: *mut Raw) {
    // SAFETY: as in `on_readable`.
    let watched = unsafe { &*uv_handle_get_data(handle).cast::<Watched>() };
    guarded(|| watched.turns.before_sleep());
}

/// The environment ends: the handles are closed, which takes a turn of the loop each.
unsafe extern "C" fn on_end(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    let watched = data.cast::<Watched>();
    // SAFETY: it is freed in `on_closed`, which libuv calls later.
    unsafe {
        let (poll, prepare, turns) =
            ((*watched).poll, (*watched).prepare, (*watched).turns.clone());
        guarded(|| turns.ended());
        uv_close(poll, on_poll_closed);
        uv_close(prepare, on_prepare_closed);
    }
}

unsafe extern "C" fn on_poll_closed(handle: *mut Raw) {
    // SAFETY: libuv has no use for the handle any more.
    unsafe { closed(handle, UV_POLL) }
}

unsafe extern "C" fn on_prepare_closed(handle: *mut Raw) {
    // SAFETY: libuv has no use for the handle any more.
    unsafe { closed(handle, UV_PREPARE) }
}

unsafe fn closed(handle: *mut Raw, kind: c_int) {
    // SAFETY: `Watched` is freed with its second handle, both of which were made by `allocate`.
    unsafe {
        let watched = uv_handle_get_data(handle).cast::<Watched>();
        dealloc(handle.cast(), layout(kind));
        (*watched).closing -= 1;
        if (*watched).closing == 0 {
            let watched = Box::from_raw(watched);
            sys::napi_remove_async_cleanup_hook(watched.hook);
        }
    }
}
