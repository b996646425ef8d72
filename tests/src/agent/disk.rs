//! A disk that is soon full.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A file system in memory; gone on drop.
pub(super) struct Small(PathBuf);

impl Small {
    pub(super) fn mount(at: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(at)?;
        let size = std::ffi::CString::new(format!("size={bytes},mode=0750"))?;
        mount(c"tmpfs", at, c"tmpfs", MountFlags::empty(), Some(size.as_c_str()))
            .with_context(|| format!("mounting {}", at.display()))?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // A reader may still have it open; it goes with that.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
