//! The binary: parse, run, turn an error into an exit code.

use std::process::ExitCode;

use portwatch::{cli, exit_code, text};

fn main() -> ExitCode {
    let outcome = cli::parse(std::env::args_os()).map_err(anyhow::Error::from).and_then(cli::run);
    match outcome {
        Ok(code) => code.into(),
        Err(error) => {
            let code = exit_code::of_error(&error);
            if code != exit_code::ExitCode::Done {
                for line in format!("{error:#}").lines() {
                    eprintln!("portwatch: {}", text::printable(line));
                }
            }
            code.into()
        }
    }
}
