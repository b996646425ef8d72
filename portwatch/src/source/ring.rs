//! The live source: drains the ring buffer into a bounded channel, never waiting for a slow reader.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::{MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::decode::{RawEvent, decode};

/// Events on their way from the ring to the correlator: a second and a half of ten thousand refusals a second, each with a
/// holder. A reader that lags further behind loses events, counted.
const IN_FLIGHT: usize = 32_768;

/// What the source itself lost.
#[derive(Debug, Default)]
pub struct Losses {
    /// Events that found the channel full.
    pub channel: AtomicU64,
    /// Records that could not be decoded.
    pub undecodable: AtomicU64,
}

/// A running source.
#[derive(Debug)]
pub struct Feed {
    /// The events, in the order of the ring.
    pub events: Receiver<RawEvent>,
    /// What was lost on the way.
    pub losses: Arc<Losses>,
}

/// Starts draining `ring`.
///
/// # Errors
/// When the ring cannot be watched for readiness.
pub fn spawn(ring: RingBuf<MapData>) -> io::Result<Feed> {
    // SAFETY: the ring owns its descriptor and lives inside the watcher.
    let watched =
        unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }.map_err(io::Error::from)?;
    let (sender, events) = channel(IN_FLIGHT);
    let losses = Arc::new(Losses::default());
    // It ends only with an error of the ring itself, and with it the events.
    tokio::spawn(drain(watched, sender, Arc::clone(&losses)));
    Ok(Feed { events, losses })
}

async fn drain(
    mut ring: AsyncFd<RingBuf<MapData>>,
    sender: Sender<RawEvent>,
    losses: Arc<Losses>,
) -> io::Result<()> {
    loop {
        let mut ready = ring.readable_mut().await?;
        while let Some(record) = ready.get_inner_mut().next() {
            match decode(&record) {
                Ok(event) => {
                    if sender.try_send(event).is_err() {
                        losses.channel.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(_) => {
                    losses.undecodable.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        ready.clear_ready();
    }
}
