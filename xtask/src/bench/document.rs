//! docs/performance.md: the sections that are measured stand between marks, `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.

use std::fs;

use anyhow::{Context as _, Result};

use crate::project;

const DOCUMENT: &str = "docs/performance.md";

/// Writes a section between the marks of that name.
pub(super) fn update(name: &str, section: &str) -> Result<()> {
    update_in(DOCUMENT, name, section)
}

/// The same in another document.
pub(super) fn update_in(document: &str, name: &str, section: &str) -> Result<()> {
    let path = project::root().join(document);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {document}"))?;
    let text = replace(&text, name, section).with_context(|| format!("cannot update {document}"))?;
    fs::write(&path, text).with_context(|| format!("cannot write {document}"))?;
    println!("{document}: {name} updated");
    Ok(())
}

fn replace(text: &str, name: &str, section: &str) -> Result<String> {
    let (open, close) = (format!("<!-- bench:{name} -->"), format!("<!-- /bench:{name} -->"));
    let missing = |mark: &str| format!("there is no line {mark}");
    let (before, rest) = text.split_once(&open).with_context(|| missing(&open))?;
    let (_, after) = rest.split_once(&close).with_context(|| missing(&close))?;
    Ok(format!("{before}{open}\n{}\n{close}{after}", section.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_of_that_name_is_replaced() {
        let text = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n<!-- bench:y -->\n<!-- /bench:y -->\n";
        let replaced = replace(text, "x", "new\n").expect("both marks are there");
        assert_eq!(
            replaced,
            "a\n<!-- bench:x -->\nnew\n<!-- /bench:x -->\nb\n<!-- bench:y -->\n<!-- /bench:y -->\n"
        );
        assert!(replace(text, "z", "new").is_err());
    }
}
