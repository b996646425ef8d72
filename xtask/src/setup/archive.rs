//! Packages of other Debian releases and architectures, fetched by apt with a private state: nothing of the system's own
//! configuration changes, and signatures are checked as usual.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::{cache, run};

/// Lists older than this are fetched anew.
const FRESH: Duration = Duration::from_secs(3 * 24 * 3600);
const SECURITY: &str = "-security";
const UPDATES: &str = "-updates";
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with a state of its own, for some suites and one architecture.
#[derive(Debug)]
pub(crate) struct Archive {
    dir: PathBuf,
    architecture: &'static str,
    /// Two runs share the lists and the folder of downloads.
    _lock: cache::Lock,
}

impl Archive {
    /// Makes the state and fetches the lists unless they are fresh.
    pub(crate) fn open(suites: &[&str], architecture: &'static str) -> Result<Self> {
        Self::open_since(suites, architecture, FRESH)
    }

    /// The same with lists of this moment.
    pub(crate) fn open_now(suites: &[&str], architecture: &'static str) -> Result<Self> {
        Self::open_since(suites, architecture, Duration::ZERO)
    }

    fn open_since(suites: &[&str], architecture: &'static str, fresh: Duration) -> Result<Self> {
        if run::find("apt-get").is_none() {
            bail!(
                "kernels for virtual machines come from Debian through apt-get, and there is none here: use a Debian or \
                 Ubuntu machine, or test on this kernel alone: cargo xtask test --lane 2"
            );
        }
        let name = format!("{architecture}-{}", suites.join("-"));
        let lock = cache::lock(&format!("apt-{name}"))?;
        let archive = Self { dir: cache::dir()?.join("apt").join(name), architecture, _lock: lock };
        archive.refresh(suites, fresh)?;
        Ok(archive)
    }

    fn refresh(&self, suites: &[&str], fresh: Duration) -> Result<()> {
        let stamp = self.dir.join("updated");
        let age = fs::metadata(&stamp).and_then(|meta| meta.modified()).ok();
        if age.and_then(|time| SystemTime::now().duration_since(time).ok()).is_some_and(|age| age < fresh) {
            return Ok(());
        }
        for dir in ["lists/partial", "cache/archives/partial", "empty"] {
            fs::create_dir_all(self.dir.join(dir))?;
        }
        // apt must not look at the packages of this machine: they are of another release.
        fs::write(self.dir.join("status"), "")?;
        if let Err(error) = self.update(suites) {
            let releases: Vec<&str> = suites.iter().copied().filter(|suite| !is_addition(suite)).collect();
            if releases.len() == suites.len() {
                return Err(error);
            }
            // An old release loses these first, and its own kernels are still there.
            eprintln!("  without updates and security of {}: {error:#}", releases.join(", "));
            self.update(&releases)?;
        }
        fs::write(&stamp, "")?;
        Ok(())
    }

    fn update(&self, suites: &[&str]) -> Result<()> {
        let (base, security) = (own_archive()?, archive_labelled("Debian-Security")?);
        let mut sources = String::new();
        for suite in suites {
            let place = if suite.ends_with(SECURITY) { security.as_ref() } else { Some(&base) };
            if let Some(place) = place {
                let arch = self.architecture;
                sources.push_str(&format!("deb [arch={arch} signed-by={KEYRING}] {place} {suite} main\n"));
            } else {
                eprintln!("  without {suite}: apt on this machine knows no archive of security updates");
            }
        }
        fs::write(self.dir.join("sources.list"), sources)?;
        run::quiet(
            self.apt("apt-get").args(["update", "-q", "-oAPT::Update::Error-Mode=any"]),
            &format!("lists of {} ({})", suites.join(", "), self.architecture),
            "to find packages of other Debian releases",
        )
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let option = |key: &str, value: &OsStr| {
            let mut text = std::ffi::OsString::from(format!("-o{key}="));
            text.push(value);
            text
        };
        command
            .arg(option("Dir::Etc::sourcelist", self.dir.join("sources.list").as_os_str()))
            .arg(option("Dir::Etc::sourceparts", OsStr::new("-")))
            .arg(option("Dir::Etc::preferencesparts", self.dir.join("empty").as_os_str()))
            .arg(option("Dir::State::lists", self.dir.join("lists").as_os_str()))
            .arg(option("Dir::State::status", self.dir.join("status").as_os_str()))
            .arg(option("Dir::Cache", self.dir.join("cache").as_os_str()))
            .arg(option("APT::Architecture", OsStr::new(self.architecture)))
            .arg("-oAPT::Architectures::=")
            .arg("-oAPT::Sandbox::User=root")
            .arg("-oAcquire::Languages=none")
            .arg("-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false")
            .arg("-oAcquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false");
        command
    }

