//! Shared (multiplexed) connections to one server, and how every connection logs in.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisError, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::protocol::{Call, is_noscript, read_error};
use super::stream::{self, Endpoint};
use super::{denied, handshake};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::fork::Native;
use crate::url::{Place, RedisUrl};

/// What the login of every connection needs.
pub(super) fn login(url: &RedisUrl, protocol: ProtocolVersion) -> RedisConnectionInfo {
    let mut info = RedisConnectionInfo::default()
        .set_db(i64::from(url.db))
        .set_protocol(protocol)
        .set_skip_set_lib_name();
    if let Some(username) = &url.username {
        info = info.set_username(username.reveal());
    }
    if let Some(password) = &url.password {
        info = info.set_password(password.reveal());
    }
    info
}

/// What a failed login means: it is also where TLS 1.3 tells of a client certificate.
pub(super) fn login_failed(endpoint: &Endpoint, error: &RedisError) -> Error {
    handshake::denied(error, endpoint.tls.as_ref().map(|tls| tls.identified))
        .or_else(|| {
            let plain = matches!(endpoint.url.place, Place::Tcp { tls: false, .. });
            (plain && error.is_connection_dropped()).then(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("{endpoint} closed the connection before it answered: {error}"),
                    "check that the server runs, and that this is not its TLS port, for which to \
                     write rediss://",
                )
            })
        })
        .unwrap_or_else(|| read_error(error, false))
}

/// Takes what the server pushes; called on the connection's task.
pub(super) type PushSink = Box<dyn Fn(redis::PushInfo) + Send + Sync>;

/// A shared connection: concurrent calls share writes. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Link {
    connection: Native<MultiplexedConnection>,
    state: Arc<LinkState>,
}

#[derive(Debug, Default)]
struct LinkState {
    broken: AtomicBool,
    broke: Notify,
    driver: Mutex<Option<Native<AbortHandle>>>,
}

impl LinkState {
    fn discard(&self) {
        self.broken.store(true, Ordering::Release);
        // Kept for a listener that comes only now.
        self.broke.notify_one();
    }
}

impl Drop for LinkState {
    fn drop(&mut self) {
        let driver = self.driver.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = driver.as_ref().and_then(Native::get) {
            driver.abort();
        }
    }
}

/// Which protocol the server speaks: 0 not known yet, else 2 or 3.
#[derive(Debug, Default)]
pub(super) struct Dialect(AtomicU8);

impl Dialect {
    pub(super) fn new(url: &RedisUrl) -> Self {
        Self(AtomicU8::new(if url.resp2 { 2 } else { 0 }))
    }

    pub(super) fn has_push(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 2
    }
}

