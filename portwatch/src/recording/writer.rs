//! The recorder. A thread of its own writes, because a slow disk must not hold up what is watched: what it cannot take
//! ends the recording, is said once, and the events from there on are counted.

use super::exchange::Exchange;
use super::format::{MAGIC, MAX_GROUP, VERSION, kind, push_frame};
use super::header::{End, Header};
use super::lookups::Asking;
use crate::correlate::{Correlator, Lookups, Report};
use crate::decode::RawEvent;
use crate::exit_code::Refused;
use crate::text;
use anyhow::Context as _;
use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

/// Events, each with its answers, that may wait for the disk: as many as the source lets wait for the correlator.
const WAITING: usize = 8_192;
/// Bytes that may wait for it.
const WAITING_BYTES: usize = 64 << 20;

/// Bytes for the file, and how many events they are.
#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    events: u64,
}

/// Writes down what a correlator is given.
#[derive(Debug)]
pub struct Recorder {
    /// None once the recording has ended.
    sender: Option<SyncSender<Chunk>>,
    writer: Option<JoinHandle<()>>,
    /// As people know the file.
    name: String,
    /// The event whose answers are being collected.
    event: Option<Vec<u8>>,
    /// Those answers, as frames.
    answers: Vec<u8>,
    /// An event came since the last tick that was written.
    is_stirred: bool,
    lost: Arc<AtomicU64>,
    /// Bytes that wait for the disk.
    waiting: Arc<AtomicUsize>,
}

