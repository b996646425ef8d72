//! `lineup document` on pages of its own: what is right passes, and everything that is not is found. Needs no privilege.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

struct Verdict {
    is_good: bool,
    words: String,
}

/// Runs a page whose fences are written with `'''`.
fn run(name: &str, page: &str) -> Result<Verdict> {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.md"));
    fs::write(&file, page.replace("'''", "```"))?;
    let mut lineup = Command::new(env!("CARGO_BIN_EXE_lineup"));
    lineup.args(["document", "--portwatch", "/bin/echo", "--limit", "10", "--file"]).arg(&file);
    let output = lineup.output().context("starting the lineup")?;
    let words = [output.stdout, output.stderr].concat();
    Ok(Verdict { is_good: output.status.success(), words: String::from_utf8(words)? })
}

fn must_fail(name: &str, page: &str, because: &str) -> Result<()> {
    let verdict = run(name, page)?;
    ensure!(!verdict.is_good && verdict.words.contains(because), "{name}: {}", verdict.words);
    Ok(())
}

#[test]
fn a_page_that_is_right_passes_and_its_portwatch_is_the_one_under_test() -> Result<()> {
    let page = "# Good\n'''sh\nportwatch one; echo two >&2\n'''\n'''text\none\ntw…\n'''\n\
        '''sh needs: false\nexit 1\n'''\n'''sh not run: for readers\nexit 1\n'''\n";
    let verdict = run("good", page)?;
    ensure!(verdict.is_good, "{}", verdict.words);
    for line in
        ["ok document-line-2 Good", "SKIP document-line-9 Good", "left document-line-12 Good: for readers"]
    {
        ensure!(verdict.words.contains(line), "no {line:?} in {}", verdict.words);
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_found() -> Result<()> {
    must_fail("other-output", "'''sh\necho 1\n'''\n'''text\n2\n'''\n", "expected: 2")?;
    must_fail("exit-code", "'''sh\nexit 3\n'''\n", "exit status: 3")?;
    must_fail("file", "'''sh\ntouch here\n'''\n", "left files: here")?;
    must_fail("process", "'''sh\nsleep 600 & echo 1\n'''\n", "left running: sleep[")?;
    must_fail("daemon", "'''sh\nsetsid -f sleep 600 >/dev/null 2>&1\n'''\n", "left running: sleep[")?;
    must_fail("only-skips", "'''sh needs: false\necho 1\n'''\n", "no block could be run")?;
    must_fail("unknown-fence", "'''sh\necho 1\n'''\n'''console\n$ ls\n'''\n", "a fence must be")
}

#[test]
fn a_block_that_takes_too_long_is_ended_with_its_children() -> Result<()> {
    must_fail("slow", "'''sh\nsetsid sleep 601 & sleep 602\n'''\n", "not done within")?;
    let left =
        fs::read_dir("/proc")?.flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    ensure!(
        !left.into_iter().any(|words| words == b"sleep\x00601\x00" || words == b"sleep\x00602\x00"),
        "one is left"
    );
    Ok(())
}