    /// Names of all packages that begin so.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = run::output(self.apt("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// The versions of a package, the newest first.
    pub(crate) fn versions(&self, name: &str) -> Result<Vec<String>> {
        let rows = run::output(self.apt("apt-cache").args(["madison", name]))?;
        Ok(rows.lines().filter_map(|row| row.split('|').nth(1)).map(|v| v.trim().to_owned()).collect())
    }

    /// Packages with all that they need, and the version of each: what apt would install on a machine that has nothing.
    pub(crate) fn with_dependencies(&self, names: &[&str]) -> Result<Vec<(String, String)>> {
        let mut simulate = self.apt("apt-get");
        simulate.args(["install", "--simulate", "--no-install-recommends"]).args(names);
        Ok(run::output(&mut simulate)?.lines().filter_map(installed).collect())
    }

    /// Fetches a package (`name` or `name=version`) and unpacks it into `into`.
    pub(crate) fn unpack(&self, package: &str, into: &Path, why: &str) -> Result<()> {
        let downloads = self.dir.join("download");
        let _ = fs::remove_dir_all(&downloads);
        fs::create_dir_all(&downloads)?;
        let mut fetch = self.apt("apt-get");
        fetch.current_dir(&downloads).args(["download", "-q", package]);
        run::quiet(&mut fetch, &format!("fetch {package}"), why)?;
        let deb = fs::read_dir(&downloads)?.filter_map(Result::ok).map(|entry| entry.path()).next();
        let deb = deb.with_context(|| format!("apt fetched no file for {package}"))?;
        fs::create_dir_all(into)?;
        run::output(Command::new("dpkg").arg("-x").arg(&deb).arg(into))?;
        fs::remove_dir_all(&downloads)?;
        Ok(())
    }
}

/// `Inst libc6 (2.36-9+deb12u10 Debian:12.11/oldstable [amd64]) []`
fn installed(line: &str) -> Option<(String, String)> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
    Some((name.to_owned(), rest.split(' ').next()?.to_owned()))
}

/// Where this machine gets Debian from, by its own apt's word.
pub(crate) fn own_archive() -> Result<String> {
    if let Some(base) = archive_labelled("Debian")? {
        return Ok(base);
    }
    // Images of containers come without lists, and apt names only sources whose lists it has.
    apt::update().context("apt on this machine has no lists of packages; as root: apt-get update")?;
    archive_labelled("Debian")?
        .context("apt on this machine knows no Debian archive; add one to its sources, then: apt-get update")
}

/// Whether a suite only adds newer packages to a release.
fn is_addition(suite: &str) -> bool {
    suite.ends_with(SECURITY) || suite.ends_with(UPDATES)
}

fn archive_labelled(label: &str) -> Result<Option<String>> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"]);
    let rows = run::output(&mut targets)?;
    let mut rows = rows.lines().filter_map(|row| row.split_once(' '));
    Ok(rows.find(|(_, of)| *of == label).map(|(base, _)| base.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::installed;

    #[test]
    fn a_line_of_a_simulated_installation_is_read() {
        let line = "Inst libc6 (2.36-9+deb12u10 Debian:12.11/oldstable [amd64]) [libgcc-s1:amd64 ]";
        assert_eq!(installed(line), Some(("libc6".to_owned(), "2.36-9+deb12u10".to_owned())));
        assert_eq!(installed("Conf libc6 (2.36-9 Debian [amd64])"), None);
    }
}
