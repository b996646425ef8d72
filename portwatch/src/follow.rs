//! The loop of `trace` and of the agent: events in, conflicts out, until somebody or something ends it.

use crate::correlate::{Correlator, Lookups, Report, Stats};
use crate::decode::RawEvent;
use crate::owner::now_boot_ns;
use crate::recording::Recorder;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How often repeats are looked after; they are due once a second.
const TICK: Duration = Duration::from_millis(250);
/// Longer than any trace.
pub(crate) const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is more to come.
    Continue,
    /// Nobody wants more.
    Enough,
}

/// Who is told.
pub trait Audience {
    /// Takes a report in.
    ///
    /// # Errors
    /// If it could not be told, and the loop is to end with that; a broken pipe among them.
    fn report(&mut self, report: Report) -> io::Result<Flow>;

    /// Four times a second, whether there is something to tell or not.
    fn turn(&mut self, _stats: Stats) {}
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// The audience has had enough.
    Counted,
    /// The time that was given is over.
    TimeUp,
    /// Somebody pressed Ctrl-C, or the service manager stopped it.
    Stopped,
    /// No more events will come.
    SourceEnded,
}

/// Follows the events until something ends it. What had arrived by then is still told, and every count brought up to
/// date. With a recorder all of it is written down too.
///
/// # Errors
/// If a report could not be written; a broken pipe among them.
pub async fn follow(
    events: &mut Receiver<RawEvent>,
    correlator: &mut Correlator,
    lookups: &mut dyn Lookups,
    recorder: &mut Option<Recorder>,
    audience: &mut dyn Audience,
    duration: Option<Duration>,
    stop: impl Future<Output = ()>,
) -> io::Result<Conclusion> {
    let time_up = sleep_until(Instant::now() + duration.unwrap_or(FOREVER));
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(time_up, stop);
    let mut accept = |event, correlator: &mut Correlator, recorder: &mut Option<Recorder>| match recorder {
        Some(recorder) => recorder.accept(event, correlator, lookups),
        None => correlator.accept(event, lookups),
    };
    let conclusion = loop {
        let flow = tokio::select! {
            biased;
            () = &mut stop => break Conclusion::Stopped,
            () = &mut time_up => break Conclusion::TimeUp,
            // Before the events: a storm of them must not hold the counts back.
            _ = tick.tick() => {
                audience.turn(correlator.stats());
                let now = now_boot_ns();
                let reports = match recorder {
                    Some(recorder) => recorder.look_after(now, correlator),
                    None => correlator.tick(now),
                };
                tell(audience, reports)?
            }
            event = events.recv() => match event {
                Some(event) => tell(audience, accept(event, correlator, recorder))?,
                None => break Conclusion::SourceEnded,
            },
        };
        if flow == Flow::Enough {
            break Conclusion::Counted;
        }
    };
    if conclusion != Conclusion::Counted {
        while let Ok(event) = events.try_recv() {
            if tell(audience, accept(event, correlator, recorder))? == Flow::Enough {
                break;
            }
        }
    }
    tell(audience, correlator.finish())?;
    Ok(conclusion)
}

/// Tells reports until there were enough.
///
/// # Errors
/// If one could not be told.
pub fn tell(audience: &mut dyn Audience, reports: impl IntoIterator<Item = Report>) -> io::Result<Flow> {
    let mut flow = Flow::Continue;
    for report in reports {
        flow = audience.report(report)?;
        if flow == Flow::Enough {
            break;
        }
    }
    Ok(flow)
}
