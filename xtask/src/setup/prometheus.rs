//! The real Prometheus and its promtool: Debian's package, unpacked into the cache and not installed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::archive::Archive;
use crate::cache;
use crate::kernels::Arch;

/// The release that has it: this project's own.
const SUITE: &str = "bookworm";
const WHY: &str = "the real Prometheus, to scrape a real agent";

/// The programs.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) prometheus: PathBuf,
    pub(crate) promtool: PathBuf,
}

impl Tools {
    fn is_complete(&self) -> bool {
        self.prometheus.is_file() && self.promtool.is_file()
    }
}

/// The programs, fetched unless they are there.
pub(crate) fn obtain() -> Result<Tools> {
    let arch = Arch::OWN;
    let folder = cache::dir()?.join("tools").join(format!("prometheus-{}", arch.name()));
    let tools =
        Tools { prometheus: folder.join("usr/bin/prometheus"), promtool: folder.join("usr/bin/promtool") };
    let _lock = cache::lock("prometheus")?;
    if tools.is_complete() {
        return Ok(tools);
    }
    let fetch = |archive: Archive| -> Result<()> {
        let fresh = folder.with_extension("new");
        let _ = fs::remove_dir_all(&fresh);
        archive.unpack("prometheus", &fresh, WHY)?;
        let _ = fs::remove_dir_all(&folder);
        Ok(fs::rename(&fresh, &folder)?)
    };
    // Lists of some days ago may name a version that has been replaced since.
    Archive::open(&[SUITE], arch.debian())
        .and_then(fetch)
        .or_else(|_| fetch(Archive::open_now(&[SUITE], arch.debian())?))?;
    ensure!(tools.is_complete(), "Debian's package has no {}", tools.prometheus.display());
    Ok(tools)
}
