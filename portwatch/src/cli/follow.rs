//! The loop of `trace`: events in, conflicts out, until Ctrl-C, `--count` or `--duration` ends it.

use super::{Flow, Printer};
use crate::correlate::{Correlator, Lookups, Report};
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
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// `--count` conflicts were shown.
    Counted,
    /// `--duration` is over.
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
    printer: &mut Printer,
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
                let now = now_boot_ns();
                let reports = match recorder {
                    Some(recorder) => recorder.look_after(now, correlator),
                    None => correlator.tick(now),
                };
                tell(printer, reports)?
            }
            event = events.recv() => match event {
                Some(event) => tell(printer, accept(event, correlator, recorder))?,
                None => break Conclusion::SourceEnded,
            },
        };
        if flow == Flow::Enough {
            break Conclusion::Counted;
        }
    };
    if conclusion != Conclusion::Counted {
        while let Ok(event) = events.try_recv() {
            if tell(printer, accept(event, correlator, recorder))? == Flow::Enough {
                break;
            }
        }
    }
    tell(printer, correlator.finish())?;
    Ok(conclusion)
}

/// Shows reports until there were enough.
pub(super) fn tell(printer: &mut Printer, reports: impl IntoIterator<Item = Report>) -> io::Result<Flow> {
    let mut flow = Flow::Continue;
    for report in reports {
        flow = printer.report(&report)?;
        if flow == Flow::Enough {
            break;
        }
    }
    Ok(flow)
}
