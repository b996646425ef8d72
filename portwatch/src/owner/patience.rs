//! A look that may hang (a dead network file system, a process that keeps its own memory from being read) is done by a
//! thread of its own, and waited for only so long. Whoever does not come back in time is left to itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Threads that may hang at one time; then nothing is asked until one of them comes back.
const HANGING: usize = 4;

/// Asks a function, with patience.
#[derive(Debug)]
pub(super) struct Patient<Q, A> {
    look: fn(Q) -> A,
    patience: Duration,
    worker: Option<Worker<Q, A>>,
    hanging: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Worker<Q, A> {
    questions: Sender<Q>,
    answers: Receiver<A>,
    is_left: Arc<AtomicBool>,
}

impl<Q: Send + 'static, A: Send + 'static> Patient<Q, A> {
    /// No thread is started before the first question.
    pub(super) fn new(look: fn(Q) -> A, patience: Duration) -> Self {
        Self { look, patience, worker: None, hanging: Arc::default() }
    }

    /// The answer, if it comes in time.
    pub(super) fn ask(&mut self, question: Q) -> Option<A> {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None if self.hanging.load(Ordering::Relaxed) >= HANGING => return None,
            None => self.start()?,
        };
        worker.questions.send(question).ok()?;
        if let Ok(answer) = worker.answers.recv_timeout(self.patience) {
            self.worker = Some(worker);
            return Some(answer);
        }
        self.hanging.fetch_add(1, Ordering::Relaxed);
        worker.is_left.store(true, Ordering::Release);
        None
    }

    fn start(&self) -> Option<Worker<Q, A>> {
        let (questions, asked) = channel();
        let (answered, answers) = channel();
        let is_left = Arc::new(AtomicBool::new(false));
        let (look, was_left, hanging) = (self.look, is_left.clone(), self.hanging.clone());
        let work = move || {
            while let Ok(question) = asked.recv() {
                if answered.send(look(question)).is_err() {
                    break;
                }
            }
            // Set before the channels were dropped, and only for that does the loop end.
            if was_left.load(Ordering::Acquire) {
                hanging.fetch_sub(1, Ordering::Relaxed);
            }
        };
        thread::Builder::new().name("portwatch-look".to_owned()).spawn(work).ok()?;
        Some(Worker { questions, answers, is_left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Answers when the other end is dropped.
    fn look(question: (u32, Option<Receiver<()>>)) -> u32 {
        if let Some(until) = question.1 {
            let _ = until.recv();
        }
        question.0 + 1
    }

    #[test]
    fn one_that_hangs_does_not_keep_the_next_from_being_answered() {
        let mut patient = Patient::new(look, Duration::from_millis(200));
        assert_eq!(patient.ask((1, None)), Some(2));
        let mut kept = Vec::new();
        for _ in 0..HANGING {
            let (keep, until) = channel();
            kept.push(keep);
            assert_eq!(patient.ask((1, Some(until))), None);
            if kept.len() < HANGING {
                assert_eq!(patient.ask((5, None)), Some(6), "a late answer is nobody's");
            }
        }
        assert_eq!(patient.ask((1, None)), None, "enough hang already");
        drop(kept);
        let deadline = Instant::now() + Duration::from_secs(10);
        while patient.ask((7, None)) != Some(8) {
            assert!(Instant::now() < deadline, "they came back");
            thread::yield_now();
        }
    }
}
