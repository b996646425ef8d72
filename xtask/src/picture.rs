//! `cargo xtask picture`: what a terminal shows of `portwatch demo`, as `docs/demo.svg`. Made from a real run.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::{build, project, run};

/// Columns that the program is told; paragraphs are folded there.
const COLUMNS: usize = 110;
/// Size of a character, in SVG units.
const CELL: (f32, f32) = (8.0, 17.0);
const MARGIN: f32 = 16.0;

/// Draw the picture of the README from a real run of the demo
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<()> {
    let binaries = build::host()?;
    let mut demo = run::as_root(&binaries.portwatch)?;
    // Through env(1), because sudo drops what it does not know.
    let mut command = Command::new(demo.get_program());
    command.args(demo.get_args().filter(|word| *word != binaries.portwatch.as_os_str()));
    command.args(["env", "CLICOLOR_FORCE=1", &format!("COLUMNS={COLUMNS}")]);
    if command.get_program() == binaries.portwatch.as_os_str() {
        demo = Command::new("env");
        demo.args(["CLICOLOR_FORCE=1", &format!("COLUMNS={COLUMNS}")]);
        command = demo;
    }
    let output = command.arg(&binaries.portwatch).arg("demo").output()?;
    ensure!(output.status.success(), "the demo failed: {}", String::from_utf8_lossy(&output.stderr));
    let screen = format!("$ sudo portwatch demo\n{}", String::from_utf8_lossy(&output.stdout));
    let path = project::root().join("docs/demo.svg");
    fs::write(&path, svg(&screen))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// A run of characters in one style.
struct Span {
    text: String,
    class: String,
}

/// Splits a line at its SGR sequences; other escapes do not occur in the program's output.
fn spans(line: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut class = String::new();
    let mut rest = line;
    while let Some(start) = rest.find("\u{1b}[") {
        let (text, after) = rest.split_at(start);
        if !text.is_empty() {
            spans.push(Span { text: text.to_owned(), class: class.clone() });
        }
        let Some(end) = after.find('m') else { return spans };
        for code in after[2..end].split(';') {
            match code {
                "0" | "" => class.clear(),
                "1" => class.push_str(" b"),
                "2" => class.push_str(" d"),
                "31" => class.push_str(" r"),
                "32" => class.push_str(" g"),
                _ => {}
            }
        }
        rest = &after[end + 1..];
    }
    spans.push(Span { text: rest.to_owned(), class });
    spans
}

fn svg(screen: &str) -> String {
    let lines: Vec<&str> = screen.lines().collect();
    let length = |line: &&str| -> usize { spans(line).iter().map(|span| span.text.chars().count()).sum() };
    let columns = lines.iter().map(length).max().unwrap_or(COLUMNS);
    let width = CELL.0 * columns as f32 + 2.0 * MARGIN;
    let height = CELL.1 * lines.len() as f32 + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<style>text{{font:13px ui-monospace,monospace;fill:#d8dee9;\
         white-space:pre}}.b{{font-weight:bold}}.d{{fill:#8892a5}}.r{{fill:#ff7b72}}.g{{fill:#7ee787}}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#161b22\"/>\n"
    );
    for (row, line) in lines.iter().enumerate() {
        let y = MARGIN + CELL.1 * (row as f32 + 0.8);
        let _ = write!(out, "<text x=\"{MARGIN}\" y=\"{y:.1}\" xml:space=\"preserve\">");
        for span in spans(line) {
            let text = span.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let _ = write!(out, "<tspan class=\"{}\">{text}</tspan>", span.class.trim());
        }
        out.push_str("</text>\n");
    }
    out.push_str("</svg>\n");
    out
}
