//! `cargo xtask tidy`: rules of this repository that no compiler holds.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{project, run};

/// Check the rules of this repository that no compiler holds
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

/// Lines of a file at most. A table may be longer; none is today.
const LINES: usize = 300;
/// Lines of a function's body at most, by folder: on the kernel side without exception.
const BODY: [(&str, usize); 2] = [("portwatch-ebpf/", 40), ("", 60)];
/// Files that say in words what may not be said in code: this one, and those that search for it.
const EXEMPT: [&str; 1] = ["xtask/src/tidy.rs"];

/// A text that must not occur, where, and what to do about it.
struct Banned {
    text: &'static str,
    inside: &'static str,
    except: &'static [&'static str],
    instead: &'static str,
}

const fn banned(
    text: &'static str,
    inside: &'static str,
    except: &'static [&'static str],
    instead: &'static str,
) -> Banned {
    Banned { text, inside, except, instead }
}

const BANNED: &[Banned] = &[
    banned("todo!(", "", &[], "finish it, or leave it out"),
    banned("unimplemented!(", "", &[], "finish it, or leave it out"),
    banned("TODO", "", &[], "finish it, or say in words what is left"),
    banned("FIXME", "", &[], "finish it, or say in words what is left"),
    banned("#[ignore", "", &[], "a test that never runs proves nothing: run it or delete it"),
    // Put together here, so that this file has no such address or path itself.
    banned(concat!("debian", ".org"), "", &[], "take the archive's address from the machine's own apt"),
    banned(concat!("/ro", "ot/"), "", &["portwatch/src/"], "no path of one machine"),
    banned(concat!("/ho", "me/"), "", &["portwatch/src/"], "no path of one machine"),
    banned("std::fs", "portwatch/src/correlate/", &[], "correlate does no I/O: ask through Lookups (I3)"),
    banned(
        "Instant::now",
        "portwatch/src/correlate/",
        &[],
        "correlate reads no clock: pass the time in (I3)",
    ),
    banned(
        "now_boot_ns",
        "portwatch/src/correlate/",
        &["portwatch/src/correlate/mod.rs"],
        "correlate reads no clock (I3)",
    ),
    banned(
        "aya::",
        "portwatch/src/",
        &["portwatch/src/probe/", "portwatch/src/source/ring.rs"],
        "only probe and the ring know aya (I4)",
    ),
    banned(
        "prometheus_client",
        "portwatch/src/",
        &["portwatch/src/sink/metrics/"],
        "only the metrics sink knows the library of Prometheus (I4)",
    ),
    banned(
        "anstyle",
        "portwatch/src/",
        &["portwatch/src/sink/terminal/"],
        "only the terminal sink knows ANSI (I4)",
    ),
];

pub(crate) fn run(_: &Args) -> Result<()> {
    check()?;
    println!("tidy");
    Ok(())
}

/// Fails with every finding, one a line.
pub(crate) fn check() -> Result<()> {
    let mut findings = Vec::new();
    for file in files()? {
        let Ok(text) = fs::read_to_string(project::root().join(&file)) else { continue };
        if EXEMPT.contains(&file.as_str()) {
            continue;
        }
        if Path::new(&file).extension().is_some_and(|extension| extension == "rs") {
            check_source(&file, &text, &mut findings);
        }
        if file.ends_with("Cargo.toml") && file != "Cargo.toml" && !text.contains("[lints]\nworkspace = true")
        {
            findings.push(format!("{file}: does not inherit the workspace's lints"));
        }
        check_banned(&file, &text, &mut findings);
    }
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} findings:\n  {}", findings.len(), findings.join("\n  "));
}

/// What git has, and what it would take in.
fn files() -> Result<Vec<String>> {
    let mut list = Command::new("git");
    list.current_dir(project::root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    Ok(run::output(&mut list)?.lines().map(str::to_owned).collect())
}

fn check_source(file: &str, text: &str, findings: &mut Vec<String>) {
    if !text.starts_with("//!") {
        findings.push(format!("{file}:1: does not open by saying its one job (//!)"));
    }
    let lines = text.lines().count();
    if lines > LINES {
        findings.push(format!("{file}: {lines} lines; split it, {LINES} fit in a head"));
    }
    check_functions(file, text, findings);
}

/// Goes by indentation, which rustfmt keeps.
fn check_functions(file: &str, text: &str, findings: &mut Vec<String>) {
    let Some((_, most)) = BODY.iter().find(|(folder, _)| file.starts_with(folder)) else { return };
    let lines: Vec<&str> = text.lines().collect();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| opens_function(line)) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let body = lines[start + 1..].iter().take_while(|line| **line != end).count();
        if body > *most {
            findings.push(format!(
                "{file}:{}: a function of {body} lines; split it, {most} is the most here",
                start + 1
            ));
        }
    }
}

fn opens_function(line: &str) -> bool {
    let words = line.trim_start();
    !words.starts_with("//")
        && (words.starts_with("fn ") || words.contains(" fn "))
        && words.ends_with(['{', '('])
}

fn check_banned(file: &str, text: &str, findings: &mut Vec<String>) {
    let applies = |rule: &&Banned| {
        file.starts_with(rule.inside) && !rule.except.iter().any(|except| file.starts_with(except))
    };
    for rule in BANNED.iter().filter(applies) {
        let is_lock = file == "Cargo.lock";
        for (number, _) in text.lines().enumerate().filter(|(_, line)| !is_lock && line.contains(rule.text)) {
            findings.push(format!("{file}:{}: {}: {}", number + 1, rule.text, rule.instead));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings_in(file: &str, text: &str) -> usize {
        let mut findings = Vec::new();
        check_source(file, text, &mut findings);
        check_banned(file, text, &mut findings);
        findings.len()
    }

    #[test]
    fn a_clean_file_has_no_findings() {
        assert_eq!(findings_in("portwatch/src/rule/mod.rs", "//! One job.\nfn f() {}\n"), 0);
    }

    #[test]
    fn every_rule_bites() {
        assert_eq!(findings_in("a.rs", "fn f() {}\n"), 1, "no opening line");
        assert_eq!(findings_in("a.rs", &format!("//! Job.\n{}", "\n".repeat(LINES))), 1, "too long");
        let function = |lines| format!("//! Job.\npub fn f() {{\n{}}}\n", "    g();\n".repeat(lines));
        assert_eq!(findings_in("portwatch-ebpf/a.rs", &function(40)), 0, "just short enough");
        assert_eq!(findings_in("portwatch-ebpf/a.rs", &function(41)), 1, "a long function in the kernel");
        assert_eq!(findings_in("a.rs", &function(61)), 1, "a long function");
        for rule in BANNED {
            let file = format!("{}x.rs", rule.inside);
            assert_eq!(findings_in(&file, &format!("//! Job.\n{}\n", rule.text)), 1, "{}", rule.text);
        }
    }
}