impl Recorder {
    /// Makes the file, for its owner only, and writes the header. A file that is there already stays as it is, and a link
    /// is not followed.
    ///
    /// # Errors
    /// Wrong usage if there is such a file; else what the file system says.
    pub fn create(path: &Path, header: &Header) -> anyhow::Result<Self> {
        let name = text::printable_bytes(path.as_os_str().as_encoded_bytes());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let file = options.open(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => anyhow::Error::from(Refused::usage(format!(
                "--record {name}: there is such a file already, and none is written over; give another name or remove it"
            ))),
            _ => anyhow::Error::from(error).context(format!("--record {name}: cannot be made")),
        })?;
        Self::to(file, name.clone(), header).with_context(|| format!("--record {name}: cannot be written"))
    }

    /// Writes to any stream, which people know by `name`.
    ///
    /// # Errors
    /// If the header cannot be written.
    pub fn to(mut out: impl Write + Send + 'static, name: String, header: &Header) -> io::Result<Self> {
        let mut opening = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
        if !push_frame(&mut opening, kind::HEADER, &serde_json::to_vec(header)?) {
            return Err(io::Error::other("the header is too long"));
        }
        out.write_all(&opening)?;
        out.flush()?;
        let (sender, chunks) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let waiting = Arc::new(AtomicUsize::new(0));
        let (theirs, held, called) = (Arc::clone(&lost), Arc::clone(&waiting), name.clone());
        let writer = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || write(out, &chunks, (&theirs, &held), &called))?;
        Ok(Self {
            sender: Some(sender),
            writer: Some(writer),
            name,
            event: None,
            answers: Vec::new(),
            is_stirred: false,
            lost,
            waiting,
        })
    }

    /// Gives the correlator an event, and writes down that and what it asks.
    pub fn accept(
        &mut self,
        event: RawEvent,
        correlator: &mut Correlator,
        lookups: &mut dyn Lookups,
    ) -> Option<Report> {
        self.event(&event);
        let report = correlator.accept(event, &mut self.lookups(lookups));
        self.close();
        report
    }

    /// Has the correlator look after its repeats, and writes that down if it had an effect.
    pub fn look_after(&mut self, now_boot_ns: u64, correlator: &mut Correlator) -> Vec<Report> {
        let reports = correlator.tick(now_boot_ns);
        self.tick(now_boot_ns, !reports.is_empty());
        reports
    }

    /// The correlator is about to be given this event; the questions that follow belong to it.
    pub fn event(&mut self, event: &RawEvent) {
        self.close();
        self.event = Some(event.bytes().to_vec());
    }

    /// The same lookups, with every answer written down.
    pub fn lookups<'a, L: Lookups + ?Sized>(&'a mut self, inner: &'a mut L) -> Asking<'a, L> {
        Asking { recorder: self, inner }
    }

    /// The correlator looked after its repeats; `told` says whether it had any to tell. Without events since the last
    /// time, and without a report, that changed nothing, and an idle host makes no recording grow.
    pub fn tick(&mut self, now_boot_ns: u64, told: bool) {
        self.close();
        if self.is_stirred || told {
            let mut bytes = Vec::new();
            if push_frame(&mut bytes, kind::TICK, &now_boot_ns.to_le_bytes()) {
                self.send(Chunk { bytes, events: 0 });
            }
            self.is_stirred = false;
        }
    }

    /// Ends the recording in good order, with what was lost before the correlator, and waits for the disk.
    pub fn finish(&mut self, lost: &[(&'static str, u64)]) {
        self.close();
        let end = serde_json::to_vec(&End::new(lost)).unwrap_or_default();
        let mut bytes = Vec::new();
        if let Some(sender) = &self.sender
            && push_frame(&mut bytes, kind::END, &end)
        {
            // Fails only where the thread is gone, which it says itself.
            self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
            let _ = sender.send(Chunk { bytes, events: 0 });
        }
        self.join();
    }

    /// Events that are not in the recording. Exact after [`Self::finish`]; of those that were on their way when the disk
    /// refused, some may be in it all the same.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The same, to be read by others while it grows.
    pub fn losses(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    pub(super) fn answered(&mut self, exchange: impl FnOnce() -> Exchange) {
        if self.event.is_none() || self.sender.is_none() {
            return;
        }
        let written = serde_json::to_vec(&exchange());
        let fits = written.is_ok_and(|json| push_frame(&mut self.answers, kind::ANSWER, &json));
        if !fits || self.answers.len() > MAX_GROUP {
            self.stop("the answers to one event are longer than a recording admits");
        }
    }

    /// The event and its answers are complete.
    fn close(&mut self) {
        let Some(event) = self.event.take() else { return };
        let mut bytes = std::mem::take(&mut self.answers);
        self.is_stirred = true;
        if push_frame(&mut bytes, kind::EVENT, &event) {
            self.send(Chunk { bytes, events: 1 });
        }
    }

    fn send(&mut self, chunk: Chunk) {
        let size = chunk.bytes.len();
        let refused = match &self.sender {
            Some(_) if self.waiting.load(Ordering::Relaxed) + size > WAITING_BYTES => {
                Some(TrySendError::Full(chunk))
            }
            Some(sender) => {
                self.waiting.fetch_add(size, Ordering::Relaxed);
                sender.try_send(chunk).err()
            }
            None => Some(TrySendError::Disconnected(chunk)),
        };
        match refused {
            None => {}
            Some(TrySendError::Full(chunk)) => {
                self.lost.fetch_add(chunk.events, Ordering::Relaxed);
                self.stop("the disk is slower than the events");
            }
            Some(TrySendError::Disconnected(chunk)) => {
                self.lost.fetch_add(chunk.events, Ordering::Relaxed);
            }
        }
    }

    /// Whatever waits is still written: it is whole.
    fn stop(&mut self, why: &str) {
        if self.sender.take().is_some() {
            self.answers.clear();
            say_stopped(&self.name, why);
        }
    }

    fn join(&mut self) {
        self.sender = None;
        if let Some(writer) = self.writer.take() {
            // It does not panic; and if it did, the panic has spoken.
            let _ = writer.join();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.join();
    }
}

/// Writes until nobody sends any more; after an error it only counts.
fn write(out: impl Write, chunks: &Receiver<Chunk>, (lost, waiting): (&AtomicU64, &AtomicUsize), name: &str) {
    let mut out = BufWriter::new(out);
    let mut unsure = 0;
    if let Err(error) = write_all(&mut out, chunks, waiting, &mut unsure) {
        lost.fetch_add(unsure, Ordering::Relaxed);
        say_stopped(name, &error.to_string());
        // What could not be written is not tried again.
        let _ = out.into_parts();
        for chunk in chunks {
            lost.fetch_add(chunk.events, Ordering::Relaxed);
        }
    }
}

/// `unsure` counts the events that were not handed to the kernel yet.
fn write_all(
    out: &mut BufWriter<impl Write>,
    chunks: &Receiver<Chunk>,
    waiting: &AtomicUsize,
    unsure: &mut u64,
) -> io::Result<()> {
    while let Ok(first) = chunks.recv() {
        let mut next = Some(first);
        while let Some(chunk) = next {
            *unsure += chunk.events;
            waiting.fetch_sub(chunk.bytes.len(), Ordering::Relaxed);
            out.write_all(&chunk.bytes)?;
            next = chunks.try_recv().ok();
        }
        out.flush()?;
        *unsure = 0;
    }
    Ok(())
}

fn say_stopped(name: &str, why: &str) {
    let why = text::printable(why);
    let _ = writeln!(
        io::stderr(),
        "portwatch: the recording {name} ends here: {why}; portwatch goes on, what follows is not recorded"
    );
}
