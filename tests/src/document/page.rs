//! A page → its command blocks, each with what it must print. Pure. Every fence of the page must be one of those that
//! `document` describes: a block that nobody runs, and nobody meant to leave out, is an error.

use anyhow::{Context, Result, bail, ensure};

/// What is before the reason why a block is not run.
const NOT_RUN: &str = "not run:";
/// What is before a command that tells whether this host can run the block.
const NEEDS: &str = "needs:";

/// A block of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it begins in the page, from 1.
    pub(crate) line: usize,
    /// The heading above it.
    pub(crate) heading: String,
    pub(crate) script: String,
    pub(crate) order: Order,
    /// What it must print; `None`: anything, if it only succeeds.
    pub(crate) output: Option<String>,
    /// What `portwatch trace -o wide` must print meanwhile.
    pub(crate) trace: Option<Trace>,
}

/// What a second terminal shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// What leaves out the conflicts of others on the host.
    pub(crate) filter: Vec<String>,
    pub(crate) output: String,
}

/// Whether a block is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Run,
    /// If this command succeeds.
    RunIf(String),
    /// Never, and why.
    Leave(String),
}

/// A fence with its lines.
struct Fence<'a> {
    line: usize,
    heading: &'a str,
    info: &'a str,
    text: String,
}

/// The blocks of a page in Markdown.
pub(crate) fn blocks(page: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    for fence in fences(page)? {
        let place = format!("line {}", fence.line);
        let (language, rest) = fence.info.split_once(' ').unwrap_or((fence.info, ""));
        match (language, rest) {
            ("sh", rest) => blocks.push(Block {
                line: fence.line,
                heading: fence.heading.to_owned(),
                script: fence.text,
                order: order(rest).context(place)?,
                output: None,
                trace: None,
            }),
            ("text", "") => {
                add(&mut blocks, |block| block.output.replace(fence.text).is_none()).context(place)?;
            }
            ("text", rest) if rest.split(' ').next() == Some("trace") => {
                let filter = rest.split_whitespace().skip(1).map(str::to_owned).collect();
                let trace = Trace { filter, output: fence.text };
                add(&mut blocks, |block| block.trace.replace(trace).is_none()).context(place)?;
            }
            _ => bail!("{place}: a fence must be ```sh, ```text or ```text trace, not ```{}", fence.info),
        }
    }
    Ok(blocks)
}

/// Adds what a block must print; `put` tells whether there was none yet.
fn add(blocks: &mut [Block], put: impl FnOnce(&mut Block) -> bool) -> Result<()> {
    let block = blocks.last_mut().context("an output before any block")?;
    ensure!(
        !matches!(block.order, Order::Leave(_)),
        "an output of a block that is not run: nobody checks it"
    );
    ensure!(put(block), "a second output of the block at line {}", block.line);
    Ok(())
}

fn order(words: &str) -> Result<Order> {
    if words.is_empty() {
        return Ok(Order::Run);
    }
    let after = |prefix| words.strip_prefix(prefix).map(str::trim);
    match (after(NOT_RUN), after(NEEDS)) {
        (Some(reason), _) if !reason.is_empty() => Ok(Order::Leave(reason.to_owned())),
        (_, Some(command)) if !command.is_empty() => Ok(Order::RunIf(command.to_owned())),
        _ => bail!("after ```sh comes nothing, `{NOT_RUN} REASON` or `{NEEDS} COMMAND`, not {words:?}"),
    }
}

fn fences(page: &str) -> Result<Vec<Fence<'_>>> {
    let mut fences = Vec::new();
    let mut open: Option<Fence<'_>> = None;
    let mut heading = "";
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (Some(_), Some("")) => fences.extend(open.take()),
            (Some(fence), _) => {
                fence.text.push_str(line);
                fence.text.push('\n');
            }
            (None, Some(info)) => {
                ensure!(line.starts_with("```"), "line {}: an indented fence", number + 1);
                open = Some(Fence { line: number + 1, heading, info: info.trim(), text: String::new() });
            }
            (None, None) => {
                if line.starts_with('#') {
                    heading = line.trim_start_matches('#').trim();
                }
            }
        }
    }
    match open {
        None => Ok(fences),
        Some(fence) => bail!("line {}: a fence that is never closed", fence.line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(page: &str) -> Block {
        let mut blocks = blocks(page).expect("a page");
        assert_eq!(blocks.len(), 1);
        blocks.remove(0)
    }

    #[test]
    fn a_block_has_its_heading_its_output_and_what_trace_says() {
        let page =
            "# A\n\n## B\n```sh\necho 1\n```\nIt says\n```text\n1\n```\nand\n```text trace --uid 0\n…\n```\n";
        let block = one(page);
        assert_eq!((block.line, block.heading.as_str(), block.script.as_str()), (4, "B", "echo 1\n"));
        let trace = block.trace.expect("a trace");
        assert_eq!((block.output.as_deref(), trace.output.as_str()), (Some("1\n"), "…\n"));
        assert_eq!(trace.filter, ["--uid", "0"]);
        assert_eq!(block.order, Order::Run);
    }

    #[test]
    fn a_block_may_be_left_with_a_reason_or_run_on_a_condition() {
        assert_eq!(one("```sh not run: stays\nreboot\n```\n").order, Order::Leave("stays".to_owned()));
        assert_eq!(one("```sh needs: test -e /x\nls\n```\n").order, Order::RunIf("test -e /x".to_owned()));
    }

    #[test]
    fn what_nobody_would_check_is_an_error() {
        for page in [
            "```sh not run:\nreboot\n```\n",
            "```sh later\nls\n```\n",
            "```console\n$ ls\n```\n",
            "```\nls\n```\n",
            "```text\n1\n```\n",
            "```sh not run: stays\nreboot\n```\n```text\n1\n```\n",
            "```sh\nls\n```\n```text\n1\n```\n```text\n2\n```\n",
            "```sh\nls\n",
            "- item\n  ```sh\n  ls\n  ```\n",
        ] {
            assert!(blocks(page).is_err(), "{page:?} is taken");
        }
    }

    /// The page itself: every block is run or left for a stated reason, and most are compared.
    #[test]
    fn every_block_of_the_page_is_run_or_left_for_a_reason() {
        let page = include_str!("../../../docs/port-conflicts.md");
        let blocks = blocks(page).expect("docs/port-conflicts.md");
        let run = blocks.iter().filter(|block| !matches!(block.order, Order::Leave(_)));
        let compared = run.clone().filter(|block| block.output.is_some()).count();
        assert!(run.count() >= 20 && compared >= 20, "{compared} are compared");
        for cause in portwatch::model::Cause::ALL.iter().map(|cause| cause.as_str()) {
            let heading = format!("`{cause}`");
            let has_one =
                blocks.iter().any(|block| block.heading.contains(&heading) && block.trace.is_some());
            assert!(has_one || cause == "unknown", "no block shows what portwatch says of {heading}");
        }
    }

    /// As the viewers of Markdown call headings.
    fn anchor(heading: &str) -> String {
        let words = heading.to_lowercase().replace(' ', "-");
        words.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
    }

    #[test]
    fn every_link_within_the_page_leads_somewhere() {
        let page = include_str!("../../../docs/port-conflicts.md");
        let headings = page.lines().filter(|line| line.starts_with('#'));
        let anchors: Vec<String> = headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
        let links = page.split("](#").skip(1).filter_map(|rest| rest.split(')').next());
        let mut count = 0;
        for link in links {
            assert!(anchors.iter().any(|anchor| anchor == link), "no heading #{link}");
            count += 1;
        }
        assert!(count > 20, "{count} links");
    }
}
