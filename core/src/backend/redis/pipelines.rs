//! Which event loops of a client's callers have a connection of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::Core;
use super::pipeline::RedisPipeline;
use crate::clock::Moment;
use crate::engine;
use crate::error::Error;
use crate::event_loop::EventLoop;

/// After a connection was opened for a loop, the next is opened this much later at the earliest,
/// so that a server that refuses us is not flooded; meanwhile the engine's connection serves.
const PAUSE: Duration = Duration::from_secs(1);

/// The pipelines of one client, by the loops' numbers.
#[derive(Debug, Default)]
pub(super) struct Pipelines(Mutex<FxHashMap<u64, Known>>);

#[derive(Debug)]
struct Known {
    /// `None` while it is being opened, or could not be.
    pipeline: Option<Arc<RedisPipeline>>,
    not_before: Moment,
}

impl Known {
    fn is_open(&self) -> bool {
        self.pipeline.as_ref().is_some_and(|pipeline| pipeline.is_open())
    }
}

impl Pipelines {
    fn known(&self) -> MutexGuard<'_, FxHashMap<u64, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop's connection, if it is open; if not, it is opened in the background.
    pub(super) fn get(
        &self,
        core: &Arc<Core>,
        event_loop: &EventLoop,
    ) -> Option<Arc<RedisPipeline>> {
        let id = event_loop.shared.id;
        if let Some(known) = self.known().get(&id) {
            if known.is_open() {
                return known.pipeline.clone();
            }
            if Moment::now() < known.not_before {
                return None;
            }
        }
        engine::spawn(self.open(core, event_loop));
        None
    }

    /// Opens a connection for the loop. By TLS there is none: the engine's serves.
    pub(super) fn open(
        &self,
        core: &Arc<Core>,
        event_loop: &EventLoop,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (core, shared) = (core.clone(), event_loop.shared.clone());
        let by = Moment::now() + core.connect_timeout;
        // Another is not begun while this one may be under way.
        let opening = Known { pipeline: None, not_before: by.max(Moment::now() + PAUSE) };
        let mut known = self.known();
        // Loops come and go; what they left behind goes when a new one comes.
        let now = Moment::now();
        known.retain(|_, known| known.is_open() || now < known.not_before);
        known.insert(shared.id, opening);
        drop(known);
        async move {
            if core.endpoint.tls.is_some() || core.check_open().is_err() {
                return;
            }
            let pipeline = match RedisPipeline::open(&core, &shared, by).await {
                Ok(pipeline) => pipeline,
                Err(error) => {
                    tracing::debug!("no connection for an event loop: {error}");
                    None
                }
            };
            let opened = Known { pipeline, not_before: Moment::now() + PAUSE };
            let mut known = core.pipelines.known();
            // One that another call opened meanwhile may be in use already.
            if !known.get(&shared.id).is_some_and(Known::is_open) {
                known.insert(shared.id, opened);
            }
            drop(known);
            if core.check_open().is_err() {
                core.pipelines.end();
            }
        }
    }

    /// Closes them all.
    pub(super) fn end(&self) {
        let known = std::mem::take(&mut *self.known());
        for pipeline in known.into_values().filter_map(|known| known.pipeline) {
            pipeline.end(&Error::closed());
        }
    }
}
