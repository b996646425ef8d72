//! The HTTP endpoint: who may connect, how many, and how long they may take. `routes` answers, `web_config` is the file
//! that says who may come in.
//!
//! Nobody can hold it up: a header must come in time, an idle connection ends after the same time, so does one whose reader
//! has stopped reading, and no connection lives for ever.

mod basic;
mod bind;
mod negotiate;
mod routes;
mod stall;
mod web_config;

pub use bind::BindError;
pub use web_config::{WebConfig, WebConfigError};

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fmt, io};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::sink::metrics::{Metrics, TurnedAway};
use stall::Stall;

/// What clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time. Prometheus needs one.
    pub connections: usize,
    /// Time for what a client owes: the handshake, a whole header, the next request, to read some more.
    pub patience: Duration,
    /// No connection lives longer, whatever it does.
    pub life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, patience: Duration::from_secs(10), life: Duration::from_secs(300) }
    }
}

/// How long requests may go on once the server is told to stop.
const GRACE: Duration = Duration::from_secs(2);
/// After a connection could not be accepted, usually because descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a request's header at most.
const HEADER: usize = 16 * 1024;

/// What is served.
#[derive(Debug)]
pub struct Site {
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// Whether the kernel hooks are attached.
    pub ready: Arc<AtomicBool>,
    /// TLS and passwords, if there is such a file.
    pub web: Option<WebConfig>,
    /// What clients may take.
    pub limits: Limits,
}

/// A socket that listens already, so that a taken port is known before anything else is started.
pub struct Server {
    listener: StdListener,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.listener.local_addr().ok()).finish()
    }
}

impl Server {
    /// Listens on an address. Needs no runtime yet.
    ///
    /// # Errors
    /// [`BindError`], which names whoever has the port.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        bind::listen(address).map(|listener| Self { listener })
    }

    /// Takes over a socket that listens already, such as one of the service manager's.
    #[must_use]
    pub fn from_listener(listener: StdListener) -> Self {
        Self { listener }
    }

    /// Where it listens: with the port that the kernel chose, if it was asked for any.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is ready, and then some moments more for what is under way. Runs inside the runtime.
    ///
    /// # Errors
    /// If the socket cannot be given to the runtime. Whatever goes wrong with a client ends that client's connection only.
    pub async fn run(self, site: Site, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(self.listener)?;
        let site = Arc::new(site);
        let (end, ending) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                // Taken away as they end: what is left is what is open.
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < site.limits.connections => {
                        connections.spawn(connection(stream, Arc::clone(&site), ending.clone()));
                    }
                    // The excess is closed at once, without a thought.
                    Ok(_) => site.metrics.turned_away(TurnedAway::ConnectionLimit),
                    Err(_) => {
                        site.metrics.turned_away(TurnedAway::Connection);
                        sleep(PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let _ = end.send(true);
        let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
        Ok(())
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>, ending: watch::Receiver<bool>) {
    // An answer is one piece; it must not wait for the next.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = site.web.as_ref().and_then(|web| web.current().rules.acceptor()) else {
        return http(stream, false, site, ending).await;
    };
    match timeout(site.limits.patience, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => http(stream, true, site, ending).await,
        Ok(Err(_)) | Err(_) => site.metrics.turned_away(TurnedAway::Connection),
    }
}

async fn http<S>(stream: S, is_tls: bool, site: Arc<Site>, mut ending: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let served = AtomicBool::new(false);
    let service = service_fn(|request| {
        served.store(true, Ordering::Relaxed);
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(routes::answer(&site, &request, is_tls).await) }
    });
    let Limits { patience, life, .. } = site.limits;
    let io = TokioIo::new(Stall::new(stream, patience));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(HEADER);
    let mut connection = pin!(builder.serve_connection(io, service));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => Some(outcome),
        () = sleep(life) => None,
        _ = ending.changed() => None,
    };
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(patience, connection).await.unwrap_or(Ok(()))
        }
    };
    // An idle connection ends with a timeout too; that is no fault of a client that was served before.
    let is_fault = |error: &hyper::Error| error.is_parse() || error.is_timeout();
    if outcome.is_err_and(|error| is_fault(&error)) && !served.load(Ordering::Relaxed) {
        site.metrics.turned_away(TurnedAway::Connection);
    }
}
