//! What every scenario came to in every cell of the matrix, from the lines that the lineup prints.

use std::collections::BTreeMap;

use super::matrix::{MATRIX, Row};
use super::play::Played;

/// How a scenario ended in a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The right process was named, and every field was as it must be.
    Right,
    /// Nobody was named, and nobody could be.
    Unnamed,
    /// Not played, for this reason.
    Skipped(String),
    Failed,
}

impl Mark {
    /// Why it was not played.
    pub(super) fn reason(&self) -> Option<&String> {
        match self {
            Self::Skipped(reason) => Some(reason),
            Self::Right | Self::Unnamed | Self::Failed => None,
        }
    }
}

/// One backend on one kernel.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) series: &'static str,
    pub(super) arch: &'static str,
    pub(super) backend: &'static str,
    /// `uname -r`.
    pub(super) release: String,
    pub(super) marks: BTreeMap<String, Mark>,
}

impl Cell {
    /// How many scenarios ended in a way.
    pub(super) fn count(&self, wanted: impl Fn(&Mark) -> bool) -> usize {
        self.marks.values().filter(|mark| wanted(mark)).count()
    }
}

/// Puts the cells in the order of the matrix, x86-64 first.
pub(super) fn sort(cells: &mut [Cell]) {
    let place =
        |cell: &Cell| MATRIX.iter().position(|row| row.series == cell.series && arch(*row) == cell.arch);
    cells.sort_by_key(|cell| (cell.arch == "arm64", place(cell)));
}

fn arch(row: Row) -> &'static str {
    if row.arch.name() == "aarch64" { "arm64" } else { "x86-64" }
}

/// The cells of one kernel.
pub(super) fn of(row: Row, backends: &[&'static str], lineup: &Played) -> Vec<Cell> {
    let cell = |backend: &&'static str| Cell {
        series: row.series,
        arch: arch(row),
        backend,
        release: release(lineup, backend).unwrap_or_default(),
        marks: lineup.lines.iter().filter_map(|line| mark(line, backend)).collect(),
    };
    backends.iter().map(cell).collect()
}

/// `LINEUP row=<release>/<architecture>/<backend> …`
fn release(lineup: &Played, backend: &str) -> Option<String> {
    lineup.lines.iter().find_map(|line| {
        let row = line.strip_prefix("LINEUP row=")?.split(' ').next()?;
        let (rest, of) = row.rsplit_once('/')?;
        (of == backend).then(|| rest.rsplit_once('/').map_or(rest, |(release, _)| release).to_owned())
    })
}

/// `ok|FAIL|skip <backend> <scenario> <milliseconds> <detail>`; nobody is named by a detail that begins with `-[`.
fn mark(line: &str, backend: &str) -> Option<(String, Mark)> {
    let mut words = line.splitn(5, ' ');
    let (outcome, of, scenario) = (words.next()?, words.next()?, words.next()?);
    let detail = words.nth(1).unwrap_or_default();
    let mark = match outcome {
        "ok" if detail.starts_with("-[") => Mark::Unnamed,
        "ok" => Mark::Right,
        "skip" => Mark::Skipped(detail.to_owned()),
        "FAIL" => Mark::Failed,
        _ => return None,
    };
    (of == backend).then(|| (scenario.to_owned(), mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Arch;

    #[test]
    fn every_kind_of_line_is_understood() {
        let lines = [
            "ok fexit tcp4-client 58 thief[176] ephemeral-client by kernel-verdict",
            "ok fexit preexisting-time-wait 46 -[null] time-wait by kernel-verdict",
            "skip fexit udplite 0 this kernel has no UDP-Lite",
            "FAIL fexit storm 10 3 fields are not as they must be",
            "ok kprobe tcp4-client 58 thief[176] ephemeral-client by kernel-verdict",
            "LINEUP row=6.1.0-50-cloud-amd64/x86_64/fexit right=1",
        ];
        let lineup = Played { lines: lines.map(str::to_owned).into(), code: 0 };
        let row = Row { series: "6.1", arch: Arch::X86_64, backends: &["fexit"] };
        let cells = of(row, &["fexit"], &lineup);
        assert_eq!((cells.len(), cells[0].release.as_str()), (1, "6.1.0-50-cloud-amd64"));
        let marks: Vec<_> = cells[0].marks.values().collect();
        let skipped = Mark::Skipped("this kernel has no UDP-Lite".to_owned());
        assert_eq!(marks, [&Mark::Unnamed, &Mark::Failed, &Mark::Right, &skipped]);
        assert_eq!(cells[0].count(|mark| *mark == Mark::Right), 1);
    }
}
