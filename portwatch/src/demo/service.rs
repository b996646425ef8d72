//! A running service of the demo, as its stage manager sees it.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::namespace::Namespace;

/// A service says how it went within this time, or the demo has failed. Emulated machines are slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a service's request for its port went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has this port.
    Port(u16),
    /// It was refused, in the system's words.
    Refused(String),
}

/// A process of the demo; killed when dropped, and when portwatch dies.
#[derive(Debug)]
pub struct Service {
    child: Child,
    /// Its process id.
    pub pid: u32,
    /// What came of its request.
    pub answer: Answer,
}

impl Service {
    /// Starts `name` in the namespace, to `listen` on or `connect` to a port, and waits for its word.
    ///
    /// # Errors
    /// When the process cannot be started or says nothing that makes sense.
    pub async fn start(namespace: &Namespace, name: &str, part: &str, port: u16) -> io::Result<Self> {
        let inside: OwnedFd = namespace.as_fd().try_clone_to_owned()?;
        let mut command = Command::new("/proc/self/exe");
        command.args(["demo-actor", name, part, &port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        // SAFETY: two system calls, which are all that may happen between fork and exec.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(())
            })
        };
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("the service has no output"))?;
        let mut line = String::new();
        timeout(PATIENCE, BufReader::new(output).read_line(&mut line)).await??;
        let answer =
            understand(line.trim()).ok_or_else(|| io::Error::other(format!("{name} said {line:?}")))?;
        let pid = child.id().unwrap_or_default();
        Ok(Self { child, pid, answer })
    }

    /// Ends it and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn dismiss(mut self) -> io::Result<()> {
        drop(self.child.stdin.take());
        if timeout(PATIENCE, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

fn understand(line: &str) -> Option<Answer> {
    let (word, rest) = line.split_once(' ')?;
    match word {
        "port" => rest.parse().ok().map(Answer::Port),
        "refused" => Some(Answer::Refused(rest.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        assert_eq!(understand("port 40000"), Some(Answer::Port(40_000)));
        assert_eq!(
            understand("refused Address already in use"),
            Some(Answer::Refused("Address already in use".into()))
        );
        assert_eq!(understand("port many"), None);
        assert_eq!(understand(""), None);
    }
}
