//! Conflicts from a running agent instead of hooks of one's own: needs no privilege but membership of a group, and
//! loads nothing twice.

use crate::config::Config;
use crate::correlate::Report;
use crate::exit_code::Refused;
use crate::follow::{Audience, Conclusion, FOREVER, Flow};
use crate::tail::Answer;
use crate::tail::client::{Agent, NoAgent};
use crate::text;
use clap::{Args, ValueEnum};
use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, sleep_until};

/// Whom to ask.
#[derive(Args, Clone, Debug)]
pub struct ViaArgs {
    /// Where conflicts come from: auto asks a running agent, and loads hooks of its own if there is none
    #[arg(long, value_name = "SOURCE", value_enum, default_value_t)]
    pub via: Via,

    /// Where the agent answers [default: /run/portwatch/portwatch.sock]
    #[arg(long, value_name = "FILE", env = "PORTWATCH_SOCKET", hide_env_values = true)]
    pub socket: Option<PathBuf>,
}

/// Where answers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Via {
    /// The agent, if one answers; else the kernel
    #[default]
    Auto,
    /// Hooks of one's own, whether there is an agent or not
    Kernel,
    /// The agent, or nobody
    Agent,
}

impl ViaArgs {
    /// Tries to reach the agent with `ask`. `None`: the kernel is to be asked.
    ///
    /// # Errors
    /// Not supported, if it must be the agent and none answers, or if one is there that may not be asked by this user.
    pub fn reach<T>(
        &self,
        ask: impl FnOnce(&std::path::Path) -> Result<T, NoAgent>,
    ) -> Result<Option<T>, Refused> {
        if self.via == Via::Kernel {
            return Ok(None);
        }
        let path = self.socket.clone().or(Config::default().socket).unwrap_or_default();
        match (ask(&path), self.via) {
            (Ok(answer), _) => Ok(Some(answer)),
            (Err(NoAgent::Absent { .. }), Via::Auto) => Ok(None),
            // Root has the kernel to ask, and is not kept out of sockets; so there is something odd about this one.
            (Err(error), Via::Auto) if rustix::process::geteuid().is_root() => {
                let why = text::printable(&error.to_string()).into_owned();
                let _ = writeln!(io::stderr(), "portwatch: {why}; the kernel is asked instead");
                Ok(None)
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

/// The agent's lines on their way to the loop.
const IN_FLIGHT: usize = 256;

/// Says where the conflicts come from.
///
/// # Errors
/// If it could not be written.
pub fn announce(agent: &Agent) -> io::Result<()> {
    let (hello, mut out) = (&agent.hello, io::stderr());
    writeln!(
        out,
        "portwatch: from the agent (pid {}, version {}, backend {}); --via kernel loads hooks of its own",
        hello.pid,
        text::printable(&hello.version),
        text::printable(&hello.backend)
    )?;
    if !hello.blind.is_empty() {
        writeln!(out, "portwatch: not seen: {}", text::printable(&hello.blind.join("; ")))?;
    }
    writeln!(out, "portwatch: ready; waiting for refused bind() and listen() calls, Ctrl-C ends")
}

/// Follows the agent until something ends it; the number is that of the lines that this side was too slow for.
///
/// # Errors
/// If a report could not be written, or what comes from the agent is no answer.
pub async fn follow(
    agent: Agent,
    audience: &mut dyn Audience,
    duration: Option<Duration>,
    stop: impl Future<Output = ()>,
) -> io::Result<(Conclusion, u64)> {
    let time_up = sleep_until(Instant::now() + duration.unwrap_or(FOREVER));
    let mut answers = listen(agent)?;
    let mut lost = 0;
    tokio::pin!(time_up, stop);
    loop {
        let answer = tokio::select! {
            biased;
            () = &mut stop => return Ok((Conclusion::Stopped, lost)),
            () = &mut time_up => return Ok((Conclusion::TimeUp, lost)),
            answer = answers.recv() => answer,
        };
        let report = match answer.transpose()? {
            None => return Ok((Conclusion::SourceEnded, lost)),
            Some(Answer::New(conflict)) => Report::New(conflict),
            Some(Answer::Repeat(conflict)) => Report::Repeat(conflict),
            Some(Answer::Lost(count)) => {
                lost += count;
                continue;
            }
            Some(Answer::Error(why)) => return Err(io::Error::other(why)),
            // Nothing that belongs here, and nothing that does harm.
            Some(Answer::Hello(_) | Answer::Held(_)) => continue,
        };
        if audience.report(report)? == Flow::Enough {
            return Ok((Conclusion::Counted, lost));
        }
    }
}

/// Reads on a thread of its own: it ends with the agent, or with the process.
fn listen(mut agent: Agent) -> io::Result<Receiver<io::Result<Answer>>> {
    agent.be_patient()?;
    let (to, from) = channel(IN_FLIGHT);
    std::thread::Builder::new().name("agent".to_owned()).spawn(move || {
        while let Some(answer) = agent.answer().transpose() {
            let is_last = answer.is_err();
            if to.blocking_send(answer).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(from)
}

/// `--via agent` and flags that only hooks of one's own can follow.
///
/// # Errors
/// Wrong usage, with the flag that is in the way.
pub fn check(via: Via, own: &[(&'static str, bool)]) -> Result<Via, Refused> {
    let given = own.iter().find(|(_, given)| *given).map(|(flag, _)| *flag);
    match (via, given) {
        (Via::Agent, Some(flag)) => Err(Refused::usage(format!(
            "{flag} is for hooks of one's own, and --via agent loads none; leave one of them out"
        ))),
        (Via::Auto, Some(_)) => Ok(Via::Kernel),
        (via, _) => Ok(via),
    }
}
