//! The root folder of a Debian, made once by debootstrap and kept in the cache as the archive that a kernel unpacks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::setup::{apt, archive};
use crate::{cache, run};

const RELEASE: &str = "bookworm";
/// What is in it beside the least that Debian needs: the service manager, a bus for systemctl, real services that want
/// ports, and real clients that take them.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,iproute2,kmod,curl,netcat-openbsd,nginx-light";
/// Of no use in a machine that lives for two minutes, and half of its size.
const NOT_NEEDED: &str = "usr/share/doc usr/share/man usr/share/locale usr/share/i18n usr/share/zoneinfo usr/share/perl \
                          usr/share/info usr/share/bash-completion usr/lib/x86_64-linux-gnu/gconv \
                          usr/lib/x86_64-linux-gnu/perl-base var/cache/apt var/lib/apt/lists var/log/bootstrap.log";

/// Makes the folder, takes away what is of no use, and packs it: all as root, whose files they are.
const MAKE: &str = r#"
set -eu
# debootstrap has its tools in folders that are not on everybody's PATH.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
folder=$1 archive=$2 keyring=$3 packages=$4 release=$5 place=$6 not_needed=$7 user=$8
rm -rf "$folder"
mkdir -p "$folder"
debootstrap --variant=minbase --keyring="$keyring" --include="$packages" "$release" "$folder" "$place"
cd "$folder"
rm -rf $not_needed
# The kernel starts /init; systemd takes a root without /etc/initrd-release for the real one.
ln -s lib/systemd/systemd init
# Who the machine is, is made up at each boot; nothing is mounted, and nobody has a password.
: > etc/machine-id
: > etc/fstab
find . -xdev | busybox cpio -o -H newc > "$archive"
chown "$user" "$archive"
cd /
rm -rf "$folder"
"#;

/// The archive, from the cache or else made now.
pub(super) fn obtain() -> Result<PathBuf> {
    let why = "to boot a Debian with its own systemd";
    apt::install(&[apt::DEBOOTSTRAP, apt::KEYS, apt::BUSYBOX], why)?;
    let _lock = cache::lock("root-folder")?;
    let dir = cache::dir()?.join("roots").join(RELEASE);
    let (ready, recipe) = (dir.join("root.cpio"), dir.join("recipe"));
    let wanted = format!("{PACKAGES}\n{NOT_NEEDED}\n{MAKE}");
    if ready.is_file() && fs::read_to_string(&recipe).is_ok_and(|made_by| made_by == wanted) {
        return Ok(ready);
    }
    let _ = fs::remove_file(&recipe);
    fs::create_dir_all(&dir)?;
    make(&dir, &ready, why)?;
    // Written last: what lies beside it is whole.
    fs::write(recipe, wanted)?;
    Ok(ready)
}

fn make(dir: &Path, archive: &Path, why: &str) -> Result<()> {
    let place = archive::own_archive()?;
    let user = rustix::process::geteuid().as_raw().to_string();
    let shell = run::find("sh").context("there is no sh on this machine")?;
    let mut command = run::as_root(&shell)?;
    command.args(["-c", MAKE, "sh"]).arg(dir.join("folder")).arg(archive);
    command.args([archive::KEYRING, PACKAGES, RELEASE, &place, NOT_NEEDED, &user]);
    run::quiet(
        &mut command,
        &format!("a root folder of Debian {RELEASE}"),
        &format!("{why}; 1-5 minutes, once"),
    )
}
