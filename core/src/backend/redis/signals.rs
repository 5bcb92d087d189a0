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
    let link = match Link::open(endpoint, dialect, Some(on_push(speaker, sink)), by).await? {
        Some(link) => {
            link.subscribe(&channel, by).await?;
            link
        }
        None => open_resp2(endpoint, dialect, &channel, speaker, sink, by).await?,
    };
    // Whether messages arrive is tried out: behind some proxies they do not.
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(&channel).arg("T");
    let heard = match link.send(&publish, by).await {
        Ok(receivers) => matches!(receivers, Value::Int(1..)),
        Err(error) if error.kind() == ErrorKind::Backend => false,
        Err(error) => return Err(error),
    };
    if !heard {
        tracing::warn!(
            "{endpoint} does not pass messages on; the head of each queue polls instead"
        );
    }
    Ok(Listening { link, mode: if heard { PushMode::Channel } else { PushMode::None } })
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

/// A second connection for messages; when it ends, the link is discarded with it.
async fn open_resp2(
    endpoint: &Endpoint,
    dialect: &Dialect,
    channel: &str,
    speaker: &Arc<Speaker>,
    sink: &SignalSink,
    by: Moment,
) -> Result<Link> {
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
        Ok(Err(error)) => return Err(login_failed(endpoint, &error)),
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
    Ok(link)
}
