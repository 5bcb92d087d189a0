//! How a stream to the server is opened: TCP, TLS over TCP, or a Unix socket; for the engine and
//! other runtimes, or for a thread that blocks.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::handshake;
use super::unsignalled::Unsignalled;
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::fork::{Inherited, Native};
use crate::options::ClientOptions;
use crate::tls::{Tls, TlsOptions};
use crate::url::{Place, RedisUrl};

/// A peer that fell silent without closing is noticed after about 30 s + 3 × 10 s.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A server, and how to reach it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(super) url: RedisUrl,
    pub(super) tls: Option<Tls>,
}

/// As shown to people: without the password.
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)
    }
}

impl Endpoint {
    /// Reads the files that the TLS options name.
    pub(crate) fn new(url: RedisUrl, options: &ClientOptions) -> Result<Self> {
        let asked = options.tls.clone().merge(url.tls.clone())?;
        let tls = match &url.place {
            Place::Tcp { host, tls: true, .. } => Some(Tls::new(&asked, host)?),
            _ if asked == TlsOptions::default() => None,
            _ => {
                return Err(Error::invalid(
                    format!("TLS options are given, but {url} is not for TLS"),
                    "write rediss://, or leave them out",
                ));
            }
        };
        if asked.danger_accept_invalid_certs == Some(true) {
            tracing::warn!("danger_accept_invalid_certs: whoever answers for {url} is believed");
        }
        Ok(Self { url, tls })
    }
}

/// Any stream of bytes both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens a stream that belongs to this process, on the runtime that this is called on.
pub(super) async fn open(endpoint: &Endpoint, by: Moment) -> Result<Box<dyn Duplex>> {
    Ok(match (&endpoint.url.place, &endpoint.tls) {
        (Place::Unix(path), _) => Box::new(Wire::new(open_unix(endpoint, path, by).await?)),
        (Place::Tcp { host, port, .. }, None) => {
            Box::new(Wire::new(open_tcp(endpoint, host, *port, by).await?))
        }
        (Place::Tcp { host, port, .. }, Some(tls)) => {
            Box::new(open_tls(endpoint, tls, (host, *port), Wire::new, by).await?)
        }
    })
}

/// Opens a stream for a thread that blocks; called on the engine, so that the caller can be
/// interrupted.
pub(super) async fn open_blocking(endpoint: &Endpoint, by: Moment) -> Result<Blocking> {
    let failed = |error: io::Error| Error::unavailable(format!("the connection failed: {error}"));
    let stream = match (&endpoint.url.place, &endpoint.tls) {
        (Place::Unix(path), _) => {
            Blocking::Unix(open_unix(endpoint, path, by).await?.into_std().map_err(failed)?)
        }
        (Place::Tcp { host, port, .. }, None) => {
            Blocking::Tcp(open_tcp(endpoint, host, *port, by).await?.into_std().map_err(failed)?)
        }
        (Place::Tcp { host, port, .. }, Some(tls)) => {
            let opened = open_tls(endpoint, tls, (host, *port), std::convert::identity, by).await?;
            let (stream, session) = opened.into_inner();
            let stream = stream.into_std().map_err(failed)?;
            Blocking::Tls(Box::new(StreamOwned::new(session, Unsignalled(stream))))
        }
    };
    socket2::SockRef::from(&stream).set_nonblocking(false).map_err(failed)?;
    Ok(stream)
}

/// Opens a TCP connection that sends at once and notices a dead peer.
async fn open_tcp(endpoint: &Endpoint, host: &str, port: u16, by: Moment) -> Result<TcpStream> {
    let connect = async {
        let stream = match host.parse::<std::net::IpAddr>() {
            // Without a look-up, which would start a thread.
            Ok(ip) => TcpStream::connect((ip, port)).await?,
            Err(_) => TcpStream::connect((host, port)).await?,
        };
        // Commands are small and waited for: Nagle's algorithm would hold them back.
        stream.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(Duration::from_secs(10));
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(stream)
    };
    reached(endpoint, by, connect).await
}

