//! `docs/kernels.md` and the table in the README, from a whole run of the matrix. What is committed must be what the run
//! gives; the kernels' patch releases aside, which change with every update of Debian.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::cells::{Cell, Mark};
use crate::project;

const OPEN: &str = "<!-- lineup -->";
const CLOSE: &str = "<!-- /lineup -->";
/// Begins the part that names releases, and ends at the next heading.
const RELEASES: &str = "## Releases";
const REMEDY: &str = "cargo xtask test --full --lane 3 --update-docs";

fn path() -> PathBuf {
    project::root().join("docs/kernels.md")
}

fn readme() -> PathBuf {
    project::root().join("README.md")
}

/// Writes both.
pub(super) fn write(cells: &[Cell]) -> Result<()> {
    fs::write(path(), page(cells)?)?;
    let text = fs::read_to_string(readme())?;
    let (before, _, after) = around(&text)?;
    fs::write(readme(), format!("{before}{OPEN}\n{}{CLOSE}{after}", score(cells)?))?;
    println!("docs/kernels.md and README.md written");
    Ok(())
}

/// Whether both say what this run gave.
pub(super) fn check(cells: &[Cell]) -> Result<()> {
    let committed = fs::read_to_string(path()).unwrap_or_default();
    ensure!(
        without_releases(&committed) == without_releases(&page(cells)?),
        "docs/kernels.md is not what this run gives; {REMEDY}"
    );
    let text = fs::read_to_string(readme())?;
    let (_, table, _) = around(&text)?;
    ensure!(
        table.trim() == score(cells)?.trim(),
        "the table in README.md is not what this run gives; {REMEDY}"
    );
    Ok(())
}

/// The README before, between and after the markers.
fn around(text: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) = text.split_once(OPEN).with_context(|| format!("README.md has no line {OPEN}"))?;
    let (table, after) = rest.split_once(CLOSE).with_context(|| format!("README.md has no line {CLOSE}"))?;
    Ok((before, table, after))
}

fn without_releases(page: &str) -> String {
    let Some((before, rest)) = page.split_once(RELEASES) else { return page.to_owned() };
    let after = rest.split_once("\n## ").map_or("", |(_, after)| after);
    format!("{before}{after}")
}

/// A line a cell.
fn score(cells: &[Cell]) -> Result<String> {
    let mut out = String::from(
        "| kernel | backend | right | wrong or missed | nobody to name | skipped |\n|---|---|---:|---:|---:|---:|\n",
    );
    for cell in cells {
        let Cell { series, arch, backend, .. } = cell;
        let right = cell.count(|mark| *mark == Mark::Right);
        let failed = cell.count(|mark| *mark == Mark::Failed);
        let unnamed = cell.count(|mark| *mark == Mark::Unnamed);
        let skipped = cell.count(|mark| matches!(mark, Mark::Skipped(_)));
        writeln!(out, "| {series} {arch} | {backend} | {right} | {failed} | {unnamed} | {skipped} |")?;
    }
    Ok(out)
}

fn page(cells: &[Cell]) -> Result<String> {
    let mut out = format!(
        "# Kernels\n\n<!-- Written by `{REMEDY}`, from what its run gave. Do not edit. -->\n\n\
         Every scenario of the lineup makes a real conflict whose culprit it knows, and looks at every field of the\n\
         report: victim, holders, cause, evidence, creator, state, addresses, times, and that nobody else is blamed.\n\
         Right: the process that it was. Nobody to name: what is left has no owner, and the report says why.\n\n\
         ## Score\n\n"
    );
    out.push_str(&score(cells)?);
    write!(out, "\n{RELEASES}\n\n")?;
    for release in cells.iter().map(|cell| &cell.release).collect::<BTreeSet<_>>() {
        writeln!(out, "- Linux {release}")?;
    }
    let reasons: Vec<&String> = reasons(cells).into_iter().collect();
    out.push_str(
        "\n## Every scenario\n\n✓ right · – nobody to name · number: not played, for the reason below\n\n",
    );
    let titles = cells.iter().map(|cell| format!("{} {} {}", cell.series, cell.arch, cell.backend));
    writeln!(out, "| scenario | {} |", titles.collect::<Vec<_>>().join(" | "))?;
    writeln!(out, "|---|{}", ":-:|".repeat(cells.len()))?;
    for scenario in cells.iter().flat_map(|cell| cell.marks.keys()).collect::<BTreeSet<_>>() {
        let marks = cells.iter().map(|cell| sign(cell.marks.get(scenario), &reasons));
        writeln!(out, "| {scenario} | {} |", marks.collect::<Vec<_>>().join(" | "))?;
    }
    if !reasons.is_empty() {
        out.push('\n');
    }
    for (number, reason) in reasons.iter().enumerate() {
        writeln!(out, "{}. {reason}", number + 1)?;
    }
    Ok(out)
}

fn reasons(cells: &[Cell]) -> BTreeSet<&String> {
    cells.iter().flat_map(|cell| cell.marks.values()).filter_map(Mark::reason).collect()
}

fn sign(mark: Option<&Mark>, reasons: &[&String]) -> String {
    match mark {
        Some(Mark::Right) => "✓".to_owned(),
        Some(Mark::Unnamed) => "–".to_owned(),
        Some(Mark::Failed) => "FAILED".to_owned(),
        Some(Mark::Skipped(reason)) => {
            reasons.iter().position(|one| *one == reason).map_or_else(String::new, |at| (at + 1).to_string())
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(release: &str, mark: Mark) -> Cell {
        let marks = [("tcp4-client".to_owned(), Mark::Right), ("udplite".to_owned(), mark)].into();
        Cell { series: "6.1", arch: "x86-64", backend: "fexit", release: release.to_owned(), marks }
    }

    #[test]
    fn the_page_shows_every_mark_and_why_one_is_missing() {
        let page = page(&[cell("6.1.0-50", Mark::Skipped("no UDP-Lite".to_owned()))]).expect("a page");
        for line in [
            "| 6.1 x86-64 | fexit | 1 | 0 | 0 | 1 |",
            "| tcp4-client | ✓ |",
            "| udplite | 1 |",
            "1. no UDP-Lite",
            "- Linux 6.1.0-50",
        ] {
            assert!(page.contains(line), "{line} in:\n{page}");
        }
    }

    #[test]
    fn another_patch_release_is_the_same_page_and_another_mark_is_not() {
        let text = |release, mark| without_releases(&page(&[cell(release, mark)]).expect("a page"));
        assert_eq!(text("6.1.0-50", Mark::Right), text("6.1.0-51", Mark::Right));
        assert_ne!(text("6.1.0-50", Mark::Right), text("6.1.0-50", Mark::Unnamed));
    }
}
