//! What became of a reservation: the answer first, then the kernel's list, the file for boot, and what else to know.

use super::wide::wrap;
use super::{BOLD, COMMAND, DIM};
use crate::reserve::{Action, Outcome};
use crate::text::{printable, printable_bytes, width};
use std::io::{self, Write};

/// Room for the labels at the left.
const LABEL: usize = 9;
/// Longer lines are hard to read, shorter ones hard to write.
const WIDTHS: (usize, usize) = (60, 100);
/// Lines of one list at most: JSON has all of it.
const LINES: usize = 12;

/// Writes it in lines fit for `columns`. Commands are never broken: they are there to be copied.
///
/// # Errors
/// If it could not be written; a broken pipe among them.
pub fn write(out: &mut impl Write, outcome: &Outcome, columns: usize) -> io::Result<()> {
    let columns = columns.clamp(WIDTHS.0, WIDTHS.1);
    for line in fold(&headline(outcome), columns) {
        writeln!(out, "{BOLD}{}{BOLD:#}", line.trim_end())?;
    }
    writeln!(out)?;
    kernel(out, outcome, columns)?;
    if let Some(file) = &outcome.file {
        writeln!(out)?;
        labelled(out, "File", &[printable_bytes(file.path.as_os_str().as_encoded_bytes())])?;
        if file.difference.is_empty() {
            labelled(out, "", &["nothing to change".to_owned()])?;
        }
        for line in &file.difference {
            labelled(out, "", &fold(&printable(line), columns - LABEL))?;
        }
        if let Some(error) = &file.error {
            labelled(out, "", &wrap(&format!("Failed: {}", printable(error)), columns - LABEL))?;
        }
    }
    if !outcome.notes.is_empty() {
        writeln!(out)?;
    }
    for (index, note) in outcome.notes.iter().enumerate() {
        let title = if index == 0 { "Note" } else { "" };
        labelled(out, title, &wrap(&note.text, columns - LABEL))?;
        for command in &note.commands {
            writeln!(out, "{:LABEL$}  {COMMAND}{}{COMMAND:#}", "", printable(command))?;
        }
    }
    let unseen: Vec<_> = outcome.unseen.iter().map(|unseen| printable(unseen)).collect();
    if !unseen.is_empty() {
        let text = format!("Of who has the ports now could not be seen: {}", unseen.join("; "));
        labelled(out, "", &wrap(&text, columns - LABEL))?;
    }
    out.flush()
}

fn headline(outcome: &Outcome) -> String {
    let kernel = &outcome.kernel;
    let is_file_changed = outcome.file.as_ref().is_some_and(|file| !file.difference.is_empty());
    let is_file_wrong = outcome.file.as_ref().is_some_and(|file| file.error.is_some());
    let ports = &outcome.ports;
    let (would, done, whole) = match outcome.action {
        Action::Reserve => ("Would reserve", "Reserved", "reserved"),
        Action::Unreserve => ("Would take out", "Taken out", "not reserved"),
    };
    let changed = match outcome.action {
        Action::Reserve => &kernel.added,
        Action::Unreserve => &kernel.removed,
    };
    if kernel.error.is_some() {
        return format!("Failed, see below: {ports} in the kernel's list.");
    }
    let at_boot = if outcome.file.is_some() { ", now and at boot" } else { "" };
    let rest = if kernel.kept.is_empty() { String::new() } else { format!(" Kept: {}.", kernel.kept) };
    if is_file_wrong {
        return format!("Half done: {ports} in the kernel's list, but not in the file for boot.");
    }
    match (outcome.dry_run, changed.is_empty(), is_file_changed) {
        (_, true, false) if kernel.kept.is_empty() && outcome.action == Action::Reserve => {
            format!("Nothing to do: {ports} {whole} already{at_boot}.")
        }
        (_, true, false) => format!("Nothing changed.{rest}"),
        (true, true, true) => format!("Would change only the file for boot; nothing was changed.{rest}"),
        (true, false, _) => format!("{would} {changed}{at_boot}; nothing was changed.{rest}"),
        (false, true, true) => format!("{done} at boot: {ports}; the kernel's list stays as it is.{rest}"),
        (false, false, _) => format!("{done}{at_boot}: {changed}.{rest}"),
    }
}