async fn open_unix(endpoint: &Endpoint, path: &Path, by: Moment) -> Result<UnixStream> {
    reached(endpoint, by, UnixStream::connect(path)).await
}

async fn reached<T>(
    endpoint: &Endpoint,
    by: Moment,
    connect: impl Future<Output = io::Result<T>>,
) -> Result<T> {
    match tokio::time::timeout_at(by.for_timer(), connect).await {
        Ok(result) => result
            .map_err(|error| Error::unavailable(format!("{endpoint} can't be reached: {error}"))),
        Err(_) => Err(Error::unavailable(format!("{endpoint} did not answer to connect in time"))),
    }
}

/// Opens a connection and agrees on TLS; once more if it was cut meanwhile, as plain connections
/// are open by then, and what is cut later is repeated.
async fn open_tls<S: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &Endpoint,
    tls: &Tls,
    (host, port): (&str, u16),
    wrap: fn(TcpStream) -> S,
    by: Moment,
) -> Result<TlsStream<S>> {
    let mut again = true;
    loop {
        let stream = wrap(open_tcp(endpoint, host, port, by).await?);
        let shaking = TlsConnector::from(tls.config.clone()).connect(tls.name.clone(), stream);
        match tokio::time::timeout_at(by.for_timer(), shaking).await {
            Ok(Err(error)) if again && handshake::was_cut(&error) => again = false,
            Ok(result) => return result.map_err(|error| handshake::failed(endpoint, &error)),
            Err(_) => return Err(handshake::silent(endpoint)),
        }
    }
}

/// A socket that a forked child closes on its own and never touches again.
#[derive(Debug)]
struct Wire<S> {
    stream: Native<S>,
    _inherited: Inherited,
}

impl<S: AsRawFd + Unpin> Wire<S> {
    fn new(stream: S) -> Self {
        let inherited = Inherited::register(stream.as_raw_fd());
        Self { stream: Native::new(stream), _inherited: inherited }
    }
}

impl<S: Unpin> Wire<S> {
    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut S>> {
        let forked = || io::Error::new(io::ErrorKind::NotConnected, "the process forked");
        self.get_mut().stream.get_mut().map(Pin::new).ok_or_else(forked)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

/// A stream that one thread reads and writes itself.
#[derive(Debug)]
pub(super) enum Blocking {
    Tcp(std::net::TcpStream),
    Unix(StdUnixStream),
    Tls(Box<StreamOwned<ClientConnection, Unsignalled>>),
}

impl AsFd for Blocking {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.sock.0.as_fd(),
        }
    }
}

impl Read for Blocking {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            // They keep nothing back.
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Blocking {
    /// Writes all of it through to the socket.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.flush()
    }

    /// Sends a last command and the end, and returns when the server has closed: by then it has
    /// carried out all that was sent.
    pub(super) async fn finish(&mut self, last: &[u8]) -> io::Result<()> {
        socket2::SockRef::from(&*self).set_nonblocking(true)?;
        match self {
            Self::Tcp(stream) => drain(TcpStream::from_std(stream.try_clone()?)?, last).await,
            Self::Unix(stream) => drain(UnixStream::from_std(stream.try_clone()?)?, last).await,
            Self::Tls(stream) => {
                stream.conn.writer().write_all(last)?;
                stream.conn.send_close_notify();
                let mut sealed = Vec::new();
                while stream.conn.wants_write() {
                    stream.conn.write_tls(&mut sealed)?;
                }
                // The answers are not looked at, so they need not be opened.
                drain(TcpStream::from_std(stream.sock.0.try_clone()?)?, &sealed).await
            }
        }
    }
}

async fn drain(mut stream: impl Duplex, last: &[u8]) -> io::Result<()> {
    stream.write_all(last).await?;
    stream.shutdown().await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}
