//! The side of `trace` and `who`: asks the agent, and reads what it answers.

use super::{Answer, Hello, PROTOCOL, Question};
use crate::exit_code::Refused;
use crate::model::HeldPort;
use crate::who::Query;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer about ports may take: the agent looks at every process.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to the agent.
#[derive(Debug)]
pub struct Agent {
    answers: BufReader<UnixStream>,
    /// Who answers.
    pub hello: Hello,
}

/// Why there is no agent to ask.
#[derive(Debug, thiserror::Error)]
pub enum NoAgent {
    /// Nobody is there.
    #[error("no agent answers at {path}: {error}")]
    Absent {
        /// Where one was looked for.
        path: String,
        /// What came instead.
        error: io::Error,
    },
    /// The socket is there, and not for us.
    #[error("{path}: not permitted; ask for membership of its group (see `ls -l {path}`)")]
    Forbidden {
        /// The socket.
        path: String,
    },
    /// Somebody is there, but does not speak our language.
    #[error("whoever answers at {path} is no agent of this version: {why}")]
    Foreign {
        /// The socket.
        path: String,
        /// What is wrong.
        why: String,
    },
}

impl From<NoAgent> for Refused {
    fn from(error: NoAgent) -> Self {
        Self::unsupported(format!(
            "{error}\n  an agent runs with: systemctl start portwatch; without one: sudo portwatch trace --via kernel"
        ))
    }
}

impl Agent {
    /// Asks for conflicts from now on.
    ///
    /// # Errors
    /// See [`NoAgent`].
    pub fn follow(path: &Path) -> Result<Self, NoAgent> {
        Self::ask(path, &Question::Conflicts { protocol: PROTOCOL })
    }

    /// Asks who holds ports, in every network namespace.
    ///
    /// # Errors
    /// See [`NoAgent`]; an agent that cannot answer is a foreign one, with its reason.
    pub fn who(path: &Path, queries: &[Query]) -> Result<Vec<HeldPort>, NoAgent> {
        let ports = queries.iter().map(ToString::to_string).collect();
        let mut agent = Self::ask(path, &Question::Who { protocol: PROTOCOL, ports })?;
        let foreign = |why: String| NoAgent::Foreign { path: path.display().to_string(), why };
        match agent.answer().map_err(|error| foreign(error.to_string()))? {
            Some(Answer::Held(held)) => Ok(held),
            Some(Answer::Error(why)) => Err(foreign(why)),
            other => Err(foreign(format!("an answer to another question: {other:?}"))),
        }
    }

    fn ask(path: &Path, question: &Question) -> Result<Self, NoAgent> {
        let shown = || path.display().to_string();
        let mut stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => NoAgent::Forbidden { path: shown() },
            _ => NoAgent::Absent { path: shown(), error },
        })?;
        let absent = |error| NoAgent::Absent { path: shown(), error };
        let mut line = serde_json::to_string(question).map_err(|error| absent(error.into()))?;
        line.push('\n');
        stream.set_read_timeout(Some(PATIENCE)).map_err(absent)?;
        stream.write_all(line.as_bytes()).map_err(absent)?;
        let mut answers = BufReader::new(stream);
        let foreign = |why: String| NoAgent::Foreign { path: shown(), why };
        match read(&mut answers).map_err(|error| foreign(error.to_string()))? {
            Some(Answer::Hello(hello)) if hello.protocol == PROTOCOL => Ok(Self { answers, hello }),
            Some(Answer::Hello(hello)) => Err(foreign(format!("it speaks version {}", hello.protocol))),
            _ => Err(foreign("it did not say who it is; it may serve as many clients as it can".to_owned())),
        }
    }

    /// The next line of the answer, waited for; `None` when the agent has ended.
    ///
    /// # Errors
    /// If what comes is no answer.
    pub fn answer(&mut self) -> io::Result<Option<Answer>> {
        read(&mut self.answers)
    }

    /// Waits for conflicts as long as it takes.
    ///
    /// # Errors
    /// If the socket does not take it.
    pub fn be_patient(&self) -> io::Result<()> {
        self.answers.get_ref().set_read_timeout(None)
    }
}

fn read(answers: &mut BufReader<UnixStream>) -> io::Result<Option<Answer>> {
    let mut line = String::new();
    if answers.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&line).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
