//! The process's exit codes, and the error that chooses one.

use std::io::ErrorKind;

/// What the exit status tells a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// A conflict or a finding was there, and the caller asked to be told so.
    Found = 3,
    /// Not permitted or not supported here; the message says the remedy.
    Unsupported = 4,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// An error that knows its exit code. Its message is complete: what happened, what it means, what to type.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// How the process is to end.
    pub code: ExitCode,
    /// For a person.
    pub message: String,
}

impl Refused {
    /// Wrong usage: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Usage, message: message.into() }
    }

    /// Not permitted or not supported here: exit code 4.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Unsupported, message: message.into() }
    }
}

/// The exit code of an error. A broken pipe is success: whoever read the output had enough of it.
pub fn of_error(error: &anyhow::Error) -> ExitCode {
    for cause in error.chain() {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return refused.code;
        }
        if cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) {
            return ExitCode::Done;
        }
    }
    ExitCode::Failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_code_is_found_under_any_context() {
        let error: anyhow::Result<()> = Err(Refused::unsupported("no BTF").into());
        let error = error.context("loading").expect_err("an error");
        assert_eq!(of_error(&error), ExitCode::Unsupported);
    }

    #[test]
    fn a_broken_pipe_is_no_failure() {
        let error = anyhow::Error::from(std::io::Error::from(ErrorKind::BrokenPipe));
        assert_eq!(of_error(&error), ExitCode::Done);
        assert_eq!(of_error(&anyhow::anyhow!("other")), ExitCode::Failed);
    }
}