impl Link {
    /// Opens a connection on the runtime that this is called on. `on_push` needs RESP3; `None`
    /// comes back for it where the server speaks RESP2 only.
    pub(super) async fn open(
        endpoint: &Endpoint,
        dialect: &Dialect,
        on_push: Option<PushSink>,
        by: Moment,
    ) -> Result<Option<Self>> {
        let mut config =
            AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let wants_push = on_push.is_some();
        if let Some(on_push) = on_push {
            if !dialect.has_push() {
                return Ok(None);
            }
            config = config.set_push_sender(move |info| {
                on_push(info);
                Ok::<(), redis::aio::SendError>(())
            });
        }
        let protocol = if wants_push { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
        let stream = stream::open(endpoint, by).await?;
        let login = login(&endpoint.url, protocol);
        let opening = MultiplexedConnection::new_with_config(&login, stream, config);
        let (connection, driver) = match tokio::time::timeout_at(by.for_timer(), opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) if wants_push && refuses_resp3(&error) => {
                dialect.0.store(2, Ordering::Relaxed);
                return Ok(None);
            }
            Ok(Err(error)) => return Err(login_failed(endpoint, &error)),
            Err(_) => {
                return Err(Error::unavailable(format!(
                    "{endpoint} did not answer to the login in time"
                )));
            }
        };
        let state = Arc::new(LinkState::default());
        let weak = Arc::downgrade(&state);
        let driver = tokio::spawn(async move {
            driver.await;
            if let Some(state) = weak.upgrade() {
                state.discard();
            }
        });
        *state.driver.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Native::new(driver.abort_handle()));
        Ok(Some(Self { connection: Native::new(connection), state }))
    }

    pub(super) fn is_broken(&self) -> bool {
        self.state.broken.load(Ordering::Acquire)
    }

    /// Not to be used for new calls.
    pub(super) fn discard(&self) {
        self.state.discard();
    }

    /// Returns when it is not to be used any more.
    pub(super) async fn broken(&self) {
        while !self.is_broken() {
            self.state.broke.notified().await;
        }
    }

    fn connection(&self) -> Result<MultiplexedConnection> {
        self.connection
            .get()
            .cloned()
            .ok_or_else(|| Error::unavailable("the connection belongs to the parent process"))
    }

    /// Sends one script call. That the server has forgotten the script is not noticed.
    pub(super) async fn call(&self, call: &Call, by: Moment) -> Result<Value> {
        let mut connection = self.connection()?;
        let exchange = async {
            let sent = connection.send_packed_command(&call.cmd).await;
            let result = match sent.and_then(Value::extract_error) {
                Err(error) if is_noscript(&error) => {
                    let eval = call.with_source();
                    connection.send_packed_command(&eval).await.and_then(Value::extract_error)
                }
                result => result,
            };
            match result {
                Err(error) if denied::is_unnamed(&error) => {
                    Err(Box::pin(diagnose(&mut connection, call, error)).await)
                }
                result => result,
            }
        };
        self.within(by, exchange).await
    }

    /// Sends many script calls in one write; each has an answer of its own.
    pub(super) async fn call_many(&self, calls: &[Call], by: Moment) -> Result<Vec<Result<Value>>> {
        let mut connection = self.connection()?;
        let exchange = async {
            let mut values =
                send_many(&mut connection, calls.iter().map(|c| c.cmd.clone())).await?;
            let unknown: Vec<usize> = (0..values.len().min(calls.len()))
                .filter(|&i| matches!(&values[i], Err(error) if is_noscript(error)))
                .collect();
            let evals = unknown.iter().map(|&i| calls[i].with_source());
            if !unknown.is_empty() {
                let again = send_many(&mut connection, evals).await?;
                for (i, value) in unknown.into_iter().zip(again) {
                    values[i] = value;
                }
            }
            for (value, call) in values.iter_mut().zip(calls) {
                if let Err(error) = value
                    && denied::is_unnamed(error)
                {
                    *value = Err(diagnose(&mut connection, call, error.clone()).await);
                }
            }
            Ok(values)
        };
        let values = self.within(by, exchange).await?;
        Ok(values.into_iter().map(|v| v.map_err(|error| read_error(&error, true))).collect())
    }

    /// Sends one plain command.
    pub(super) async fn send(&self, cmd: &redis::Cmd, by: Moment) -> Result<Value> {
        let mut connection = self.connection()?;
        let exchange =
            async { connection.send_packed_command(cmd).await.and_then(Value::extract_error) };
        self.within(by, exchange).await
    }

    pub(super) async fn subscribe(&self, channel: &str, by: Moment) -> Result<()> {
        let mut connection = self.connection()?;
        self.within(by, async { connection.subscribe(channel).await }).await
    }

    /// Waits for an exchange, but not for ever: a connection that does not answer in time is
    /// not used again.
    async fn within<T>(
        &self,
        by: Moment,
        exchange: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T> {
        match tokio::time::timeout_at(by.for_timer(), exchange).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if error.code().is_none() {
                    self.discard();
                }
                Err(read_error(&error, true))
            }
            Err(_) => {
                self.discard();
                Err(Error::unavailable("the server did not answer in time").maybe_done())
            }
        }
    }
}

async fn diagnose(
    connection: &mut MultiplexedConnection,
    call: &Call,
    error: RedisError,
) -> RedisError {
    match connection.send_packed_command(&call.diagnosis()).await {
        Ok(diagnosis) => denied::named(error, &diagnosis),
        Err(_) => error,
    }
}

async fn send_many(
    connection: &mut MultiplexedConnection,
    commands: impl Iterator<Item = redis::Cmd>,
) -> redis::RedisResult<Vec<redis::RedisResult<Value>>> {
    let mut pipeline = redis::pipe();
    let mut count = 0;
    for command in commands {
        pipeline.add_command(command);
        count += 1;
    }
    let values = connection.send_packed_commands(&pipeline, 0, count).await?;
    // An error within a list is one part's, and not the command's.
    let outcome = |value| match value {
        Value::ServerError(_) => value.extract_error(),
        value => Ok(value),
    };
    Ok(values.into_iter().map(outcome).collect())
}

fn refuses_resp3(error: &RedisError) -> bool {
    let text = error.to_string().to_ascii_uppercase();
    error.kind() == redis::ErrorKind::RESP3NotSupported
        || error.code() == Some("NOPROTO")
        || (text.contains("UNKNOWN COMMAND") && text.contains("HELLO"))
}
