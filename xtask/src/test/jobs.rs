//! Jobs that wait more than they compute, two at a time: the programs on this machine beside the virtual machines.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::score::Score;

/// What a job came to, for the score.
pub(super) type Verdict<'a> = Box<dyn FnOnce(&mut Score) + Send + 'a>;

/// Something to do, which may take minutes.
pub(super) type Job<'a> = Box<dyn FnOnce() -> Verdict<'a> + Send + 'a>;

/// A machine keeps one processor busy at most, and the programs on this machine wait for each other most of the time.
const AT_ONCE: usize = 2;

/// Does all of them; the first ones begin first. Verdicts are counted one after the other, as they come.
pub(super) fn run<'a>(jobs: Vec<Job<'a>>, score: &mut Score) {
    let (queue, score) = (Mutex::new(VecDeque::from(jobs)), Mutex::new(score));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(job) = next() {
                    let verdict = job();
                    verdict(&mut score.lock().unwrap_or_else(PoisonError::into_inner));
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_counted() {
        let jobs = (0..7).map(|number| -> Job<'_> {
            Box::new(move || {
                let outcome = if number == 3 { Err(anyhow::anyhow!("no")) } else { Ok(()) };
                Box::new(move |score: &mut Score| score.judge("a job", outcome))
            })
        });
        let mut score = Score::default();
        run(jobs.collect(), &mut score);
        assert_eq!(score.counts(), (6, 1, 0));
    }
}
