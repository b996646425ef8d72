//! A server on a port of its own, and a client that says exactly what it is told to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, net::SocketAddr};

use portwatch::serve::{Limits, Server, Site, WebConfig};
use portwatch::sink::metrics::{About, Format, Metrics};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything may take: a test that waits so long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server that runs.
pub(crate) struct Stage {
    pub(crate) at: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ready: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Stage {
    pub(crate) fn start(web: Option<WebConfig>, limits: Limits) -> Self {
        let server = Server::bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let at = server.local_addr().expect("an address");
        let metrics = Metrics::new(&About { version: "1".into(), ..About::default() });
        let ready = Arc::new(AtomicBool::new(false));
        let site = Site { metrics: Arc::clone(&metrics), ready: Arc::clone(&ready), web, limits };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(site, async {
            let _ = stopped.await;
        }));
        Self { at, metrics, ready, stop, task }
    }

    pub(crate) fn usual() -> Self {
        Self::start(None, Limits::default())
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.expect("a connection")
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Reply {
        let mut stream = self.connect().await;
        talk(&mut stream, request).await.expect("an answer")
    }

    /// One GET with further header lines, on a connection of its own.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> Reply {
        self.ask(&get(path, headers)).await
    }

    /// How often somebody was turned away for this reason.
    pub(crate) fn turned_away(&self, reason: &str) -> u64 {
        let text = self.metrics.encode(Format::Text);
        let series = format!("portwatch_http_refused_total{{reason=\"{reason}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.expect("the series").parse().expect("a count")
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let ended = timeout(DEADLINE, self.task).await.expect("it ends");
        ended.expect("no panic").expect("no error");
    }
}

pub(crate) fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: portwatch\r\n{headers}\r\n")
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
}

/// Says something and reads one answer; `None` if the connection ended instead.
pub(crate) async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> Option<Reply> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let is_head = request.starts_with("HEAD");
    timeout(DEADLINE, reply(stream, is_head)).await.expect("an answer or an end in time")
}

async fn reply<S: AsyncRead + Unpin>(stream: &mut S, is_head: bool) -> Option<Reply> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(bytes).expect("text");
    let status = head.split(' ').nth(1)?.parse().expect("a status");
    let mut reply = Reply { status, head, body: String::new() };
    if !is_head {
        let length = reply.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        reply.body = String::from_utf8(body).expect("text");
    }
    Some(reply)
}

/// Waits for the other side to end the connection; returns what it still said.
pub(crate) async fn end<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it ends in time");
    rest
}

/// A folder of the test's own, with the certificates in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("portwatch-serve-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        for file in fs::read_dir(fixture("")).expect("the fixtures") {
            let file = file.expect("a fixture").path();
            fs::copy(&file, path.join(file.file_name().expect("a name"))).expect("a copy");
        }
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes as an administrator's tool does: a new file in the place of the old one.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).expect("a file");
        fs::rename(self.path("new"), self.path(name)).expect("its name");
    }

    pub(crate) fn open(&self) -> WebConfig {
        WebConfig::open(&self.path("web.yml")).expect("a good file")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}
