//! bpf-linker, exactly one version: the bytes of the kernel-side object depend on it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{cache, project, run};

/// Older ones write type information that kernels refuse; newer ones want an LLVM of the system's.
const VERSION: &str = "0.10.4";

/// The folder of the linker, to be put on PATH; installs it if it is not there.
pub(crate) fn folder() -> Result<PathBuf> {
    if let Some(path) = run::find("bpf-linker")
        && is_right(&path)
        && let Some(folder) = path.parent()
    {
        return Ok(folder.to_path_buf());
    }
    let root = cache::dir()?.join("tools").join(format!("bpf-linker-{VERSION}"));
    let path = root.join("bin/bpf-linker");
    let _lock = cache::lock("bpf-linker")?;
    if !is_right(&path) {
        let mut install = Command::new(project::cargo());
        install.args(["install", "bpf-linker", "--version", VERSION, "--locked", "--root"]).arg(&root);
        run::quiet(
            &mut install,
            &format!("install bpf-linker {VERSION}"),
            "links the kernel side; 1-2 minutes, once",
        )?;
    }
    Ok(root.join("bin"))
}

fn is_right(path: &PathBuf) -> bool {
    run::output(Command::new(path).arg("--version")).is_ok_and(|text| text.trim().ends_with(VERSION))
}
