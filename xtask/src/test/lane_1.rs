//! Lane 1: what can be judged without privilege.

use std::process::Command;

use super::score::Score;
use crate::{bpf, project, run, tidy};

/// Formatting, lints, the committed objects, unit and property tests.
pub(super) fn run(score: &mut Score) {
    println!("lane 1: no privilege");
    let cargo = |words: &[&str]| {
        let mut command = Command::new(project::cargo());
        command.current_dir(project::root()).args(words);
        command
    };
    let user_side = ["--workspace", "--exclude", "portwatch-ebpf"];
    let step = |what: &str, why: &str, words: &[&str]| run::quiet(&mut cargo(words), what, why);
    score.judge("formatting", step("cargo fmt --check", "one layout for all", &["fmt", "--all", "--check"]));
    score.judge("tidy", tidy::check());
    let clippy =
        [&["clippy"], &user_side[..], &["--all-targets", "--locked", "--", "-D", "warnings"]].concat();
    score.judge("clippy, user side", step("clippy, user side", "the project's lints", &clippy));
    score.judge("clippy, kernel side", bpf::clippy());
    score.judge("the committed objects are what the source gives", bpf::check());
    let tests = [&["test"], &user_side[..], &["--locked"]].concat();
    score.judge(
        "unit and property tests",
        step("cargo test", "rules, decoder, correlator, command line", &tests),
    );
}
