//! What to do about a conflict today: the advice of [`crate::advise`] under the present circumstances. No command is told
//! that would meet another process than the culprit, or undo what was set since.

use super::now::is_reserved_since;
use super::present::{Hold, Life, Present};
use super::story::{About, Part};
use crate::advise;
use crate::model::{Action, Advice, Cause, Conflict};

/// One part an advice.
pub(super) fn remedies(conflict: &Conflict, present: &Present) -> Vec<Part> {
    let told: Vec<Part> =
        advice(conflict, present).into_iter().map(|advice| part(advice, present.is_over())).collect();
    if told.is_empty() { vec![Part::text(About::Remedy, nothing_left(conflict))] } else { told }
}

fn advice(conflict: &Conflict, present: &Present) -> Vec<Advice> {
    let mut today = conflict.clone();
    if let Some(culprit) = today.holders.first_mut() {
        culprit.alive = present.process == Life::Runs;
    }
    today.range.reserved |= is_reserved_since(conflict, present);
    let is_shut = conflict.netns != present.situation.own_netns && present.situation.door.is_none();
    let mut situation = present.situation.clone();
    // A process may have ended and left its socket to others.
    situation.outlived = present.socket != Hold::LetGo;
    let mut advice = advise::advise(&today, &situation);
    let is_somebody_elses = |command: &str| match command.split_once(' ') {
        // Of the processes of then: pids that may be anybody's by now.
        Some(("kill", _)) => present.process != Life::Runs,
        Some(("nsenter", _)) => is_shut,
        _ => false,
    };
    for one in &mut advice {
        one.commands.retain(|command| !is_somebody_elses(command));
    }
    advice.retain(|one| applies(one, conflict, present));
    advice
}

/// Whether an advice makes sense by now.
fn applies(advice: &Advice, conflict: &Conflict, present: &Present) -> bool {
    let ends_something =
        matches!(advice.action, Action::FreePort | Action::StopHolder | Action::StopFirst | Action::Wait);
    let was_a_moment = conflict.cause == Cause::Unknown && advice.action == Action::Inspect;
    match advice.action {
        _ if ends_something && present.is_over() => false,
        Action::FreePort | Action::StopHolder => !advice.commands.is_empty(),
        _ => !(was_a_moment && present.rebooted),
    }
}

fn part(advice: Advice, is_over: bool) -> Part {
    let title = match advice.action {
        Action::ReservePort => "Reserve the port",
        Action::WidenRange => "Widen the ephemeral range",
        Action::NarrowRange => "Narrow the ephemeral range",
        Action::UnreservePort => "Give reserved ports back",
        Action::ReuseTimeWait => "Let connections take over TIME_WAIT",
        Action::KeepConnections => "Use connections again",
        Action::SpreadConnections => "Spread the connections",
        Action::FreePort => "End the holder or its connection",
        Action::StopHolder => "Stop the holder",
        Action::ChangePort => "Use another port",
        Action::Wait => "Wait",
        Action::SetOption => "Set a socket option",
        Action::SameUser => "Run both as one user",
        Action::CloseOnExec => "Close sockets on exec",
        Action::StopFirst => "Stop the earlier instance first",
        Action::StartOrder => "Be there first",
        Action::Inspect => "Look further",
    };
    let why = advice.why.trim_end_matches('.');
    // There is nothing left to free.
    let why = why.strip_suffix(advise::DOES_NOT_FREE).filter(|_| is_over).unwrap_or(why);
    let text = format!("{title}: {why}.");
    Part { about: About::Remedy, text: crate::text::printable(&text).into_owned(), commands: advice.commands }
}

const fn nothing_left(conflict: &Conflict) -> &'static str {
    match conflict.cause {
        Cause::PreviousInstance => {
            "Nothing has to be done now. If it comes again when the service restarts, let its stop wait until the old process has ended."
        }
        Cause::TimeWait | Cause::Closing => {
            "Nothing has to be done now: the kernel has let go of the port by itself."
        }
        _ => "Nothing has to be done now: what was in the way is gone.",
    }
}
