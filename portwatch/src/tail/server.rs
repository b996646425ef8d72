//! The agent's side: a UNIX socket for root and one group, that can be slow or hostile without doing harm.

use super::{Answer, Hello, LONGEST_QUESTION, PROTOCOL, Question};
use crate::cli::values::port_query;
use crate::model::HeldPort;
use crate::sink::Told;
use crate::who;
use anyhow::{Context as _, bail};
use rustix::fs::{Gid, Mode, Uid, chmod, chownat};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::timeout;

/// Lines that a client may lag behind before it loses some, and is told how many.
const IN_FLIGHT: usize = 512;
/// Clients at one time.
const CLIENTS: usize = 32;
/// Ports in one question.
const PORTS: usize = 64;
/// How long a client may take to ask, and to take a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers a question about ports; may take its time.
pub type Who = Arc<dyn Fn(&[who::Query]) -> Vec<HeldPort> + Send + Sync>;

/// Where conflicts go to on their way to the clients.
#[derive(Clone, Debug)]
pub struct Hub {
    lines: broadcast::Sender<Arc<str>>,
    lost: Arc<AtomicU64>,
}

impl Hub {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Self { lines: broadcast::channel(IN_FLIGHT).0, lost: Arc::default() }
    }

    /// Tells every client; waits for none.
    pub fn tell(&self, told: &Told) {
        if self.lines.receiver_count() == 0 {
            return;
        }
        let conflict = Box::new((*told.conflict).clone());
        let answer = if told.is_new { Answer::New(conflict) } else { Answer::Repeat(conflict) };
        // A client that has just gone is nobody to tell.
        let _ = self.lines.send(line(&answer).into());
    }

    /// Lines that clients were too slow for.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

/// A socket that is bound; its file goes with it.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    /// What a person should know of it.
    pub notices: Vec<String>,
}

impl Server {
    /// Takes the place of an agent that is gone; runs inside the runtime.
    ///
    /// # Errors
    /// If another agent answers there, or the file cannot be made.
    pub fn bind(path: &Path, group: &str) -> anyhow::Result<Self> {
        make_room(path)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let listener = UnixListener::bind(path).with_context(|| format!("cannot make {}", path.display()))?;
        let server = Self { listener, path: path.to_owned(), notices: Vec::new() };
        server.admit(group)
    }

    /// Root and the group, nobody else. Until then nobody else either: the file is made without write permission for others.
    fn admit(mut self, group: &str) -> anyhow::Result<Self> {
        let shown = self.path.display().to_string();
        let own = Mode::RUSR | Mode::WUSR;
        match group_id(group) {
            Some(gid) => {
                chownat(
                    rustix::fs::CWD,
                    &self.path,
                    None::<Uid>,
                    Some(gid),
                    rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
                )
                .with_context(|| format!("cannot give {shown} to the group {group}"))?;
                chmod(&self.path, own | Mode::RGRP | Mode::WGRP)
                    .with_context(|| format!("cannot open {shown} to the group {group}"))?;
            }
            None => {
                chmod(&self.path, own).with_context(|| format!("cannot close {shown} to others"))?;
                self.notices.push(format!(
                    "there is no group {group}, so only root may ask at {shown}; `groupadd --system {group}` and a restart change that"
                ));
            }
        }
        Ok(self)
    }

    /// Serves clients until it is dropped.
    pub async fn run(self, hello: Hello, hub: Hub, who: Who) {
        let (room, looks) = (Arc::new(Semaphore::new(CLIENTS)), Arc::new(Semaphore::new(1)));
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors: not to be mended by trying again at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
            let session = Session {
                hello: hello.clone(),
                hub: hub.clone(),
                who: Arc::clone(&who),
                looks: Arc::clone(&looks),
            };
            tokio::spawn(async move {
                // A client that goes away in the middle is no news.
                let _ = session.serve(stream).await;
                drop(place);
            });
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already if somebody tidied up.
        let _ = fs::remove_file(&self.path);
    }
}

