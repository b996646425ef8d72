//! From one hand to many: each sink runs by itself behind a bounded channel, so that none of them holds up another, or
//! the ring. What a sink could not take is counted under its name.

use crate::sink::Told;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

/// Conflicts on their way to a sink. One that lags further behind loses some, counted.
const IN_FLIGHT: usize = 1_024;
/// How long the sinks may take to write down what they have when the agent ends.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// A sink that runs.
struct Outlet {
    name: &'static str,
    to: SyncSender<Told>,
    worker: JoinHandle<()>,
}

/// All that run.
#[derive(Default)]
pub(super) struct Fan {
    outlets: Vec<Outlet>,
    /// By the sink's name; a sink that was started again goes on counting.
    lost: Vec<(&'static str, Arc<AtomicU64>)>,
}

impl Fan {
    /// Starts a sink on a thread of its own; `work` ends when its channel does.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        work: impl FnOnce(Receiver<Told>) + Send + 'static,
    ) -> io::Result<()> {
        let (to, from) = sync_channel(IN_FLIGHT);
        let worker = thread::Builder::new().name(name.to_owned()).spawn(move || work(from))?;
        self.outlets.push(Outlet { name, to, worker });
        if !self.lost.iter().any(|(known, _)| *known == name) {
            self.lost.push((name, Arc::default()));
        }
        Ok(())
    }

    /// Gives a conflict to every sink, and waits for none.
    pub(super) fn tell(&self, told: &Told) {
        for outlet in &self.outlets {
            if outlet.to.try_send(told.clone()).is_err() {
                self.count(outlet.name);
            }
        }
    }

    fn count(&self, name: &str) {
        if let Some((_, lost)) = self.lost.iter().find(|(known, _)| *known == name) {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What found a channel full, by the sink's name.
    pub(super) fn lost(&self) -> Vec<(&'static str, u64)> {
        self.lost.iter().map(|(name, lost)| (*name, lost.load(Ordering::Relaxed))).collect()
    }

    /// Lets sinks write down what they have and end: those of this name, or all.
    ///
    /// # Errors
    /// The names of those that did not end in time.
    pub(super) fn end(&mut self, name: Option<&str>) -> Result<(), Vec<&'static str>> {
        let is_meant = |outlet: &Outlet| name.is_none_or(|name| name == outlet.name);
        let (ending, staying) = self.outlets.drain(..).partition(is_meant);
        self.outlets = staying;
        let ending: Vec<Outlet> = ending;
        let workers: Vec<_> = ending.into_iter().map(|outlet| (outlet.name, outlet.worker)).collect();
        let deadline = Instant::now() + LAST_WORDS;
        while Instant::now() < deadline && workers.iter().any(|(_, worker)| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(5));
        }
        let late: Vec<_> =
            workers.iter().filter(|(_, worker)| !worker.is_finished()).map(|(name, _)| *name).collect();
        if late.is_empty() { Ok(()) } else { Err(late) }
    }
}

impl fmt::Debug for Fan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.outlets.iter().map(|outlet| outlet.name).collect();
        f.debug_struct("Fan").field("outlets", &names).field("lost", &self.lost).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;
    use std::sync::mpsc::channel;

    fn told() -> Told {
        Told { conflict: Arc::new(example::client()), is_new: true }
    }

    #[test]
    fn a_sink_that_hangs_holds_up_nobody_and_what_it_loses_is_counted() {
        let mut fan = Fan::default();
        let (go, wait) = channel::<()>();
        let (seen, heard) = channel();
        fan.start("stuck", move |_from| wait.recv().unwrap_or_default()).expect("a thread");
        fan.start("quick", move |from| from.iter().for_each(|told| seen.send(told.is_new).expect("heard")))
            .expect("a thread");
        for _ in 0..IN_FLIGHT + 10 {
            fan.tell(&told());
            heard.recv_timeout(Duration::from_secs(60)).expect("the quick one hears of it at once");
        }
        assert_eq!(fan.lost(), [("stuck", 10), ("quick", 0)]);
        drop(go);
        assert_eq!(fan.end(None), Ok(()));
    }

    #[test]
    fn the_end_waits_for_what_is_under_way() {
        let mut fan = Fan::default();
        let written = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&written);
        let work = move |from: Receiver<Told>| {
            for _ in from {
                thread::sleep(Duration::from_millis(1));
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        fan.start("slow", work).expect("a thread");
        (0..100).for_each(|_| fan.tell(&told()));
        assert_eq!(fan.end(Some("other")), Ok(()));
        assert_eq!(fan.end(Some("slow")), Ok(()));
        assert_eq!(written.load(Ordering::Relaxed), 100);
        fan.tell(&told());
        assert_eq!(fan.lost(), [("slow", 0)]);
    }
}
