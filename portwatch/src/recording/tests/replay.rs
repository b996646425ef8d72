//! What is replayed is what was recorded.

use super::world::{Shared, conflict, header, recorded};
use super::{shown, steps};
use crate::cli::Printer;
use crate::correlate::{Lookups as _, ProcessId, Wanted};
use crate::filter::Filter;
use crate::follow::Audience as _;
use crate::recording::{ClockPair, End, Exchange, Reader, Recorder, Replayed, Step};
use crate::sink::json::Json;

#[test]
fn a_replay_tells_what_was_told() {
    let (recording, reports) = recorded();
    let out = Shared::default();
    let mut live = Printer::new(Box::new(Json::new(out.clone())), Filter::default(), None);
    for report in reports.clone() {
        live.report(report).expect("memory takes everything");
    }
    let (text, replay, summary) = shown(&recording, None);
    let replay = replay.expect("a recording");
    assert!(reports.len() >= 5, "{} reports", reports.len());
    assert_eq!(text.as_bytes(), out.bytes());
    assert_eq!(&summary, live.summary());
    assert!(replay.fault.is_none(), "{:?}", replay.fault);
    assert_eq!((replay.missing, replay.lost), (0, vec![("channel_full".into(), 2)]));
}

#[test]
fn a_recording_holds_the_ring_bytes_and_the_ticks_that_changed_something() {
    let (file, header) = (Shared::default(), header());
    let mut recorder = Recorder::to(file.clone(), "test".into(), &header).expect("memory takes everything");
    for now in 0..1_000 {
        recorder.tick(now, false);
    }
    let [process, ..] = conflict(1, 80, 6);
    recorder.event(&process);
    recorder.tick(2_000, false);
    recorder.tick(2_001, false);
    recorder.tick(2_002, true);
    recorder.finish(&[]);
    let (steps, error) = steps(&file.bytes());
    assert!(error.is_none(), "{error:?}");
    let expected =
        [Step::Event(process, vec![]), Step::Tick(2_000), Step::Tick(2_002), Step::End(End::default())];
    assert_eq!(steps, expected);
    assert_eq!(Reader::open(file.bytes().as_slice()).expect("a recording").1, header);
}

#[test]
fn questions_that_nobody_recorded_are_not_known_and_counted() {
    let mut replayed = Replayed::new(header().clock);
    let id = ProcessId { tgid: 1, start_ticks: 2 };
    replayed.load(vec![
        Exchange::Alive { id, answer: Some(true) },
        Exchange::UserName { uid: 3, answer: Some("c".into()) },
        Exchange::SocketHolders { wanted: vec![], answer: vec![] },
    ]);
    assert_eq!(replayed.user_name(4), None);
    assert_eq!(replayed.user_name(3).as_deref(), Some("c"), "out of order");
    assert_eq!(replayed.alive(id), Some(true));
    assert_eq!(replayed.alive(id), None, "an answer is given once");
    let wanted = Wanted { inode: 1, hint: None, sharers: false };
    assert_eq!(replayed.socket_holders(&[wanted]).len(), 1, "an answer a question");
    let ClockPair { boot_ns, wall } = header().clock;
    assert_eq!(Replayed::new(ClockPair { boot_ns, wall }).wall_clock(boot_ns), wall);
    assert_eq!(replayed.missing(), 3);
}
