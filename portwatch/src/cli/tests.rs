//! Flags, wrong flags, and what is printed around the conflicts.

use super::trace::{BackendChoice, Options, Output};
use super::{Asked, Command, Printer, parse};
use crate::correlate::Report;
use crate::exit_code::ExitCode;
use crate::filter::Filter;
use crate::follow::{Audience as _, Flow};
use crate::ledger::Summary;
use crate::model::example;
use crate::model::{Cause, Conflict, Protocol};
use crate::sink::json::Json;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

fn arguments(line: &str) -> impl Iterator<Item = std::ffi::OsString> {
    std::iter::once("portwatch").chain(line.split(' ')).map(Into::into)
}

fn options(line: &str) -> Options {
    match parse(arguments(line)).expect("right usage") {
        Asked::Run(command) => match *command {
            Command::Trace(args) => args.options().expect("a namespace"),
            other => panic!("not a trace: {other:?}"),
        },
        Asked::Print(text) => panic!("only text: {text}"),
    }
}

#[test]
fn flags_become_options() {
    let plain = options("trace");
    assert_eq!(plain.filter, Filter::default());
    assert_eq!((plain.output, plain.backend), (Output::Table, BackendChoice::Auto));
    assert!(!plain.check && plain.count.is_none() && plain.duration.is_none() && plain.table_size.is_none());
    assert_eq!((plain.record, options("trace --record f.rec").record), (None, Some("f.rec".into())));

    let all = options(
        "trace --port 80,8000-8010 --port 9 --pid 7 --comm nginx --uid 33 --unit nginx --netns self --protocol udp \
         --cause listener --cause time-wait --count 2 --duration 90s -o json --backend tracepoint --check --table-size 1024",
    );
    assert_eq!(all.filter.ports, [80..=80, 8000..=8010, 9..=9]);
    assert_eq!(all.filter.protocols, [Protocol::Udp]);
    assert_eq!(all.filter.causes, [Cause::Listener, Cause::TimeWait]);
    assert_eq!(all.filter.netns, Some(crate::owner::netns::own()));
    assert_eq!((all.output, all.backend), (Output::Json, BackendChoice::Tracepoint));
    assert_eq!((all.count, all.table_size, all.check), (Some(2), Some(1024), true));
}

#[test]
fn wrong_usage_is_one_clear_line() {
    for (line, part) in [
        ("trace --port 0", "a port is a number from 1 to 65535"),
        ("trace --port 70000", "a port is a number from 1 to 65535"),
        ("trace --port 9-8", "write 8-9"),
        ("trace --duration 0s", "30s, 2m"),
        ("trace --count 0", "from 1"),
        ("trace --protocol icmp", "[possible values: tcp, udp, udplite, sctp]"),
        ("trace --cause bad", "time-wait"),
        ("trace -o xml", "[possible values: table, wide, json]"),
        ("trace --backend magic", "tracepoint"),
        ("trace --durtion 3s", "--duration"),
        ("replay", "<FILE>"),
        ("replay f --backend fexit", "--backend"),
        ("replay f --port 0", "a port is a number from 1 to 65535"),
        ("trace extra", "extra"),
        ("tracer", "trace"),
        ("why 80/icmp", "tcp, udp, udplite or sctp"),
        ("why 0", "1 to 65535"),
        ("why pid:x", "pid:4121"),
        ("why --since soon", "-2h"),
        ("why -o table", "[possible values: text, json]"),
        ("why 80 90", "90"),
    ] {
        let error = parse(arguments(line)).expect_err(line);
        assert_eq!(error.code, ExitCode::Usage, "{line}");
        assert!(error.message.contains(part) && !error.message.contains('\n'), "{line}: {}", error.message);
    }
}

#[test]
fn an_unreadable_namespace_is_wrong_usage() {
    let Ok(Asked::Run(command)) = parse(arguments("trace --netns /nonexistent/ns")) else {
        panic!("right usage")
    };
    let Command::Trace(args) = *command else { panic!("a trace") };
    let error = args.options().expect_err("no such file");
    assert_eq!(error.code, ExitCode::Usage);
    assert!(error.message.starts_with("--netns /nonexistent/ns: No such file"), "{}", error.message);
}

#[test]
fn a_namespace_may_be_given_by_number() {
    assert_eq!(options("trace --netns 4026531840").filter.netns, Some(4_026_531_840));
}

#[test]
fn help_and_version_are_text_and_no_error() {
    for line in ["--help", "--version", "trace --help", "trace -h"] {
        assert!(matches!(parse(arguments(line)), Ok(Asked::Print(_))), "{line}");
    }
}

/// A stream whose text can be looked at while somebody else writes to it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn conflicts_are_counted_once_and_refusals_each() {
    let out = Shared::default();
    let mut printer = Printer::new(Box::new(Json::new(out.clone())), Filter::default(), Some(2));
    let first = example::client();
    let repeat = Conflict { count: 5, ..first.clone() };
    let second = Conflict { id: "other".into(), cause: Cause::Listener, ..first.clone() };
    assert_eq!(printer.report(Report::New(Box::new(first))).expect("written"), Flow::Continue);
    assert_eq!(printer.report(Report::Repeat(Box::new(repeat))).expect("written"), Flow::Continue);
    assert_eq!(printer.report(Report::New(Box::new(second))).expect("written"), Flow::Enough);
    assert_eq!(out.0.lock().expect("one thread").iter().filter(|&&byte| byte == b'\n').count(), 3);
    assert_eq!(
        printer.summary().to_string(),
        "portwatch: 2 conflicts, 6 refused calls: 1 ephemeral-client, 1 listener; nothing lost"
    );
}

#[test]
fn what_the_filter_leaves_out_is_neither_shown_nor_counted() {
    let out = Shared::default();
    let filter = Filter { pids: vec![1], ..Filter::default() };
    let mut printer = Printer::new(Box::new(Json::new(out.clone())), filter, Some(1));
    let other = example::client();
    assert_eq!(printer.report(Report::New(Box::new(other.clone()))).expect("written"), Flow::Continue);
    assert!(out.0.lock().expect("one thread").is_empty());
    // The next instance of the victim has the pid that was asked for.
    let mut wanted = Conflict { count: 2, ..other };
    wanted.victim.pid = 1;
    assert_eq!(printer.report(Report::Repeat(Box::new(wanted))).expect("written"), Flow::Enough);
}

#[test]
fn losses_are_said() {
    let lost =
        vec![("holders_lost".to_owned(), 3), ("ports_full".to_owned(), 0), ("channel_full".to_owned(), 1)];
    let summary = Summary { lost, ..Summary::default() };
    assert_eq!(
        summary.to_string(),
        "portwatch: 0 conflicts, 0 refused calls; lost: 3 holders lost, 1 channel full"
    );
}
