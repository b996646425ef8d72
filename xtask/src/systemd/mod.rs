//! A Debian with its own systemd and journald, booted in the virtual machine: what portwatch is to them can be seen only
//! there.

mod root;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::build::{self, Binaries, Profile};
use crate::initramfs::Initramfs;
use crate::kernels::{self, Arch};
use crate::project;
use crate::vm::{self, Machine, archive};

/// The kernel under it.
const SERIES: &str = "6.12";
/// The root folder is unpacked into memory.
const MEMORY_MIB: u32 = 2_048;
/// All of it takes a minute and a half on two processors.
const TIMEOUT: Duration = Duration::from_secs(600);
/// The messages of units starting are no lines of a test, and nobody logs in.
const APPEND: &str = "systemd.show_status=0 systemd.getty_auto=0 systemd.log_level=warning";
/// The files that are tested as they are shipped.
const SHIPPED: &str = "contrib/systemd";
/// The units of the test, and the script that judges.
const STAGE: &str = "tests/systemd";
const UNITS: &str = "etc/systemd/system";

/// Boots it and runs the checks; every line of the console goes to `on_line`. Returns the exit code of the checks.
pub(crate) fn run(on_line: &mut dyn FnMut(&str)) -> Result<i32> {
    let kernel = kernels::obtain(Arch::X86_64, SERIES)?;
    let root = root::obtain()?;
    let binaries = build::static_for(Arch::X86_64, Profile::Lab)?;
    let machine = Machine {
        memory_mib: MEMORY_MIB,
        timeout: TIMEOUT,
        append: APPEND.to_owned(),
        ..Machine::usual(&kernel)
    };
    let initrd = write(&machine, &root, &binaries)?;
    let codes = vm::boot(&machine, &initrd, 1, &mut |_, line| on_line(line))?;
    codes.first().copied().context("ended without an answer")
}

/// The root folder, and behind it an archive with what changes from run to run; the kernel unpacks both.
fn write(machine: &Machine<'_>, root: &Path, binaries: &Binaries) -> Result<PathBuf> {
    let mut added = Initramfs::default();
    // The kernel makes no folder by itself.
    for folder in ["usr/lib/portwatch-test", "usr/lib/portwatch-test/modules"] {
        added.folder(folder);
    }
    added.copy("usr/bin/portwatch", &binaries.portwatch)?;
    for module in &machine.kernel.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        added.copy(&format!("usr/lib/portwatch-test/modules/{name}"), module)?;
    }
    let order = machine.kernel.modules.iter().filter_map(|path| path.file_name()?.to_str());
    let order: String = order.map(|name| format!("/usr/lib/portwatch-test/modules/{name}\n")).collect();
    added.plain("usr/lib/portwatch-test/modules/order", order.as_bytes());
    added.plain("usr/lib/portwatch-test/onfailure.conf", &shipped("onfailure.conf")?);
    for unit in ["portwatch.service", "portwatch-why@.service"] {
        added.plain(&format!("{UNITS}/{unit}"), &shipped(unit)?);
    }
    for entry in fs::read_dir(project::root().join(STAGE))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".service") || name.ends_with(".socket") {
            added.plain(&format!("{UNITS}/{name}"), &fs::read(&path)?);
        } else {
            added.copy(&format!("usr/lib/portwatch-test/{name}"), &path)?;
        }
    }
    // In the place of the root's own, a link to systemd.
    added.file(
        "init",
        format!("#!/bin/sh\necho; echo {}\nexec /lib/systemd/systemd \"$@\"\n", vm::UP).as_bytes(),
    );
    // debootstrap takes over the name of the machine that it runs on.
    added.plain("etc/hostname", b"portwatch-test\n");
    added.link(&format!("{UNITS}/default.target"), "/lib/systemd/system/multi-user.target");
    added.folder(&format!("{UNITS}/multi-user.target.wants"));
    added.link(&format!("{UNITS}/multi-user.target.wants/checks.service"), "../checks.service");
    let path = archive::place("systemd")?;
    let mut file = File::create(&path)?;
    io::copy(&mut File::open(root)?, &mut file)?;
    file.write_all(&added.finish())?;
    Ok(path)
}

fn shipped(name: &str) -> Result<Vec<u8>> {
    let path = project::root().join(SHIPPED).join(name);
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}
