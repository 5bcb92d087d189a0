//! fencelock for Python: thin classes over the blocking API, and over its completions for asyncio. The idioms (`with`, decorators,
//! exceptions) are Python, in `python/fencelock/`; what a lock is stays in the core.

mod calls;
mod client;
mod error;
mod events;
mod lease;
mod lock;
mod options;
mod port;

/// Small values come and go with each lock, and glibc's allocator takes its time with them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `fencelock` is made of; not for use by others.
#[pyo3::pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::calls::close_all;
    #[pymodule_export]
    use super::client::{Client, resolve_url};
    #[pymodule_export]
    use super::error::{error_kinds, loss_reasons, make_error, use_errors};
    #[pymodule_export]
    use super::events::{forward_log, next_event, stop_events};
    #[pymodule_export]
    use super::lease::Lease;
    #[pymodule_export]
    use super::lock::Lock;
    #[pymodule_export]
    use super::port::{Operation, Port};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("DEFAULT_TTL", fencelock::DEFAULT_TTL.as_secs_f64())?;
        module.add("URL_VARIABLE", fencelock::URL_VARIABLE)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
