//! Keeps what noise the kernel's allocator makes out of a measurement.

use std::fs;

use anyhow::{Context, Result, ensure};

const CACHES: &str = "/sys/kernel/slab";
/// Empty slabs that a cache keeps: more than there will ever be.
const KEPT: &str = "1000000";

/// Tells every cache of the kernel to keep the pages that it has. Else it gives some of those back that a grace period has
/// emptied, and takes them again soon after: how often is left to chance, and is a percent of a cheap operation. For
/// a machine of our own only.
pub(super) fn keep_pages() -> Result<()> {
    let mut told = 0;
    for cache in fs::read_dir(CACHES).with_context(|| format!("reading {CACHES}"))? {
        told += u32::from(fs::write(cache?.path().join("min_partial"), KEPT).is_ok());
    }
    ensure!(told > 0, "no cache in {CACHES} takes a number of slabs to keep");
    Ok(())
}
