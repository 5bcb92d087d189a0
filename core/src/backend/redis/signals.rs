//! How grants are heard of: RESP3 pushes on the engine's own connection, or, where the server
//! speaks RESP2 only, messages on a second connection.

use std::sync::Arc;

use futures_util::StreamExt;
use redis::{ProtocolVersion, PushKind, Value};

use super::connection::{Dialect, Link, login, login_failed};
use super::protocol::{PushMode, Speaker, channel};
use super::stream::{self, Endpoint};
use crate::backend::{Signal, SignalSink};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Result};

/// The engine's connection, on which (or beside which) grants are heard of.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    pub(super) link: Link,
    pub(super) mode: PushMode,
}

/// Opens the engine's connection and subscribes; returns when the subscription is confirmed.
pub(super) async fn open(
    endpoint: &Endpoint,
    dialect: &Dialect,
    speaker: &Arc<Speaker>,
    sink: &SignalSink,
    by: Moment,
) -> Result<Listening> {
    let channel = channel(&speaker.client);
    let (link, subscribed) =
        match Link::open(endpoint, dialect, Some(on_push(speaker, sink)), by).await? {
            Some(link) => {
                let subscribed = understood(link.subscribe(&channel, by).await)?.is_some();
                (link, subscribed)
            }
            None => open_resp2(endpoint, dialect, &channel, speaker, sink, by).await?,
        };
    let heard = subscribed && is_heard(&link, &channel, by).await?;
    // A connection that broke meanwhile says nothing about the server; it is replaced soon.
    if !heard && !link.is_broken() {
        tracing::warn!(
            "{endpoint} does not pass messages on; the head of each queue polls instead"
        );
    }
    Ok(Listening { link, mode: if heard { PushMode::Channel } else { PushMode::None } })
}

/// Whether messages arrive, which is tried out: behind some proxies they do not. That a user may
/// not publish, or ask who listens, is told here and not degraded: the scripts would pass over it.
async fn is_heard(link: &Link, channel: &str, by: Moment) -> Result<bool> {
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(channel).arg("T");
    let mut listeners = redis::cmd("PUBSUB");
    listeners.arg("NUMSUB").arg(channel);
    let (published, counted) = tokio::join!(link.send(&publish, by), link.send(&listeners, by));
    let (published, counted) = (understood(published)?, understood(counted)?);
    Ok(matches!(published, Some(Value::Int(1..))) && counted.is_some())
}

/// `None` where the server, or a proxy before it, does not know the command.
fn understood<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == ErrorKind::Backend => Ok(None),
        Err(error) => Err(error),
    }
}

fn on_push(speaker: &Arc<Speaker>, sink: &SignalSink) -> super::connection::PushSink {
    let (speaker, sink) = (speaker.clone(), sink.clone());
    Box::new(move |info| match info.kind {
        PushKind::Message => {
            if let Some(Value::BulkString(payload)) = info.data.get(1)
                && let Some(signal) = speaker.read_message(payload)
            {
                sink(signal);
            }
        }
        PushKind::Disconnection => sink(Signal::LookAll),
        _ => {}
    })
}

/// A second connection for messages; when it ends, the link is discarded with it. False if
/// messages are not served.
async fn open_resp2(
    endpoint: &Endpoint,
    dialect: &Dialect,
    channel: &str,
    speaker: &Arc<Speaker>,
    sink: &SignalSink,
    by: Moment,
) -> Result<(Link, bool)> {
    let missing = || Error::unavailable("the connection could not be opened");
    let link = Link::open(endpoint, dialect, None, by).await?.ok_or_else(missing)?;
    let stream = stream::open(endpoint, by).await?;
    let subscribe = async {
        let login = login(&endpoint.url, ProtocolVersion::RESP2);
        let mut messages = redis::aio::PubSub::new(&login, stream).await?;
        messages.subscribe(channel).await?;
        Ok(messages)
    };
    let messages = match tokio::time::timeout_at(by.for_timer(), subscribe).await {
        Ok(Ok(messages)) => messages,
        Ok(Err(error)) => {
            understood(Err::<(), _>(login_failed(endpoint, &error)))?;
            return Ok((link, false));
        }
        Err(_) => {
            return Err(Error::unavailable(format!(
                "{endpoint} did not confirm SUBSCRIBE in time"
            )));
        }
    };
    let (speaker, sink, watched) = (speaker.clone(), sink.clone(), link.clone());
    tokio::spawn(async move {
        let mut messages = messages.into_on_message();
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => {
                        if let Some(signal) = speaker.read_message(message.get_payload_bytes()) {
                            sink(signal);
                        }
                    }
                    None => break,
                },
                () = watched.broken() => break,
            }
        }
        watched.discard();
        sink(Signal::LookAll);
    });
    Ok((link, true))
}
