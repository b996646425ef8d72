//! `lineup advice`: makes a real conflict of every cause, does exactly what portwatch advises, and sees the victim start.
//!
//! Each conflict is played anew for every piece of its advice. The list must be the expected one, so that nothing is
//! advised that does not apply, and what is said not to help is tried too.

mod deed;
mod proof;
mod scene;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::product::{Backend, Portwatch, Started};
use crate::wire::Flag;
use crate::{cgroup, run, say, scenario};
use scene::Scene;

/// A conflict and what must be advised about it, best first.
struct Lesson {
    /// The class that it must have.
    cause: &'static str,
    /// The scenario that makes it.
    scenario: &'static str,
    /// `free-port by ss` is there where the kernel ends sockets on request.
    advice: &'static [&'static str],
    /// A socket option that is not advised, because with it the victim is refused as well.
    useless: Option<Flag>,
}

/// Advice to end one connection.
const BY_SS: &str = "free-port by ss";

const LESSONS: &[Lesson] = &[
    Lesson {
        cause: "ephemeral-client",
        scenario: "tcp4-client",
        advice: &["reserve-port", BY_SS, "free-port", "change-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "ephemeral-client",
        scenario: "tcp6-client-against-ipv4-wildcard",
        advice: &["reserve-port", BY_SS, "free-port", "change-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "ephemeral-client",
        scenario: "udp4-client",
        advice: &["reserve-port", "free-port", "change-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "ephemeral-bind",
        scenario: "tcp4-bind0",
        advice: &["reserve-port", "free-port", "change-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "time-wait",
        scenario: "time-wait-owner-exited",
        advice: &["reserve-port", "wait", "change-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "closing",
        scenario: "fin-wait1-owner-exited",
        advice: &["reserve-port", "wait", "change-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "own-socket",
        scenario: "own-socket",
        advice: &["set-option"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "reuseport-mismatch",
        scenario: "reuseport-of-another-user",
        advice: &["same-user", "change-port"],
        useless: Some(Flag::ReusePort),
    },
    Lesson {
        cause: "inherited",
        scenario: "inherited-parent-dead",
        advice: &["close-on-exec", "stop-holder"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "inherited",
        scenario: "client-inherited-parent-dead",
        advice: &["reserve-port", "close-on-exec", BY_SS, "free-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "previous-instance",
        scenario: "previous-instance",
        advice: &["stop-first"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "listener",
        scenario: "tcp4-listener",
        advice: &["stop-holder", "change-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "listener",
        scenario: "tcp6-listener",
        advice: &["stop-holder", "set-option", "change-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "explicit-bind",
        scenario: "tcp4-bound-only",
        advice: &["stop-holder", "change-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "explicit-bind",
        scenario: "udp4-server",
        advice: &["stop-holder", "change-port"],
        useless: Some(Flag::ReuseAddress),
    },
    Lesson {
        cause: "kernel-socket",
        scenario: "kernel-socket",
        advice: &["change-port", "inspect"],
        useless: Some(Flag::ReuseAddress),
    },
];

/// Goes through all of them; whether all is right.
pub(crate) fn run(program: &Path, backends: &[Backend]) -> Result<bool> {
    ensure!(
        !cgroup::is_one_service(),
        "the lineup runs in a service or container of its own, which some advice would stop"
    );
    let patience = run::patience()?;
    let mut started = None;
    for &backend in backends {
        match Portwatch::start(program, backend, patience)? {
            Started::Ready(portwatch) => {
                started = Some(portwatch);
                break;
            }
            Started::Unavailable(why) => say::line(format_args!("skip {} {why}", backend.name())),
        }
    }
    let mut portwatch = started.context("this kernel admits none of the backends")?;
    let destroys = proof::destroys_sockets()?;
    say::line(format_args!(
        "note the kernel {} sockets on request",
        if destroys { "ends" } else { "ends no" }
    ));
    let mut failed = 0;
    for lesson in LESSONS {
        let name = format!("{} {}", lesson.cause, lesson.scenario);
        match learn(lesson, &portwatch, patience, destroys) {
            Ok(words) => say::line(format_args!("{words}")),
            Err(error) => {
                failed += 1;
                say::line(format_args!("FAIL {name} {error:#}"));
            }
        }
    }
    for fault in portwatch.stop()? {
        failed += 1;
        say::line(format_args!("FAIL portwatch {fault}"));
    }
    Ok(failed == 0)
}

fn learn(lesson: &Lesson, portwatch: &Portwatch, patience: u32, destroys: bool) -> Result<String> {
    let name = lesson.scenario.to_owned();
    let scenario = *scenario::selected(&[name])?.first().context("no such scenario")?;
    if let Some(reason) = scenario.needs.lacking(None) {
        return Ok(format!("skip {} {} {reason}", lesson.cause, lesson.scenario));
    }
    let scene = || Scene::play(scenario, portwatch, patience);
    let first = scene()?;
    ensure!(first.report["cause"] == lesson.cause, "the cause is {}", first.report["cause"]);
    let expected: Vec<_> = lesson.advice.iter().copied().filter(|what| destroys || *what != BY_SS).collect();
    let given: Vec<_> = first.advice()?.iter().map(|advice| name_of(advice)).collect::<Result<_>>()?;
    ensure!(given == expected, "advised is {given:?}, expected {expected:?}: {}", first.report["advice"]);
    if let Some(flag) = lesson.useless {
        let answer = first.retry(&[flag], None, first.wanted())?;
        ensure!(answer == libc::EADDRINUSE, "{flag:?} is said not to help, and the kernel says {answer}");
    }
    let mut deeds = Vec::new();
    let mut next = Some(first);
    for (index, what) in expected.iter().enumerate() {
        let mut scene = next.take().map_or_else(scene, Ok)?;
        let advice = scene.advice()?.get(index).cloned().context("another list than before")?;
        let done = deed::carry_out(&mut scene, &advice).with_context(|| format!("doing {what}: {advice}"))?;
        deeds.push(format!("{what} ({done})"));
    }
    Ok(format!("ok {} {}: {}", lesson.cause, lesson.scenario, deeds.join(", ")))
}

/// The action, and whether it is done with ss.
fn name_of(advice: &Value) -> Result<&str> {
    let Some(action) = advice["action"].as_str() else { bail!("an advice without an action: {advice}") };
    let by_ss = advice["commands"][0].as_str().is_some_and(|command| command.contains("ss -"));
    Ok(if by_ss && action == "free-port" { BY_SS } else { action })
}
