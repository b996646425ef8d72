//! The records of one refusal → a conflict: the first of it, a refusal more of the same victim, and of a restarted one;
//! with 1 holder, with 32 of as many processes, and with 32 of one.

use crate::stopwatch::anew;
use crate::world::{self, World};
use criterion::{BatchSize, Criterion};
use portwatch::correlate::{Correlator, Report};
use portwatch::decode::RawEvent;

const VICTIM: u32 = 4121;

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("correlate");
    let mut host = World::default();
    let victim = host.start(VICTIM, "nginx");
    let process = world::announced(victim, b"/usr/sbin/nginx\0-g\0daemon off;\0");
    let start = || (world::correlator(), vec![process.clone()]);
    anew(&mut group, "announce-process", BatchSize::SmallInput, start, |(mut correlator, events)| {
        (feed(&mut correlator, events, &mut host), correlator)
    });
    for (crowd, sockets, processes) in [("1", 1, 1), ("32", 32, 32), ("32-of-one", 32, 1)] {
        let mut host = World::default();
        let mut events = host.hold(sockets, processes);
        let victim = host.start(VICTIM, "nginx");
        events.push(RawEvent::Refusal(Box::new(world::refusal(victim))));
        let input = || (world::correlator(), events.clone());
        let name = format!("first-{crowd}");
        anew(&mut group, &name, BatchSize::SmallInput, input, |(mut correlator, events)| {
            (feed(&mut correlator, events, &mut host), correlator)
        });

        let mut correlator = world::correlator();
        feed(&mut correlator, events.clone(), &mut host);
        let name = format!("repeat-{crowd}");
        anew(
            &mut group,
            &name,
            BatchSize::SmallInput,
            || events.clone(),
            |events| feed(&mut correlator, events, &mut host),
        );

        // A conflict that is decided is remembered for a second: so each of these is another process.
        let mut victims = host.restart(victim, "nginx");
        let holders = &events[..events.len() - 1];
        let input = || {
            let refusal = victims.next().map(world::refusal).map(Box::new).map(RawEvent::Refusal);
            holders.iter().cloned().chain(refusal).collect::<Vec<_>>()
        };
        let name = format!("restarted-{crowd}");
        anew(&mut group, &name, BatchSize::SmallInput, input, |events| {
            feed(&mut correlator, events, &mut host)
        });
    }
    group.finish();
}

fn feed(correlator: &mut Correlator, events: Vec<RawEvent>, host: &mut World) -> Option<Report> {
    events.into_iter().fold(None, |report, event| correlator.accept(event, host).or(report))
}