/// Only a socket that nobody answers at is removed.
fn make_room(path: &Path) -> anyhow::Result<()> {
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    let shown = path.display();
    if !meta.file_type().is_socket() {
        bail!("{shown} is there and is no socket; move it away, or choose another place with --socket");
    }
    if Blocking::connect(path).is_ok() {
        bail!("another agent answers at {shown}; stop it first, or choose another place with --socket");
    }
    fs::remove_file(path).with_context(|| format!("cannot remove {shown}, which an earlier agent has left"))
}

fn group_id(name: &str) -> Option<Gid> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut fields = groups.lines().map(|line| line.split(':'));
    let id = fields.find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1)))??;
    Some(Gid::from_raw(id.parse().ok()?))
}

struct Session {
    hello: Hello,
    hub: Hub,
    who: Who,
    /// Looks at all processes are made one after the other: whoever may ask must not be able to keep the host busy.
    looks: Arc<Semaphore>,
}

impl Session {
    async fn serve(self, stream: UnixStream) -> io::Result<()> {
        let (from, mut to) = stream.into_split();
        let mut asked = String::new();
        let mut reader = BufReader::new(from.take(LONGEST_QUESTION));
        timeout(PATIENCE, reader.read_line(&mut asked)).await.map_err(io::Error::other)??;
        say(&mut to, &line(&Answer::Hello(self.hello.clone()))).await?;
        match serde_json::from_str(&asked) {
            Ok(Question::Conflicts { protocol: PROTOCOL }) => {
                self.conflicts(&mut to, reader.into_inner().into_inner()).await
            }
            Ok(Question::Who { protocol: PROTOCOL, ports }) => {
                let answer = self.held(&ports).await;
                say(&mut to, &line(&answer)).await
            }
            Ok(Question::Conflicts { protocol } | Question::Who { protocol, .. }) => {
                let why = format!("this agent speaks version {PROTOCOL} of the protocol, not {protocol}");
                say(&mut to, &line(&Answer::Error(why))).await
            }
            Err(error) => say(&mut to, &line(&Answer::Error(format!("not understood: {error}")))).await,
        }
    }

    async fn conflicts(
        &self,
        to: &mut OwnedWriteHalf,
        mut from: tokio::net::unix::OwnedReadHalf,
    ) -> io::Result<()> {
        let mut lines = self.hub.lines.subscribe();
        let mut end = [0; 1];
        loop {
            let text = tokio::select! {
                // Nothing more is to be asked: whatever comes is the end.
                _ = from.read(&mut end) => return Ok(()),
                text = lines.recv() => text,
            };
            match text {
                Ok(text) => say(to, &text).await?,
                Err(RecvError::Lagged(count)) => {
                    self.hub.lost.fetch_add(count, Ordering::Relaxed);
                    say(to, &line(&Answer::Lost(count))).await?;
                }
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    async fn held(&self, ports: &[String]) -> Answer {
        let queries: Result<Vec<_>, _> = ports.iter().map(|port| port_query(port)).collect();
        let queries = match queries {
            Ok(queries) if (1..=PORTS).contains(&queries.len()) => queries,
            Ok(_) => return Answer::Error(format!("1 to {PORTS} ports at a time")),
            Err(why) => return Answer::Error(why),
        };
        let Ok(_turn) = self.looks.acquire().await else { return Answer::Error("the agent ends".to_owned()) };
        let who = Arc::clone(&self.who);
        match tokio::task::spawn_blocking(move || who(&queries)).await {
            Ok(held) => Answer::Held(held),
            Err(error) => Answer::Error(error.to_string()),
        }
    }
}

/// As one line.
fn line(answer: &Answer) -> String {
    // Plain data with text for keys: there is nothing in it that JSON could not say.
    let mut text = serde_json::to_string(answer).unwrap_or_default();
    text.push('\n');
    text
}

async fn say(to: &mut OwnedWriteHalf, text: &str) -> io::Result<()> {
    timeout(PATIENCE, to.write_all(text.as_bytes())).await.map_err(io::Error::other)?
}