fn kernel(out: &mut impl Write, outcome: &Outcome, columns: usize) -> io::Result<()> {
    let kernel = &outcome.kernel;
    let name = outcome.netns_name.as_deref().map(|name| format!("{} ", printable(name))).unwrap_or_default();
    let place = format!("net.ipv4.ip_local_reserved_ports in netns {name}({})", outcome.netns);
    labelled(out, "Kernel", &wrap(&place, columns - LABEL))?;
    let list = |out: &mut _, title: &str, text: &str| {
        let text = if text.is_empty() { "(empty)" } else { text };
        let lines = fold(text, columns - LABEL - 8);
        let lines = lines.iter().enumerate();
        let lines = lines.map(|(at, line)| format!("{:7} {line}", if at == 0 { title } else { "" }));
        labelled(out, "", &lines.collect::<Vec<_>>())
    };
    list(out, "before", &kernel.before)?;
    list(out, "after", &kernel.after)?;
    if !kernel.added.is_empty() {
        list(out, "+", &kernel.added)?;
    }
    if !kernel.removed.is_empty() {
        list(out, "-", &kernel.removed)?;
    }
    if let Some(error) = &kernel.error {
        labelled(out, "", &wrap(&format!("Failed: {}", printable(error)), columns - LABEL))?;
    }
    Ok(())
}

fn labelled(out: &mut impl Write, title: &str, lines: &[String]) -> io::Result<()> {
    for (index, line) in lines.iter().enumerate() {
        let title = if index == 0 { title } else { "" };
        writeln!(out, "{DIM}{title:LABEL$}{DIM:#}{}", line.trim_end())?;
    }
    Ok(())
}

/// Breaks after blanks and commas: lists have no blanks. What is too long for a terminal is cut, and that is said.
fn fold(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = text.len();
    for part in text.split_inclusive([' ', ',']) {
        let line = lines.last_mut().expect("it begins with one");
        if line.is_empty() || width(line) + width(part.trim_end()) <= columns {
            line.push_str(part);
        } else if lines.len() == LINES {
            lines.push(format!("… {rest} characters more: see -o json"));
            return lines;
        } else {
            lines.push(part.to_owned());
        }
        rest -= part.len();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reserve::{File, Kernel};

    fn outcome() -> Outcome {
        Outcome {
            schema: 1,
            action: Action::Reserve,
            dry_run: true,
            ports: "50010".into(),
            netns: 7,
            netns_name: Some("bl\u{1b}ue".into()),
            kernel: Kernel {
                before: "8080".into(),
                after: "8080,50010".into(),
                added: "50010".into(),
                ..Kernel::default()
            },
            file: None,
            holders: Vec::new(),
            unseen: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn shown(outcome: &Outcome, columns: usize) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        write(&mut out, outcome, columns).expect("written");
        String::from_utf8(out.into_inner()).expect("text")
    }

    #[test]
    fn a_dry_run_shows_the_difference() {
        assert_eq!(
            shown(&outcome(), 80),
            "Would reserve 50010; nothing was changed.\n\n\
             Kernel   net.ipv4.ip_local_reserved_ports in netns bl\\x1bue (7)\n         before  8080\n         \
             after   8080,50010\n         +       50010\n"
        );
    }

    #[test]
    fn half_a_change_is_not_called_done() {
        let mut half = outcome();
        half.dry_run = false;
        half.file = Some(File {
            path: "/etc/sysctl.d/60-portwatch.conf".into(),
            reserved: "50010".into(),
            difference: vec!["+x".into()],
            error: Some("not written: No space left on device".into()),
            overridden_by: None,
            carries: None,
        });
        assert_eq!(half.code(), crate::exit_code::ExitCode::Failed);
        let text = shown(&half, 80);
        assert!(text.starts_with("Half done: 50010 in the kernel's list, but not in the file"), "{text}");
        assert!(text.contains("No space left"), "{text}");
    }

    #[test]
    fn the_longest_list_fits_sixty_columns_and_says_that_it_is_cut() {
        let mut long = outcome();
        long.kernel.after =
            (1..u16::MAX).step_by(2).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
        let text = shown(&long, 60);
        assert!(text.lines().all(|line| width(line) <= 60) && text.lines().count() < 25, "{text}");
        assert!(text.contains("characters more: see -o json"), "{text}");
    }
}
