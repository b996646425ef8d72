//! The example of `docs/metrics.md` does what the page says that it does.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

const OPEN: &str = "<!-- shared-ports -->";
const CLOSE: &str = "<!-- /shared-ports -->";

/// Runs it with the shell, and compares.
pub(super) fn check(page: &Path) -> Result<String> {
    let text = std::fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let (_, rest) = text.split_once(OPEN).context("the example is gone")?;
    let (example, after) = rest.split_once(CLOSE).context("the example has no end")?;
    let script = fenced(example).context("the example has no script")?;
    let promised = fenced(after).context("the example has no result")?;
    let output =
        Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output().context("starting sh")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && said == promised,
        "{}, and it said {said:?}, not {promised:?}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(format!("{} lines as promised", promised.lines().count()))
}

/// The first block between fences.
fn fenced(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("```")?;
    let (_, body) = rest.split_once('\n')?;
    body.split_once("```").map(|(body, _)| body)
}
