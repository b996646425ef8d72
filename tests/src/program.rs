//! Copies of the lineup under other names, for actors who become another program.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// A program in a folder of its own; removed on drop.
pub(crate) struct Program {
    folder: PathBuf,
    path: PathBuf,
}

impl Program {
    /// Copies the lineup to a file of any name.
    pub(crate) fn copy(name: &OsStr) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lineup-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(name);
        fs::copy("/proc/self/exe", &path).with_context(|| format!("copying to {}", path.display()))?;
        Ok(Self { folder, path })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // What stays behind lies in the folder for such things.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
