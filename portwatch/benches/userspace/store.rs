//! A batch of conflicts into the history.

use crate::stopwatch::anew;
use criterion::{BatchSize, Criterion};
use portwatch::model::Conflict;
use portwatch::sink::Told;
use portwatch::store::{Retention, Writer};
use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// As many as the agent writes at once.
const BATCH: u32 = 512;

/// A conflict like most: a service, and the client of another that was given its port.
pub(crate) fn example() -> Conflict {
    serde_json::from_str(EXAMPLE).expect("a conflict")
}

/// The same as JSON.
pub(crate) const EXAMPLE: &str = include_str!("../../tests/fixtures/store/conflict.json");

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    group.sample_size(20);
    let folder = Folder::make();
    let (new, grown) = (batch(1), batch(2));
    anew(
        &mut group,
        "512-new",
        BatchSize::PerIteration,
        || folder.history(),
        |mut writer| (writer.write(&new), writer),
    );
    let known = || {
        let mut writer = folder.history();
        writer.write(&new).expect("a history");
        writer
    };
    anew(&mut group, "512-grown", BatchSize::PerIteration, known, |mut writer| {
        (writer.write(&grown), writer)
    });
    group.finish();
}

/// Programs and ports as varied as those of a large host.
fn batch(count: u64) -> Vec<Told> {
    let base = example();
    let one = |number: u32| {
        let mut conflict = base.clone();
        conflict.id = format!("{number:x}-{}", number % 97);
        conflict.count = count;
        conflict.port = 8_000 + u16::try_from(number % 200).unwrap_or_default();
        conflict.victim.unit = Some(format!("server-{}.service", number % 31));
        Told { conflict: Arc::new(conflict), is_new: count == 1 }
    };
    (0..BATCH).map(one).collect()
}

/// A folder for histories, which goes when the measurement ends.
struct Folder {
    path: PathBuf,
    histories: Cell<u32>,
}

impl Folder {
    fn make() -> Self {
        let path = std::env::temp_dir().join(format!("portwatch-bench-{}", std::process::id()));
        Self { path, histories: Cell::new(0) }
    }

    fn history(&self) -> Writer {
        // Those before are closed by now, or will be in a moment; their files are not needed.
        let _ = fs::remove_dir_all(&self.path);
        self.histories.set(self.histories.get() + 1);
        let folder = self.path.join(self.histories.get().to_string());
        fs::create_dir_all(&folder).expect("a folder");
        let opened = Writer::open(&folder.join("history.db"), Retention::default());
        opened.expect("a new history").0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
