//! The prototypes that the hooks rely on, against the kernel's own: what `portwatch doctor` is told and how its answer is
//! judged.

use anyhow::{Context as _, Result, ensure};

use super::parts::{Part, Place};
use super::play::Played;

/// Words with which portwatch begins the line of a prototype that is not as relied on.
const OTHER: [&str; 3] = ["renamed", "differs", "missing"];
/// Fewer are hooked by no kernel of the matrix: an answer about less would prove less.
const LEAST: usize = 15;

pub(super) fn part(place: &Place<'_>) -> Part {
    let command = [place.portwatch, "doctor", "--prototypes", "--check"];
    Part { name: "prototypes", command: command.map(str::to_owned).into(), judge: Box::new(judge) }
}

/// Every line counts, beside the exit code: a change in Linux shall be seen by its name.
fn judge(played: &Played) -> Result<String> {
    let begins = |line: &str, word: &str| line.split(' ').next() == Some(word);
    let other: Vec<&str> = played
        .lines
        .iter()
        .map(String::as_str)
        .filter(|line| OTHER.iter().any(|word| begins(line, word)))
        .collect();
    ensure!(other.is_empty(), "not as the hooks rely on: {}", other.join("; "));
    let same = played.lines.iter().filter(|line| begins(line, "same")).count();
    ensure!(same >= LEAST, "only {same} prototypes were compared");
    ensure!(played.code == 0, "the comparison ended with exit code {}", played.code);
    let last = played.lines.iter().rev().find(|line| line.starts_with("Linux "));
    last.cloned().context("no summary")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(word: &str, lines: usize, code: i32) -> Result<String> {
        let mut said = vec!["same     int f(int a)".to_owned(); lines];
        said.push(format!("{word:<8} int g(int a)"));
        said.push("Linux 6.12 x86_64: 16 of 16 hooked prototypes are as relied on".to_owned());
        judge(&Played { lines: said, code })
    }

    #[test]
    fn one_that_is_not_the_same_fails_and_so_do_too_few() {
        assert!(judged("same", LEAST, 0).is_ok());
        for word in OTHER {
            let error = judged(word, LEAST, 3).expect_err(word).to_string();
            assert!(error.contains("int g(int a)"), "{error}");
        }
        assert!(judged("same", LEAST, 3).is_err());
        assert!(judged("same", 2, 0).is_err());
    }
}
