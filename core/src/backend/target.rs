//! What a client locks with, by its URL.

use std::fmt;
use std::sync::Arc;

use super::embedded::{EmbeddedBackend, Place};
use super::redis::{Endpoint, RedisBackend};
use super::{Backend, SignalSink};
use crate::error::Result;
use crate::options::ClientOptions;
use crate::url::Url;

/// A backend that is not open yet, and opened anew after a fork.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Redis(Arc<Endpoint>),
    Embedded(Arc<Place>),
}

impl Target {
    pub(crate) fn new(url: Url, options: &ClientOptions) -> Result<Self> {
        Ok(match url {
            Url::Redis(url) => Self::Redis(Arc::new(Endpoint::new(url, options)?)),
            Url::Embedded(url) => Self::Embedded(Arc::new(Place::new(url, options)?)),
        })
    }

    /// The backend for one session, of a client with this id. Nothing is opened.
    pub(crate) fn backend(
        &self,
        options: &ClientOptions,
        client: String,
        sink: SignalSink,
    ) -> Box<dyn Backend> {
        match self {
            Self::Redis(endpoint) => {
                Box::new(RedisBackend::new(endpoint.clone(), options, client, sink))
            }
            Self::Embedded(place) => {
                Box::new(EmbeddedBackend::new(place.clone(), options, client, sink))
            }
        }
    }
}

/// For people to read, without password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(endpoint) => endpoint.fmt(f),
            Self::Embedded(place) => place.fmt(f),
        }
    }
}
